//! What a call used and what it was answered, read from the answer while it passes by: whole or as a stream of events.

use serde_json::Value;

use super::format::Format;
use crate::llm::overheard::Answered;
use crate::llm::{Message, StopReason, TokenCount};

/// Longest event, and longest whole answer, that is looked into. One that is longer is passed on all the same, and
/// what it used is estimated.
const MOST_BYTES: usize = 16 << 20;

/// Most of a stream that is read for what it says, in bytes: more than any model writes, with all that a stream puts
/// around it.
const MOST_HEARD_BYTES: usize = 64 << 20;

/// Reads one answer.
#[derive(Debug)]
pub(super) struct UsageReader {
    format: Format,
    streams: bool,
    /// The line, or the answer, as far as it has come.
    pending: Vec<u8>,
    too_long: bool,
    tokens: TokenCount,
    reported: bool,
    /// Whether the provider said that the answer is whole.
    complete: bool,
    stop: Option<StopReason>,
    pieces: u64,
    said: Answered,
    heard_bytes: usize,
}

/// What an answer said of itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Read {
    /// `None`: it did not say.
    pub tokens: Option<TokenCount>,
    pub complete: bool,
    pub stop: Option<StopReason>,
    /// Events that came, each of which has about a token, or what comes to one of an answer that does not stream.
    pub pieces: u64,
}

impl UsageReader {
    pub fn new(format: Format, streams: bool) -> Self {
        Self {
            format,
            streams,
            pending: Vec::new(),
            too_long: false,
            tokens: TokenCount::default(),
            reported: false,
            complete: false,
            stop: None,
            pieces: 0,
            said: Answered::new(format.protocol()),
            heard_bytes: 0,
        }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        if !self.streams {
            return self.keep(chunk);
        }
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.keep(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.pending);
            if !std::mem::take(&mut self.too_long) {
                self.line(&line);
            }
        }
        self.keep(rest);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.too_long || self.pending.len() + bytes.len() > MOST_BYTES {
            self.too_long = true;
            self.pending = Vec::new();
        } else {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// A line of an event stream (WHATWG HTML, 9.2): only those with data count here.
    fn line(&mut self, line: &[u8]) {
        let Some(data) = line.strip_prefix(b"data:") else { return };
        let data = data.trim_ascii();
        self.pieces += 1;
        if data == b"[DONE]" {
            self.complete = true;
        } else if let Ok(event) = serde_json::from_slice::<Value>(data) {
            self.event(&event);
            self.heard_bytes = self.heard_bytes.saturating_add(data.len());
            if self.heard_bytes <= MOST_HEARD_BYTES {
                self.said.event(event);
            }
        }
    }

    /// The figures, and what was said as far as it came.
    pub fn finish(mut self) -> (Read, Option<Message>) {
        if self.streams {
            let last = std::mem::take(&mut self.pending);
            self.line(&last);
        } else {
            self.pieces = self.pending.len().div_ceil(4) as u64;
        }
        if !self.streams
            && !self.too_long
            && let Ok(answer) = serde_json::from_slice::<Value>(&self.pending)
        {
            self.complete = true;
            match answer {
                // Without `alt=sse` Gemini streams an array.
                Value::Array(events) => {
                    for event in events {
                        self.event(&event);
                        self.said.event(event);
                    }
                }
                answer => {
                    self.event(&answer);
                    self.said.whole(&answer);
                }
            }
        }
        let read = Read {
            tokens: self.reported.then_some(self.tokens),
            complete: self.complete,
            stop: self.stop,
            pieces: self.pieces,
        };
        (read, self.said.into_message())
    }

    /// An event of a stream, or a whole answer: they carry their figures at the same places.
    fn event(&mut self, event: &Value) {
        match self.format {
            Format::Messages => self.messages(event),
            Format::Chat => self.chat(event),
            Format::Responses => self.responses(event),
            Format::Gemini { .. } => self.gemini(event),
        }
    }

    /// The counts grow in the course of a stream; the last one of each holds.
    fn messages(&mut self, event: &Value) {
        self.complete |= event["type"] == "message_stop";
        let stop = event.pointer("/delta/stop_reason").or_else(|| event.get("stop_reason"));
        if let Some(reason) = stop.and_then(Value::as_str) {
            self.stop = Some(match reason {
                "end_turn" | "stop_sequence" => StopReason::Completed,
                "tool_use" => StopReason::ToolCalls,
                "max_tokens" => StopReason::OutputLimit,
                "refusal" => StopReason::Refused,
                other => other_reason(other),
            });
        }
        let Some(usage) = event.pointer("/message/usage").or_else(|| event.get("usage")) else { return };
        let number = |name: &str| usage.get(name).and_then(Value::as_u64);
        let written = number("cache_creation_input_tokens");
        if let Some(plain) = number("input_tokens") {
            let written = written.unwrap_or(self.tokens.cache_written);
            self.tokens.input = plain + written;
            self.tokens.cache_written = written;
        }
        if let Some(cached) = number("cache_read_input_tokens") {
            self.tokens.cached = cached;
        }
        if let Some(output) = number("output_tokens") {
            self.tokens.output = output;
        }
        self.reported = true;
    }

    fn chat(&mut self, event: &Value) {
        if let Some(reason) = event.pointer("/choices/0/finish_reason").and_then(Value::as_str) {
            self.stop = Some(match reason {
                "stop" => StopReason::Completed,
                "tool_calls" | "function_call" => StopReason::ToolCalls,
                "length" => StopReason::OutputLimit,
                "content_filter" => StopReason::Refused,
                other => other_reason(other),
            });
        }
        if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
            self.counted(
                usage,
                ["prompt_tokens", "completion_tokens"],
                "/prompt_tokens_details/cached_tokens",
            );
        }
    }

