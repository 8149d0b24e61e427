//! MLflow's `/invocations`: a frame as columns and rows (`dataframe_split`), as records (`dataframe_records`), or a tensor
//! (`instances`, `inputs`); the answer under `predictions`. Databricks Model Serving speaks the same.
//!
//! Documentation: MLflow, "Deploy MLflow Model as a Local Inference Server"; CSV with a header is read as
//! [`sagemaker`](super::sagemaker) reads it.

use std::borrow::Cow;

use super::generic::{self, Halves};
use super::split::{Batch, Half, Items};
use super::table;
use super::value::{Object, Value};
use super::{Matter, Reading};

pub const NAME: &str = "mlflow";

/// Keys that hold the data; exactly one stands in a request.
const SPLIT: &str = "dataframe_split";
const RECORDS: &str = "dataframe_records";
const TENSORS: [&str; 2] = ["instances", "inputs"];

/// The path and one of the keys; or a frame, wherever it was sent.
pub fn matches(matter: &Matter<'_>) -> bool {
    let Some(fields) = matter.request.fields() else { return false };
    let has = |key: &str| fields.iter().any(|(name, _)| name == key);
    has(SPLIT) || has(RECORDS) || (is_path(matter.path) && TENSORS.iter().any(|key| has(key)))
}

fn is_path(path: &str) -> bool {
    path.trim_end_matches('/').ends_with("/invocations")
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let client_id = generic::client_id(&matter);
    let (request, first) = matter.request.open();
    let (response, second) = if matter.answered { matter.response.open() } else { (None, None) };
    let input = request.map_or(Half::Absent, input);
    let count = input.count().unwrap_or(1);
    let output = response.map_or(Half::Absent, |value| output(value, count));
    let mut reading = Halves { input, output, problems: [first, second] }.reading(NAME, &matter.limits);
    reading.client_id = client_id;
    reading
}

fn input(value: Value<'_>) -> Half<'_> {
    let mut fields = match value {
        Value::Object(fields) => fields,
        other => return generic::question(other).alone(),
    };
    let at = |fields: &Object<'_>, key: &str| fields.iter().position(|(name, _)| name == key);
    if let Some(at) = at(&fields, SPLIT) {
        let (key, frame) = fields.remove(at);
        return match split(frame) {
            Ok((rows, names)) => Half::Many(table::batch(SPLIT, rows, &names, fields)),
            Err(frame) => {
                fields.insert(at, (key, frame));
                Half::One(fields)
            }
        };
    }
    if let Some(at) = at(&fields, RECORDS).filter(|at| fields[*at].1.is_list()) {
        return Half::Many(generic::take(fields, at));
    }
    let Some(at) = TENSORS.iter().find_map(|key| at(&fields, key)) else { return Half::One(fields) };
    match &fields[at].1 {
        Value::List(_) => Half::Many(generic::take(fields, at)),
        // A tensor per column: what counts the same is a batch, each cell of any rank.
        Value::Object(columns) if generic::column_length(columns).is_some() => {
            let (key, value) = fields.remove(at);
            let Value::Object(columns) = value else { unreachable!("columns are an object") };
            Half::Many(Batch { key: Some(key), items: generic::columns_of(columns), beside: fields })
        }
        _ => Half::One(fields),
    }
}

/// The rows of a frame and the names of its columns; the frame itself if it is not one.
#[allow(clippy::type_complexity)]
fn split(frame: Value<'_>) -> Result<(Vec<Value<'_>>, Vec<Cow<'_, str>>), Value<'_>> {
    let names = frame.get(&["columns"]).and_then(table::names);
    let fits = frame.get(&["data"]).is_some_and(Value::is_list);
    match (frame, names) {
        (Value::Object(fields), Some(names)) if fits => {
            let rows = fields.into_iter().rev().find_map(|(key, value)| match value {
                Value::List(rows) if key == "data" => Some(rows),
                _ => None,
            });
            Ok((rows.unwrap_or_default(), names))
        }
        (frame, _) => Err(frame),
    }
}

fn output(value: Value<'_>, count: usize) -> Half<'_> {
    let Value::Object(mut fields) = value else { return generic::answer(value, count) };
    let Some(at) = fields.iter().position(|(key, _)| key == "predictions") else {
        return generic::answer(Value::Object(fields), count);
    };
    // Databricks' own words about the call stand beside.
    match &fields[at].1 {
        Value::List(_) => Half::Many(generic::take(fields, at)),
        Value::Object(columns) if generic::column_length(columns) == Some(count) => {
            let (key, value) = fields.remove(at);
            let Value::Object(columns) = value else { unreachable!("columns are an object") };
            let items: Items<'_> = generic::columns_of(columns);
            Half::Many(Batch { key: Some(key), items, beside: fields })
        }
        _ => Half::One(fields),
    }
}
