//! The models section: providers, and for each role the models to try.

use std::collections::BTreeMap;
use std::time::Duration;

use super::catalog::{Catalog, Entry};
use super::error::{ConfigError, nearest};
use super::file;
use super::policy_models::no_such_role;
use super::resolve::Resolver;
use super::sections::{EffortName, ModelChoice, ModelsConfig, Prices, Protocol, ProviderConfig, RoleModels};
use crate::domain::Role;

/// A provider that is always there.
struct BuiltIn {
    name: &'static str,
    protocol: Protocol,
    base_url: &'static str,
    /// What a base URL that people know without a path lacks.
    path: &'static str,
    /// What a key alone leads to.
    model: Option<&'static str>,
}

const BUILT_IN: [BuiltIn; 6] = [
    BuiltIn {
        name: "anthropic",
        protocol: Protocol::Anthropic,
        base_url: "https://api.anthropic.com",
        path: "",
        model: Some("claude-sonnet-5-5"),
    },
    BuiltIn {
        name: "openai",
        protocol: Protocol::OpenAiResponses,
        base_url: "https://api.openai.com/v1",
        path: "",
        model: Some("gpt-5.2"),
    },
    BuiltIn {
        name: "gemini",
        protocol: Protocol::Gemini,
        base_url: "https://generativelanguage.googleapis.com",
        path: "",
        model: Some("gemini-3.6-flash"),
    },
    BuiltIn {
        name: "xai",
        protocol: Protocol::OpenAi,
        base_url: "https://api.x.ai/v1",
        path: "/v1",
        model: Some("grok-4.3"),
    },
    BuiltIn {
        name: "groq",
        protocol: Protocol::OpenAi,
        base_url: "https://api.groq.com/openai/v1",
        path: "/openai/v1",
        model: Some("openai/gpt-oss-120b"),
    },
    BuiltIn {
        name: "ollama",
        protocol: Protocol::Ollama,
        base_url: "http://127.0.0.1:11434",
        path: "",
        model: None,
    },
];

const PROTOCOLS: [(&str, Protocol); 5] = [
    ("anthropic", Protocol::Anthropic),
    ("openai", Protocol::OpenAi),
    ("openai-responses", Protocol::OpenAiResponses),
    ("gemini", Protocol::Gemini),
    ("ollama", Protocol::Ollama),
];

const DEFAULT_MAX_TOKENS: u64 = 8192;
/// What these models think counts as output, and comes before the answer.
const BUILT_IN_MAX_TOKENS: u32 = 16_384;

pub(super) fn resolve(r: &mut Resolver<'_>, mut file: file::Models) -> Result<ModelsConfig, ConfigError> {
    let written = std::mem::take(&mut file.providers);
    let known = Known {
        providers: providers(r, written)?,
        catalog: Catalog::load(r.path("models.catalog", file.catalog)?.as_deref())?,
    };
    let default = match file.default {
        Some(models) => role(r, "models.default", models, &known)?,
        None => built_in(&known),
    };
    let as_written = roles(r, std::mem::take(&mut file.roles), default, &known)?;
    let open = file
        .repositories_may_use
        .take()
        .map(|models| choices(r, "models.repositories_may_use", models, &known));
    let repositories_may_use = open.transpose()?;
    let seconds = |key: &str, written, default, most| {
        r.number(&format!("models.{key}"), written, default, 1..=most).map(Duration::from_secs)
    };
    Ok(ModelsConfig {
        roles: as_written.clone(),
        as_written,
        repositories_may_use,
        request_timeout: seconds("request_timeout_seconds", file.request_timeout_seconds, 600, 3600)?,
        idle_timeout: seconds("idle_timeout_seconds", file.idle_timeout_seconds, 120, 3600)?,
        circuit_failures: r.number("models.circuit_failures", file.circuit_failures, 8, 1..=1000)?,
        circuit_pause: seconds("circuit_pause_seconds", file.circuit_pause_seconds, 30, 3600)?,
        retries: r.number("models.retries", file.retries, 4, 0..=20)?,
        providers: known.providers,
    })
}

