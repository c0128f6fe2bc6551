//! One command: started, fed, listened to, watched, and ended with everything that it started.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Instant;

use nix::libc;
use tokio::process::Child;

use super::arguments::{Inside, WORK, in_memory, separated};
use super::bubblewrap::Shared;
use super::cgroup::Group;
use super::egress::Proxy;
use super::identity::Owner;
use super::launch::{self, Plan};
use super::listen::{Heard, listen};
use super::model::{Access, Command, Exit, LimitHit, Limits, Network, Outcome, SandboxError};
use super::session::BubblewrapSession;
use super::walk::{self, Kind};
use super::watch::Watch;

pub(super) async fn run(session: &BubblewrapSession, command: &Command) -> Result<Outcome, SandboxError> {
    let tree = session.tree();
    check(command, &tree)?;
    give_mounts(command, session.owner())?;
    let proxy = proxy(session, command).await?;
    let group = Grouped::create(session, &command.limits);
    let start = Instant::now();
    let started =
        start_child(session, command, proxy.as_ref().map(Proxy::socket), group.0.as_deref()).await?;

    let mut folders = vec![tree];
    let writable = |mount: &&super::model::Mount| mount.access == Access::ReadWrite;
    folders.extend(command.mounts.iter().filter(writable).map(|mount| mount.host.clone()));
    let watch = Watch::new(group.0.clone(), folders, command.limits.clone());
    let heard = listen(started, command, watch).await.map_err(SandboxError::io("running a command"))?;
    let wall = start.elapsed();

    let counted = group.0.as_ref().map(|group| group.counted()).unwrap_or_default();
    group.end().await;
    let egress = match proxy {
        Some(proxy) => proxy.finish(),
        None => vec![],
    };
    let exit = exit(&heard, counted.killed_for_memory)?;
    let limit = heard.limit.or(limit_by_signs(exit, &heard, counted, &command.limits));
    Ok(Outcome {
        exit,
        limit,
        cpu: counted.cpu.unwrap_or(heard.watch.cpu),
        peak_memory_bytes: counted.peak_memory.unwrap_or(heard.watch.peak_memory),
        stdout: heard.stdout,
        stderr: heard.stderr,
        wall,
        egress,
    })
}

/// The group of a command, emptied and removed whichever way the command ends.
struct Grouped(Option<Arc<Group>>);

impl Grouped {
    fn create(session: &BubblewrapSession, limits: &Limits) -> Self {
        let Some(folder) = session.folder() else { return Self(None) };
        match session.shared.places.create(&folder.name(), limits) {
            Ok(group) => Self(Some(Arc::new(group))),
            Err(error) => {
                tracing::warn!(%error, "a sandbox runs without control groups: its limits are only sampled");
                Self(None)
            }
        }
    }

    async fn end(mut self) {
        let Some(group) = self.0.take() else { return };
        let removed = tokio::task::spawn_blocking(move || group.remove()).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "a sandbox's control group could not be removed");
        }
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        let Some(group) = self.0.take() else { return };
        group.kill();
        std::thread::spawn(move || group.remove());
    }
}

/// A bubblewrap that runs.
pub(super) struct Started {
    pub(super) child: Child,
    /// Where it says which process is the first inside, and with which code the command ended.
    pub(super) status: OwnedFd,
}

