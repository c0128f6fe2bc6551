//! Gemini's wire format: `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.
//!
//! Rules and wording follow the API's reference and its error answers.

use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::anthropic::is_tool_name;
use super::counting::{Block, Counted, tokens};
use super::evidence::{Call, Evidence, Refusal, ToolResult, Turn, WireFormat};
use super::said::{Frame, Mark, Said, pieces};
use super::scenario::Stop;

const FIELDS: [&str; 8] = [
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
    "cachedContent",
    "labels",
];
const CONFIG_FIELDS: [&str; 12] = [
    "temperature",
    "topP",
    "topK",
    "candidateCount",
    "maxOutputTokens",
    "stopSequences",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "thinkingConfig",
    "seed",
    "presencePenalty",
];

pub(super) fn check_headers(headers: &HeaderMap, key: &str) -> Result<(), Refusal> {
    match headers.get("x-goog-api-key") {
        None => Err(Refusal {
            status: 403,
            kind: "PERMISSION_DENIED",
            message: "Method doesn't allow unregistered callers (callers without established identity). Please use \
                      API Key or other form of API consumer identity to call this API."
                .into(),
        }),
        Some(given) if given.as_bytes() != key.as_bytes() => {
            Err(invalid("API key not valid. Please pass a valid API key."))
        }
        Some(_) => Ok(()),
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal { status: 400, kind: "INVALID_ARGUMENT", message: message.into() }
}

fn unknown<'a>(object: &'a Value, known: &[&str]) -> Option<&'a str> {
    object.as_object()?.keys().map(String::as_str).find(|key| !known.contains(key))
}

pub(super) fn read(body: &Value, model: &str) -> Result<(Evidence, Vec<Block>), Refusal> {
    let stranger = unknown(body, &FIELDS).or_else(|| unknown(&body["generationConfig"], &CONFIG_FIELDS));
    if let Some(name) = stranger {
        return Err(invalid(format!(
            "Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."
        )));
    }
    let mut blocks = Vec::new();
    let tools = read_tools(&body["tools"], &mut blocks)?;
    let system = texts(&body["systemInstruction"]["parts"]);
    if !system.is_empty() {
        blocks.push(Block::of(&json!(system), false));
    }
    let config = &body["generationConfig"];
    if config.get("responseJsonSchema").is_some() && config["responseMimeType"] != "application/json" {
        return Err(invalid("responseJsonSchema is only supported with responseMimeType application/json."));
    }
    let turns = read_contents(&body["contents"], &mut blocks)?;
    let max_tokens = config["maxOutputTokens"].as_u64();
    let model = model.to_owned();
    Ok((Evidence { wire: WireFormat::Gemini, model, system, turns, tools, max_tokens }, blocks))
}

fn texts(parts: &Value) -> String {
    let texts = parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str());
    texts.collect::<Vec<_>>().join("\n")
}

fn read_tools(tools: &Value, blocks: &mut Vec<Block>) -> Result<Vec<String>, Refusal> {
    let mut names: Vec<String> = Vec::new();
    for tool in tools.as_array().into_iter().flatten() {
        for declared in tool["functionDeclarations"].as_array().into_iter().flatten() {
            let name = declared["name"].as_str().unwrap_or_default();
            if !is_tool_name(name, 64) {
                return Err(invalid("Invalid function name. Must start with a letter or an underscore."));
            }
            if names.iter().any(|known| known == name) {
                return Err(invalid(format!("Duplicate function declaration found: {name}")));
            }
            names.push(name.to_owned());
            blocks.push(Block::of(declared, false));
        }
    }
    Ok(names)
}

fn read_contents(contents: &Value, blocks: &mut Vec<Block>) -> Result<Vec<Turn>, Refusal> {
    let contents = contents.as_array().filter(|contents| !contents.is_empty());
    let contents =
        contents.ok_or_else(|| invalid("* GenerateContentRequest.contents: contents is not specified"))?;
    let mut turns: Vec<Turn> = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for content in contents {
        let parts = content["parts"].as_array().filter(|parts| !parts.is_empty());
        let parts = parts.ok_or_else(|| {
            invalid("* GenerateContentRequest.contents.parts: contents.parts must not be empty.")
        })?;
        let calls: Vec<Call> = parts.iter().filter_map(read_call).collect();
        let results: Vec<ToolResult> = parts.iter().filter_map(read_result).collect();
        match content["role"].as_str() {
            Some("user") | None if results.len() != open.len() => {
                return Err(invalid(
                    "Please ensure that the number of function response parts is equal to the number of function \
                     call parts of the function call turn.",
                ));
            }
            Some("user") | None => {
                if let Some(result) = results.iter().find(|result| !open.contains(&result.id)) {
                    return Err(invalid(format!("There is no function call with the id {}", result.id)));
                }
                open.clear();
                if results.is_empty() {
                    turns.push(Turn::User(texts(&content["parts"])));
                } else {
                    turns.push(Turn::ToolResults(results));
                }
            }
            Some("model") => {
                if !calls.is_empty() && !matches!(turns.last(), Some(Turn::User(_) | Turn::ToolResults(_))) {
                    return Err(invalid(
                        "Please ensure that function call turn comes immediately after a user turn or after a \
                         function response turn.",
                    ));
                }
                open = calls.iter().map(|call| call.id.clone()).collect();
                turns.push(Turn::Assistant { text: texts(&content["parts"]), calls });
            }
            Some(_) => return Err(invalid("Please use a valid role: user, model.")),
        }
        blocks.push(Block::of(content, false));
    }
    Ok(turns)
}

