//! Tables without an object per row: CSV, and lists of cells with the names of their columns beside them -> batches.

use std::borrow::Cow;

use super::media::csv;
use super::names::Names;
use super::split::{Batch, Half, Items};
use super::value::{Object, Value};

/// The rows of a CSV request. `answers`: how many the answer seems to hold, which tells a header from a row of texts.
pub fn input(rows: Value<'_>, answers: Option<usize>) -> Half<'_> {
    match rows {
        Value::List(rows) => Half::Many(Batch::bare(headed(rows, answers))),
        other => Half::One(Names::Inputs.fields(other)),
    }
}

/// The rows of a CSV answer to `count` inputs. A row of one cell is that cell; one line of as many cells as there are inputs
/// is an answer per cell.
pub fn output(rows: Value<'_>, count: usize) -> Half<'_> {
    let Value::List(rows) = rows else { return Half::One(Names::Outputs.fields(rows)) };
    let mut rows = headed(rows, Some(count));
    let cells = match rows.as_mut_slice() {
        [Value::List(cells)] if count > 1 && cells.len() == count => Some(std::mem::take(cells)),
        _ => None,
    };
    let rows = cells.unwrap_or_else(|| rows.into_iter().map(lone_cell).collect());
    Half::Many(Batch::bare(rows))
}

fn lone_cell(row: Value<'_>) -> Value<'_> {
    match row {
        Value::List(mut cells) if cells.len() == 1 => cells.pop().unwrap_or(Value::Null),
        row => row,
    }
}

/// Rows under their header, if the first is one.
fn headed(mut rows: Vec<Value<'_>>, answers: Option<usize>) -> Vec<Value<'_>> {
    match csv::header(&rows, answers) {
        Some(names) => {
            rows.remove(0);
            named(rows, &names)
        }
        None => rows,
    }
}

/// Rows of cells as objects. A row with more or fewer cells than there are names stays as it is: nothing is aligned by
/// guess.
pub fn named<'a>(rows: Vec<Value<'a>>, names: &[Cow<'a, str>]) -> Vec<Value<'a>> {
    rows.into_iter()
        .map(|row| match row {
            Value::List(cells) if cells.len() == names.len() => {
                Value::Object(names.iter().cloned().zip(cells).collect())
            }
            row => row,
        })
        .collect()
}

/// A batch of rows of cells under the names of their columns; what stands beside goes to every row.
pub fn batch<'a>(key: &'static str, rows: Vec<Value<'a>>, names: &[Cow<'a, str>], beside: Object<'a>) -> Batch<'a> {
    Batch { key: Some(Cow::Borrowed(key)), items: Items::Rows(named(rows, names)), beside }
}

/// How many answers a response seems to hold, before anyone has read it.
pub fn answers(response: Option<&Value<'_>>) -> Option<usize> {
    match response? {
        Value::List(items) => Some(items.len()),
        Value::Object(fields) => {
            let mut lists = fields.iter().filter_map(|(_, value)| value.as_list());
            let first = lists.next()?;
            lists.next().is_none().then_some(first.len())
        }
        _ => None,
    }
}

/// A list of names, each a text and each once.
pub fn names<'a>(value: &Value<'a>) -> Option<Vec<Cow<'a, str>>> {
    let names: Vec<Cow<'a, str>> = value
        .as_list()?
        .iter()
        .map(|name| match name {
            Value::Text(name) => Some(name.clone()),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let different: std::collections::HashSet<_> = names.iter().collect();
    (different.len() == names.len() && !names.is_empty()).then_some(names)
}