/// What a model's name is looked up in.
struct Known {
    providers: BTreeMap<String, ProviderConfig>,
    catalog: Catalog,
}

/// A role that the file does not name has the models of its stand-in if that is named, and else the default.
fn roles(
    r: &mut Resolver<'_>,
    written: BTreeMap<String, Vec<file::Model>>,
    default: Vec<ModelChoice>,
    known: &Known,
) -> Result<RoleModels, ConfigError> {
    let mut named: BTreeMap<Role, Vec<ModelChoice>> = BTreeMap::new();
    for (name, models) in written {
        let key = format!("models.roles.{name}");
        let Some(of) = Role::named(&name) else {
            return Err(no_such_role(&name, |problem| r.error(&key, problem)));
        };
        if named.contains_key(&of) {
            let other = of.alias().unwrap_or_default();
            return Err(r.error(&key, format!("`{of}` and `{other}` are the same role: keep one of them")));
        }
        named.insert(of, role(r, &key, models, known)?);
    }
    let models = |role: Role| {
        let stand_in = role.stand_in().and_then(|other| named.get(&other));
        named.get(&role).or(stand_in).unwrap_or(&default).clone()
    };
    Ok(Role::ALL.into_iter().map(|role| (role, models(role))).collect())
}

/// The built-in providers are always there; others are named in the file.
fn providers(
    r: &mut Resolver<'_>,
    mut written: BTreeMap<String, file::Provider>,
) -> Result<BTreeMap<String, ProviderConfig>, ConfigError> {
    for built_in in &BUILT_IN {
        written.entry(built_in.name.to_owned()).or_default();
    }
    let mut providers = BTreeMap::new();
    for (name, provider) in written {
        let config = self::provider(r, &name, provider)?;
        providers.insert(name, config);
    }
    Ok(providers)
}

fn provider(
    r: &mut Resolver<'_>,
    name: &str,
    written: file::Provider,
) -> Result<ProviderConfig, ConfigError> {
    let key = |field: &str| format!("models.providers.{name}.{field}");
    if name.is_empty() || name.contains(':') {
        let problem = "a provider's name must not be empty or hold a colon";
        return Err(r.error(&format!("models.providers.{name}"), problem));
    }
    let built_in = BUILT_IN.iter().find(|built_in| built_in.name == name);
    let url_key = key("base_url");
    let base_url = match (built_in, r.text(&url_key, written.base_url)) {
        (None, None) => return Err(r.error(&url_key, "must be set for a provider of your own")),
        (None, Some(text)) => r.url(&url_key, &text)?,
        (Some(built_in), None) => built_in.base_url.to_owned(),
        (Some(built_in), Some(text)) => {
            let text = if name == "ollama" { ollama_url(&text) } else { text };
            let url = r.url(&url_key, &text)?;
            let has_path = reqwest::Url::parse(&url).is_ok_and(|url| url.path() != "/");
            if has_path { url } else { format!("{url}{}", built_in.path) }
        }
    };
    let protocol = match (written.protocol, built_in) {
        (Some(protocol), _) => r.choice(&key("protocol"), &protocol, &PROTOCOLS)?,
        (None, Some(built_in)) => spoken_at(built_in, &base_url),
        (None, None) => Protocol::OpenAi,
    };
    let api_key = r.secret(&key("api_key"), written.api_key);
    Ok(ProviderConfig { protocol, base_url, api_key, stream: written.stream.unwrap_or(true) })
}

