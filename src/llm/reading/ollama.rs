//! Ollama's own API: one JSON object a line, the last with `done` and the counts.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::{Counting, Draft, DraftCall, number, text_at};
use crate::llm::message::StopReason;
use crate::llm::model::TokenCount;
use crate::llm::wire_error;

/// Older servers give calls no id.
static CALLS: AtomicUsize = AtomicUsize::new(0);

pub(super) fn line(draft: &mut Draft, line: &Value) {
    if line.get("error").is_some() {
        draft.failure = Some(wire_error::reported(line));
        return;
    }
    let message = &line["message"];
    draft.write_text(text_at(message, "/content").unwrap_or_default());
    draft.written_bytes += text_at(message, "/thinking").unwrap_or_default().len();
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let invented = || format!("call_{}", CALLS.fetch_add(1, Ordering::Relaxed));
        let id = text_at(call, "/id").filter(|id| !id.is_empty()).map_or_else(invented, str::to_owned);
        let name = text_at(call, "/function/name").unwrap_or_default().to_owned();
        let arguments = match &call["function"]["arguments"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        draft.written_bytes += arguments.len();
        draft.calls.insert(draft.calls.len(), DraftCall { id, name, arguments });
    }
    if line["done"] == true {
        draft.stop = Some(match text_at(line, "/done_reason") {
            Some("stop") | None => StopReason::Completed,
            Some("length") => StopReason::OutputLimit,
            Some(other) => StopReason::Other(other.to_owned()),
        });
        if line.get("prompt_eval_count").is_some() || line.get("eval_count").is_some() {
            let prompt = number(line, "/prompt_eval_count");
            let cached = number(line, "/prompt_eval_cached_count").min(prompt);
            let output = number(line, "/eval_count");
            draft.count(
                TokenCount { input: prompt - cached, cached, cache_written: 0, output },
                Counting::Final,
            );
        }
    }
}