    fn responses(&mut self, event: &Value) {
        let kind = event["type"].as_str().unwrap_or_default();
        let answer = event.get("response").unwrap_or(event);
        self.complete |= matches!(kind, "response.completed" | "response.incomplete" | "response.failed");
        match answer["status"].as_str() {
            Some("completed") => {
                let calls = |item: &Value| item["type"].as_str().is_some_and(|kind| kind.ends_with("_call"));
                let output = answer["output"].as_array();
                let calls = output.is_some_and(|items| items.iter().any(calls));
                self.stop = Some(if calls { StopReason::ToolCalls } else { StopReason::Completed });
            }
            Some("incomplete") => {
                let reason = answer.pointer("/incomplete_details/reason").and_then(Value::as_str);
                self.stop = Some(match reason {
                    Some("max_output_tokens") => StopReason::OutputLimit,
                    Some("content_filter") => StopReason::Refused,
                    other => other_reason(other.unwrap_or("incomplete")),
                });
            }
            Some("failed") => self.stop = Some(other_reason("failed")),
            _ => {}
        }
        if let Some(usage) = answer.get("usage").filter(|usage| usage.is_object()) {
            self.counted(usage, ["input_tokens", "output_tokens"], "/input_tokens_details/cached_tokens");
        }
    }

    /// Each event has the figures of all so far. Thoughts are paid for as output
    /// (ai.google.dev/gemini-api/docs/thinking).
    fn gemini(&mut self, event: &Value) {
        if let Some(reason) = event.pointer("/candidates/0/finishReason").and_then(Value::as_str) {
            self.complete = true;
            self.stop = Some(match reason {
                "STOP" => StopReason::Completed,
                "MAX_TOKENS" => StopReason::OutputLimit,
                "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => StopReason::Refused,
                other => other_reason(other),
            });
        }
        let Some(usage) = event.get("usageMetadata") else { return };
        let number = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
        let cached = number("cachedContentTokenCount");
        let prompt = number("promptTokenCount") + number("toolUsePromptTokenCount");
        self.tokens = TokenCount {
            input: prompt.saturating_sub(cached),
            cached,
            cache_written: 0,
            output: number("candidatesTokenCount") + number("thoughtsTokenCount"),
        };
        self.reported = true;
    }

