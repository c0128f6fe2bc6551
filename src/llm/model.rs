//! Names of models, where they are reached and what they cost.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::domain::{Role, Usage};

/// The wire format that a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `POST {base}/v1/messages`.
    Anthropic,
    /// `POST {base}/chat/completions`, which most other servers imitate.
    OpenAi,
    /// `POST {base}/responses`: the only way in which OpenAI's later models take tools.
    OpenAiResponses,
    /// `POST {base}/v1beta/models/{model}:streamGenerateContent`.
    Gemini,
    /// `POST {base}/api/chat`.
    Ollama,
}

/// How answers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Event by event, so that a connection that has gone silent is noticed.
    #[default]
    Streamed,
    /// In one piece, for servers that cannot stream.
    Whole,
}

/// How much a model is to think before it answers. Not every model takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    Low,
    Medium,
    High,
}

/// A model of a provider, written `provider:model`, as in `anthropic:claude-sonnet-5-5`. The provider is
/// a name of the configuration, and the model's name is sent as it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName {
    pub provider: String,
    pub model: String,
}

/// Why a string is not the name of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a model: {reason}; write provider:model, as in anthropic:claude-sonnet-5-5")]
pub struct InvalidModelName {
    pub value: String,
    pub reason: &'static str,
}

impl FromStr for ModelName {
    type Err = InvalidModelName;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| InvalidModelName { value: value.to_owned(), reason };
        let (provider, model) = value.split_once(':').ok_or_else(|| refuse("it has no colon"))?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if provider.is_empty() || !provider.chars().all(plain) {
            return Err(refuse("the provider's name has to be letters, digits, - and _"));
        }
        if model.is_empty() {
            return Err(refuse("no model follows the colon"));
        }
        // `::` would be read as a namespace by the client crate.
        if model.contains("::") || model.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(refuse("the model has `::`, a space or a control character"));
        }
        Ok(Self { provider: provider.to_owned(), model: model.to_owned() })
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.model)
    }
}

impl Serialize for ModelName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModelName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a provider is reached, and with which key. A local server may need none.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub protocol: Protocol,
    /// As in the variables that people already set: `ANTHROPIC_BASE_URL` without `/v1`,
    /// `OPENAI_BASE_URL` with it.
    pub base_url: String,
    pub key: Option<SecretString>,
    pub delivery: Delivery,
}

impl Endpoint {
    pub fn new(protocol: Protocol, base_url: impl Into<String>, key: Option<SecretString>) -> Self {
        Self { protocol, base_url: base_url.into(), key, delivery: Delivery::Streamed }
    }
}

/// What a million tokens cost, in millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input: u64,
    pub cached_input: u64,
    /// Tokens written to the provider's cache; where the provider has no price of its own for them,
    /// the price of `input`.
    #[serde(default)]
    pub cache_write: Option<u64>,
    pub output: u64,
}

