//! One session: a volume with the tree, a user, and one container after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::query_parameters::RemoveVolumeOptionsBuilder;
use futures::future::BoxFuture;

use super::exchange::Exchange;
use super::spec::{self, Carrier, Spec};
use super::{Shared, engine_error};
use crate::sandbox::answer;
use crate::sandbox::capture::Captured;
use crate::sandbox::check;
use crate::sandbox::copy_out::{Opened, ReadBack};
use crate::sandbox::egress::Proxy;
use crate::sandbox::identity::{Identity, Owner};
use crate::sandbox::incoming::Incoming;
use crate::sandbox::leftovers::SessionFolder;
use crate::sandbox::line::Feed;
use crate::sandbox::model::{Command, LimitHit, Outcome, SandboxError, Session};
use crate::sandbox::supervise::wire::{End, Kind, Ran, Request};
use crate::workspace::{Snapshot, aside};

/// Time to carry a tree in or out.
const CARRY: Duration = Duration::from_secs(300);
/// What the first process is given on top of a command's own time before the host ends it.
const GRACE: Duration = Duration::from_secs(5);

pub(super) struct ContainerSession {
    shared: Arc<Shared>,
    held: Held,
    opened: Opened,
    /// Commands and copies take turns.
    turn: tokio::sync::Mutex<()>,
}

/// Between two attempts to remove what an engine would not let go; it doubles up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// What a session has taken: the volume goes first, then the folder whose lock says that it lives, then
/// the user. Nobody else gets the user while a container of the session may still run.
struct Held {
    shared: Arc<Shared>,
    taken: Option<(SessionFolder, Identity)>,
}

impl Held {
    /// What fails, or is not waited for, is tried again until it is done.
    async fn release(mut self) -> Result<(), SandboxError> {
        if let Some((folder, _)) = &self.taken {
            release(&self.shared, folder).await?;
        }
        self.taken = None;
        Ok(())
    }
}

