//! One call to one model: the only place that knows the client crate.
//!
//! No retries, prices or budgets here. The crate reads neither the environment nor its own table of
//! addresses: endpoint and key are always ours.

use std::time::Duration;

use genai::adapter::AdapterKind;
use genai::chat::{
    CacheControl, ChatMessage, ChatOptions, ChatRequest, ChatResponse, ContentPart, JsonSpec, MessageContent,
    StopReason as WireStop, Tool, ToolCall as WireToolCall, ToolResponse,
};
use genai::resolver::{AuthData, Endpoint as WireEndpoint};
use genai::{Headers, ModelIden, ServiceTarget};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::error::LlmError;
use super::message::{Continuation, Message, Request, StopReason, ToolCall};
use super::model::{Endpoint, ModelName, Protocol, TokenCount};
use super::wire_error;

/// What one call brought, before prices.
#[derive(Debug)]
pub(super) struct Reply {
    pub text: String,
    pub tool_calls: Vec<ToolCall>,
    pub stop: StopReason,
    pub tokens: TokenCount,
    pub continuation: Option<Continuation>,
}

/// A call that failed, with what the provider nevertheless counted.
#[derive(Debug)]
pub(super) struct FailedCall {
    pub error: LlmError,
    pub tokens: Option<TokenCount>,
}

impl From<LlmError> for FailedCall {
    fn from(error: LlmError) -> Self {
        Self { error, tokens: None }
    }
}

/// What the role and the caller settled for one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallOptions {
    pub temperature: Option<f64>,
    pub max_output_tokens: u32,
    pub timeout: Duration,
}

/// A connection to one provider.
pub(super) struct Wire {
    client: genai::Client,
    endpoint: Endpoint,
    base_url: String,
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
            .with_reqwest(web)
            .build()
            .map_err(|error| format!("the model client cannot be made: {error}"))?;
        Ok(Self { client, endpoint, base_url })
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
        let wire_options = chat_options(options, schema);
        let exec =
            self.client.exec_chat(self.target(model), self.chat_request(model, request), Some(&wire_options));
        match tokio::time::timeout(options.timeout, exec).await {
            Err(_) => Err(LlmError::TimedOut { after: options.timeout }.into()),
            Ok(Err(error)) => wire_error::failed(self.endpoint.protocol, error),
            Ok(Ok(response)) => Ok(reply(model, response)),
        }
    }

    fn target(&self, model: &ModelName) -> ServiceTarget {
        let kind = match self.endpoint.protocol {
            Protocol::Anthropic => AdapterKind::Anthropic,
            Protocol::OpenAi => AdapterKind::OpenAI,
        };
        let auth = match &self.endpoint.key {
            Some(key) => AuthData::from_single(key.expose_secret()),
            None => self.without_key(),
        };
        ServiceTarget {
            endpoint: WireEndpoint::from_owned(self.base_url.as_str()),
            auth,
            model: ModelIden::new(kind, model.model.as_str()),
        }
    }

    /// The crate insists on a key; this replaces its address and headers by ones without.
    fn without_key(&self) -> AuthData {
        let (path, headers) = match self.endpoint.protocol {
            Protocol::Anthropic => {
                ("messages", Headers::from(vec![("anthropic-version".to_owned(), "2023-06-01".to_owned())]))
            }
            Protocol::OpenAi => ("chat/completions", Headers::default()),
        };
        AuthData::RequestOverride { url: format!("{}{path}", self.base_url), headers }
    }

    fn chat_request(&self, model: &ModelName, request: &Request) -> ChatRequest {
        // Anthropic caches what it is told to; a loop sends the same beginning many times. Elsewhere caching
        // is automatic.
        let cached = self.endpoint.protocol == Protocol::Anthropic && !request.tools.is_empty();
        let mut messages = Vec::with_capacity(request.messages.len() + 1);
        let mark = |message: ChatMessage, marked: bool| {
            if marked { message.with_options(CacheControl::Ephemeral) } else { message }
        };
        if !request.system.is_empty() {
            messages.push(mark(ChatMessage::system(request.system.as_str()), cached));
        }
        let last = request.messages.len().saturating_sub(1);
        for (index, message) in request.messages.iter().enumerate() {
            messages.push(mark(chat_message(model, message), cached && index == last));
        }
        let mut wire = ChatRequest::from_messages(messages);
        if !request.tools.is_empty() {
            wire = wire.with_tools(request.tools.iter().map(|tool| {
                Tool::new(tool.name.as_str())
                    .with_description(tool.description.as_str())
                    .with_schema(tool.schema.clone())
            }));
        }
        wire
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
    Ok(match protocol {
        Protocol::Anthropic if !base.ends_with("/v1") => format!("{base}/v1/"),
        _ => format!("{base}/"),
    })
}

