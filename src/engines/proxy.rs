//! The metering proxy: an HTTP server on a Unix socket, for one command's calls of models.
//!
//! It takes the calls of [`format::Format`] and nothing else, for models that the account names,
//! sets their estimate aside in every budget before they go out, passes answers through as they come, and settles
//! and records what each really used. The key is put on outside of the sandbox. Nothing of a call is logged.

mod account;
mod format;
mod forward;
mod reach;
mod refusal;
mod scrub;
mod usage;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State as AxumState};
use axum::http::Method;
use axum::response::Response;
use secrecy::ExposeSecret;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::Usage;
use crate::llm::{Endpoint, Ledger, LlmError, ModelSettings, Settings};

pub use account::Account;
use account::{Books, Calls};
use format::{Asked, Format};
use refusal::Refusal;

/// Largest request, in bytes: Anthropic's own limit.
const MAX_REQUEST_BYTES: usize = 32 << 20;
/// Calls at once; others wait.
const CALLS_AT_ONCE: usize = 8;
/// Longest time that a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);
/// How long calls that are under way when the command has ended are heard out, for their figures.
const LAST_CALLS: Duration = Duration::from_secs(5);
/// The socket's name in its folder, and the age from which a folder may be of a dead process.
const SOCKET: &str = "models.sock";
const LEFTOVER: Duration = Duration::from_secs(60);
/// Refusals that are kept for people.
const MOST_REFUSALS: usize = 50;

/// Opens proxies: one for each command.
pub struct Metering {
    settings: Settings,
    ledger: Arc<dyn Ledger>,
    web: Web,
    /// Where sockets are made; nobody else may enter.
    folder: PathBuf,
}

/// The way to providers. A server on this machine is not asked for through the system's proxy.
struct Web {
    far: reqwest::Client,
    here: reqwest::Client,
}

/// A call that was refused, for people.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// As it was asked for, cut.
    pub path: String,
    pub status: u16,
    pub reason: String,
}

/// What a command's calls came to.
#[derive(Debug, Clone, Default)]
pub struct Metered {
    pub calls: u32,
    pub usage: Usage,
    /// The first ones.
    pub refused: Vec<Refused>,
    /// The limit at which calls were refused.
    pub spent: Option<Spent>,
    /// How the last call failed, where it did.
    pub last_failure: Option<LlmError>,
    /// A call's cost could not be written down, and no other was let through after it.
    pub unrecorded: Option<String>,
}

/// A limit that was reached.
#[derive(Debug, Clone)]
pub enum Spent {
    Budget(LlmError),
    Calls(u32),
}

/// A server that lives as long as one command.
#[derive(Debug)]
pub struct MeteringProxy {
    folder: tempfile::TempDir,
    calls: Arc<Calls>,
    server: JoinHandle<()>,
}

impl Metering {
    /// # Errors
    /// When no HTTP client can be made, or the folder cannot.
    pub fn new(settings: Settings, ledger: Arc<dyn Ledger>, folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        sweep(&folder);
        let client = || {
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(20))
                // A redirect would carry the key to another host.
                .redirect(reqwest::redirect::Policy::none())
        };
        let far = client().build().map_err(io::Error::other)?;
        let here = client().no_proxy().build().map_err(io::Error::other)?;
        Ok(Self { settings, ledger, web: Web { far, here }, folder })
    }

    /// Starts a proxy for one command.
    ///
    /// # Errors
    /// When the socket cannot be made; a path of more than 107 bytes is one reason (unix(7)).
    pub async fn open(self: &Arc<Self>, account: Account) -> io::Result<MeteringProxy> {
        // Closed to others, so that the socket itself can be open to whatever user the sandbox has.
        let closed = std::fs::Permissions::from_mode(0o700);
        let folder =
            tempfile::Builder::new().prefix("proxy-").permissions(closed).tempdir_in(&self.folder)?;
        let socket = folder.path().join(SOCKET);
        let listener = UnixListener::bind(&socket)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", socket.display())))?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666))?;
        let calls = Arc::new(Calls {
            metering: Arc::clone(self),
            books: Books::new(account),
            room: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let router = Router::new().fallback(handle).with_state(Arc::clone(&calls));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "a metering proxy stopped");
            }
        });
        Ok(MeteringProxy { folder, calls, server })
    }

    /// Those of an account's models that are at a provider that speaks the format, with the provider.
    fn offered<'a>(
        &'a self,
        account: &'a Account,
        format: Format,
    ) -> impl Iterator<Item = (&'a ModelSettings, &'a Endpoint)> {
        let endpoint = |model: &ModelSettings| self.settings.endpoints.get(&model.name.provider);
        let placed = account.models.iter().filter_map(move |model| Some((model, endpoint(model)?)));
        placed.filter(move |(_, endpoint)| format.is_of(endpoint.protocol))
    }
}

