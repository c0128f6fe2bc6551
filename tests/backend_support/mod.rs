//! Every backend that this machine has, under one roof: a place for sandboxes, and a container engine.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod engine;
#[path = "../support/ordinary_user.rs"]
pub mod ordinary_user;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator::sandbox::{
    Backend, Bubblewrap, BubblewrapOptions, Command, Container, ContainerOptions, Limits, Outcome, Session,
    TreeLimits,
};
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

use engine::Engine;
pub use ordinary_user::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bubblewrap,
    Container,
}

/// Makes a test of each claim for each backend. A claim is an `async fn(Place)`.
macro_rules! for_every_backend {
    ($($claim:ident),* $(,)?) => {
        mod bubblewrap {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(super::Place::new(super::Kind::Bubblewrap).await).await;
            })*
        }
        mod container {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(super::Place::new(super::Kind::Container).await).await;
            })*
        }
    };
}
pub(crate) use for_every_backend;

pub struct Place {
    root: tempfile::TempDir,
    pub kind: Kind,
    pub backend: Arc<dyn Backend>,
}

impl Place {
    pub async fn new(kind: Kind) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let backend = backend(kind, root.path(), TreeLimits::default()).await;
        Self { root, kind, backend }
    }

    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        folder
    }

    pub async fn open(&self, files: &[(&str, &str)]) -> Box<dyn Session> {
        self.backend.open(&snapshot(files)).await.expect("a session")
    }

    /// Whether control groups count what a command uses: an ordinary user's bubblewrap samples it.
    pub fn counts(&self) -> bool {
        self.kind != Kind::Bubblewrap || is_root()
    }

    /// What is left of sessions, on disk and at the engine.
    pub fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path().join("work/sessions")).expect("sessions");
        let mut left: Vec<String> =
            entries.map(|entry| entry.expect("an entry").path().display().to_string()).collect();
        if self.kind == Kind::Container {
            left.extend(Engine::get().of_deployment(&self.path().join("work")));
        }
        left
    }

    pub async fn wait_until_nothing_is_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "there stays {left:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub async fn backend(kind: Kind, root: &Path, limits: TreeLimits) -> Arc<dyn Backend> {
    let program = program();
    match kind {
        Kind::Bubblewrap => {
            let mut options = BubblewrapOptions::new(root.join("work"), program);
            options.tree_limits = limits;
            Arc::new(Bubblewrap::new(options).expect("bubblewrap"))
        }
        Kind::Container => {
            let mut options = container_options(root);
            options.tree_limits = limits;
            Arc::new(Container::connect(options).await.expect("a container engine"))
        }
    }
}

pub fn container_options(root: &Path) -> ContainerOptions {
    let engine = Engine::get();
    ContainerOptions {
        work_root: root.join("work"),
        socket: engine.socket.clone(),
        image: engine.image.clone(),
        runtime: None,
        program: program(),
        ca_bundle: None,
        user_ids: 2_130_000_000..=2_130_000_999,
        tree_limits: TreeLimits::default(),
    }
}

pub fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).expect("a path")
}

pub fn snapshot(files: &[(&str, &str)]) -> Snapshot {
    let entry = |text: &str| FileEntry { mode: FileMode::Regular, bytes: text.as_bytes().to_vec() };
    Snapshot { files: files.iter().map(|(name, text)| (path(name), entry(text))).collect() }
}

pub fn shell(script: &str) -> Command {
    let mut command = Command::new(["sh", "-c", script]);
    command.limits = Limits { wall: Duration::from_secs(30), ..Limits::default() };
    command
}

pub async fn sh(session: &dyn Session, script: &str) -> Outcome {
    session.run(&shell(script)).await.expect("ran")
}