/// OpenAI's own servers take the Responses API, without which its later models take no tools. Servers of
/// others to which `OPENAI_BASE_URL` leads know the chat completions, and only few of them more.
fn spoken_at(built_in: &BuiltIn, base_url: &str) -> Protocol {
    let url = reqwest::Url::parse(base_url).ok();
    let host = url.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
    let is_openai = host == "api.openai.com" || host.ends_with(".api.openai.com");
    match built_in.protocol {
        Protocol::OpenAiResponses if !is_openai => Protocol::OpenAi,
        protocol => protocol,
    }
}

/// What Ollama itself makes of `OLLAMA_HOST` (its `envconfig.Host`): a host, a host and port, or a URL. An
/// address to listen on everywhere is reached on this machine.
fn ollama_url(text: &str) -> String {
    let text = text.trim().trim_matches(['"', '\'']).trim();
    let (scheme, rest, port) = match text.split_once("://") {
        None => ("http", text, Some("11434")),
        // A URL without a port means its scheme's own.
        Some((scheme, rest)) => (scheme, rest, None),
    };
    let (address, path) = rest.split_once('/').map_or((rest, ""), |(address, path)| (address, path));
    let path = path.trim_end_matches('/');
    // An IPv6 address without brackets has no port.
    let bare_v6 = address.parse::<std::net::Ipv6Addr>().is_ok();
    let (host, own_port) = match address.rsplit_once(':') {
        Some((host, own)) if !bare_v6 && !own.ends_with(']') => (host, Some(own)),
        _ => (address, None),
    };
    let host = match host.trim_matches(['[', ']']) {
        "" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let port = own_port.or(port).map(|port| format!(":{port}")).unwrap_or_default();
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}{port}{slash}{path}")
}

fn role(
    r: &mut Resolver<'_>,
    key: &str,
    models: Vec<file::Model>,
    known: &Known,
) -> Result<Vec<ModelChoice>, ConfigError> {
    if models.is_empty() {
        return Err(r.error(key, "name at least one model, or leave the key out"));
    }
    choices(r, key, models, known)
}

fn choices(
    r: &mut Resolver<'_>,
    key: &str,
    models: Vec<file::Model>,
    known: &Known,
) -> Result<Vec<ModelChoice>, ConfigError> {
    models
        .into_iter()
        .enumerate()
        .map(|(index, model)| choice(r, &format!("{key}[{index}]"), model, known))
        .collect()
}

fn choice(
    r: &mut Resolver<'_>,
    key: &str,
    model: file::Model,
    known: &Known,
) -> Result<ModelChoice, ConfigError> {
    let name_key = format!("{key}.model");
    let named = model.model.as_deref().and_then(|name| name.split_once(':'));
    let Some((provider, name)) = named.filter(|(_, name)| !name.is_empty()) else {
        let key = if model.model.is_some() { &name_key } else { key };
        return Err(r.error(key, "expected `model: provider:name`, such as `anthropic:claude-sonnet-5-5`"));
    };
    let Some(config) = known.providers.get(provider) else {
        let names: Vec<&str> = known.providers.keys().map(String::as_str).collect();
        let near = nearest(provider, names.iter().copied()).map(|near| format!("{near}:{name}"));
        let problem = format!("the provider before the colon is not known; known are {}", names.join(", "));
        return Err(r.error(&name_key, problem).suggest(near));
    };
    if model.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        return Err(r.error(&format!("{key}.temperature"), "must lie between 0 and 2"));
    }
    let listed = known.catalog.of(provider, name);
    let prices = prices(r, key, &model)?.or_else(|| listed.and_then(Entry::prices));
    let is_built_in = BUILT_IN.iter().any(|built_in| built_in.name == provider);
    if prices.is_none() && is_built_in && config.protocol != Protocol::Ollama {
        r.notices.push(format!(
            "`{key}` has no prices, so its calls count as 0 USD and `limits.task_usd` does not hold them back"
        ));
    }
    let context_tokens = match model.context_tokens {
        None => listed.and_then(|listed| listed.context_tokens),
        written => Some(r.number(&format!("{key}.context_tokens"), written, 0, 1_000..=100_000_000)?),
    };
    if context_tokens.is_none() && config.protocol == Protocol::Ollama {
        r.notices.push(format!(
            "`{key}` has no `context_tokens`, so Ollama cuts prompts at its own default without a word; set it"
        ));
    }
    let efforts =
        [EffortName::Low, EffortName::Medium, EffortName::High].map(|effort| (effort.as_str(), effort));
    let effort = model.effort.as_deref();
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
        effort: effort.map(|effort| r.choice(&format!("{key}.effort"), effort, &efforts)).transpose()?,
        context_tokens,
        prices,
    })
}