    fn counted(&mut self, usage: &Value, [input, output]: [&str; 2], cached: &str) {
        let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
        let cached = number(usage.pointer(cached));
        self.tokens = TokenCount {
            input: number(usage.get(input)).saturating_sub(cached),
            cached,
            cache_written: 0,
            output: number(usage.get(output)),
        };
        self.reported = true;
    }
}

/// A provider's word, short and on one line: it goes into a record.
fn other_reason(reason: &str) -> StopReason {
    StopReason::Other(reason.chars().filter(|c| !c.is_control()).take(60).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Format, streams: bool, text: &str, piece: usize) -> Read {
        let mut reader = UsageReader::new(format, streams);
        text.as_bytes().chunks(piece).for_each(|chunk| reader.push(chunk));
        reader.finish().0
    }

    const MESSAGES: &str = "event: message_start\r\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":10,\"cache_read_input_tokens\":100,\"output_tokens\":1}}}\r\n\r\n\
        event: ping\r\ndata: {\"type\":\"ping\"}\r\n\r\n\
        data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":15}}\r\n\r\n\
        data: {\"type\":\"message_stop\"}\r\n\r\n";
    const CHAT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}],\"usage\":null}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":50,\"completion_tokens\":7,\"prompt_tokens_details\":{\"cached_tokens\":20}}}\n\n\
        data: [DONE]\n\n";
    const RESPONSES: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"usage\":null}}\n\n\
        data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[{\"type\":\"function_call\"}],\"usage\":{\"input_tokens\":36,\"input_tokens_details\":{\"cached_tokens\":6},\"output_tokens\":87}}}\n\n";
    const GEMINI: &str = "data: {\"candidates\":[{\"content\":{}}],\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":1}}\n\n\
        data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":9,\"cachedContentTokenCount\":4,\"candidatesTokenCount\":3,\"thoughtsTokenCount\":2}}\n\n";

    #[test]
    fn a_stream_tells_what_it_used_however_it_is_cut_into_pieces() {
        let count =
            |input, cached, cache_written, output| TokenCount { input, cached, cache_written, output };
        let gemini = Format::Gemini { streams: true };
        let cases = [
            (Format::Messages, MESSAGES, count(35, 100, 10, 15), StopReason::ToolCalls),
            (Format::Chat, CHAT, count(30, 20, 0, 7), StopReason::OutputLimit),
            (Format::Responses, RESPONSES, count(30, 6, 0, 87), StopReason::ToolCalls),
            (gemini, GEMINI, count(5, 4, 0, 5), StopReason::Completed),
        ];
        for (format, text, tokens, stop) in cases {
            for piece in [1, 7, text.len()] {
                let found = read(format, true, text, piece);
                let pieces = text.matches("data:").count() as u64;
                let expected =
                    Read { tokens: Some(tokens), complete: true, stop: Some(stop.clone()), pieces };
                assert_eq!(found, expected, "{format:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_stream_that_breaks_off_tells_what_it_had_and_is_not_complete() {
        let cut = &MESSAGES[..MESSAGES.find("message_delta").expect("there")];
        let found = read(Format::Messages, true, cut, 16);
        assert_eq!(found.tokens.map(|tokens| (tokens.input, tokens.output)), Some((35, 1)));
        assert!(!found.complete);
        let found = read(Format::Chat, true, &CHAT[..60], 60);
        assert_eq!((found.tokens, found.complete), (None, false));
    }

    #[test]
    fn a_whole_answer_tells_it_too_and_junk_tells_nothing() {
        let text =
            r#"{"type":"message","stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":4}}"#;
        let found = read(Format::Messages, false, text, 10);
        assert_eq!(found.tokens.map(|tokens| (tokens.input, tokens.output)), Some((3, 4)));
        assert_eq!((found.complete, found.stop), (true, Some(StopReason::Completed)));
        for junk in ["", "{", "[[[", "\u{0}"] {
            let found = read(Format::Chat, false, junk, 1);
            assert_eq!((found.tokens, found.complete), (None, false), "{junk:?}");
        }
        for junk in ["data: {\n\ndata:\n", "\n\n\n", "data"] {
            assert_eq!(read(Format::Chat, true, junk, 3).tokens, None);
        }
    }
}
