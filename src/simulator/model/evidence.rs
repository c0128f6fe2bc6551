//! What a request shows, whatever its wire format: the only thing that a rule may look at.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whose wire format a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireFormat {
    Anthropic,
    /// Chat completions.
    Openai,
    OpenaiResponses,
    Gemini,
    /// Chat completions with xAI's way of counting.
    Xai,
    /// Chat completions with Groq's usage.
    Groq,
    Ollama,
}

/// A request, read and found well formed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    pub wire: WireFormat,
    pub model: String,
    pub system: String,
    pub turns: Vec<Turn>,
    /// Names of the tools that the request offers.
    pub tools: Vec<String>,
    /// The output limit of the request, in tokens.
    pub max_tokens: Option<u64>,
}

/// One turn of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    User(String),
    Assistant { text: String, calls: Vec<Call> },
    ToolResults(Vec<ToolResult>),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Call {
    pub id: String,
    pub name: String,
    pub arguments: Value,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolResult {
    pub id: String,
    pub text: String,
}

impl Turn {
    /// The turn as one text; a tool call as `name {arguments}`.
    pub fn text(&self) -> String {
        match self {
            Self::User(text) => text.clone(),
            Self::Assistant { text, calls } => {
                let calls = calls.iter().map(|call| format!("{} {}", call.name, call.arguments));
                std::iter::once(text.clone()).chain(calls).collect::<Vec<_>>().join("\n")
            }
            Self::ToolResults(results) => {
                results.iter().map(|result| result.text.as_str()).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

impl Evidence {
    pub fn first_message(&self) -> String {
        self.turns.first().map(Turn::text).unwrap_or_default()
    }

    pub fn last_message(&self) -> String {
        self.turns.last().map(Turn::text).unwrap_or_default()
    }

    pub fn all_messages(&self) -> String {
        self.turns.iter().map(Turn::text).collect::<Vec<_>>().join("\n")
    }

    /// Every tool call so far, one a line.
    pub fn calls(&self) -> String {
        let calls = self.turns.iter().filter_map(|turn| match turn {
            Turn::Assistant { calls, .. } => Some(calls),
            Turn::User(_) | Turn::ToolResults(_) => None,
        });
        calls.flatten().map(|call| format!("{} {}", call.name, call.arguments)).collect::<Vec<_>>().join("\n")
    }
}

/// A refusal in a provider's own words.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub status: u16,
    /// Anthropic's `error.type`, OpenAI's `error.type`.
    pub kind: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, kind: "invalid_request_error", message: message.into() }
    }
}
