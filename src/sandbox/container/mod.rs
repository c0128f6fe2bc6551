//! Sandboxes made by a container engine through the Docker API: Docker, Podman, and gVisor as a runtime.
//!
//! A session is a volume with the tree; each command is a container of its own on that volume, without
//! network, with a read-only root, no capabilities and no way to new ones. In each container this program is
//! the first process ([`super::supervise`]): it writes the tree, runs the command and watches it, or sends
//! the tree back. The engine's own copying, which follows paths of the tree as root, is not used.

mod exchange;
mod probe;
mod running;
mod session;
mod spec;
mod sweep;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use bollard::models::VolumeCreateRequest;
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::future::BoxFuture;

use super::copy_out::{Opened, TreeLimits};
use super::deployment::{DEPLOYMENT_LABEL, SESSION_LABEL, is_digest, prepare};
use super::identity::Identity;
use super::leftovers::SessionFolder;
use super::model::{Backend, Sandbox, SandboxError, Session};
use super::probe::ProbeReport;
use super::tree;
use crate::workspace::Snapshot;
use session::ContainerSession;

pub(super) const BACKEND: &str = "the container engine";
/// Longest wait for one answer of the engine, in seconds.
const PATIENCE: u64 = 120;

/// What the operator and the program decide about containers.
#[derive(Debug, Clone)]
pub struct ContainerOptions {
    /// Where sessions keep what is not the tree. Made if missing; used by this product only. The engine has
    /// to see it, and this program, at the same paths.
    pub work_root: PathBuf,
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// The image, by digest: `name@sha256:…` or `sha256:…`.
    pub image: String,
    /// The engine's runtime, such as `runsc`; `None` is its default.
    pub runtime: Option<String>,
    pub program: PathBuf,
    /// Certificates for set-up steps with network, where the image's own do not suffice.
    pub ca_bundle: Option<PathBuf>,
    /// User ids for sandboxes when this program runs as root.
    pub user_ids: RangeInclusive<u32>,
    pub tree_limits: TreeLimits,
}

/// Sandboxes made by a container engine.
#[derive(Clone)]
pub struct Container {
    shared: Arc<Shared>,
}

/// What all sessions share.
struct Shared {
    options: ContainerOptions,
    docker: Docker,
    engine: Engine,
    image: Image,
    /// This deployment's own name: engines are shared, and so are names of sessions.
    deployment: String,
}

/// What the engine says about itself.
#[derive(Debug, Clone, Default)]
struct Engine {
    name: String,
    is_podman: bool,
    is_rootless: bool,
    limits_memory: bool,
    limits_processes: bool,
    runtime: Option<String>,
    security: Vec<String>,
}

#[derive(Debug, Clone)]
struct Image {
    id: String,
    env: Vec<(String, String)>,
}

fn unavailable(reason: impl Into<String>) -> SandboxError {
    SandboxError::Unavailable { backend: BACKEND, reason: reason.into() }
}

/// An error of the engine while it was asked for something.
fn engine_error(doing: &'static str) -> impl FnOnce(bollard::errors::Error) -> SandboxError {
    move |error| SandboxError::Setup { reason: format!("{doing}: {error}") }
}

impl Container {
    /// Connects to the engine, checks the image and prepares the work root.
    ///
    /// # Errors
    /// When the engine does not answer, does not have the image or the runtime, or the image is none that a
    /// sandbox can be made of.
    pub async fn connect(options: ContainerOptions) -> Result<Self, SandboxError> {
        let socket = options.socket.display().to_string();
        let docker = Docker::connect_with_unix(&socket, PATIENCE, API_DEFAULT_VERSION)
            .map_err(|error| unavailable(format!("{socket}: {error}")))?;
        let docker = docker.negotiate_version().await;
        let docker = docker.map_err(|error| unavailable(format!("{socket} does not answer: {error}")))?;
        let engine = Engine::ask(&docker, options.runtime.as_deref()).await?;
        let image = Image::find(&docker, &options.image).await?;
        let root = &options.work_root;
        let deployment = prepare(root).map_err(SandboxError::io(format!("preparing {}", root.display())))?;
        Ok(Self { shared: Arc::new(Shared { docker, engine, image, deployment, options }) })
    }

