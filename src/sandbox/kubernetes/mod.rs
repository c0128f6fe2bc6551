//! Sandboxes as Kubernetes Jobs.
//!
//! A session is a Job with one pod, without network, service account or privileges. Its first process is this
//! program ([`super::supervise`]), which serves the session's commands one after the other over one attached
//! connection: nothing of the host's disk is visible there, so trees and mounts are carried as bytes, and so
//! are the connections to the egress proxy. When the connection ends the pod does.

mod attach;
mod errors;
mod mounts;
mod pod;
mod policies;
mod probe;
mod session;
mod spec;
mod sweep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::copy_out::{Opened, TreeLimits};
use super::deployment::{is_digest, prepare};
use super::leftovers::SessionFolder;
use super::model::{Backend, Limits, Sandbox, SandboxError, Session};
use super::probe::ProbeReport;
use super::tree;
use crate::workspace::Snapshot;
use errors::unavailable;
use session::PodSession;

pub(super) const BACKEND: &str = "Kubernetes";
/// The policy that keeps the network from sandboxes. deploy/kubernetes/sandbox.yaml makes it.
pub(super) const POLICY: &str = "orchestrator-sandbox";

/// What the operator and the program decide about pods.
#[derive(Debug, Clone)]
pub struct KubernetesOptions {
    /// Where sessions keep output, and the lock that says that they live. Used by this product only.
    pub work_root: PathBuf,
    /// `None`: the service account of the pod that this program runs in, or the usual kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; `None` is its current one.
    pub context: Option<String>,
    pub namespace: String,
    /// The image, by digest: `name@sha256:…`. It holds this very program.
    pub image: String,
    /// Where that program is in the image.
    pub program: PathBuf,
    /// Such as that of gVisor; `None` is the cluster's default.
    pub runtime_class: Option<String>,
    /// Whether pods get a user namespace of their own. Nodes have to be able to.
    pub user_namespaces: UserNamespaces,
    /// Labels of the nodes that may run sandboxes.
    pub node_selector: BTreeMap<String, String>,
    /// Processors that a pod may use.
    pub cpus: u32,
    /// The most that any command of a session gets: a pod has to be made before its commands are known.
    pub limits: Limits,
    /// Longest wait for a pod to run, the pull of its image included.
    pub start_time: Duration,
    /// Certificates for set-up steps with network, where the image's own do not suffice.
    pub ca_bundle: Option<PathBuf>,
    pub tree_limits: TreeLimits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserNamespaces {
    Own,
    Nodes,
}

/// Sandboxes as Kubernetes Jobs.
#[derive(Clone)]
pub struct Kubernetes {
    shared: Arc<Shared>,
}

/// What all sessions share.
struct Shared {
    options: KubernetesOptions,
    client: Client,
    /// This deployment's own name: clusters are shared, and so are names of sessions.
    deployment: String,
}

impl Shared {
    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), &self.options.namespace)
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.options.namespace)
    }
}

impl Kubernetes {
    /// Connects to the API and prepares the work root.
    ///
    /// # Errors
    /// When there is no way to the API, it refuses us, the image is not named by its digest, or the namespace's
    /// policies do not keep the network from sandboxes.
    pub async fn connect(options: KubernetesOptions) -> Result<Self, SandboxError> {
        if !is_digest(&options.image) {
            return Err(unavailable(format!(
                "the image {} is not named by its digest (name@sha256:…), so it could change from one task to \
                 the next",
                options.image
            )));
        }
        let config = configuration(&options).await?;
        let client =
            Client::try_from(config).map_err(|error| unavailable(format!("its configuration: {error}")))?;
        policies::check(&client, &options.namespace).await?;
        let root = &options.work_root;
        let deployment = prepare(root).map_err(SandboxError::io(format!("preparing {}", root.display())))?;
        Ok(Self { shared: Arc::new(Shared { options, client, deployment }) })
    }

    async fn open_session(&self, snapshot: &Snapshot) -> Result<Box<dyn Session>, SandboxError> {
        tree::refuse_files_that_are_folders(snapshot)?;
        let shared = Arc::clone(&self.shared);
        // Somebody may have added one since the start.
        policies::check(&shared.client, &shared.options.namespace).await?;
        let folder = SessionFolder::create(&shared.options.work_root)
            .map_err(SandboxError::io("making a folder for a sandbox"))?;
        let session = PodSession::start(shared, folder, Opened::of(snapshot)).await?;
        session.unpack(snapshot).await?;
        Ok(Box::new(session))
    }
}

async fn configuration(options: &KubernetesOptions) -> Result<Config, SandboxError> {
    let chosen = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let config = match &options.kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(file);
            let read = read.map_err(|error| unavailable(format!("{}: {error}", file.display())))?;
            Config::from_custom_kubeconfig(read, &chosen).await.map_err(|error| error.to_string())
        }
        None if options.context.is_some() => {
            Config::from_kubeconfig(&chosen).await.map_err(|error| error.to_string())
        }
        None => Config::infer().await.map_err(|error| error.to_string()),
    };
    config.map_err(|error| {
        unavailable(format!(
            "there is no way to its API: {error}. Run in a pod with a service account, or name a kubeconfig in \
             sandbox.kubernetes.kubeconfig"
        ))
    })
}

impl Sandbox for Kubernetes {
    fn open<'a>(&'a self, tree: &'a Snapshot) -> BoxFuture<'a, Result<Box<dyn Session>, SandboxError>> {
        Box::pin(self.open_session(tree))
    }
}

impl Backend for Kubernetes {
    fn sweep(&self) -> BoxFuture<'_, Result<usize, SandboxError>> {
        Box::pin(sweep::sweep(&self.shared))
    }

    fn probe(&self) -> BoxFuture<'_, ProbeReport> {
        Box::pin(probe::probe(self, &self.shared))
    }
}
