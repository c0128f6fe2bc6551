//! The configured models as the client wants them.

use crate::config::{ModelsConfig, Protocol as ConfiguredProtocol};
use crate::llm::{CircuitPolicy, Delivery, Endpoint, Protocol, RetryPolicy, Settings};
use crate::pipeline::model_lists;

/// The largest request, in bytes of text: about half a million tokens.
const MOST_REQUEST_BYTES: usize = 2 * 1024 * 1024;

pub fn model_settings(config: &ModelsConfig) -> Settings {
    let endpoints = config.providers.iter().map(|(name, provider)| {
        let protocol = match provider.protocol {
            ConfiguredProtocol::Anthropic => Protocol::Anthropic,
            ConfiguredProtocol::OpenAi => Protocol::OpenAi,
            ConfiguredProtocol::OpenAiResponses => Protocol::OpenAiResponses,
            ConfiguredProtocol::Gemini => Protocol::Gemini,
            ConfiguredProtocol::Ollama => Protocol::Ollama,
        };
        let endpoint = Endpoint::new(protocol, provider.base_url.as_str(), provider.api_key.clone());
        let delivery = if provider.stream { Delivery::Streamed } else { Delivery::Whole };
        (name.clone(), Endpoint { delivery, ..endpoint })
    });
    Settings {
        endpoints: endpoints.collect(),
        roles: model_lists(config, &config.roles),
        call_timeout: config.request_timeout,
        idle_timeout: config.idle_timeout,
        circuit: CircuitPolicy { failures: config.circuit_failures, pause: config.circuit_pause },
        retry: RetryPolicy { max_calls: config.retries as usize + 1, ..RetryPolicy::default() },
        max_request_bytes: MOST_REQUEST_BYTES,
    }
}
