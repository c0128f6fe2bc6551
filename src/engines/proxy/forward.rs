//! One call on its way to the provider, and its answer on the way back.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::account::{Calls, Ended, Reserved};
use super::format::{Asked, Format};
use super::key_of;
use super::refusal::Refusal;
use super::scrub::Scrubber;
use super::usage::{Read, UsageReader};
use crate::llm::{Accounting, Endpoint, Exchange, LlmError, ModelSettings, TokenCount, overheard};
use crate::telemetry::with_causes;

/// Longest refusal of a provider that is read, in bytes.
const MAX_REFUSAL_BYTES: usize = 64 << 10;
/// Longest part of it that is kept in a record, in characters.
const MESSAGE_CHARS: usize = 600;
/// Pieces of an answer that wait for the agent.
const PIECES_AHEAD: usize = 16;
/// What the version header says where the agent does not.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// What an agent may say to the provider besides the body.
const REQUEST_HEADERS: [&str; 4] = ["accept", "anthropic-version", "openai-beta", "user-agent"];
/// What a provider may say to the agent besides the body.
const RESPONSE_HEADERS: [&str; 5] =
    ["content-type", "request-id", "retry-after", "retry-after-ms", "x-request-id"];
/// Features that change the price of a call, which would then differ from the one that is reckoned with.
const PRICED_BETAS: [&str; 2] = ["context-1m", "fast-mode"];

/// A call that may be made. What it may cost is set aside.
pub(super) struct Admitted {
    pub asked: Asked,
    pub settings: ModelSettings,
    pub endpoint: Endpoint,
    pub url: String,
    pub headers: HeaderMap,
    pub reserved: Reserved,
    pub _room: OwnedSemaphorePermit,
}

/// The beginning of an answer.
type Head = Result<(StatusCode, HeaderMap), Refusal>;

/// Where an answer goes. An agent that has hung up is no reason to stop reading: what it used is at the end.
struct Agent {
    head: Option<oneshot::Sender<Head>>,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    told: Told,
}

/// Whether the agent has all that there is to tell.
#[derive(PartialEq)]
enum Told {
    Part,
    All,
}

/// Makes the call in a task of its own, so that it is accounted for whatever becomes of the agent.
pub(super) async fn forward(calls: Arc<Calls>, admitted: Admitted) -> Response {
    let format = admitted.asked.format;
    let (head, begun) = oneshot::channel();
    let (pieces, coming) = mpsc::channel(PIECES_AHEAD);
    let tasks = calls.tasks.clone();
    tasks.spawn(async move {
        carry(&calls, admitted, Agent { head: Some(head), pieces, told: Told::Part }).await
    });
    match begun.await {
        Ok(Ok((status, headers))) => {
            let body = stream::unfold(coming, async |mut coming: mpsc::Receiver<io::Result<Bytes>>| {
                Some((coming.recv().await?, coming))
            });
            let mut response = Response::new(Body::from_stream(body));
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            response
        }
        Ok(Err(refusal)) => refusal.answer(Some(format)),
        Err(_) => Refusal::upstream("the call broke off").answer(Some(format)),
    }
}

/// The call from its beginning to its record.
async fn carry(calls: &Calls, admitted: Admitted, mut agent: Agent) {
    let (started, limit) = (Instant::now(), calls.metering.settings.call_timeout);
    let mut reader = UsageReader::new(admitted.asked.format, admitted.asked.streams);
    let outcome = tokio::select! {
        outcome = exchange(calls, &admitted, &mut agent, &mut reader) => outcome,
        () = tokio::time::sleep(limit) => Err(LlmError::TimedOut { after: limit }),
        () = calls.closing.cancelled() => Err(LlmError::Transport("the agent had ended".to_owned())),
    };
    match (&outcome, agent.head.take()) {
        (Err(error), Some(head)) => {
            let _ = head.send(Err(Refusal::upstream(error.to_string())));
        }
        // An answer that broke off has to look like one. An agent that takes no more is not waited for.
        (Err(_), None) if agent.told == Told::Part => {
            let _ = agent.pieces.try_send(Err(io::ErrorKind::ConnectionReset.into()));
        }
        _ => {}
    }
    drop(agent);
    let (read, answer) = reader.finish();
    let ended = ended(outcome, read, &admitted, started.elapsed());
    // The agent has its answer by now, and does not wait for the record.
    let Admitted { asked, settings, reserved, _room, .. } = admitted;
    let request = Arc::new(overheard::request(asked.format.protocol(), asked.body));
    let said = Exchange { request, answer };
    calls.books.settle(&*calls.metering.ledger, &settings, reserved, (ended, said)).await;
}

