//! Rows where the route says they are (`record.inputs.rows: $.payload.items`), in a body of JSON. What stands beside them,
//! and beside what they stand in, goes to every row.

use super::generic;
use super::names::Names;
use super::split::{Batch, Half, Items};
use super::value::{Object, Value};
use super::{Matter, Side};

/// Of each side: the keys that lead to its rows, if the route names them, and how many columns it names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Places<'a> {
    pub request: Option<&'a [String]>,
    pub response: Option<&'a [String]>,
    pub columns: [usize; 2],
}

impl Matter<'_> {
    /// Whether the route's place leads to something on one side at least.
    pub fn is_placed(&self) -> bool {
        let leads = |side: &Side<'_>, keys: Option<&[String]>| {
            keys.is_some_and(|keys| side.value.as_ref().is_ok_and(|value| value.get(keys).is_some()))
        };
        leads(&self.request, self.places.request) || (self.answered && leads(&self.response, self.places.response))
    }

    /// The first place that leads to nothing in a body that could be read, in words.
    pub fn unplaced(&self) -> Option<String> {
        let missed = |side: &Side<'_>, keys: Option<&[String]>, name: &str| {
            let (keys, value) = (keys?, side.value.as_ref().ok()?);
            value.get(keys).is_none().then(|| format!("{name}: nothing at `$.{}`", keys.join(".")))
        };
        let response = || self.answered.then(|| missed(&self.response, self.places.response, "response")).flatten();
        missed(&self.request, self.places.request, "request").or_else(response)
    }
}

/// The rows at `keys`; the body as it was if they lead to nothing. `columns`: how many values the route says a row has.
pub fn half<'a>(mut body: Value<'a>, keys: &[String], names: Names, columns: usize) -> Result<Half<'a>, Value<'a>> {
    if body.get(keys).is_none() {
        return Err(body);
    }
    let Some((last, _)) = keys.split_last() else { return Ok(rows(None, body, Object::new(), names, columns)) };
    let value = take(&mut body, keys).unwrap_or(Value::Null);
    let beside = match body {
        Value::Object(fields) => fields,
        _ => Object::new(),
    };
    Ok(rows(Some(last.clone().into()), value, beside, names, columns))
}

/// Takes the value out, and what is empty by that.
fn take<'a>(value: &mut Value<'a>, keys: &[String]) -> Option<Value<'a>> {
    let (first, rest) = keys.split_first()?;
    let Value::Object(fields) = value else { return None };
    let at = fields.iter().rposition(|(key, _)| key == first)?;
    if rest.is_empty() {
        return Some(fields.remove(at).1);
    }
    let taken = take(&mut fields[at].1, rest);
    if matches!(&fields[at].1, Value::Object(left) if left.is_empty()) {
        fields.remove(at);
    }
    taken
}

fn rows<'a>(
    key: Option<std::borrow::Cow<'a, str>>,
    value: Value<'a>,
    beside: Object<'a>,
    names: Names,
    columns: usize,
) -> Half<'a> {
    let one = |mut fields: Object<'a>, beside: Object<'a>| {
        fields.extend(beside);
        Half::One(fields)
    };
    match value {
        // A row has so many values: these are one.
        Value::List(items) if columns > 1 && items.len() == columns && !items.iter().any(Value::is_container) => {
            one(names.fields(Value::List(items)), beside)
        }
        Value::List(items) => Half::Many(Batch { key, items: Items::Rows(items), beside }),
        Value::Object(fields) if generic::column_length(&fields).is_some() => {
            Half::Many(Batch { key, items: generic::columns_of(fields), beside })
        }
        other => one(names.fields(other), beside),
    }
}
