//! The prompts that are in force for a task: the deployment's, and its repository's own where that is allowed.

use std::sync::Arc;

use crate::agents::Prompts;
use crate::domain::{CommitSha, Reason};
use crate::workspace::Snapshot;

use super::{Pipeline, StageError};

/// Whose prompts are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptsOf {
    Deployment,
    /// A repository's own take the place of the deployment's.
    DeploymentAndRepository,
}

impl Pipeline {
    /// By the files of the task's base, so that a change cannot alter by which words it is judged.
    pub(super) fn prompts(&self, files: &Snapshot, base: &CommitSha) -> Result<Arc<Prompts>, StageError> {
        match self.settings.prompts_of {
            PromptsOf::Deployment => Ok(Arc::clone(&self.prompts)),
            PromptsOf::DeploymentAndRepository => {
                let own = self.prompts.of_repository(files, base.as_str());
                let own = own
                    .map_err(|error| StageError::stop(Reason::RulesUnusable { detail: error.to_string() }))?;
                Ok(own.map_or_else(|| Arc::clone(&self.prompts), Arc::new))
            }
        }
    }
}
