//! A short design of a large task, before anybody writes code: it is part of what a person approves.

use serde::Deserialize;
use serde_json::{Value, json};

use super::AgentContext;
use super::error::AgentError;
use super::{sections, structured};
use crate::domain::{DESIGN_MAX_CHARS, TaskSpecification};
use crate::llm::Role;
use crate::llm::boundary::PromptText;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDesign {
    design: String,
}

pub async fn design(
    context: &AgentContext,
    specification: &TaskSpecification,
    (overview, snippets): (&PromptText, &PromptText),
) -> Result<String, AgentError> {
    let values = [
        ("specification", sections::specification(specification)),
        ("overview", overview.or("(none)")),
        ("snippets", snippets.or("(none)")),
        ("max_chars", PromptText::number(DESIGN_MAX_CHARS)),
    ];
    let prompt = context.prompts.render_owned("design", &values)?;
    let schema = json!({
        "type": "object",
        "properties": {"design": {"type": "string"}},
        "required": ["design"],
        "additionalProperties": false,
    });
    let call = context.call(Role::Discussion, "design", &prompt);
    structured::ask(context, &call, prompt, schema, check).await
}

fn check(object: Value) -> Result<String, Vec<String>> {
    let raw: RawDesign = serde_json::from_value(object).map_err(|error| vec![error.to_string()])?;
    let design = raw.design.trim();
    if design.is_empty() || design.chars().count() > DESIGN_MAX_CHARS {
        return Err(vec![format!("`design` has to have 1 to {DESIGN_MAX_CHARS} characters")]);
    }
    Ok(design.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_design_is_short_and_there() {
        assert_eq!(check(json!({"design": " One module. "})), Ok("One module.".to_owned()));
        for bad in [json!({"design": " "}), json!({"design": "x".repeat(DESIGN_MAX_CHARS + 1)}), json!({})] {
            assert!(check(bad).is_err());
        }
    }
}