    async fn open_session(&self, snapshot: &Snapshot) -> Result<Box<dyn Session>, SandboxError> {
        tree::refuse_files_that_are_folders(snapshot)?;
        let shared = Arc::clone(&self.shared);
        let identity = Identity::claim(&shared.options.user_ids)?;
        let folder = SessionFolder::create(&shared.options.work_root)
            .map_err(SandboxError::io("making a folder for a sandbox"))?;
        let volume = folder.name();
        let labels = shared.labels(&volume);
        let session = ContainerSession::new(shared, folder, identity, Opened::of(snapshot));
        // From here on the session's end removes what is there, also when the rest fails.
        let request = VolumeCreateRequest {
            name: Some(volume),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        let created = self.shared.docker.create_volume(request).await;
        created.map_err(engine_error("making a volume for the tree"))?;
        session.unpack(snapshot).await?;
        Ok(Box::new(session))
    }
}

impl Shared {
    fn labels(&self, session: &str) -> HashMap<String, String> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        HashMap::from([pair(DEPLOYMENT_LABEL, &self.deployment), pair(SESSION_LABEL, session)])
    }
}

impl Sandbox for Container {
    fn open<'a>(&'a self, tree: &'a Snapshot) -> BoxFuture<'a, Result<Box<dyn Session>, SandboxError>> {
        Box::pin(self.open_session(tree))
    }
}

impl Backend for Container {
    fn sweep(&self) -> BoxFuture<'_, Result<usize, SandboxError>> {
        Box::pin(sweep::sweep(&self.shared))
    }

    fn probe(&self) -> BoxFuture<'_, ProbeReport> {
        Box::pin(probe::probe(self, &self.shared))
    }
}

impl Engine {
    async fn ask(docker: &Docker, runtime: Option<&str>) -> Result<Self, SandboxError> {
        let version = docker.version().await.map_err(engine_error("asking for the engine's version"))?;
        let info = docker.info().await.map_err(engine_error("asking what the engine can do"))?;
        let mut names = version.components.iter().flatten().map(|component| component.name.as_str());
        let is_podman = names.any(|name| name.starts_with("Podman"));
        let name = if is_podman { "Podman" } else { "Docker" };
        let security = info.security_options.unwrap_or_default();
        let default = info.default_runtime.unwrap_or_default();
        if let Some(wanted) = runtime.filter(|wanted| *wanted != default) {
            if is_podman {
                return Err(unavailable(format!(
                    "Podman's service takes no runtime from its API and runs `{default}`: start it with \
                     `podman --runtime {wanted} system service`"
                )));
            }
            if !info.runtimes.as_ref().is_some_and(|known| known.contains_key(wanted)) {
                return Err(unavailable(format!("it knows no runtime {wanted}: add it to its daemon.json")));
            }
        }
        Ok(Self {
            name: format!("{name} {}", version.version.unwrap_or_default()),
            is_podman,
            is_rootless: security.iter().any(|option| option.contains("rootless")),
            limits_memory: info.memory_limit.unwrap_or(false),
            limits_processes: info.pids_limit.unwrap_or(false),
            runtime: runtime.filter(|wanted| *wanted != default).map(str::to_owned),
            security,
        })
    }
}

impl Image {
    async fn find(docker: &Docker, name: &str) -> Result<Self, SandboxError> {
        if !is_digest(name) {
            return Err(unavailable(format!(
                "the image {name} is not named by its digest (name@sha256:… or sha256:…), so it could change \
                 from one task to the next"
            )));
        }
        let image = match docker.inspect_image(name).await {
            Ok(image) => image,
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                return Err(unavailable(format!("it has no image {name}: pull or build it there first")));
            }
            Err(error) => return Err(engine_error("asking for the image")(error)),
        };
        let config = image.config.unwrap_or_default();
        if let Some(volume) = config.volumes.unwrap_or_default().first() {
            return Err(unavailable(format!(
                "the image {name} declares the volume {volume}, which commands could fill without limit: build \
                 it without VOLUME"
            )));
        }
        let env = config.env.unwrap_or_default();
        let env = env.iter().filter_map(|line| line.split_once('='));
        let id = image.id.ok_or_else(|| unavailable("it does not say which image it has"))?;
        Ok(Self { id, env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() })
    }
}