impl Price {
    /// Rounded up: a call that costs something never counts as free.
    pub fn cost_micro_usd(&self, tokens: &TokenCount) -> u64 {
        let plain = tokens.input.saturating_sub(tokens.cache_written);
        let parts = [
            (plain, self.input),
            (tokens.cache_written, self.cache_write.unwrap_or(self.input)),
            (tokens.cached, self.cached_input),
            (tokens.output, self.output),
        ];
        let total: u128 = parts.iter().map(|&(tokens, price)| u128::from(tokens) * u128::from(price)).sum();
        u64::try_from(total.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// Tokens of one call as the provider counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenCount {
    /// Prompt tokens that were not read from the cache, those written to it included.
    pub input: u64,
    pub cached: u64,
    /// Part of `input`.
    pub cache_written: u64,
    pub output: u64,
}

impl TokenCount {
    pub fn usage(&self, price: &Price) -> Usage {
        Usage {
            calls: 1,
            input_tokens: self.input,
            cached_tokens: self.cached,
            output_tokens: self.output,
            cost_micro_usd: price.cost_micro_usd(self),
        }
    }
}

/// A model and how it is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSettings {
    pub name: ModelName,
    /// Left to the provider where `None`: some models refuse the parameter.
    pub temperature: Option<f64>,
    pub max_output_tokens: u32,
    /// Left to the provider where `None`.
    pub effort: Option<Effort>,
    /// Prompt and answer together. `None`: not known; every request is sent.
    pub context_tokens: Option<u64>,
    /// `None`: not known; its calls count tokens but no money.
    pub price: Option<Price>,
}

impl ModelSettings {
    /// Everything else left to the provider, without a price.
    pub fn of(name: ModelName, max_output_tokens: u32) -> Self {
        Self { name, temperature: None, max_output_tokens, effort: None, context_tokens: None, price: None }
    }
}

/// How often and how long a failing call is repeated before the next model is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Calls to one model, the first included.
    pub max_calls: usize,
    /// Waiting between calls to one model, all together. A `retry-after` that would pass it ends the
    /// attempts at once.
    pub max_waiting: Duration,
    /// The first wait; the following ones double, each with jitter.
    pub first_wait: Duration,
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_calls: 5,
            max_waiting: Duration::from_secs(180),
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// When a model that keeps failing is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitPolicy {
    /// Transient failures one after the other, over all callers, after which it is left alone.
    pub failures: u32,
    /// For how long. Then one call tries whether it is back; a failure leaves it alone again.
    pub pause: Duration,
}

impl Default for CircuitPolicy {
    fn default() -> Self {
        Self { failures: 8, pause: Duration::from_secs(30) }
    }
}

/// Everything that a client is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// By the provider's name.
    pub endpoints: BTreeMap<String, Endpoint>,
    /// For each role the models to try: the first is asked first, the others when it fails.
    pub roles: BTreeMap<Role, Vec<ModelSettings>>,
    /// For one call, from connecting to the last byte.
    pub call_timeout: Duration,
    /// Longest time in which not a byte of a streamed answer comes.
    pub idle_timeout: Duration,
    pub retry: RetryPolicy,
    pub circuit: CircuitPolicy,
    /// The largest request that is sent, in bytes of text; see [`DEFAULT_MAX_REQUEST_BYTES`].
    pub max_request_bytes: usize,
}

/// About 200,000 tokens, what the usual models take.
pub const DEFAULT_MAX_REQUEST_BYTES: usize = 800_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_it_was_written() {
        for name in ["anthropic:claude-sonnet-5-5", "openai:gpt-5.2", "openai-compatible:qwen2.5:7b"] {
            assert_eq!(name.parse::<ModelName>().expect(name).to_string(), name);
        }
        let local: ModelName = "openai-compatible:qwen2.5:7b".parse().expect("local");
        assert_eq!(local.model, "qwen2.5:7b");
    }

    #[test]
    fn what_is_no_model_is_refused_with_a_hint() {
        for name in ["claude", ":claude", "an thropic:claude", "openai:", "openai:a b", "openai:x::y"] {
            let error = name.parse::<ModelName>().expect_err(name).to_string();
            assert!(error.contains("anthropic:claude-sonnet-5-5") && error.contains(name), "{error}");
        }
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let price = Price {
            input: 3_000_000,
            cached_input: 300_000,
            cache_write: Some(3_750_000),
            output: 15_000_000,
        };
        let tokens = TokenCount { input: 1_000, cached: 10_000, cache_written: 400, output: 100 };
        // 600 x 3 + 400 x 3.75 + 10,000 x 0.3 + 100 x 15 millionths.
        assert_eq!(price.cost_micro_usd(&tokens), 1_800 + 1_500 + 3_000 + 1_500);
        let one = TokenCount { output: 1, ..TokenCount::default() };
        assert_eq!(Price { output: 1, ..Price::default() }.cost_micro_usd(&one), 1, "rounded up");
    }
}
