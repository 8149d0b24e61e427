//! The value model: what Python wrote, kept. Text is borrowed from the body wherever it needs no unescaping.

use std::borrow::Cow;

/// Keys in their order; a key may occur more than once.
pub type Object<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// A JSON value, and the three floats that Python adds to JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// A finite number as it was written: digits are neither lost nor added, so a float round-trips bit for bit.
    Number(&'a str),
    /// A float that was computed, or NaN, or an infinity.
    Double(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Object<'a>),
}

impl<'a> Value<'a> {
    pub fn is_container(&self) -> bool {
        matches!(self, Value::List(_) | Value::Object(_))
    }

    pub fn is_list(&self) -> bool {
        matches!(self, Value::List(_))
    }

    pub fn is_object(&self) -> bool {
        matches!(self, Value::Object(_))
    }

    /// Follows `keys` through objects; of a key that occurs twice the last one counts, as in Python.
    pub fn get(&self, keys: &[impl AsRef<str>]) -> Option<&Value<'a>> {
        keys.iter().try_fold(self, |value, key| match value {
            Value::Object(fields) => fields.iter().rev().find(|(name, _)| name == key.as_ref()).map(|(_, value)| value),
            _ => None,
        })
    }

    /// The text of a text or a number.
    pub fn as_word(&self) -> Option<Cow<'a, str>> {
        match self {
            Value::Text(text) => Some(text.clone()),
            Value::Number(digits) => Some(Cow::Borrowed(digits)),
            _ => None,
        }
    }

    /// About the bytes it takes when written.
    pub fn weight(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) => 4,
            Value::Double(_) => 16,
            Value::Number(digits) => digits.len() + 1,
            Value::Text(text) => text.len() + 3,
            Value::List(items) => 2 + items.iter().map(Value::weight).sum::<usize>(),
            Value::Object(fields) => 2 + weight(fields),
        }
    }
}

/// About the bytes that the fields take when written.
pub fn weight(fields: &Object<'_>) -> usize {
    fields.iter().map(|(key, value)| key.len() + 4 + value.weight()).sum()
}