/// Sends the call and passes its answer on. An error is what the record says of it.
async fn exchange(
    calls: &Calls,
    admitted: &Admitted,
    agent: &mut Agent,
    reader: &mut UsageReader,
) -> Result<(), LlmError> {
    let url = reqwest::Url::parse(&admitted.url)
        .map_err(|error| LlmError::InvalidRequest(format!("the provider's address is no URL: {error}")))?;
    let request = calls
        .metering
        .web
        .to(&url)
        .post(url)
        .headers(outgoing(admitted))
        .body(admitted.asked.body.to_string())
        .send();
    let mut response = request.await.map_err(transport)?;
    let status = response.status();
    if !status.is_success() {
        return Err(refused(admitted, agent, response).await);
    }
    agent.begin(Ok((status, passed_on(response.headers()))));
    let mut scrubber = Scrubber::new(key_of(&admitted.endpoint));
    while let Some(piece) = response.chunk().await.map_err(transport)? {
        reader.push(&piece);
        agent.tell(scrubber.pass(&piece)).await;
    }
    agent.tell(scrubber.rest()).await;
    Ok(())
}

impl Agent {
    fn begin(&mut self, head: Head) {
        if let Some(waiting) = self.head.take() {
            let _ = waiting.send(head);
        }
    }

    async fn tell(&self, piece: Vec<u8>) {
        if !piece.is_empty() {
            let _ = self.pieces.send(Ok(piece.into())).await;
        }
    }
}

fn outgoing(admitted: &Admitted) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let format = admitted.asked.format;
    if format == Format::Messages {
        headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
        let betas = admitted.headers.get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok());
        let betas: Vec<&str> = betas
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .filter(|beta| !beta.is_empty() && !PRICED_BETAS.iter().any(|priced| beta.starts_with(priced)))
            .collect();
        if let Ok(betas) = HeaderValue::from_str(&betas.join(","))
            && !betas.is_empty()
        {
            headers.insert("anthropic-beta", betas);
        }
    }
    for name in REQUEST_HEADERS {
        if let Some(value) = admitted.headers.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = key_of(&admitted.endpoint) {
        let (name, value) = match format {
            Format::Messages => (HeaderName::from_static("x-api-key"), HeaderValue::from_str(key)),
            Format::Chat | Format::Responses => {
                (header::AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}")))
            }
            Format::Gemini { .. } => (HeaderName::from_static("x-goog-api-key"), HeaderValue::from_str(key)),
        };
        if let Ok(mut value) = value {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let named = |name: &'static str| Some((HeaderName::from_static(name), headers.get(name)?.clone()));
    RESPONSE_HEADERS.into_iter().filter_map(named).collect()
}

/// A provider's refusal. The agent is told it as it is, but for what is between the provider and the operator.
async fn refused(admitted: &Admitted, agent: &mut Agent, mut response: reqwest::Response) -> LlmError {
    let status = response.status();
    let headers = passed_on(response.headers());
    let mut body = Vec::new();
    while body.len() < MAX_REFUSAL_BYTES {
        match response.chunk().await {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) | Err(_) => break,
        }
    }
    let mut scrubber = Scrubber::new(key_of(&admitted.endpoint));
    let mut clean = scrubber.pass(&body);
    clean.extend(scrubber.rest());
    let error = by_status(status.as_u16(), &String::from_utf8_lossy(&clean));
    match &error {
        LlmError::Unauthorized(_) | LlmError::OutOfCredit(_) => {
            let message =
                "the provider refuses this deployment: its operator has to look at the key and the account";
            agent.begin(Err(Refusal::not_allowed(message)));
        }
        _ if status.is_redirection() => {
            agent.begin(Err(Refusal::upstream("the provider redirects, which is not followed")));
        }
        _ => {
            agent.begin(Ok((status, headers)));
            agent.tell(clean).await;
        }
    }
    agent.told = Told::All;
    error
}

fn by_status(status: u16, body: &str) -> LlmError {
    let message: String = body.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS).collect();
    match status {
        401 | 403 => LlmError::Unauthorized(message),
        402 => LlmError::OutOfCredit(message),
        // OpenAI says 429 for an account without credit too.
        429 if body.contains("insufficient_quota") => LlmError::OutOfCredit(message),
        429 => LlmError::RateLimited { retry_after: None, message },
        503 | 529 => LlmError::Overloaded { retry_after: None, message },
        408 | 409 | 500..=599 => LlmError::Server { status, retry_after: None, message },
        _ => LlmError::InvalidRequest(format!("{status}: {message}")),
    }
}

fn transport(error: reqwest::Error) -> LlmError {
    // The address is the operator's; the agent has no need of it.
    LlmError::Transport(with_causes(&error.without_url()))
}

/// What a call used, or may have used.
fn ended(outcome: Result<(), LlmError>, read: Read, admitted: &Admitted, latency: Duration) -> Ended {
    let error = match outcome {
        Ok(()) if read.complete => None,
        Ok(()) => Some(LlmError::Malformed("the answer ended before it was whole".to_owned())),
        Err(error) => Some(error),
    };
    let refused = error.as_ref().is_some_and(|error| !error.may_have_cost());
    let (tokens, accounting) = match read.tokens {
        _ if refused => (TokenCount::default(), Accounting::Nothing),
        Some(tokens) if read.complete => (tokens, Accounting::Reported),
        told => {
            let told = told.unwrap_or_else(|| TokenCount {
                input: admitted.reserved.estimated_input,
                ..TokenCount::default()
            });
            (TokenCount { output: told.output.max(read.pieces), ..told }, Accounting::Estimated)
        }
    };
    Ended { tokens, accounting, latency, stop: read.stop, error }
}
