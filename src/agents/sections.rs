//! The parts that several prompts have in common, as text. Everything from outside is fenced.

use crate::domain::TaskSpecification;
use crate::llm::boundary::fence;

/// A specification as a person reads it.
pub(super) fn specification(specification: &TaskSpecification) -> String {
    let mut text = format!("Title: {}\n\nObjective: {}\n", specification.title, specification.objective);
    for (name, entries) in [
        ("Requirements", &specification.requirements),
        ("Constraints", &specification.constraints),
        ("Acceptance criteria", &specification.acceptance_criteria),
        ("Likely files", &specification.likely_files),
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

/// A section that may be empty.
pub(super) fn or_none(text: &str) -> &str {
    if text.trim().is_empty() { "(none)" } else { text }
}
