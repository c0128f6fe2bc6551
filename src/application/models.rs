//! The configured models as the client wants them.

use std::collections::BTreeMap;

use crate::config::{ModelChoice, ModelsConfig, Protocol as ConfiguredProtocol};
use crate::llm::{Endpoint, ModelName, Price, Protocol, RetryPolicy, Role, RoleSettings, Settings};

/// The largest request, in bytes of text: about half a million tokens.
const MOST_REQUEST_BYTES: usize = 2 * 1024 * 1024;

pub fn model_settings(config: &ModelsConfig) -> Settings {
    let endpoints = config.providers.iter().map(|(name, provider)| {
        let protocol = match provider.protocol {
            ConfiguredProtocol::Anthropic => Protocol::Anthropic,
            ConfiguredProtocol::OpenAi => Protocol::OpenAi,
        };
        let endpoint =
            Endpoint { protocol, base_url: provider.base_url.clone(), key: provider.api_key.clone() };
        (name.clone(), endpoint)
    });
    let lists = [
        (Role::Discussion, &config.roles.discussion),
        (Role::Implementer, &config.roles.implementer),
        (Role::Reviewer, &config.roles.reviewer),
        (Role::Fixer, &config.roles.fixer),
    ];
    let mut prices = BTreeMap::new();
    let mut roles = BTreeMap::new();
    for (role, choices) in lists {
        let Some(first) = choices.first() else { continue };
        for choice in choices {
            prices.extend(price_of(choice).map(|price| (name_of(choice), price)));
        }
        let settings = RoleSettings {
            models: choices.iter().map(name_of).collect(),
            temperature: first.temperature,
            max_output_tokens: first.max_tokens,
            call_timeout: config.request_timeout,
        };
        roles.insert(role, settings);
    }
    let retry = RetryPolicy { max_calls: config.retries as usize + 1, ..RetryPolicy::default() };
    Settings { endpoints: endpoints.collect(), roles, prices, retry, max_request_bytes: MOST_REQUEST_BYTES }
}

fn name_of(choice: &ModelChoice) -> ModelName {
    ModelName { provider: choice.provider.clone(), model: choice.model.clone() }
}

fn price_of(choice: &ModelChoice) -> Option<Price> {
    let micro = |usd: f64| (usd * 1e6).round() as u64;
    choice.prices.map(|prices| Price {
        input: micro(prices.input),
        cached_input: micro(prices.cached),
        cache_write: None,
        output: micro(prices.output),
    })
}
