//! The pod of a session: made, waited for, asked how it ended, removed.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use kube::Error;
use kube::api::{DeleteParams, ListParams, PostParams};
use tokio::time::{Instant, sleep};

use super::errors::{api_error, is_gone, patiently};
use super::{Shared, spec};
use crate::sandbox::deployment::{DEPLOYMENT_LABEL, SESSION_LABEL};
use crate::sandbox::model::SandboxError;

/// Between two looks at a pod: soon at first, and then no oftener than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long the API may take to learn that a pod has ended.
const LEARNING: Duration = Duration::from_secs(20);
/// The same, when the API itself has just refused to attach somebody.
const REFUSED: Duration = Duration::from_secs(5);
/// How long a removed Job may take to be gone, with its pod.
const GOING: Duration = Duration::from_secs(120);

/// Waiting for nothing: these do not mend themselves.
const HOPELESS: &[(&str, &str)] = &[
    (
        "ImagePullBackOff",
        "see that the nodes can pull it: its name, and the service account's imagePullSecrets",
    ),
    ("InvalidImageName", "set sandbox.kubernetes.image to name@sha256:…"),
    ("ErrImageNeverPull", "load it onto the nodes"),
    ("CreateContainerConfigError", "the cluster refuses the pod's settings"),
    ("CreateContainerError", "the node's runtime refuses the pod's settings"),
    ("RunContainerError", "see that sandbox.kubernetes.program is in the image"),
];

/// How a pod ended, when it was not we who ended it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The kernel killed it for its memory.
    Memory,
    /// The node ended it for what it wrote.
    Disk,
    /// It was there for too long.
    Deadline,
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "it was killed for its memory",
            Self::Disk => "it was evicted for what it wrote",
            Self::Deadline => "it was there for too long",
            Self::Other(why) => why,
        })
    }
}

