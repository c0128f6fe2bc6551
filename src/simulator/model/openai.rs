//! OpenAI's wire format: `POST /v1/chat/completions`.
//!
//! Rules and wording follow the Chat Completions reference and its error answers.

use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::anthropic::is_tool_name;
use super::counting::{Block, Counted, tokens};
use super::evidence::{Call, Evidence, Refusal, ToolResult, Turn, WireFormat};
use super::said::{Frame, Mark, Said, pieces};
use super::scenario::Stop;
use super::schema_rules;

const FIELDS: [&str; 24] = [
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "tools",
    "tool_choice",
    "temperature",
    "top_p",
    "n",
    "stop",
    "stream",
    "stream_options",
    "seed",
    "response_format",
    "reasoning_effort",
    "verbosity",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
    "metadata",
    "store",
    "user",
    "safety_identifier",
];

pub(super) fn check_headers(headers: &HeaderMap, key: &str) -> Result<(), Refusal> {
    let refuse =
        |message: &str| Refusal { status: 401, kind: "invalid_request_error", message: message.into() };
    let given = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match given.strip_prefix("Bearer ") {
        None | Some("") => Err(refuse(
            "You didn't provide an API key. You need to provide your API key in an Authorization header using \
             Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        )),
        Some(given) if given != key => Err(refuse("Incorrect API key provided.")),
        Some(_) => Ok(()),
    }
}

pub(super) fn read(body: &Value, wire: WireFormat) -> Result<(Evidence, Vec<Block>), Refusal> {
    let object = body.as_object().ok_or_else(|| Refusal::invalid("the body is not a JSON object"))?;
    if let Some(unknown) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(Refusal::invalid(format!("Unrecognized request argument supplied: {unknown}")));
    }
    let model = object.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| Refusal::invalid("you must provide a model parameter"))?.to_owned();
    let reasons = ["gpt-5", "gpt-6", "o1", "o3", "o4"].iter().any(|family| model.starts_with(family));
    if reasons && object.contains_key("max_tokens") {
        return Err(Refusal::invalid(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' \
             instead.",
        ));
    }
    if object.get("temperature").is_some_and(|t| !t.as_f64().is_some_and(|t| (0.0..=2.0).contains(&t))) {
        return Err(Refusal::invalid("Invalid 'temperature': expected a value between 0 and 2."));
    }
    if object.contains_key("stream_options") && object.get("stream") != Some(&Value::Bool(true)) {
        return Err(Refusal::invalid(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        ));
    }
    if let Some(format) = object.get("response_format") {
        check_format(format)?;
    }
    let mut blocks = Vec::new();
    let tools = read_tools(object.get("tools"), &mut blocks)?;
    let (system, turns) = read_messages(object.get("messages"), &mut blocks)?;
    let max_tokens =
        object.get("max_completion_tokens").or_else(|| object.get("max_tokens")).and_then(Value::as_u64);
    Ok((Evidence { wire, model, system, turns, tools, max_tokens }, blocks))
}

fn check_format(format: &Value) -> Result<(), Refusal> {
    if format.get("type").and_then(Value::as_str) != Some("json_schema") {
        return Ok(());
    }
    let name = format.pointer("/json_schema/name").and_then(Value::as_str).unwrap_or_default();
    if !is_tool_name(name, 64) {
        return Err(Refusal::invalid(
            "Invalid 'response_format.json_schema.name': expected a string matching '^[a-zA-Z0-9_-]+$'.",
        ));
    }
    let schema = format.pointer("/json_schema/schema").unwrap_or(&Value::Null);
    if format.pointer("/json_schema/strict") == Some(&Value::Bool(true)) {
        schema_rules::strict(schema, "()").map_err(Refusal::invalid)?;
    }
    Ok(())
}

fn read_tools(tools: Option<&Value>, blocks: &mut Vec<Block>) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    for (index, tool) in tools.and_then(Value::as_array).into_iter().flatten().enumerate() {
        if tool.get("type").and_then(Value::as_str) != Some("function") {
            return Err(Refusal::invalid(format!("Missing required parameter: 'tools[{index}].type'.")));
        }
        let name = tool.pointer("/function/name").and_then(Value::as_str).unwrap_or_default();
        if !is_tool_name(name, 64) {
            return Err(Refusal::invalid(format!(
                "Invalid 'tools[{index}].function.name': string does not match pattern '^[a-zA-Z0-9_-]+$'."
            )));
        }
        let kind = tool.pointer("/function/parameters/type").and_then(Value::as_str);
        if kind != Some("object") {
            return Err(Refusal::invalid(format!(
                "Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'."
            )));
        }
        names.push(name.to_owned());
        blocks.push(Block::of(tool, false));
    }
    Ok(names)
}

