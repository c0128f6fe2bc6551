//! One call to one model: the only place that knows the client crate.
//!
//! No retries, prices or budgets here. The crate reads neither the environment nor its own table of
//! addresses: endpoint and key are always ours. It builds requests and carries them; what comes back is
//! read by [`super::reading`]. Ollama's own API and the items of OpenAI's Responses are written by us.

mod ollama;
mod request;
mod responses;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use genai::adapter::AdapterKind;
use genai::chat::{ChatFrameSink, ChatOptions, FrameCtx, RawFrameRef};
use genai::resolver::{AuthData, Endpoint as WireEndpoint};
use genai::{Headers, ModelIden, ServiceTarget};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::error::LlmError;
use super::ledger::Accounting;
use super::message::Request;
use super::model::{Delivery, Effort, Endpoint, ModelName, Protocol, TokenCount};
use super::reading::{Draft, Reply};
use super::wire_error;

/// A call that failed, with what it used or may have used.
#[derive(Debug)]
pub(super) struct FailedCall {
    pub error: LlmError,
    pub tokens: TokenCount,
    pub accounting: Accounting,
}

/// What the role and the caller settled for one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallOptions {
    pub temperature: Option<f64>,
    pub effort: Option<Effort>,
    pub max_output_tokens: u32,
    pub context_tokens: Option<u64>,
    pub timeout: Duration,
    pub idle_timeout: Duration,
    /// Our estimate, for answers that break off before the provider has counted.
    pub prompt_tokens: u64,
}

/// A connection to one provider.
pub(super) struct Wire {
    client: genai::Client,
    web: reqwest::Client,
    endpoint: Endpoint,
    base_url: String,
}

/// Hands each event of a stream to the draft of the answer.
struct Tap(Arc<Mutex<Draft>>);

impl ChatFrameSink for Tap {
    fn on_frame(&self, _: &FrameCtx, frame: RawFrameRef<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).event(frame.data);
    }
}

