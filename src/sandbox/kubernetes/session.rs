//! One session: a Job, the connection to its pod, and one request after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::net::UnixStream;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::attach::{Attached, attach};
use super::errors::unavailable;
use super::mounts::Placed;
use super::pod::{self, Fate};
use super::{POLICY, Shared, spec};
use crate::sandbox::answer;
use crate::sandbox::capture::Captured;
use crate::sandbox::check;
use crate::sandbox::copy_out::{Opened, ReadBack};
use crate::sandbox::egress::Proxy;
use crate::sandbox::identity::Owner;
use crate::sandbox::incoming::Incoming;
use crate::sandbox::leftovers::SessionFolder;
use crate::sandbox::line::{Cut, Feed, Line};
use crate::sandbox::model::{Access, Command, LimitHit, Mount, Network, Outcome, SandboxError, Session};
use crate::sandbox::supervise::wire::{self, End, Frame, Greeting, Kind, Ran, Request};
use crate::sandbox::tunnel::{Links, number};
use crate::workspace::{Snapshot, aside};

/// Time to carry a tree in or out.
const CARRY: Duration = Duration::from_secs(300);
/// Time to say who one is.
const GREETING: Duration = Duration::from_secs(30);
/// What the first process is given on top of a command's own time before the host ends it.
const GRACE: Duration = Duration::from_secs(10);

pub(super) struct PodSession {
    shared: Arc<Shared>,
    held: Held,
    opened: Opened,
    image_env: Vec<(String, String)>,
    /// Requests take turns.
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    line: Line,
    placed: Placed,
    _attached: Attached,
}

/// What a session has taken: the Job goes first, then the folder whose lock says that it lives.
struct Held {
    shared: Arc<Shared>,
    folder: Option<SessionFolder>,
}

impl Held {
    /// What fails, or is not waited for, is tried once more.
    async fn release(mut self) -> Result<(), SandboxError> {
        if let Some(folder) = &self.folder {
            release(&self.shared, folder).await?;
        }
        self.folder = None;
        Ok(())
    }
}

async fn release(shared: &Shared, folder: &SessionFolder) -> Result<(), SandboxError> {
    pod::remove(shared, &spec::job_name(shared, &folder.name())).await?;
    aside(|| folder.remove()).map_err(SandboxError::io("removing a sandbox"))
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        // Without a runtime this program ends, and the lock with it: the next start finds all of it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let shared = Arc::clone(&self.shared);
        runtime.spawn(async move {
            if let Err(error) = release(&shared, &folder).await {
                tracing::warn!(%error, "a sandbox could not be removed; the next start will try again");
            }
        });
    }
}

/// A session's connection while it is used. Dropped in the middle of a request it ends what runs.
struct Turn(Option<OwnedMutexGuard<Inner>>);

impl Turn {
    fn inner(&mut self) -> Result<&mut Inner, SandboxError> {
        let gone = || SandboxError::Setup { reason: "the session's connection was given back".into() };
        self.0.as_deref_mut().ok_or_else(gone)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut inner) = self.0.take().filter(|inner| inner.line.is_busy()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // Whoever is next is told when this fails.
            let _ = inner.line.stop().await;
        });
    }
}

impl PodSession {
    /// Makes the Job, waits for its pod, and sees that it is one that strangers' code may run in.
    pub(super) async fn start(
        shared: Arc<Shared>,
        folder: SessionFolder,
        opened: Opened,
    ) -> Result<Self, SandboxError> {
        let name = folder.name();
        // From here on the session's end removes what is there, also when the rest fails.
        let held = Held { shared: Arc::clone(&shared), folder: Some(folder) };
        let pod = pod::start(&shared, &name).await?;
        let (attached, mut line) = match attach(&shared, &pod).await {
            Ok(attached) => attached,
            Err(said @ SandboxError::Unavailable { .. }) => return Err(said),
            Err(said) => return Err(pod::refusal(&shared, &name, said).await),
        };
        let greeting = match line.ask(&Request::Greet, Feed::Nothing, GREETING, &mut |_| Ok(())).await {
            Ok(Ok(End::Greeted(greeting))) => greeting,
            Ok(Err(_)) | Err(_) => return Err(not_ours(&shared, &line.last_words())),
            Ok(other) => return Err(unexpected("greeting", other)),
        };
        let image_env = admit(&shared, greeting)?;
        let placed = Placed::new(shared.options.limits.disk_bytes);
        let inner = Arc::new(Mutex::new(Inner { line, placed, _attached: attached }));
        Ok(Self { shared, held, opened, image_env, inner })
    }

