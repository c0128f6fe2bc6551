//! Writing the code: a model with tools, on a tree in the sandbox.

use crate::agents::{AgentContext, ImplementInput, implement};
use crate::checkout::Checkout;
use crate::config::{Limits, RepositoryPolicy};
use crate::context::{overview, snippets_text};
use crate::domain::{CommitSha, Event, Reason, Task, TaskSpecification};
use crate::gates::Dependencies;
use crate::llm::boundary::PromptText;
use crate::store::Artifact;
use crate::workspace::Snapshot;

use super::change::{policy, snapshot};
use super::gate::gate_policy;
use super::publish::check_approval;
use super::time::StageTime;
use super::{OVERVIEW_TOKENS, Pipeline, SNIPPETS_TOKENS, StageEnd, StageError};

/// What every attempt at a task begins from.
pub(super) struct Ground<'a> {
    pub task: &'a Task,
    pub checkout: &'a Checkout,
    pub base: CommitSha,
    pub policy: RepositoryPolicy,
    pub limits: Limits,
    pub files: Snapshot,
    pub dependencies: Dependencies,
    pub overview: PromptText,
    pub snippets: PromptText,
}

impl Pipeline {
    pub(super) async fn implement(&self, task: &Task, time: StageTime) -> Result<StageEnd, StageError> {
        check_approval(task, self.store.rules())?;
        let specification = specification_of(task)?;
        let checkout = self.repositories.checkout(task).await?;
        let base = checkout.tip.clone();
        let policy = policy(&checkout, &base)?;
        let limits = self.settings.limits.lowered_by(&policy.limits);
        let files = snapshot(&checkout, &base).await?;
        let overview = overview(&files, OVERVIEW_TOKENS);
        let snippets = self.snippets(&checkout, &base, query(specification)).await;
        let dependencies = self.dependencies(task, &gate_policy(&policy), &files).await?;
        let agent = self.agent(task, &limits).await?;
        let candidates = self.settings.candidates.count_for(policy.candidates);
        let checkout = &checkout;
        let ground = Ground { task, checkout, base, policy, limits, files, dependencies, overview, snippets };
        if candidates > 1 {
            return self.best_of(&ground, &agent, (candidates, time)).await;
        }
        let (head, artifacts) = self.attempt(&ground, &agent, time).await?;
        match head {
            Ok(head) => {
                Ok(StageEnd { events: vec![Event::Implemented { base: ground.base, head }], artifacts })
            }
            Err(said) => Err(StageError::Stop { reason: Reason::NothingChanged { said }, kept: artifacts }),
        }
    }

    /// One attempt, in a tree of its own. The inner `Err` is what the model says where it changed nothing.
    pub(super) async fn attempt(
        &self,
        ground: &Ground<'_>,
        agent: &AgentContext,
        time: StageTime,
    ) -> Result<(Result<CommitSha, String>, Vec<Artifact>), StageError> {
        let Ground { task, checkout, base, files, .. } = ground;
        let fence = self.fence(task, checkout, base, &ground.policy)?;
        let next = self.next_commit(fence, (base, base), files);
        let session = self.sandbox.open(files).await?;
        let toolbox = self.toolbox(ground.dependencies.clone(), &next, session.as_ref());
        let input = ImplementInput {
            specification: specification_of(task)?,
            rules: &next.fence.in_words(),
            overview: &ground.overview,
            snippets: &ground.snippets,
            earlier_failures: "",
        };
        let done = implement(agent, &toolbox, time.tool_limits(&ground.limits), input).await;
        drop(toolbox);
        self.take_in(task, "implementer", &next, session, done).await
    }
}

impl Pipeline {
    /// The places that the task is probably about. Without them the model still has its tools to search with.
    pub(super) async fn snippets(&self, checkout: &Checkout, commit: &CommitSha, text: String) -> PromptText {
        let selection = self.selected(checkout, commit, (text, SNIPPETS_TOKENS)).await;
        snippets_text(&selection.map(|selection| selection.snippets).unwrap_or_default())
    }
}

pub(super) fn specification_of(task: &Task) -> Result<&TaskSpecification, StageError> {
    match &task.plan {
        Some(plan) => Ok(&plan.specification),
        None => Err(StageError::stop(Reason::Internal { detail: "the task has no plan".into() })),
    }
}

/// What to look for in the repository.
fn query(specification: &TaskSpecification) -> String {
    let mut text = format!("{}\n{}\n", specification.title, specification.objective);
    for line in specification.requirements.iter().chain(&specification.likely_files) {
        text.push_str(line);
        text.push('\n');
    }
    text
}
