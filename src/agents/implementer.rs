//! Carries out one approved task on a tree, with tools.

use super::AgentContext;
use super::error::AgentError;
use super::sections;
use super::tool_loop::{self, Finished, LoopInput, Step, ToolLimits};
use super::tools::Toolbox;
use crate::domain::{TaskSpecification, Usage};
use crate::llm::Role;
use crate::llm::boundary::{PromptText, Written};

const FAILURES_MAX_CHARS: usize = 20_000;

/// What the implementer reads before it begins.
#[derive(Debug, Clone, Copy)]
pub struct ImplementInput<'a> {
    pub specification: &'a TaskSpecification,
    /// What the change may not touch; see [`crate::guard::PathPolicy::in_words`].
    pub rules: &'a str,
    /// What the repository's maintainers write for those who work in it, fenced; may be empty.
    pub instructions: &'a PromptText,
    /// See [`crate::context::overview`].
    pub overview: &'a PromptText,
    /// See [`crate::context::Contexts::select`]; fenced by [`crate::context::snippets_text`].
    pub snippets: &'a PromptText,
    /// What went wrong in earlier attempts, in short; may be empty.
    pub earlier_failures: &'a str,
}

/// What a tool loop ended with. The change itself is in the tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Implemented {
    pub summary: String,
    pub commit_subject: String,
    pub transcript: Vec<Step>,
    pub steps: u32,
    pub usage: Usage,
}

pub async fn implement(
    context: &AgentContext,
    toolbox: &dyn Toolbox,
    limits: ToolLimits,
    input: ImplementInput<'_>,
) -> Result<Implemented, AgentError> {
    let prompt = context.prompts.render_owned("implementer", &input.values())?;
    let call = context.call(Role::Implementer, "implement", &prompt);
    tool_loop::run(LoopInput { context, call: &call, toolbox, limits }, prompt).await.map(Into::into)
}

impl ImplementInput<'_> {
    /// What stands for the names in a prompt.
    pub(super) fn values(&self) -> Vec<(&'static str, PromptText)> {
        let failures = match self.earlier_failures.trim() {
            "" => PromptText::own("(none)"),
            failures => PromptText::data("earlier attempts", failures, Written::AsCode, FAILURES_MAX_CHARS),
        };
        vec![
            ("specification", sections::specification(self.specification)),
            ("rules", sections::rules(self.rules)),
            ("instructions", self.instructions.or("(none)")),
            ("overview", self.overview.or("(none)")),
            ("snippets", self.snippets.or("(none)")),
            ("earlier_failures", failures),
        ]
    }
}

impl From<Finished> for Implemented {
    fn from(finished: Finished) -> Self {
        Self {
            summary: finished.finish.summary,
            commit_subject: finished.finish.commit_subject,
            steps: finished.transcript.len() as u32,
            transcript: finished.transcript,
            usage: finished.usage,
        }
    }
}