fn read_messages(messages: Option<&Value>, blocks: &mut Vec<Block>) -> Result<(String, Vec<Turn>), Refusal> {
    let messages = messages.and_then(Value::as_array).filter(|messages| !messages.is_empty());
    let messages = messages.ok_or_else(|| {
        Refusal::invalid("Invalid 'messages': empty array. Expected an array with minimum length 1.")
    })?;
    let mut system = Vec::new();
    let mut turns: Vec<Turn> = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
        if role != "tool" && !open.is_empty() {
            return Err(unanswered(&open));
        }
        match role {
            "system" | "developer" => system.push(content(message, index)?),
            "user" => turns.push(Turn::User(content(message, index)?)),
            "assistant" => {
                let calls = read_calls(message, index)?;
                open.extend(calls.iter().map(|call| call.id.clone()));
                let text = match message.get("content") {
                    None | Some(Value::Null) if calls.is_empty() => {
                        return Err(no_content(index));
                    }
                    None | Some(Value::Null) => String::new(),
                    Some(_) => content(message, index)?,
                };
                turns.push(Turn::Assistant { text, calls });
            }
            "tool" => read_result(message, index, &mut open, &mut turns)?,
            _ => {
                return Err(Refusal::invalid(format!(
                    "Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', \
                     'tool', and 'developer'. (messages[{index}].role)"
                )));
            }
        }
        blocks.push(Block::of(message, false));
    }
    if !open.is_empty() {
        return Err(unanswered(&open));
    }
    Ok((system.join("\n\n"), turns))
}

fn unanswered(open: &[String]) -> Refusal {
    Refusal::invalid(format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each \
         'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    ))
}

fn no_content(index: usize) -> Refusal {
    Refusal::invalid(format!(
        "Invalid value for 'content': expected a string, got null. (messages[{index}].content)"
    ))
}

fn content(message: &Value, index: usize) -> Result<String, Refusal> {
    match message.get("content") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let texts: Vec<&str> =
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
            Ok(texts.join("\n"))
        }
        _ => Err(no_content(index)),
    }
}

fn read_calls(message: &Value, index: usize) -> Result<Vec<Call>, Refusal> {
    let mut calls = Vec::new();
    for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
        let text = |path: &str| call.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let (Some(id), Some(name), Some(arguments)) =
            (text("/id"), text("/function/name"), text("/function/arguments"))
        else {
            return Err(Refusal::invalid(format!(
                "Missing required parameter in 'messages[{index}].tool_calls'."
            )));
        };
        if id.len() > 40 {
            return Err(Refusal::invalid(format!(
                "Invalid 'messages[{index}].tool_calls[0].id': string too long. Expected a string with maximum \
                 length 40."
            )));
        }
        let arguments = serde_json::from_str(&arguments).unwrap_or(Value::String(arguments));
        calls.push(Call { id, name, arguments });
    }
    Ok(calls)
}

fn read_result(
    message: &Value,
    index: usize,
    open: &mut Vec<String>,
    turns: &mut Vec<Turn>,
) -> Result<(), Refusal> {
    let id = message.get("tool_call_id").and_then(Value::as_str).unwrap_or_default();
    let Some(at) = open.iter().position(|known| known == id) else {
        return Err(Refusal::invalid(format!(
            "Invalid parameter: messages with role 'tool' must be a response to a preceding message with \
             'tool_calls'. (messages[{index}].role)"
        )));
    };
    open.remove(at);
    let result = ToolResult { id: id.to_owned(), text: content(message, index)? };
    match turns.last_mut() {
        Some(Turn::ToolResults(results)) => results.push(result),
        _ => turns.push(Turn::ToolResults(vec![result])),
    }
    Ok(())
}

