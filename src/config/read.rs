//! The tree into the structs of [`super::file`]: a serde deserializer whose every error knows its key path and place, and
//! never repeats a value that may be a secret.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Unexpected, Visitor};

use super::report::{self, ConfigError};
use super::tree::{Entry, Kind, Node, Scalar, Spot, Tree, Value};

/// Reads the whole tree.
pub(super) fn read<T: DeserializeOwned>(tree: &Tree<'_>) -> Result<T, ConfigError> {
    T::deserialize(At { node: &tree.root, path: String::new() }).map_err(|error| {
        let mut located = tree.error_at(error.spot.unwrap_or(tree.root.spot), error.what, error.fix);
        located.notes = error.notes;
        located
    })
}

/// A node and the keys that lead to it, joined by dots.
#[derive(Clone)]
struct At<'de> {
    node: &'de Node,
    path: String,
}

/// What went wrong, before it is shown with its line.
#[derive(Debug)]
struct ReadError {
    what: String,
    fix: String,
    notes: Vec<String>,
    spot: Option<Spot>,
}

impl ReadError {
    /// Gives the error the place of `node` and the path as its subject, unless a deeper step did.
    fn placed(mut self, path: &str, node: &Node) -> ReadError {
        if self.spot.is_none() {
            self.spot = Some(node.spot);
            if !path.is_empty() {
                self.what = format!("`{path}`: {}", self.what);
            }
        }
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.fix)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    /// Takes `what; fix`.
    fn custom<T: fmt::Display>(message: T) -> ReadError {
        let message = message.to_string();
        let (what, fix) = message.split_once("; ").unwrap_or((&message, "write another value"));
        ReadError { what: what.to_owned(), fix: fix.to_owned(), notes: Vec::new(), spot: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> ReadError {
        // The kind of value, never the value.
        let found = match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
            Unexpected::Float(_) => "a number",
            Unexpected::Str(_) | Unexpected::Char(_) => "text",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a map",
            _ => "another kind of value",
        };
        let expected = words(&expected.to_string());
        ReadError::custom(format!("expected {expected}, found {found}; write {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> ReadError {
        let expected = words(&expected.to_string());
        ReadError::custom(format!("the value is not {expected}; write {expected}"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> ReadError {
        let fix = match report::did_you_mean(variant, expected.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("write {}", one_of(expected)),
        };
        let mut error = ReadError::custom(format!("`{variant}` is not one of its values; {fix}"));
        error.notes.push(format!("allowed here: {}", expected.join(", ")));
        error
    }

    fn missing_field(field: &'static str) -> ReadError {
        ReadError::custom(format!("`{field}` is missing; add it"))
    }
}

/// Rust's words for types in ours.
fn words(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i32" | "i64" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "text".to_owned(),
        "a sequence" => "a list, for example `[a, b]`".to_owned(),
        "a map" => "a map of keys and values".to_owned(),
        other if other.starts_with("struct ") => "a map of keys and values".to_owned(),
        other => other.to_owned(),
    }
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

impl<'de> At<'de> {
    fn child(&self, key: &str, node: &'de Node) -> At<'de> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        At { node, path }
    }

    fn here<T>(&self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        result.map_err(|error| error.placed(&self.path, self.node))
    }

    fn scalar(&self, expected: &dyn de::Expected) -> Result<&'de Scalar, ReadError> {
        match &self.node.value {
            Value::Scalar(scalar) => Ok(scalar),
            Value::List(_) => self.here(Err(de::Error::invalid_type(Unexpected::Seq, expected))),
            Value::Map(_) => self.here(Err(de::Error::invalid_type(Unexpected::Map, expected))),
            Value::Null => self.here(Err(empty())),
        }
    }
}

fn empty() -> ReadError {
    de::Error::custom("there is no value; write one, or remove the key")
}

impl<'de> Deserializer<'de> for At<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let result = match &self.node.value {
            Value::Null => Err(empty()),
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Bool(value) => visitor.visit_bool(value),
                Kind::Whole(value) => match u64::try_from(value) {
                    Ok(value) => visitor.visit_u64(value),
                    Err(_) => visitor.visit_i64(i64::try_from(value).unwrap_or(i64::MIN)),
                },
                Kind::Number(value) => visitor.visit_f64(value),
                Kind::Text => visitor.visit_str(&scalar.text),
            },
            Value::List(items) => visitor.visit_seq(Items { at: self.clone(), rest: items.iter() }),
            Value::Map(entries) => visitor.visit_map(Entries { at: self.clone(), rest: entries.iter(), value: None }),
        };
        self.here(result)
    }

    /// A text field takes whatever scalar is written, as it is written: `version: 7` means "7".
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let scalar = self.scalar(&visitor)?;
        self.here(visitor.visit_str(&scalar.text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let scalar = self.scalar(&"one word")?;
        let word: StrDeserializer<'_, ReadError> = scalar.text.as_str().into_deserializer();
        self.here(visitor.visit_enum(word))
    }

    /// Unknown keys are found here, where the key's own place is known.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if let Value::Map(entries) = &self.node.value
            && let Some(unknown) = entries.iter().find(|entry| !fields.contains(&entry.key.as_str()))
        {
            return Err(unknown_key(&self.path, unknown, fields));
        }
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

fn unknown_key(path: &str, entry: &Entry, fields: &'static [&'static str]) -> ReadError {
    let place = if path.is_empty() { "at the top level".to_owned() } else { format!("in `{path}`") };
    let fix = match report::did_you_mean(&entry.key, fields.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "remove it, or write one of the keys below".to_owned(),
    };
    ReadError {
        what: format!("unknown key `{}` {place}", entry.key),
        fix,
        notes: vec![format!("allowed here: {}", fields.join(", "))],
        spot: Some(entry.key_spot),
    }
}

struct Items<'de> {
    at: At<'de>,
    rest: std::slice::Iter<'de, Node>,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        seed.deserialize(At { node, path: self.at.path.clone() }).map(Some)
    }
}

struct Entries<'de> {
    at: At<'de>,
    rest: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        let Some(entry) = self.rest.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, ReadError> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let entry = self.value.take().expect("a key is read before its value");
        seed.deserialize(self.at.child(&entry.key, &entry.node))
    }
}