impl Wire {
    pub fn new(provider: &str, endpoint: Endpoint) -> Result<Self, String> {
        let base_url = normalised_base(provider, endpoint.protocol, &endpoint.base_url)?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(20))
            // A redirect would carry the key to another host.
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&base_url) {
            builder = builder.no_proxy();
        }
        let web = builder.build().map_err(|error| format!("the HTTP client cannot be made: {error}"))?;
        let client = genai::Client::builder()
            .with_reqwest(web.clone())
            .build()
            .map_err(|error| format!("the model client cannot be made: {error}"))?;
        Ok(Self { client, web, endpoint, base_url })
    }

    /// One call, without retries. `schema` travels in the provider's own field; the caller leaves it out
    /// for a server that does not know the field.
    pub async fn call(
        &self,
        model: &ModelName,
        request: &Request,
        options: CallOptions,
        schema: Option<&Value>,
    ) -> Result<Reply, FailedCall> {
        let draft = Arc::new(Mutex::new(Draft::new(self.endpoint.protocol)));
        let exchange = self.exchange(model, (request, schema), &options, &draft);
        let outcome = match tokio::time::timeout(options.timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(LlmError::TimedOut { after: options.timeout }),
        };
        let empty = Draft::new(self.endpoint.protocol);
        let draft = std::mem::replace(&mut *draft.lock().unwrap_or_else(PoisonError::into_inner), empty);
        settle(draft, outcome, model, options.prompt_tokens)
    }

    /// Sends the request and reads into `draft` what comes. An error is the transport's or a refusal; what
    /// the provider says in the middle of an answer is in the draft.
    async fn exchange(
        &self,
        model: &ModelName,
        asked: (&Request, Option<&Value>),
        options: &CallOptions,
        draft: &Arc<Mutex<Draft>>,
    ) -> Result<(), LlmError> {
        let (protocol, delivery) = (self.endpoint.protocol, self.endpoint.delivery);
        if protocol == Protocol::Ollama {
            return ollama::call(self, model, asked, options, draft).await;
        }
        let (request, schema) = asked;
        let chat = request::chat_request(protocol, model, request);
        let wire_options = request::chat_options(protocol, model, request, options, schema);
        match delivery {
            Delivery::Streamed => self.stream(model, chat, wire_options, (options, draft)).await,
            Delivery::Whole => {
                let answer = self.client.exec_chat(self.target(model), chat, Some(&wire_options)).await;
                let body = match answer {
                    Ok(response) => response.captured_raw_body.unwrap_or_default(),
                    Err(genai::Error::ChatResponseGeneration { response_body, .. }) => *response_body,
                    Err(error) => return Err(wire_error::failed(error, options.idle_timeout)),
                };
                draft.lock().unwrap_or_else(PoisonError::into_inner).whole(&body);
                Ok(())
            }
        }
    }

    async fn stream(
        &self,
        model: &ModelName,
        chat: genai::chat::ChatRequest,
        options: ChatOptions,
        (limits, draft): (&CallOptions, &Arc<Mutex<Draft>>),
    ) -> Result<(), LlmError> {
        let options = options.with_raw_frame_sink(Tap(Arc::clone(draft)));
        let failed = |error| wire_error::failed(error, limits.idle_timeout);
        let answer = self.client.exec_chat_stream(self.target(model), chat, Some(&options)).await;
        let mut events = answer.map_err(failed)?.stream;
        while let Some(event) = events.next().await {
            match event {
                // What the crate makes of an event does not matter, and where it stumbles we go on reading.
                Ok(_) => {}
                Err(error) if wire_error::is_of_the_transport(&error) => return Err(failed(error)),
                Err(_) => {}
            }
            if draft.lock().unwrap_or_else(PoisonError::into_inner).is_too_large() {
                break;
            }
        }
        Ok(())
    }

    fn target(&self, model: &ModelName) -> ServiceTarget {
        let kind = match self.endpoint.protocol {
            Protocol::Anthropic => AdapterKind::Anthropic,
            Protocol::OpenAi => AdapterKind::OpenAI,
            Protocol::OpenAiResponses => AdapterKind::OpenAIResp,
            Protocol::Gemini => AdapterKind::Gemini,
            Protocol::Ollama => AdapterKind::Ollama,
        };
        let auth = match &self.endpoint.key {
            Some(key) => AuthData::from_single(key.expose_secret()),
            None => self.without_key(model),
        };
        ServiceTarget {
            endpoint: WireEndpoint::from_owned(self.base_url.as_str()),
            auth,
            model: ModelIden::new(kind, model.model.as_str()),
        }
    }

    /// The crate insists on a key; this replaces its address and headers by ones without.
    fn without_key(&self, model: &ModelName) -> AuthData {
        let version = ("anthropic-version".to_owned(), "2023-06-01".to_owned());
        let (path, headers) = match (self.endpoint.protocol, self.endpoint.delivery) {
            (Protocol::Anthropic, _) => ("messages".to_owned(), Headers::from(vec![version])),
            (Protocol::OpenAi, _) => ("chat/completions".to_owned(), Headers::default()),
            (Protocol::OpenAiResponses, _) => ("responses".to_owned(), Headers::default()),
            (Protocol::Gemini, Delivery::Streamed) => {
                (format!("models/{}:streamGenerateContent?alt=sse", model.model), Headers::default())
            }
            (Protocol::Gemini, Delivery::Whole) => {
                (format!("models/{}:generateContent", model.model), Headers::default())
            }
            (Protocol::Ollama, _) => ("api/chat".to_owned(), Headers::default()),
        };
        AuthData::RequestOverride { url: format!("{}{path}", self.base_url), headers }
    }
}

