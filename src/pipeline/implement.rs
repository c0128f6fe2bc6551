//! Writing the code: a model with tools, on a tree in the sandbox.

use crate::agents::{ImplementInput, implement};
use crate::checkout::Checkout;
use crate::context::{overview, snippets_text};
use crate::domain::{CommitSha, Event, Reason, Task, TaskSpecification};
use crate::llm::boundary::PromptText;

use super::change::{policy, snapshot};
use super::gate::gate_policy;
use super::publish::check_approval;
use super::time::StageTime;
use super::{OVERVIEW_TOKENS, Pipeline, SNIPPETS_TOKENS, StageEnd, StageError};

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
        let agent = self.agent(task, &limits).await?;
        let fence = self.fence(task, &checkout, &base, &policy)?;
        let next = self.next_commit(fence, (&base, &base), &files);
        let session = self.sandbox.open(&files).await?;
        let dependencies = self.dependencies(task, &gate_policy(&policy), &files).await?;
        let toolbox = self.toolbox(dependencies, &next, session.as_ref());
        let input = ImplementInput {
            specification,
            rules: &next.fence.in_words(),
            overview: &overview,
            snippets: &snippets,
            earlier_failures: "",
        };
        let done = implement(&agent, &toolbox, time.tool_limits(&limits), input).await;
        drop(toolbox);
        let (head, artifacts) = self.take_in(task, "implementer", &next, session, done).await?;
        match head {
            Ok(head) => Ok(StageEnd { events: vec![Event::Implemented { base, head }], artifacts }),
            Err(said) => Err(StageError::Stop { reason: Reason::NothingChanged { said }, kept: artifacts }),
        }
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
