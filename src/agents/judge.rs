//! Compares two changes for the same task, twice, each shown first once: a model that prefers a place and not a
//! change comes to a tie.

use serde::Deserialize;
use serde_json::{Value, json};

use super::AgentContext;
use super::error::AgentError;
use super::sections;
use super::structured;
use crate::domain::TaskSpecification;
use crate::llm::Role;
use crate::llm::boundary::{PromptText, Written};

const CHANGE_MAX_CHARS: usize = 120_000;
const WHY_MAX_CHARS: usize = 2_000;
const BEST_SCORE: u32 = 10;

/// What the judge reads. Who made which change is not told.
#[derive(Debug, Clone, Copy)]
pub struct JudgeInput<'a> {
    pub specification: &'a TaskSpecification,
    /// Both as patches.
    pub one: &'a str,
    pub other: &'a str,
}

/// The scores of both, each the sum of both orders: 0..=20.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    pub one: u32,
    pub other: u32,
    /// What was said when the one was shown first, and when the other was.
    pub why: [String; 2],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opinion {
    first: u32,
    second: u32,
    why: String,
}

/// Fails where one of the two answers is missing: a comparison in one order only would be none.
pub async fn compare(context: &AgentContext, input: JudgeInput<'_>) -> Result<Comparison, AgentError> {
    let swapped = JudgeInput { one: input.other, other: input.one, ..input };
    let (straight, swapped) = futures::future::join(ask(context, input), ask(context, swapped)).await;
    let (straight, swapped) = (straight?, swapped?);
    Ok(Comparison {
        one: straight.first + swapped.second,
        other: straight.second + swapped.first,
        why: [straight.why, swapped.why],
    })
}

async fn ask(context: &AgentContext, input: JudgeInput<'_>) -> Result<Opinion, AgentError> {
    let shown = |name, patch| PromptText::data(name, patch, Written::AsCode, CHANGE_MAX_CHARS);
    let prompt = context.prompts.render(
        "judge",
        &[
            ("specification", &sections::specification(input.specification)),
            ("first", &shown("first change", input.one)),
            ("second", &shown("second change", input.other)),
        ],
    )?;
    let call = context.call(Role::Judge, "judge", &prompt);
    structured::ask(context, &call, prompt, schema(), check).await
}

fn check(object: Value) -> Result<Opinion, Vec<String>> {
    let mut opinion: Opinion = serde_json::from_value(object).map_err(|error| vec![error.to_string()])?;
    let mut faults = Vec::new();
    for (name, score) in [("first", opinion.first), ("second", opinion.second)] {
        if score > BEST_SCORE {
            faults.push(format!("`{name}` has to be a whole number from 0 to {BEST_SCORE}"));
        }
    }
    opinion.why = opinion.why.trim().to_owned();
    if opinion.why.is_empty() || opinion.why.chars().count() > WHY_MAX_CHARS {
        faults.push(format!("`why` has to have 1 to {WHY_MAX_CHARS} characters"));
    }
    if faults.is_empty() { Ok(opinion) } else { Err(faults) }
}

fn schema() -> Value {
    let score = json!({"type": "integer"});
    json!({
        "type": "object",
        "properties": {"first": score, "second": score, "why": {"type": "string"}},
        "required": ["first", "second", "why"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opinion_without_scores_or_reason_is_told_back() {
        let cases = [
            (json!({"first": 11, "second": 3, "why": "w"}), "`first` has to be"),
            (json!({"first": 1, "second": -3, "why": "w"}), "invalid value"),
            (json!({"first": 1, "second": 3, "why": " "}), "`why` has to have"),
            (json!({"first": 1, "why": "w"}), "missing field `second`"),
            (json!({"winner": "first"}), "unknown field"),
        ];
        for (answer, part) in cases {
            let faults = check(answer.clone()).map(|_| ()).expect_err("faulty").join("; ");
            assert!(faults.contains(part), "{answer}: {faults}");
        }
        assert!(check(json!({"first": 0, "second": 10, "why": "w"})).is_ok());
    }
}
