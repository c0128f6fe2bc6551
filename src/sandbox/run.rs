//! One command: started, fed, listened to, watched, and ended with everything that it started.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Instant;

use nix::libc;
use tokio::process::Child;
use tokio::sync::OwnedMutexGuard;

use super::arguments::{Inside, in_memory, separated};
use super::bubblewrap::Shared;
use super::capture::Captured;
use super::cgroup::{Group, OWN_PROCESSES};
use super::check;
use super::egress::Proxy;
use super::etc;
use super::launch::{self, Plan};
use super::listen::{Heard, listen};
use super::model::{Access, Command, Exit, Limits, Outcome, SandboxError};
use super::rlimits::{self, Memory};
use super::session::BubblewrapSession;
use super::watch::{Watch, limit_by_signs};
use crate::workspace::aside;

/// Runs a command. The session's turn is held until all of it is gone, also when the future is dropped.
pub(super) async fn run(
    session: &BubblewrapSession,
    command: &Command,
    turn: OwnedMutexGuard<()>,
) -> Result<Outcome, SandboxError> {
    let tree = session.tree();
    check::check(command)?;
    check::check_in(command, &tree)?;
    check::give_mounts(command, session.owner())?;
    let proxy = Proxy::of(command, session.folder(), session.owner()).await?;
    let group = Grouped::create(session, &command.limits, turn);
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
    let cpu = counted.cpu.unwrap_or(heard.watch.cpu);
    let limit = heard.limit.or_else(|| limit_by_signs(exit, cpu, counted, &command.limits));
    Ok(Outcome {
        exit,
        limit,
        cpu,
        peak_memory_bytes: counted.peak_memory.unwrap_or(heard.watch.peak_memory),
        stdout: heard.stdout,
        stderr: heard.stderr,
        wall,
        egress,
    })
}

/// The group of a command, emptied and removed whichever way the command ends.
struct Grouped(Option<Arc<Group>>, Option<OwnedMutexGuard<()>>);

impl Grouped {
    fn create(session: &BubblewrapSession, limits: &Limits, turn: OwnedMutexGuard<()>) -> Self {
        let Some(folder) = session.folder() else { return Self(None, Some(turn)) };
        match session.shared.places.create(&folder.name(), limits) {
            Ok(group) => Self(Some(Arc::new(group)), Some(turn)),
            Err(error) => {
                tracing::warn!(%error, "a sandbox runs without control groups: its limits are only sampled");
                Self(None, Some(turn))
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
        // The next command's group has the same name.
        let turn = self.1.take();
        std::thread::spawn(move || {
            let removed = group.remove();
            drop(turn);
            removed
        });
    }
}

/// A bubblewrap that runs.
pub(super) struct Started {
    pub(super) child: Child,
    /// Where it says which process is the first inside, and with which code the command ended.
    pub(super) status: OwnedFd,
    /// The folder for output that is longer than what is kept in memory.
    pub(super) spool: PathBuf,
    /// Kept until the command has ended.
    pub(super) _etc: Arc<etc::Copy>,
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
    let etc = aside(|| shared.etc.copy()).map_err(SandboxError::io("copying /etc"))?;
    let inside = Inside { shared, tree: &tree, etc: &etc.folder(), owner, command, egress };
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
    let counted = group.is_some_and(Group::limits_processes);
    let processes = owner.uid().map(|_| most_of_user(command.limits.processes, counted));
    let memory = match group.is_some_and(Group::limits_memory) {
        true => Memory::Grouped,
        false => Memory::PerProcess,
    };
    plan.limits = rlimits::of(&command.limits, processes, memory);
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
    let spool = session.folder().map(|folder| folder.path().to_path_buf()).unwrap_or_default();
    Ok(Started { child, status, spool, _etc: etc })
}

/// The most processes that a session's user may have. Where the control group counts what it refuses, it has
/// to be the one that refuses: the kernel counts a fork for the user first and asks the group later, so that the
/// user has twice as many for a moment when every process forks at once.
fn most_of_user(processes: u32, counted: bool) -> u64 {
    let most = u64::from(processes) + OWN_PROCESSES;
    if counted { 2 * most } else { most }
}

/// How the command ended, as its own first process reported it.
fn exit(heard: &Heard, killed_for_memory: bool) -> Result<Exit, SandboxError> {
    if heard.limit.is_none()
        && let Some(code) = not_started(heard.code, &heard.stderr)
    {
        return Ok(Exit::Code(code));
    }
    if let Some(code) = heard.code {
        return Ok(if (129..=192).contains(&code) { Exit::Signal(code - 128) } else { Exit::Code(code) });
    }
    // Without a report the command never began, or was ended from outside together with bubblewrap.
    if heard.limit.is_some() || killed_for_memory {
        return Ok(Exit::Signal(libc::SIGKILL));
    }
    Err(SandboxError::Setup { reason: setup_failure(heard.status, &heard.stderr.text()) })
}

/// The code that a shell gives where the program cannot be started. bubblewrap says so, and reports no code or
/// its own 1. A command that says the same gains nothing: it may as well end with that code.
fn not_started(code: Option<i32>, stderr: &Captured) -> Option<i32> {
    if code.is_some_and(|code| code != 1) || stderr.total_bytes() > 8192 {
        return None;
    }
    let said = stderr.text();
    let line = said.strip_prefix("bwrap: execvp ")?.strip_suffix('\n').filter(|line| !line.contains('\n'))?;
    if line.ends_with(": No such file or directory") {
        return Some(127);
    }
    line.ends_with(": Permission denied").then_some(126)
}

fn setup_failure(status: Option<ExitStatus>, stderr: &str) -> String {
    let said = stderr.lines().map(|line| line.trim_start_matches("bwrap: ")).collect::<Vec<_>>().join("; ");
    let status = status.map_or("it did not end".to_owned(), |status| status.to_string());
    let said = if said.is_empty() { "it said nothing" } else { &said };
    format!("bubblewrap ended before the command did ({status}): {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_counts_refuses_first_also_when_every_process_forks_at_once() {
        let in_the_group = 40 + OWN_PROCESSES;
        assert!(most_of_user(40, true) >= 2 * in_the_group);
        assert_eq!(most_of_user(40, false), in_the_group);
    }
}
