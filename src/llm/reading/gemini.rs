//! Gemini's `generateContent`: parts, a finish reason, and the usage with every chunk.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{Counting, Draft, DraftCall, number, text_at};
use crate::llm::error::LlmError;
use crate::llm::message::StopReason;
use crate::llm::model::TokenCount;
use crate::llm::wire_error;

/// Calls that came without an id are numbered, so that no two of a conversation have the same.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// A chunk of a stream, or a whole answer: they have the same form.
pub(super) fn chunk(draft: &mut Draft, chunk: &Value) {
    if chunk.get("error").is_some() {
        draft.failure = Some(wire_error::reported(chunk));
        return;
    }
    let candidate = &chunk["candidates"][0];
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        read_part(draft, part);
    }
    match text_at(candidate, "/finishReason") {
        Some(reason @ ("MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL")) => {
            let reason = format!("the model could not form its tool call ({reason})");
            draft.failure = Some(LlmError::Malformed(reason));
        }
        Some(reason) => draft.stop = Some(stop(reason)),
        None if chunk.pointer("/promptFeedback/blockReason").is_some() => {
            draft.stop = Some(StopReason::Refused);
        }
        None => {}
    }
    let usage = &chunk["usageMetadata"];
    if usage.is_object() {
        let ended = draft.stop.is_some() || draft.failure.is_some();
        draft.count(tokens(usage), if ended { Counting::Final } else { Counting::Begun });
    }
}

fn read_part(draft: &mut Draft, part: &Value) {
    let place = draft.blocks.len();
    if part["thought"] == true {
        draft.written_bytes += text_at(part, "/text").unwrap_or_default().len();
        return;
    }
    if let Some(call) = part.get("functionCall").filter(|call| call.is_object()) {
        let name = text_at(call, "/name").unwrap_or_default().to_owned();
        // The client crate leaves an id of this form out when it sends the call back.
        let invented = || format!("call#{name}#{}", CALLS.fetch_add(1, Ordering::Relaxed));
        let id = text_at(call, "/id").filter(|id| !id.is_empty()).map_or_else(invented, str::to_owned);
        let arguments = call.get("args").map(Value::to_string).unwrap_or_default();
        draft.written_bytes += arguments.len();
        let mut block = part.clone();
        block["functionCall"]["id"] = Value::String(id.clone());
        draft.blocks.insert(place, block);
        draft.calls.insert(place, DraftCall { id, name, arguments });
        return;
    }
    let Some(text) = text_at(part, "/text") else { return };
    draft.write_text(text);
    let signed = |part: &Value| part.get("thoughtSignature").is_some();
    match draft.blocks.values_mut().next_back() {
        Some(last) if last.get("text").is_some() && !signed(last) && !signed(part) => {
            let before = text_at(last, "/text").unwrap_or_default();
            last["text"] = Value::String(format!("{before}{text}"));
        }
        _ => drop(draft.blocks.insert(place, part.clone())),
    }
}

/// Thoughts are charged as output, and counted apart from the candidate.
fn tokens(usage: &Value) -> TokenCount {
    let prompt = number(usage, "/promptTokenCount") + number(usage, "/toolUsePromptTokenCount");
    let cached = number(usage, "/cachedContentTokenCount").min(prompt);
    let output = number(usage, "/candidatesTokenCount") + number(usage, "/thoughtsTokenCount");
    TokenCount { input: prompt - cached, cached, cache_written: 0, output }
}

fn stop(reason: &str) -> StopReason {
    match reason {
        "STOP" => StopReason::Completed,
        "MAX_TOKENS" => StopReason::OutputLimit,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => {
            StopReason::Refused
        }
        other => StopReason::Other(other.to_owned()),
    }
}
