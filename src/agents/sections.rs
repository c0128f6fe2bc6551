//! The parts that several prompts have in common, as text. Everything from outside is fenced.

use crate::domain::TaskSpecification;
use crate::llm::boundary::{fence, visible_text};

/// A specification as a person reads it.
pub(super) fn specification(specification: &TaskSpecification) -> String {
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
    fence("specification", &text)
}

/// The path policy. A repository writes part of it, so it is data like its files.
pub(super) fn rules(text: &str) -> String {
    if text.trim().is_empty() { "(none)".to_owned() } else { fence("rules", &visible_text(text)) }
}

/// A section that may be empty.
pub(super) fn or_none(text: &str) -> &str {
    if text.trim().is_empty() { "(none)" } else { text }
}
