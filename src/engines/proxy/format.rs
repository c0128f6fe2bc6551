//! The wire formats that agents speak: which path is which, and what a request says of itself.

use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::llm::Protocol;

/// A call that the proxy lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `POST /v1/messages`.
    Messages,
    /// `POST /v1/chat/completions`.
    Chat,
    /// `POST /v1/responses`.
    Responses,
    /// `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.
    Gemini { streams: bool },
}

/// A request, as far as it has to be understood.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub format: Format,
    pub model: String,
    /// What is sent on.
    pub body: Value,
    /// What it may write at most, where it says so.
    pub max_output_tokens: Option<u64>,
    pub streams: bool,
}

impl Format {
    /// What a path asks for, and the model where the path names it. A path without the version, as clients make
    /// it of a base URL that lacks `/v1`, is read the same.
    pub fn of(path: &str) -> Option<(Self, Option<String>)> {
        match path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path) {
            "/messages" => return Some((Self::Messages, None)),
            "/chat/completions" => return Some((Self::Chat, None)),
            "/responses" => return Some((Self::Responses, None)),
            _ => {}
        }
        let call = ["/v1beta/models/", "/v1/models/"].iter().find_map(|start| path.strip_prefix(start))?;
        let (model, verb) = call.rsplit_once(':')?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if model.is_empty() || !model.chars().all(plain) {
            return None;
        }
        let streams = match verb {
            "generateContent" => false,
            "streamGenerateContent" => true,
            _ => return None,
        };
        Some((Self::Gemini { streams }, Some(model.to_owned())))
    }

    /// The wire format by the name that it has elsewhere.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Messages => Protocol::Anthropic,
            Self::Chat => Protocol::OpenAi,
            Self::Responses => Protocol::OpenAiResponses,
            Self::Gemini { .. } => Protocol::Gemini,
        }
    }

    /// Whether a provider of that protocol takes it.
    pub fn is_of(self, protocol: Protocol) -> bool {
        match self {
            Self::Messages => protocol == Protocol::Anthropic,
            Self::Chat | Self::Responses => matches!(protocol, Protocol::OpenAi | Protocol::OpenAiResponses),
            Self::Gemini { .. } => protocol == Protocol::Gemini,
        }
    }

    /// Where the call goes below a provider's base URL as people write it: Anthropic's without the version,
    /// OpenAI's with it.
    pub fn url(self, base_url: &str, model: &str) -> String {
        let base = base_url.trim_end_matches('/');
        match self {
            Self::Messages => format!("{}/v1/messages", base.strip_suffix("/v1").unwrap_or(base)),
            Self::Chat => format!("{base}/chat/completions"),
            Self::Responses => format!("{base}/responses"),
            Self::Gemini { streams } => {
                let has_version = base.rsplit('/').next().is_some_and(|last| last.starts_with("v1"));
                let version = if has_version { "" } else { "/v1beta" };
                let verb = if streams { "streamGenerateContent?alt=sse" } else { "generateContent" };
                format!("{base}{version}/models/{model}:{verb}")
            }
        }
    }

    /// Reads a request. What it sends on is made of what was understood: a field that stands in it twice is there
    /// once.
    pub fn read(self, model: Option<String>, body: &[u8]) -> Result<Asked, Refusal> {
        let mut body: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::request(format!("the body is not JSON: {error}")))?;
        if !body.is_object() {
            return Err(Refusal::request("the body is not a JSON object"));
        }
        let named = body.get("model").and_then(Value::as_str).map(str::to_owned);
        let model = model.or(named).ok_or_else(|| Refusal::request("the request names no `model`"))?;
        let streams = match self {
            Self::Gemini { streams } => streams,
            _ => body.get("stream").and_then(Value::as_bool).unwrap_or(false),
        };
        if self == Self::Chat && streams {
            // Otherwise nobody learns what the call used.
            body["stream_options"] = json!({ "include_usage": true });
        }
        for field in ["service_tier", "speed"] {
            // A faster lane has another price than the one that is reckoned with.
            body.as_object_mut().and_then(|object| object.shift_remove(field));
        }
        let max_output_tokens = self.output_field(&body).and_then(Value::as_u64);
        Ok(Asked { format: self, model, body, max_output_tokens, streams })
    }

    fn output_field(self, body: &Value) -> Option<&Value> {
        match self {
            Self::Messages => body.get("max_tokens"),
            Self::Chat => body.get("max_completion_tokens").or_else(|| body.get("max_tokens")),
            Self::Responses => body.get("max_output_tokens"),
            Self::Gemini { .. } => {
                let config = body.get("generationConfig").or_else(|| body.get("generation_config"))?;
                config.get("maxOutputTokens").or_else(|| config.get("max_output_tokens"))
            }
        }
    }
}

