//! The split law: as many inputs as outputs make that many rows; any other pair is one row with both lists whole.
//! Nothing is ever zipped to the shorter side.

use std::borrow::Cow;

use super::names::{Names, ROWS};
use super::value::{Object, Value, weight};
use super::{Limits, ParseStatus, Problem, Row};
use crate::config;

/// One side, as far as counting goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Half<'a> {
    /// One row, named already.
    One(Object<'a>),
    Many(Batch<'a>),
    /// Nothing to count: an error answer, or a side that could not be read.
    Absent,
}

/// Several rows in one body.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<'a> {
    /// The key it stood under; `None` if it was the whole body.
    pub key: Option<Cow<'a, str>>,
    pub items: Items<'a>,
    /// The keys beside it: they go to every row.
    pub beside: Object<'a>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Items<'a> {
    /// A value per row.
    Rows(Vec<Value<'a>>),
    /// A list per column, all of one length.
    Columns(Vec<(Cow<'a, str>, Vec<Value<'a>>)>),
    /// The cells of one row after the other, and the names of the columns, of which there is one at least.
    Grid { names: Vec<Cow<'a, str>>, cells: Vec<Value<'a>> },
}

impl<'a> Half<'a> {
    /// Rows on this side; `None` if there is nothing to count.
    pub fn count(&self) -> Option<usize> {
        match self {
            Half::One(_) => Some(1),
            Half::Many(batch) => Some(batch.count()),
            Half::Absent => None,
        }
    }

    /// The side as the fields of one row, lists whole under their keys.
    fn whole(self) -> Object<'a> {
        match self {
            Half::One(fields) => fields,
            Half::Many(batch) => batch.whole(),
            Half::Absent => Object::new(),
        }
    }

    fn into_rows(self, names: Names) -> Vec<Object<'a>> {
        match self {
            Half::One(fields) => vec![fields],
            Half::Many(batch) => batch.into_rows(names),
            Half::Absent => vec![Object::new()],
        }
    }

    /// About the bytes that copying the keys beside the batch to every row takes.
    fn copied(&self) -> usize {
        match self {
            Half::Many(batch) => weight(&batch.beside).saturating_mul(batch.count()),
            Half::One(_) | Half::Absent => 0,
        }
    }
}

impl<'a> Batch<'a> {
    /// A batch that is the whole body.
    pub fn bare(items: Vec<Value<'a>>) -> Batch<'a> {
        Batch { key: None, items: Items::Rows(items), beside: Object::new() }
    }

    pub fn count(&self) -> usize {
        match &self.items {
            Items::Rows(items) => items.len(),
            Items::Columns(columns) => columns.first().map_or(0, |(_, values)| values.len()),
            Items::Grid { names, cells } => cells.len() / names.len().max(1),
        }
    }

    /// The fields of one row, lists whole under their keys.
    pub fn whole(self) -> Object<'a> {
        let mut fields = Object::new();
        match (self.items.columns(), self.key) {
            (Items::Grid { .. }, _) => unreachable!("a grid was made columns"),
            (Items::Rows(items), key) => fields.push((key.unwrap_or(Cow::Borrowed(ROWS)), Value::List(items))),
            (Items::Columns(columns), None) => {
                fields.extend(columns.into_iter().map(|(key, values)| (key, Value::List(values))));
            }
            (Items::Columns(columns), Some(key)) => {
                let columns = columns.into_iter().map(|(key, values)| (key, Value::List(values))).collect();
                fields.push((key, Value::Object(columns)));
            }
        }
        fields.extend(self.beside);
        fields
    }

