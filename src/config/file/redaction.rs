//! What is done to a redacted value, as written: the word `drop`, or a map of one key.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::config::MaskKind;

/// What is done to a redacted value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Redaction {
    /// It is left out.
    Drop,
    /// Its HMAC-SHA256 takes its place; the key is `"${file:PATH}"` or `"${env:NAME}"`.
    Hash(String),
    /// So many characters of it stay.
    Truncate(usize),
    /// What looks like one of these within its texts is replaced.
    Mask(Vec<MaskKind>),
}

const WORDS: &[&str] = &["drop", "hash", "truncate", "mask"];

/// The form with an example of its value.
fn example(word: &str) -> Option<&'static str> {
    match word {
        "hash" => Some("{ hash: \"${file:secrets/hmac.key}\" }"),
        "truncate" => Some("{ truncate: 3 }"),
        "mask" => Some("{ mask: [email, phone, card] }"),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Redaction {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Redaction, D::Error> {
        from.deserialize_any(RedactionVisitor)
    }
}

struct RedactionVisitor;

impl<'de> Visitor<'de> for RedactionVisitor {
    type Value = Redaction;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`drop`, or a map with one of `hash`, `truncate` and `mask`")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Redaction, E> {
        match (word, example(word)) {
            ("drop", _) => Ok(Redaction::Drop),
            (_, Some(example)) => Err(E::custom(format!("`{word}` needs a value; write `{example}`"))),
            (_, None) => Err(E::unknown_variant(word, WORDS)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Redaction, A::Error> {
        let one = "one rule does one thing; write for example `{ truncate: 3 }`";
        let Some(word) = map.next_key::<String>()? else { return Err(de::Error::custom(one)) };
        let redaction = match word.as_str() {
            "drop" => return Err(de::Error::custom("`drop` has no value; write the word alone, `drop`")),
            "hash" => Redaction::Hash(map.next_value()?),
            "truncate" => Redaction::Truncate(map.next_value()?),
            "mask" => Redaction::Mask(map.next_value()?),
            other => return Err(de::Error::unknown_variant(other, WORDS)),
        };
        if map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom(one));
        }
        Ok(redaction)
    }
}
