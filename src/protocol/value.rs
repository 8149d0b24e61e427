//! The value model: what Python wrote, kept. Text is borrowed from the body wherever it needs no unescaping.

use std::borrow::Cow;

use super::packed::{Element, Packed};

/// Keys in their order; a key may occur more than once.
pub type Object<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// A JSON value, and the three floats that Python adds to JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// A finite number as it was written: digits are neither lost nor added, so a float round-trips bit for bit.
    Number(&'a str),
    /// An integer out of a packed tensor.
    Int(i64),
    UInt(u64),
    /// A single-precision float out of a packed tensor, or NaN, or an infinity.
    Float(f32),
    /// A float out of a packed tensor or that was computed, or NaN, or an infinity.
    Double(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    /// A list of numbers out of a packed tensor. Whoever looks into lists calls [`Value::spell_out`] before.
    Packed(Packed<'a>),
    Object(Object<'a>),
    /// A value that is written as a text of JSON: what has another shape in every call, and no columns of its own.
    Json(Box<Value<'a>>),
}

impl<'a> Value<'a> {
    pub fn is_container(&self) -> bool {
        matches!(self, Value::List(_) | Value::Packed(_) | Value::Object(_))
    }

    pub fn is_list(&self) -> bool {
        matches!(self, Value::List(_))
    }

    /// Items of a list, packed or not.
    pub fn list_len(&self) -> Option<usize> {
        match self {
            Value::List(items) => Some(items.len()),
            Value::Packed(packed) => Some(packed.len()),
            _ => None,
        }
    }

    /// Makes each number of what is packed a value of its own.
    pub fn spell_out(&mut self) {
        match self {
            Value::Packed(packed) => *self = Value::List(spelled(*packed)),
            Value::List(items) => items.iter_mut().for_each(Value::spell_out),
            Value::Object(fields) => fields.iter_mut().for_each(|(_, value)| value.spell_out()),
            Value::Json(value) => value.spell_out(),
            _ => {}
        }
    }

    pub fn is_object(&self) -> bool {
        matches!(self, Value::Object(_))
    }

    /// Follows `keys` through objects; of a key that occurs twice the last one counts, as in Python.
    pub fn get(&self, keys: &[impl AsRef<str>]) -> Option<&Value<'a>> {
        keys.iter().try_fold(self, |value, key| match value.plain() {
            Value::Object(fields) => fields.iter().rev().find(|(name, _)| name == key.as_ref()).map(|(_, value)| value),
            _ => None,
        })
    }

    /// The value that a text of JSON holds; any other is itself.
    pub fn plain(&self) -> &Value<'a> {
        match self {
            Value::Json(value) => value.plain(),
            value => value,
        }
    }

    /// A container as a text of JSON; any other value as it is.
    pub fn as_json(self) -> Value<'a> {
        match self {
            value @ (Value::List(_) | Value::Packed(_) | Value::Object(_)) => Value::Json(Box::new(value)),
            value => value,
        }
    }

    /// The text of a text or a number.
    pub fn as_word(&self) -> Option<Cow<'a, str>> {
        match self {
            Value::Text(text) => Some(text.clone()),
            Value::Number(digits) => Some(Cow::Borrowed(digits)),
            Value::Int(number) => Some(Cow::Owned(number.to_string())),
            Value::UInt(number) => Some(Cow::Owned(number.to_string())),
            _ => None,
        }
    }

    /// The text of a text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn as_list(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The same value with nothing borrowed. A number keeps its value; of one that no machine number holds, its digits stay
    /// as text.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(bool) => Value::Bool(bool),
            Value::Number(digits) => owned_number(digits),
            Value::Int(number) => Value::Int(number),
            Value::UInt(number) => Value::UInt(number),
            Value::Float(float) => Value::Float(float),
            Value::Double(double) => Value::Double(double),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Value::Packed(packed) => Value::List(spelled(packed)),
            Value::Json(value) => Value::Json(Box::new(value.into_owned())),
            Value::Object(fields) => Value::Object(
                fields.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned())).collect(),
            ),
        }
    }

    /// About the bytes it takes when written.
    pub fn weight(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) => 4,
            Value::Int(_) | Value::UInt(_) | Value::Float(_) => 12,
            Value::Double(_) => 16,
            Value::Number(digits) => digits.len() + 1,
            Value::Text(text) => text.len() + 3,
            Value::List(items) => 2 + items.iter().map(Value::weight).sum::<usize>(),
            Value::Packed(packed) => 2 + 13 * packed.len(),
            Value::Object(fields) => 2 + weight(fields),
            // Quotes within quotes are escaped.
            Value::Json(value) => 2 + value.weight() * 5 / 4,
        }
    }
}

/// The numbers of a packed list, each a value.
pub fn spelled(packed: Packed<'_>) -> Vec<Value<'static>> {
    let mut values = Vec::with_capacity(packed.len());
    packed.each(|element| {
        values.push(match element {
            Element::Bool(bool) => Value::Bool(bool),
            Element::Int(number) => Value::Int(number),
            Element::UInt(number) => Value::UInt(number),
            Element::Float(float) => Value::Float(float),
            Element::Double(double) => Value::Double(double),
        });
    });
    values
}

/// About the bytes that the fields take when written.
pub fn weight(fields: &Object<'_>) -> usize {
    fields.iter().map(|(key, value)| key.len() + 4 + value.weight()).sum()
}

/// The double that reads as the float does in decimal: 0.1 for 0.1, not 0.10000000149011612.
pub fn widened(float: f32) -> f64 {
    if float.is_finite() {
        zmij::Buffer::new().format_finite(float).parse().unwrap_or_else(|_| float.into())
    } else {
        float.into()
    }
}

fn owned_number(digits: &str) -> Value<'static> {
    if let Ok(number) = digits.parse() {
        return Value::Int(number);
    }
    if let Ok(number) = digits.parse() {
        return Value::UInt(number);
    }
    let is_float = digits.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    match digits.parse::<f64>() {
        Ok(double) if is_float => Value::Double(double),
        _ => Value::Text(Cow::Owned(digits.to_owned())),
    }
}
