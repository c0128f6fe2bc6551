//! What has been read of an answer so far, event by event, whatever the wire format.
//!
//! The client crate ends a stream that was cut off as if it were whole, loses the usage that came before
//! the cut, and drops reasoning items and their order. So the crate carries the stream, and what is in it
//! is read here. An answer is whole once the provider has said why it stopped.

mod anthropic;
mod chat;
mod gemini;
mod ollama;
mod responses;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::error::LlmError;
use super::ledger::Accounting;
use super::message::{Continuation, StopReason, ToolCall};
use super::model::{ModelName, Protocol, TokenCount};

/// More than any model writes; a server that sends more is not answering.
pub(super) const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// What one call brought, before prices.
#[derive(Debug)]
pub(super) struct Reply {
    pub text: String,
    pub tool_calls: Vec<ToolCall>,
    pub stop: StopReason,
    pub tokens: TokenCount,
    pub accounting: Accounting,
    pub continuation: Option<Continuation>,
}

/// How far the provider's count reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Counting {
    #[default]
    Nothing,
    /// The prompt, and perhaps some of the answer.
    Begun,
    Final,
}

/// A tool call as far as it was read; the arguments are JSON once they are whole.
#[derive(Debug, Default)]
struct DraftCall {
    id: String,
    name: String,
    arguments: String,
}

/// An answer under way.
#[derive(Debug)]
pub(super) struct Draft {
    protocol: Protocol,
    text: String,
    /// By their place in the answer.
    calls: BTreeMap<usize, DraftCall>,
    /// The provider's own blocks or items, by their place.
    blocks: BTreeMap<usize, Value>,
    stop: Option<StopReason>,
    /// Whether a part of the answer is a refusal, which ends like any other answer.
    holds_refusal: bool,
    tokens: TokenCount,
    counting: Counting,
    /// Of what the model wrote: text, thoughts, calls.
    written_bytes: usize,
    events: usize,
    /// What the provider reported in the middle of the answer.
    failure: Option<LlmError>,
    /// The first event that could not be read.
    junk: Option<String>,
}

