//! Ollama's own API: `POST /api/chat`, one JSON object a line.
//!
//! Ollama refuses little: it skips fields that it does not know, and takes turns in any order.

use serde_json::{Value, json};

use super::counting::{Block, Counted};
use super::evidence::{Call, Evidence, Refusal, ToolResult, Turn, WireFormat};
use super::said::{Frame, Mark, Said, pieces};
use super::scenario::Stop;

pub(super) fn read(body: &Value) -> Result<(Evidence, Vec<Block>), Refusal> {
    let model = body["model"].as_str().filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| Refusal::invalid("model is required"))?.to_owned();
    match &body["format"] {
        Value::Null | Value::Object(_) => {}
        Value::String(text) if text == "json" || text.is_empty() => {}
        other => {
            return Err(Refusal::invalid(format!(
                "invalid format: {other}; expected \"json\" or a JSON schema"
            )));
        }
    }
    for option in ["num_predict", "num_ctx"] {
        let value = &body["options"][option];
        if !value.is_null() && !value.is_i64() {
            return Err(Refusal::invalid(format!("option \"{option}\" must be of type integer")));
        }
    }
    let mut blocks = Vec::new();
    let mut tools = Vec::new();
    for tool in body["tools"].as_array().into_iter().flatten() {
        tools.extend(tool["function"]["name"].as_str().map(str::to_owned));
        blocks.push(Block::of(tool, false));
    }
    let mut system = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let text = message["content"].as_str().unwrap_or_default().to_owned();
        match message["role"].as_str() {
            Some("system") => system.push(text),
            Some("user") => turns.push(Turn::User(text)),
            Some("assistant") => turns.push(Turn::Assistant { text, calls: read_calls(message)? }),
            Some("tool") => {
                let id = message["tool_name"].as_str().unwrap_or_default().to_owned();
                match turns.last_mut() {
                    Some(Turn::ToolResults(results)) => results.push(ToolResult { id, text }),
                    _ => turns.push(Turn::ToolResults(vec![ToolResult { id, text }])),
                }
            }
            other => {
                let role = other.unwrap_or_default();
                return Err(Refusal::invalid(format!("invalid role: {role}")));
            }
        }
        blocks.push(Block::of(message, false));
    }
    let max_tokens = body["options"]["num_predict"].as_u64();
    let evidence =
        Evidence { wire: WireFormat::Ollama, model, system: system.join("\n\n"), turns, tools, max_tokens };
    Ok((evidence, blocks))
}

fn read_calls(message: &Value) -> Result<Vec<Call>, Refusal> {
    let calls = message["tool_calls"].as_array().into_iter().flatten();
    calls
        .map(|call| {
            let function = &call["function"];
            let name = function["name"].as_str().unwrap_or_default().to_owned();
            if !function["arguments"].is_object() {
                return Err(Refusal::invalid(
                    "json: cannot unmarshal string into Go struct field .messages.tool_calls.function.arguments",
                ));
            }
            Ok(Call { id: name.clone(), name, arguments: function["arguments"].clone() })
        })
        .collect()
}

fn line(said: &Said<'_>, message: &Value) -> Value {
    json!({"model": said.model, "created_at": "2026-11-21T10:00:00Z", "message": message, "done": false})
}

fn calls(said: &Said<'_>) -> Value {
    said.calls
        .iter()
        .map(|call| json!({"function": {"name": call.name, "arguments": call.arguments}}))
        .collect()
}

fn end(mut line: Value, said: &Said<'_>, counted: &Counted) -> Value {
    line["done"] = json!(true);
    line["done_reason"] = json!(match said.stop {
        Stop::OutputLimit => "length",
        // A local model has no filter: it refuses in words.
        Stop::Natural | Stop::Refusal => "stop",
    });
    line["prompt_eval_count"] = json!(counted.input + counted.cached);
    if counted.cached > 0 {
        line["prompt_eval_cached_count"] = json!(counted.cached);
    }
    line["eval_count"] = json!(counted.output);
    line
}

pub(super) fn answer(said: &Said<'_>, counted: &Counted) -> Value {
    let mut message = json!({"role": "assistant", "content": said.text});
    if !said.thought.is_empty() {
        message["thinking"] = json!(said.thought);
    }
    if !said.calls.is_empty() {
        message["tool_calls"] = calls(said);
    }
    end(line(said, &message), said, counted)
}

pub(super) fn frames(said: &Said<'_>, counted: &Counted) -> Vec<Frame> {
    let frame = |line: &Value, mark| Frame { text: format!("{line}\n"), mark };
    let message = |field: &str, text: String| json!({"role": "assistant", "content": "", field: text});
    let mut frames = Vec::new();
    for (field, text) in [("thinking", said.thought), ("content", said.text)] {
        let pieces = pieces(text).into_iter().map(|piece| line(said, &message(field, piece)));
        frames.extend(pieces.map(|line| frame(&line, Mark::Part)));
    }
    if !said.calls.is_empty() {
        let message = json!({"role": "assistant", "content": "", "tool_calls": calls(said)});
        let text = format!("{}\n", line(said, &message));
        // Half of the line, so that there is a place in the middle of a call.
        let (head, tail) = text.split_at(text.len() / 2);
        frames.push(Frame { text: head.to_owned(), mark: Mark::InCall });
        frames.push(Frame { text: tail.to_owned(), mark: Mark::Part });
    }
    let empty = line(said, &json!({"role": "assistant", "content": ""}));
    frames.push(frame(&end(empty, said, counted), Mark::Usage));
    frames
}