/// Removes the folders of proxies whose process died: old ones, where nobody listens any more.
fn sweep(folder: &std::path::Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let made = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let is_old = made.and_then(|made| made.elapsed().ok()).is_some_and(|age| age > LEFTOVER);
        let listens = std::os::unix::net::UnixStream::connect(entry.path().join(SOCKET)).is_ok();
        if is_old && !listens {
            // What cannot be removed is tried again by the next start.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

impl Web {
    fn to(&self, url: &reqwest::Url) -> &reqwest::Client {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let here = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if here { &self.here } else { &self.far }
    }
}

impl MeteringProxy {
    /// For [`crate::sandbox::Network::Service`].
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// Ends the proxy. Calls under way are heard out for a moment; what they used is estimated after that.
    pub async fn finish(self) -> Metered {
        self.server.abort();
        self.calls.tasks.close();
        if tokio::time::timeout(LAST_CALLS, self.calls.tasks.wait()).await.is_err() {
            self.calls.closing.cancel();
            self.calls.tasks.wait().await;
        }
        self.calls.closing.cancel();
        self.calls.books.summary()
    }
}

impl Drop for MeteringProxy {
    fn drop(&mut self) {
        // Calls that are under way end, and are recorded in tasks of their own.
        self.calls.closing.cancel();
        self.server.abort();
        let _ = std::fs::remove_file(self.socket());
    }
}

async fn handle(AxumState(calls): AxumState<Arc<Calls>>, request: Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    let format = Format::of(request.uri().path()).map(|(format, _)| format);
    match admit(&calls, request).await {
        Ok(admitted) => forward::forward(calls, admitted).await,
        Err(refusal) => {
            calls.books.note_refusal(&path, &refusal);
            refusal.answer(format)
        }
    }
}

/// Reads a request and decides whether it may go out. What it may cost is set aside then.
async fn admit(calls: &Arc<Calls>, request: Request) -> Result<forward::Admitted, Refusal> {
    let (parts, body) = request.into_parts();
    let found = Format::of(parts.uri.path()).filter(|_| parts.method == Method::POST);
    let (format, model) = found.ok_or_else(|| {
        Refusal::no_such_path(
            "only calls of a model are taken here: POST /v1/messages, /v1/chat/completions, /v1/responses and \
             /v1beta/models/…:generateContent",
        )
    })?;
    let waiting = Arc::clone(&calls.room).acquire_owned().await;
    let room = waiting.map_err(|_| Refusal::upstream("the proxy has ended"))?;
    let arriving = tokio::time::timeout(ARRIVAL, axum::body::to_bytes(body, MAX_REQUEST_BYTES));
    let body = match arriving.await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(Refusal::too_large(MAX_REQUEST_BYTES)),
        Err(_) => return Err(Refusal::request(format!("the request did not arrive within {ARRIVAL:?}"))),
    };
    let mut asked = format.read(model, &body)?;
    if let Some(reason) = reach::outside(format, &asked.body) {
        return Err(Refusal::not_allowed(reason));
    }
    let mut offered = calls.metering.offered(calls.books.account(), format);
    let (settings, endpoint) = match offered.find(|(settings, _)| settings.name.model == asked.model) {
        Some((settings, endpoint)) => (settings.clone(), endpoint.clone()),
        None => return Err(unknown_model(calls, &asked)),
    };
    let most_output = asked.limit_output(settings.max_output_tokens.into());
    let reserved = calls.books.reserve(&settings, body.len(), most_output).await?;
    let url = format.url(&endpoint.base_url, &asked.model);
    Ok(forward::Admitted { asked, settings, endpoint, url, headers: parts.headers, reserved, _room: room })
}

fn unknown_model(calls: &Calls, asked: &Asked) -> Refusal {
    let offered = calls.metering.offered(calls.books.account(), asked.format);
    let mut names: Vec<&str> = offered.map(|(settings, _)| settings.name.model.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let model: String = asked.model.chars().filter(|c| !c.is_control()).take(100).collect();
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Refusal::not_allowed(format!(
        "the model {model:?} is not one that this deployment has prices and limits for, or that the repository's \
         rules name; those of this interface are: {known}"
    ))
}

impl std::fmt::Debug for Metering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metering").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The key of a provider, for the one who needs it.
fn key_of(endpoint: &Endpoint) -> Option<&str> {
    endpoint.key.as_ref().map(ExposeSecret::expose_secret)
}
