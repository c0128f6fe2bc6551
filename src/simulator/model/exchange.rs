//! One exchange: what is said, what it costs, and the ways in which it can go wrong.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::futures::Notified;

use super::counting::{self, Block, Counted};
use super::evidence::{Evidence, Refusal, WireFormat};
use super::said::{Frame, Mark, Said};
use super::scenario::{Answer, Cut, ScriptedCall, Stop};
use super::stream::{self, Course, Sent};
use super::{Exchange, State, anthropic, gemini, ollama, openai, responses};

/// A request that was found well formed.
pub(super) struct Prompt {
    pub evidence: Evidence,
    pub blocks: Vec<Block>,
    pub is_streamed: bool,
}

pub(super) fn refused(state: &State, mut entry: Exchange, refusal: &Refusal) -> Response {
    entry.status = refusal.status;
    entry.refusal = Some(refusal.message.clone());
    entry.delivered = true;
    let wire = entry.wire;
    state.lock().journal.push(entry);
    refuse(wire, refusal, None, None)
}

pub(super) fn refuse(
    wire: WireFormat,
    refusal: &Refusal,
    retry_after: Option<&str>,
    code: Option<&str>,
) -> Response {
    let body = match wire {
        WireFormat::Anthropic => anthropic::error(refusal),
        WireFormat::Openai | WireFormat::OpenaiResponses | WireFormat::Xai | WireFormat::Groq => {
            openai::error(wire, refusal, code)
        }
        WireFormat::Gemini => gemini::error(refusal, retry_after),
        WireFormat::Ollama => json!({"error": refusal.message}),
    };
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(body)).into_response();
    let header = retry_after.filter(|_| wire != WireFormat::Gemini).and_then(|value| {
        let (name, value) = match value.strip_suffix("ms") {
            Some(milliseconds) => (HeaderName::from_static("retry-after-ms"), milliseconds),
            None => (header::RETRY_AFTER, value),
        };
        Some((name, HeaderValue::from_str(value).ok()?))
    });
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    response
}

