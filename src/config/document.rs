//! Where each key stands in the YAML text, and what the parser's errors mean to a person.

use std::path::{Path, PathBuf};

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error as YamlError, Location, Options, Spanned};

use super::environment::Environment;
use super::error::{ConfigError, nearest};

/// Times that a file may name environment variables.
const MOST_REFERENCES: usize = 1_000;

/// A key's place: where its name and where its value begin.
struct Place {
    path: String,
    name: Option<(u64, u64)>,
    value: (u64, u64),
}

/// The index of a YAML text: every key with its place.
pub(super) struct Document {
    name: Option<PathBuf>,
    places: Vec<Place>,
}

impl Document {
    /// No file: every value comes from the environment or from the defaults.
    pub fn empty() -> Self {
        Self { name: None, places: Vec::new() }
    }

    /// Reads the structure of `text`. `${…}` is left alone here.
    pub fn index(name: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut document = Self { name: Some(name.to_owned()), places: Vec::new() };
        // A key that is there twice is refused by `parse`, which can then say which one it is.
        let mut options = options(None);
        options.duplicate_keys = DuplicateKeyPolicy::LastWins;
        let tree: Option<Spanned<Node>> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| document.explain(&error, &[]))?;
        if let Some(tree) = tree {
            document.record("", None, &tree);
        }
        Ok(document)
    }

    /// Reads the text into its typed shape; with `env`, `${NAME}` is replaced by the variable's value.
    pub fn parse<T: DeserializeOwned + Default>(
        &self,
        text: &str,
        env: Option<&Environment>,
        known: &[String],
    ) -> Result<T, ConfigError> {
        if env.is_some() {
            self.refuse_quoted_references(text)?;
            // One inside the other, they cost the parser time by the square of their number.
            if text.matches("${").count() > MOST_REFERENCES {
                let problem = format!("there are more than {MOST_REFERENCES} `${{…}}` in the file");
                let error = ConfigError::new(problem);
                return Err(match &self.name {
                    Some(file) => error.in_file(file),
                    None => error,
                });
            }
        }
        let parsed: Result<Option<T>, _> = serde_saphyr::from_str_with_options(text, options(env));
        parsed.map(Option::unwrap_or_default).map_err(|error| self.explain(&error, known))
    }

    /// The folder that relative paths in this file start from.
    pub fn folder(&self) -> Option<&Path> {
        self.name.as_deref().and_then(Path::parent)
    }

    /// An error about a key's value, pointing at it if the key is in the file.
    pub fn error(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        let error = ConfigError::new(problem).of_key(key);
        let place = self.places.iter().find(|place| place.path == key);
        match (place, &self.name) {
            (Some(place), Some(file)) => error.in_file(file).at(Some(place.value)),
            (None, Some(file)) => error.in_file(file),
            _ => error,
        }
    }

    fn record(&mut self, path: &str, name: Option<(u64, u64)>, node: &Spanned<Node>) {
        let value = position(&node.referenced);
        self.places.push(Place { path: path.to_owned(), name, value });
        match &node.value {
            Node::Scalar => {}
            Node::Map(entries) => {
                for (key, child) in entries {
                    let dot = if path.is_empty() { "" } else { "." };
                    let child_path = format!("{path}{dot}{}", key.value);
                    self.record(&child_path, Some(position(&key.referenced)), child);
                }
            }
            Node::Seq(items) => {
                for (index, child) in items.iter().enumerate() {
                    self.record(&format!("{path}[{index}]"), None, child);
                }
            }
        }
    }

    /// Quoted text stays as it is, so a quoted `${NAME}` would silently become that very text.
    fn refuse_quoted_references(&self, text: &str) -> Result<(), ConfigError> {
        let lines: Vec<&str> = text.lines().collect();
        for place in &self.places {
            let (line, column) = place.value;
            let Some(line) = usize::try_from(line).ok().and_then(|n| lines.get(n.wrapping_sub(1))) else {
                continue;
            };
            let skipped = usize::try_from(column).unwrap_or(1).saturating_sub(1);
            let mut rest = line.chars().skip(skipped);
            let Some(quote @ ('"' | '\'')) = rest.next() else { continue };
            let quoted: String = rest.take_while(|c| *c != quote).collect();
            if quoted.contains("${") {
                return Err(self.error(
                    &place.path,
                    "`${…}` is replaced in unquoted values only: take the quotes away (unquoted, `$${` \
                     stands for a literal `${`)",
                ));
            }
        }
        Ok(())
    }

    /// The key whose name or value begins at `location`, or else the last one that begins before it.
    fn key_at(&self, location: Location) -> Option<&str> {
        let wanted = position(&location);
        let at_name = self.places.iter().find(|place| place.name == Some(wanted));
        let at_value = || self.places.iter().rfind(|place| place.value == wanted);
        at_name.or_else(at_value).map(|place| place.path.as_str()).filter(|path| !path.is_empty())
    }

    fn explain(&self, error: &YamlError, known: &[String]) -> ConfigError {
        let error = error.without_snippet();
        let location = error.location().filter(|location| location.line() > 0);
        let key = location.and_then(|location| self.key_at(location));
        let (problem, suggestion) = match error {
            YamlError::SerdeUnknownField { field, expected, .. } => {
                unknown_key(key.unwrap_or(field), field, expected, known)
            }
            other => (describe(other), None),
        };
        let mut explained = ConfigError::new(problem).at(location.map(|l| position(&l))).suggest(suggestion);
        if let Some(file) = &self.name {
            explained = explained.in_file(file);
        }
        match key {
            Some(key) => explained.of_key(key),
            None => explained,
        }
    }
}

