//! The model of a dry run: answers from the input alone, without a network, and says so.
//!
//! It decides nothing: a task is made of the issue's own words, no file is changed, no finding is made.

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::boundary;
use super::client::{CallContext, Model};
use super::error::LlmError;
use super::message::{Answer, Message, Request, StopReason, ToolCall};
use super::model::{ModelName, TokenCount};
use crate::domain::{Role, Usage};

/// Stands at the beginning of each text that no model wrote.
pub const MARK: &str = "[simulated]";

/// Longest text that is taken over from an issue, in characters.
const TAKEN_CHARS: usize = 1_500;

/// Choices that leave things as they are, where a schema offers one of them.
const NEUTRAL: [&str; 7] = ["equal", "tie", "holds", "confirmed", "keep", "unsure", "coding"];

/// Answers every role of a dry run.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimulatedModel;

impl Model for SimulatedModel {
    fn call<'a>(
        &'a self,
        context: &'a CallContext,
        request: Request,
    ) -> BoxFuture<'a, Result<Answer, LlmError>> {
        let answer = match context.role {
            Role::Discussion => text_answer(&discussion(&request)),
            // An answer in words, or somebody's judgement of one: the schema says which.
            Role::Implementer | Role::Reviewer
                if request.tools.is_empty()
                    && request.response_schema.as_ref().is_some_and(is_of_answers) =>
            {
                request.response_schema.as_ref().map_or_else(finish, |schema| text_answer(&least(schema)))
            }
            Role::Reviewer => text_answer(&json!({
                "summary": format!("{MARK} Nothing was reviewed: this is a dry run."),
                "findings": [],
            })),
            Role::Implementer | Role::Fixer => finish(),
            Role::Router | Role::Retriever | Role::Verifier | Role::Judge => {
                let schema = request.response_schema.as_ref();
                schema.map_or_else(|| text_answer(&json!({})), |schema| text_answer(&least(schema)))
            }
        };
        Box::pin(async move { Ok(answer) })
    }
}

fn discussion(request: &Request) -> Value {
    let prompt: Vec<&str> = request
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::User { text } => Some(text.as_str()),
            Message::Assistant { .. } | Message::ToolResults { .. } => None,
        })
        .collect();
    let prompt = prompt.join("\n");
    let field = |name: &str| boundary::fenced(&prompt, name).unwrap_or_default();
    let title = one_line(&field("issue title"));
    let body = cut(field("issue body").trim(), TAKEN_CHARS);
    let objective = if body.is_empty() { title.clone() } else { body };
    json!({
        "kind": "tasks",
        "understood": format!("{MARK} No model read this issue: this is a dry run. The task repeats the issue's own words."),
        "tasks": [{
            "title": cut(&format!("{MARK} {title}"), 100),
            "objective": format!("{MARK} {objective}"),
            "requirements": [format!("{MARK} What the issue asks for: {title}")],
            "constraints": [],
            "acceptance_criteria": [format!("{MARK} The gates of the repository pass.")],
            "likely_files": [],
            "protected_files": [],
            "altered_tests": [],
            "workflow": workflow(request),
            "risk": "low",
            "size": "small",
            "priority": "normal",
            "depends_on": [],
        }],
        "questions": [],
    })
}

/// Changing something, where that may be done.
fn workflow(request: &Request) -> Value {
    let of_tasks = "/properties/tasks/items/properties/workflow";
    let allowed = request.response_schema.as_ref().and_then(|schema| schema.pointer(of_tasks));
    allowed.map_or_else(|| "coding".into(), least)
}

fn is_of_answers(schema: &Value) -> bool {
    let properties = &schema["properties"];
    properties.get("answer").is_some() || properties.get("objections").is_some()
}

/// The least that satisfies a schema and decides nothing: empty lists, what leaves things as they are.
fn least(schema: &Value) -> Value {
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        let neutral =
            choices.iter().find(|choice| choice.as_str().is_some_and(|text| NEUTRAL.contains(&text)));
        return neutral.or(choices.first()).cloned().unwrap_or_default();
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    let first = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(|forms| forms.get(0));
    if let Some(form) = first {
        return least(form);
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        kind => kind.and_then(Value::as_str),
    };
    let number = |name: &str| schema.get(name).and_then(Value::as_u64).unwrap_or(0);
    match kind {
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            properties.into_iter().flatten().map(|(name, inner)| (name.clone(), least(inner))).collect()
        }
        Some("array") => {
            let inner = least(schema.get("items").unwrap_or(&Value::Null));
            (0..number("minItems")).map(|_| inner.clone()).collect()
        }
        Some("string") => json!(format!("{MARK} This is a dry run: no model was asked.")),
        Some("integer" | "number") => json!(number("minimum")),
        Some("boolean") => json!(true),
        _ => Value::Null,
    }
}

fn finish() -> Answer {
    let call = ToolCall {
        id: "simulated_1".to_owned(),
        name: "finish".to_owned(),
        arguments: json!({
            "summary": format!("{MARK} Nothing was changed: this is a dry run and no model was asked."),
            "commit_subject": format!("{MARK} nothing was changed"),
        }),
    };
    Answer { tool_calls: vec![call], stop: StopReason::ToolCalls, ..text_answer(&Value::Null) }
}

fn text_answer(value: &Value) -> Answer {
    Answer {
        text: if value.is_null() { String::new() } else { value.to_string() },
        tool_calls: Vec::new(),
        stop: StopReason::Completed,
        tokens: TokenCount::default(),
        usage: Usage::default(),
        model: ModelName { provider: "simulated".to_owned(), model: "dry-run".to_owned() },
        continuation: None,
    }
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { "an issue without a title".to_owned() } else { line }
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_schema_asks_for_is_answered_without_deciding_anything() {
        let schema = json!({"type": "object", "properties": {
            "verdicts": {"type": "array", "items": {"type": "object", "properties": {}}},
            "better": {"type": "string", "enum": ["first", "second", "equal"]},
            "score": {"type": "integer", "minimum": 1},
            "holds": {"type": "boolean"},
            "pair": {"type": "array", "minItems": 2, "items": {"type": ["null", "string"]}},
        }});
        let expected =
            json!({"verdicts": [], "better": "equal", "score": 1, "holds": true, "pair": [null, null]});
        assert_eq!(least(&schema), expected);
    }
}
