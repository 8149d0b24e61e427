//! Embeddings: a list of inputs, a vector for each.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::split::{Batch, Half, Items};
use super::super::stream::MODEL;
use super::super::tensor;
use super::super::value::{Object, Value};
use super::{Answer, rest};

const INPUT: &str = "input";
const EMBEDDING: &str = "embedding";

/// A list of texts, or of lists of tokens, is a batch; a text or one list of tokens is one input.
pub(super) fn request(mut fields: Object<'_>) -> Half<'_> {
    let batch = fields.iter().position(|(key, value)| {
        key == INPUT && matches!(value, Value::List(items) if items.iter().all(|item| matches!(item, Value::Text(_) | Value::List(_))))
    });
    match batch {
        Some(at) => match fields.remove(at) {
            (key, Value::List(items)) => {
                Half::Many(Batch { key: None, items: Items::Columns(vec![(key, items)]), beside: fields })
            }
            (key, other) => {
                fields.push((key, other));
                Half::One(fields)
            }
        },
        None => Half::One(fields),
    }
}

/// Vectors in the order of their indices. The Python client asks for them as base64 of single floats.
pub(super) fn answer(value: Value<'_>) -> Answer<'_> {
    let Value::Object(mut fields) = value else {
        return Answer { output: Half::One(vec![(Cow::Borrowed(EMBEDDING), value)]), ..Answer::default() };
    };
    let model = fields.iter().rev().find(|(key, _)| key == MODEL).and_then(|(_, value)| value.as_word());
    let Some(at) = fields.iter().position(|(key, value)| key == "data" && value.is_list()) else {
        return Answer { output: Half::One(rest(fields)), model, ..Answer::default() };
    };
    let (_, Value::List(mut items)) = fields.swap_remove(at) else { unreachable!("checked to be a list") };
    items.sort_by_key(|item| item.get(&["index"]).and_then(Value::as_word).and_then(|index| index.parse::<u64>().ok()));
    let mut packed = false;
    let vectors = items
        .into_iter()
        .map(|item| match embedding(item) {
            Value::Text(text) => match floats(&text) {
                Some(floats) => {
                    packed = true;
                    Value::List(floats)
                }
                None => Value::Text(text),
            },
            other => other,
        })
        .collect();
    let columns = Items::Columns(vec![(Cow::Borrowed(EMBEDDING), vectors)]);
    let types = if packed { vec![(Cow::Owned(format!("outputs.{EMBEDDING}")), "FP32")] } else { Vec::new() };
    let output = Half::Many(Batch { key: None, items: columns, beside: rest(fields) });
    Answer { output, model, types, ..Answer::default() }
}

fn embedding(item: Value<'_>) -> Value<'_> {
    match item {
        Value::Object(fields) => {
            fields.into_iter().rev().find(|(key, _)| key == EMBEDDING).map_or(Value::Null, |(_, value)| value)
        }
        other => other,
    }
}

fn floats(text: &str) -> Option<Vec<Value<'static>>> {
    tensor::floats(&STANDARD.decode(text).ok()?)
}