async fn release(shared: &Shared, folder: &SessionFolder) -> Result<(), SandboxError> {
    super::sweep::remove_session(shared, &folder.name()).await?;
    aside(|| folder.remove()).map_err(SandboxError::io("removing a sandbox"))
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((folder, identity)) = self.taken.take() else { return };
        // Without a runtime this program ends, and the lock with it: the next start finds all of it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let shared = Arc::clone(&self.shared);
        runtime.spawn(async move {
            let (mut pause, longest) = PAUSES;
            while let Err(error) = release(&shared, &folder).await {
                tracing::warn!(%error, ?pause, "a sandbox could not be removed; it will be tried again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
            drop(identity);
        });
    }
}

pub(super) async fn remove_volume(shared: &Shared, name: &str) -> Result<(), SandboxError> {
    let options = RemoveVolumeOptionsBuilder::default().force(true).build();
    match shared.docker.remove_volume(name, Some(options)).await {
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        removed => removed.map_err(engine_error("removing a volume")),
    }
}

impl ContainerSession {
    pub(super) fn new(
        shared: Arc<Shared>,
        folder: SessionFolder,
        identity: Identity,
        opened: Opened,
    ) -> Self {
        let held = Held { shared: Arc::clone(&shared), taken: Some((folder, identity)) };
        Self { shared, held, opened, turn: tokio::sync::Mutex::default() }
    }

    fn folder(&self) -> Option<&SessionFolder> {
        self.held.taken.as_ref().map(|(folder, _)| folder)
    }

    fn name(&self) -> String {
        self.folder().map(SessionFolder::name).unwrap_or_default()
    }

    fn owner(&self) -> Owner {
        self.held.taken.as_ref().map_or(Owner::Own, |(_, identity)| identity.owner())
    }

    /// The user inside: one of the session's own, or the one that this program runs as, who owns the folders
    /// that are mounted.
    fn user(&self) -> (u32, u32) {
        match self.owner() {
            Owner::Reserved(id) => (id, id),
            Owner::Own => (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
        }
    }

    pub(super) async fn unpack(&self, tree: &Snapshot) -> Result<(), SandboxError> {
        let (uid, gid) = self.user();
        let name = self.name();
        let exchange = Exchange {
            shared: &self.shared,
            session: &name,
            spec: Spec::carrier(&self.shared, &name, Carrier::GivesAway),
            request: Request::Unpack { owner: Some((uid, gid)) },
            feed: Feed::Tree(tree),
            time: CARRY,
        };
        match exchange.carry_out(&mut |_| Ok(())).await? {
            Ok(End::Unpacked) => Ok(()),
            other => Err(unexpected("writing the tree", other)),
        }
    }

    async fn run_command(&self, command: &Command) -> Result<Outcome, SandboxError> {
        check::check(command)?;
        check::give_mounts(command, self.owner())?;
        let proxy = Proxy::of(command, self.folder(), self.owner()).await?;
        let (name, start) = (self.name(), Instant::now());
        let socket = proxy.as_ref().map(Proxy::socket);
        let exchange = Exchange {
            shared: &self.shared,
            session: &name,
            spec: Spec::command(&self.shared, &name, self.user(), command, socket),
            request: Request::Run(Box::new(spec::request(&self.shared, command))),
            feed: command.stdin.as_deref().map_or(Feed::Nothing, Feed::Input),
            time: command.limits.wall + GRACE,
        };
        let folder = self.folder().map(|folder| folder.path().to_path_buf()).unwrap_or_default();
        let spooled = || Captured::spooled(&folder, command.limits.output_bytes);
        let (mut stdout, mut stderr) = (spooled(), spooled());
        let ended = exchange
            .carry_out(&mut |frame| {
                match frame.kind {
                    Kind::Out => stdout.push(&frame.bytes),
                    Kind::Err => stderr.push(&frame.bytes),
                    _ => {}
                }
                Ok(())
            })
            .await?;
        let ran = match ended {
            Ok(end) => answer::ran(end, command)?,
            Err(limit) => Ran::killed(limit, start.elapsed()),
        };
        Ok(answer::outcome(ran, stdout, stderr, proxy))
    }

    async fn pack(&self) -> Result<ReadBack, SandboxError> {
        let (uid, gid) = self.user();
        let (name, limits) = (self.name(), self.shared.options.tree_limits);
        let exchange = Exchange {
            shared: &self.shared,
            session: &name,
            spec: Spec::carrier(&self.shared, &name, Carrier::Owner { uid, gid }),
            request: Request::Pack { opened: self.opened.clone(), limits },
            feed: Feed::Nothing,
            time: CARRY,
        };
        let mut incoming = Incoming::new(&self.opened, limits);
        let ended = exchange.carry_out(&mut |frame| incoming.take(&frame)).await?;
        match ended {
            Ok(End::Packed { left_out }) => incoming.finish(left_out),
            other => Err(unexpected("reading the tree back", other)),
        }
    }
}

/// What an answer means that is not the one that was hoped for.
fn unexpected(doing: &'static str, answer: Result<End, LimitHit>) -> SandboxError {
    match answer {
        Ok(end) => end.into_error(doing),
        Err(LimitHit::Memory) => SandboxError::Setup { reason: format!("{doing}: the container was killed") },
        Err(_) => SandboxError::Setup { reason: format!("{doing} took more than {CARRY:?}") },
    }
}

impl Session for ContainerSession {
    fn run<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Outcome, SandboxError>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            // A command whose future was dropped may still be ending.
            super::sweep::remove_containers(&self.shared, &self.name()).await?;
            self.run_command(command).await
        })
    }

    fn read_back(&self) -> BoxFuture<'_, Result<ReadBack, SandboxError>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            super::sweep::remove_containers(&self.shared, &self.name()).await?;
            self.pack().await
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), SandboxError>> {
        Box::pin(self.held.release())
    }
}
