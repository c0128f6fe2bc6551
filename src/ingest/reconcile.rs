//! What deliveries should have told: a slow look at all open tasks, for those that were lost or came in
//! another order. It asks with conditional requests, so that what did not change costs nothing of the rate
//! limit.

use std::collections::HashSet;

use futures::StreamExt;

use crate::checkout::{label_of, observed, unread};
use crate::domain::{Event, GitHubPlace, IssueNumber, State, Task, TaskId};
use crate::github::{Comment, Conditional, GitHubError, Issue, RepositoryClient};
use crate::store::TransitionRecord;
use crate::telemetry::clock;

use super::reactions::AT_ONCE;
use super::{Ingest, IngestError};

/// What a task was compared with, and need not be again while GitHub calls it unchanged.
#[derive(Debug, Clone)]
pub(super) struct SeenTask {
    pub task: TaskId,
    /// The task's version at that time.
    pub version: u64,
    /// Of the issue, or of the pull request.
    etag: Option<String>,
    comments: Option<String>,
}

/// What a comparison came to. `seen` may be remembered only when `events` are committed.
#[derive(Debug, Default)]
struct News {
    events: Vec<Event>,
    seen: Option<SeenTask>,
}

impl Ingest {
    /// One look at all open tasks. A failure at one does not keep the others from being looked at.
    pub async fn reconcile(&self) -> Result<(), IngestError> {
        let tasks = self.store.tasks_on_github().await?;
        self.memory.keep_tasks(&tasks.iter().map(|task| task.id).collect::<HashSet<_>>());
        futures::stream::iter(tasks).for_each_concurrent(AT_ONCE, |task| self.reconcile_or_log(task)).await;
        Ok(())
    }

    async fn reconcile_or_log(&self, task: Task) {
        let Some(place) = task.origin.github() else { return };
        if self.memory.is_limited(place.installation) {
            return;
        }
        if let Err(error) = self.reconcile_one(&task, place).await {
            self.memory.note_limit(place.installation, &error);
            tracing::warn!(task = %task.id, %error, "a task could not be compared with GitHub");
        }
    }

    async fn reconcile_one(&self, task: &Task, place: &GitHubPlace) -> Result<(), IngestError> {
        let client = self.client(place);
        let known = self.memory.task(task.id).filter(|known| known.version == task.version);
        let news = match task.pull_request {
            Some(number) => news_of_pull_request(&client, task, number, known).await?,
            None => self.news_of_issue(&client, task, place, known).await?,
        };
        for event in &news.events {
            self.store.apply(task.id, event, clock::now()).await?;
        }
        if let Some(seen) = news.seen {
            self.memory.remember_task(seen);
        }
        Ok(())
    }

    async fn news_of_issue(
        &self,
        client: &RepositoryClient,
        task: &Task,
        place: &GitHubPlace,
        known: Option<SeenTask>,
    ) -> Result<News, IngestError> {
        let (issue_tag, comments_tag) = known.map_or((None, None), |known| (known.etag, known.comments));
        let issue = match client.issue_if_changed(place.issue, issue_tag.as_deref()).await {
            Err(error) if error.is_not_found() => {
                return Ok(News { events: vec![Event::IssueDeleted], seen: None });
            }
            answer => answer?,
        };
        let comments = client.comments_if_changed(place.issue, comments_tag.as_deref()).await?;
        if let (Conditional::Unchanged, Conditional::Unchanged) = (&issue, &comments) {
            return Ok(News::default());
        }
        let (issue, etag) = match issue {
            Conditional::Changed { value, etag } => (value, etag),
            Conditional::Unchanged => (client.issue(place.issue).await?, issue_tag),
        };
        let (comments, comments_tag) = match comments {
            Conditional::Changed { value, etag } => (value, etag),
            Conditional::Unchanged => (client.comments(place.issue).await?, comments_tag),
        };
        let events = self.meaning_of_issue(client, task, &issue, &comments).await?;
        let seen = SeenTask { task: task.id, version: task.version, etag, comments: comments_tag };
        Ok(News { events, seen: Some(seen) })
    }

    /// What the issue as it stands means for a task without a pull request.
    async fn meaning_of_issue(
        &self,
        client: &RepositoryClient,
        task: &Task,
        issue: &Issue,
        comments: &[Comment],
    ) -> Result<Vec<Event>, IngestError> {
        let wanted = issue.is_open() && issue.has_label(&label_of(client, &self.label).await?);
        if !wanted && !self.was_revived(client.place()).await? {
            return Ok(vec![if issue.is_open() { Event::Unlabelled } else { Event::IssueClosed }]);
        }
        let mut events: Vec<_> =
            observed(task, issue, comments).map(Event::TextObserved).into_iter().collect();
        if matches!(task.state, State::WaitingForAnswer { .. }) {
            for comment in unread(task, comments) {
                let Some(author) = &comment.user else { continue };
                if self.may_answer(client, task, issue, author).await? {
                    events.push(Event::Commented { comment: comment.comment_id() });
                    break;
                }
            }
        }
        Ok(events)
    }

    /// Whether somebody asked for the work with `retry` after it had ended: then it needs no label and no
    /// open issue.
    async fn was_revived(&self, place: &GitHubPlace) -> Result<bool, IngestError> {
        let tasks = self.store.tasks_of_issue(place.repository, place.issue).await?;
        let Some(reader) = tasks.first() else { return Ok(false) };
        Ok(revived(&self.store.history(reader.id).await?))
    }
}

async fn news_of_pull_request(
    client: &RepositoryClient,
    task: &Task,
    number: IssueNumber,
    known: Option<SeenTask>,
) -> Result<News, GitHubError> {
    let etag = known.and_then(|known| known.etag);
    Ok(match client.pull_request_if_changed(number, etag.as_deref()).await? {
        Conditional::Unchanged => News::default(),
        Conditional::Changed { value, etag } => News {
            events: vec![value.fate().event()],
            seen: Some(SeenTask { task: task.id, version: task.version, etag, comments: None }),
        },
    })
}

/// A command after which the reader reads anew; a label that is set again takes its place.
fn revived(history: &[TransitionRecord]) -> bool {
    let asked = |line: &&TransitionRecord| match line.event.as_str() {
        "created" | "relabelled" => true,
        "commanded" => line.state == "discussing",
        _ => false,
    };
    history.iter().rfind(asked).is_some_and(|line| line.event == "commanded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_stands_for_the_label_until_it_is_set_again() {
        let history = |lines: &[(&str, &str)]| -> Vec<TransitionRecord> {
            let lines = lines.iter().enumerate();
            let line = |(version, (event, state)): (usize, &(&str, &str))| TransitionRecord {
                version: version as u64,
                event: (*event).to_owned(),
                state: (*state).to_owned(),
                at: chrono::DateTime::UNIX_EPOCH,
            };
            lines.map(line).collect()
        };
        let labelled = ("created", "discussing");
        let status = ("commanded", "awaiting_approval");
        let cancelled = ("unlabelled", "cancelled");
        let retried = ("commanded", "discussing");
        assert!(!revived(&history(&[labelled, status])));
        assert!(revived(&history(&[labelled, cancelled, retried, status])));
        assert!(!revived(&history(&[labelled, cancelled, retried, ("relabelled", "discussing")])));
    }
}
