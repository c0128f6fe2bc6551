//! The list of all keys, taken from the types themselves: a deserializer that offers every struct all
//! of its fields and writes down their paths. So neither the nearest-key advice nor the test of the
//! documents can forget one.

use std::cell::RefCell;
use std::sync::LazyLock;

use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::file::File;
use super::policy_file::PolicyFile;
use super::task_file::TaskFile;
use super::templates::TemplateFile;

/// Every key of `orchestrator.yaml`, with its sections: `mail.from`, `reviewers`. The entries of a list
/// are written `[]`, names that a person chooses `<name>`.
pub fn deployment_keys() -> &'static [String] {
    static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys_of::<File>);
    &KEYS
}

/// Every key of `.orchestrator/config.yaml`, in the same form.
pub fn policy_keys() -> &'static [String] {
    static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys_of::<PolicyFile>);
    &KEYS
}

/// Every key of a task's file.
pub(super) fn task_keys() -> &'static [String] {
    static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys_of::<TaskFile>);
    &KEYS
}

/// Every key of a template.
pub(super) fn template_keys() -> &'static [String] {
    static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys_of::<TemplateFile>);
    &KEYS
}

fn keys_of<T: for<'de> Deserialize<'de>>() -> Vec<String> {
    let keys = RefCell::new(Vec::new());
    // The value that comes out means nothing, and neither does an error: only the walk counts.
    let _ = T::deserialize(Recorder { path: String::new(), keys: &keys });
    keys.into_inner()
}

/// Answers each request for a value with the simplest one of that type.
struct Recorder<'a> {
    path: String,
    keys: &'a RefCell<Vec<String>>,
}

impl Recorder<'_> {
    fn leaf(&self) {
        self.keys.borrow_mut().push(self.path.clone());
    }
}

impl<'de> Deserializer<'de> for Recorder<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.leaf();
        visitor.visit_str("")
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.leaf();
        visitor.visit_bool(false)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.leaf();
        visitor.visit_u64(0)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.leaf();
        visitor.visit_f64(0.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let item = Recorder { path: format!("{}[]", self.path), keys: self.keys };
        let before = self.keys.borrow().len();
        let value = visitor.visit_seq(One(Some(item)))?;
        // A list of plain values is one key; a list of sections is the keys of the section.
        let mut keys = self.keys.borrow_mut();
        if keys.len() == before + 1 && keys[before] == format!("{}[]", self.path) {
            keys[before].clone_from(&self.path);
        }
        drop(keys);
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { names: ["<name>"].iter(), current: None, section: self })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { names: fields.iter(), current: None, section: self })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 char str string bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct enum identifier ignored_any
    }
}

struct One<'a>(Option<Recorder<'a>>);

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|recorder| seed.deserialize(recorder)).transpose()
    }
}

struct Fields<'a> {
    names: std::slice::Iter<'static, &'static str>,
    current: Option<&'static str>,
    section: Recorder<'a>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.names.next().copied();
        let key = |name: &'static str| -> StrDeserializer<'static, Error> { name.into_deserializer() };
        self.current.map(|name| seed.deserialize(key(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let name = self.current.unwrap_or_default();
        let dot = if self.section.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{name}", self.section.path);
        seed.deserialize(Recorder { path, keys: self.section.keys })
    }
}
