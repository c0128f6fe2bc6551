//! OpenAI's Responses API: `POST /v1/responses`.
//!
//! Rules and wording follow the API's reference and its error answers.

use serde_json::{Value, json};

use super::anthropic::is_tool_name;
use super::counting::{Block, Counted};
use super::evidence::{Call, Evidence, Refusal, ToolResult, Turn, WireFormat};
use super::said::{Frame, Mark, Said, pieces};
use super::scenario::Stop;
use super::schema_rules;

const FIELDS: [&str; 24] = [
    "model",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "temperature",
    "top_p",
    "stream",
    "stream_options",
    "store",
    "include",
    "reasoning",
    "text",
    "metadata",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "safety_identifier",
    "truncation",
];
const MIN_OUTPUT_TOKENS: u64 = 16;

/// Whether a model thinks, by its name.
fn thinks(model: &str) -> bool {
    ["gpt-5", "gpt-6", "o1", "o3", "o4"].iter().any(|family| model.starts_with(family))
}

pub(super) fn read(body: &Value) -> Result<(Evidence, Vec<Block>), Refusal> {
    let object = body.as_object().ok_or_else(|| Refusal::invalid("the body is not a JSON object"))?;
    if let Some(unknown) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(Refusal::invalid(format!("Unknown parameter: '{unknown}'.")));
    }
    let model = object.get("model").and_then(Value::as_str).filter(|model| !model.is_empty());
    let model = model.ok_or_else(|| Refusal::invalid("Missing required parameter: 'model'."))?.to_owned();
    let max_tokens = body["max_output_tokens"].as_u64();
    if let Some(tokens) = max_tokens.filter(|tokens| *tokens < MIN_OUTPUT_TOKENS) {
        return Err(Refusal::invalid(format!(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {tokens} \
             instead."
        )));
    }
    if thinks(&model) && object.contains_key("temperature") {
        return Err(Refusal::invalid(
            "Unsupported parameter: 'temperature' is not supported with this model.",
        ));
    }
    let includes = body["include"].as_array().into_iter().flatten();
    if !thinks(&model) && includes.into_iter().any(|part| part == "reasoning.encrypted_content") {
        return Err(Refusal::invalid("Encrypted content is not supported with this model."));
    }
    if body["text"]["format"]["type"] == "json_schema" {
        let format = &body["text"]["format"];
        if !is_tool_name(format["name"].as_str().unwrap_or_default(), 64) {
            return Err(Refusal::invalid("Missing required parameter: 'text.format.name'."));
        }
        schema_rules::strict(&format["schema"], "()").map_err(Refusal::invalid)?;
    }
    let mut blocks = Vec::new();
    let tools = read_tools(&body["tools"], &mut blocks)?;
    let system = body["instructions"].as_str().unwrap_or_default().to_owned();
    if !system.is_empty() {
        blocks.push(Block::of(&json!(system), false));
    }
    let turns = read_input(&body["input"], &mut blocks)?;
    Ok((Evidence { wire: WireFormat::OpenaiResponses, model, system, turns, tools, max_tokens }, blocks))
}

fn read_tools(tools: &Value, blocks: &mut Vec<Block>) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    for (index, tool) in tools.as_array().into_iter().flatten().enumerate() {
        let name = tool["name"].as_str().unwrap_or_default();
        if tool["type"] != "function" || !is_tool_name(name, 64) {
            return Err(Refusal::invalid(format!("Missing required parameter: 'tools[{index}].name'.")));
        }
        if tool["parameters"]["type"] != "object" {
            return Err(Refusal::invalid(format!(
                "Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'."
            )));
        }
        names.push(name.to_owned());
        blocks.push(Block::of(tool, false));
    }
    Ok(names)
}

fn read_input(input: &Value, blocks: &mut Vec<Block>) -> Result<Vec<Turn>, Refusal> {
    let items = input.as_array().filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| Refusal::invalid("Missing required parameter: 'input'."))?;
    let mut turns: Vec<Turn> = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item["type"].as_str().unwrap_or("message") {
            "message" => read_message(item, index, &mut turns)?,
            "function_call" => {
                let call = read_call(item, index)?;
                open.push(call.id.clone());
                match turns.last_mut() {
                    Some(Turn::Assistant { calls, .. }) => calls.push(call),
                    _ => turns.push(Turn::Assistant { text: String::new(), calls: vec![call] }),
                }
            }
            "function_call_output" => {
                let id = item["call_id"].as_str().unwrap_or_default();
                let Some(at) = open.iter().position(|known| known == id) else {
                    return Err(Refusal::invalid(format!(
                        "No tool call found for function call output with call_id {id}."
                    )));
                };
                open.remove(at);
                let text = item["output"].as_str().unwrap_or_default().to_owned();
                let result = ToolResult { id: id.to_owned(), text };
                match turns.last_mut() {
                    Some(Turn::ToolResults(results)) => results.push(result),
                    _ => turns.push(Turn::ToolResults(vec![result])),
                }
            }
            "reasoning" if item["encrypted_content"].is_string() && item["summary"].is_array() => {}
            "reasoning" => {
                let id = item["id"].as_str().unwrap_or_default();
                return Err(Refusal::invalid(format!(
                    "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try \
                     again with `store` set to true, or remove this item from your input."
                )));
            }
            other => {
                return Err(Refusal::invalid(format!("Invalid value: '{other}'. (input[{index}].type)")));
            }
        }
        blocks.push(Block::of(item, false));
    }
    match open.first() {
        Some(id) => Err(Refusal::invalid(format!("No tool output found for function call {id}."))),
        None => Ok(turns),
    }
}

