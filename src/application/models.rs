//! The configured models as the client wants them.

use std::collections::BTreeMap;

use crate::config::{EffortName, ModelChoice, ModelsConfig, Protocol as ConfiguredProtocol};
use crate::llm::{
    CircuitPolicy, Delivery, Effort, Endpoint, ModelName, ModelSettings, Price, Protocol, RetryPolicy,
    Settings,
};

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
    let roles: BTreeMap<_, _> = config
        .roles
        .all()
        .filter(|(_, choices)| !choices.is_empty())
        .map(|(role, choices)| (role, choices.iter().map(|choice| model(config, choice)).collect()))
        .collect();
    Settings {
        endpoints: endpoints.collect(),
        roles,
        call_timeout: config.request_timeout,
        idle_timeout: config.idle_timeout,
        circuit: CircuitPolicy { failures: config.circuit_failures, pause: config.circuit_pause },
        retry: RetryPolicy { max_calls: config.retries as usize + 1, ..RetryPolicy::default() },
        max_request_bytes: MOST_REQUEST_BYTES,
    }
}

fn model(config: &ModelsConfig, choice: &ModelChoice) -> ModelSettings {
    let protocol = config.providers.get(&choice.provider).map(|provider| provider.protocol);
    ModelSettings {
        name: ModelName { provider: choice.provider.clone(), model: choice.model.clone() },
        temperature: choice.temperature,
        max_output_tokens: choice.max_tokens,
        effort: choice.effort.map(|effort| match effort {
            EffortName::Low => Effort::Low,
            EffortName::Medium => Effort::Medium,
            EffortName::High => Effort::High,
        }),
        context_tokens: choice.context_tokens,
        price: price_of(choice, protocol),
    }
}

/// Anthropic asks 1.25 times the price of input for tokens that it keeps for five minutes
/// (platform.claude.com/docs/en/about-claude/pricing); others do not tell what they keep.
fn price_of(choice: &ModelChoice, protocol: Option<ConfiguredProtocol>) -> Option<Price> {
    let micro = |usd: f64| (usd * 1e6).round() as u64;
    choice.prices.map(|prices| Price {
        input: micro(prices.input),
        cached_input: micro(prices.cached),
        cache_write: prices
            .cache_write
            .or_else(|| (protocol == Some(ConfiguredProtocol::Anthropic)).then_some(prices.input * 1.25))
            .map(micro),
        output: micro(prices.output),
    })
}
