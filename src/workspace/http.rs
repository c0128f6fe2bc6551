//! Git's smart HTTP protocol (gitprotocol-http(5)) for libgit2, over `reqwest::blocking`.
//!
//! libgit2 is built without HTTPS; this is its only way to the network. A transfer runs in a session that
//! the calling thread opens: address, token, limits and the reason of a failure belong to it. The token goes
//! to the scheme, host and port of the session's address and nowhere else.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};

use super::error::{TransportError, WorkspaceError};
use super::remote::RemoteUrl;
use crate::telemetry::with_causes;

/// How long a transfer may take and how large it may be.
#[derive(Debug, Clone)]
pub struct TransferLimits {
    pub connect: Duration,
    /// The longest silence of the server.
    pub idle: Duration,
    /// The longest time of a whole fetch or push.
    pub total: Duration,
    /// The most bytes that a fetch may bring, after decompression.
    pub fetch_bytes: u64,
    /// The most bytes that a push may send.
    pub push_bytes: u64,
}

impl Default for TransferLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(30 * 60),
            fetch_bytes: 8 << 30,
            push_bytes: 256 << 20,
        }
    }
}

/// The slowest upload that is waited for, in bytes a second.
const SLOWEST_UPLOAD: u64 = 64 << 10;
/// A server that moved a repository answers with one redirect; more is a loop.
const MOST_REDIRECTS: usize = 3;
/// GitHub serves git to clients whose name begins with `git/`.
const USER_AGENT: &str = concat!("git/2.0 (orchestrator ", env!("CARGO_PKG_VERSION"), ")");

/// Opens sessions; shared by all mirrors. The client is made on first use, inside a blocking thread.
#[derive(Debug, Default)]
pub(super) struct Http {
    pub(super) limits: TransferLimits,
    client: OnceLock<Client>,
}

impl Http {
    pub(super) fn new(limits: TransferLimits) -> Self {
        Self { limits, client: OnceLock::new() }
    }

    fn client(&self) -> Result<Client, TransportError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(self.limits.connect)
            .build()
            .map_err(|error| TransportError::NoConnection(with_causes(&error)))?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    /// Runs `work`, in which libgit2 may talk to `url` for at most `total`. A failure of the transfer takes
    /// the place of what libgit2 says about it. Blocks.
    pub(super) fn session<T, E: From<WorkspaceError>>(
        &self,
        url: &RemoteUrl,
        token: Option<&SecretString>,
        total: Duration,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        register_transport();
        let transport = |reason| E::from(WorkspaceError::Transport { url: url.to_string(), reason });
        let session = Arc::new(Session {
            client: self.client().map_err(transport)?,
            address: url.as_url().clone(),
            base: Mutex::new(url.as_url().clone()),
            token: token.cloned(),
            limits: self.limits.clone(),
            deadline: Instant::now() + total.min(self.limits.total),
            received: AtomicU64::new(0),
            failure: Mutex::new(None),
        });
        let _current = Current::set(session.clone());
        let result = work();
        match (result, lock(&session.failure).take()) {
            (Err(_), Some(reason)) => Err(transport(reason)),
            (result, _) => result,
        }
    }
}

/// One transfer.
struct Session {
    client: Client,
    /// The configured address: the token goes to its origin.
    address: Url,
    /// Where the repository is now: GitHub redirects a renamed one.
    base: Mutex<Url>,
    token: Option<SecretString>,
    limits: TransferLimits,
    deadline: Instant,
    received: AtomicU64,
    failure: Mutex<Option<TransportError>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Session>>> = const { RefCell::new(None) };
}

/// Keeps a session open on this thread.
struct Current;

