//! What models cost and how much they take: the built-in list, and the operator's own over it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::ConfigError;
use super::sections::Prices;

const BUILT_IN: &str = include_str!("catalog.yaml");

/// Dollars are per million tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub context_tokens: Option<u64>,
    input: Option<f64>,
    output: Option<f64>,
    cached: Option<f64>,
    cache_write: Option<f64>,
    /// Where the numbers were read.
    #[serde(default)]
    source: String,
    /// When, as a date.
    #[serde(default)]
    as_of: String,
}

/// By `provider:model`.
#[derive(Debug, Clone)]
pub(super) struct Catalog(BTreeMap<String, Entry>);

impl Catalog {
    /// The built-in list, with the entries of the operator's file in place of those of the same name.
    ///
    /// # Errors
    /// The file cannot be read, or is no catalog.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut entries = parse(BUILT_IN, None)?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                ConfigError::new(format!("cannot read the catalog of models: {error}"))
                    .of_key("models.catalog")
                    .in_file(path)
            })?;
            entries.extend(parse(&text, Some(path))?);
        }
        Ok(Self(entries))
    }

    pub fn of(&self, provider: &str, model: &str) -> Option<&Entry> {
        let exact = self.0.get(&format!("{provider}:{model}"));
        exact.or_else(|| self.0.get(&format!("{provider}:{}", without_date(model)?)))
    }
}

impl Entry {
    /// `None` where input or output has no price.
    pub fn prices(&self) -> Option<Prices> {
        let (input, output) = (self.input?, self.output?);
        Some(Prices { input, output, cached: self.cached.unwrap_or(input), cache_write: self.cache_write })
    }

    fn fault(&self) -> Option<&'static str> {
        let prices = [self.input, self.output, self.cached, self.cache_write];
        if prices.into_iter().flatten().any(|price| !price.is_finite() || price < 0.0) {
            return Some("a price must not be negative");
        }
        if self.input.is_some() != self.output.is_some() {
            return Some("prices need both `input` and `output`");
        }
        (self.context_tokens == Some(0)).then_some("`context_tokens` must be greater than 0")
    }
}

fn parse(text: &str, file: Option<&Path>) -> Result<BTreeMap<String, Entry>, ConfigError> {
    let within = |error: ConfigError| match file {
        Some(path) => error.in_file(path),
        None => error,
    };
    let entries: Option<BTreeMap<String, Entry>> = serde_saphyr::from_str(text).map_err(|error| {
        within(ConfigError::new(format!("this is no catalog of models: {}", error.without_snippet())))
    })?;
    let entries = entries.unwrap_or_default();
    for (name, entry) in &entries {
        let fault =
            entry.fault().or((!name.contains(':')).then_some("expected `provider:model` as the name"));
        if let Some(fault) = fault {
            return Err(within(ConfigError::new(format!("{name}: {fault}"))));
        }
        tracing::trace!(model = name, source = entry.source, as_of = entry.as_of, "a model of the catalog");
    }
    Ok(entries)
}

/// `gpt-5.2` of `gpt-5.2-2025-12-11`, `claude-haiku-4-5` of `claude-haiku-4-5-20251001`.
fn without_date(model: &str) -> Option<&str> {
    let start = model.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    let tail = &model[start.len()..];
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    for length in [8, 10] {
        let Some(at) = model.len().checked_sub(length + 1).filter(|_| tail.len() > length) else { continue };
        let (name, date) = (&model[..at], &model[at + 1..]);
        let is_date = match length {
            8 => digits(date) && date.starts_with("20"),
            _ => date.starts_with("20") && date.split('-').map(str::len).eq([4, 2, 2]),
        };
        if model.as_bytes()[at] == b'-' && is_date {
            return Some(name);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_says_where_it_was_read_and_when() {
        let catalog = Catalog::load(None).expect("the built-in list is sound");
        assert!(catalog.0.len() > 20);
        for (name, entry) in &catalog.0 {
            let is_date = chrono::NaiveDate::parse_from_str(&entry.as_of, "%Y-%m-%d").is_ok();
            assert!(entry.source.len() > 10 && is_date, "{name}: {entry:?}");
            assert!(entry.prices().is_some() && entry.context_tokens > Some(100_000), "{name}");
        }
    }

    #[test]
    fn a_name_with_a_date_is_the_model_without_it() {
        let cases = [
            ("gpt-5.2-2025-12-11", Some("gpt-5.2")),
            ("claude-haiku-4-5-20251001", Some("claude-haiku-4-5")),
            ("claude-haiku-4-5", None),
            ("grok-4.20-0309", None),
            ("20251001", None),
            ("größe-20251001", Some("größe")),
        ];
        for (name, expected) in cases {
            assert_eq!(without_date(name), expected, "{name}");
        }
    }

    #[test]
    fn a_careless_catalog_is_refused_with_the_model_that_is_wrong() {
        let cases = [
            ("a:b: {input: 1}", "a:b: prices need both"),
            ("a:b: {input: -1, output: 1}", "a:b: a price must not be negative"),
            ("ab: {}", "ab: expected `provider:model`"),
            ("a:b: {inputs: 1}", "inputs"),
        ];
        for (text, part) in cases {
            let error = parse(text, Some(Path::new("/c.yaml"))).expect_err(text).to_string();
            assert!(error.contains(part) && error.contains("/c.yaml"), "{error}");
        }
    }
}
