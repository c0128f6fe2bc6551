//! Reading the issue: tasks, or questions. Where a person wrote the task itself, there is nothing to read.

use crate::agents::{AgentContext, DiscussionInput, DiscussionOutcome, Workflows, discuss};
use crate::context::overview;
use crate::domain::{Event, LabelledWorkflow, Reading, SourceText, Task, TaskId, TaskSpecification};
use crate::telemetry::clock;

use super::change::{policy, snapshot};
use super::prepare::Frame;
use super::templates::{of_repository, specification_given};
use super::{OVERVIEW_TOKENS, Pipeline, StageEnd, StageError, agent_failure};

/// What a plan says of how a task was understood that nobody had to understand.
const GIVEN: &str = "The task was given as a file, so no issue was read.";

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
        let files = snapshot(&checkout, &checkout.tip).await?;
        let overview = overview(&files, OVERVIEW_TOKENS);
        let snippets = self.snippets(&checkout, &checkout.tip, query(&source)).await;
        let agent = self.agent(task, &policy, self.prompts(&files, &checkout.tip)?);
        let templates = of_repository(&files, &agent.prompts.reviewers())?.for_labels(&labels);
        let input = DiscussionInput {
            source: &source,
            overview: &overview,
            snippets: &snippets,
            protected: &paths.protected_globs().collect::<Vec<_>>().join(" "),
            templates: &templates,
            workflows: match labelled.workflow {
                Some(workflow) => Workflows::Named(workflow),
                None => Workflows::OneOf(&in_force.router.workflows),
            },
        };
        let outcome = outcome(task, &agent, input).await?;
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

/// What a person wrote, or what a model reads out of the issue.
async fn outcome(
    task: &Task,
    agent: &AgentContext,
    input: DiscussionInput<'_>,
) -> Result<DiscussionOutcome, StageError> {
    if let Some(given) = &task.given {
        let tasks = vec![specification_given(given, input.templates)?];
        return Ok(DiscussionOutcome::Tasks { understood: GIVEN.to_owned(), tasks });
    }
    discuss(agent, input).await.map_err(|error| StageError::stop(agent_failure("discussion", &error)))
}

/// What to look for in the repository. Comments are left out: most talk about the talk.
fn query(source: &SourceText) -> String {
    format!("{}\n\n{}", source.title, source.body)
}
