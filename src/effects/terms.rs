//! What a repository has otherwise than the deployment, as people are told it.

use crate::domain::Task;

use super::Effects;

/// The label and the rounds that hold for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub label: String,
    pub gate_rounds: u8,
    pub review_rounds: u8,
}

impl Effects {
    pub(super) fn general_terms(&self) -> Terms {
        let settings = &self.settings;
        Terms {
            label: settings.label.clone(),
            gate_rounds: settings.gate_rounds,
            review_rounds: settings.review_rounds,
        }
    }

    /// The deployment's where the repository cannot be read, which may be what there is to tell.
    pub(super) async fn terms(&self, task: &Task) -> Terms {
        let general = self.general_terms();
        match self.repositories.policy(task).await {
            Ok(policy) => Terms {
                label: policy.label.unwrap_or(general.label),
                gate_rounds: policy.limits.gate_rounds.unwrap_or(u8::MAX).min(general.gate_rounds),
                review_rounds: policy.limits.review_rounds.unwrap_or(u8::MAX).min(general.review_rounds),
            },
            Err(error) => {
                tracing::warn!(%error, "the repository's rules are unknown, telling the deployment's");
                general
            }
        }
    }
}