    fn folder(&self) -> Option<&SessionFolder> {
        self.held.folder.as_ref()
    }

    async fn turn(&self) -> Turn {
        Turn(Some(Arc::clone(&self.inner).lock_owned().await))
    }

    pub(super) async fn unpack(&self, tree: &Snapshot) -> Result<(), SandboxError> {
        let mut turn = self.turn().await;
        let line = &mut turn.inner()?.line;
        let request = Request::Unpack { owner: None };
        match line.ask(&request, Feed::Tree(tree), CARRY, &mut |_| Ok(())).await? {
            Ok(End::Unpacked) => Ok(()),
            Err(Cut::Gone) => Err(self.lost("writing the tree", line).await),
            other => Err(unexpected("writing the tree", other)),
        }
    }

    async fn run_command(&self, command: &Command) -> Result<Outcome, SandboxError> {
        check::check(command)?;
        let mut turn = self.turn().await;
        let inner = turn.inner()?;
        let proxy = Proxy::of(command, self.folder(), Owner::Own).await?;
        let folder = self.folder().map(|folder| folder.path().to_path_buf()).unwrap_or_default();
        let spooled = || Captured::spooled(&folder, command.limits.output_bytes);
        let mut heard = Heard { stdout: spooled(), stderr: spooled(), egress: None };
        heard.egress = proxy.as_ref().map(|proxy| Egress { links: Links::new(inner.line.sender()), proxy });
        let start = Instant::now();
        let ended = self.attempt(inner, command, &mut heard).await?;
        let Inner { line, placed, .. } = inner;
        let is_gone = matches!(ended, Err(Cut::Gone));
        let ran = match ended {
            Ok(end) => answer::ran(end, command)?,
            Err(Cut::Clock) => {
                line.stop().await?;
                Ran::killed(LimitHit::Wall, start.elapsed())
            }
            Err(Cut::Gone) => match self.fate().await? {
                Fate::Memory => Ran::killed(LimitHit::Memory, start.elapsed()),
                Fate::Disk => Ran::killed(LimitHit::Disk, start.elapsed()),
                Fate::Deadline => Ran::killed(LimitHit::Wall, start.elapsed()),
                Fate::Other(why) => return Err(lost("running a command", &why, &line.last_words())),
            },
        };
        let Heard { stdout, stderr, egress } = heard;
        drop(egress);
        if !is_gone {
            placed.take_back(line, &command.mounts).await?;
        }
        Ok(answer::outcome(ran, stdout, stderr, proxy))
    }

    /// Brings a command's mounts and runs it. A mount that an earlier command moved away shows before anything is
    /// started, and is carried again, once.
    async fn attempt(
        &self,
        Inner { line, placed, .. }: &mut Inner,
        command: &Command,
        heard: &mut Heard<'_>,
    ) -> Result<Result<End, Cut>, SandboxError> {
        let mounts = self.mounts(command)?;
        placed.bring(line, &mounts).await?;
        let request = Request::Run(Box::new(spec::request(&self.shared.options, &self.image_env, command)));
        let feed = || command.stdin.as_deref().map_or(Feed::Nothing, Feed::Input);
        let time = command.limits.wall + GRACE;
        let ended = line.ask(&request, feed(), time, &mut |frame| heard.take(frame)).await?;
        let Ok(End::NotThere(moved)) = &ended else { return Ok(ended) };
        placed.forget(moved);
        placed.bring(line, &mounts).await?;
        line.ask(&request, feed(), time, &mut |frame| heard.take(frame)).await
    }

    /// A command's own mounts, and the certificates where it may use the network.
    fn mounts(&self, command: &Command) -> Result<Vec<Mount>, SandboxError> {
        let mut mounts = command.mounts.clone();
        let bundle = self.shared.options.ca_bundle.as_ref();
        if let Some(bundle) = bundle.filter(|_| matches!(command.network, Network::AllowList(_))) {
            // Often a link, which leads elsewhere when certificates are renewed.
            let doing = format!("looking for the certificates in {}", bundle.display());
            let host = bundle.canonicalize().map_err(SandboxError::io(doing))?;
            mounts.push(Mount { host, inside: spec::CA_BUNDLE.into(), access: Access::ReadOnly });
        }
        Ok(mounts)
    }

