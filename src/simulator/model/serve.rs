//! The HTTP side: routes, one exchange, the ways in which it can go wrong.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State as AxumState};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::futures::Notified;

use super::anthropic::{self, Said};
use super::counting::{self, Block, Counted};
use super::evidence::{Evidence, Refusal, WireFormat};
use super::openai;
use super::scenario::{Answer, Stop};
use super::{API_KEY, Exchange, State};

/// Anthropic's own limit for a request.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/v1/messages", post(messages))
        .route("/v1/chat/completions", post(completions))
        .route("/v1/models", get(models))
        .fallback(unknown_route)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(state)
}

async fn messages(AxumState(state): AxumState<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    exchange(&state, WireFormat::Anthropic, &headers, &body).await
}

async fn completions(AxumState(state): AxumState<Arc<State>>, headers: HeaderMap, body: Bytes) -> Response {
    exchange(&state, WireFormat::Openai, &headers, &body).await
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
        WireFormat::Openai => openai::check_headers(headers, API_KEY),
    }
}

async fn exchange(state: &State, wire: WireFormat, headers: &HeaderMap, body: &[u8]) -> Response {
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
        counted: Counted::default(),
        refusal: None,
        request,
        answer: Value::Null,
    };
    let (evidence, blocks) = match read(wire, headers, body, &entry.request) {
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
    perform(state, entry, Prompt { evidence, blocks }, answer, let_go).await
}

struct Prompt {
    evidence: Evidence,
    blocks: Vec<Block>,
}

fn read(
    wire: WireFormat,
    headers: &HeaderMap,
    body: &[u8],
    json: &Value,
) -> Result<(Evidence, Vec<Block>), Refusal> {
    check_headers(wire, headers)?;
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with("application/json") {
        return Err(Refusal::invalid("content-type: has to be application/json"));
    }
    if let Err(error) = serde_json::from_slice::<Value>(body) {
        return Err(Refusal::invalid(format!("the body is not JSON: {error}")));
    }
    match wire {
        WireFormat::Anthropic => anthropic::read(json),
        WireFormat::Openai => openai::read(json),
    }
}

fn refused(state: &State, mut entry: Exchange, refusal: &Refusal) -> Response {
    entry.status = refusal.status;
    entry.refusal = Some(refusal.message.clone());
    entry.delivered = true;
    let wire = entry.wire;
    state.lock().journal.push(entry);
    refuse(wire, refusal, None, None)
}

fn refuse(wire: WireFormat, refusal: &Refusal, retry_after: Option<&str>, code: Option<&str>) -> Response {
    let body = match wire {
        WireFormat::Anthropic => anthropic::error(refusal),
        WireFormat::Openai => openai::error(refusal, code),
    };
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(body)).into_response();
    if let Some(value) = retry_after.and_then(|value| HeaderValue::from_str(value).ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

async fn perform(
    state: &State,
    mut entry: Exchange,
    prompt: Prompt,
    answer: Answer,
    let_go: Notified<'_>,
) -> Response {
    match answer {
        Answer::Say { text, calls, stop } => {
            let said = Said {
                number: entry.number,
                model: &prompt.evidence.model,
                text: &text,
                calls: &calls,
                stop,
            };
            let body = say(state, &mut entry, &prompt, &said);
            entry.delivered = true;
            entry.answer = body.clone();
            state.lock().journal.push(entry);
            axum::Json(body).into_response()
        }
        Answer::Error { status, retry_after, message, code } => {
            let kind = match entry.wire {
                WireFormat::Anthropic => anthropic::error_kind(status),
                WireFormat::Openai => openai::error_kind(status),
            };
            let (wire, refusal) = (entry.wire, Refusal { status, kind, message });
            entry.status = status;
            entry.delivered = true;
            state.lock().journal.push(entry);
            refuse(wire, &refusal, retry_after.as_deref(), code.as_deref())
        }
        Answer::Hang { seconds } => {
            state.lock().journal.push(entry);
            let long = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            let _ = tokio::time::timeout(long, let_go).await;
            broken_off(b"")
        }
        Answer::DropConnection => {
            let said = Said {
                number: entry.number,
                model: &prompt.evidence.model,
                text: "An answer that never arrives whole.",
                calls: &[],
                stop: Stop::Natural,
            };
            let body = say(state, &mut entry, &prompt, &said).to_string();
            state.lock().journal.push(entry);
            broken_off(&body.as_bytes()[..body.len() / 2])
        }
        Answer::Junk { body } => {
            entry.answer = Value::String(body.clone());
            state.lock().journal.push(entry);
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Answer::HalfToolCall { name } => {
            let body = half_tool_call(state, &mut entry, &prompt, &name);
            // OpenAI's is a whole answer around half a call; Anthropic's breaks off with its usage.
            entry.delivered = entry.wire == WireFormat::Openai;
            entry.answer = Value::String(body.clone());
            state.lock().journal.push(entry);
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}

/// Counts an exchange and writes its answer.
fn say(state: &State, entry: &mut Exchange, prompt: &Prompt, said: &Said<'_>) -> Value {
    let mut counted = match entry.wire {
        WireFormat::Anthropic => state.lock().cache.anthropic(&prompt.blocks),
        WireFormat::Openai => state.lock().cache.openai(&prompt.blocks),
    };
    let content = match entry.wire {
        WireFormat::Anthropic => Value::Array(anthropic::content(said)),
        WireFormat::Openai => openai::message(said),
    };
    counted.output = counting::tokens(&content.to_string());
    entry.counted = counted;
    match entry.wire {
        WireFormat::Anthropic => anthropic::answer(said, &counted),
        WireFormat::Openai => openai::answer(said, &counted),
    }
}

/// Anthropic cut: the body ends inside the call. OpenAI cut: the arguments, a string, are half a JSON.
fn half_tool_call(state: &State, entry: &mut Exchange, prompt: &Prompt, name: &str) -> String {
    let call = super::ScriptedCall { name: name.to_owned(), arguments: json!({"path": "src/lib.rs"}) };
    let said = Said {
        number: entry.number,
        model: &prompt.evidence.model,
        text: "",
        calls: std::slice::from_ref(&call),
        stop: Stop::Natural,
    };
    let mut body = say(state, entry, prompt, &said);
    match entry.wire {
        WireFormat::Anthropic => {
            let whole = body.to_string();
            let cut = whole.find("\"input\"").map_or(whole.len() / 2, |at| at + 12);
            whole[..cut.min(whole.len())].to_owned()
        }
        WireFormat::Openai => {
            if let Some(arguments) = body.pointer_mut("/choices/0/message/tool_calls/0/function/arguments") {
                *arguments = json!("{\"path\": \"src/l");
            }
            body.to_string()
        }
    }
}

/// A response whose body ends in a closed connection.
fn broken_off(start: &[u8]) -> Response {
    let parts = [
        Ok(Bytes::copy_from_slice(start)),
        Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the connection is dropped")),
    ];
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(stream::iter(parts))).into_response()
}
