//! Sandboxes made by bubblewrap's command line program.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::cgroup::Places;
use super::copy_out::{Opened, TreeLimits};
use super::etc::Etc;
use super::identity::{self, Identity, has_capability};
use super::launch::Stages;
use super::leftovers::{self, SessionFolder};
use super::model::{Backend, Sandbox, SandboxError, Session};
use super::probe::{self, ProbeReport};
use super::session::BubblewrapSession;
use super::toolchain::Toolchain;
use super::{seccomp, tree};
use crate::workspace::Snapshot;

/// What the operator and the program decide about sandboxes.
#[derive(Debug, Clone)]
pub struct BubblewrapOptions {
    /// Where sessions keep their trees. Made if missing; used by this product only.
    pub work_root: PathBuf,
    /// bubblewrap's program, `bwrap` looked up in `/usr/bin` by default.
    pub bubblewrap: PathBuf,
    /// Our own program, which forwards to the egress proxy inside sandboxes that have one.
    pub program: PathBuf,
    /// Compilers and interpreters that are not below `/usr`; see [`super::detect_toolchains`].
    pub toolchains: Vec<Toolchain>,
    /// Certificates for set-up steps with network, where the system's own do not suffice.
    pub ca_bundle: Option<PathBuf>,
    /// User ids for sandboxes when this program runs as root. They should belong to nobody.
    pub user_ids: RangeInclusive<u32>,
    pub tree_limits: TreeLimits,
}

impl BubblewrapOptions {
    /// Options with defaults: user ids 2,130,000,000 to 2,130,000,999, no toolchains, no bundle.
    pub fn new(work_root: impl Into<PathBuf>, program: impl Into<PathBuf>) -> Self {
        Self {
            work_root: work_root.into(),
            bubblewrap: "/usr/bin/bwrap".into(),
            program: program.into(),
            toolchains: vec![],
            ca_bundle: None,
            user_ids: 2_130_000_000..=2_130_000_999,
            tree_limits: TreeLimits::default(),
        }
    }
}

/// Sandboxes made by bubblewrap.
#[derive(Debug, Clone)]
pub struct Bubblewrap {
    shared: Arc<Shared>,
}

const BACKEND: &str = "bubblewrap";

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: BubblewrapOptions,
    pub(super) features: Features,
    pub(super) places: Places,
    pub(super) etc: Etc,
    pub(super) filters: Vec<Vec<u8>>,
    pub(super) stages: Stages,
}

/// What this bubblewrap can do beyond what is required of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    /// A size for file systems in memory (0.7).
    pub(super) size: bool,
    /// No user namespaces inside (0.8); the system call filter refuses them too.
    pub(super) disable_userns: bool,
}

/// Options without which there is no sandbox; all of them are in bubblewrap 0.5.
const REQUIRED: &[&str] = &["--args", "--json-status-fd", "--add-seccomp-fd", "--perms", "--clearenv"];

impl Bubblewrap {
    /// Checks bubblewrap and prepares the work root. Blocks for a few milliseconds.
    ///
    /// # Errors
    /// When bubblewrap is missing or too old, when this process is root and may not become another user,
    /// and when the work root cannot be prepared.
    pub fn new(options: BubblewrapOptions) -> Result<Self, SandboxError> {
        let features = features(&options.bubblewrap)?;
        let stages = stages()?;
        let filters = seccomp::filters().map_err(|reason| SandboxError::Unavailable {
            backend: BACKEND,
            reason: format!("no system call filter: {reason}"),
        })?;
        let root = &options.work_root;
        prepare(root).map_err(SandboxError::io(format!("preparing {}", root.display())))?;
        let etc = Etc::new(root);
        let shared = Shared { features, places: Places::find(), etc, filters, stages, options };
        Ok(Self { shared: Arc::new(shared) })
    }

    async fn open_session(&self, snapshot: &Snapshot) -> Result<Box<dyn Session>, SandboxError> {
        let identity = Identity::claim(&self.shared.options.user_ids)?;
        let folder = SessionFolder::create(&self.shared.options.work_root)
            .map_err(SandboxError::io("making a folder for a sandbox"))?;
        folder
            .note_groups(&self.shared.places.folders(&folder.name()))
            .map_err(SandboxError::io("noting a sandbox's control groups"))?;
        let owner = identity.owner();
        let mut session = BubblewrapSession::new(self.shared.clone(), folder, identity, Opened::of(snapshot));
        // From here on the session's end removes what is there, also when the rest fails.
        std::os::unix::fs::chown(session.tree(), owner.uid(), owner.gid())
            .map_err(SandboxError::io("giving a sandbox its folder"))?;
        session.written = Arc::new(tree::write(snapshot, &session.tree(), owner)?);
        Ok(Box::new(session))
    }
}

impl Sandbox for Bubblewrap {
    fn open<'a>(&'a self, tree: &'a Snapshot) -> BoxFuture<'a, Result<Box<dyn Session>, SandboxError>> {
        Box::pin(self.open_session(tree))
    }
}

impl Backend for Bubblewrap {
    fn sweep(&self) -> BoxFuture<'_, Result<usize, SandboxError>> {
        let root = self.shared.options.work_root.clone();
        Box::pin(async move {
            let swept = tokio::task::spawn_blocking(move || leftovers::sweep(&root)).await;
            let swept = swept.map_err(io::Error::other).and_then(|swept| swept);
            swept.map_err(SandboxError::io("removing old sandboxes"))
        })
    }

    fn probe(&self) -> BoxFuture<'_, ProbeReport> {
        Box::pin(probe::probe(self, &self.shared))
    }
}

fn features(program: &Path) -> Result<Features, SandboxError> {
    let unavailable = |reason: String| SandboxError::Unavailable { backend: BACKEND, reason };
    let output = Command::new(program).arg("--help").output().map_err(|error| {
        unavailable(format!("{}: {error}. Install the package `bubblewrap`", program.display()))
    })?;
    let help = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let has = |option: &str| help.split_whitespace().any(|word| word == option);
    if let Some(missing) = REQUIRED.iter().find(|option| !has(option)) {
        return Err(unavailable(format!("it has no {missing}: version 0.5 or newer is needed")));
    }
    Ok(Features { size: has("--size"), disable_userns: has("--disable-userns") })
}

/// Root must become another user first: inside a user namespace it would still read what only root may.
fn stages() -> Result<Stages, SandboxError> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(Stages::Direct);
    }
    if !has_capability(identity::CAP_SETUID) {
        let reason = "this process is root but may not become another user (no CAP_SETUID): run it as an \
                      ordinary user"
            .into();
        return Err(SandboxError::Unavailable { backend: BACKEND, reason });
    }
    Ok(if has_capability(identity::CAP_SYS_ADMIN) { Stages::Mounts } else { Stages::Direct })
}

fn prepare(root: &Path) -> io::Result<()> {
    let mut folders = fs::DirBuilder::new();
    folders.recursive(true).mode(0o755);
    folders.create(root.join(leftovers::SESSIONS))?;
    folders.create(root.join(leftovers::SETTINGS))
}
