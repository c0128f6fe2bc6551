//! Anthropic's Messages API: `message_start`, content blocks by index, `message_delta`, `message_stop`.

use serde_json::Value;

use super::{Counting, Draft, DraftCall, number, text_at};
use crate::llm::message::StopReason;
use crate::llm::model::TokenCount;
use crate::llm::wire_error;

pub(super) fn event(draft: &mut Draft, mut event: Value) {
    let index = usize::try_from(number(&event, "/index")).unwrap_or(usize::MAX);
    match text_at(&event, "/type") {
        Some("message_start") => usage(draft, &event["message"]["usage"], Counting::Begun),
        Some("content_block_start") => block(draft, index, event["content_block"].take()),
        Some("content_block_delta") => delta(draft, index, &event["delta"]),
        Some("message_delta") => {
            if let Some(reason) = text_at(&event, "/delta/stop_reason") {
                draft.stop = Some(stop(reason));
            }
            usage(draft, &event["usage"], Counting::Final);
        }
        Some("error") => draft.failure = Some(wire_error::reported(&event)),
        _ => {}
    }
}

pub(super) fn whole(draft: &mut Draft, body: &Value) {
    if body["type"] == "error" {
        draft.failure = Some(wire_error::reported(body));
        return;
    }
    usage(draft, &body["usage"], Counting::Final);
    for (index, content) in body["content"].as_array().into_iter().flatten().enumerate() {
        block(draft, index, content.clone());
    }
    draft.stop = text_at(body, "/stop_reason").map(stop);
}

fn block(draft: &mut Draft, index: usize, block: Value) {
    match text_at(&block, "/type") {
        Some("text") => draft.write_text(text_at(&block, "/text").unwrap_or_default()),
        Some("tool_use") => {
            let text = |pointer: &str| text_at(&block, pointer).unwrap_or_default().to_owned();
            // In a stream the input starts as `{}`, and its text follows.
            let input = block["input"].as_object().filter(|input| !input.is_empty());
            let arguments = input.map(|_| block["input"].to_string()).unwrap_or_default();
            draft.written_bytes += arguments.len();
            draft.calls.insert(index, DraftCall { id: text("/id"), name: text("/name"), arguments });
        }
        _ => draft.written_bytes += text_at(&block, "/thinking").unwrap_or_default().len(),
    }
    draft.blocks.insert(index, block);
}

fn delta(draft: &mut Draft, index: usize, delta: &Value) {
    let (field, text) = match text_at(delta, "/type") {
        Some("text_delta") => ("text", text_at(delta, "/text")),
        Some("thinking_delta") => ("thinking", text_at(delta, "/thinking")),
        Some("signature_delta") => ("signature", text_at(delta, "/signature")),
        Some("input_json_delta") => {
            let text = text_at(delta, "/partial_json").unwrap_or_default();
            draft.written_bytes += text.len();
            if let Some(call) = draft.calls.get_mut(&index) {
                call.arguments.push_str(text);
            }
            return;
        }
        _ => return,
    };
    let text = text.unwrap_or_default();
    match field {
        "text" => draft.write_text(text),
        _ => draft.written_bytes += text.len(),
    }
    if let Some(block) = draft.blocks.get_mut(&index).and_then(Value::as_object_mut) {
        // In place: an answer has thousands of pieces.
        match block.get_mut(field) {
            Some(Value::String(before)) => before.push_str(text),
            _ => {
                block.insert(field.to_owned(), Value::String(text.to_owned()));
            }
        }
    }
}

/// `message_delta` repeats what has changed, so a number that it leaves out stays as it was.
fn usage(draft: &mut Draft, usage: &Value, counting: Counting) {
    if !usage.is_object() {
        return;
    }
    let before = draft.tokens;
    let field = |name: &str, before: u64| usage[name].as_u64().unwrap_or(before);
    let cache_written = field("cache_creation_input_tokens", before.cache_written);
    let plain = field("input_tokens", before.input.saturating_sub(before.cache_written));
    let tokens = TokenCount {
        input: plain + cache_written,
        cached: field("cache_read_input_tokens", before.cached),
        cache_written,
        output: field("output_tokens", before.output),
    };
    draft.count(tokens, counting);
}

fn stop(reason: &str) -> StopReason {
    match reason {
        "end_turn" | "stop_sequence" => StopReason::Completed,
        "tool_use" => StopReason::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => StopReason::OutputLimit,
        "refusal" => StopReason::Refused,
        other => StopReason::Other(other.to_owned()),
    }
}
