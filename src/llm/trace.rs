//! What was said in a call, in parts: instructions, tools, messages, answer. A part is known by its digest, so that one
//! which is said again in every call of a conversation is kept once.
//!
//! A model's own form of its answer ([`super::Continuation`]: signatures of its reasoning) is not among them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ledger::Exchange;
use super::message::{Message, Request, ToolCall, ToolDefinition, ToolResult};

/// A part of an exchange, not copied yet.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    System(&'a str),
    /// The tools that may be called, and the form of the answer.
    Means(&'a Request),
    Message(&'a Message),
}

/// A part as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Said {
    System { text: String },
    Means { tools: Vec<ToolDefinition>, response_schema: Option<Value> },
    User { text: String },
    Assistant { text: String, tool_calls: Vec<ToolCall> },
    ToolResults { results: Vec<ToolResult> },
}

impl Exchange {
    pub fn system(&self) -> Option<Part<'_>> {
        Some(self.request.system.as_str()).filter(|text| !text.is_empty()).map(Part::System)
    }

    pub fn means(&self) -> Option<Part<'_>> {
        let request = &*self.request;
        let has_any = !request.tools.is_empty() || request.response_schema.is_some();
        has_any.then_some(Part::Means(request))
    }

    pub fn messages(&self) -> impl Iterator<Item = Part<'_>> {
        self.request.messages.iter().map(Part::Message)
    }

    pub fn answered(&self) -> Option<Part<'_>> {
        self.answer.as_ref().map(Part::Message)
    }
}

impl Part<'_> {
    /// Two parts have the same one exactly when they say the same.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Hash(Sha256::new());
        match self {
            Self::System(text) => {
                hash.text("system");
                hash.text(text);
            }
            Self::Means(request) => {
                hash.text("means");
                for tool in &request.tools {
                    hash.text(&tool.name);
                    hash.text(&tool.description);
                    hash.text(&tool.schema.to_string());
                }
                hash.text("form");
                hash.text(&request.response_schema.as_ref().map(Value::to_string).unwrap_or_default());
            }
            Self::Message(Message::User { text }) => {
                hash.text("user");
                hash.text(text);
            }
            Self::Message(Message::Assistant { text, tool_calls, .. }) => {
                hash.text("assistant");
                hash.text(text);
                for call in tool_calls {
                    hash.text(&call.id);
                    hash.text(&call.name);
                    hash.text(&call.arguments.to_string());
                }
            }
            Self::Message(Message::ToolResults { results }) => {
                hash.text("results");
                for result in results {
                    hash.text(&result.id);
                    hash.text(&result.name);
                    hash.text(&result.content);
                }
            }
        }
        hash.0.finalize().into()
    }

    pub fn said(&self) -> Said {
        match *self {
            Self::System(text) => Said::System { text: text.to_owned() },
            Self::Means(request) => {
                Said::Means { tools: request.tools.clone(), response_schema: request.response_schema.clone() }
            }
            Self::Message(Message::User { text }) => Said::User { text: text.clone() },
            Self::Message(Message::Assistant { text, tool_calls, .. }) => {
                Said::Assistant { text: text.clone(), tool_calls: tool_calls.clone() }
            }
            Self::Message(Message::ToolResults { results }) => Said::ToolResults { results: results.clone() },
        }
    }
}

impl Said {
    /// The same with other texts, and with other values where tools are described and called.
    #[must_use]
    pub fn mapped(self, text_of: impl Fn(&str) -> String, value_of: impl Fn(Value) -> Value) -> Self {
        match self {
            Self::System { text } => Self::System { text: text_of(&text) },
            Self::User { text } => Self::User { text: text_of(&text) },
            Self::Means { tools, response_schema } => {
                let tools = tools.into_iter().map(|tool| ToolDefinition {
                    name: tool.name,
                    description: text_of(&tool.description),
                    schema: value_of(tool.schema),
                });
                Self::Means { tools: tools.collect(), response_schema: response_schema.map(&value_of) }
            }
            Self::Assistant { text, tool_calls } => {
                let calls = tool_calls.into_iter();
                let calls = calls.map(|call| ToolCall { arguments: value_of(call.arguments), ..call });
                Self::Assistant { text: text_of(&text), tool_calls: calls.collect() }
            }
            Self::ToolResults { results } => {
                let results = results.into_iter();
                let results =
                    results.map(|result| ToolResult { content: text_of(&result.content), ..result });
                Self::ToolResults { results: results.collect() }
            }
        }
    }

    /// Words in the place of what was said, by whoever said it.
    #[must_use]
    pub fn in_place(&self, words: &str) -> Self {
        let text = words.to_owned();
        match self {
            Self::System { .. } => Self::System { text },
            Self::Means { .. } => {
                Self::Means { tools: Vec::new(), response_schema: Some(Value::String(text)) }
            }
            Self::User { .. } => Self::User { text },
            Self::Assistant { .. } => Self::Assistant { text, tool_calls: Vec::new() },
            Self::ToolResults { results } => {
                let of = |result: &ToolResult| ToolResult { content: words.to_owned(), ..result.clone() };
                Self::ToolResults { results: results.first().map(of).into_iter().collect() }
            }
        }
    }
}

/// Each text with its length before it, so that none can pass for the end of another.
struct Hash(Sha256);

impl Hash {
    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::boundary::PromptText;
    use serde_json::json;

    fn results(content: &str) -> Message {
        let result = ToolResult { id: "1".into(), name: "read".into(), content: content.into() };
        Message::ToolResults { results: vec![result] }
    }

    #[test]
    fn parts_that_differ_in_anything_have_digests_of_their_own() {
        let call = |id: &str, arguments: Value| Message::Assistant {
            text: "a".into(),
            tool_calls: vec![ToolCall { id: id.into(), name: "read".into(), arguments }],
            continuation: None,
        };
        let messages = [
            Message::user(PromptText::own("a")),
            Message::user(PromptText::own("b")),
            results("a"),
            results("b"),
            call("1", json!({ "path": "a" })),
            call("2", json!({ "path": "a" })),
            call("1", json!({ "path": "b" })),
        ];
        let mut digests: Vec<_> = messages.iter().map(|message| Part::Message(message).digest()).collect();
        digests.push(Part::System("a").digest());
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), messages.len() + 1);
        assert_eq!(Part::Message(&results("a")).digest(), Part::Message(&results("a")).digest());
    }

    #[test]
    fn what_is_kept_is_read_back_as_it_was_said() {
        let message = results("nul \0 and é");
        let said = Part::Message(&message).said();
        let bytes = serde_json::to_vec(&said).expect("JSON");
        assert_eq!(serde_json::from_slice::<Said>(&bytes).expect("the same"), said);
    }
}
