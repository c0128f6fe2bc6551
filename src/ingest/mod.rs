//! From a stored delivery to domain events; reaction polling; comparing what waits with GitHub.
//!
//! Deliveries come late, twice, in any order or not at all. So a delivery is an occasion to look: what counts
//! is what is true on GitHub when it is handled, wherever that can change again.
//!
//! What is read from GitHub is read first; then the events, the end of the delivery and the end of the
//! job are committed together. A delivery handled twice finds everything as it left it.

mod commands;
mod issues;
mod memory;
mod reactions;
mod reconcile;

use serde_json::Value;

use crate::domain::{
    CommentId, Event, GitHubPlace, InstallationId, IssueNumber, Notice, RepositoryId, Task, TaskId,
};
use crate::github::payload::{InstallationReference, Payload, PullRequestPayload, RepositoryReference};
use crate::github::{GitHub, GitHubError, Purpose, RepositoryClient};
use crate::queue::JobFailure;
use crate::store::{Delivery, DeliveryEnd, Lease, Store, StoreError, Work};
use crate::telemetry::clock;

use memory::Memory;
use reactions::SeenReactions;

/// Turns deliveries into what they mean for tasks.
pub struct Ingest {
    store: Store,
    github: GitHub,
    /// The label that asks for us, where a repository names none of its own.
    label: String,
    memory: Memory,
}

/// Why a delivery could not be handled now.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    GitHub(#[from] GitHubError),
}

/// Times that a delivery is tried while GitHub says no. A refusal may be a passing state of the App's
/// access, so it takes about two hours; but a delivery about what is gone for good comes to an end too.
const MOST_REFUSALS: u32 = 30;

impl IngestError {
    fn is_refusal(&self) -> bool {
        matches!(self, Self::GitHub(error) if !error.is_transient())
    }
}

impl From<IngestError> for JobFailure {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Store(error) => error.into(),
            IngestError::GitHub(GitHubError::RateLimited { wait, message }) => {
                Self::Retry { error: message, wait: Some(wait) }
            }
            IngestError::GitHub(error) => Self::Retry { error: error.to_string(), wait: None },
        }
    }
}

/// What a delivery leads to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    create: Option<Box<Task>>,
    events: Vec<(TaskId, Event)>,
    /// Answers where no task is: the comment that is answered, and where.
    replies: Vec<(GitHubPlace, CommentId, Notice)>,
    /// To be remembered once everything above is committed.
    seen: Vec<SeenReactions>,
    ignored: Option<String>,
}

impl Outcome {
    fn ignored(why: impl Into<String>) -> Self {
        Self { ignored: Some(why.into()), ..Self::default() }
    }

    fn events(events: impl IntoIterator<Item = (TaskId, Event)>) -> Self {
        Self { events: events.into_iter().collect(), ..Self::default() }
    }

    fn to_all(tasks: &[Task], event: &Event) -> Self {
        Self::events(tasks.iter().map(|task| (task.id, event.clone())))
    }
}

impl Ingest {
    pub fn new(store: Store, github: GitHub, label: String) -> Self {
        Self { store, github, label, memory: Memory::default() }
    }

    /// Handles one stored delivery and ends its job.
    pub async fn handle(&self, lease: &Lease, delivery: i64) -> Result<(), JobFailure> {
        let delivery = self.store.delivery(delivery).await?;
        let (outcome, end) = match self.read(&delivery) {
            Ok(payload) => {
                let outcome = match self.meaning(payload).await {
                    Err(error) if error.is_refusal() && lease.attempts >= MOST_REFUSALS => {
                        tracing::error!(guid = delivery.guid, %error, "a delivery is given up");
                        Outcome::ignored(format!("given up after {} tries: {error}", lease.attempts))
                    }
                    outcome => outcome?,
                };
                let end = match &outcome.ignored {
                    Some(why) => DeliveryEnd::Ignored { why: why.clone() },
                    None => DeliveryEnd::Handled,
                };
                (outcome, end)
            }
            Err(fault) => {
                tracing::warn!(guid = delivery.guid, event = delivery.event, fault, "unreadable delivery");
                (Outcome::default(), DeliveryEnd::Malformed { why: fault })
            }
        };
        let mut transition = self.store.begin().await?;
        transition.finish(lease).await?;
        transition.end_delivery(delivery.id, &end).await?;
        if let Some(task) = &outcome.create {
            transition.create(task).await?;
        }
        let at = clock::now();
        for (task, event) in &outcome.events {
            transition.apply(*task, event, at).await?;
        }
        for (place, comment, notice) in outcome.replies {
            let key = crate::domain::reply_key(place.repository.0, comment);
            transition.enqueue(&key, &Work::Reply { place, notice }).await?;
        }
        transition.commit().await?;
        for seen in outcome.seen {
            self.memory.remember_reactions(Some(seen));
        }
        Ok(())
    }

