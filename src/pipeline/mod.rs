//! The stages of a task, one file each. A stage thinks and never posts.
//!
//! A stage may be run again at any time: it reads where its task is, works, and ends by committing its
//! result, its products and the end of its job in one transaction. Until then nothing of it counts.

mod answer;
mod base_tests;
mod begun;
mod candidates;
mod change;
mod cleaned;
mod commit;
mod discuss;
mod earlier;
mod engine;
mod failure;
mod fence;
mod fix;
mod gate;
mod implement;
mod in_force;
mod instructions;
mod ledger;
mod metered;
mod models;
mod places;
mod prepare;
mod prompts;
mod publish;
mod purse;
mod review;
mod reviewers;
mod templates;
mod time;
mod toolbox;
mod waits;
mod weakened;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::agents::Prompts;
use crate::checkout::{CheckoutError, Repositories};
use crate::config::{
    ImplementerConfig, Limits, ModelsConfig, PathSettings, RepositoryPolicy, RouterConfig, StagesConfig,
};
use crate::context::Contexts;
use crate::domain::{Event, Reason, Rules, Severity, Stage, Task, TaskId};
use crate::engines::Metering;
use crate::gates::EgressPolicy;
use crate::github::GitHubError;
use crate::llm::Model;
use crate::queue::JobFailure;
use crate::sandbox::{Sandbox, SandboxError};
use crate::store::{Applied, Artifact, ArtifactKind, Lease, Store, StoreError};
use crate::telemetry::{Redactor, clock};
use crate::workspace::{Author, WorkspaceError, aside};

pub use candidates::CandidateSettings;
use failure::agent_failure;
pub use gate::gate_policy;
pub use ledger::StoreLedger;
use metered::Meter;
pub use metered::MeteredSandbox;
pub use models::model_lists;
pub use prompts::PromptsOf;
use time::StageTime;
use waits::Waits;

/// Tokens of a repository's overview and of the places that fit a task.
const OVERVIEW_TOKENS: usize = 4_000;
const SNIPPETS_TOKENS: usize = 12_000;
/// Processes that a stage may take down with it before it is not begun again.
const MOST_BREAKDOWNS: u32 = 5;
/// Tries of a stage whose servers are away; with the pauses between them, a little more than four hours.
const MOST_TRIES: u32 = 60;

/// What the stages work with.
pub struct Pipeline {
    pub store: Store,
    pub repositories: Repositories,
    pub sandbox: Arc<dyn Sandbox>,
    pub model: Arc<dyn Model>,
    pub prompts: Arc<Prompts>,
    pub redactor: Arc<Redactor>,
    pub contexts: Arc<Contexts>,
    /// The way of agents' own commands to models; `None` in a dry run, where none is run.
    pub metering: Option<Arc<Metering>>,
    pub settings: Settings,
}

/// What an operator decides about the stages.
#[derive(Debug, Clone)]
pub struct Settings {
    pub limits: Limits,
    /// Who writes changes.
    pub implementer: ImplementerConfig,
    /// What changes may touch; a repository's policy can only be stricter.
    pub paths: PathSettings,
    pub author: Author,
    pub reviewers: Vec<String>,
    /// Findings of these severities hold a change up.
    pub blocking: Vec<Severity>,
    /// Findings of these severities are worth a fix that the change can do without.
    pub worth_a_fix: Vec<Severity>,
    pub candidates: CandidateSettings,
    /// The workflows, and whether a router is asked; a repository's policy chooses among what it allows.
    pub router: RouterConfig,
    /// Which of the stages that work can do without take place.
    pub stages: StagesConfig,
    pub models: ModelsConfig,
    /// The label that starts work where the repository names none.
    pub label: String,
    /// Days that a task waits for the ones that it builds on.
    pub wait_days: u32,
    pub command_limits: crate::sandbox::Limits,
    /// How many gates of a task run side by side.
    pub gates_at_once: usize,
    /// Where the set-up step may fetch dependencies from; `None`: nowhere.
    pub egress: Option<EgressPolicy>,
    /// Where fetched dependencies are kept.
    pub dependencies: PathBuf,
    /// Whose prompts are in force.
    pub prompts_of: PromptsOf,
}

/// How often a task that waits for others looks whether they are merged.
const DEPENDENCY_LOOK: Duration = Duration::from_secs(60);

/// What a stage came to.
#[derive(Debug)]
struct StageEnd {
    /// In order; after one that takes the task out of the stage, the rest is void.
    events: Vec<Event>,
    artifacts: Vec<Artifact>,
}

