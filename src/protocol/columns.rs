//! Names for values at positions, given by somebody who knows them: the route, or the model server. In: what a protocol read, with positional
//! names. Out: the same under the given names, where they fit. Nothing is aligned by guess: a row with another count of
//! values keeps its positional names, and that is said.

use std::borrow::Cow;

use super::generic;
use super::names::{Names, ROWS};
use super::value::{Object, Value};
use super::{Reading, Row};
use crate::config::Side;

/// The names that somebody gives to the values of a row, in their order.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    pub names: &'a [String],
    /// Who says so, for people: `the route names`.
    pub giver: &'static str,
    /// The key of the list of rows, where the route names it.
    pub list: Option<&'a str>,
    /// Whether they are for the columns of a lone tensor too, which have its name.
    pub tensors: bool,
}

/// What became of given names on one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Some rows have them now.
    pub renamed: bool,
    /// Some values are still at positions: in a list that could not be split, each item of which is as long as they are.
    pub listed: bool,
    /// The first place where they did not fit.
    pub misfit: Option<String>,
    /// A list that could not be split does not fit.
    pub misfit_in_list: bool,
}

impl Applied {
    /// Whether every value at a position has its name.
    pub fn is_whole(&self) -> bool {
        (self.renamed || self.listed) && self.misfit.is_none() && !self.misfit_in_list
    }
}

/// Gives the names to one side's rows.
pub fn apply<'a>(reading: &mut Reading<'a>, side: Side, columns: Columns<'a>) -> Applied {
    let word = side.word();
    let tensor = std::mem::take(&mut reading.tensors[side as usize]);
    let mut applied = Applied::default();
    for (index, row) in reading.rows.iter_mut().enumerate() {
        let fields = fields(row, side);
        match name(fields, Names::of(side), if columns.tensors { &tensor } else { &[] }, columns.names) {
            Named::Nothing => {}
            Named::All => applied.renamed = true,
            Named::Misfit(what) if applied.misfit.is_none() => {
                let (giver, count) = (columns.giver, columns.names.len());
                applied.misfit = Some(format!("{word}: row {index} has {what}, {giver} {count}"));
            }
            Named::Misfit(_) => {}
        }
        for (key, value) in fields.iter() {
            let is_batch =
                columns.list == Some(key.as_ref()) || key == ROWS || generic::holds_batches(key) || key == "instances";
            match list_fits(value, is_batch, columns.names.len()) {
                Some(true) => applied.listed |= is_batch,
                Some(false) => applied.misfit_in_list = true,
                None => {}
            }
        }
    }
    // The rows of a tensor are all alike.
    if applied.renamed && columns.tensors {
        for (column, _) in &mut reading.types {
            let at = column.strip_prefix(word).and_then(|rest| rest.strip_prefix('.'));
            if let Some(at) = at.and_then(|name| tensor.iter().position(|known| known == name)) {
                *column = Cow::Owned(format!("{word}.{}", columns.names[at]));
            }
        }
    }
    reading.tensors[side as usize] = tensor;
    applied
}

/// Whether values of a side have positions for names. (The rows of a body are all alike, but for exceptions.)
pub fn is_unnamed(reading: &Reading<'_>, side: Side) -> bool {
    reading.rows.first().is_some_and(|row| {
        let fields = match side {
            Side::Inputs => &row.inputs,
            Side::Outputs => &row.outputs,
        };
        fields.iter().any(|(key, _)| Names::of(side).given(key).is_some())
    })
}

fn fields<'r, 'a>(row: &'r mut Row<'a>, side: Side) -> &'r mut Object<'a> {
    match side {
        Side::Inputs => &mut row.inputs,
        Side::Outputs => &mut row.outputs,
    }
}

enum Named {
    /// Nothing stands at a position.
    Nothing,
    All,
    /// What the row has.
    Misfit(String),
}

/// Names the values of one row.
fn name<'a>(fields: &mut Object<'a>, names: Names, tensor: &[Cow<'_, str>], columns: &'a [String]) -> Named {
    let position = |key: &str| names.given(key).or_else(|| tensor.iter().position(|column| column == key));
    let count = fields.iter().filter(|(key, _)| position(key).is_some()).count();
    if count == 0 {
        return Named::Nothing;
    }
    if count != columns.len() {
        return Named::Misfit(format!("{count} values"));
    }
    let taken =
        |(key, _): &&(Cow<'a, str>, Value<'a>)| position(key).is_none() && columns.iter().any(|name| name == key);
    if let Some((key, _)) = fields.iter().find(taken) {
        return Named::Misfit(format!("a key `{key}` beside its values"));
    }
    for (key, _) in fields {
        if let Some(name) = position(key).and_then(|at| columns.get(at)) {
            *key = Cow::Borrowed(name);
        }
    }
    Named::All
}

/// Whether a list that could not be split holds rows of `count` values; `None` if it holds no values at positions.
fn list_fits(value: &Value<'_>, is_batch: bool, count: usize) -> Option<bool> {
    if let Value::Packed(packed) = value {
        return (is_batch && !packed.is_empty()).then_some(count == 1);
    }
    let items = value.as_list()?;
    let scalars = items.iter().filter(|item| !item.is_container() && **item != Value::Null).count();
    let mut lists = items.iter().filter_map(Value::list_len).peekable();
    match lists.peek() {
        Some(_) => Some(scalars == 0 && lists.all(|len| len == count)),
        None if is_batch && scalars > 0 => Some(count == 1),
        None => None,
    }
}