    fn read(&self, delivery: &Delivery) -> Result<Payload, String> {
        let body: Value = serde_json::from_slice(&delivery.payload).map_err(|error| error.to_string())?;
        Payload::parse(&delivery.event, &body).map_err(|error| error.to_string())
    }

    async fn meaning(&self, payload: Payload) -> Result<Outcome, IngestError> {
        match payload {
            Payload::Issues(payload) => self.on_issue(payload).await,
            Payload::IssueComment(payload) => self.on_comment(payload).await,
            Payload::PullRequest(payload) => self.on_pull_request(payload).await,
            Payload::Installation(payload) => {
                let installation = InstallationId(payload.installation.id);
                match payload.action.as_str() {
                    "created" | "unsuspend" | "new_permissions_accepted" => {
                        self.note_all(installation, &payload.repositories).await?;
                        Ok(Outcome::default())
                    }
                    "deleted" | "suspend" => {
                        let lost = self.store.repositories_of(installation).await?;
                        self.lose(&lost).await
                    }
                    action => Ok(Outcome::ignored(format!("`{action}` is not known"))),
                }
            }
            Payload::InstallationRepositories(payload) => {
                let installation = InstallationId(payload.installation.id);
                self.note_all(installation, &payload.repositories_added).await?;
                // A repository that was given away is removed from its old installation, and may be in a new
                // one by then.
                let mut lost = self.store.repositories_of(installation).await?;
                lost.retain(|id| payload.repositories_removed.iter().any(|removed| removed.id == id.0));
                self.lose(&lost).await
            }
            Payload::Repository(payload) => {
                let id = RepositoryId(payload.repository.id);
                match (payload.action.as_str(), payload.installation) {
                    ("deleted", _) => self.lose(&[id]).await,
                    ("renamed" | "transferred", Some(installation)) => {
                        let place = place_of(&payload.repository, installation, IssueNumber(0));
                        self.store
                            .note_repository(place.repository, place.installation, &place.full_name)
                            .await?;
                        self.store.rename_repository(&place).await?;
                        Ok(Outcome::default())
                    }
                    (action, _) => Ok(Outcome::ignored(format!("`{action}` changes nothing for us"))),
                }
            }
            Payload::Ping => Ok(Outcome::default()),
            Payload::Unknown => Ok(Outcome::ignored("an event that is not used")),
        }
    }

    async fn on_pull_request(&self, payload: PullRequestPayload) -> Result<Outcome, IngestError> {
        if !matches!(payload.action.as_str(), "closed" | "reopened") {
            return Ok(Outcome::ignored(format!("`{}` starts nothing", payload.action)));
        }
        let (repository, number) = (RepositoryId(payload.repository.id), IssueNumber(payload.number));
        let task = self.store.task_of_pull_request(repository, number).await?;
        let Some((task, place)) = task.as_ref().and_then(|task| Some((task, task.origin.github()?))) else {
            return Ok(Outcome::ignored("not a pull request of ours"));
        };
        match self.client(place).pull_request(number).await {
            Ok(pull_request) => Ok(Outcome::events([(task.id, pull_request.fate().event())])),
            Err(error) if error.is_not_found() => Ok(Outcome::ignored("the pull request is gone")),
            Err(error) => Err(error.into()),
        }
    }

    async fn note_all(
        &self,
        installation: InstallationId,
        repositories: &[RepositoryReference],
    ) -> Result<(), IngestError> {
        for repository in repositories {
            self.store
                .note_repository(RepositoryId(repository.id), installation, &repository.full_name)
                .await?;
        }
        Ok(())
    }

    async fn lose(&self, repositories: &[RepositoryId]) -> Result<Outcome, IngestError> {
        self.store.forget_repositories(repositories).await?;
        let tasks = self.store.open_tasks_of(repositories).await?;
        Ok(Outcome::to_all(&tasks, &Event::AccessRemoved))
    }

    fn client(&self, place: &GitHubPlace) -> RepositoryClient {
        self.github.repository(place, Purpose::Read)
    }
}

fn place_of(
    repository: &RepositoryReference,
    installation: InstallationReference,
    issue: IssueNumber,
) -> GitHubPlace {
    GitHubPlace {
        installation: InstallationId(installation.id),
        repository: RepositoryId(repository.id),
        full_name: repository.full_name.clone(),
        issue,
    }
}
