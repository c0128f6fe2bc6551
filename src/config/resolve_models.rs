//! The models section: providers, and for each role the models to try.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{ConfigError, nearest};
use super::file;
use super::resolve::Resolver;
use super::sections::{ModelChoice, ModelsConfig, Prices, Protocol, ProviderConfig, RoleModels};
use crate::domain::Role;

const ANTHROPIC_URL: &str = "https://api.anthropic.com";
const OPENAI_URL: &str = "https://api.openai.com/v1";
const DEFAULT_MAX_TOKENS: u64 = 8192;
/// What these models think counts as output, and comes before the answer.
const BUILT_IN_MAX_TOKENS: u32 = 16_384;

pub(super) fn resolve(r: &mut Resolver<'_>, mut file: file::Models) -> Result<ModelsConfig, ConfigError> {
    let written = std::mem::take(&mut file.providers);
    let providers = providers(r, written)?;
    let default = match file.default {
        Some(models) => role(r, "models.default", models, &providers)?,
        None => built_in(&providers),
    };
    let roles = roles(r, std::mem::take(&mut file.roles), default, &providers)?;
    let timeout = file.request_timeout_seconds;
    let timeout = r.number("models.request_timeout_seconds", timeout, 300, 1..=3600)?;
    Ok(ModelsConfig {
        providers,
        roles,
        request_timeout: Duration::from_secs(timeout),
        retries: r.number("models.retries", file.retries, 4, 0..=20)?,
    })
}

/// A role that the file does not name has the models of its stand-in if that is named, and else the default.
fn roles(
    r: &mut Resolver<'_>,
    written: BTreeMap<String, Vec<file::Model>>,
    default: Vec<ModelChoice>,
    providers: &BTreeMap<String, ProviderConfig>,
) -> Result<RoleModels, ConfigError> {
    let mut named: BTreeMap<Role, Vec<ModelChoice>> = BTreeMap::new();
    for (name, models) in written {
        let key = format!("models.roles.{name}");
        let Some(of) = Role::named(&name) else {
            let names: Vec<&str> = Role::ALL.into_iter().map(Role::as_str).collect();
            let all = Role::ALL.into_iter().flat_map(|role| [Some(role.as_str()), role.alias()]);
            let near = nearest(&name, all.flatten()).map(|near| format!("models.roles.{near}"));
            let problem = format!("there is no such role; the roles are {}", names.join(", "));
            return Err(r.error(&key, problem).suggest(near));
        };
        if named.contains_key(&of) {
            let other = of.alias().unwrap_or_default();
            return Err(r.error(&key, format!("`{of}` and `{other}` are the same role: keep one of them")));
        }
        named.insert(of, role(r, &key, models, providers)?);
    }
    let models = |role: Role| {
        let stand_in = role.stand_in().and_then(|other| named.get(&other));
        named.get(&role).or(stand_in).unwrap_or(&default).clone()
    };
    Ok(Role::ALL.into_iter().map(|role| (role, models(role))).collect())
}

/// `anthropic` and `openai` are always there; others are named in the file.
fn providers(
    r: &mut Resolver<'_>,
    mut written: BTreeMap<String, file::Provider>,
) -> Result<BTreeMap<String, ProviderConfig>, ConfigError> {
    for name in ["anthropic", "openai"] {
        written.entry(name.to_owned()).or_default();
    }
    let mut providers = BTreeMap::new();
    for (name, provider) in written {
        let key = |field: &str| format!("models.providers.{name}.{field}");
        if name.is_empty() || name.contains(':') {
            let problem = "a provider's name must not be empty or hold a colon";
            return Err(r.error(&format!("models.providers.{name}"), problem));
        }
        let protocols = [("anthropic", Protocol::Anthropic), ("openai", Protocol::OpenAi)];
        let protocol = match (name.as_str(), &provider.protocol) {
            (_, Some(protocol)) => r.choice(&key("protocol"), protocol, &protocols)?,
            ("anthropic", None) => Protocol::Anthropic,
            _ => Protocol::OpenAi,
        };
        let default = match name.as_str() {
            "anthropic" => ANTHROPIC_URL,
            "openai" => OPENAI_URL,
            _ if provider.base_url.as_deref().is_none_or(str::is_empty) => {
                return Err(r.error(&key("base_url"), "must be set for a provider of your own"));
            }
            _ => "",
        };
        let base_url = r.base_url(&key("base_url"), provider.base_url, default)?;
        let api_key = r.secret(&key("api_key"), provider.api_key);
        providers.insert(name, ProviderConfig { protocol, base_url, api_key });
    }
    Ok(providers)
}

