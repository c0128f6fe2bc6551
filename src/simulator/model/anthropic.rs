//! Anthropic's wire format: `POST /v1/messages`, version 2023-06-01.
//!
//! Rules and wording follow the Messages API's reference and its error answers.

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use super::counting::{Block, Counted};
use super::evidence::{Call, Evidence, Refusal, ToolResult, Turn, WireFormat};
use super::said::{Frame, Mark, Said, pieces};
use super::scenario::Stop;
use super::schema_rules;

const FIELDS: [&str; 17] = [
    "model",
    "messages",
    "max_tokens",
    "system",
    "tools",
    "tool_choice",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "metadata",
    "thinking",
    "output_config",
    "service_tier",
    "cache_control",
    "container",
];
const MAX_BREAKPOINTS: usize = 4;

pub(super) fn check_headers(headers: &HeaderMap, key: &str) -> Result<(), Refusal> {
    let refuse =
        |message: &str| Refusal { status: 401, kind: "authentication_error", message: message.into() };
    match headers.get("x-api-key") {
        None => return Err(refuse("x-api-key header is required")),
        Some(given) if given.as_bytes() != key.as_bytes() => return Err(refuse("invalid x-api-key")),
        Some(_) => {}
    }
    match headers.get("anthropic-version").map(|value| value.as_bytes()) {
        Some(b"2023-06-01") => Ok(()),
        Some(_) => Err(Refusal::invalid("anthropic-version: is not a valid version")),
        None => Err(Refusal::invalid("anthropic-version: header is required")),
    }
}

pub(super) fn read(body: &Value) -> Result<(Evidence, Vec<Block>), Refusal> {
    let object = body.as_object().ok_or_else(|| Refusal::invalid("the body is not a JSON object"))?;
    if let Some(unknown) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(Refusal::invalid(format!("{unknown}: Extra inputs are not permitted")));
    }
    let model = required_text(object, "model")?;
    let max_tokens = match object.get("max_tokens").map(Value::as_u64) {
        None => return Err(Refusal::invalid("max_tokens: Field required")),
        Some(None | Some(0)) => {
            return Err(Refusal::invalid("max_tokens: Input should be greater than or equal to 1"));
        }
        Some(Some(tokens)) => tokens,
    };
    if object.get("temperature").is_some_and(|t| !t.as_f64().is_some_and(|t| (0.0..=1.0).contains(&t))) {
        return Err(Refusal::invalid("temperature: range: 0..1"));
    }
    if let Some(format) = object.get("output_config").and_then(|config| config.get("format")) {
        let schema = format.get("schema").unwrap_or(&Value::Null);
        schema_rules::closed_objects(schema, "output_config.format.schema").map_err(Refusal::invalid)?;
    }
    let mut blocks = Vec::new();
    let tools = read_tools(object.get("tools"), &mut blocks)?;
    let system = read_system(object.get("system"), &mut blocks)?;
    let turns = read_messages(object.get("messages"), &mut blocks)?;
    let breakpoints = blocks.iter().filter(|block| block.breakpoint).count();
    if breakpoints > MAX_BREAKPOINTS {
        return Err(Refusal::invalid(format!(
            "A maximum of 4 blocks with cache_control may be provided. Found {breakpoints}."
        )));
    }
    let evidence =
        Evidence { wire: WireFormat::Anthropic, model, system, turns, tools, max_tokens: Some(max_tokens) };
    Ok((evidence, blocks))
}

fn required_text(object: &Map<String, Value>, field: &str) -> Result<String, Refusal> {
    match object.get(field) {
        None => Err(Refusal::invalid(format!("{field}: Field required"))),
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(_) => Err(Refusal::invalid(format!("{field}: Input should be a valid string"))),
    }
}

fn block(value: &Value) -> Block {
    Block::of(value, value.get("cache_control").is_some())
}

fn read_tools(tools: Option<&Value>, blocks: &mut Vec<Block>) -> Result<Vec<String>, Refusal> {
    let mut names: Vec<String> = Vec::new();
    for (index, tool) in tools.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let name = tool.get("name").and_then(Value::as_str).unwrap_or_default();
        if !is_tool_name(name, 128) {
            return Err(Refusal::invalid(format!(
                "tools.{index}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
            )));
        }
        if names.iter().any(|known| known == name) {
            return Err(Refusal::invalid("tools: Tool names must be unique."));
        }
        if tool.pointer("/input_schema/type").and_then(Value::as_str) != Some("object") {
            return Err(Refusal::invalid(format!(
                "tools.{index}.custom.input_schema.type: Input should be 'object'"
            )));
        }
        names.push(name.to_owned());
        blocks.push(block(tool));
    }
    Ok(names)
}

