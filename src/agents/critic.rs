//! Two who did not write an answer: a critic who looks for what is wrong with it, and a verifier who says
//! at the end whether it holds.

use serde::Deserialize;
use serde_json::{Value, json};

use super::AgentContext;
use super::error::AgentError;
use super::{sections, structured};
use crate::domain::{Computation, TaskSpecification, Verification};
use crate::llm::Role;
use crate::llm::boundary::{PromptText, Written};

const ANSWER_MAX_CHARS: usize = 20_000;
const EVIDENCE_MAX_CHARS: usize = 60_000;
/// Most objections of one round: more would bury the first.
const MOST_OBJECTIONS: usize = 8;
const OBJECTION_MAX_CHARS: usize = 1_000;

/// An answer as those read it who judge it.
#[derive(Debug, Clone, Copy)]
pub struct JudgedAnswer<'a> {
    pub specification: &'a TaskSpecification,
    pub text: &'a str,
    /// What it cites and what stands there, as found.
    pub evidence: &'a str,
    pub computations: &'a [Computation],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawObjections {
    objections: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVerification {
    holds: bool,
    why: String,
}

/// What is wrong with the answer; nothing where it is good.
pub async fn criticise(context: &AgentContext, answer: JudgedAnswer<'_>) -> Result<Vec<String>, AgentError> {
    let prompt = context.prompts.render_owned("critic", &answer.values())?;
    let schema = json!({
        "type": "object",
        "properties": {"objections": {"type": "array", "items": {"type": "string"}}},
        "required": ["objections"],
        "additionalProperties": false,
    });
    let call = context.call(Role::Reviewer, "answer", &prompt);
    structured::ask(context, &call, prompt, schema, objections).await
}

/// Whether the answer holds.
pub async fn verify_answer(
    context: &AgentContext,
    answer: JudgedAnswer<'_>,
) -> Result<Verification, AgentError> {
    let prompt = context.prompts.render_owned("answer_verifier", &answer.values())?;
    let schema = json!({
        "type": "object",
        "properties": {"holds": {"type": "boolean"}, "why": {"type": "string"}},
        "required": ["holds", "why"],
        "additionalProperties": false,
    });
    let call = context.call(Role::Verifier, "answer", &prompt);
    structured::ask(context, &call, prompt, schema, verification).await
}

impl JudgedAnswer<'_> {
    fn values(&self) -> [(&'static str, PromptText); 4] {
        let computed: Vec<String> = self
            .computations
            .iter()
            .map(|computation| format!("{}\n--- it came to\n{}", computation.code, computation.output))
            .collect();
        let data = |name: &str, text: &str, max: usize| match text.trim() {
            "" => PromptText::own("(none)"),
            text => PromptText::data(name, text, Written::AsCode, max),
        };
        [
            ("question", sections::specification(self.specification)),
            ("answer", data("answer", self.text, ANSWER_MAX_CHARS)),
            ("evidence", data("cited places", self.evidence, EVIDENCE_MAX_CHARS)),
            ("computations", data("computations", &computed.join("\n\n"), EVIDENCE_MAX_CHARS)),
        ]
    }
}

fn objections(object: Value) -> Result<Vec<String>, Vec<String>> {
    let raw: RawObjections = serde_json::from_value(object).map_err(|error| vec![error.to_string()])?;
    let count = raw.objections.len();
    if count > MOST_OBJECTIONS {
        return Err(vec![format!(
            "`objections` has {count} entries; {MOST_OBJECTIONS} at most: the gravest"
        )]);
    }
    let cut = |text: String| text.trim().chars().take(OBJECTION_MAX_CHARS).collect::<String>();
    Ok(raw.objections.into_iter().map(cut).filter(|text| !text.is_empty()).collect())
}

fn verification(object: Value) -> Result<Verification, Vec<String>> {
    let raw: RawVerification = serde_json::from_value(object).map_err(|error| vec![error.to_string()])?;
    match raw.why.trim() {
        "" => Err(vec!["`why` is empty".to_owned()]),
        why => {
            let why = why.chars().take(OBJECTION_MAX_CHARS).collect();
            Ok(Verification { holds: raw.holds, why })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_critics_blank_words_are_no_objections_and_too_many_are_refused() {
        assert_eq!(
            objections(json!({"objections": [" ", "it is off by one"]})),
            Ok(vec!["it is off by one".into()])
        );
        assert!(objections(json!({"objections": vec!["o"; 9]})).is_err());
        assert!(objections(json!({"findings": []})).is_err());
    }

    #[test]
    fn a_verifier_has_to_say_why() {
        assert!(verification(json!({"holds": true, "why": " "})).is_err());
        let held = verification(json!({"holds": false, "why": "2 + 2 is 4"}));
        assert_eq!(held, Ok(Verification { holds: false, why: "2 + 2 is 4".into() }));
    }
}