fn is_loopback(base_url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(base_url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn chat_options(options: CallOptions, schema: Option<&Value>) -> ChatOptions {
    // The raw body is kept so that an answer that cannot be read still tells what it cost.
    let mut wire =
        ChatOptions::default().with_capture_raw_body(true).with_max_tokens(options.max_output_tokens);
    if let Some(temperature) = options.temperature {
        wire = wire.with_temperature(temperature);
    }
    if let Some(schema) = schema {
        wire = wire.with_response_format(JsonSpec::new("answer", schema.clone()));
    }
    wire
}

fn chat_message(model: &ModelName, message: &Message) -> ChatMessage {
    match message {
        Message::User { text } => ChatMessage::user(text.as_str()),
        Message::Assistant { continuation: Some(continuation), .. } if continuation.model == *model => {
            ChatMessage::assistant(continuation.content.clone())
        }
        Message::Assistant { text, tool_calls, .. } => {
            let mut parts = Vec::new();
            if !text.is_empty() {
                parts.push(ContentPart::from_text(text.as_str()));
            }
            parts.extend(tool_calls.iter().map(|call| {
                ContentPart::ToolCall(WireToolCall {
                    call_id: call.id.clone(),
                    fn_name: call.name.clone(),
                    fn_arguments: as_object(&call.arguments),
                    thought_signatures: None,
                })
            }));
            if parts.is_empty() {
                // No provider takes an empty turn.
                parts.push(ContentPart::from_text("(no answer)"));
            }
            ChatMessage::assistant(MessageContent::from_parts(parts))
        }
        Message::ToolResults { results } => ChatMessage::tool(MessageContent::from_tool_responses(
            results
                .iter()
                .map(|result| {
                    ToolResponse::new(result.id.as_str(), result.content.as_str())
                        .with_fn_name(result.name.as_str())
                })
                .collect(),
        )),
    }
}

/// No provider takes arguments back that are not an object, not even those that it sent itself.
fn as_object(arguments: &Value) -> Value {
    if arguments.is_object() { arguments.clone() } else { json!({"unreadable": arguments}) }
}

fn reply(model: &ModelName, response: ChatResponse) -> Reply {
    let tool_calls: Vec<ToolCall> = response
        .content
        .tool_calls()
        .into_iter()
        .map(|call| ToolCall {
            id: call.call_id.clone(),
            name: call.fn_name.clone(),
            arguments: call.fn_arguments.clone(),
        })
        .collect();
    let text = response.content.texts().concat();
    let stop = stop_reason(response.stop_reason.as_ref(), !tool_calls.is_empty());
    let is_empty = text.is_empty() && tool_calls.is_empty();
    let takes_back = tool_calls.iter().all(|call| call.arguments.is_object());
    let continuation = (!is_empty && takes_back)
        .then(|| Continuation { model: model.clone(), content: response.content.clone() });
    Reply { text, tool_calls, stop, tokens: token_count(&response.usage), continuation }
}

fn stop_reason(stop: Option<&WireStop>, has_tool_calls: bool) -> StopReason {
    match stop {
        // Some compatible servers say `stop` although they call tools.
        Some(WireStop::Completed(_) | WireStop::StopSequence(_)) | None if has_tool_calls => {
            StopReason::ToolCalls
        }
        Some(WireStop::Completed(_) | WireStop::StopSequence(_)) => StopReason::Completed,
        Some(WireStop::ToolCall(_)) => StopReason::ToolCalls,
        Some(WireStop::MaxTokens(_)) => StopReason::OutputLimit,
        Some(WireStop::ContentFilter(_)) => StopReason::Refused,
        Some(WireStop::Other(reason)) => StopReason::Other(reason.clone()),
        None => StopReason::Other("no reason given".to_owned()),
    }
}

/// The crate counts cached and written tokens as part of the prompt, whoever the provider is.
fn token_count(usage: &genai::chat::Usage) -> TokenCount {
    let number = |value: Option<i32>| u64::try_from(value.unwrap_or(0)).unwrap_or(0);
    let details = usage.prompt_tokens_details.as_ref();
    let cached = number(details.and_then(|details| details.cached_tokens));
    let cache_written = number(details.and_then(|details| details.cache_creation_tokens));
    TokenCount {
        input: number(usage.prompt_tokens).saturating_sub(cached),
        cached,
        cache_written,
        output: number(usage.completion_tokens),
    }
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
