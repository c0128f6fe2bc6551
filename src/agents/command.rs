//! What an agent's own command line is told. How it is run is not here: see [`crate::engines`].

use super::fixer::FixInput;
use super::implementer::ImplementInput;
use super::prompts::{PromptError, Prompts, Rendered};
use crate::llm::PromptUsed;
use crate::llm::boundary::PromptText;

/// The task, as one text.
pub fn command_prompt(
    prompts: &Prompts,
    input: &ImplementInput<'_>,
) -> Result<(PromptText, PromptUsed), PromptError> {
    let mut values = input.values();
    // It looks around by itself, and reads the instructions that it knows by their names.
    values.retain(|(name, _)| !["overview", "snippets", "instructions"].contains(name));
    prompts.render_owned("command", &values).map(one_text)
}

/// What has to be mended, as one text.
pub fn command_fix_prompt(
    prompts: &Prompts,
    input: &FixInput<'_>,
) -> Result<(PromptText, PromptUsed), PromptError> {
    let mut values = input.values();
    values.retain(|(name, _)| *name != "instructions");
    prompts.render_owned("command_fix", &values).map(one_text)
}

fn one_text(rendered: Rendered) -> (PromptText, PromptUsed) {
    (PromptText::joined([rendered.system, rendered.user], "\n\n"), rendered.used)
}
