//! What the providers ask of a JSON Schema that an answer has to satisfy.

use serde_json::{Map, Value};

/// Looks at one object schema; the text says where it stands.
type Check = dyn Fn(&Map<String, Value>, &str) -> Result<(), String>;

/// Both providers: every object says `additionalProperties: false`.
pub(super) fn closed_objects(schema: &Value, at: &str) -> Result<(), String> {
    each_object(schema, at, &|object, at| {
        if object.get("additionalProperties") == Some(&Value::Bool(false)) {
            Ok(())
        } else {
            Err(format!("{at}: For 'object' type, 'additionalProperties' must be explicitly set to false"))
        }
    })
}

/// OpenAI's strict mode besides: every property is required.
pub(super) fn strict(schema: &Value, at: &str) -> Result<(), String> {
    closed_objects(schema, at)?;
    each_object(schema, at, &|object, at| {
        let required: Vec<&str> = object
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let properties = object.get("properties").and_then(Value::as_object);
        match properties.into_iter().flatten().find(|(name, _)| !required.contains(&name.as_str())) {
            Some((name, _)) => Err(format!(
                "Invalid schema for response_format 'answer': In context={at}, 'required' is required to be \
                 supplied and to be an array including every key in properties. Missing '{name}'."
            )),
            None => Ok(()),
        }
    })
}

fn each_object(schema: &Value, at: &str, check: &Check) -> Result<(), String> {
    let Some(object) = schema.as_object() else { return Err(format!("{at}: the schema is not an object")) };
    if object.get("type").and_then(Value::as_str) == Some("object") {
        check(object, at)?;
    }
    for (name, property) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        each_object(property, &format!("{at}.{name}"), check)?;
    }
    if let Some(items) = object.get("items") {
        each_object(items, &format!("{at}[]"), check)?;
    }
    for (index, variant) in object.get("anyOf").and_then(Value::as_array).into_iter().flatten().enumerate() {
        each_object(variant, &format!("{at}.anyOf[{index}]"), check)?;
    }
    Ok(())
}
