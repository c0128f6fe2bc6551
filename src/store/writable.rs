//! What PostgreSQL can hold of a text: everything but U+0000, which neither `text` nor `jsonb` takes
//! (postgresql.org/docs, "JSON Types"). Models and tools write it all the same. Every text and every JSON
//! document that comes from outside goes to the database through here, with U+FFFD in its place.

use std::borrow::Cow;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

const REPLACEMENT: &str = "\u{fffd}";

/// A text that PostgreSQL takes.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', REPLACEMENT)),
        false => Cow::Borrowed(text),
    }
}

/// The same, as a text of its own.
pub(super) fn owned(from: &str) -> String {
    text(from).into_owned()
}

/// A value as a JSON document that PostgreSQL takes.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<Value, serde_json::Error> {
    let mut document = serde_json::to_value(value)?;
    clean(&mut document);
    Ok(document)
}

/// A value as it will be read back, and its document: what is computed from it before it is written then
/// agrees with what is computed from it afterwards, digests above all.
pub(super) fn as_read_back<T>(value: &T) -> Result<(T, Value), serde_json::Error>
where
    T: Serialize + DeserializeOwned + Clone,
{
    let mut document = serde_json::to_value(value)?;
    let value = if clean(&mut document) { T::deserialize(&document)? } else { value.clone() };
    Ok((value, document))
}

/// Whether there was anything to replace.
fn clean(document: &mut Value) -> bool {
    match document {
        Value::String(string) => {
            let Cow::Owned(cleaned) = text(string) else { return false };
            *string = cleaned;
            true
        }
        Value::Array(entries) => entries.iter_mut().fold(false, |any, entry| clean(entry) | any),
        Value::Object(fields) => {
            let mut any = fields.values_mut().fold(false, |any, value| clean(value) | any);
            if fields.keys().any(|key| key.contains('\0')) {
                let named = std::mem::take(fields).into_iter();
                *fields = named.map(|(key, value)| (text(&key).into_owned(), value)).collect::<Map<_, _>>();
                any = true;
            }
            any
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_nul_is_replaced_wherever_it_stands_and_nothing_else_is_touched() {
        let document = json!({ "a\0": ["x\0y", { "b": "\0" }], "c": 1, "d": "\\u0000 ok" });
        let expected = json!({ "a\u{fffd}": ["x\u{fffd}y", { "b": "\u{fffd}" }], "c": 1, "d": "\\u0000 ok" });
        assert_eq!(json(&document).expect("JSON"), expected);
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        assert!(matches!(text("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn a_value_is_worked_with_as_it_will_be_read_back() {
        let (value, document) = as_read_back(&vec!["a\0".to_owned()]).expect("JSON");
        assert_eq!((value, document), (vec!["a\u{fffd}".to_owned()], json!(["a\u{fffd}"])));
    }
}
