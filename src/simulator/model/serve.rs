//! The HTTP side: routes, keys, and the reading of requests. What is answered is in [`super::exchange`].

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State as AxumState};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::counting::{Block, Counted};
use super::evidence::{Evidence, Refusal, WireFormat};
use super::exchange::{Prompt, perform, refuse, refused};
use super::{API_KEY, Exchange, State, anthropic, gemini, ollama, openai, responses};

/// Anthropic's own limit for a request.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

pub(super) fn router(state: Arc<State>) -> Router {
    let asked = |wire| {
        post(move |AxumState(state): AxumState<Arc<State>>, headers: HeaderMap, body: Bytes| async move {
            exchange(&state, &Asked { wire, headers, model: None, is_streamed: None }, &body).await
        })
    };
    Router::new()
        .route("/v1/messages", asked(WireFormat::Anthropic))
        .route("/v1/chat/completions", asked(WireFormat::Openai))
        .route("/v1/responses", asked(WireFormat::OpenaiResponses))
        .route("/xai/v1/chat/completions", asked(WireFormat::Xai))
        .route("/openai/v1/chat/completions", asked(WireFormat::Groq))
        .route("/v1beta/models/{call}", post(generate))
        .route("/api/chat", asked(WireFormat::Ollama))
        .route("/v1/models", get(models))
        .fallback(unknown_route)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state)
}

/// What is known of a request before its body is read.
struct Asked {
    wire: WireFormat,
    headers: HeaderMap,
    /// Where the address names it.
    model: Option<String>,
    /// Where the address says it.
    is_streamed: Option<bool>,
}

/// `{model}:generateContent` and `{model}:streamGenerateContent`.
async fn generate(
    AxumState(state): AxumState<Arc<State>>,
    Path(call): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (model, action) = call.split_once(':').unwrap_or((&call, ""));
    let is_streamed = match action {
        "streamGenerateContent" => Some(true),
        "generateContent" => Some(false),
        _ => {
            let message = format!("the method {action:?} is not found");
            let refusal = Refusal { status: 404, kind: "NOT_FOUND", message };
            return refuse(WireFormat::Gemini, &refusal, None, None);
        }
    };
    let asked = Asked { wire: WireFormat::Gemini, headers, model: Some(model.to_owned()), is_streamed };
    exchange(&state, &asked, &body).await
}

/// Both providers list their models at the same path; the key's header tells them apart.
async fn models(headers: HeaderMap) -> Response {
    let wire = if headers.contains_key("x-api-key") { WireFormat::Anthropic } else { WireFormat::Openai };
    match check_headers(wire, &headers) {
        Err(refusal) => refuse(wire, &refusal, None, None),
        Ok(()) => axum::Json(json!({"data": [{"id": "scripted", "type": "model", "object": "model"}]}))
            .into_response(),
    }
}

async fn unknown_route(request: Request) -> Response {
    let message = format!("{} {} does not exist", request.method(), request.uri().path());
    let refusal = Refusal { status: 404, kind: "not_found_error", message };
    refuse(WireFormat::Anthropic, &refusal, None, None)
}

fn check_headers(wire: WireFormat, headers: &HeaderMap) -> Result<(), Refusal> {
    match wire {
        WireFormat::Anthropic => anthropic::check_headers(headers, API_KEY),
        WireFormat::Openai | WireFormat::OpenaiResponses | WireFormat::Xai | WireFormat::Groq => {
            openai::check_headers(headers, API_KEY)
        }
        WireFormat::Gemini => gemini::check_headers(headers, API_KEY),
        // It asks for no key.
        WireFormat::Ollama => Ok(()),
    }
}

async fn exchange(state: &State, asked: &Asked, body: &[u8]) -> Response {
    let wire = asked.wire;
    let request: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let number = {
        let mut inner = state.lock();
        inner.requests += 1;
        inner.requests
    };
    let mut entry = Exchange {
        number,
        wire,
        rule: None,
        status: 200,
        delivered: false,
        usage_sent: false,
        counted: Counted::default(),
        refusal: None,
        request,
        answer: Value::Null,
    };
    let (evidence, blocks) = match read(state, asked, body, &entry.request) {
        Ok(read) => read,
        Err(refusal) => return refused(state, entry, &refusal),
    };
    // Made before the fault is taken, so that it is not missed however soon it comes.
    let let_go = state.let_go.notified();
    let fault = state.lock().faults.pop_front();
    let answer = match fault {
        Some(fault) => fault,
        None => match state.scenario.answer(&evidence) {
            Ok((rule, answer)) => {
                entry.rule = Some(rule.to_owned());
                answer.clone()
            }
            Err(missing) => return refused(state, entry, &Refusal::invalid(missing)),
        },
    };
    let by_default = wire == WireFormat::Ollama;
    let wants = entry.request["stream"].as_bool().unwrap_or(by_default);
    let is_streamed = asked.is_streamed.unwrap_or(wants);
    perform(state, entry, Prompt { evidence, blocks, is_streamed }, answer, let_go).await
}

fn read(state: &State, asked: &Asked, body: &[u8], json: &Value) -> Result<(Evidence, Vec<Block>), Refusal> {
    let Asked { wire, headers, .. } = asked;
    check_headers(*wire, headers)?;
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with("application/json") {
        return Err(Refusal::invalid("content-type: has to be application/json"));
    }
    if let Err(error) = serde_json::from_slice::<Value>(body) {
        return Err(Refusal::invalid(format!("the body is not JSON: {error}")));
    }
    let (evidence, blocks) = match wire {
        WireFormat::Anthropic => anthropic::read(json),
        WireFormat::Openai | WireFormat::Xai | WireFormat::Groq => openai::read(json, *wire),
        WireFormat::OpenaiResponses => responses::read(json),
        WireFormat::Gemini => gemini::read(json, asked.model.as_deref().unwrap_or_default()),
        WireFormat::Ollama => ollama::read(json),
    }?;
    state.lock().thoughts.check(*wire, &evidence.model, json)?;
    Ok((evidence, blocks))
}
