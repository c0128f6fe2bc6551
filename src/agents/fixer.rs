//! Mends a change that failed a gate, has findings against it, or does not please a person.

use super::AgentContext;
use super::change::Change;
use super::error::AgentError;
use super::implementer::Implemented;
use super::sections;
use super::tool_loop::{self, LoopInput, ToolLimits};
use super::tools::{Toolbox, cut_in_the_middle};
use crate::domain::{Finding, TaskSpecification};
use crate::llm::Role;
use crate::llm::boundary::{fence, visible_text, without_hidden_characters};

const CHANGE_MAX_CHARS: usize = 80_000;
/// Longest log of one gate, in characters; the middle is left out.
const LOG_MAX_CHARS: usize = 20_000;

/// One thing that is wrong with the change.
#[derive(Debug, Clone, PartialEq)]
pub enum Wrong {
    /// A gate that did not pass, as we saw it end.
    Gate {
        name: String,
        command: String,
        end: String,
        log: String,
    },
    Finding(Finding),
    /// A person's own words.
    Instruction {
        by: String,
        text: String,
    },
}

/// What the fixer reads.
#[derive(Debug, Clone, Copy)]
pub struct FixInput<'a> {
    pub specification: &'a TaskSpecification,
    /// What the change may not touch; see [`crate::guard::PathPolicy::in_words`].
    pub rules: &'a str,
    pub change: &'a Change,
    pub wrong: &'a [Wrong],
}

/// Mends what is wrong in the tree, which already has the change in it.
pub async fn fix(
    context: &AgentContext,
    toolbox: &dyn Toolbox,
    limits: ToolLimits,
    input: FixInput<'_>,
) -> Result<Implemented, AgentError> {
    let change = without_hidden_characters(&input.change.text(CHANGE_MAX_CHARS));
    let wrong: Vec<_> = input.wrong.iter().map(Wrong::text).collect();
    let prompt = context.prompts.render(
        "fixer",
        &[
            ("specification", &sections::specification(input.specification)),
            ("rules", &sections::rules(input.rules)),
            ("change", &fence("change", &change)),
            ("wrong", &wrong.join("\n\n")),
        ],
    )?;
    let call = context.call(Role::Fixer, "fix");
    tool_loop::run(LoopInput { context, call: &call, toolbox, limits }, prompt).await.map(Into::into)
}

impl Wrong {
    fn text(&self) -> String {
        match self {
            Self::Gate { name, command, end, log } => {
                let log = cut_in_the_middle(&without_hidden_characters(log), LOG_MAX_CHARS);
                let log = fence("log", &format!("$ {command}\n{log}\n[{end}]"));
                format!("The gate {name:?} did not pass ({end}). Its log:\n{log}")
            }
            Self::Finding(finding) => {
                let mut text = format!(
                    "{} at {}:{}-{}: {}\n{}",
                    finding.severity.as_str(),
                    finding.path,
                    finding.start_line,
                    finding.end_line,
                    finding.title,
                    finding.why
                );
                if let Some(suggestion) = &finding.suggestion {
                    text.push_str(&format!("\nSuggested in place of these lines:\n{suggestion}"));
                }
                format!("A finding of the reviewer {:?}:\n{}", finding.reviewer, fence("finding", &text))
            }
            Self::Instruction { by, text } => {
                format!(
                    "What {by} asks for, who may decide about this change:\n{}",
                    fence("instruction", &visible_text(text))
                )
            }
        }
    }
}
