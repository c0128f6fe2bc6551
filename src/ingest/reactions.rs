//! Approval by reaction. GitHub sends no webhook for reactions: they are looked at on a schedule, with
//! conditional requests, and on every event of the issue.
//!
//! What was seen is remembered only once what it means is committed. A look that failed anywhere behind
//! GitHub's answer is taken again in full, so that no 👍 hides behind "not modified".

use std::time::{Duration, Instant};

use futures::StreamExt;

use crate::checkout::observe;
use crate::domain::{APPROVAL_NEEDS, Account, ApprovalMeans, CommentId, Event, State, Task, Thumb};
use crate::github::{Conditional, Reaction, ReactionContent, RepositoryClient};
use crate::telemetry::clock;

use super::{Ingest, IngestError};

/// Plans that are looked at side by side: one slow answer must not hold up the others.
pub(super) const AT_ONCE: usize = 8;
/// Permissions change without any change of the reactions. So a thumb that did not count is looked at anew
/// after this pause, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Reactions that need not be read again while GitHub calls them unchanged.
#[derive(Debug, Clone)]
pub(super) struct SeenReactions {
    comment: CommentId,
    etag: String,
    /// The task's version that they were judged for: the same thumbs mean something else to another.
    version: u64,
    /// Where there are thumbs that did not count: when they are asked about again.
    doubt: Option<Doubt>,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    until: Instant,
    pause: Duration,
}

/// What a look came to. `seen` may be remembered only when `events` are committed.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub events: Vec<Event>,
    pub seen: Option<SeenReactions>,
}

impl Ingest {
    /// One look at all plans that wait. A failure at one task does not keep the others from being
    /// looked at; it is logged, and the next round looks again. An installation whose calls GitHub limits
    /// is left alone for as long as GitHub says.
    pub async fn poll_reactions(&self) -> Result<(), IngestError> {
        let tasks = self.store.tasks_in(&["awaiting_approval", "queued"]).await?;
        let plans = tasks.iter().filter_map(|task| Some(task.plan.as_ref()?.comment.as_ref()?.id)).collect();
        self.memory.keep_reactions_on(&plans);
        futures::stream::iter(tasks).for_each_concurrent(AT_ONCE, |task| self.poll_or_log(task)).await;
        Ok(())
    }

    async fn poll_or_log(&self, task: Task) {
        let Some(place) = task.origin.github() else { return };
        if self.memory.is_limited(place.installation) {
            return;
        }
        if let Err(error) = self.poll_one(&task).await {
            self.memory.note_limit(place.installation, &error);
            tracing::warn!(task = %task.id, %error, "reactions could not be read");
        }
    }

    async fn poll_one(&self, task: &Task) -> Result<(), IngestError> {
        let look = self.reactions_on(task).await?;
        for event in &look.events {
            self.store.apply(task.id, event, clock::now()).await?;
        }
        self.memory.remember_reactions(look.seen);
        Ok(())
    }

    /// What the reactions on a task's plan come to, and before it the text as it stands.
    pub(super) async fn reactions_on(&self, task: &Task) -> Result<Look, IngestError> {
        let posted = task.plan.as_ref().and_then(|plan| plan.comment.as_ref());
        let (Some(place), Some(posted)) = (task.origin.github(), posted) else { return Ok(Look::default()) };
        let client = self.client(place);
        let known = self.memory.reactions_on(posted.id).filter(|known| known.version == task.version);
        let fresh =
            known.as_ref().filter(|known| known.doubt.is_none_or(|doubt| Instant::now() < doubt.until));
        let etag = fresh.map(|known| known.etag.as_str());
        let (reactions, etag) = match client.reactions(posted.id, etag).await {
            Ok(Conditional::Unchanged) => return Ok(Look::default()),
            Ok(Conditional::Changed { value, etag }) => (value, etag),
            // The plan's comment is gone, and the approval's ground with it.
            Err(error) if error.is_not_found() => (Vec::new(), None),
            Err(error) => return Err(error.into()),
        };
        let verdict = match &task.state {
            State::AwaitingApproval => self
                .thumb(&client, &reactions)
                .await?
                .map(|(thumb, by)| Event::Reacted { thumb, by, on: posted.id }),
            State::Queued => withdrawn(task, &reactions),
            _ => None,
        };
        let seen = etag.filter(|_| verdict.is_none()).map(|etag| SeenReactions {
            comment: posted.id,
            etag,
            version: task.version,
            doubt: doubt(task, &reactions, known.and_then(|known| known.doubt)),
        });
        let mut events = Vec::new();
        events.extend(observe(&client, task).await?.map(Event::TextObserved));
        events.extend(verdict);
        // Whatever is remembered of before is void, whether or not this look is committed.
        self.memory.forget_reactions(posted.id);
        Ok(Look { events, seen })
    }

    /// The first thumb of somebody who may decide. One 👎 outweighs any 👍.
    async fn thumb(
        &self,
        client: &RepositoryClient,
        reactions: &[Reaction],
    ) -> Result<Option<(Thumb, Account)>, IngestError> {
        for wanted in [Thumb::Down, Thumb::Up] {
            let of_kind = reactions.iter().filter(|r| r.content == ReactionContent::Thumb(wanted));
            for user in of_kind.filter_map(|reaction| reaction.user.as_ref()) {
                if client.permission(user).await? >= APPROVAL_NEEDS {
                    return Ok(Some((wanted, user.account())));
                }
            }
        }
        Ok(None)
    }
}

/// Thumbs that were asked about and did not count.
fn doubt(task: &Task, reactions: &[Reaction], before: Option<Doubt>) -> Option<Doubt> {
    let thumbs = reactions.iter().any(|one| matches!(one.content, ReactionContent::Thumb(_)));
    if task.state != State::AwaitingApproval || !thumbs {
        return None;
    }
    let pause = before.map_or(FIRST_PAUSE, |before| (before.pause * 2).min(LONGEST_PAUSE));
    Some(Doubt { until: Instant::now() + pause, pause })
}

fn withdrawn(task: &Task, reactions: &[Reaction]) -> Option<Event> {
    let approval = task.approval.as_ref()?;
    let by = approval.by.clone().filter(|_| approval.means == ApprovalMeans::Reaction)?;
    let still_there = reactions.iter().any(|reaction| {
        reaction.content == ReactionContent::Thumb(Thumb::Up)
            && reaction.user.as_ref().is_some_and(|user| user.id == by.id.0)
    });
    (!still_there).then_some(Event::ReactionWithdrawn { by })
}

impl SeenReactions {
    pub(super) fn comment(&self) -> CommentId {
        self.comment
    }
}
