//! What changes the world outside, one file an effect: find or create, by key.
//!
//! An effect looks first whether it was done before (a comment by our App with the hidden marker, the
//! pull request by its branch, the branch by its commit), acts only if not, and commits what came of it
//! with the end of its job. An effect never thinks.

mod check_run;
mod comment;
mod local_branch;
mod mails;
mod pull_request;
mod push;
mod rehearsal;
mod review;
mod terms;
mod view;

use std::sync::Arc;

use tokio::sync::OnceCell;

pub use pull_request::{altered_tests, diff_of, size_of};
pub use view::Gathered;

use crate::checkout::{CheckoutError, Repositories};
use crate::domain::{BudgetLimits, Effect, Event, State, Task, TaskId};
use crate::github::{AppIdentity, GitHub, GitHubError, Purpose, RepositoryClient};
use crate::mail::Mailer;
use crate::queue::JobFailure;
use crate::speech::{Gateway, Mode};
use crate::store::{Lease, Store, StoreError, Work};
use crate::telemetry::Redactor;
use crate::telemetry::clock;
use crate::workspace::WorkspaceError;

/// Tries before an effect counts as impossible: with pauses of five minutes, more than three days.
const MOST_TRIES: u32 = 1_000;

/// What effects work with.
pub struct Effects {
    pub store: Store,
    pub repositories: Repositories,
    /// `None`: no mail is configured, and none is sent.
    pub mailer: Option<Mailer>,
    pub redactor: Arc<Redactor>,
    pub settings: Settings,
    identity: OnceCell<AppIdentity>,
}

/// What an operator decides about effects.
#[derive(Debug, Clone)]
pub struct Settings {
    pub label: String,
    pub mode: Mode,
    pub gate_rounds: u8,
    pub review_rounds: u8,
    pub wait_days: u32,
    /// What a task may spend where nobody changed it, and what people may raise that to.
    pub budget: BudgetLimits,
    pub most: BudgetLimits,
    /// What one task costs at least and at most by the configured prices, where there are any.
    pub estimate: Option<crate::speech::Estimate>,
    /// Hosts that quoted text may link to.
    pub link_hosts: Vec<String>,
    pub mail_from: Option<String>,
    pub mail_to: Vec<String>,
    /// Where people look at issues: the server's base address.
    pub server_url: String,
}

impl Settings {
    /// Millionths of a US dollar.
    fn budget_of(&self, task: &Task) -> Option<u64> {
        task.budget.limits(self.budget, self.most).cost_micro_usd
    }
}

/// What came of an effect.
#[derive(Debug)]
enum Done {
    /// It is done, now or before, and this follows.
    Event(Event),
    /// The same, where more than one thing follows.
    Events(Vec<Event>),
    Nothing,
    /// The task moved on, and the effect has lost its sense.
    Void(&'static str),
}

/// Why an effect was not done.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error("{0}")]
    Later(String),
    #[error("{0}")]
    Impossible(String),
}

impl EffectError {
    /// The wait before another try, if another try can succeed.
    fn again(&self) -> Option<Option<std::time::Duration>> {
        let github = |error: &GitHubError| match error {
            GitHubError::RateLimited { wait, .. } => Some(Some(*wait)),
            error if error.is_transient() => Some(None),
            _ => None,
        };
        match self {
            Self::GitHub(error) | Self::Checkout(CheckoutError::GitHub(error)) => github(error),
            Self::Workspace(error) | Self::Checkout(CheckoutError::Workspace(error)) => {
                error.is_transient().then_some(None)
            }
            Self::Later(_) => Some(None),
            Self::Store(_) | Self::Checkout(_) | Self::Impossible(_) => None,
        }
    }
}

impl Effects {
    pub fn new(
        repositories: Repositories,
        mailer: Option<Mailer>,
        redactor: Arc<Redactor>,
        settings: Settings,
    ) -> Self {
        let store = repositories.store.clone();
        Self { store, repositories, mailer, redactor, settings, identity: OnceCell::new() }
    }

