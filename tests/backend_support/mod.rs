//! Every backend that this machine has, under one roof: a place for sandboxes, a container engine, and a
//! simulated cluster.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test binary uses a part")]

pub mod cluster;
#[path = "../support/commands.rs"]
pub mod commands;
pub mod engine;
#[path = "../support/ordinary_user.rs"]
pub mod ordinary_user;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator::sandbox::{
    Backend, Bubblewrap, BubblewrapOptions, Command, Container, ContainerOptions, Kubernetes,
    KubernetesOptions, Limits, Outcome, Session, TreeLimits, UserNamespaces,
};
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

use cluster::Cluster;
pub use commands::*;
use engine::Engine;
pub use ordinary_user::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bubblewrap,
    Container,
    Kubernetes,
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
        mod kubernetes {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(super::Place::new(super::Kind::Kubernetes).await).await;
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
        if self.kind == Kind::Kubernetes {
            left.extend(Cluster::get().of_deployment(&self.path().join("work")));
        }
        if self.kind != Kind::Bubblewrap {
            left.extend(Engine::get().of_deployment(&self.path().join("work")));
        }
        left
    }

    /// Where a command's file of the tree is now that the host, or the node, can look at.
    pub fn written(&self, name: &str) -> Option<PathBuf> {
        let place = match self.kind {
            Kind::Kubernetes => Cluster::get().work_of(&self.path().join("work"))?.join(name),
            _ => self.path().join(name),
        };
        place.exists().then_some(place)
    }

    pub async fn wait_until_nothing_is_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(120);
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
        Kind::Kubernetes => {
            // A process that is started to be killed uses the cluster of the one that starts it.
            if !root.join("kubeconfig").exists() {
                Cluster::get().kubeconfig(&root.join("kubeconfig"));
            }
            let mut options = kubernetes_options(root);
            options.tree_limits = limits;
            Arc::new(Kubernetes::connect(options).await.expect("a cluster"))
        }
    }
}

pub fn kubernetes_options(root: &Path) -> KubernetesOptions {
    std::fs::create_dir_all(root.join("work")).expect("a folder");
    KubernetesOptions {
        work_root: root.join("work"),
        kubeconfig: Some(root.join("kubeconfig")),
        context: None,
        namespace: cluster::NAMESPACE.into(),
        image: Engine::get().image.clone(),
        program: cluster::PROGRAM.into(),
        runtime_class: None,
        user_namespaces: UserNamespaces::Nodes,
        node_selector: [].into(),
        cpus: 2,
        limits: Limits { memory_bytes: 1 << 30, ..Limits::default() },
        start_time: Duration::from_secs(60),
        ca_bundle: None,
        tree_limits: TreeLimits::default(),
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