/// What a call came to. A whole answer counts even if the connection broke off after it; half of one is
/// an error, and what was counted or written of it is accounted for.
fn settle(
    draft: Draft,
    outcome: Result<(), LlmError>,
    model: &ModelName,
    prompt_tokens: u64,
) -> Result<Reply, FailedCall> {
    let error = match outcome {
        _ if draft.is_whole() => None,
        // What the provider itself reported says more than the broken connection that followed.
        Err(error) => Some(draft.failure().filter(|_| error.may_have_cost()).unwrap_or(error)),
        Ok(()) => Some(draft.failure().unwrap_or_else(|| missing_end(&draft))),
    };
    let (mut tokens, mut accounting) = draft.spent(prompt_tokens);
    let error = match error {
        None => match draft.into_reply(model, prompt_tokens) {
            Some(reply) => return Ok(reply),
            None => LlmError::Malformed("the answer has no end".to_owned()),
        },
        Some(error) => {
            if accounting == Accounting::Estimated && !draft.has_events() && !error.may_have_cost() {
                (tokens, accounting) = (TokenCount::default(), Accounting::Nothing);
            }
            error
        }
    };
    Err(FailedCall { error, tokens, accounting })
}

fn missing_end(draft: &Draft) -> LlmError {
    if draft.has_events() {
        LlmError::Transport("the answer broke off before its end".to_owned())
    } else {
        LlmError::Malformed(
            "the answer is not a stream of events; if the server cannot stream, set `stream: false` for its \
             provider"
                .to_owned(),
        )
    }
}

/// The form that the crate expects: with the version part, ending in a slash.
fn normalised_base(provider: &str, protocol: Protocol, base_url: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(base_url)
        .map_err(|error| format!("the base URL of {provider}, {base_url:?}, is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || url.query().is_some() {
        return Err(format!(
            "the base URL of {provider}, {base_url:?}, has to be http or https with a host and no query"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "the base URL of {provider} carries a password; give the key in its own setting"
        ));
    }
    let base = base_url.trim_end_matches('/');
    let last = base.rsplit('/').next().unwrap_or_default();
    Ok(match protocol {
        Protocol::Anthropic if last != "v1" => format!("{base}/v1/"),
        Protocol::Gemini if !last.starts_with("v1") => format!("{base}/v1beta/"),
        // People know Ollama's address with the ending for OpenAI's clients, too.
        Protocol::Ollama if last == "v1" || last == "api" => {
            format!("{}/", base.trim_end_matches(last).trim_end_matches('/'))
        }
        _ => format!("{base}/"),
    })
}

fn is_loopback(base_url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(base_url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_taken_as_people_set_them() {
        let cases = [
            (Protocol::Anthropic, "https://api.anthropic.com", "https://api.anthropic.com/v1/"),
            (Protocol::Anthropic, "https://api.anthropic.com/v1/", "https://api.anthropic.com/v1/"),
            (Protocol::Anthropic, "http://127.0.0.1:8080/proxy", "http://127.0.0.1:8080/proxy/v1/"),
            (Protocol::OpenAi, "https://api.openai.com/v1", "https://api.openai.com/v1/"),
            (Protocol::OpenAi, "http://localhost:11434/v1/", "http://localhost:11434/v1/"),
            (Protocol::Gemini, "https://example.org", "https://example.org/v1beta/"),
            (Protocol::Gemini, "https://example.org/v1beta", "https://example.org/v1beta/"),
            (Protocol::Ollama, "http://localhost:11434/v1", "http://localhost:11434/"),
            (Protocol::Ollama, "http://localhost:11434", "http://localhost:11434/"),
        ];
        for (protocol, given, expected) in cases {
            assert_eq!(normalised_base("it", protocol, given).expect(given), expected);
        }
    }

    #[test]
    fn a_base_url_that_cannot_work_is_refused() {
        for url in ["api.openai.com/v1", "ftp://host/v1", "https://user:secret@host/v1", "https://h/v1?x=1"] {
            let error = normalised_base("it", Protocol::OpenAi, url).expect_err(url);
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for url in ["http://localhost:1/", "http://127.0.0.1:1/", "http://[::1]:1/"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["http://127.0.0.1.example.org/", "https://api.openai.com/", "http://10.0.0.1/"] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
