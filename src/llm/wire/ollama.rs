//! Ollama's own API, spoken by us: the client crate drops the answer's schema and the context length,
//! without which Ollama cuts long prompts without a word.

use futures::{Stream, StreamExt};
use serde_json::{Value, json};

use super::super::error::LlmError;
use super::super::message::{Message, Request};
use super::super::model::{Delivery, Effort, ModelName};
use super::super::reading::{Draft, as_object};
use super::super::wire_error;
use super::{CallOptions, Wire};

/// Asks, and reads into `draft` what comes.
pub(super) async fn call(
    wire: &Wire,
    model: &ModelName,
    asked: (&Request, Option<&Value>),
    options: &CallOptions,
    draft: &std::sync::Mutex<Draft>,
) -> Result<(), LlmError> {
    let body = body(model, asked, options, wire.endpoint.delivery);
    let mut request = wire.web.post(format!("{}api/chat", wire.base_url)).json(&body);
    if let Some(key) = &wire.endpoint.key {
        request = request.bearer_auth(secrecy::ExposeSecret::expose_secret(key));
    }
    // A model is loaded before the first byte comes, which takes minutes: only the whole call's limit holds.
    let response = request.send().await.map_err(|error| wire_error::transport(&error))?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    if status != 200 {
        let text = response.text().await.unwrap_or_default();
        return Err(wire_error::by_status(status, &text, &headers));
    }
    if wire.endpoint.delivery == Delivery::Whole {
        let text = response.text().await.map_err(|error| wire_error::transport(&error))?;
        let body =
            serde_json::from_str::<Value>(&text).map_err(|error| wire_error::unreadable(&error, &text))?;
        draft.lock().unwrap_or_else(std::sync::PoisonError::into_inner).whole(&body);
        return Ok(());
    }
    let bytes = response.bytes_stream().map(|part| part.map_err(|error| wire_error::transport(&error)));
    lines(bytes, options, draft).await
}

/// Line by line, of which none may be longer than an answer.
async fn lines<B: AsRef<[u8]>>(
    bytes: impl Stream<Item = Result<B, LlmError>>,
    options: &CallOptions,
    draft: &std::sync::Mutex<Draft>,
) -> Result<(), LlmError> {
    let mut bytes = std::pin::pin!(bytes);
    let mut rest: Vec<u8> = Vec::new();
    let read = |line: &[u8]| {
        let mut draft = draft.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        draft.event(&String::from_utf8_lossy(line));
        draft.is_too_large()
    };
    loop {
        let next = tokio::time::timeout(options.idle_timeout, bytes.next()).await;
        let Some(part) = next.map_err(|_| LlmError::Silent { after: options.idle_timeout })? else { break };
        for piece in part?.as_ref().split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") && read(&std::mem::take(&mut rest)) {
                return Ok(());
            }
        }
        if rest.len() > super::super::reading::MAX_ANSWER_BYTES {
            return Err(LlmError::Malformed("a line of the answer has no end".to_owned()));
        }
    }
    read(&rest);
    Ok(())
}

fn body(
    model: &ModelName,
    (request, schema): (&Request, Option<&Value>),
    options: &CallOptions,
    delivery: Delivery,
) -> Value {
    let mut settings = json!({"num_predict": options.max_output_tokens});
    if let Some(temperature) = options.temperature {
        settings["temperature"] = json!(temperature);
    }
    if let Some(tokens) = options.context_tokens {
        settings["num_ctx"] = json!(tokens);
    }
    let system = Some(&request.system).filter(|system| !system.is_empty());
    let system = system.map(|system| json!({"role": "system", "content": system}));
    let messages: Vec<Value> = system.into_iter().chain(request.messages.iter().flat_map(messages)).collect();
    let mut body = json!({
        "model": model.model,
        "stream": delivery == Delivery::Streamed,
        "options": settings,
        "messages": messages,
    });
    if !request.tools.is_empty() {
        body["tools"] = request
            .tools
            .iter()
            .map(|tool| {
                let (name, description) = (&tool.name, &tool.description);
                json!({"type": "function", "function":
                    {"name": name, "description": description, "parameters": tool.schema}})
            })
            .collect();
    }
    if let Some(schema) = schema {
        body["format"] = schema.clone();
    }
    if let Some(effort) = options.effort {
        body["think"] = json!(match effort {
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
        });
    }
    body
}

fn messages(message: &Message) -> Vec<Value> {
    match message {
        Message::User { text } => vec![json!({"role": "user", "content": text})],
        Message::Assistant { text, tool_calls, .. } => {
            let mut turn = json!({"role": "assistant", "content": text});
            if !tool_calls.is_empty() {
                turn["tool_calls"] = tool_calls
                    .iter()
                    .map(|call| json!({"function": {"name": call.name, "arguments": as_object(&call.arguments)}}))
                    .collect();
            }
            vec![turn]
        }
        Message::ToolResults { results } => results
            .iter()
            .map(|result| json!({"role": "tool", "tool_name": result.name, "content": result.content}))
            .collect(),
    }
}