fn read_message(item: &Value, index: usize, turns: &mut Vec<Turn>) -> Result<(), Refusal> {
    let role = item["role"].as_str().unwrap_or_default();
    let kind = match role {
        "user" | "system" | "developer" => "input_text",
        "assistant" => "output_text",
        _ => {
            return Err(Refusal::invalid(format!(
                "Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'. \
                 (input[{index}].role)"
            )));
        }
    };
    let text = match &item["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) if parts.iter().all(|part| part["type"] == kind || part["type"] == "refusal") => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => {
            return Err(Refusal::invalid(format!(
                "Invalid value. Supported value is: '{kind}'. (input[{index}].content)"
            )));
        }
    };
    turns.push(match role {
        "assistant" => Turn::Assistant { text, calls: Vec::new() },
        _ => Turn::User(text),
    });
    Ok(())
}

fn read_call(item: &Value, index: usize) -> Result<Call, Refusal> {
    let text = |name: &str| item[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let (Some(id), Some(name), Some(arguments)) = (text("call_id"), text("name"), text("arguments")) else {
        return Err(Refusal::invalid(format!("Missing required parameter: 'input[{index}].call_id'.")));
    };
    if id.len() > 64 {
        return Err(Refusal::invalid(format!("Invalid 'input[{index}].call_id': string too long.")));
    }
    let arguments = serde_json::from_str(&arguments).unwrap_or(Value::String(arguments));
    Ok(Call { id, name, arguments })
}

/// The item that has to come back before the calls that followed it.
pub(super) fn thought(said: &Said<'_>) -> Option<Value> {
    (!said.thought.is_empty()).then(|| {
        json!({
            "id": format!("rs_{:04}", said.number),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": said.thought}],
            "encrypted_content": said.signature(),
        })
    })
}

fn output(said: &Said<'_>) -> Vec<Value> {
    let mut items: Vec<Value> = thought(said).into_iter().collect();
    if !said.text.is_empty() {
        let part = match said.stop {
            Stop::Refusal => json!({"type": "refusal", "refusal": said.text}),
            _ => json!({"type": "output_text", "text": said.text, "annotations": []}),
        };
        let id = format!("msg_{:04}", said.number);
        items.push(json!({"id": id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}));
    }
    items.extend((0..said.calls.len()).map(|index| {
        json!({
            "id": said.call_id("fc", index),
            "type": "function_call",
            "call_id": said.call_id("call", index),
            "name": said.calls[index].name,
            "arguments": said.arguments(index),
            "status": "completed",
        })
    }));
    items
}

pub(super) fn answer(said: &Said<'_>, counted: &Counted) -> Value {
    let (status, details) = match said.stop {
        Stop::OutputLimit => ("incomplete", json!({"reason": "max_output_tokens"})),
        Stop::Natural | Stop::Refusal => ("completed", Value::Null),
    };
    json!({
        "id": format!("resp_{:04}", said.number),
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "error": null,
        "incomplete_details": details,
        "model": said.model,
        "output": output(said),
        "usage": {
            "input_tokens": counted.input + counted.cached,
            "input_tokens_details": {"cached_tokens": counted.cached},
            "output_tokens": counted.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": counted.input + counted.cached + counted.output,
        },
    })
}

pub(super) fn frames(said: &Said<'_>, counted: &Counted) -> Vec<Frame> {
    let mut events: Vec<(Value, Mark)> = Vec::new();
    let mut begun = answer(said, counted);
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    begun["incomplete_details"] = Value::Null;
    events.push((json!({"type": "response.created", "response": begun}), Mark::Part));
    events.push((json!({"type": "response.in_progress", "response": begun}), Mark::Part));
    for (index, item) in output(said).into_iter().enumerate() {
        let added =
            |item: Value| json!({"type": "response.output_item.added", "output_index": index, "item": item});
        let delta = |kind: &str, delta: String| json!({"type": kind, "output_index": index, "delta": delta});
        match item["type"].as_str() {
            Some("function_call") => {
                let mut empty = item.clone();
                empty["arguments"] = json!("");
                events.push((added(empty), Mark::Part));
                for piece in pieces(item["arguments"].as_str().unwrap_or_default()) {
                    let kind = "response.function_call_arguments.delta";
                    events.push((delta(kind, piece), Mark::InCall));
                }
            }
            Some("message") => {
                let kind = match said.stop {
                    Stop::Refusal => "response.refusal.delta",
                    _ => "response.output_text.delta",
                };
                events.push((added(json!({"type": "message", "content": []})), Mark::Part));
                events.extend(pieces(said.text).into_iter().map(|piece| (delta(kind, piece), Mark::Part)));
            }
            _ => events.push((added(json!({"type": "reasoning", "summary": []})), Mark::Part)),
        }
        let done = json!({"type": "response.output_item.done", "output_index": index, "item": item});
        events.push((done, Mark::Part));
    }
    let last = match said.stop {
        Stop::OutputLimit => "response.incomplete",
        Stop::Natural | Stop::Refusal => "response.completed",
    };
    events.push((json!({"type": last, "response": answer(said, counted)}), Mark::Usage));
    let numbered = events.into_iter().enumerate().map(|(number, (mut event, mark))| {
        event["sequence_number"] = json!(number);
        Frame::named(event["type"].as_str().unwrap_or_default(), &event, mark)
    });
    numbered.collect()
}
