//! A Kubernetes API on this machine that is as strict as a real one about what the sandbox asks of it, and
//! whose only node really runs the pods, in the tests' own container engine.
//!
//! It knows what the sandbox uses: Jobs, their pods, attaching by WebSocket, network policies, reviews of
//! rights, and what is said where one of these is refused. Schedulers, quotas and network plug-ins it has not:
//! tests put their words into its mouth.

mod api;
mod attach;
mod checks;
pub mod manifest;
mod node;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use serde_json::{Value, json};

pub const NAMESPACE: &str = "sandboxes";
pub const TOKEN: &str = "a-token-of-the-tests";
/// Where the image has our program.
pub const PROGRAM: &str = "/usr/local/bin/orchestrator";

#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    address: std::net::SocketAddr,
    state: Mutex<State>,
    behaviour: Behaviour,
    /// A folder of the node's own, for volumes.
    disk: tempfile::TempDir,
}

/// What is different from a cluster in which all is well.
#[derive(Default)]
pub struct Behaviour {
    /// Answers by method and the end of the path, given so many times.
    pub answers: Vec<(&'static str, &'static str, u32, Value)>,
    /// The status of every pod, none of which is ever started.
    pub pods_stay: Option<Value>,
    /// Pods are never made: the job's status.
    pub jobs_stay: Option<Value>,
    /// Added to the status of a pod whose container has ended.
    pub pods_end: Option<Value>,
    /// Connections break when this is told.
    pub cut: Option<Arc<tokio::sync::Notify>>,
    /// Nobody is attached before the pod has ended.
    pub attaches_late: bool,
    /// Rights that reviews deny, as `verb resource`.
    pub denied: Vec<&'static str>,
    pub policy: Policy,
    /// What the namespace has beside ours.
    pub other_policies: Vec<Value>,
    /// What the image has at [`PROGRAM`]; `None` is our program.
    pub program: Option<PathBuf>,
}

#[derive(Default, PartialEq, Eq)]
pub enum Policy {
    #[default]
    Enforced,
    /// It is there and nothing enforces it.
    Ignored,
    Missing,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<String, Value>,
    pods: BTreeMap<String, Pod>,
    given: BTreeMap<usize, u32>,
}

struct Pod {
    object: Value,
    /// Taken by whoever attaches first.
    streams: Option<node::Streams>,
    container: Option<String>,
}

impl Cluster {
    /// The cluster of this test program, in which all is well.
    pub fn get() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(|| Self::start(Behaviour::default()))
    }

    /// One of its own.
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let disk = tempfile::tempdir().expect("a folder");
        let address = listener.local_addr().expect("an address");
        let state = Mutex::default();
        let cluster = Self { shared: Arc::new(Shared { address, state, behaviour, disk }) };
        let served = cluster.clone();
        // Tests have a runtime each; this one outlives all of them.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, api::router(served)).await.expect("served");
            });
        });
        cluster
    }

    /// Writes a kubeconfig for it.
    pub fn kubeconfig(&self, file: &Path) {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "contexts": [{ "name": "tests", "context": { "cluster": "tests", "user": "bot", "namespace": NAMESPACE } }],
            "clusters": [{ "name": "tests", "cluster": { "server": format!("http://{}", self.shared.address) } }],
            "users": [{ "name": "bot", "user": { "token": TOKEN } }],
        });
        std::fs::write(file, config.to_string()).expect("a kubeconfig");
    }

    /// The jobs and pods of a deployment.
    pub fn of_deployment(&self, work_root: &Path) -> Vec<String> {
        let deployment = std::fs::read_to_string(work_root.join("deployment")).unwrap_or_default();
        let state = self.state();
        let own =
            |object: &Value| object["metadata"]["labels"]["orchestrator.deployment"] == deployment.as_str();
        let jobs = state.jobs.iter().filter(|(_, job)| own(job)).map(|(name, _)| name.clone());
        let pods = state.pods.iter().filter(|(_, pod)| own(&pod.object)).map(|(name, _)| name.clone());
        jobs.chain(pods).collect()
    }

    /// The node's folder for the tree of a deployment's pod.
    pub fn work_of(&self, work_root: &Path) -> Option<PathBuf> {
        let names = self.of_deployment(work_root);
        names
            .iter()
            .map(|name| self.shared.disk.path().join(name).join("work"))
            .find(|folder| folder.exists())
    }

    fn has_ended(&self, pod: &str) -> bool {
        let state = self.state();
        state
            .pods
            .get(pod)
            .is_none_or(|pod| ["Failed", "Succeeded"].iter().any(|end| pod.object["status"]["phase"] == *end))
    }

    /// The jobs as they were asked for.
    pub fn jobs(&self) -> Vec<Value> {
        self.state().jobs.values().cloned().collect()
    }

    /// The containers that pods run in.
    pub fn containers(&self) -> Vec<String> {
        self.state().pods.values().filter_map(|pod| pod.container.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no test broke it")
    }
}