/// A call without an id is known by its name.
fn read_call(part: &Value) -> Option<Call> {
    let call = part.get("functionCall")?;
    let name = call["name"].as_str()?.to_owned();
    let id = call["id"].as_str().map_or_else(|| name.clone(), str::to_owned);
    Some(Call { id, name, arguments: call["args"].clone() })
}

fn read_result(part: &Value) -> Option<ToolResult> {
    let response = part.get("functionResponse")?;
    let name = response["name"].as_str()?.to_owned();
    let id = response["id"].as_str().map_or(name, str::to_owned);
    let content = &response["response"]["content"];
    let text = content.as_str().map_or_else(|| response["response"].to_string(), str::to_owned);
    Some(ToolResult { id, text })
}

pub(super) fn error(refusal: &Refusal, retry_after: Option<&str>) -> Value {
    let mut error =
        json!({"error": {"code": refusal.status, "message": refusal.message, "status": refusal.kind}});
    if let Some(seconds) = retry_after {
        // Gemini says so in the body and not in a header.
        error["error"]["details"] = json!([{
            "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{seconds}s"),
        }]);
    }
    error
}

pub(super) fn error_kind(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500..=599 => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

/// The first call of a turn carries the signature of what was thought before it.
pub(super) fn thought(said: &Said<'_>) -> Option<Value> {
    (!said.thought.is_empty()).then(|| json!(said.signature()))
}

fn call_parts(said: &Said<'_>) -> Vec<Value> {
    let part = |index: usize| {
        let call = &said.calls[index];
        let mut part = json!({"functionCall":
            {"id": said.call_id("fn", index), "name": call.name, "args": call.arguments}});
        if let Some(signature) = thought(said).filter(|_| index == 0) {
            part["thoughtSignature"] = signature;
        }
        part
    };
    (0..said.calls.len()).map(part).collect()
}

fn chunk(said: &Said<'_>, parts: Vec<Value>, end: Option<(&str, &Counted)>) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    let mut chunk = json!({"modelVersion": said.model, "responseId": format!("gem-{:04}", said.number)});
    if let Some((reason, counted)) = end {
        candidate["finishReason"] = json!(reason);
        let prompt = counted.input + counted.cached;
        let thoughts = tokens(said.thought);
        chunk["usageMetadata"] = json!({
            "promptTokenCount": prompt,
            "candidatesTokenCount": counted.output - thoughts,
            "thoughtsTokenCount": thoughts,
            "totalTokenCount": prompt + counted.output,
        });
        if counted.cached > 0 {
            chunk["usageMetadata"]["cachedContentTokenCount"] = json!(counted.cached);
        }
    }
    chunk["candidates"] = json!([candidate]);
    chunk
}

fn reason(said: &Said<'_>) -> &'static str {
    match said.stop {
        _ if said.half_a_call => "MALFORMED_FUNCTION_CALL",
        Stop::OutputLimit => "MAX_TOKENS",
        Stop::Refusal => "SAFETY",
        Stop::Natural => "STOP",
    }
}

pub(super) fn answer(said: &Said<'_>, counted: &Counted) -> Value {
    let text = (!said.text.is_empty()).then(|| json!({"text": said.text}));
    let calls = if said.half_a_call { Vec::new() } else { call_parts(said) };
    chunk(said, text.into_iter().chain(calls).collect(), Some((reason(said), counted)))
}

pub(super) fn frames(said: &Said<'_>, counted: &Counted) -> Vec<Frame> {
    let part = |parts: Vec<Value>| Frame::data(&chunk(said, parts, None), Mark::Part);
    let mut frames: Vec<Frame> =
        pieces(said.text).into_iter().map(|text| part(vec![json!({"text": text})])).collect();
    if !said.half_a_call {
        frames.extend(call_parts(said).into_iter().map(|call| part(vec![call])));
    }
    if frames.is_empty() {
        frames.push(part(vec![json!({"text": ""})]));
    }
    frames.push(Frame::data(&chunk(said, Vec::new(), Some((reason(said), counted))), Mark::Usage));
    frames
}