async fn start_child(
    session: &BubblewrapSession,
    command: &Command,
    egress: Option<&Path>,
    group: Option<&Group>,
) -> Result<Started, SandboxError> {
    let setup = |error: io::Error| SandboxError::Setup { reason: error.to_string() };
    let (tree, owner) = (session.tree(), session.owner());
    let shared: &Shared = &session.shared;
    let mut plan = Plan::new(owner, shared.stages);
    let inside = Inside { shared, tree: &tree, owner, command, egress };
    let mut arguments = inside.arguments(&mut plan).map_err(setup)?;
    for filter in &shared.filters {
        let fd = plan.inherit(in_memory(filter).map_err(setup)?);
        arguments.extend(["--add-seccomp-fd".into(), fd.to_string().into()]);
    }
    let (status, status_end) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|error| setup(error.into()))?;
    let status_end = plan.inherit(status_end);
    arguments.extend(["--json-status-fd".into(), status_end.to_string().into()]);
    let arguments = plan.inherit(in_memory(&separated(&arguments)).map_err(setup)?);
    plan.limits = limits(&command.limits, owner, group);
    if let Some(group) = group {
        plan.doors = group.doors().map_err(setup)?;
    }

    let mut bubblewrap = tokio::process::Command::new(&shared.options.bubblewrap);
    bubblewrap.args(["--args", &arguments.to_string(), "--"]).args(inside.command());
    bubblewrap.env_clear().current_dir("/").kill_on_drop(true);
    bubblewrap.stdin(if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    bubblewrap.stdout(Stdio::piped()).stderr(Stdio::piped());
    plan.attach(&mut bubblewrap);
    let child = launch::start(bubblewrap).await.map_err(|error| {
        let program = shared.options.bubblewrap.display();
        SandboxError::Setup { reason: format!("{program} could not be started: {error}") }
    })?;
    Ok(Started { child, status })
}