impl Current {
    fn set(session: Arc<Session>) -> Self {
        CURRENT.with_borrow_mut(|current| *current = Some(session));
        Self
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| *current = None);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells libgit2, once in a process, to use this transport for both schemes.
fn register_transport() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        super::libgit2::isolate();
        for scheme in ["http", "https"] {
            // SAFETY: libgit2's list of transports is changed here only, once, and `isolate` and this run
            // before the first remote of the process is created (every remote is used through a session).
            let registered = unsafe { git2::transport::register(scheme, open_transport) };
            if let Err(error) = registered {
                tracing::error!(%error, scheme, "git's HTTP transport could not be registered");
            }
        }
    });
}

fn open_transport(remote: &git2::Remote<'_>) -> Result<Transport, git2::Error> {
    let session = CURRENT.with_borrow(|current| current.clone());
    let session = session.ok_or_else(|| git2::Error::from_str("no transfer is open on this thread"))?;
    Transport::smart(remote, true, Subtransport { session })
}

struct Subtransport {
    session: Arc<Session>,
}

impl SmartSubtransport for Subtransport {
    fn action(&self, url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let address = &self.session.address;
        if !Url::parse(url).is_ok_and(|url| url.origin() == address.origin() && url.path() == address.path())
        {
            let reason = TransportError::ForeignUrl(without_password(url));
            return Err(git2::Error::from_str(&self.session.fail(reason).to_string()));
        }
        Ok(Box::new(Exchange { session: self.session.clone(), action, request: Vec::new(), response: None }))
    }

    fn close(&self) -> Result<(), git2::Error> {
        Ok(())
    }
}

/// A request that is sent when its answer is first read, since libgit2 writes it in pieces.
struct Exchange {
    session: Arc<Session>,
    action: Service,
    request: Vec<u8>,
    response: Option<Response>,
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limit = self.session.limits.push_bytes;
        if self.request.len() as u64 + bytes.len() as u64 > limit {
            return Err(self.session.fail(TransportError::TooLarge(limit)));
        }
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let session = self.session.clone();
        let response = match &mut self.response {
            Some(response) => response,
            empty => {
                let request = std::mem::take(&mut self.request);
                let sent = session.send(self.action, request);
                empty.insert(sent.map_err(|reason| session.fail(reason))?)
            }
        };
        session.remaining().map_err(|reason| session.fail(reason))?;
        let read = response.read(buffer).map_err(|error| session.fail(read_failure(&session, &error)))?;
        let received = session.received.fetch_add(read as u64, Ordering::Relaxed) + read as u64;
        if received > session.limits.fetch_bytes {
            return Err(session.fail(TransportError::TooLarge(session.limits.fetch_bytes)));
        }
        Ok(read)
    }
}

impl Session {
    /// Keeps the first reason of a failure; later ones follow from it.
    fn fail(&self, reason: TransportError) -> io::Error {
        let error = io::Error::other(reason.to_string());
        lock(&self.failure).get_or_insert(reason);
        error
    }

