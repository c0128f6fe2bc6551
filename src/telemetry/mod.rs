//! Logs: how they look, and what never goes into them.
//!
//! # Never log
//! - Secrets: the App's private key, JWTs, installation tokens, the webhook secret, model keys,
//!   `Authorization` headers, the database's and the mail server's URL with a password. Configuration
//!   is printed through [`Config::redacted`](crate::config::Config::redacted) only.
//! - Bodies: webhook payloads, prompts, model answers, file contents, diffs, mail. Log ids, sizes and
//!   digests; what people need to read is kept with the task.
//! - The environment of any process.
//! - Text that strangers wrote, unless it is bounded and on one line; put it in a field, never in the
//!   message itself.
//!
//! What leaves the program (comments, commit messages, mail) is cleaned by a [`Redactor`] besides.
//!
//! Libraries log what is on the list above when they are asked to (lettre writes passwords and mails,
//! genai whole answers, hyper headers), so only those that we know for discreet are heard below `info`,
//! whatever the filter says.

mod causes;
pub mod clock;
mod disguise;
mod redact;

pub use causes::with_causes;
pub use redact::{REDACTED, Redactor};
use tracing::{Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The name as written in the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("the log filter cannot be read: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("logging is set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// What may be heard below `info`: ourselves, statements without their values, and requests without their
/// headers.
const DISCREET: [&str; 3] = ["orchestrator", "sqlx", "tower_http"];

/// Sends the program's logs to standard error from now on. Standard output belongs to results.
///
/// # Errors
/// The filter is not in the syntax of [`EnvFilter`], or logging was set up before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), InitError> {
    subscriber(format, filter, std::io::stderr)?.try_init()?;
    Ok(())
}

/// What [`init`] installs, writing elsewhere.
///
/// # Errors
/// The filter is not in the syntax of [`EnvFilter`].
pub fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, InitError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter)?;
    // A filter of its own: in an `EnvFilter` a directive for a module would win over one for its crate.
    let discreet = filter_fn(|metadata| {
        let library = metadata.target().split("::").next().unwrap_or_default();
        *metadata.level() <= Level::INFO || DISCREET.contains(&library)
    });
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let registry = tracing_subscriber::registry().with(filter).with(discreet);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match format {
        LogFormat::Pretty => Box::new(registry.with(lines.with_ansi(colours))),
        LogFormat::Json => Box::new(registry.with(lines.json().flatten_event(true).with_ansi(false))),
    })
}
