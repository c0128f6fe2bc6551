//! OpenAI's Responses API: items by index, and one last event that holds the usage.

use serde_json::Value;

use super::{Counting, Draft, DraftCall, number, text_at};
use crate::llm::message::StopReason;
use crate::llm::model::TokenCount;
use crate::llm::wire_error;

pub(super) fn event(draft: &mut Draft, mut event: Value) {
    let index = usize::try_from(number(&event, "/output_index")).unwrap_or(usize::MAX);
    match text_at(&event, "/type") {
        Some("response.output_text.delta") => {
            draft.write_text(text_at(&event, "/delta").unwrap_or_default());
        }
        Some("response.refusal.delta") => {
            draft.write_text(text_at(&event, "/delta").unwrap_or_default());
            draft.holds_refusal = true;
        }
        Some(
            "response.function_call_arguments.delta"
            | "response.reasoning_summary_text.delta"
            | "response.reasoning_text.delta",
        ) => draft.written_bytes += text_at(&event, "/delta").unwrap_or_default().len(),
        Some("response.output_item.done") => item(draft, index, event["item"].take()),
        Some("response.completed" | "response.incomplete" | "response.failed") => {
            whole(draft, &event["response"]);
        }
        Some("error") => draft.failure = Some(wire_error::reported(&event)),
        _ => {}
    }
}

/// The response itself, in one piece or at the end of a stream.
pub(super) fn whole(draft: &mut Draft, response: &Value) {
    let usage = &response["usage"];
    if usage.is_object() {
        let prompt = number(usage, "/input_tokens");
        let cached = number(usage, "/input_tokens_details/cached_tokens").min(prompt);
        let cache_written = number(usage, "/input_tokens_details/cache_write_tokens").min(prompt - cached);
        let output = number(usage, "/output_tokens");
        draft.count(TokenCount { input: prompt - cached, cached, cache_written, output }, Counting::Final);
    }
    if response["error"].is_object() {
        draft.failure = Some(wire_error::reported(response));
        return;
    }
    if draft.blocks.is_empty() {
        for (index, output) in response["output"].as_array().into_iter().flatten().enumerate() {
            item(draft, index, output.clone());
        }
    }
    if draft.text.is_empty() {
        take_text(draft);
    }
    draft.stop = match (text_at(response, "/status"), text_at(response, "/incomplete_details/reason")) {
        (Some("completed"), _) => Some(StopReason::Completed),
        (Some("incomplete"), Some("content_filter")) => Some(StopReason::Refused),
        (Some("incomplete"), Some("max_output_tokens") | None) => Some(StopReason::OutputLimit),
        (Some("incomplete"), Some(other)) => Some(StopReason::Other(other.to_owned())),
        _ => None,
    };
}

fn item(draft: &mut Draft, index: usize, item: Value) {
    if item["type"] == "function_call" {
        let text = |pointer: &str| text_at(&item, pointer).unwrap_or_default().to_owned();
        let call = DraftCall { id: text("/call_id"), name: text("/name"), arguments: text("/arguments") };
        draft.calls.insert(index, call);
    }
    draft.blocks.insert(index, item);
}

/// The text of the message items, for servers that sent no pieces of it.
fn take_text(draft: &mut Draft) {
    let items: Vec<Value> = draft.blocks.values().filter(|item| item["type"] == "message").cloned().collect();
    for part in items.iter().flat_map(|item| item["content"].as_array().into_iter().flatten()) {
        draft.write_text(text_at(part, "/text").unwrap_or_default());
        if let Some(refusal) = text_at(part, "/refusal") {
            draft.write_text(refusal);
            draft.holds_refusal = true;
        }
    }
}