fn role(
    r: &mut Resolver<'_>,
    key: &str,
    models: Vec<file::Model>,
    providers: &BTreeMap<String, ProviderConfig>,
) -> Result<Vec<ModelChoice>, ConfigError> {
    if models.is_empty() {
        return Err(r.error(key, "name at least one model, or leave the key out"));
    }
    models
        .into_iter()
        .enumerate()
        .map(|(index, model)| choice(r, &format!("{key}[{index}]"), model, providers))
        .collect()
}

fn choice(
    r: &mut Resolver<'_>,
    key: &str,
    model: file::Model,
    providers: &BTreeMap<String, ProviderConfig>,
) -> Result<ModelChoice, ConfigError> {
    let name_key = format!("{key}.model");
    let named = model.model.as_deref().and_then(|name| name.split_once(':'));
    let Some((provider, name)) = named.filter(|(_, name)| !name.is_empty()) else {
        let key = if model.model.is_some() { &name_key } else { key };
        return Err(r.error(key, "expected `model: provider:name`, such as `anthropic:claude-sonnet-5-5`"));
    };
    if !providers.contains_key(provider) {
        let known: Vec<&str> = providers.keys().map(String::as_str).collect();
        let near = nearest(provider, known.iter().copied()).map(|near| format!("{near}:{name}"));
        let problem = format!("the provider before the colon is not known; known are {}", known.join(", "));
        return Err(r.error(&name_key, problem).suggest(near));
    }
    if model.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(r.error(&format!("{key}.temperature"), "must lie between 0 and 2"));
    }
    let prices = prices(r, key, &model)?;
    if prices.is_none() && matches!(provider, "anthropic" | "openai") {
        r.notices.push(format!(
            "`{key}` has no prices, so its calls count as 0 USD and `limits.task_usd` does not hold them back"
        ));
    }
    Ok(ModelChoice {
        provider: provider.to_owned(),
        model: name.to_owned(),
        temperature: model.temperature,
        max_tokens: r.number(
            &format!("{key}.max_tokens"),
            model.max_tokens,
            DEFAULT_MAX_TOKENS,
            1..=1_000_000,
        )?,
        prices,
    })
}

fn prices(r: &Resolver<'_>, key: &str, model: &file::Model) -> Result<Option<Prices>, ConfigError> {
    let written = [
        ("usd_per_million_input_tokens", model.usd_per_million_input_tokens),
        ("usd_per_million_output_tokens", model.usd_per_million_output_tokens),
        ("usd_per_million_cached_tokens", model.usd_per_million_cached_tokens),
    ];
    for (name, price) in written {
        if price.is_some_and(|price| !price.is_finite() || price < 0.0) {
            return Err(r.error(&format!("{key}.{name}"), "must not be negative"));
        }
    }
    match written.map(|(_, price)| price) {
        [None, None, None] => Ok(None),
        // A provider without a price of its own for cached tokens charges them as input.
        [Some(input), Some(output), cached] => {
            Ok(Some(Prices { input, output, cached: cached.unwrap_or(input) }))
        }
        _ => Err(
            r.error(key, "prices need both usd_per_million_input_tokens and usd_per_million_output_tokens")
        ),
    }
}

/// With a key and nothing else configured, a model that the provider has announced no end of. Prices of
/// November 2026: Anthropic's from platform.claude.com/docs/en/about-claude/pricing, OpenAI's as others report
/// them. They only size a budget; who wants them exact configures them.
/// OpenAI's later models take function tools only through its Responses API, which is not spoken here.
fn built_in(providers: &BTreeMap<String, ProviderConfig>) -> Vec<ModelChoice> {
    let known = [
        ("anthropic", "claude-sonnet-5-5", Prices { input: 2.0, output: 10.0, cached: 0.1 }),
        ("openai", "gpt-5.2", Prices { input: 1.75, output: 14.0, cached: 0.175 }),
    ];
    let with_key = |(provider, ..): &(&str, &str, Prices)| {
        providers.get(*provider).is_some_and(|provider| provider.api_key.is_some())
    };
    let choice = |(provider, model, prices): (&str, &str, Prices)| ModelChoice {
        provider: provider.to_owned(),
        model: model.to_owned(),
        temperature: None,
        max_tokens: BUILT_IN_MAX_TOKENS,
        prices: Some(prices),
    };
    known.into_iter().filter(with_key).map(choice).collect()
}
