//! GitHub's published description as a judge of every request, answer and webhook.
//!
//! The documents come from the npm packages `@octokit/openapi` and `@octokit/openapi-webhooks`, which
//! `scripts/contract` installs; they are not part of this program. A schema is compiled when it is first
//! needed, since most of the thousand operations never are.

mod schema;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::answer::Body;
use schema::{Dialect, standalone};

#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    #[error("GitHub's description {path} cannot be read ({source}); run scripts/contract, which installs it")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not GitHub's description: {reason}")]
    Parse { path: PathBuf, reason: String },
}

pub struct Contract {
    rest: Document,
    webhooks: Option<Document>,
}

/// One request and its answer.
pub(super) struct Exchange<'a> {
    pub method: &'a str,
    pub template: &'a str,
    pub query: &'a [(String, String)],
    pub request_body: &'a Value,
    pub status: u16,
    pub answer: &'a Body,
}

/// What is wrong with an exchange.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub violations: Vec<String>,
    /// Names in the request that the description does not know: GitHub ignores them, so a slip in a name
    /// goes unseen there.
    pub ignored: Vec<String>,
}

struct Document {
    root: Value,
    dialect: Dialect,
    validators: Mutex<HashMap<String, Result<Arc<Validator>, String>>>,
}

/// Errors that any route may answer with and that the description seldom lists.
/// Source: docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api.
const COMMON_ERRORS: [u16; 15] = [301, 304, 307, 400, 401, 403, 404, 405, 409, 410, 415, 422, 429, 500, 502];
/// Of a long list of errors, the first say enough.
const ERRORS_SHOWN: usize = 5;

impl std::fmt::Debug for Contract {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Contract").field("webhooks", &self.webhooks.is_some()).finish_non_exhaustive()
    }
}

impl Contract {
    /// Reads `api.github.com.json` of `@octokit/openapi`.
    pub fn load(rest: &Path) -> Result<Self, ContractError> {
        let rest = Document::load(rest, Dialect::OpenApi30, "paths")?;
        Ok(Self { rest, webhooks: None })
    }

    /// Reads both documents below a folder where `scripts/contract` installed them: `target/contract`.
    pub fn installed(folder: &Path) -> Result<Self, ContractError> {
        let document = |package: &str| {
            folder.join("node_modules/@octokit").join(package).join("generated/api.github.com.json")
        };
        Self::load(&document("openapi"))?.with_webhooks(&document("openapi-webhooks"))
    }

    /// Adds `api.github.com.json` of `@octokit/openapi-webhooks`, so that payloads are judged too.
    pub fn with_webhooks(mut self, webhooks: &Path) -> Result<Self, ContractError> {
        self.webhooks = Some(Document::load(webhooks, Dialect::OpenApi31, "webhooks")?);
        Ok(self)
    }

    /// Whether the description knows an operation.
    pub fn describes(&self, method: &str, template: &str) -> bool {
        self.rest.operation(method, template).is_some()
    }

    /// Whether installation tokens may call an operation; `None` where it is unknown.
    pub fn enabled_for_apps(&self, method: &str, template: &str) -> Option<bool> {
        self.rest.operation(method, template)?["x-github"]["enabledForGitHubApps"].as_bool()
    }

    /// What is wrong with a webhook's payload, if anything.
    pub fn check_webhook(&self, event: &str, action: Option<&str>, payload: &Value) -> Vec<String> {
        let Some(document) = &self.webhooks else { return Vec::new() };
        let mut name = event.replace('_', "-");
        if let Some(action) = action {
            name = format!("{name}-{}", action.replace('_', "-"));
        }
        let schema = &document.root["webhooks"][&name]["post"]["requestBody"]["content"];
        let Some(schema) = schema.get("application/json").map(|content| &content["schema"]) else {
            return vec![format!("webhook {name} is not described")];
        };
        document.check(&format!("webhook {name}"), schema, payload)
    }

    pub(super) fn check_exchange(&self, exchange: &Exchange<'_>) -> Judgement {
        let what = format!("{} {}", exchange.method, exchange.template);
        let mut judgement = Judgement::default();
        let Some(operation) = self.rest.operation(exchange.method, exchange.template) else {
            judgement.violations.push(format!("{what} is not described"));
            return judgement;
        };
        judgement.violations = self.check_answer(&what, operation, exchange);
        // What GitHub itself has refused need not be right.
        if exchange.status < 400 {
            self.check_request_body(&what, operation, exchange.request_body, &mut judgement);
            self.check_query(&what, operation, exchange.query, &mut judgement);
        }
        judgement
    }

