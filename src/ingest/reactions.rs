//! Approval by reaction. GitHub sends no webhook for reactions: they are looked at on a schedule, with
//! conditional requests, and on every event of the issue.

use std::sync::PoisonError;

use crate::checkout::observe;
use crate::domain::{APPROVAL_NEEDS, Account, ApprovalMeans, Event, State, Task, Thumb};
use crate::github::{Reaction, ReactionContent, ReactionsSeen, RepositoryClient};
use crate::telemetry::clock;

use super::{Ingest, IngestError};

impl Ingest {
    /// One look at all plans that wait. A failure at one task does not keep the others from being
    /// looked at; it is logged, and the next round looks again.
    pub async fn poll_reactions(&self) -> Result<(), IngestError> {
        for task in self.store.tasks_in(&["awaiting_approval", "queued"]).await? {
            match self.reactions_on(&task).await {
                Ok(events) => {
                    for event in events {
                        self.store.apply(task.id, &event, clock::now()).await?;
                    }
                }
                Err(error) => tracing::warn!(task = %task.id, %error, "reactions could not be read"),
            }
        }
        Ok(())
    }

    /// What the reactions on a task's plan come to, and before it the text as it stands.
    pub(super) async fn reactions_on(&self, task: &Task) -> Result<Vec<Event>, IngestError> {
        let posted = task.plan.as_ref().and_then(|plan| plan.comment.as_ref());
        let (Some(place), Some(posted)) = (task.origin.github(), posted) else { return Ok(Vec::new()) };
        let client = self.client(place);
        let known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&posted.id).cloned();
        let (reactions, etag) = match client.reactions(posted.id, known.as_deref()).await {
            Ok(ReactionsSeen::Unchanged) => return Ok(Vec::new()),
            Ok(ReactionsSeen::Changed { reactions, etag }) => (reactions, etag),
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
        let mut events = Vec::new();
        events.extend(observe(&client, task).await?.map(Event::TextObserved));
        events.extend(verdict);
        // Kept only now: a look that failed half-way has to be taken again.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match etag {
            Some(etag) => seen.insert(posted.id, etag),
            None => seen.remove(&posted.id),
        };
        Ok(events)
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

fn withdrawn(task: &Task, reactions: &[Reaction]) -> Option<Event> {
    let approval = task.approval.as_ref()?;
    let by = approval.by.clone().filter(|_| approval.means == ApprovalMeans::Reaction)?;
    let still_there = reactions.iter().any(|reaction| {
        reaction.content == ReactionContent::Thumb(Thumb::Up)
            && reaction.user.as_ref().is_some_and(|user| user.id == by.id.0)
    });
    (!still_there).then_some(Event::ReactionWithdrawn { by })
}
