//! MLflow's `/invocations`: a frame as columns and rows (`dataframe_split`), as records (`dataframe_records`), or a tensor
//! (`instances`, `inputs`); the answer under `predictions`. Databricks Model Serving speaks the same; Azure ML's endpoints call
//! the frame `input_data`, and where it is the whole body it is pandas' `split`, as MLflow 1 took it.
//!
//! Documentation: MLflow, "Deploy MLflow Model as a Local Inference Server"; Azure ML, "Deploy MLflow models to online endpoints";
//! CSV with a header is read as [`sagemaker`](super::sagemaker) reads it. Its language models speak as
//! [`openai`](super::openai).

use std::borrow::Cow;

use super::generic::{self, Halves};
use super::names::Names;
use super::split::{Batch, Half, Items};
use super::table::{self, Columns};
use super::value::{Object, Value};
use super::{Matter, Reading};

pub const NAME: &str = "mlflow";

/// Keys that hold the data; exactly one stands in a request.
const SPLIT: [&str; 2] = ["dataframe_split", "input_data"];
const RECORDS: &str = "dataframe_records";
const INPUTS: &str = "inputs";
const TENSORS: [&str; 2] = ["instances", INPUTS];

/// The path and one of the keys; or a frame, wherever it was sent.
pub fn matches(matter: &Matter<'_>) -> bool {
    let Some(fields) = matter.request.fields() else { return false };
    let has = |key: &str| fields.iter().any(|(name, _)| name == key);
    let is_split = |(key, value): &(Cow<'_, str>, Value<'_>)| {
        key == SPLIT[0] || (key == SPLIT[1] && value.get(&["columns"]).is_some() && value.get(&["data"]).is_some())
    };
    fields.iter().any(is_split)
        || has(RECORDS)
        || table::is_frame(fields)
        || (is_path(matter.path) && TENSORS.iter().any(|key| has(key)))
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
    if let Some(at) = SPLIT.iter().find_map(|key| at(&fields, key)) {
        let (key, frame) = fields.remove(at);
        return match split(frame) {
            Ok(rows) => Half::Many(Batch { key: Some(key), items: Items::Rows(rows), beside: fields }),
            Err(frame) => {
                fields.insert(at, (key, frame));
                Half::One(fields)
            }
        };
    }
    if let Some(at) = at(&fields, RECORDS).filter(|at| fields[*at].1.is_list()) {
        return Half::Many(generic::take(fields, at));
    }
    fields = match table::frame(fields) {
        Ok(batch) => return Half::Many(batch),
        Err(fields) => fields,
    };
    let Some(at) = TENSORS.iter().find_map(|key| at(&fields, key)) else { return Half::One(fields) };
    match &fields[at].1 {
        // The texts of a language model: one and several under the same name.
        Value::List(items) if fields[at].0 == INPUTS && !items.is_empty() && items.iter().all(is_text) => {
            let (key, value) = fields.remove(at);
            let Value::List(items) = value else { unreachable!("texts are a list") };
            Half::Many(Batch { key: None, items: Items::Columns(vec![(key, items)]), beside: fields })
        }
        Value::List(_) => Half::Many(generic::take(fields, at)),
        // A tensor per column: what counts the same is a batch, each cell of any rank.
        Value::Object(columns) if generic::column_length(columns).is_some() => {
            let (key, value) = fields.remove(at);
            let Value::Object(columns) = value else { unreachable!("columns are an object") };
            Half::Many(Batch { key: Some(key), items: generic::columns_of(columns), beside: fields })
        }
        // The same of one row, each value alone.
        Value::Object(columns) if !columns.iter().any(|(_, value)| value.is_container()) => {
            let (_, row) = fields.remove(at);
            let mut row = Names::Inputs.fields(row);
            row.extend(fields);
            Half::One(row)
        }
        _ => Half::One(fields),
    }
}

/// The rows of a frame, named if its columns are; the frame itself if it is not one.
fn split(frame: Value<'_>) -> Result<Vec<Value<'_>>, Value<'_>> {
    let columns = match frame.get(&["columns"]) {
        Some(columns) => table::columns_of(columns),
        None => Some(Columns::Positions),
    };
    let fits = frame.get(&["data"]).is_some_and(Value::is_list);
    let (mut fields, columns) = match (frame, columns) {
        (Value::Object(fields), Some(columns)) if fits => (fields, columns),
        (frame, _) => return Err(frame),
    };
    let at = fields.iter().rposition(|(key, value)| key == "data" && value.is_list());
    let rows = match at.map(|at| fields.remove(at).1) {
        Some(Value::List(rows)) => rows,
        _ => Vec::new(),
    };
    let mut rows = match columns {
        Columns::Named(names) => table::named(rows, &names),
        Columns::Positions => rows,
    };
    table::indexed(&mut rows, &mut fields);
    Ok(rows)
}

fn is_text(value: &Value<'_>) -> bool {
    matches!(value, Value::Text(_))
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
        // One prediction that is no list of one.
        value if !value.is_container() => {
            let (_, prediction) = fields.remove(at);
            let mut row = Names::Outputs.fields(prediction);
            row.extend(fields);
            Half::One(row)
        }
        _ => Half::One(fields),
    }
}
