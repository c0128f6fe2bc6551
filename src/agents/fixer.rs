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
use crate::llm::boundary::{PromptText, Written};

const CHANGE_MAX_CHARS: usize = 80_000;
/// Longest log of one gate, in characters; the middle is left out.
const LOG_MAX_CHARS: usize = 20_000;
const NAMES_MAX_CHARS: usize = 20_000;
/// GitHub's longest comment, and more.
const TEXT_MAX_CHARS: usize = 70_000;

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
    /// What the repository's maintainers write for those who work in it, fenced; may be empty.
    pub instructions: &'a PromptText,
    pub change: &'a Change,
    /// Places that may matter for what is wrong; fenced by [`crate::context::snippets_text`].
    pub places: &'a PromptText,
    pub wrong: &'a [Wrong],
}

/// Mends what is wrong in the tree, which already has the change in it.
pub async fn fix(
    context: &AgentContext,
    toolbox: &dyn Toolbox,
    limits: ToolLimits,
    input: FixInput<'_>,
) -> Result<Implemented, AgentError> {
    let prompt = context.prompts.render_owned("fixer", &input.values())?;
    let call = context.call(Role::Fixer, "fix", &prompt);
    tool_loop::run(LoopInput { context, call: &call, toolbox, limits }, prompt).await.map(Into::into)
}

impl FixInput<'_> {
    /// What stands for the names in a prompt.
    pub(super) fn values(&self) -> Vec<(&'static str, PromptText)> {
        let change = self.change.text(CHANGE_MAX_CHARS);
        // What cannot be shown is named behind the rest, so there is some room for that.
        let change = PromptText::data("change", &change, Written::AsCode, CHANGE_MAX_CHARS + NAMES_MAX_CHARS);
        vec![
            ("specification", sections::specification(self.specification)),
            ("rules", sections::rules(self.rules)),
            ("instructions", self.instructions.or("(none)")),
            ("change", change),
            ("places", self.places.or("(none)")),
            ("wrong", PromptText::joined(self.wrong.iter().map(Wrong::text), "\n\n")),
        ]
    }
}

impl Wrong {
    fn text(&self) -> PromptText {
        let (intro, data) = match self {
            Self::Gate { name, command, end, log } => {
                // The end of the log says how the gate ended: it has to survive the cut.
                let log = cut_in_the_middle(log, LOG_MAX_CHARS);
                let text = format!("The gate {name:?}\n$ {command}\n{log}\n[{end}]");
                let data = PromptText::data("log", &text, Written::AsCode, 2 * LOG_MAX_CHARS);
                ("A gate did not pass. Its name, its command, its log and how it ended:", data)
            }
            Self::Finding(finding) => {
                let mut text = format!(
                    "{} at {}:{}-{}, found by {}: {}\n{}",
                    finding.severity.as_str(),
                    finding.path,
                    finding.start_line,
                    finding.end_line,
                    finding.reviewers().collect::<Vec<_>>().join(", "),
                    finding.title,
                    finding.why
                );
                if let Some(suggestion) = &finding.suggestion {
                    text.push_str(&format!("\nSuggested in place of these lines:\n{suggestion}"));
                }
                let data = PromptText::data("finding", &text, Written::AsCode, TEXT_MAX_CHARS);
                ("A finding of a reviewer:", data)
            }
            Self::Instruction { by, text } => {
                let name = format!("instruction of {by}");
                let data = PromptText::data(&name, text, Written::ForPeople, TEXT_MAX_CHARS);
                ("What a person asks for, who may decide about this change:", data)
            }
        };
        PromptText::joined([PromptText::own(intro), data], "\n")
    }
}