    fn check_answer(&self, what: &str, operation: &Value, exchange: &Exchange<'_>) -> Vec<String> {
        let status = exchange.status;
        let what = format!("{what} → {status}");
        let described = operation["responses"].get(status.to_string());
        let Some(described) = described.map(|response| self.rest.resolve(response)) else {
            if !COMMON_ERRORS.contains(&status) {
                return vec![format!("{what}: this status is not described")];
            }
            let basic_error = json!({"$ref": "#/components/schemas/basic-error"});
            return match exchange.answer {
                Body::Json(body) => self.rest.check(&what, &basic_error, body),
                Body::Empty | Body::Text { .. } => Vec::new(),
            };
        };
        let content = &described["content"];
        match exchange.answer {
            Body::Empty if content.get("application/json").is_some() => {
                vec![format!("{what}: the answer is empty")]
            }
            Body::Json(_) if content.is_null() && status < 400 => {
                vec![format!("{what}: the answer should be empty")]
            }
            Body::Json(body) => match content.get("application/json") {
                Some(content) => self.rest.check(&what, &content["schema"], body),
                None => Vec::new(),
            },
            Body::Empty | Body::Text { .. } => Vec::new(),
        }
    }

    fn check_request_body(&self, what: &str, operation: &Value, body: &Value, judgement: &mut Judgement) {
        let what = format!("{what}, request");
        let described = self.rest.resolve(&operation["requestBody"]);
        if described.is_null() {
            let empty = body.is_null() || body.as_object().is_some_and(serde_json::Map::is_empty);
            if !empty {
                judgement.ignored.push(format!("{what}: a body is not described"));
            }
            return;
        }
        if body.is_null() {
            if described["required"] == true {
                judgement.violations.push(format!("{what}: the body is missing"));
            }
            return;
        }
        let schema = &described["content"]["application/json"]["schema"];
        judgement.violations.extend(self.rest.check(&what, schema, body));
        let known = self.rest.resolve(schema)["properties"].as_object();
        if let (Some(known), Some(given)) = (known, body.as_object()) {
            let unknown = given.keys().filter(|name| !known.contains_key(*name));
            judgement.ignored.extend(unknown.map(|name| format!("{what}: {name:?} is not described")));
        }
    }

    fn check_query(
        &self,
        what: &str,
        operation: &Value,
        query: &[(String, String)],
        judgement: &mut Judgement,
    ) {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let parameters: Vec<&Value> = parameters
            .iter()
            .map(|parameter| self.rest.resolve(parameter))
            .filter(|parameter| parameter["in"] == "query")
            .collect();
        for (name, text) in query {
            let what = format!("{what}, query {name}");
            match parameters.iter().find(|parameter| parameter["name"] == *name) {
                None => judgement.ignored.push(format!("{what}: this parameter is not described")),
                Some(parameter) => {
                    let value = typed(text, &parameter["schema"]);
                    judgement.violations.extend(self.rest.check(&what, &parameter["schema"], &value));
                }
            }
        }
    }
}

/// A query's text as the value its schema speaks of.
fn typed(text: &str, schema: &Value) -> Value {
    match schema["type"].as_str() {
        Some("integer") => text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
        Some("boolean") => text.parse::<bool>().map_or_else(|_| json!(text), |truth| json!(truth)),
        _ => json!(text),
    }
}

impl Document {
    fn load(path: &Path, dialect: Dialect, part: &str) -> Result<Self, ContractError> {
        let bytes =
            std::fs::read(path).map_err(|source| ContractError::Read { path: path.to_owned(), source })?;
        let parse = |reason: String| ContractError::Parse { path: path.to_owned(), reason };
        let root: Value = serde_json::from_slice(&bytes).map_err(|error| parse(error.to_string()))?;
        if !root[part].is_object() {
            return Err(parse(format!("it has no {part:?}")));
        }
        Ok(Self { root, dialect, validators: Mutex::default() })
    }

    fn operation(&self, method: &str, template: &str) -> Option<&Value> {
        self.root["paths"].get(template)?.get(method.to_lowercase())
    }

    /// Follows `$ref` inside the document.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let mut value = value;
        while let Some(pointer) = value["$ref"].as_str().and_then(|text| text.strip_prefix('#')) {
            match self.root.pointer(pointer) {
                Some(target) => value = target,
                None => return &Value::Null,
            }
        }
        value
    }

    fn check(&self, what: &str, schema: &Value, value: &Value) -> Vec<String> {
        let validator = match self.validator(what, schema) {
            Ok(validator) => validator,
            Err(error) => return vec![format!("{what}: the schema cannot be used: {error}")],
        };
        let errors = validator.iter_errors(value).take(ERRORS_SHOWN);
        errors
            .map(|error| {
                let message: String = error.to_string().chars().take(300).collect();
                format!("{what}: {}: {message}", error.instance_path())
            })
            .collect()
    }

    fn validator(&self, key: &str, schema: &Value) -> Result<Arc<Validator>, String> {
        let mut known = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = known.get(key) {
            return validator.clone();
        }
        let standalone = standalone(&self.root, self.dialect, schema);
        let draft = match self.dialect {
            Dialect::OpenApi30 => jsonschema::Draft::Draft4,
            Dialect::OpenApi31 => jsonschema::Draft::Draft202012,
        };
        let options = jsonschema::options().with_draft(draft).should_validate_formats(true);
        let validator = options.build(&standalone).map(Arc::new).map_err(|error| error.to_string());
        known.insert(key.to_owned(), validator.clone());
        validator
    }
}
