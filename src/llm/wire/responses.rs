//! The conversation in the items of OpenAI's Responses API.
//!
//! The client crate rebuilds reasoning items from their encrypted part; here they go back as they came,
//! with their summary and in their place.

use serde_json::{Value, json};

use super::super::message::{Message, Request};
use super::super::model::{ModelName, Protocol};
use super::super::reading::as_object;
use super::request::call_id;

/// Whether the model thinks, by its name: others refuse to be asked for what they thought.
pub(super) fn thinks(model: &str) -> bool {
    let families = ["gpt-5", "gpt-6", "o1", "o3", "o4", "codex"];
    families.iter().any(|family| model.starts_with(family)) && !model.contains("chat")
}

pub(super) fn input(model: &ModelName, request: &Request) -> Vec<Value> {
    request.messages.iter().flat_map(|message| items(model, message)).collect()
}

fn items(model: &ModelName, message: &Message) -> Vec<Value> {
    let id = |id: &str| call_id(Protocol::OpenAiResponses, id);
    match message {
        Message::User { text } => vec![json!({"role": "user", "content": text})],
        Message::Assistant { continuation: Some(continuation), .. } if continuation.model == *model => {
            continuation.blocks.clone()
        }
        Message::Assistant { text, tool_calls, .. } => {
            let said = match (text.is_empty(), tool_calls.is_empty()) {
                (false, _) => Some(text.as_str()),
                // No provider takes an empty turn.
                (true, true) => Some("(no answer)"),
                (true, false) => None,
            };
            let said = said.map(|text| {
                let content = json!([{"type": "output_text", "text": text}]);
                json!({"type": "message", "role": "assistant", "content": content})
            });
            let calls = tool_calls.iter().map(|call| {
                let arguments = as_object(&call.arguments).to_string();
                json!({"type": "function_call", "call_id": id(&call.id), "name": call.name, "arguments": arguments})
            });
            said.into_iter().chain(calls).collect()
        }
        Message::ToolResults { results } => results
            .iter()
            .map(|result| {
                json!({"type": "function_call_output", "call_id": id(&result.id), "output": result.content})
            })
            .collect(),
    }
}