pub(super) async fn perform(
    state: &State,
    mut entry: Exchange,
    prompt: Prompt,
    answer: Answer,
    let_go: Notified<'_>,
) -> Response {
    let (number, model) = (entry.number, prompt.evidence.model.as_str());
    let base =
        Said { number, model, thought: "", text: "", calls: &[], stop: Stop::Natural, half_a_call: false };
    match answer {
        Answer::Say { text, calls, stop } => {
            let said = Said { text: &text, calls: &calls, stop, ..base };
            say(state, entry, &prompt, &said, Course::Whole)
        }
        Answer::Think { thought, text, calls, stop } => {
            let said = Said { thought: &thought, text: &text, calls: &calls, stop, ..base };
            say(state, entry, &prompt, &said, Course::Whole)
        }
        Answer::Giant { bytes } => {
            let text = "word ".repeat(bytes.div_ceil(5));
            say(state, entry, &prompt, &Said { text: &text, ..base }, Course::Whole)
        }
        Answer::Error { status, retry_after, message, code } => {
            let kind = match entry.wire {
                WireFormat::Anthropic => anthropic::error_kind(status),
                WireFormat::Gemini => gemini::error_kind(status),
                _ => openai::error_kind(status),
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
            let said = Said { text: "An answer that never arrives whole.", ..base };
            say(state, entry, &prompt, &said, Course::Cut(Cut::Start))
        }
        Answer::CutStream { at } => {
            let calls = [ScriptedCall { name: "read_file".into(), arguments: json!({"path": "src/lib.rs"}) }];
            let said = Said { text: "I look.", calls: &calls, ..base };
            say(state, entry, &prompt, &said, Course::Cut(at))
        }
        Answer::Idle { seconds } => {
            let said = Said { text: "An answer that stops on its way.", ..base };
            say(state, entry, &prompt, &said, Course::Idle(seconds))
        }
        Answer::HalfToolCall { name } => {
            let calls = [ScriptedCall { name, arguments: json!({"path": "src/lib.rs"}) }];
            let said = Said { calls: &calls, half_a_call: true, ..base };
            // In these formats half a call can only be half a stream.
            let course = match entry.wire {
                WireFormat::Anthropic | WireFormat::Ollama => Course::Cut(Cut::InCall),
                _ => Course::Whole,
            };
            say(state, entry, &prompt, &said, course)
        }
        Answer::Junk { body } => {
            entry.answer = Value::String(body.clone());
            let (wire, is_streamed) = (entry.wire, prompt.is_streamed);
            state.lock().journal.push(entry);
            match (is_streamed, wire) {
                (false, _) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
                (true, WireFormat::Ollama) => {
                    ([(header::CONTENT_TYPE, stream::content_type(wire))], format!("{body}\n"))
                        .into_response()
                }
                (true, _) => {
                    let body = format!("data: {body}\n\n");
                    ([(header::CONTENT_TYPE, stream::content_type(wire))], body).into_response()
                }
            }
        }
        Answer::Page { html } => {
            state.lock().journal.push(entry);
            ([(header::CONTENT_TYPE, "text/html")], html).into_response()
        }
        Answer::ErrorInStream => error_in_stream(state, entry, &prompt, &base),
    }
}

/// Counts an exchange, writes its answer and sends it, as far as it goes.
fn say(state: &State, mut entry: Exchange, prompt: &Prompt, said: &Said<'_>, course: Course) -> Response {
    entry.counted = count(state, entry.wire, prompt, said);
    entry.answer = body(entry.wire, said, &entry.counted);
    let wire = entry.wire;
    if prompt.is_streamed {
        let frames = frames(wire, said, &entry.counted, &entry.request);
        let sent = stream::sent(frames, course);
        entry.delivered = sent.is_whole;
        entry.usage_sent = sent.usage_sent;
        if sent.is_whole {
            state.lock().thoughts.remember(wire, said);
        }
        state.lock().journal.push(entry);
        return stream::response(wire, &sent, course);
    }
    let is_whole = matches!(course, Course::Whole);
    entry.delivered = is_whole;
    entry.usage_sent = is_whole;
    let body = entry.answer.to_string();
    if is_whole {
        state.lock().thoughts.remember(wire, said);
    }
    state.lock().journal.push(entry);
    if is_whole {
        return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    broken_off(&body.as_bytes()[..body.len() / 2])
}

fn count(state: &State, wire: WireFormat, prompt: &Prompt, said: &Said<'_>) -> Counted {
    let mut inner = state.lock();
    let mut counted = match wire {
        WireFormat::Anthropic => inner.cache.anthropic(&prompt.blocks),
        _ => inner.cache.openai(&prompt.blocks),
    };
    counted.output = counting::tokens(&said.counted().to_string());
    counted
}

fn body(wire: WireFormat, said: &Said<'_>, counted: &Counted) -> Value {
    match wire {
        WireFormat::Anthropic => anthropic::answer(said, counted),
        WireFormat::Openai | WireFormat::Xai | WireFormat::Groq => openai::answer(wire, said, counted),
        WireFormat::OpenaiResponses => responses::answer(said, counted),
        WireFormat::Gemini => gemini::answer(said, counted),
        WireFormat::Ollama => ollama::answer(said, counted),
    }
}

fn frames(wire: WireFormat, said: &Said<'_>, counted: &Counted, request: &Value) -> Vec<Frame> {
    match wire {
        WireFormat::Anthropic => anthropic::frames(said, counted),
        WireFormat::Openai | WireFormat::Xai | WireFormat::Groq => {
            openai::frames(wire, said, counted, request)
        }
        WireFormat::OpenaiResponses => responses::frames(said, counted),
        WireFormat::Gemini => gemini::frames(said, counted),
        WireFormat::Ollama => ollama::frames(said, counted),
    }
}

/// The first event of a good answer, and then the provider's own word for being overloaded.
fn error_in_stream(state: &State, mut entry: Exchange, prompt: &Prompt, base: &Said<'_>) -> Response {
    let said = Said { text: "An answer that is given up.", ..base.clone() };
    entry.counted = count(state, entry.wire, prompt, &said);
    let wire = entry.wire;
    let error = match wire {
        WireFormat::Anthropic => {
            let error =
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
            Frame::named("error", &error, Mark::End)
        }
        WireFormat::OpenaiResponses => {
            let error =
                json!({"type": "error", "code": "server_error", "message": "Overloaded", "param": null});
            Frame::named("error", &error, Mark::End)
        }
        WireFormat::Gemini => {
            let refusal = Refusal { status: 503, kind: "UNAVAILABLE", message: "Overloaded".into() };
            Frame::data(&gemini::error(&refusal, None), Mark::End)
        }
        WireFormat::Ollama => Frame { text: "{\"error\": \"Overloaded\"}\n".to_owned(), mark: Mark::End },
        WireFormat::Openai | WireFormat::Xai | WireFormat::Groq => {
            let error = json!({"error": {"message": "Overloaded", "type": "server_error", "code": null}});
            Frame::data(&error, Mark::End)
        }
    };
    let mut frames = frames(wire, &said, &entry.counted, &entry.request);
    frames.truncate(2);
    frames.push(error);
    state.lock().journal.push(entry);
    let sent = Sent { frames, is_whole: true, usage_sent: false };
    stream::response(wire, &sent, Course::Whole)
}

/// A response whose body ends in a closed connection.
fn broken_off(start: &[u8]) -> Response {
    let parts = [
        Ok(Bytes::copy_from_slice(start)),
        Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the connection is dropped")),
    ];
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(futures::stream::iter(parts)))
        .into_response()
}
