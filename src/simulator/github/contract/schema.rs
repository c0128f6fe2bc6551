//! Schemas of an OpenAPI document made into JSON Schema, with whatever they refer to.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Which OpenAPI the document is written in, and so which JSON Schema its schemas are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Schemas are an early JSON Schema with `nullable`.
    OpenApi30,
    /// Schemas are JSON Schema 2020-12.
    OpenApi31,
}

/// Where GitHub's description is stricter than GitHub. Each: schema, property, and why it may be null.
///
/// A review comment that a later push has outdated has neither line nor position: both are null in
/// answers, as docs.github.com/rest/pulls/comments says ("position … null if the comment is outdated" in
/// the older form of the same object, whose schema allows it). A label that was made by setting it has no
/// description, which the schemas of the label itself, of an issue's and of a single pull request's labels
/// allow; that of the list of pull requests forgets it.
const NULL_IN_TRUTH: &[(&str, &str)] = &[
    ("pull-request-simple", "labels[].description"),
    ("pull-request-review-comment", "position"),
    ("pull-request-review-comment", "line"),
    ("pull-request-review-comment", "original_line"),
    ("review-comment", "line"),
    ("review-comment", "original_line"),
];

const COMPONENTS: &str = "#/components/schemas/";

/// A schema of `document` that stands alone: what it refers to is carried in `definitions`.
pub(super) fn standalone(document: &Value, dialect: Dialect, schema: &Value) -> Value {
    let mut wanted = BTreeSet::new();
    let mut root = rewrite(schema, dialect, &mut wanted);
    let mut definitions = Map::new();
    while let Some(name) = wanted.pop_first() {
        if definitions.contains_key(&name) {
            continue;
        }
        let mut found = document["components"]["schemas"][&name].clone();
        admit_null(&name, &mut found);
        definitions.insert(name, rewrite(&found, dialect, &mut wanted));
        wanted.retain(|name| !definitions.contains_key(name));
    }
    if let Value::Object(fields) = &mut root {
        fields.insert("definitions".into(), Value::Object(definitions));
    }
    root
}

fn admit_null(name: &str, schema: &mut Value) {
    for (_, property) in NULL_IN_TRUTH.iter().filter(|(known, _)| *known == name) {
        let pointer = format!("/properties/{}", property.replace("[].", "/items/properties/"));
        if let Some(fields) = schema.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            fields.insert("nullable".into(), json!(true));
        }
    }
}

fn rewrite(schema: &Value, dialect: Dialect, wanted: &mut BTreeSet<String>) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(|item| rewrite(item, dialect, wanted)).collect(),
        Value::Object(fields) => rewrite_object(fields, dialect, wanted),
        other => other.clone(),
    }
}

/// Words that describe and do not constrain; left out to keep what is compiled small.
const PROSE: &[&str] =
    &["description", "example", "examples", "title", "deprecated", "externalDocs", "default", "x-github"];

fn rewrite_object(fields: &Map<String, Value>, dialect: Dialect, wanted: &mut BTreeSet<String>) -> Value {
    let nullable = fields.get("nullable") == Some(&Value::Bool(true));
    if let Some(name) = reference(fields) {
        wanted.insert(name.clone());
        let target = json!({"$ref": format!("#/definitions/{}", name.replace('~', "~0").replace('/', "~1"))});
        return if nullable { json!({"anyOf": [target, {"type": "null"}]}) } else { target };
    }
    let mut rewritten = Map::new();
    for (key, value) in fields {
        let prose = PROSE.contains(&key.as_str()) && !value.is_object();
        if prose || matches!(key.as_str(), "nullable" | "discriminator" | "xml" | "example" | "examples") {
            continue;
        }
        // GitHub's bots have addresses such as `1+app[bot]@users.noreply.github.com`, which RFC 5321 forbids.
        if key == "format" && value == "email" {
            continue;
        }
        let key = if is_either_account(key, value) { "anyOf" } else { key };
        let value = match key {
            // Names of properties are not keywords.
            "properties" | "patternProperties" => rewrite_properties(value, dialect, wanted),
            "enum" | "const" | "required" => value.clone(),
            _ => rewrite(value, dialect, wanted),
        };
        rewritten.insert(key.to_owned(), value);
    }
    // A document in 3.1 may still carry the older keyword; both mean the same.
    if nullable { admit(rewritten) } else { Value::Object(rewritten) }
}

fn rewrite_properties(value: &Value, dialect: Dialect, wanted: &mut BTreeSet<String>) -> Value {
    let Value::Object(properties) = value else { return value.clone() };
    properties.iter().map(|(name, schema)| (name.clone(), rewrite(schema, dialect, wanted))).collect()
}

/// `GET /app/installations` describes an account as a user and an enterprise at once, which nothing can be;
/// everywhere else the same account is either (`anyOf` in the schema `installation`).
fn is_either_account(key: &str, value: &Value) -> bool {
    let titles = || value.as_array().into_iter().flatten().filter_map(|part| part["title"].as_str());
    key == "allOf" && titles().eq(["Simple User", "Enterprise"])
}

fn reference(fields: &Map<String, Value>) -> Option<String> {
    fields.get("$ref")?.as_str()?.strip_prefix(COMPONENTS).map(str::to_owned)
}

/// `nullable: true` as JSON Schema says it.
fn admit(mut schema: Map<String, Value>) -> Value {
    let combined = ["allOf", "anyOf", "oneOf"].iter().any(|key| schema.contains_key(*key));
    match schema.get("type").cloned() {
        Some(Value::String(kind)) if !combined => {
            schema.insert("type".into(), json!([kind, "null"]));
            if let Some(Value::Array(values)) = schema.get_mut("enum")
                && !values.contains(&Value::Null)
            {
                values.push(Value::Null);
            }
            Value::Object(schema)
        }
        _ => json!({"anyOf": [Value::Object(schema), {"type": "null"}]}),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Dialect, standalone};

    #[test]
    fn nullable_becomes_a_type_and_references_come_along() {
        let document = json!({"components": {"schemas": {
            "user": {"type": "object", "nullable": true, "properties": {
                "kind": {"type": "string", "enum": ["a"], "nullable": true},
                "title": {"type": "string", "description": "gone"},
                "friend": {"$ref": "#/components/schemas/user"},
            }},
        }}});
        let schema = json!({"type": "array", "items": {"$ref": "#/components/schemas/user"}});
        assert_eq!(
            standalone(&document, Dialect::OpenApi30, &schema),
            json!({
                "type": "array",
                "items": {"$ref": "#/definitions/user"},
                "definitions": {"user": {"type": ["object", "null"], "properties": {
                    "kind": {"type": ["string", "null"], "enum": ["a", null]},
                    "title": {"type": "string"},
                    "friend": {"$ref": "#/definitions/user"},
                }}},
            })
        );
    }

    #[test]
    fn a_nullable_combination_admits_null_beside_it() {
        let schema = json!({"nullable": true, "oneOf": [{"type": "string"}, {"type": "integer"}]});
        assert_eq!(
            standalone(&json!({}), Dialect::OpenApi30, &schema)["anyOf"],
            json!([{"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"type": "null"}])
        );
    }
}
