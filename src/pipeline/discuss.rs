//! Reading the issue: tasks, or questions.

use crate::agents::{DiscussionInput, DiscussionOutcome, Workflows, discuss};
use crate::context::overview;
use crate::domain::{Event, LabelledWorkflow, Reading, SourceText, Task, TaskId, TaskSpecification};
use crate::telemetry::clock;

use super::change::{policy, snapshot};
use super::prepare::Frame;
use super::{OVERVIEW_TOKENS, Pipeline, StageEnd, StageError, agent_failure};

impl Pipeline {
    pub(super) async fn discuss(&self, task: &Task) -> Result<StageEnd, StageError> {
        let Some((source, labels)) = self.repositories.source(task).await? else {
            return Ok(StageEnd::event(Event::IssueDeleted));
        };
        if task.plan.is_some() {
            return Ok(StageEnd::event(Event::Discussed { source, reading: Reading::SamePlan }));
        }
        let checkout = self.repositories.checkout(task).await?;
        let policy = policy(&checkout, &checkout.tip)?;
        let in_force = self.in_force(&policy);
        let start = policy.label.as_deref().unwrap_or(&self.settings.label);
        let labelled = LabelledWorkflow::of(&labels, start, in_force.some_workflow()?);
        let paths = self.path_policy(&policy)?;
        let protected: Vec<&str> = paths.protected_globs().collect();
        let files = snapshot(&checkout, &checkout.tip).await?;
        let overview = overview(&files, OVERVIEW_TOKENS);
        let snippets = self.snippets(&checkout, &checkout.tip, query(&source)).await;
        let agent = self.agent(task, &policy, self.prompts(&files, &checkout.tip)?);
        let input = DiscussionInput {
            source: &source,
            overview: &overview,
            snippets: &snippets,
            protected: &protected.join(" "),
            workflows: match labelled.workflow {
                Some(workflow) => Workflows::Named(workflow),
                None => Workflows::OneOf(&in_force.router.workflows),
            },
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
                let shown = (&overview, &snippets);
                let frame = Frame { in_force: &in_force, labelled: &labelled, shown };
                let (tasks, kept) = self.prepared(task, &agent, tasks, frame).await?;
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