    /// Does the effect of a job and ends the job.
    pub async fn perform(&self, lease: &Lease) -> Result<(), JobFailure> {
        if self.settings.mode == Mode::DryRun {
            return self.rehearse(lease).await;
        }
        let (task, done) = match &lease.work {
            Work::Effect { task, version, act } => (Some(*task), self.act(lease, *task, *version, act).await),
            Work::Reply { place, notice } => (None, self.reply(lease, place, notice).await),
            Work::DigestMail { until, days, to } => (None, self.digest(lease, *until, *days, to).await),
            Work::Ingest { .. } | Work::Stage { .. } | Work::Wait { .. } | Work::Schedule { .. } => {
                return Err(JobFailure::Refuse { error: "not an effect".into() });
            }
        };
        match done {
            Ok(Done::Event(event)) => self.finish(lease, task.map(|task| (task, event))).await,
            Ok(Done::Events(events)) => {
                let events: Vec<_> = task
                    .map(|task| events.into_iter().map(move |event| (task, event)))
                    .into_iter()
                    .flatten()
                    .collect();
                self.finish(lease, events).await
            }
            Ok(Done::Nothing) => self.finish(lease, None).await,
            Ok(Done::Void(why)) => {
                tracing::info!(why, "the effect is void");
                self.finish(lease, None).await
            }
            Err(EffectError::Store(error) | EffectError::Checkout(CheckoutError::Store(error))) => {
                Err(error.into())
            }
            Err(error) => self.failed(lease, task, &error).await,
        }
    }

    async fn finish(
        &self,
        lease: &Lease,
        events: impl IntoIterator<Item = (TaskId, Event)>,
    ) -> Result<(), JobFailure> {
        let mut transition = self.store.begin().await?;
        transition.finish(lease).await?;
        for (task, event) in events {
            transition.apply(task, &event, clock::now()).await?;
        }
        Ok(transition.commit().await?)
    }

    /// Tries again where that can help; else tells the task.
    async fn failed(
        &self,
        lease: &Lease,
        task: Option<TaskId>,
        error: &EffectError,
    ) -> Result<(), JobFailure> {
        if let Some(wait) = error.again().filter(|_| lease.attempts < MOST_TRIES) {
            return Err(JobFailure::Retry { error: error.to_string(), wait });
        }
        tracing::error!(%error, "an effect was refused");
        let mut transition = self.store.begin().await?;
        transition.refuse(lease, &error.to_string()).await?;
        if let (Some(task), Work::Effect { act, version, .. }) = (task, &lease.work) {
            let of = self.store.task_as_of(task, *version).await?.proposal();
            let event = Event::EffectRefused { what: act.kind().into(), detail: error.to_string(), of };
            transition.apply(task, &event, clock::now()).await?;
        }
        Ok(transition.commit().await?)
    }

    async fn act(&self, lease: &Lease, id: TaskId, version: u64, act: &Effect) -> Result<Done, EffectError> {
        let key = &lease.key;
        let task = self.store.task(id).await?;
        let then = self.store.task_as_of(id, version).await?;
        match act {
            Effect::PostPlan => self.post_plan(key, &task, &then).await,
            Effect::Comment { on, notice } => self.post_notice(key, &then, *on, notice).await,
            Effect::PushBranch if task.state == State::Publishing => self.push(&task).await,
            Effect::OpenPullRequest if task.state == State::Publishing => self.open(key, &task).await,
            Effect::OpenPullRequest => self.find_opened(&task).await,
            Effect::PushBranch => Ok(Done::Void("the task was stopped")),
            Effect::LabelPullRequest => self.label(&task).await,
            Effect::PostReview => self.review(key, &then).await,
            Effect::ReportCheck => self.report_check(key, &then).await,
            Effect::Mail { kind } => self.mail(lease, &then, *kind).await,
            Effect::WriteLocalBranch => self.write_local_branch(&task).await,
            Effect::PostAnswer => self.post_answer(key, &then).await,
        }
    }

    fn client(&self, task: &Task, purpose: Purpose) -> Result<RepositoryClient, EffectError> {
        let place = task.origin.github();
        let place = place.ok_or_else(|| EffectError::Impossible("the task is not of GitHub".into()))?;
        Ok(self.github()?.repository(place, purpose))
    }

    fn github(&self) -> Result<&GitHub, EffectError> {
        let github = self.repositories.github.as_ref();
        github.ok_or_else(|| EffectError::Impossible("this process has no GitHub".into()))
    }

    /// The login under which we write.
    async fn bot_login(&self) -> Result<String, EffectError> {
        let github = self.github()?;
        let identity = self.identity.get_or_try_init(|| github.identity()).await?;
        Ok(identity.bot_login())
    }

    /// Everything that leaves goes through here.
    fn with_gateway<T>(&self, speak: impl FnOnce(&Gateway<'_>) -> T) -> T {
        let redactor = Arc::clone(&self.redactor);
        let redact = move |text: &str| redactor.clean(text);
        speak(&Gateway::new(&redact, &self.settings.link_hosts))
    }
}
