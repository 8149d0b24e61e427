//! Tables without an object per row: CSV, and lists of cells with the names of their columns beside them -> batches.

use std::borrow::Cow;
use std::collections::HashSet;

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

/// How many answers a response seems to hold, before anyone has read it.
pub fn answers(response: Option<&Value<'_>>) -> Option<usize> {
    match response? {
        Value::List(items) => Some(items.len()),
        Value::Object(fields) => {
            if let Some((_, rows)) = places(fields) {
                return fields[rows].1.as_list().map(<[_]>::len);
            }
            let mut lists = fields.iter().filter_map(|(_, value)| value.as_list());
            let first = lists.next()?;
            lists.next().is_none().then_some(first.len())
        }
        _ => None,
    }
}

/// Keys of the names of the columns, and of the rows below, where both stand in one object: pandas' `split` (which MLflow 1 took),
/// H2O's `fields`.
const NAMES: [&str; 3] = ["columns", "fields", "feature_names"];
const ROWS: [&str; 4] = ["data", "rows", "values", "score"];

/// The labels of a frame's rows.
const INDEX: &str = "index";

/// An object that is a table, as a batch of its rows; the object itself if it is none: every row must have as many cells as there
/// are names.
pub fn frame(mut fields: Object<'_>) -> Result<Batch<'_>, Object<'_>> {
    let Some((columns, rows)) = places(&fields) else { return Err(fields) };
    let Some(names) = names(&fields[columns].1) else { return Err(fields) };
    let (key, cells) = fields.remove(rows);
    fields.remove(if columns > rows { columns - 1 } else { columns });
    let Value::List(cells) = cells else { unreachable!("rows are a list") };
    let mut rows = named(cells, &names);
    indexed(&mut rows, &mut fields);
    Ok(Batch { key: Some(key), items: Items::Rows(rows), beside: fields })
}

/// Whether an object is a table.
pub fn is_frame(fields: &Object<'_>) -> bool {
    places(fields).is_some()
}

/// Where the names and the rows of a table stand.
fn places(fields: &Object<'_>) -> Option<(usize, usize)> {
    let at = |keys: &[&str]| {
        let mut places =
            fields.iter().enumerate().filter(|(_, (key, value))| keys.contains(&key.as_ref()) && value.is_list());
        let first = places.next()?;
        places.next().is_none().then_some(first.0)
    };
    let (columns, rows) = (at(&NAMES)?, at(&ROWS)?);
    let width = names(&fields[columns].1)?.len();
    let fits = |row: &Value<'_>| row.as_list().is_some_and(|cells| cells.len() == width);
    let cells = fields[rows].1.as_list()?;
    (!cells.is_empty() && cells.iter().all(fits)).then_some((columns, rows))
}

/// Rows of an object of columns by their labels, `{"age": {"0": 41, "1": 23}, ..}`: how pandas writes a frame if it is not told
/// otherwise. Only where the labels are `0, 1, ..` in every column: other keys are names.
pub fn labelled_count(columns: &Object<'_>) -> Option<usize> {
    let mut counts = columns.iter().map(|(_, value)| match value {
        Value::Object(cells) => series_count(cells),
        _ => None,
    });
    let first = counts.next()??;
    counts.all(|count| count == Some(first)).then_some(first)
}

/// Values of an object whose keys are `0, 1, ..`.
pub fn series_count(cells: &Object<'_>) -> Option<usize> {
    let is_place = |(place, (key, _)): (usize, &(Cow<'_, str>, Value<'_>))| key.parse() == Ok(place);
    (!cells.is_empty() && cells.iter().enumerate().all(is_place)).then_some(cells.len())
}

/// The columns of such an object.
pub fn labelled(columns: Object<'_>) -> Batch<'_> {
    let column = |(key, value)| match value {
        Value::Object(cells) => Some((key, series(cells))),
        _ => None,
    };
    Batch { key: None, items: Items::Columns(columns.into_iter().filter_map(column).collect()), beside: Object::new() }
}

/// The values of such an object.
pub fn series(cells: Object<'_>) -> Vec<Value<'_>> {
    cells.into_iter().map(|(_, value)| value).collect()
}

/// Gives each row its label, if a frame has some that say more than the place.
pub fn indexed<'a>(rows: &mut [Value<'a>], frame: &mut Object<'a>) {
    let fits = |value: &Value<'_>| value.as_list().is_some_and(|labels| labels.len() == rows.len());
    let Some(at) = frame.iter().position(|(key, value)| key == INDEX && fits(value)) else { return };
    let Value::List(labels) = frame.remove(at).1 else { unreachable!("labels are a list") };
    if is_range(&labels) {
        return;
    }
    for (row, label) in rows.iter_mut().zip(labels) {
        if let Value::Object(cells) = row
            && !cells.iter().any(|(key, _)| key == INDEX)
        {
            cells.push((Cow::Borrowed(INDEX), label));
        }
    }
}

/// Whether labels are `0, 1, ..`: places, no names.
fn is_range(labels: &[Value<'_>]) -> bool {
    labels.iter().enumerate().all(|(place, label)| match label {
        Value::Number(digits) => digits.parse() == Ok(place),
        _ => false,
    })
}

/// What a frame says of its columns.
pub enum Columns<'a> {
    Named(Vec<Cow<'a, str>>),
    /// A frame that was made without names.
    Positions,
}

/// The names of a frame's columns: texts, or numbers that are none of places; each once.
pub fn columns_of<'a>(value: &Value<'a>) -> Option<Columns<'a>> {
    let labels = value.as_list()?;
    if is_range(labels) {
        return Some(Columns::Positions);
    }
    let words: Vec<Cow<'a, str>> = labels.iter().map(Value::as_word).collect::<Option<_>>()?;
    each_once(&words).then_some(Columns::Named(words))
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
    (each_once(&names) && !names.is_empty()).then_some(names)
}

fn each_once(names: &[Cow<'_, str>]) -> bool {
    names.iter().collect::<HashSet<_>>().len() == names.len()
}
