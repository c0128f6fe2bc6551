//! What is said to a model and what it answers, whoever the provider is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::boundary::PromptText;
use super::model::{ModelName, TokenCount};
use crate::domain::Usage;

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolDefinition {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments: an object.
    pub schema: Value,
}

/// A call of a tool by the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    pub arguments: Value,
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call.
    pub id: String,
    pub name: String,
    pub content: String,
}

impl ToolResult {
    pub fn of(call: &ToolCall, answer: PromptText) -> Self {
        Self { id: call.id.clone(), name: call.name.clone(), content: answer.into_string() }
    }
}

/// One turn of the conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Message {
    User { text: String },
    Assistant { text: String, tool_calls: Vec<ToolCall>, continuation: Option<Continuation> },
    ToolResults { results: Vec<ToolResult> },
}

impl Message {
    /// What we say ourselves, with the outside text in it fenced.
    pub fn user(text: PromptText) -> Self {
        Self::User { text: text.into_string() }
    }

    /// Bytes of text, for limits and estimates.
    pub fn bytes(&self) -> usize {
        match self {
            Self::User { text } => text.len(),
            Self::Assistant { text, tool_calls, .. } => {
                let calls: usize =
                    tool_calls.iter().map(|call| call.name.len() + call.arguments.to_string().len()).sum();
                text.len() + calls
            }
            Self::ToolResults { results } => results.iter().map(|result| result.content.len()).sum(),
        }
    }
}

/// The model's own form of an answer: reasoning blocks and their signatures, which some models want
/// back unchanged together with the results of their tool calls. Only for the model that wrote it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Continuation {
    pub(super) model: ModelName,
    /// Content blocks, items or parts, as the provider sent them and in its order.
    pub(super) blocks: Vec<Value>,
}

/// One question to a model.
#[derive(Debug, Clone)]
pub struct Request {
    pub system: String,
    pub messages: Vec<Message>,
    pub tools: Vec<ToolDefinition>,
    /// The model's own setting where `None`.
    pub max_output_tokens: Option<u32>,
    /// The model's own setting where `None`.
    pub temperature: Option<f64>,
    /// JSON Schema that the answer's text has to satisfy. A hint: not every provider holds to it, the
    /// caller checks.
    pub response_schema: Option<Value>,
}

impl Request {
    /// Bytes of text that go out: instructions, conversation, tool descriptions and schema.
    pub fn bytes(&self) -> usize {
        let tools: usize = self
            .tools
            .iter()
            .map(|tool| tool.name.len() + tool.description.len() + tool.schema.to_string().len())
            .sum();
        let schema = self.response_schema.as_ref().map_or(0, |schema| schema.to_string().len());
        self.system.len() + self.messages.iter().map(Message::bytes).sum::<usize>() + tools + schema
    }
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had said everything.
    Completed,
    /// It calls tools and waits for their results.
    ToolCalls,
    /// The output limit cut it off.
    OutputLimit,
    /// It, or a filter, refused.
    Refused,
    Other(String),
}

/// What a model answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub text: String,
    pub tool_calls: Vec<ToolCall>,
    pub stop: StopReason,
    pub tokens: TokenCount,
    /// With the cost by the configured prices.
    pub usage: Usage,
    /// The model that answered: not always the first of the role.
    pub model: ModelName,
    pub continuation: Option<Continuation>,
}

impl Answer {
    /// The answer as a turn of the conversation, to go on from.
    pub fn into_message(self) -> Message {
        Message::Assistant { text: self.text, tool_calls: self.tool_calls, continuation: self.continuation }
    }
}