pub(super) fn error(wire: WireFormat, refusal: &Refusal, code: Option<&str>) -> Value {
    if wire == WireFormat::Xai {
        return json!({"code": refusal.kind, "error": refusal.message});
    }
    json!({"error": {"message": refusal.message, "type": refusal.kind, "param": null, "code": code}})
}

pub(super) fn error_kind(status: u16) -> &'static str {
    match status {
        429 => "requests",
        500..=599 => "server_error",
        _ => "invalid_request_error",
    }
}

fn tool_call(said: &Said<'_>, index: usize, arguments: &str) -> Value {
    json!({
        "id": said.call_id("call", index),
        "type": "function",
        "function": {"name": said.calls[index].name, "arguments": arguments},
    })
}

fn message(said: &Said<'_>) -> Value {
    let calls: Vec<Value> =
        (0..said.calls.len()).map(|index| tool_call(said, index, &said.arguments(index))).collect();
    let text = if said.text.is_empty() { Value::Null } else { json!(said.text) };
    let mut message = json!({"role": "assistant", "content": text, "refusal": null});
    if !said.thought.is_empty() {
        message["reasoning_content"] = json!(said.thought);
    }
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    message
}

fn finish_reason(said: &Said<'_>) -> &'static str {
    match said.stop {
        Stop::OutputLimit => "length",
        Stop::Refusal => "content_filter",
        Stop::Natural if said.calls.is_empty() => "stop",
        Stop::Natural => "tool_calls",
    }
}

/// xAI leaves what a model thought out of `completion_tokens`, and counts it in the total.
fn usage(wire: WireFormat, said: &Said<'_>, counted: &Counted) -> Value {
    let thoughts = tokens(said.thought);
    let shown = if wire == WireFormat::Xai { counted.output - thoughts } else { counted.output };
    json!({
        "prompt_tokens": counted.input + counted.cached,
        "completion_tokens": shown,
        "total_tokens": counted.input + counted.cached + counted.output,
        "prompt_tokens_details": {"cached_tokens": counted.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thoughts, "audio_tokens": 0},
    })
}

pub(super) fn answer(wire: WireFormat, said: &Said<'_>, counted: &Counted) -> Value {
    let reason = finish_reason(said);
    json!({
        "id": format!("chatcmpl-{:04}", said.number),
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": said.model,
        "choices": [{"index": 0, "message": message(said), "logprobs": null, "finish_reason": reason}],
        "usage": usage(wire, said, counted),
    })
}

/// The usage comes where it is asked for: OpenAI sends it in a chunk of its own, Groq in a field of its own.
pub(super) fn frames(wire: WireFormat, said: &Said<'_>, counted: &Counted, request: &Value) -> Vec<Frame> {
    let chunk = |delta: Value, reason: Option<&str>| {
        json!({
            "id": format!("chatcmpl-{:04}", said.number),
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": said.model,
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}],
            "usage": null,
        })
    };
    let part = |delta: Value| Frame::data(&chunk(delta, None), Mark::Part);
    let mut frames = vec![part(json!({"role": "assistant", "content": "", "refusal": null}))];
    for (field, text) in [("reasoning_content", said.thought), ("content", said.text)] {
        frames.extend(pieces(text).into_iter().map(|piece| part(json!({field: piece}))));
    }
    for index in 0..said.calls.len() {
        let mut call = tool_call(said, index, "");
        call["index"] = json!(index);
        frames.push(part(json!({"tool_calls": [call]})));
        for piece in pieces(&said.arguments(index)) {
            let delta = json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]});
            frames.push(Frame::data(&chunk(delta, None), Mark::InCall));
        }
    }
    let mut last = chunk(json!({}), Some(finish_reason(said)));
    let usage = usage(wire, said, counted);
    if wire == WireFormat::Groq {
        last["x_groq"] = json!({"id": "req_1", "usage": usage});
        frames.push(Frame::data(&last, Mark::Usage));
    } else {
        frames.push(Frame::data(&last, Mark::Part));
        if request["stream_options"]["include_usage"] == true {
            let mut counts = chunk(json!({}), None);
            counts["choices"] = json!([]);
            counts["usage"] = usage;
            frames.push(Frame::data(&counts, Mark::Usage));
        }
    }
    frames.push(Frame { text: "data: [DONE]\n\n".to_owned(), mark: Mark::End });
    frames
}
