//! The words of the sandbox: commands, limits, outcomes, and the two traits that a backend implements.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;

use super::capture::Captured;
use super::copy_out::{ReadBack, RefusedEntry};
use super::egress::{EgressRecord, HostName};
use super::probe::ProbeReport;
use crate::workspace::{RepoPath, Snapshot};

/// A place where strangers' code runs.
pub trait Sandbox: Send + Sync {
    /// Makes a session whose `/tree` holds the files of `tree`, and nothing else.
    fn open<'a>(&'a self, tree: &'a Snapshot) -> BoxFuture<'a, Result<Box<dyn Session>, SandboxError>>;
}

/// What makes sandboxes on this machine: what a deployment starts with and `doctor` asks.
pub trait Backend: Sandbox {
    /// Removes what sessions of dead processes left behind; gives how many there were.
    fn sweep(&self) -> BoxFuture<'_, Result<usize, SandboxError>>;

    /// What works here, what is weaker than it could be, and how to mend it.
    fn probe(&self) -> BoxFuture<'_, ProbeReport>;
}

/// One tree in a sandbox. Commands of one session run one after the other and see each other's files;
/// sessions see nothing of each other. Dropping a session removes it too, as well as it can.
pub trait Session: Send + Sync {
    /// Runs one command to its end, or to the limit that it hits. Every process that it started is dead
    /// when this returns, and also when the future is dropped.
    ///
    /// An `Err` means that nothing can be said about the command; a command that fails is an [`Outcome`].
    fn run<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Outcome, SandboxError>>;

    /// Copies the tree out as bytes, without following links.
    fn read_back(&self) -> BoxFuture<'_, Result<ReadBack, SandboxError>>;

    /// Removes the session's files.
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<(), SandboxError>>;
}

/// Ends a session of which all is known. What cannot be removed now is found by a later sweep: no result is
/// thrown away for it.
pub async fn close(session: Box<dyn Session>) {
    if let Err(error) = session.close().await {
        tracing::warn!(%error, "a sandbox could not be removed; a later sweep will try again");
    }
}

/// A command to run inside.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// Program and arguments. The program is looked up in the sandbox's `PATH`; one that is not there
    /// ends with code 127, one that cannot be executed with 126, as in a shell.
    pub argv: Vec<String>,
    /// Added to the sandbox's own small environment, and stronger than it.
    pub env: BTreeMap<String, String>,
    /// The folder of the tree to run in; `None` is its root.
    pub cwd: Option<RepoPath>,
    /// Given to the command as standard input; `None` is an empty input.
    pub stdin: Option<Vec<u8>>,
    pub limits: Limits,
    pub network: Network,
    pub mounts: Vec<Mount>,
    /// Empty writable folders in memory, on top of everything else, gone with the command. A place in a
    /// read-only mount has to exist there.
    pub scratch: Vec<PathBuf>,
}

impl Command {
    /// A command with default limits, without network.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// What a command may use. Each holds for the command and all its descendants together, unless it says
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Time on the clock. Default 10 minutes.
    pub wall: Duration,
    /// Processor time. Default 30 minutes.
    pub cpu: Duration,
    /// Memory, files in `/tmp` included. Default 4 GiB.
    pub memory_bytes: u64,
    /// Processes and threads. Default 512.
    pub processes: u32,
    /// Size of any one file that is written. Default 1 GiB.
    pub file_bytes: u64,
    /// Space that the tree takes on disk. Default 8 GiB. Measured about twice a second, so a fast writer
    /// can overshoot by what it writes between two looks.
    pub disk_bytes: u64,
    /// Bytes written to standard output and standard error together, after which the command is ended.
    /// Default 64 MiB. What is kept of them is less, see [`Captured`].
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(10 * 60),
            cpu: Duration::from_secs(30 * 60),
            memory_bytes: 4 << 30,
            processes: 512,
            file_bytes: 1 << 30,
            disk_bytes: 8 << 30,
            output_bytes: 64 << 20,
        }
    }
}

/// What a command may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Network {
    /// A loopback interface of its own and nothing else.
    #[default]
    None,
    /// Besides that, HTTPS to these hosts through a proxy on the host, which records every request.
    AllowList(Vec<HostName>),
    /// Besides that, one server of our own, which listens on this Unix socket of the host. Inside it is
    /// [`SERVICE_INSIDE`](super::SERVICE_INSIDE). Everybody may write to the socket; its folder has to be closed to
    /// others.
    Service(PathBuf),
}

impl Network {
    /// Whether connections are carried to the host.
    pub(super) fn leads_out(&self) -> bool {
        match self {
            Self::None => false,
            Self::AllowList(_) | Self::Service(_) => true,
        }
    }
}

/// A folder or file of the host that is made visible inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub host: PathBuf,
    /// Absolute. Below `/tree` it must not lead through a symbolic link of the tree.
    pub inside: PathBuf,
    pub access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Access {
    ReadOnly,
    /// As root, the folder itself (not what is in it) is given to the session's user first.
    ReadWrite,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Exit {
    Code(i32),
    /// Ended by this signal. A command that itself exits with 128 + n reads the same, as in a shell: a
    /// first process inside has no other way to report a signal.
    Signal(i32),
}

/// The limit that a command hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum LimitHit {
    Wall,
    Cpu,
    Memory,
    Processes,
    FileSize,
    Disk,
    Output,
}

/// What became of a command.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub exit: Exit,
    /// The limit that was hit. [`LimitHit::Processes`], and [`LimitHit::Memory`] when only a child was
    /// killed, can come with any exit; every other one ended the command.
    pub limit: Option<LimitHit>,
    pub stdout: Captured,
    pub stderr: Captured,
    pub wall: Duration,
    /// Processor time of the whole tree of processes; without cgroups it is sampled and so a little low.
    pub cpu: Duration,
    /// The highest use of memory; without cgroups it is sampled.
    pub peak_memory_bytes: u64,
    /// What was asked of the egress proxy, in order.
    pub egress: Vec<EgressRecord>,
}

impl Outcome {
    /// Whether the command ended with code 0 and hit no limit.
    pub fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0) && self.limit.is_none()
    }
}

/// Why the sandbox could not do what it was asked. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("{backend} cannot be used: {reason}")]
    Unavailable { backend: &'static str, reason: String },
    #[error("the sandbox could not be set up: {reason}")]
    Setup { reason: String },
    #[error("the command cannot be run: {reason}")]
    InvalidCommand { reason: String },
    #[error("the tree has no folder {0}")]
    NoSuchFolder(RepoPath),
    #[error("the tree cannot be written to disk: {path}: {reason}")]
    InvalidTree { path: String, reason: String },
    #[error("the sandbox's tree has entries that may not leave it: {}", list(.0))]
    TreeRefused(Vec<RefusedEntry>),
    #[error("the sandbox's tree is too large to read back: {what} (limit {limit})")]
    TreeTooLarge { what: String, limit: u64 },
    #[error("no free user id for a sandbox in {first}..={last}: widen the range or run fewer at once")]
    NoFreeUser { first: u32, last: u32 },
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
}

impl SandboxError {
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

fn list(entries: &[RefusedEntry]) -> String {
    let shown: Vec<String> = entries.iter().take(10).map(ToString::to_string).collect();
    let more = entries.len().saturating_sub(shown.len());
    if more == 0 { shown.join("; ") } else { format!("{}; and {more} more", shown.join("; ")) }
}