impl Asked {
    /// Sets the most that may be written where the request leaves it open, so that there is a most that it costs.
    pub fn limit_output(&mut self, tokens: u64) -> u64 {
        if let Some(asked) = self.max_output_tokens {
            return asked;
        }
        match self.format {
            Format::Messages => self.body["max_tokens"] = json!(tokens),
            Format::Chat => self.body["max_completion_tokens"] = json!(tokens),
            Format::Responses => self.body["max_output_tokens"] = json!(tokens),
            Format::Gemini { .. } => {
                let name = if self.body.get("generation_config").is_some() {
                    "generation_config"
                } else {
                    "generationConfig"
                };
                if !self.body[name].is_object() {
                    self.body[name] = json!({});
                }
                self.body[name]["maxOutputTokens"] = json!(tokens);
            }
        }
        self.max_output_tokens = Some(tokens);
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_calls_of_a_model_have_a_format() {
        for (path, format) in [
            ("/v1/messages", Format::Messages),
            ("/messages", Format::Messages),
            ("/v1/chat/completions", Format::Chat),
            ("/chat/completions", Format::Chat),
            ("/v1/responses", Format::Responses),
            ("/v1beta/models/gemini-3-pro:generateContent", Format::Gemini { streams: false }),
            ("/v1beta/models/gemini-3-pro:streamGenerateContent", Format::Gemini { streams: true }),
        ] {
            assert_eq!(Format::of(path).map(|(format, _)| format), Some(format), "{path}");
        }
        for path in [
            "/",
            "/v1",
            "/v1/files",
            "/v1/models",
            "/v1/messages/batches",
            "/v1/messages/",
            "//v1/messages",
            "/v1/responses/resp_1",
            "/v1/../v1/messages",
            "/v1beta/models/a/b:generateContent",
            "/v1beta/models/a%2Fb:generateContent",
            "/v1beta/models/:generateContent",
            "/v1beta/models/m:countTokens",
            "/v1beta/cachedContents",
        ] {
            assert_eq!(Format::of(path), None, "{path}");
        }
    }

    #[test]
    fn a_base_url_is_taken_as_people_set_it() {
        let cases = [
            (Format::Messages, "https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
            (Format::Messages, "https://api.anthropic.com/v1/", "https://api.anthropic.com/v1/messages"),
            (Format::Chat, "https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
            (Format::Responses, "https://api.openai.com/v1/", "https://api.openai.com/v1/responses"),
            (
                Format::Gemini { streams: false },
                "https://g.example/",
                "https://g.example/v1beta/models/m:generateContent",
            ),
            (
                Format::Gemini { streams: true },
                "https://g.example/v1beta",
                "https://g.example/v1beta/models/m:streamGenerateContent?alt=sse",
            ),
        ];
        for (format, base, expected) in cases {
            assert_eq!(format.url(base, "m"), expected);
        }
    }

    #[test]
    fn a_request_says_what_it_may_write_and_a_field_that_is_there_twice_counts_once() {
        let body = br#"{"model":"a","stream":true,"model":"b","service_tier":"priority","messages":[]}"#;
        let mut asked = Format::Chat.read(None, body).expect("read");
        assert_eq!((asked.model.as_str(), asked.streams), ("b", true));
        assert_eq!(asked.limit_output(77), 77);
        assert_eq!(
            asked.body.to_string(),
            r#"{"model":"b","stream":true,"messages":[],"stream_options":{"include_usage":true},"max_completion_tokens":77}"#
        );
        let mut asked = Format::Messages.read(None, br#"{"model":"a","max_tokens":5}"#).expect("read");
        assert_eq!(asked.limit_output(77), 5);
        let gemini = Format::Gemini { streams: false };
        let mut asked = gemini.read(Some("g".into()), br#"{"contents":[]}"#).expect("read");
        asked.limit_output(9);
        assert_eq!(asked.body["generationConfig"]["maxOutputTokens"], 9);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for body in ["", "[]", "{", r#"{"messages":[]}"#, r#"{"model":1}"#] {
            assert!(Format::Messages.read(None, body.as_bytes()).is_err(), "{body}");
        }
    }
}
