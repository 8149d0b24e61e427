//! `capture.sample` as it is written: a share alone, or a map with the share and how it is drawn.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Which calls are recorded.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// Share of calls that are recorded, from 0 to 1.
    pub rate: f64,
    /// `header:<name>`: calls with one value of this request header are recorded all or none. Default: each call by its own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Whether calls without a good and complete answer are recorded all.
    #[serde(default)]
    pub keep_errors: bool,
}

/// [`Drawn`], which may be written as its rate alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample(pub Drawn);

/// Known here for the reader of maps, which names unknown keys with their place.
const KEYS: &[&str] = &["rate", "by", "keep_errors"];

impl Sample {
    pub fn rate(rate: f64) -> Sample {
        Sample(Drawn { rate, by: None, keep_errors: false })
    }

    /// Whether it says no more than a rate.
    pub fn is_plain(&self) -> bool {
        self.0.by.is_none() && !self.0.keep_errors
    }
}

impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.is_plain() { to.serialize_f64(self.0.rate) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Sample, D::Error> {
        from.deserialize_struct("Sample", KEYS, SampleVisitor)
    }
}

struct SampleVisitor;

impl<'de> Visitor<'de> for SampleVisitor {
    type Value = Sample;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share from 0 to 1, for example `0.1`, or `{ rate: 0.1, keep_errors: true }`")
    }

    fn visit_f64<E: de::Error>(self, rate: f64) -> Result<Sample, E> {
        Ok(Sample::rate(rate))
    }

    fn visit_u64<E: de::Error>(self, rate: u64) -> Result<Sample, E> {
        Ok(Sample::rate(rate as f64))
    }

    fn visit_i64<E: de::Error>(self, rate: i64) -> Result<Sample, E> {
        Ok(Sample::rate(rate as f64))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Sample, E> {
        match text.strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok()) {
            Some(percent) => Err(E::custom(format!("`{text}` is not a share; write `{}`", percent / 100.0))),
            None => Err(E::invalid_type(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Sample, A::Error> {
        Drawn::deserialize(MapAccessDeserializer::new(map)).map(Sample)
    }
}

impl JsonSchema for Sample {
    fn schema_name() -> Cow<'static, str> {
        "Sample".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let drawn = generator.subschema_for::<Drawn>();
        json_schema!({ "anyOf": [{ "type": "number", "minimum": 0, "maximum": 1 }, drawn] })
    }
}
