//! Answers in JSON: one row's, or as many as the request has rows.

use std::borrow::Cow;

use super::super::names::{Names, ROWS};
use super::super::split::{Batch, Half, Items};
use super::super::table;
use super::super::value::{Object, Value};
use super::{ANSWER_KEYS, AZURE, lift, take};

/// Whether an answer is a list of this length, or a table, or has exactly one.
pub(super) fn counts(response: &Value<'_>, count: usize) -> bool {
    match response {
        Value::List(items) => items.len() == count,
        Value::Object(fields) if table::is_frame(fields) => table::answers(Some(response)) == Some(count),
        Value::Object(fields) => fields.iter().filter(|(_, value)| has_length(value, count)).count() == 1,
        _ => false,
    }
}

/// As [`counts`], and a frame or its one column by labels.
pub(super) fn answers(response: &Value<'_>, count: usize) -> bool {
    let is_labelled = |fields: &Object<'_>| {
        table::labelled_count(fields) == Some(count) || table::series_count(fields) == Some(count)
    };
    counts(response, count) || matches!(response, Value::Object(fields) if is_labelled(fields))
}

fn has_length(value: &Value<'_>, count: usize) -> bool {
    matches!(value, Value::List(items) if items.len() == count)
}

/// The answer to a request that is no batch: one row, whatever it is.
pub fn single_answer(value: Value<'_>) -> Half<'_> {
    Half::One(match value {
        Value::List(mut items) if items.len() == 1 => {
            Names::Outputs.fields(items.pop().expect("a list of one has an item"))
        }
        Value::List(items) if items.iter().any(Value::is_container) => {
            vec![(Cow::Borrowed(ROWS), Value::List(items))]
        }
        other => Names::Outputs.fields(other),
    })
}

/// The answer to a batch of `count`.
pub fn answer(value: Value<'_>, count: usize) -> Half<'_> {
    match value {
        Value::List(items) => Half::Many(Batch::bare(items)),
        Value::Object(fields) => match table::frame(fields) {
            Ok(batch) => Half::Many(batch),
            Err(fields) => answer_in_object(fields, count),
        },
        scalar => Half::One(Names::Outputs.fields(scalar)),
    }
}

fn answer_in_object(mut fields: Object<'_>, count: usize) -> Half<'_> {
    lift(&mut fields, AZURE[1]);
    let fitting: Vec<usize> =
        fields.iter().enumerate().filter(|(_, (_, value))| has_length(value, count)).map(|(at, _)| at).collect();
    match fitting.as_slice() {
        [] => {
            if count > 1 && table::labelled_count(&fields) == Some(count) {
                return Half::Many(table::labelled(fields));
            }
            if count > 1 && table::series_count(&fields) == Some(count) {
                return Half::Many(Batch::bare(table::series(fields)));
            }
            let named = fields.iter().position(|(key, value)| value.is_list() && ANSWER_KEYS.contains(&key.as_ref()));
            match named {
                Some(at) => Half::Many(take(fields, at)),
                None => Half::One(fields),
            }
        }
        [at] => {
            let (key, value) = &fields[*at];
            let Value::List(items) = value else { unreachable!("what has a length is a list") };
            if ANSWER_KEYS.contains(&key.as_ref()) || (!items.is_empty() && items.iter().all(Value::is_object)) {
                Half::Many(take(fields, *at))
            } else {
                // `{"scores": [.1, .7]}`: the key says more than a position would.
                Half::Many(columns_among(fields, &fitting))
            }
        }
        _ => Half::Many(columns_among(fields, &fitting)),
    }
}

/// The fields at these places, in order, as columns, the others beside them.
fn columns_among<'a>(fields: Object<'a>, at: &[usize]) -> Batch<'a> {
    let mut columns = Vec::with_capacity(at.len());
    let mut beside = Object::new();
    for (place, (key, value)) in fields.into_iter().enumerate() {
        match value {
            Value::List(items) if at.binary_search(&place).is_ok() => columns.push((key, items)),
            other => beside.push((key, other)),
        }
    }
    Batch { key: None, items: Items::Columns(columns), beside }
}
