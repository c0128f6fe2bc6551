//! Reading the issue: tasks, or questions.

use crate::agents::{DiscussionInput, DiscussionOutcome, discuss};
use crate::context::overview;
use crate::domain::{Event, Origin, Reading, Reason, SourceText, Task, TaskId};
use crate::ingest::port::read_source;
use crate::telemetry::clock;

use super::change::{policy, snapshot};
use super::{OVERVIEW_TOKENS, Pipeline, StageEnd, StageError, agent_failure};

impl Pipeline {
    pub(super) async fn discuss(&self, task: &Task) -> Result<StageEnd, StageError> {
        let source = match self.source(task).await {
            Ok(source) => source,
            Err(Gone::Issue) => return Ok(StageEnd::event(Event::IssueDeleted)),
            Err(Gone::Other(error)) => return Err(error),
        };
        let checkout = self.repositories.checkout(task).await?;
        let limits = self.settings.limits.lowered_by(&policy(&checkout, &checkout.tip)?.limits);
        let overview = overview(&snapshot(&checkout, &checkout.tip)?, OVERVIEW_TOKENS);
        let agent = self.agent(task, &limits).await?;
        let outcome = discuss(&agent, DiscussionInput { source: &source, overview: &overview })
            .await
            .map_err(|error| StageError::stop(agent_failure("discussion", &error)))?;
        let reading = match outcome {
            DiscussionOutcome::Questions { understood, questions } => {
                Reading::Questions { understood, questions }
            }
            DiscussionOutcome::Tasks { understood, tasks } => {
                let new_ids = tasks.iter().skip(1).map(|_| TaskId(clock::new_id())).collect();
                Reading::Tasks { understood, specifications: tasks, new_ids }
            }
        };
        Ok(StageEnd::event(Event::Discussed { source, reading }))
    }

    /// The text to work from: the issue as it stands, or what the person of a local run gave.
    async fn source(&self, task: &Task) -> Result<SourceText, Gone> {
        let internal =
            |detail: &str| Gone::Other(StageError::stop(Reason::Internal { detail: detail.to_owned() }));
        match &task.origin {
            Origin::GitHub(place) => {
                let github = self.repositories.github.as_ref();
                let github = github.ok_or_else(|| internal("a GitHub task without a GitHub"))?;
                let client = github.repository(place).map_err(|error| Gone::Other(error.into()))?;
                match read_source(&client, place).await {
                    Ok(source) => Ok(source),
                    Err(error) if error.is_not_found() => Err(Gone::Issue),
                    Err(error) => Err(Gone::Other(error.into())),
                }
            }
            Origin::Local { .. } => {
                task.source.clone().ok_or_else(|| internal("a local task without its text"))
            }
        }
    }
}

enum Gone {
    Issue,
    Other(StageError),
}
