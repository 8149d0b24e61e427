//! Two kinds of value that serde has no word for.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A map that keeps the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Ordered<T>(pub Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Ordered<T> {
        Ordered(Vec::new())
    }
}

impl<T> Ordered<T> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Ordered<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Ordered<T>, D::Error> {
        from.deserialize_map(OrderedVisitor(PhantomData))
    }
}

struct OrderedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrderedVisitor<T> {
    type Value = Ordered<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Ordered(entries))
    }
}

impl<T: JsonSchema> JsonSchema for Ordered<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

/// Recorder threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorders {
    /// By the number of cores.
    Auto,
    Count(usize),
}

impl Serialize for Recorders {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Recorders::Auto => to.serialize_str("auto"),
            Recorders::Count(count) => to.serialize_u64(*count as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Recorders {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Recorders, D::Error> {
        struct RecordersVisitor;
        impl Visitor<'_> for RecordersVisitor {
            type Value = Recorders;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`auto` or a number of threads")
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Recorders, E> {
                Ok(Recorders::Count(usize::try_from(count).unwrap_or(usize::MAX)))
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Recorders, E> {
                match word {
                    "auto" => Ok(Recorders::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }
        }
        from.deserialize_any(RecordersVisitor)
    }
}

impl JsonSchema for Recorders {
    fn schema_name() -> Cow<'static, str> {
        "Recorders".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1 }] })
    }
}