fn unknown_key(
    path: &str,
    field: &str,
    expected: &[&'static str],
    known: &[String],
) -> (String, Option<String>) {
    let section = path.strip_suffix(field).unwrap_or("");
    if let Some(near) = nearest(field, expected.iter().copied()) {
        return ("unknown key".to_owned(), Some(format!("{section}{near}")));
    }
    // A right key in the wrong section.
    let last = |key: &'_ str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let elsewhere = known.iter().find(|key| last(key) == field);
    let elsewhere = elsewhere.or_else(|| {
        let names: Vec<String> = known.iter().map(|key| last(key)).collect();
        let near = nearest(field, names.iter().map(String::as_str))?;
        known.iter().find(|key| last(key) == near)
    });
    match elsewhere {
        Some(key) => ("unknown key here".to_owned(), Some(key.clone())),
        None => (format!("unknown key; the keys here are {}", expected.join(", ")), None),
    }
}

/// The parser's error without any value of the file.
fn describe(error: &YamlError) -> String {
    match error {
        YamlError::InvalidScalar { ty, .. } => format!("expected {}", plain_type(ty)),
        YamlError::InvalidBooleanStrict { .. } => "expected true or false".to_owned(),
        YamlError::SerdeInvalidType { expected, .. } | YamlError::SerdeInvalidValue { expected, .. } => {
            format!("expected {}", plain_type(expected))
        }
        YamlError::SerdeMissingField { field, .. } => format!("the key `{field}` is missing here"),
        YamlError::SerdeUnknownVariant { expected, .. } => format!("expected one of {}", expected.join(", ")),
        YamlError::NullIntoString { .. } => "the value is missing".to_owned(),
        YamlError::Unexpected { expected, .. } => format!("expected {}", plain_type(expected)),
        YamlError::DuplicateMappingKey { .. } => "this key is here twice".to_owned(),
        YamlError::UnresolvedProperty { name, .. } => {
            format!("the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
        }
        YamlError::PropertyRequiredButUnset { name, message, .. }
        | YamlError::PropertyRequiredButEmpty { name, message, .. } => {
            format!("the environment variable {name} is not set: {message}")
        }
        YamlError::InvalidPropertyName { .. } => {
            "`${…}` must hold the name of an environment variable".to_owned()
        }
        YamlError::Message { msg, .. } => msg.clone(),
        YamlError::MultipleDocuments { .. } => "the file must hold one YAML document".to_owned(),
        other => {
            let text = other.to_string();
            format!("not valid YAML: {}", text.lines().next().unwrap_or("the text cannot be read"))
        }
    }
}

/// The parser's names of types in a person's words.
fn plain_type(expected: &str) -> String {
    let words = match expected {
        "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" | "floating point" => "a number",
        "bool" | "boolean" | "a boolean" => "true or false",
        "sequence" | "sequence start" | "a sequence" => "a list",
        "mapping" | "mapping start" | "a map" => "a section with keys",
        "string scalar" | "scalar" | "a string" => "a single value",
        other if other.starts_with("struct ") => "a section with keys",
        other => other,
    };
    words.to_owned()
}

fn position(location: &Location) -> (u64, u64) {
    (location.line(), location.column())
}

fn options(env: Option<&Environment>) -> Options {
    let options = serde_saphyr::options! { with_snippet: false };
    match env {
        Some(env) => options.with_properties(env.properties()),
        None => options,
    }
}

/// YAML without its values: only the structure is needed to find places.
enum Node {
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
    Seq(Vec<Spanned<Node>>),
    Scalar,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}
