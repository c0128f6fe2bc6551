//! OpenAI's chat completions, as OpenAI, xAI, Groq and most other servers speak them.

use serde_json::{Value, json};

use super::{Counting, Draft, number, text_at};
use crate::llm::message::StopReason;
use crate::llm::model::TokenCount;
use crate::llm::wire_error;

/// A chunk of a stream, or a whole answer: `delta` in one, `message` in the other.
pub(super) fn chunk(draft: &mut Draft, chunk: &Value) {
    if chunk.get("error").is_some_and(|error| !error.is_null()) {
        draft.failure = Some(wire_error::reported(chunk));
        return;
    }
    let choice = &chunk["choices"][0];
    let said = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(&Value::Null);
    text(draft, said);
    for (place, call) in said["tool_calls"].as_array().into_iter().flatten().enumerate() {
        tool_call(draft, place, call);
    }
    if let Some(reason) = text_at(choice, "/finish_reason") {
        draft.stop = Some(stop(reason));
    }
    // Groq reports the usage of a stream in a field of its own.
    for usage in [&chunk["usage"], &chunk["x_groq"]["usage"]] {
        if usage.is_object() {
            let counting = if draft.stop.is_some() { Counting::Final } else { Counting::Begun };
            draft.count(tokens(usage), counting);
        }
    }
}

fn text(draft: &mut Draft, said: &Value) {
    match &said["content"] {
        Value::String(text) => draft.write_text(text),
        Value::Array(parts) => {
            for text in parts.iter().filter_map(|part| text_at(part, "/text")) {
                draft.write_text(text);
            }
        }
        _ => {}
    }
    if let Some(refusal) = text_at(said, "/refusal").filter(|refusal| !refusal.is_empty()) {
        draft.write_text(refusal);
        draft.holds_refusal = true;
    }
    // DeepSeek, Kimi and others want their thoughts back with the results of tools.
    if let Some(thought) = text_at(said, "/reasoning_content").filter(|thought| !thought.is_empty()) {
        draft.written_bytes += thought.len();
        let block = draft.blocks.entry(0).or_insert_with(|| json!({"reasoning_content": ""}));
        let before = text_at(block, "/reasoning_content").unwrap_or_default();
        block["reasoning_content"] = Value::String(format!("{before}{thought}"));
    }
}

fn tool_call(draft: &mut Draft, place: usize, call: &Value) {
    let index = call["index"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or(place);
    let drafted = draft.calls.entry(index).or_default();
    if let Some(id) = text_at(call, "/id").filter(|id| !id.is_empty()) {
        id.clone_into(&mut drafted.id);
    }
    if let Some(name) = text_at(call, "/function/name").filter(|name| !name.is_empty()) {
        name.clone_into(&mut drafted.name);
    }
    let arguments = match &call["function"]["arguments"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        // Some servers send the object itself.
        other => other.to_string(),
    };
    drafted.arguments.push_str(&arguments);
    if drafted.id.is_empty() {
        drafted.id = format!("call_{index}");
    }
    draft.written_bytes += arguments.len();
}

/// xAI leaves thoughts out of `completion_tokens`, so the total tells more.
fn tokens(usage: &Value) -> TokenCount {
    let prompt = number(usage, "/prompt_tokens");
    let cached = number(usage, "/prompt_tokens_details/cached_tokens")
        .max(number(usage, "/prompt_cache_hit_tokens"))
        .min(prompt);
    let beyond_prompt = number(usage, "/total_tokens").saturating_sub(prompt);
    TokenCount {
        input: prompt - cached,
        cached,
        cache_written: 0,
        output: number(usage, "/completion_tokens").max(beyond_prompt),
    }
}

fn stop(reason: &str) -> StopReason {
    match reason {
        "stop" => StopReason::Completed,
        "tool_calls" | "function_call" => StopReason::ToolCalls,
        "length" => StopReason::OutputLimit,
        "content_filter" => StopReason::Refused,
        other => StopReason::Other(other.to_owned()),
    }
}
