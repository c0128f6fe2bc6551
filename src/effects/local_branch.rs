//! The branch of a local run, in the person's own repository.

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
            Err(PushError::Workspace(error)) => Err(error.into()),
            Err(error) => Err(EffectError::Impossible(error.to_string())),
        }
    }
}