impl StageEnd {
    fn event(event: Event) -> Self {
        Self { events: vec![event], artifacts: Vec::new() }
    }
}

/// Why a stage did not come to a result.
#[derive(Debug)]
enum StageError {
    /// The same may work in a while.
    Again {
        what: &'static str,
        error: String,
        wait: Option<Duration>,
    },
    /// A person has to look at it. What was made so far is kept.
    Stop {
        reason: Reason,
        kept: Vec<Artifact>,
    },
    Store(StoreError),
}

impl StageError {
    fn stop(reason: Reason) -> Self {
        Self::Stop { reason, kept: Vec::new() }
    }
}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<GitHubError> for StageError {
    fn from(error: GitHubError) -> Self {
        match error {
            GitHubError::RateLimited { wait, message } => {
                Self::Again { what: "GitHub", error: message, wait: Some(wait) }
            }
            error if error.is_transient() => {
                Self::Again { what: "GitHub", error: error.to_string(), wait: None }
            }
            error => Self::stop(Reason::Refused { what: "reading".into(), detail: error.to_string() }),
        }
    }
}

impl From<WorkspaceError> for StageError {
    fn from(error: WorkspaceError) -> Self {
        let detail = error.to_string();
        match error {
            error if error.is_transient() => {
                Self::Again { what: "the repository", error: detail, wait: None }
            }
            WorkspaceError::Transport { .. } => {
                Self::stop(Reason::Refused { what: "reading".into(), detail })
            }
            _ => Self::stop(Reason::ChangeRefused { detail }),
        }
    }
}

impl From<SandboxError> for StageError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::TreeRefused(_) | SandboxError::TreeTooLarge { .. } => {
                Self::stop(Reason::ChangeRefused { detail: error.to_string() })
            }
            SandboxError::NoFreeUser { .. } => {
                Self::Again { what: "the sandbox", error: error.to_string(), wait: None }
            }
            error => Self::stop(Reason::SandboxUnavailable { detail: error.to_string() }),
        }
    }
}

impl From<CheckoutError> for StageError {
    fn from(error: CheckoutError) -> Self {
        match error {
            CheckoutError::Store(error) => error.into(),
            CheckoutError::GitHub(error) => error.into(),
            CheckoutError::Workspace(error) => error.into(),
            CheckoutError::Unusable(detail) => Self::stop(Reason::Internal { detail }),
        }
    }
}