    fn remaining(&self) -> Result<Duration, TransportError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(TransportError::TimedOut(self.limits.total)) } else { Ok(left) }
    }

    fn send(&self, action: Service, body: Vec<u8>) -> Result<Response, TransportError> {
        let (service, advertisement) = match action {
            Service::UploadPackLs => ("git-upload-pack", true),
            Service::UploadPack => ("git-upload-pack", false),
            Service::ReceivePackLs => ("git-receive-pack", true),
            Service::ReceivePack => ("git-receive-pack", false),
        };
        if advertisement {
            let response = self.advertisement(service)?;
            return expect_type(response, &format!("application/x-{service}-advertisement"));
        }
        let result_type = format!("application/x-{service}-result");
        let upload = Duration::from_secs(body.len() as u64 / SLOWEST_UPLOAD);
        let request = self
            .client
            .post(self.endpoint(&format!("/{service}"))?)
            .header(CONTENT_TYPE, format!("application/x-{service}-request"))
            .header(ACCEPT, &result_type)
            .body(body);
        let response = self.perform(request, upload)?;
        expect_type(check_status(response, &self.address)?, &result_type)
    }

    /// Asks for the list of refs, following redirects to another path of the same server.
    fn advertisement(&self, service: &str) -> Result<Response, TransportError> {
        for _ in 0..=MOST_REDIRECTS {
            let mut url = self.endpoint("/info/refs")?;
            url.set_query(Some(&format!("service={service}")));
            let response = self.perform(self.client.get(url), Duration::ZERO)?;
            if !response.status().is_redirection() {
                return check_status(response, &self.address);
            }
            let target = redirect_target(&response, &self.address)?;
            *lock(&self.base) = target;
        }
        Err(TransportError::RedirectRefused("itself, again and again".to_owned()))
    }

    fn endpoint(&self, suffix: &str) -> Result<Url, TransportError> {
        let mut url = lock(&self.base).clone();
        let path = format!("{}{suffix}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        // Whatever happened before: the token leaves for the configured origin or not at all.
        if url.origin() != self.address.origin() {
            return Err(TransportError::ForeignUrl(without_password(url.as_str())));
        }
        Ok(url)
    }

    fn perform(&self, request: RequestBuilder, upload: Duration) -> Result<Response, TransportError> {
        let wait = (self.limits.idle + upload).min(self.remaining()?);
        let request = match &self.token {
            Some(token) => request.basic_auth("x-access-token", Some(token.expose_secret())),
            None => request,
        };
        request.timeout(wait).send().map_err(|error| {
            let error = error.without_url();
            if error.is_timeout() && !error.is_connect() {
                TransportError::TimedOut(wait)
            } else if error.is_connect() {
                TransportError::NoConnection(with_causes(&error))
            } else {
                TransportError::Broken(with_causes(&error))
            }
        })
    }
}

fn check_status(response: Response, address: &Url) -> Result<Response, TransportError> {
    let status = response.status();
    Err(match status {
        StatusCode::OK => return Ok(response),
        StatusCode::UNAUTHORIZED => TransportError::Unauthorized,
        StatusCode::FORBIDDEN => TransportError::Forbidden,
        StatusCode::NOT_FOUND => TransportError::NotFound,
        _ if status.is_redirection() => redirect_target(&response, address)
            .err()
            .unwrap_or(TransportError::RedirectRefused("another path, after the first answer".to_owned())),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            TransportError::Unavailable {
                status: status.as_u16(),
                retry_after: retry_after(response.headers()),
            }
        }
        _ => TransportError::UnexpectedStatus(status.as_u16()),
    })
}

/// Where a redirect of `info/refs` says the repository is, if that is on the same server.
fn redirect_target(response: &Response, address: &Url) -> Result<Url, TransportError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refuse = || TransportError::RedirectRefused(without_password(location));
    let mut target = response.url().join(location).map_err(|_| refuse())?;
    let same =
        target.origin() == address.origin() && target.username().is_empty() && target.password().is_none();
    let base = target.path().strip_suffix("/info/refs").map(str::to_owned);
    let Some(base) = base.filter(|base| same && !base.is_empty()) else { return Err(refuse()) };
    target.set_path(&base);
    target.set_query(None);
    target.set_fragment(None);
    Ok(target)
}

fn expect_type(response: Response, expected: &str) -> Result<Response, TransportError> {
    let found = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let matches =
        found.is_some_and(|found| found.split(';').next().is_some_and(|kind| kind.trim() == expected));
    if matches { Ok(response) } else { Err(TransportError::NotSmartHttp) }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn read_failure(session: &Session, error: &io::Error) -> TransportError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    match inner {
        Some(inner) if inner.is_timeout() => TransportError::TimedOut(session.limits.idle),
        Some(inner) => TransportError::Broken(with_causes(inner)),
        None if error.kind() == io::ErrorKind::TimedOut => TransportError::TimedOut(session.limits.idle),
        None => TransportError::Broken(error.to_string()),
    }
}

/// An address for an error message: user name, password and query are left out.
fn without_password(address: &str) -> String {
    match Url::parse(address) {
        Ok(url) => format!("{}{}", url.origin().ascii_serialization(), url.path()),
        Err(_) => "an address that cannot be read".to_owned(),
    }
}
