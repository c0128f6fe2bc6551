//! The branch.

use std::time::Duration;

use crate::checkout::Home;
use crate::domain::{Event, Task};
use crate::github::Purpose;
use crate::workspace::{Expected, Push, PushError};

use super::{Done, EffectError, Effects};

/// A push's own limit: shorter than a lease.
const PUSH_LIMIT: Duration = Duration::from_secs(35);

impl Effects {
    /// Puts the work on its branch, if the branch is where we left it. A push that had arrived before is
    /// found by the branch being at our head.
    pub(super) async fn push(&self, task: &Task) -> Result<Done, EffectError> {
        let (Some(head), Some(branch)) = (task.head.clone(), task.branch.clone()) else {
            return Ok(Done::Void("there is nothing to push"));
        };
        if !branch.is_auto() {
            return Err(EffectError::Impossible(format!("{branch} is not ours to push to")));
        }
        let checkout = self.repositories.checkout(task).await?;
        let Home::GitHub(mut remote) = checkout.home else {
            return Err(EffectError::Impossible("a local repository is not pushed to".into()));
        };
        // What the checkout was fetched with may not write.
        let client = self.client(task, Purpose::Push)?;
        let token = client.token().await?;
        remote.token = Some(token.clone());
        let expected = match &task.remote_head {
            Some(at) => Expected::At(at.clone()),
            None => Expected::Absent,
        };
        let push = Push { remote, head: head.clone(), branch, expected, within: PUSH_LIMIT };
        match checkout.mirror.push(push).await {
            Ok(_) => Ok(Done::Event(Event::Pushed { head })),
            Err(PushError::Moved { actual }) => {
                let actual = actual.map_or_else(|| "nothing".to_owned(), |sha| sha.to_string());
                Ok(Done::Event(Event::PushRefused { actual }))
            }
            Err(PushError::Workspace(error)) if error.wants_token() => {
                // For the next try.
                client.token_instead_of(&token).await?;
                Err(EffectError::Later(error.to_string()))
            }
            Err(PushError::Workspace(error)) => Err(error.into()),
            Err(error @ (PushError::NotFastForward | PushError::Refused(_))) => {
                Err(EffectError::Impossible(error.to_string()))
            }
        }
    }
}