impl Pipeline {
    /// Runs one stage of a task and ends its job.
    pub async fn run(&self, lease: &Lease, id: TaskId, stage: Stage) -> Result<(), JobFailure> {
        let task = self.store.task(id).await?;
        if task.stage() != Some(stage) {
            return self.end(lease, &task, stage, None).await;
        }
        let version = task.version;
        if lease.breakdowns() > MOST_BREAKDOWNS {
            let (name, times) = (stage.as_str(), lease.breakdowns());
            let detail = format!("the `{name}` stage was begun {times} times and never ended");
            return self.end(lease, &task, stage, Some(failed(stage, Reason::Internal { detail }))).await;
        }
        if matches!(stage, Stage::Implement | Stage::Answer) {
            match self.waits_for(&task).await? {
                Waits::No => {}
                Waits::ForOthers => return Ok(self.store.reschedule(lease, DEPENDENCY_LOOK).await?),
                Waits::InVain(reason) => {
                    return self.end(lease, &task, stage, Some(failed(stage, reason))).await;
                }
            }
        }
        self.start(lease, id, stage).await?;
        let task = self.store.task(id).await?;
        let limit = self.settings.limits.stage_wall * self.shares(stage);
        let meter = Meter::default();
        let work = meter.measure(self.stage(&task, stage, StageTime::begin()));
        let done = match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(StageError::stop(Reason::LimitReached {
                limit: format!("{} s for the `{}` stage", limit.as_secs(), stage.as_str()),
            })),
        };
        let end = match done {
            Ok(mut end) => {
                let timing = serde_json::json!({ "stage": stage.as_str(), "sandbox_ms": meter.spent_ms() });
                end.artifacts.extend(json_artifact(&task, ArtifactKind::Timing, "timing.json", &timing));
                end
            }
            Err(StageError::Again { error, wait, .. }) if lease.set_down < MOST_TRIES => {
                return Err(JobFailure::Retry { error, wait });
            }
            Err(StageError::Again { what, error, .. }) => {
                failed(stage, Reason::Unreachable { what: what.into(), detail: error })
            }
            Err(StageError::Stop { reason, kept }) => StageEnd { artifacts: kept, ..failed(stage, reason) },
            Err(StageError::Store(error)) if error.is_final() => unstorable(stage, &error),
            Err(StageError::Store(error)) => return Err(error.into()),
        };
        tracing::info!(stage = stage.as_str(), version, "stage ended");
        self.end(lease, &task, stage, Some(end)).await
    }

    /// Tells the task that its stage has begun, unless the job is somebody else's by now.
    async fn start(&self, lease: &Lease, id: TaskId, stage: Stage) -> Result<(), StoreError> {
        let mut transition = self.store.begin().await?;
        let applied = transition.apply(id, &Event::StageStarted { stage }, clock::now()).await;
        transition.hold(lease).await?;
        if let Applied::Moved(moved) = applied? {
            tracing::info!(state = moved.state.name(), "stage begun");
        }
        transition.commit().await
    }

    async fn stage(&self, task: &Task, stage: Stage, time: StageTime) -> Result<StageEnd, StageError> {
        match stage {
            Stage::Discuss => self.discuss(task).await,
            Stage::Implement => self.implement(task, time).await,
            Stage::Gate => self.gate(task).await,
            Stage::Review => self.review(task).await,
            Stage::Fix => self.fix(task, time).await,
            Stage::Publish => self.publish(task).await,
            Stage::Answer => self.answer(task).await,
        }
    }

    /// Ends the stage with what it came to. What the database can never hold is told the task instead.
    async fn end(
        &self,
        lease: &Lease,
        task: &Task,
        stage: Stage,
        mut end: Option<StageEnd>,
    ) -> Result<(), JobFailure> {
        if let Some(end) = &mut end {
            aside(|| cleaned::clean(end, &self.redactor));
        }
        let rules = match stage {
            Stage::Gate | Stage::Review if end.is_some() => self.rules(task).await?,
            _ => self.store.rules().clone(),
        };
        match self.commit_end(lease, task, end, &rules).await {
            Err(error) if error.is_final() => {
                tracing::error!(%error, "what the stage came to cannot be stored");
                Ok(self.commit_end(lease, task, Some(unstorable(stage, &error)), &rules).await?)
            }
            ended => Ok(ended?),
        }
    }

    /// The rules of the task's life, with the rounds that its repository allows.
    async fn rules(&self, task: &Task) -> Result<Rules, JobFailure> {
        let policy = match self.repositories.policy(task).await {
            Ok(policy) => policy,
            // Without usable rules there is no verdict either, and the stage has said so.
            Err(CheckoutError::Unusable(_)) => RepositoryPolicy::default(),
            Err(error) => return Err(JobFailure::Retry { error: error.to_string(), wait: None }),
        };
        let limits = self.settings.limits.lowered_by(&policy.limits);
        Ok(self.store.rules().with_at_most(limits.gate_rounds, limits.review_rounds))
    }

    /// Commits what the stage came to, with the end of its job. A task that left the stage meanwhile
    /// takes nothing but the products.
    async fn commit_end(
        &self,
        lease: &Lease,
        task: &Task,
        end: Option<StageEnd>,
        rules: &Rules,
    ) -> Result<(), StoreError> {
        let (at, id, stage) = (clock::now(), task.id, task.stage());
        let mut transition = self.store.begin_under(rules).await?;
        transition.finish(lease).await?;
        if let Some(end) = end {
            for artifact in &end.artifacts {
                transition.keep(id, artifact).await?;
            }
            for event in &end.events {
                match transition.apply(id, event, at).await {
                    Ok(Applied::Moved(task)) if task.stage() != stage => break,
                    Ok(_) => {}
                    Err(StoreError::Illegal(illegal)) => {
                        tracing::warn!(%illegal, "the task left the stage meanwhile");
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        transition.commit().await
    }
}

fn json_artifact(
    task: &Task,
    kind: ArtifactKind,
    name: &str,
    value: &impl serde::Serialize,
) -> Result<Artifact, StageError> {
    let body = serde_json::to_vec_pretty(value)
        .map_err(|error| StageError::stop(Reason::Internal { detail: error.to_string() }))?;
    Ok(Artifact { kind, version: task.version, name: name.to_owned(), body })
}

fn unstorable(stage: Stage, error: &StoreError) -> StageEnd {
    failed(stage, Reason::Internal { detail: error.to_string() })
}

fn failed(stage: Stage, reason: Reason) -> StageEnd {
    StageEnd::event(Event::StageFailed { stage, reason })
}
