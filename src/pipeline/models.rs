//! Configured models as the client of models wants them.

use std::collections::BTreeMap;

use crate::config::{EffortName, ModelChoice, ModelsConfig, Protocol, RoleModels};
use crate::domain::Role;
use crate::llm::{Effort, ModelName, ModelSettings, Price};

/// The lists of all roles that have one.
pub fn model_lists(config: &ModelsConfig, roles: &RoleModels) -> BTreeMap<Role, Vec<ModelSettings>> {
    let lists = roles.all().filter(|(_, choices)| !choices.is_empty());
    lists
        .map(|(role, choices)| (role, choices.iter().map(|choice| model(config, choice)).collect()))
        .collect()
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
fn price_of(choice: &ModelChoice, protocol: Option<Protocol>) -> Option<Price> {
    let micro = |usd: f64| (usd * 1e6).round() as u64;
    choice.prices.map(|prices| Price {
        input: micro(prices.input),
        cached_input: micro(prices.cached),
        cache_write: prices
            .cache_write
            .or_else(|| (protocol == Some(Protocol::Anthropic)).then_some(prices.input * 1.25))
            .map(micro),
        output: micro(prices.output),
    })
}