    fn into_rows(self, names: Names) -> Vec<Object<'a>> {
        let count = self.count();
        let mut rows: Vec<Object<'a>> = match self.items {
            Items::Rows(items) => items.into_iter().map(|item| names.fields(item)).collect(),
            Items::Columns(columns) => {
                let mut rows: Vec<Object<'a>> = (0..count).map(|_| Object::with_capacity(columns.len())).collect();
                for (key, values) in columns {
                    for (row, value) in rows.iter_mut().zip(values) {
                        row.push((key.clone(), value));
                    }
                }
                rows
            }
            Items::Grid { names, cells } => {
                let mut cells = cells.into_iter();
                (0..count).map(|_| names.iter().cloned().zip(cells.by_ref()).collect()).collect()
            }
        };
        if let Some((last, others)) = rows.split_last_mut() {
            for row in others {
                row.extend(self.beside.iter().cloned());
            }
            last.extend(self.beside);
        }
        rows
    }
}

impl<'a> Items<'a> {
    /// A grid as its columns; the others as they are.
    fn columns(self) -> Items<'a> {
        let Items::Grid { names, cells } = self else { return self };
        let (width, count) = (names.len().max(1), cells.len() / names.len().max(1));
        let mut columns: Vec<_> = names.into_iter().map(|name| (name, Vec::with_capacity(count))).collect();
        for (index, cell) in cells.into_iter().enumerate() {
            columns[index % width].1.push(cell);
        }
        Items::Columns(columns)
    }
}

/// Rows out of both halves, as [`super::Reading`] holds them.
#[derive(Debug, Clone, PartialEq)]
pub struct Split<'a> {
    pub rows: Vec<Row<'a>>,
    /// 0 for an empty batch, which is still one row.
    pub row_count: usize,
    pub problem: Option<Problem>,
}

/// Applies the split law.
pub fn pair<'a>(input: Half<'a>, output: Half<'a>, limits: &Limits) -> Split<'a> {
    let input_count = input.count();
    let output_count = output.count();
    match (input_count, output_count) {
        (Some(0), Some(0) | None) => {
            let row = Row { inputs: beside(input), outputs: beside(output) };
            return Split { rows: vec![row], row_count: 0, problem: None };
        }
        (Some(inputs), Some(outputs)) if inputs != outputs => {
            let what = format!("{inputs} in the request, {outputs} in the response");
            return whole(input, output, Some(Problem::new(ParseStatus::RowMismatch, what)));
        }
        (Some(inputs), None) if inputs > 1 => {
            let what = format!("{inputs} in the request, none in the response");
            return whole(input, output, Some(Problem::new(ParseStatus::RowMismatch, what)));
        }
        (None, Some(outputs)) if outputs != 1 => {
            let what = format!("none in the request, {outputs} in the response");
            return whole(input, output, Some(Problem::new(ParseStatus::RowMismatch, what)));
        }
        _ => {}
    }
    let count = input_count.or(output_count).unwrap_or(1);
    if limits.rows == config::Rows::Keep && (matches!(input, Half::Many(_)) || matches!(output, Half::Many(_))) {
        return whole(input, output, None);
    }
    if count > limits.rows_max {
        let what = format!("{count} rows, more than {}", limits.rows_max);
        return whole(input, output, Some(Problem::new(ParseStatus::Limit, what)));
    }
    let copied = input.copied().saturating_add(output.copied());
    if count > 1 && copied as u64 > limits.decompressed_bytes_max {
        let what = format!("the keys beside {count} rows would take {copied} bytes in all");
        return whole(input, output, Some(Problem::new(ParseStatus::Limit, what)));
    }
    let inputs = input.into_rows(Names::Inputs);
    let outputs = output.into_rows(Names::Outputs);
    debug_assert_eq!(inputs.len(), outputs.len());
    let rows = inputs.into_iter().zip(outputs).map(|(inputs, outputs)| Row { inputs, outputs }).collect();
    Split { rows, row_count: count, problem: None }
}

fn whole<'a>(input: Half<'a>, output: Half<'a>, problem: Option<Problem>) -> Split<'a> {
    Split { rows: vec![Row { inputs: input.whole(), outputs: output.whole() }], row_count: 1, problem }
}

/// What an empty batch leaves: the keys beside it.
fn beside(half: Half<'_>) -> Object<'_> {
    match half {
        Half::Many(batch) => batch.beside,
        Half::One(_) | Half::Absent => Object::new(),
    }
}