/// The limits that the kernel keeps for each process, whatever else there is.
fn limits(
    limits: &Limits,
    owner: Owner,
    group: Option<&Group>,
) -> Vec<(libc::__rlimit_resource_t, u64, u64)> {
    let cpu = limits.cpu.as_secs() + u64::from(limits.cpu.subsec_nanos() > 0);
    let mut list = vec![
        (libc::RLIMIT_CORE, 0, 0),
        (libc::RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
        (libc::RLIMIT_CPU, cpu, cpu + 1),
        (libc::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (libc::RLIMIT_MSGQUEUE, 0, 0),
    ];
    if matches!(owner, Owner::Reserved(_)) {
        // A little more than the control group allows, whose refusals are counted and so can be reported.
        let processes = u64::from(limits.processes) + if group.is_some() { 32 } else { 3 };
        list.push((libc::RLIMIT_NPROC, processes, processes));
    }
    if !group.is_some_and(Group::limits_memory) {
        // Unlike RLIMIT_AS this counts what is written to and not what is only reserved, so that Node and
        // the JVM start.
        list.push((libc::RLIMIT_DATA, limits.memory_bytes, limits.memory_bytes));
    }
    list
}

const OPEN_FILES: u64 = 16_384;

fn check(command: &Command, tree: &Path) -> Result<(), SandboxError> {
    let invalid = |reason: String| Err(SandboxError::InvalidCommand { reason });
    let Some(program) = command.argv.first() else { return invalid("it is empty".into()) };
    if program.is_empty() || program.starts_with('-') {
        return invalid(format!("{program:?} is not the name of a program"));
    }
    let env = command.env.iter().flat_map(|(name, value)| [name, value]);
    if command.argv.iter().chain(env).any(|text| text.contains('\0')) {
        return invalid("an argument or a variable holds a zero byte".into());
    }
    if let Some(name) = command.env.keys().find(|name| name.is_empty() || name.contains('=')) {
        return invalid(format!("{name:?} is not the name of a variable"));
    }
    if let Some(cwd) = &command.cwd
        && !matches!(kind_below(tree, Path::new(cwd.as_str())), Ok(Some(Kind::Folder)))
    {
        return Err(SandboxError::NoSuchFolder(cwd.clone()));
    }
    let places = command.mounts.iter().map(|mount| &mount.inside).chain(&command.scratch);
    for inside in places {
        let plain = inside.components().all(|part| !matches!(part, std::path::Component::ParentDir));
        if !inside.is_absolute() || !plain || inside.parent().is_none() {
            return invalid(format!("{} is not a place to mount at", inside.display()));
        }
        if let Ok(below) = inside.strip_prefix(WORK)
            && kind_below(tree, below).is_err()
        {
            return invalid(format!("{} leads through a link of the tree", inside.display()));
        }
    }
    Ok(())
}

/// What lies at a path of the tree; `None` is nothing, an error is a link on the way or at its end.
fn kind_below(tree: &Path, below: &Path) -> io::Result<Option<Kind>> {
    let mut folder = walk::open_root(tree)?;
    let mut found = Kind::Folder;
    for part in below {
        if found != Kind::Folder {
            return Ok(None);
        }
        found = match walk::stat(&folder, part) {
            Ok(stat) => walk::kind(&stat),
            Err(nix::errno::Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match found {
            Kind::Folder => folder = walk::open_folder(&folder, part)?,
            Kind::Link => return Err(nix::errno::Errno::ELOOP.into()),
            Kind::File | Kind::Special(_) => {}
        }
    }
    Ok(Some(found))
}

fn give_mounts(command: &Command, owner: Owner) -> Result<(), SandboxError> {
    let Some(uid) = owner.uid() else { return Ok(()) };
    for mount in command.mounts.iter().filter(|mount| mount.access == Access::ReadWrite) {
        let give = || -> io::Result<()> {
            let folder = walk::open_root(&mount.host)?;
            nix::unistd::fchown(folder.as_fd(), Some(uid.into()), Some(uid.into()))?;
            Ok(())
        };
        give().map_err(SandboxError::io(format!("giving {} to a sandbox", mount.host.display())))?;
    }
    Ok(())
}

async fn proxy(session: &BubblewrapSession, command: &Command) -> Result<Option<Proxy>, SandboxError> {
    let Network::AllowList(hosts) = &command.network else { return Ok(None) };
    let folder = session.folder().map(|folder| folder.path().to_path_buf()).unwrap_or_default();
    let proxy = Proxy::start(folder.join("egress.sock"), hosts.clone(), session.owner()).await;
    proxy.map(Some).map_err(SandboxError::io("starting the egress proxy"))
}

/// How the command ended, as its own first process reported it.
fn exit(heard: &Heard, killed_for_memory: bool) -> Result<Exit, SandboxError> {
    if let Some(code) = heard.code {
        return Ok(if (129..=192).contains(&code) { Exit::Signal(code - 128) } else { Exit::Code(code) });
    }
    // Without a report the command never began, or was ended from outside together with bubblewrap.
    if heard.limit.is_some() || killed_for_memory {
        return Ok(Exit::Signal(libc::SIGKILL));
    }
    Err(SandboxError::Setup { reason: setup_failure(heard.status, &heard.stderr.text()) })
}

fn setup_failure(status: Option<ExitStatus>, stderr: &str) -> String {
    let said = stderr.lines().map(|line| line.trim_start_matches("bwrap: ")).collect::<Vec<_>>().join("; ");
    let status = status.map_or("it did not end".to_owned(), |status| status.to_string());
    let said = if said.is_empty() { "it said nothing" } else { &said };
    format!("bubblewrap ended before the command did ({status}): {said}")
}

/// Limits that only show in how the command ended.
fn limit_by_signs(
    exit: Exit,
    heard: &Heard,
    counted: super::cgroup::Counted,
    limits: &Limits,
) -> Option<LimitHit> {
    let cpu = counted.cpu.unwrap_or(heard.watch.cpu);
    match exit {
        _ if counted.killed_for_memory => Some(LimitHit::Memory),
        Exit::Signal(libc::SIGXFSZ) => Some(LimitHit::FileSize),
        Exit::Signal(libc::SIGXCPU) => Some(LimitHit::Cpu),
        _ if cpu > limits.cpu => Some(LimitHit::Cpu),
        _ if counted.refused_processes => Some(LimitHit::Processes),
        _ => None,
    }
}