    async fn pack(&self) -> Result<ReadBack, SandboxError> {
        let limits = self.shared.options.tree_limits;
        let mut turn = self.turn().await;
        let Inner { line, placed, .. } = turn.inner()?;
        placed.uncover(line, &[]).await?;
        let mut opened = self.opened.clone();
        opened.apart.extend(placed.in_tree());
        let mut incoming = Incoming::new(&opened, limits);
        let request = Request::Pack { opened: opened.clone(), limits };
        match line.ask(&request, Feed::Nothing, CARRY, &mut |frame| incoming.take(&frame)).await? {
            Ok(End::Packed { left_out }) => incoming.finish(left_out),
            Err(Cut::Gone) => Err(self.lost("reading the tree back", line).await),
            other => Err(unexpected("reading the tree back", other)),
        }
    }

    async fn fate(&self) -> Result<Fate, SandboxError> {
        let name = self.folder().map(SessionFolder::name).unwrap_or_default();
        pod::fate(&self.shared, &name).await
    }

    async fn lost(&self, doing: &str, line: &mut Line) -> SandboxError {
        match self.fate().await {
            Ok(fate) => lost(doing, &fate.to_string(), &line.last_words()),
            Err(error) => error,
        }
    }
}

/// What a command says and asks for while it runs.
struct Heard<'a> {
    stdout: Captured,
    stderr: Captured,
    egress: Option<Egress<'a>>,
}

struct Egress<'a> {
    links: Links,
    proxy: &'a Proxy,
}

impl Heard<'_> {
    fn take(&mut self, frame: Frame) -> Result<(), SandboxError> {
        match (frame.kind, &mut self.egress) {
            (Kind::Out, _) => self.stdout.push(&frame.bytes),
            (Kind::Err, _) => self.stderr.push(&frame.bytes),
            (Kind::Open, Some(egress)) => {
                // More than may be open at once wait inside.
                if let Some(number) = number(&frame).filter(|_| egress.links.has_room()) {
                    let socket = egress.proxy.socket().to_path_buf();
                    egress.links.add(number, async move { UnixStream::connect(socket).await });
                }
            }
            (_, Some(egress)) => egress.links.hear(&frame),
            _ => {}
        }
        Ok(())
    }
}

/// Whether the pod is one that strangers' code may run in; gives the variables of its image.
fn admit(shared: &Shared, greeting: Greeting) -> Result<Vec<(String, String)>, SandboxError> {
    if greeting.wire != wire::VERSION || greeting.program != env!("CARGO_PKG_VERSION") {
        return Err(unavailable(format!(
            "the image holds version {} of this program and this is {}: use the image that belongs to it",
            greeting.program,
            env!("CARGO_PKG_VERSION")
        )));
    }
    if let Some(reached) = greeting.reached {
        return Err(unavailable(format!(
            "a sandbox could reach the API at {reached}, so the network policy {POLICY} is not enforced in the \
             namespace {}: use a network plug-in that enforces policies (Calico, Cilium, Antrea …)",
            shared.options.namespace
        )));
    }
    Ok(spec::image_environment(greeting.env))
}

fn not_ours(shared: &Shared, said: &str) -> SandboxError {
    unavailable(format!(
        "{} in the image {} does not serve as a sandbox's first process: {}. It has to be this very program",
        shared.options.program.display(),
        shared.options.image,
        if said.is_empty() { "it said nothing" } else { said }
    ))
}

fn lost(doing: &str, why: &str, said: &str) -> SandboxError {
    let said = if said.is_empty() { String::new() } else { format!(". It said: {said}") };
    SandboxError::Setup { reason: format!("{doing}: the pod is gone: {why}{said}") }
}

/// What an answer means that is not the one that was hoped for.
fn unexpected(doing: &'static str, answer: Result<End, Cut>) -> SandboxError {
    match answer {
        Ok(end) => end.into_error(doing),
        Err(Cut::Clock) => SandboxError::Setup { reason: format!("{doing} took more than {CARRY:?}") },
        Err(Cut::Gone) => SandboxError::Setup { reason: format!("{doing}: the connection to the pod ended") },
    }
}

impl Session for PodSession {
    fn run<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Outcome, SandboxError>> {
        Box::pin(self.run_command(command))
    }

    fn read_back(&self) -> BoxFuture<'_, Result<ReadBack, SandboxError>> {
        Box::pin(self.pack())
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), SandboxError>> {
        let Self { held, inner, .. } = *self;
        // The connection goes first, and everything inside with it.
        drop(inner);
        Box::pin(held.release())
    }
}
