//! The branch of a local run, in the person's own repository.

use std::time::Duration;

use crate::checkout::Home;
use crate::domain::{Event, Task};
use crate::workspace::PushError;

use super::{Done, EffectError, Effects};

impl Effects {
    pub(super) async fn write_local_branch(&self, task: &Task) -> Result<Done, EffectError> {
        let (Some(head), Some(branch)) = (&task.head, &task.branch) else {
            return Ok(Done::Void("there is nothing to write"));
        };
        let checkout = self.repositories.checkout(task).await?;
        let Home::Local(local) = checkout.home else {
            return Err(EffectError::Impossible("the repository is not a local one".into()));
        };
        match local.deliver(head, branch).await {
            Ok(_) => Ok(Done::Event(Event::LocalBranchWritten)),
            // Another run took the name in the same second: published again, it gets a later one.
            Err(PushError::Moved { actual }) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let actual = actual.map_or("nothing".to_owned(), |sha| sha.to_string());
                Ok(Done::Event(Event::PushRefused { actual }))
            }
            Err(PushError::Workspace(error)) => Err(error.into()),
            Err(error) => Err(EffectError::Impossible(error.to_string())),
        }
    }
}