pub(super) fn is_tool_name(name: &str, longest: usize) -> bool {
    (1..=longest).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn read_system(system: Option<&Value>, blocks: &mut Vec<Block>) -> Result<String, Refusal> {
    match system {
        None => Ok(String::new()),
        Some(Value::String(text)) => {
            blocks.push(block(&json!(text)));
            Ok(text.clone())
        }
        Some(Value::Array(parts)) => {
            let mut texts = Vec::new();
            for (index, part) in parts.iter().enumerate() {
                texts.push(text_of(part, &format!("system.{index}"))?);
                blocks.push(block(part));
            }
            Ok(texts.join("\n\n"))
        }
        Some(_) => Err(Refusal::invalid("system: Input should be a valid string or list")),
    }
}

fn text_of(part: &Value, at: &str) -> Result<String, Refusal> {
    match part.get("text").and_then(Value::as_str) {
        Some("") => Err(Refusal::invalid(format!("{at}: text content blocks must be non-empty"))),
        Some(text) => Ok(text.to_owned()),
        None => Err(Refusal::invalid(format!("{at}.text: Field required"))),
    }
}

/// A message's parts, read.
#[derive(Default)]
struct Parts {
    text: Vec<String>,
    calls: Vec<Call>,
    results: Vec<ToolResult>,
}

fn read_messages(messages: Option<&Value>, blocks: &mut Vec<Block>) -> Result<Vec<Turn>, Refusal> {
    let messages =
        messages.and_then(Value::as_array).ok_or_else(|| Refusal::invalid("messages: Field required"))?;
    if messages.is_empty() {
        return Err(Refusal::invalid("messages: at least one message is required"));
    }
    let mut turns: Vec<Turn> = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        if !matches!(role, "user" | "assistant") {
            return Err(Refusal::invalid(format!(
                "messages.{index}.role: Input should be 'user' or 'assistant'"
            )));
        }
        if index == 0 && role != "user" {
            return Err(Refusal::invalid("messages: first message must use the \"user\" role"));
        }
        let parts = read_content(message.get("content"), role, index, blocks)?;
        if role == "user" {
            check_results(&parts.results, &mut open, index)?;
        } else if !open.is_empty() {
            return Err(unanswered(index, &open));
        }
        open.extend(parts.calls.iter().map(|call| call.id.clone()));
        push_turns(&mut turns, role, parts);
    }
    if !open.is_empty() {
        return Err(unanswered(messages.len() - 1, &open));
    }
    Ok(turns)
}

fn unanswered(index: usize, open: &[String]) -> Refusal {
    Refusal::invalid(format!(
        "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. \
         Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        open.join(", ")
    ))
}

fn check_results(results: &[ToolResult], open: &mut Vec<String>, index: usize) -> Result<(), Refusal> {
    for result in results {
        let Some(at) = open.iter().position(|id| *id == result.id) else {
            return Err(Refusal::invalid(format!(
                "messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {}. Each \
                 `tool_result` block must have a corresponding `tool_use` block in the previous message.",
                result.id
            )));
        };
        open.remove(at);
    }
    if open.is_empty() { Ok(()) } else { Err(unanswered(index, open)) }
}

/// Turns of the same role that follow each other are one turn for the model.
fn push_turns(turns: &mut Vec<Turn>, role: &str, parts: Parts) {
    let text = parts.text.join("\n");
    if role == "assistant" {
        turns.push(Turn::Assistant { text, calls: parts.calls });
        return;
    }
    if !parts.results.is_empty() {
        turns.push(Turn::ToolResults(parts.results));
    }
    if !text.is_empty() {
        turns.push(Turn::User(text));
    }
}

fn read_content(
    content: Option<&Value>,
    role: &str,
    index: usize,
    blocks: &mut Vec<Block>,
) -> Result<Parts, Refusal> {
    let at = format!("messages.{index}.content");
    let mut parts = Parts::default();
    match content {
        Some(Value::String(text)) if text.trim().is_empty() => {
            return Err(Refusal::invalid(format!("messages.{index}: text content blocks must be non-empty")));
        }
        Some(Value::String(text)) => {
            parts.text.push(text.clone());
            blocks.push(block(&json!({"role": role, "text": text})));
        }
        Some(Value::Array(values)) if !values.is_empty() => {
            for (position, value) in values.iter().enumerate() {
                read_part(value, role, &format!("{at}.{position}"), &mut parts)?;
                blocks.push(block(value));
            }
        }
        _ => {
            return Err(Refusal::invalid(format!(
                "messages.{index}: all messages must have non-empty content"
            )));
        }
    }
    Ok(parts)
}

fn read_part(value: &Value, role: &str, at: &str, parts: &mut Parts) -> Result<(), Refusal> {
    let field = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let need =
        |name: &str| field(name).ok_or_else(|| Refusal::invalid(format!("{at}.{name}: Field required")));
    match (value.get("type").and_then(Value::as_str), role) {
        (Some("text"), _) => parts.text.push(text_of(value, at)?),
        (Some("tool_use"), "assistant") => {
            let input = value.get("input").filter(|input| input.is_object()).cloned().ok_or_else(|| {
                Refusal::invalid(format!("{at}.tool_use.input: Input should be a valid dictionary"))
            })?;
            parts.calls.push(Call { id: need("id")?, name: need("name")?, arguments: input });
        }
        (Some("tool_result"), "user") => {
            if !parts.text.is_empty() {
                return Err(Refusal::invalid(format!(
                    "{at}: `tool_result` blocks must come before any text in the message"
                )));
            }
            let text = match value.get("content") {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Array(inner)) => {
                    let texts: Result<Vec<_>, _> = inner.iter().map(|part| text_of(part, at)).collect();
                    texts?.join("\n")
                }
                _ => String::new(),
            };
            parts.results.push(ToolResult { id: need("tool_use_id")?, text });
        }
        (Some("thinking"), "assistant") => {
            need("thinking")?;
            need("signature")?;
        }
        (kind, _) => {
            let kind = kind.unwrap_or("(none)");
            return Err(Refusal::invalid(format!(
                "{at}: a block of type {kind} is not allowed for the role {role}"
            )));
        }
    }
    Ok(())
}

