//! A question whose answer is one JSON object, checked, and told back where it is not right.

use serde_json::Value;

use super::AgentContext;
use super::error::AgentError;
use super::prompts::Rendered;
use crate::llm::boundary::{PromptText, Written};
use crate::llm::{CallContext, Message, Request, StopReason};

/// Faults told back at once; more would bury the first.
const MAX_FAULTS: usize = 12;
const FAULTS_MAX_CHARS: usize = 8_000;
/// Places in an answer where a JSON object is looked for.
const MAX_STARTS: usize = 64;

/// Asks until `check` takes the answer, `max_answers` times at most.
pub(super) async fn ask<T>(
    context: &AgentContext,
    call: &CallContext,
    prompt: Rendered,
    schema: Value,
    check: impl Fn(Value) -> Result<T, Vec<String>>,
) -> Result<T, AgentError> {
    let mut request = Request {
        system: prompt.system.into_string(),
        messages: vec![Message::user(prompt.user)],
        tools: Vec::new(),
        max_output_tokens: None,
        temperature: None,
        response_schema: Some(schema),
    };
    let attempts = context.max_answers.max(1);
    let mut last_fault = String::new();
    for _ in 0..attempts {
        let answer = context.model.call(call, request.clone()).await?;
        let faults = match (&answer.stop, object_in(&answer.text)) {
            (StopReason::Refused, _) => vec!["you refused to answer".to_owned()],
            (_, Some(object)) => match check(object) {
                Ok(checked) => return Ok(checked),
                Err(faults) => faults,
            },
            (StopReason::OutputLimit, None) => {
                vec!["the answer was cut off at the output limit: be shorter".to_owned()]
            }
            (_, None) => vec!["there is no JSON object in the answer".to_owned()],
        };
        last_fault = faults.join("; ");
        let list: Vec<_> = faults.iter().take(MAX_FAULTS).map(|fault| format!("- {fault}")).collect();
        request.messages.push(answer.into_message());
        request.messages.push(Message::user(PromptText::joined(
            [
                PromptText::own("This answer cannot be used:"),
                // It quotes the answer, and paths of the repository.
                PromptText::data("faults", &list.join("\n"), Written::AsCode, FAULTS_MAX_CHARS),
                PromptText::own("Answer again with the whole JSON object and nothing else."),
            ],
            "\n",
        )));
    }
    Err(AgentError::Junk { attempts, last_fault })
}

/// The JSON object of an answer: the text itself, or the longest object inside it (models like to wrap
/// one in a fence or in words).
pub fn object_in(text: &str) -> Option<Value> {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    if let Some(object) = parsed(text.trim()) {
        return Some(object);
    }
    let mut longest: Option<(usize, Value)> = None;
    let mut at = 0;
    for _ in 0..MAX_STARTS {
        let Some(start) = text[at..].find('{').map(|found| at + found) else { break };
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        at = match values.next() {
            Some(Ok(value)) => {
                let length = values.byte_offset();
                if longest.as_ref().is_none_or(|(known, _)| length > *known) {
                    longest = Some((length, value));
                }
                start + length
            }
            _ => start + 1,
        };
    }
    longest.map(|(_, object)| object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_found_however_it_is_wrapped() {
        let object = json!({"a": {"b": "}{"}});
        for text in [
            r#"{"a": {"b": "}{"}}"#,
            "```json\n{\"a\": {\"b\": \"}{\"}}\n```",
            "Here it is, with {braces} and {}:\n\n{\"a\": {\"b\": \"}{\"}}\n\nDone.",
        ] {
            assert_eq!(object_in(text), Some(object.clone()), "{text}");
        }
        for text in ["", "no", "[1]", "{\"a\": ", "{{{{"] {
            assert_eq!(object_in(text), None, "{text}");
        }
    }
}
