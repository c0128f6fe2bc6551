//! What somebody else's program says to a model and is answered, read from the wire format: for the record only.
//!
//! Nothing is refused here. A request that is no conversation is kept as one text, a part that is no text by what it
//! is, and what is too long without its middle. How much one record takes is bounded by the request's own size.

mod anthropic;
mod chat;
mod gemini;
mod responses;

use std::collections::HashMap;

use serde_json::{Value, json};

use super::boundary::cut_in_the_middle;
use super::message::{Message, Request, ToolCall, ToolDefinition, ToolResult};
use super::model::Protocol;
use super::reading::Draft;

/// Most of one text that is kept, in characters.
const TEXT_MAX_CHARS: usize = 200_000;
/// Turns and tools of one request that are kept.
const MOST_TURNS: usize = 4_000;
const MOST_TOOLS: usize = 400;
/// Longest id or name of a tool that is kept.
const NAME_MAX_CHARS: usize = 200;
/// Most that is said of a part that is no text.
const PART_MAX_CHARS: usize = 2_000;

/// The conversation of a request. One that cannot be read as such is a single text.
pub fn request(protocol: Protocol, body: Value) -> Request {
    let mut heard = Heard::default();
    let read = match protocol {
        Protocol::Anthropic => anthropic::read(&mut heard, &body),
        Protocol::OpenAi => chat::read(&mut heard, &body),
        Protocol::OpenAiResponses => responses::read(&mut heard, &body),
        Protocol::Gemini => gemini::read(&mut heard, &body),
        // No agent speaks it through the proxy.
        Protocol::Ollama => None,
    };
    if read.is_none() {
        heard = Heard::default();
        heard.messages.push(Message::User { text: bounded(body.to_string()) });
    }
    let left_out = heard.messages.len().saturating_sub(MOST_TURNS);
    if left_out > 0 {
        heard.messages.truncate(MOST_TURNS);
        heard.messages.push(Message::User { text: format!("[{left_out} more turns are not kept]") });
    }
    heard.tools.truncate(MOST_TOOLS);
    Request {
        system: bounded(heard.system.join("\n\n")),
        messages: heard.messages,
        tools: heard.tools,
        max_output_tokens: None,
        temperature: None,
        response_schema: heard.response_schema.filter(|schema| !schema.is_null()),
    }
}

/// An answer, event by event or whole, as far as it comes.
#[derive(Debug)]
pub struct Answered(Draft);

impl Answered {
    pub fn new(protocol: Protocol) -> Self {
        Self(Draft::new(protocol))
    }

    pub fn event(&mut self, event: Value) {
        self.0.parsed(event);
    }

    pub fn whole(&mut self, body: &Value) {
        self.0.whole(body);
    }

    /// What was read, whole or not. `None`: nothing was said.
    pub fn into_message(self) -> Option<Message> {
        let (text, tool_calls) = self.0.into_said();
        let tool_calls: Vec<ToolCall> = tool_calls
            .into_iter()
            .map(|call| ToolCall {
                id: short(&call.id),
                name: short(&call.name),
                arguments: bounded_value(call.arguments),
            })
            .collect();
        let said_something = !text.is_empty() || !tool_calls.is_empty();
        said_something.then(|| Message::Assistant { text: bounded(text), tool_calls, continuation: None })
    }
}

/// A request as far as it was read.
#[derive(Default)]
struct Heard {
    system: Vec<String>,
    messages: Vec<Message>,
    tools: Vec<ToolDefinition>,
    response_schema: Option<Value>,
    /// The tools' names by the ids of their calls: results of most formats do not say them.
    names: HashMap<String, String>,
}

/// What stands in one turn of the wire.
#[derive(Default)]
struct Turn {
    texts: Vec<String>,
    calls: Vec<ToolCall>,
    results: Vec<ToolResult>,
}

impl Heard {
    fn system(&mut self, text: String) {
        if !text.is_empty() {
            self.system.push(text);
        }
    }

    fn tool(&mut self, tool: &Value, schema: &str) {
        let text = |pointer: &str| tool.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        // A tool of the provider's own has no description, and sometimes no name.
        let name = short(&text("/name").or_else(|| text("/type")).unwrap_or_default());
        let description = bounded(text("/description").unwrap_or_default());
        let schema = bounded_value(tool.get(schema).cloned().unwrap_or_else(|| json!({})));
        self.tools.push(ToolDefinition { name, description, schema });
    }

    fn call(&mut self, id: String, name: String, arguments: Value) -> ToolCall {
        let (id, name) = (short(&id), short(&name));
        self.names.insert(id.clone(), name.clone());
        ToolCall { id, name, arguments: bounded_value(arguments) }
    }

    fn result(&self, id: String, content: String) -> ToolResult {
        let id = short(&id);
        let name = self.names.get(&id).cloned().unwrap_or_default();
        ToolResult { id, name, content: bounded(content) }
    }

    /// A turn of the user's side: what tools answered stands before what is said.
    fn user(&mut self, turn: Turn) {
        if !turn.results.is_empty() {
            self.results(turn.results);
        }
        if !turn.texts.is_empty() {
            self.messages.push(Message::User { text: bounded(turn.texts.join("\n")) });
        }
    }

    /// Results that come one by one belong together.
    fn results(&mut self, more: Vec<ToolResult>) {
        match self.messages.last_mut() {
            Some(Message::ToolResults { results }) => results.extend(more),
            _ => self.messages.push(Message::ToolResults { results: more }),
        }
    }

    fn assistant(&mut self, turn: Turn) {
        // Put together as the answer itself was read, so that both are the same text.
        let (text, tool_calls) = (bounded(turn.texts.concat()), turn.calls);
        self.messages.push(Message::Assistant { text, tool_calls, continuation: None });
    }
}

fn text_of(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Content that is a string, or parts of which each is a text or told by what it is.
fn content(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().map(|part| match part.get("text").and_then(Value::as_str) {
                Some(text) => text.to_owned(),
                None => part.as_str().map_or_else(|| no_text(part), str::to_owned),
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A part that is no text: a picture, a file, something of the provider's own.
fn no_text(part: &Value) -> String {
    let kind: String = text_of(part, "type").chars().take(60).collect();
    let kind = if kind.is_empty() { "part".to_owned() } else { kind };
    let json = part.to_string();
    format!("[{kind}, {} bytes: {}]", json.len(), cut_in_the_middle(&json, PART_MAX_CHARS))
}

/// Arguments that come as a text are JSON mostly.
fn arguments(text: &str) -> Value {
    match text.trim() {
        "" => json!({}),
        trimmed => serde_json::from_str(trimmed).unwrap_or_else(|_| json!(text)),
    }
}

fn short(name: &str) -> String {
    name.chars().take(NAME_MAX_CHARS).collect()
}

fn bounded(text: String) -> String {
    if text.len() <= TEXT_MAX_CHARS { text } else { cut_in_the_middle(&text, TEXT_MAX_CHARS) }
}

fn bounded_value(value: Value) -> Value {
    let json = value.to_string();
    if json.len() <= TEXT_MAX_CHARS { value } else { Value::String(bounded(json)) }
}

#[cfg(test)]
mod tests;