impl Draft {
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            text: String::new(),
            calls: BTreeMap::new(),
            blocks: BTreeMap::new(),
            stop: None,
            holds_refusal: false,
            tokens: TokenCount::default(),
            counting: Counting::Nothing,
            written_bytes: 0,
            events: 0,
            failure: None,
            junk: None,
        }
    }

    /// One event of a stream: the text of its `data`, or a line.
    pub fn event(&mut self, data: &str) {
        let data = data.trim();
        if data.is_empty() || data == "[DONE]" || self.is_too_large() {
            return;
        }
        match serde_json::from_str::<Value>(data) {
            Ok(event) => self.parsed(event),
            Err(error) => {
                self.events += 1;
                let start: String = data.chars().take(200).collect();
                self.junk.get_or_insert_with(|| format!("{error}: {start}"));
            }
        }
    }

    /// The same, for one that has read the JSON.
    pub fn parsed(&mut self, event: Value) {
        if self.is_too_large() {
            return;
        }
        self.events += 1;
        match self.protocol {
            Protocol::Anthropic => anthropic::event(self, event),
            Protocol::OpenAi => chat::chunk(self, &event),
            Protocol::OpenAiResponses => responses::event(self, event),
            Protocol::Gemini => gemini::chunk(self, &event),
            Protocol::Ollama => ollama::line(self, &event),
        }
    }

    /// An answer that came in one piece.
    pub fn whole(&mut self, body: &Value) {
        self.events += 1;
        match self.protocol {
            Protocol::Anthropic => anthropic::whole(self, body),
            Protocol::OpenAi => chat::chunk(self, body),
            Protocol::OpenAiResponses => responses::whole(self, body),
            Protocol::Gemini => gemini::chunk(self, body),
            Protocol::Ollama => ollama::line(self, body),
        }
        if self.stop.is_none() && self.failure.is_none() {
            let start: String = body.to_string().chars().take(400).collect();
            self.junk.get_or_insert(start);
        }
    }

    pub fn is_too_large(&self) -> bool {
        self.written_bytes > MAX_ANSWER_BYTES
    }

    /// Whether the provider has said why the answer ends.
    pub fn is_whole(&self) -> bool {
        self.stop.is_some() && self.failure.is_none()
    }

    /// Why this is no answer, seen from what was read; `None` where nothing but the end is missing.
    pub fn failure(&self) -> Option<LlmError> {
        if let Some(failure) = &self.failure {
            return Some(failure.clone());
        }
        if self.is_too_large() {
            let reason = format!("the answer has more than {MAX_ANSWER_BYTES} bytes");
            return Some(LlmError::Malformed(reason));
        }
        self.junk.clone().map(LlmError::Malformed)
    }

    pub fn has_events(&self) -> bool {
        self.events > 0
    }

    /// What the provider counted, or what is to be assumed where it did not get so far: the prompt by
    /// `prompt_tokens`, the answer by four bytes a token.
    pub fn spent(&self, prompt_tokens: u64) -> (TokenCount, Accounting) {
        let mut tokens = self.tokens;
        if self.counting == Counting::Final {
            return (tokens, Accounting::Reported);
        }
        if self.counting == Counting::Nothing {
            tokens.input = prompt_tokens;
        }
        tokens.output = tokens.output.max((self.written_bytes as u64).div_ceil(4));
        (tokens, Accounting::Estimated)
    }

    /// The answer, if it is whole. `prompt_tokens` as for [`Draft::spent`].
    pub fn into_reply(self, model: &ModelName, prompt_tokens: u64) -> Option<Reply> {
        let (tokens, accounting) = self.spent(prompt_tokens);
        let mut stop = self.stop?;
        let cut_off = stop == StopReason::OutputLimit;
        // A limit can fall into the middle of a call, and half a call is never carried out.
        let tool_calls: Vec<ToolCall> =
            if cut_off { Vec::new() } else { self.calls.into_values().map(DraftCall::finish).collect() };
        if stop == StopReason::Completed && self.holds_refusal {
            stop = StopReason::Refused;
        } else if stop == StopReason::Completed && !tool_calls.is_empty() {
            // Some servers say `stop` although they call tools.
            stop = StopReason::ToolCalls;
        }
        let blocks = native_blocks(self.protocol, self.blocks, &tool_calls);
        let is_empty = self.text.is_empty() && tool_calls.is_empty();
        let continuation = (!cut_off && !is_empty && !blocks.is_empty())
            .then(|| Continuation { model: model.clone(), blocks });
        Some(Reply { text: self.text, tool_calls, stop, tokens, accounting, continuation })
    }

    /// The text and the calls as far as they came, for a record. Half a call is no call to carry out.
    pub fn into_said(self) -> (String, Vec<ToolCall>) {
        (self.text, self.calls.into_values().map(DraftCall::finish).collect())
    }

    fn write_text(&mut self, text: &str) {
        self.written_bytes += text.len();
        if !self.is_too_large() {
            self.text.push_str(text);
        }
    }

    fn count(&mut self, tokens: TokenCount, counting: Counting) {
        self.tokens = tokens;
        self.counting = counting;
    }
}

impl DraftCall {
    /// Arguments that are no JSON are kept as text, for the model to be told.
    fn finish(self) -> ToolCall {
        let arguments = match self.arguments.trim() {
            // Local servers send nothing for a call without arguments.
            "" => json!({}),
            text => serde_json::from_str(text).unwrap_or_else(|_| json!(self.arguments)),
        };
        ToolCall { id: self.id, name: self.name, arguments }
    }
}

/// The blocks that have to go back unchanged: all of them where one is a thought, and else none, for then
/// text and calls say the same.
fn native_blocks(protocol: Protocol, blocks: BTreeMap<usize, Value>, calls: &[ToolCall]) -> Vec<Value> {
    let is_thought = |block: &Value| match protocol {
        Protocol::Anthropic => {
            matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"))
        }
        Protocol::OpenAiResponses => block["type"] == "reasoning",
        Protocol::Gemini => block.get("thoughtSignature").is_some(),
        Protocol::OpenAi | Protocol::Ollama => true,
    };
    if !blocks.values().any(is_thought) {
        return Vec::new();
    }
    blocks
        .into_values()
        .map(|mut block| {
            if protocol == Protocol::Anthropic && block["type"] == "tool_use" {
                let call = calls.iter().find(|call| block["id"] == call.id.as_str());
                block["input"] = call.map_or_else(|| json!({}), |call| as_object(&call.arguments));
            }
            block
        })
        .filter(|block| block["type"] != "text" || block["text"] != "")
        .collect()
}

/// No provider takes arguments back that are not an object, not even those that it sent itself.
pub(super) fn as_object(arguments: &Value) -> Value {
    if arguments.is_object() { arguments.clone() } else { json!({"unreadable": arguments}) }
}

/// A number of a usage report, 0 where it is missing.
fn number(usage: &Value, pointer: &str) -> u64 {
    usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