fn prices(r: &Resolver<'_>, key: &str, model: &file::Model) -> Result<Option<Prices>, ConfigError> {
    let written = [
        ("usd_per_million_input_tokens", model.usd_per_million_input_tokens),
        ("usd_per_million_output_tokens", model.usd_per_million_output_tokens),
        ("usd_per_million_cached_tokens", model.usd_per_million_cached_tokens),
        ("usd_per_million_cache_write_tokens", model.usd_per_million_cache_write_tokens),
    ];
    for (name, price) in written {
        if price.is_some_and(|price| !price.is_finite() || price < 0.0) {
            return Err(r.error(&format!("{key}.{name}"), "must not be negative"));
        }
    }
    match written.map(|(_, price)| price) {
        [None, None, None, None] => Ok(None),
        // A provider without a price of its own for cached tokens charges them as input.
        [Some(input), Some(output), cached, cache_write] => {
            Ok(Some(Prices { input, output, cached: cached.unwrap_or(input), cache_write }))
        }
        _ => Err(
            r.error(key, "prices need both usd_per_million_input_tokens and usd_per_million_output_tokens")
        ),
    }
}

/// With a key and nothing else configured, a model that the provider has announced no end of.
fn built_in(known: &Known) -> Vec<ModelChoice> {
    let with_key = |built_in: &&BuiltIn| {
        known.providers.get(built_in.name).is_some_and(|provider| provider.api_key.is_some())
    };
    let choice = |built_in: &BuiltIn| {
        let listed = known.catalog.of(built_in.name, built_in.model?);
        Some(ModelChoice {
            provider: built_in.name.to_owned(),
            model: built_in.model?.to_owned(),
            temperature: None,
            max_tokens: BUILT_IN_MAX_TOKENS,
            effort: None,
            context_tokens: listed.and_then(|listed| listed.context_tokens),
            prices: listed.and_then(Entry::prices),
        })
    };
    BUILT_IN.iter().filter(with_key).filter_map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_of_ollama_is_read_as_ollama_reads_it() {
        let cases = [
            ("127.0.0.1", "http://127.0.0.1:11434"),
            ("gpu.example.org", "http://gpu.example.org:11434"),
            ("gpu:8080", "http://gpu:8080"),
            (":8080", "http://127.0.0.1:8080"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("0.0.0.0:9000", "http://127.0.0.1:9000"),
            ("http://gpu:8080/", "http://gpu:8080"),
            ("http://gpu", "http://gpu"),
            ("https://gpu.example.org/ollama/", "https://gpu.example.org/ollama"),
            ("\"gpu:1\"", "http://gpu:1"),
            ("::1", "http://[::1]:11434"),
            ("[::]:9000", "http://[::1]:9000"),
            ("[fd00::1]", "http://[fd00::1]:11434"),
        ];
        for (text, expected) in cases {
            assert_eq!(ollama_url(text), expected, "{text}");
        }
    }

    #[test]
    fn every_model_that_a_key_leads_to_is_in_the_catalog() {
        let catalog = Catalog::load(None).expect("sound");
        for built_in in &BUILT_IN {
            if let Some(model) = built_in.model {
                assert!(catalog.of(built_in.name, model).is_some(), "{model}");
            }
        }
    }
}