pub(super) fn error(refusal: &Refusal) -> Value {
    json!({
        "type": "error",
        "error": {"type": refusal.kind, "message": refusal.message},
        "request_id": "req_simulated",
    })
}

pub(super) fn error_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500..=599 => "api_error",
        _ => "invalid_request_error",
    }
}

/// The block that has to come back before the calls that followed it.
pub(super) fn thought(said: &Said<'_>) -> Option<Value> {
    (!said.thought.is_empty())
        .then(|| json!({"type": "thinking", "thinking": said.thought, "signature": said.signature()}))
}

fn content(said: &Said<'_>) -> Vec<Value> {
    let mut content: Vec<Value> = thought(said).into_iter().collect();
    if !said.text.is_empty() {
        content.push(json!({"type": "text", "text": said.text}));
    }
    for (index, call) in said.calls.iter().enumerate() {
        let id = said.call_id("toolu", index);
        content.push(json!({"type": "tool_use", "id": id, "name": call.name, "input": call.arguments}));
    }
    content
}

fn stop_reason(said: &Said<'_>) -> &'static str {
    match said.stop {
        Stop::OutputLimit => "max_tokens",
        Stop::Refusal => "refusal",
        Stop::Natural if said.calls.is_empty() => "end_turn",
        Stop::Natural => "tool_use",
    }
}

pub(super) fn answer(said: &Said<'_>, counted: &Counted) -> Value {
    json!({
        "id": format!("msg_{:04}", said.number),
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "content": content(said),
        "stop_reason": stop_reason(said),
        "stop_sequence": null,
        "usage": {
            "input_tokens": counted.input - counted.cache_written,
            "cache_creation_input_tokens": counted.cache_written,
            "cache_read_input_tokens": counted.cached,
            "output_tokens": counted.output,
        },
    })
}

pub(super) fn frames(said: &Said<'_>, counted: &Counted) -> Vec<Frame> {
    let mut begun = answer(said, counted);
    begun["content"] = json!([]);
    begun["stop_reason"] = Value::Null;
    begun["usage"]["output_tokens"] = json!(1);
    let named =
        |event: Value, mark: Mark| Frame::named(event["type"].as_str().unwrap_or_default(), &event, mark);
    let mut frames = vec![
        named(json!({"type": "message_start", "message": begun}), Mark::Part),
        named(json!({"type": "ping"}), Mark::Part),
    ];
    for (index, block) in content(said).into_iter().enumerate() {
        let (empty, deltas, mark) = block_in_pieces(said, index, &block);
        let start = json!({"type": "content_block_start", "index": index, "content_block": empty});
        frames.push(named(start, Mark::Part));
        for delta in deltas {
            let delta = json!({"type": "content_block_delta", "index": index, "delta": delta});
            frames.push(named(delta, mark));
        }
        frames.push(named(json!({"type": "content_block_stop", "index": index}), Mark::Part));
    }
    let usage = json!({"output_tokens": counted.output});
    let delta = json!({"stop_reason": stop_reason(said), "stop_sequence": null});
    frames.push(named(json!({"type": "message_delta", "delta": delta, "usage": usage}), Mark::Usage));
    frames.push(named(json!({"type": "message_stop"}), Mark::End));
    frames
}

/// A block as it begins, and the pieces that fill it.
fn block_in_pieces(said: &Said<'_>, index: usize, block: &Value) -> (Value, Vec<Value>, Mark) {
    let mut empty = block.clone();
    match block["type"].as_str() {
        Some("tool_use") => {
            empty["input"] = json!({});
            let before = usize::from(!said.thought.is_empty()) + usize::from(!said.text.is_empty());
            let pieces = pieces(&said.arguments(index - before)).into_iter();
            let deltas = pieces.map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
            (empty, deltas.collect(), Mark::InCall)
        }
        Some("thinking") => {
            empty["thinking"] = json!("");
            empty["signature"] = json!("");
            let pieces = pieces(said.thought).into_iter();
            let deltas = pieces.map(|piece| json!({"type": "thinking_delta", "thinking": piece}));
            let signature = json!({"type": "signature_delta", "signature": said.signature()});
            (empty, deltas.chain([signature]).collect(), Mark::Part)
        }
        _ => {
            empty["text"] = json!("");
            let pieces = pieces(said.text).into_iter();
            (empty, pieces.map(|piece| json!({"type": "text_delta", "text": piece})).collect(), Mark::Part)
        }
    }
}
