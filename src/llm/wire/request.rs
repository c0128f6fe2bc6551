//! Our requests in the client crate's terms.

use genai::chat::{
    CacheControl, ChatMessage, ChatOptions, ChatRequest, ContentPart, CustomPart, JsonSpec, MessageContent,
    ReasoningEffort, Tool, ToolCall as WireToolCall, ToolResponse,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::message::{Continuation, Message, Request, ToolCall};
use super::super::model::{Effort, ModelName, Protocol};
use super::super::reading::as_object;
use super::{CallOptions, responses};

/// The conversation, its tools and its instructions.
pub(super) fn chat_request(protocol: Protocol, model: &ModelName, request: &Request) -> ChatRequest {
    let mut wire = if protocol == Protocol::OpenAiResponses {
        // The conversation travels in `extra_body`, see `chat_options`.
        ChatRequest::default()
    } else {
        ChatRequest::from_messages(messages(protocol, model, request))
    };
    if protocol == Protocol::OpenAiResponses && !request.system.is_empty() {
        wire = wire.with_system(request.system.as_str());
    }
    if !request.tools.is_empty() {
        wire = wire.with_tools(request.tools.iter().map(|tool| {
            Tool::new(tool.name.as_str())
                .with_description(tool.description.as_str())
                .with_schema(tool.schema.clone())
        }));
    }
    wire
}

fn messages(protocol: Protocol, model: &ModelName, request: &Request) -> Vec<ChatMessage> {
    // Anthropic caches what it is told to; a loop sends the same beginning many times. Elsewhere caching
    // is automatic.
    let cached = protocol == Protocol::Anthropic && !request.tools.is_empty();
    let mark = |message: ChatMessage, marked: bool| {
        if marked { message.with_options(CacheControl::Ephemeral) } else { message }
    };
    let mut messages = Vec::with_capacity(request.messages.len() + 1);
    if !request.system.is_empty() {
        messages.push(mark(ChatMessage::system(request.system.as_str()), cached));
    }
    let last = request.messages.len().saturating_sub(1);
    for (index, message) in request.messages.iter().enumerate() {
        let turns = turns(protocol, model, message);
        messages.extend(turns.into_iter().map(|turn| mark(turn, cached && index == last)));
    }
    messages
}

/// Usually one turn of the conversation is one message.
fn turns(protocol: Protocol, model: &ModelName, message: &Message) -> Vec<ChatMessage> {
    match message {
        Message::User { text } => vec![ChatMessage::user(text.as_str())],
        Message::Assistant { text, tool_calls, continuation } => {
            match continuation.as_ref().filter(|continuation| continuation.model == *model) {
                Some(continuation) => continued(protocol, text, tool_calls, continuation),
                None => vec![assistant(plain_parts(protocol, text, tool_calls))],
            }
        }
        Message::ToolResults { results } => {
            let responses = results.iter().map(|result| {
                ToolResponse::new(call_id(protocol, &result.id), result.content.as_str())
                    .with_fn_name(result.name.as_str())
            });
            vec![ChatMessage::tool(MessageContent::from_tool_responses(responses.collect()))]
        }
    }
}

fn assistant(parts: Vec<ContentPart>) -> ChatMessage {
    ChatMessage::assistant(MessageContent::from_parts(parts))
}

fn plain_parts(protocol: Protocol, text: &str, tool_calls: &[ToolCall]) -> Vec<ContentPart> {
    let mut parts = Vec::new();
    if !text.is_empty() {
        parts.push(ContentPart::from_text(text));
    }
    parts.extend(tool_calls.iter().map(|call| tool_call(protocol, call, None)));
    if parts.is_empty() {
        // No provider takes an empty turn.
        parts.push(ContentPart::from_text("(no answer)"));
    }
    parts
}

fn tool_call(protocol: Protocol, call: &ToolCall, signature: Option<&str>) -> ContentPart {
    ContentPart::ToolCall(WireToolCall {
        call_id: call_id(protocol, &call.id),
        fn_name: call.name.clone(),
        fn_arguments: as_object(&call.arguments),
        thought_signatures: signature.map(|signature| vec![signature.to_owned()]),
    })
}

/// An answer in the model's own blocks, unchanged and in their order.
fn continued(
    protocol: Protocol,
    text: &str,
    tool_calls: &[ToolCall],
    continuation: &Continuation,
) -> Vec<ChatMessage> {
    let blocks = &continuation.blocks;
    match protocol {
        Protocol::Anthropic => anthropic_turns(blocks),
        Protocol::Gemini => vec![assistant(blocks.iter().flat_map(gemini_parts).collect())],
        Protocol::OpenAi => {
            let mut parts = plain_parts(protocol, text, tool_calls);
            let thoughts = blocks.iter().filter_map(|block| block["reasoning_content"].as_str());
            parts.extend(thoughts.map(|thought| ContentPart::ReasoningContent(thought.to_owned())));
            vec![assistant(parts)]
        }
        Protocol::OpenAiResponses | Protocol::Ollama => {
            vec![assistant(plain_parts(protocol, text, tool_calls))]
        }
    }
}

/// The crate moves thoughts to the front of a message. Where one follows text or a call, a new message
/// begins: Anthropic reads neighbours of the same role as one turn, so the order stays.
fn anthropic_turns(blocks: &[Value]) -> Vec<ChatMessage> {
    let is_thought = |block: &Value| matches!(block["type"].as_str(), Some("thinking" | "redacted_thinking"));
    let mut turns: Vec<Vec<ContentPart>> = vec![Vec::new()];
    let mut after_thoughts = false;
    for block in blocks {
        if is_thought(block) && after_thoughts {
            turns.push(Vec::new());
        }
        after_thoughts = !is_thought(block);
        let part = ContentPart::Custom(CustomPart { model_iden: None, data: block.clone() });
        turns.last_mut().into_iter().for_each(|turn| turn.push(part.clone()));
    }
    turns.into_iter().map(assistant).collect()
}

fn gemini_parts(block: &Value) -> Vec<ContentPart> {
    let signature = block["thoughtSignature"].as_str();
    if let Some(call) = block.get("functionCall") {
        let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
        let arguments = call.get("args").cloned().unwrap_or_else(|| json!({}));
        let call = ToolCall { id: text("id"), name: text("name"), arguments };
        return vec![tool_call(Protocol::Gemini, &call, signature)];
    }
    let text = ContentPart::from_text(block["text"].as_str().unwrap_or_default());
    signature
        .map(|signature| ContentPart::ThoughtSignature(signature.to_owned()))
        .into_iter()
        .chain([text])
        .collect()
}

/// Ids travel between providers when one stands in for another: Anthropic takes letters, digits, `_` and
/// `-`, OpenAI at most 40 of them.
pub(super) fn call_id(protocol: Protocol, id: &str) -> String {
    if protocol == Protocol::Gemini {
        return id.to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    let most = if protocol == Protocol::OpenAi { 40 } else { 64 };
    // The end of an id tells more than its beginning.
    let skipped = id.chars().count().saturating_sub(most);
    id.chars().skip(skipped).map(plain).collect()
}

/// What goes with the request besides the conversation.
pub(super) fn chat_options(
    protocol: Protocol,
    model: &ModelName,
    request: &Request,
    options: &CallOptions,
    schema: Option<&Value>,
) -> ChatOptions {
    // The raw body tells what an answer cost even if it cannot be read.
    let mut wire = ChatOptions::default()
        .with_capture_raw_body(true)
        .with_capture_usage(true)
        .with_max_tokens(options.max_output_tokens)
        .with_stream_read_timeout(options.idle_timeout)
        .with_stream_header_timeout(options.idle_timeout);
    if let Some(temperature) = options.temperature {
        wire = wire.with_temperature(temperature);
    }
    if let Some(schema) = schema {
        wire = wire.with_response_format(JsonSpec::new("answer", schema.clone()));
    }
    if let Some(effort) = effort(protocol, options.effort) {
        wire = wire.with_reasoning_effort(effort);
    }
    match protocol {
        Protocol::Anthropic => wire.with_extra_body(json!({"model": model.model})),
        Protocol::OpenAiResponses => {
            let mut body = json!({"input": responses::input(model, request)});
            if responses::thinks(&model.model) {
                body["include"] = json!(["reasoning.encrypted_content"]);
            }
            wire.with_prompt_cache_key(cache_key(request)).with_extra_body(body)
        }
        Protocol::OpenAi | Protocol::Gemini | Protocol::Ollama => wire,
    }
}

/// Without an effort of its own the crate would read one from the end of the model's name and cut it off
/// (`…-high`, `…-max`). The values below are the ones that it neither reads the name for nor sends.
fn effort(protocol: Protocol, effort: Option<Effort>) -> Option<ReasoningEffort> {
    match effort {
        Some(Effort::Low) => Some(ReasoningEffort::Low),
        Some(Effort::Medium) => Some(ReasoningEffort::Medium),
        Some(Effort::High) => Some(ReasoningEffort::High),
        None => match protocol {
            Protocol::OpenAi | Protocol::OpenAiResponses => Some(ReasoningEffort::Budget(0)),
            Protocol::Gemini => Some(ReasoningEffort::Zero),
            // Here any value is sent; the name is put right by `extra_body`.
            Protocol::Anthropic | Protocol::Ollama => None,
        },
    }
}

/// Requests with the same beginning belong to the same cache.
fn cache_key(request: &Request) -> String {
    let mut hash = Sha256::new();
    hash.update(request.system.as_bytes());
    for tool in &request.tools {
        hash.update(tool.name.as_bytes());
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
