//! SMTP transport: a finished [`Message`] goes to the server, once asked, with a stable Message-ID.
//!
//! SMTP cannot be asked what it took. A crash between the server's 250 and our record of it sends the
//! message again, with the same Message-ID, from which a reader's program can tell the repeat. Nothing is
//! ever lost: every failure that an operator or time can mend is [`MailError::Transient`].
//!
//! Not here: the words of a mail (`speech`), when to send one, and how often to retry.

mod message;
mod url;

use std::time::Duration;

use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::ExposeSecret;

pub use message::{Address, Header, Message, MessageId, message_id};
pub use url::MailSetupError;
use url::{Encryption, SmtpAddress};

use crate::config::MailConfig;

/// How long one command may take. RFC 5321 (4.5.3.2) allows minutes; a mail that waits is retried.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Sends mail through one server. Cheap to clone.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// Host and port, for errors.
    server: String,
}

/// Why a mail was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// Worth trying again: the server is away or busy, or its set-up has to be mended first.
    #[error("{0}")]
    Transient(String),
    /// The same message will be refused again.
    #[error("{0}")]
    Permanent(String),
}

/// What became of a mail that at least one recipient was accepted for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Recipients that the server refuses for good, each with its words.
    pub refused: Vec<(Address, String)>,
}

impl Mailer {
    /// `None` where no server is configured.
    ///
    /// # Errors
    /// `SMTP_URL` cannot be read, names a way that would send a password in the open, or its
    /// certificate file cannot be used.
    pub fn from_config(config: &MailConfig) -> Result<Option<Self>, MailSetupError> {
        let Some(url) = &config.smtp_url else { return Ok(None) };
        let address = SmtpAddress::parse(url.expose_secret())?;
        let tls = |address: &SmtpAddress| tls_parameters(address);
        let tls = match address.encryption {
            Encryption::None => Tls::None,
            Encryption::StartTls => Tls::Required(tls(&address)?),
            Encryption::FromTheStart => Tls::Wrapper(tls(&address)?),
        };
        let server = format!("{}:{}", address.host, address.port);
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&address.host)
            .port(address.port)
            .tls(tls)
            .timeout(Some(COMMAND_TIMEOUT))
            .authentication(vec![Mechanism::Plain, Mechanism::Login])
            .pool_config(PoolConfig::new().max_size(2).idle_timeout(Duration::from_secs(20)));
        if let Some(credentials) = address.credentials {
            builder = builder.credentials(credentials);
        }
        Ok(Some(Self { transport: builder.build(), server }))
    }

    /// Sends the message to all of its recipients. Where the server refuses some of them for good, the
    /// others get it one by one.
    ///
    /// # Errors
    /// [`MailError::Transient`] when anything is left to try, even if some recipients have it by then;
    /// [`MailError::Permanent`] when the message, or every recipient, is refused for good.
    pub async fn send(&self, message: &Message) -> Result<Sent, MailError> {
        let refusal = match self.deliver(message, &message.to).await {
            Ok(()) => return Ok(Sent::default()),
            Err(MailError::Permanent(refusal)) if message.to.len() > 1 => refusal,
            Err(error) => return Err(error),
        };
        let mut refused = Vec::new();
        for recipient in &message.to {
            match self.deliver(message, std::slice::from_ref(recipient)).await {
                Ok(()) => {}
                Err(MailError::Permanent(reason)) => refused.push((recipient.clone(), reason)),
                Err(error) => return Err(error),
            }
        }
        if refused.len() == message.to.len() {
            Err(MailError::Permanent(refusal))
        } else {
            Ok(Sent { refused })
        }
    }

    /// Connects, encrypts and signs in as a mail would, and sends nothing.
    ///
    /// # Errors
    /// As [`Mailer::send`].
    pub async fn check(&self) -> Result<(), MailError> {
        match self.transport.test_connection().await {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(MailError::Transient(format!("{} does not answer as an SMTP server", self.server)))
            }
            Err(error) => Err(self.judge(&error)),
        }
    }

    async fn deliver(&self, message: &Message, recipients: &[Address]) -> Result<(), MailError> {
        let envelope = message.envelope(recipients)?;
        let text = message.formatted()?;
        self.transport.send_raw(&envelope, &text).await.map(drop).map_err(|error| self.judge(&error))
    }

    fn judge(&self, error: &lettre::transport::smtp::Error) -> MailError {
        let text = format!("the mail server {}: {error}", self.server);
        let code = error.status().map(u16::from);
        // Refused sign-in is for the operator to mend: 530, 534, 535, 538 (RFC 4954), 454 and 4xx anyway.
        let sign_in = code.is_some_and(|code| [530, 534, 535, 538].contains(&code));
        if error.is_permanent() && !sign_in { MailError::Permanent(text) } else { MailError::Transient(text) }
    }
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("server", &self.server).finish_non_exhaustive()
    }
}

fn tls_parameters(address: &SmtpAddress) -> Result<TlsParameters, MailSetupError> {
    let mut builder = TlsParameters::builder(address.host.clone());
    if let Some(path) = &address.certificates {
        let failed = |problem: String| MailSetupError::Certificates { path: path.clone(), problem };
        let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| failed(error.to_string()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build().map_err(|error| MailSetupError::Tls(error.to_string()))
}
