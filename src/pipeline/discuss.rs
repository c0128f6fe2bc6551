//! Reading the issue: tasks, or questions.

use crate::agents::{DiscussionInput, DiscussionOutcome, discuss};
use crate::context::overview;
use crate::domain::{Event, Reading, SourceText, Task, TaskId, TaskSpecification};
use crate::telemetry::clock;

use super::change::{policy, snapshot};
use super::{OVERVIEW_TOKENS, Pipeline, StageEnd, StageError, agent_failure};

impl Pipeline {
    pub(super) async fn discuss(&self, task: &Task) -> Result<StageEnd, StageError> {
        let Some(source) = self.repositories.source(task).await? else {
            return Ok(StageEnd::event(Event::IssueDeleted));
        };
        if task.plan.is_some() {
            return Ok(StageEnd::event(Event::Discussed { source, reading: Reading::SamePlan }));
        }
        let checkout = self.repositories.checkout(task).await?;
        let policy = policy(&checkout, &checkout.tip)?;
        let limits = self.settings.limits.lowered_by(&policy.limits);
        let paths = self.path_policy(&policy)?;
        let protected: Vec<&str> = paths.protected_globs().collect();
        let files = snapshot(&checkout, &checkout.tip).await?;
        let overview = overview(&files, OVERVIEW_TOKENS);
        let snippets = self.snippets(&checkout, &checkout.tip, query(&source)).await;
        let agent = self.agent(task, &limits, self.prompts(&files, &checkout.tip)?);
        let input = DiscussionInput {
            source: &source,
            overview: &overview,
            snippets: &snippets,
            protected: &protected.join(" "),
        };
        let outcome = discuss(&agent, input)
            .await
            .map_err(|error| StageError::stop(agent_failure("discussion", &error)))?;
        let mut artifacts = Vec::new();
        let reading = match outcome {
            DiscussionOutcome::Questions { understood, questions } => {
                Reading::Questions { understood, questions }
            }
            DiscussionOutcome::Tasks { understood, tasks } => {
                // The title becomes the name of a branch, where a secret would no longer be recognised.
                let clean = |task: TaskSpecification| task.map_texts(|text| self.redactor.clean(text));
                let tasks: Vec<_> = tasks.into_iter().map(clean).collect();
                let (tasks, kept) = self.prepared(task, &agent, tasks, (&overview, &snippets)).await?;
                artifacts = kept;
                let new_ids = tasks.iter().skip(1).map(|_| TaskId(clock::new_id())).collect();
                Reading::Tasks { understood, specifications: tasks, new_ids }
            }
        };
        Ok(StageEnd { events: vec![Event::Discussed { source, reading }], artifacts })
    }
}

/// What to look for in the repository. Comments are left out: most talk about the talk.
fn query(source: &SourceText) -> String {
    format!("{}\n\n{}", source.title, source.body)
}