/// Makes the Job of a session and waits until its pod runs; gives the pod's name.
pub(super) async fn start(shared: &Shared, session: &str) -> Result<String, SandboxError> {
    let job = spec::job(shared, session);
    let jobs = shared.jobs();
    let how = PostParams::default();
    match patiently(|| jobs.create(&how, &job)).await {
        // An answer got lost, and the Job is ours: nobody else knows its name.
        Err(Error::Api(status)) if status.code == 409 => {}
        made => drop(made.map_err(api_error("making a job"))?),
    }
    let deadline = Instant::now() + shared.options.start_time;
    let mut pause = Duration::from_millis(50);
    loop {
        let pod = find(shared, session).await?;
        let why = match pod.as_ref().map(state) {
            Some(State::Runs) => {
                let name = pod.and_then(|pod| pod.metadata.name);
                return name.ok_or_else(|| setup("the API shows a pod without a name"));
            }
            Some(State::Hopeless(why)) => return Err(setup(format!("its pod cannot run: {why}"))),
            Some(State::Ended(fate)) => return Err(ended_unused(shared, &fate)),
            Some(State::Waits(why)) => why,
            None => no_pod(shared, session).await?,
        };
        if Instant::now() >= deadline {
            let time = shared.options.start_time;
            return Err(setup(format!("its pod does not run after {time:?}: {why}")));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn setup(reason: impl Into<String>) -> SandboxError {
    SandboxError::Setup { reason: reason.into() }
}

fn ended_unused(shared: &Shared, fate: &Fate) -> SandboxError {
    setup(format!(
        "its pod ended before it was used: {fate}. {} in the image has to be this very program",
        shared.options.program.display()
    ))
}

/// Why nobody can be attached to the pod of a session: it has ended, or what the API said.
pub(super) async fn refusal(shared: &Shared, session: &str, said: SandboxError) -> SandboxError {
    match end_within(shared, session, REFUSED).await {
        Ok(Some(fate)) => ended_unused(shared, &fate),
        Ok(None) | Err(_) => said,
    }
}

/// Why a Job has no pod.
async fn no_pod(shared: &Shared, session: &str) -> Result<String, SandboxError> {
    let (jobs, name) = (shared.jobs(), spec::job_name(shared, session));
    let job = patiently(|| jobs.get(&name)).await.map_err(api_error("asking for a job"))?;
    match failed(&job) {
        Some((reason, message)) => {
            Err(setup(format!("its job failed before it had a pod: {reason}: {message}")))
        }
        None => Ok(format!(
            "the job has no pod yet. `kubectl -n {} describe job {name}` says why: often a quota, or the \
             namespace's pod security",
            shared.options.namespace
        )),
    }
}

fn failed(job: &Job) -> Option<(String, String)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions.iter().find(|one| one.type_ == "Failed" && one.status == "True")?;
    Some((failed.reason.clone().unwrap_or_default(), failed.message.clone().unwrap_or_default()))
}

/// The pod of a session, if it has one.
async fn find(shared: &Shared, session: &str) -> Result<Option<Pod>, SandboxError> {
    let (pods, chosen) = (shared.pods(), of_session(shared, session));
    let found = patiently(|| pods.list(&chosen)).await.map_err(api_error("asking for a pod"))?;
    Ok(found.items.into_iter().next())
}

fn of_session(shared: &Shared, session: &str) -> ListParams {
    let labels = format!("{DEPLOYMENT_LABEL}={},{SESSION_LABEL}={session}", shared.deployment);
    ListParams::default().labels(&labels)
}

/// What a pod is doing.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Waits(String),
    Runs,
    Hopeless(String),
    Ended(Fate),
}

fn container(status: &PodStatus) -> Option<&ContainerStatus> {
    let mut all = status.container_statuses.iter().flatten();
    all.find(|container| container.name == spec::CONTAINER)
}

fn state(pod: &Pod) -> State {
    let status = pod.status.clone().unwrap_or_default();
    if let Some(fate) = ended(&status) {
        return State::Ended(fate);
    }
    let state = container(&status).and_then(|container| container.state.clone()).unwrap_or_default();
    if state.running.is_some() {
        return State::Runs;
    }
    let words = |reason: Option<String>, message: Option<String>| {
        [reason, message].into_iter().flatten().collect::<Vec<_>>().join(": ")
    };
    if let Some(waiting) = state.waiting {
        let known = HOPELESS.iter().find(|(reason, _)| waiting.reason.as_deref() == Some(*reason));
        let said = words(waiting.reason, waiting.message);
        return match known {
            Some((_, mend)) => State::Hopeless(format!("{said}; {mend}")),
            None => State::Waits(said),
        };
    }
    let conditions = status.conditions.unwrap_or_default();
    let unscheduled = conditions.into_iter().find(|one| one.type_ == "PodScheduled" && one.status == "False");
    State::Waits(match unscheduled {
        Some(condition) => words(condition.reason, condition.message),
        None => "it is being prepared".into(),
    })
}

/// How a pod ended; `None` while it has not.
fn ended(status: &PodStatus) -> Option<Fate> {
    let terminated = container(status).and_then(|container| container.state.clone()?.terminated);
    let is_over = matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"));
    let message = status.message.clone().unwrap_or_default();
    match status.reason.as_deref() {
        Some("DeadlineExceeded") => return Some(Fate::Deadline),
        // The kubelet's words for a volume, a container or a pod that took more than its limit.
        Some("Evicted") if message.contains("exceeds") || message.contains("exceeded") => {
            return Some(Fate::Disk);
        }
        Some(reason) if is_over => return Some(Fate::Other(format!("{reason}: {message}"))),
        _ => {}
    }
    let Some(terminated) = terminated else {
        return is_over.then(|| Fate::Other(format!("it ended: {message}")));
    };
    if terminated.reason.as_deref() == Some("OOMKilled") {
        return Some(Fate::Memory);
    }
    let said = terminated.message.unwrap_or_default();
    let reason = terminated.reason.unwrap_or_default();
    Some(Fate::Other(format!("{reason}: code {} {said}", terminated.exit_code).trim().to_owned()))
}

/// How the pod of a session ended whose connection did.
pub(super) async fn fate(shared: &Shared, session: &str) -> Result<Fate, SandboxError> {
    let fate = end_within(shared, session, LEARNING).await?;
    Ok(fate.unwrap_or_else(|| Fate::Other("it still runs, but the connection to it broke".into())))
}

/// How the pod of a session ended; `None`: the API did not learn of an end in so long.
async fn end_within(shared: &Shared, session: &str, time: Duration) -> Result<Option<Fate>, SandboxError> {
    let deadline = Instant::now() + time;
    loop {
        match find(shared, session).await?.as_ref().map(state) {
            Some(State::Ended(fate)) => return Ok(Some(fate)),
            None => return Ok(Some(Fate::Other("somebody removed it".into()))),
            Some(_) if Instant::now() >= deadline => return Ok(None),
            Some(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Removes a Job with its pod, and waits until both are gone. One that is not there is fine.
pub(super) async fn remove(shared: &Shared, name: &str) -> Result<(), SandboxError> {
    let jobs = shared.jobs();
    // The Job stays until its pod is gone.
    let how = DeleteParams::foreground();
    let removed = patiently(|| jobs.delete(name, &how)).await;
    if is_gone(&removed) {
        return Ok(());
    }
    removed.map_err(api_error("removing a job"))?;
    let deadline = Instant::now() + GOING;
    let mut pause = Duration::from_millis(50);
    loop {
        let asked = patiently(|| jobs.get(name)).await;
        if is_gone(&asked) {
            return Ok(());
        }
        asked.map_err(api_error("asking for a job"))?;
        if Instant::now() >= deadline {
            return Err(setup(format!("the job {name} is still there {GOING:?} after it was removed")));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
