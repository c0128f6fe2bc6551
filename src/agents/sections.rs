//! The parts that several prompts have in common, as text. Everything from outside is fenced.

use crate::domain::TaskSpecification;
use crate::llm::boundary::{PromptText, Written};

/// More than a checked specification comes to in practice; its lists could be longer.
const SPECIFICATION_MAX_CHARS: usize = 100_000;
/// A repository may list as many globs as it likes.
const RULES_MAX_CHARS: usize = 20_000;

/// A specification as a person reads it.
pub(super) fn specification(specification: &TaskSpecification) -> PromptText {
    let mut text = format!("Title: {}\n\nObjective: {}\n", specification.title, specification.objective);
    for (name, entries) in [
        ("Requirements", &specification.requirements),
        ("Constraints", &specification.constraints),
        ("Acceptance criteria", &specification.acceptance_criteria),
        ("Likely files", &specification.likely_files),
        ("Protected files that the plan opens", &specification.protected_files),
        ("Tests and settings of gates that the task is about", &specification.altered_tests),
    ] {
        if !entries.is_empty() {
            text.push_str(&format!("\n{name}:\n"));
            for entry in entries {
                text.push_str(&format!("- {entry}\n"));
            }
        }
    }
    if !specification.prepared.design.is_empty() {
        text.push_str(&format!("\nDesign:\n{}\n", specification.prepared.design));
    }
    PromptText::data("specification", &text, Written::AsCode, SPECIFICATION_MAX_CHARS)
}

/// The path policy. A repository writes part of it, so it is data like its files.
pub(super) fn rules(text: &str) -> PromptText {
    if text.trim().is_empty() {
        return PromptText::own("(none)");
    }
    PromptText::data("rules", text, Written::AsCode, RULES_MAX_CHARS)
}
