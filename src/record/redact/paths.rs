//! Where a rule's path leads in a row. In: the path's keys, a row, and the [`Change`] for whatever is found. Every occurrence is
//! changed: keys that occur twice, each element of lists on the way, texts of JSON.

use super::change::Change;
use crate::protocol::generic;
use crate::protocol::names::Names;
use crate::protocol::{Object, Value};

/// Follows a path in a row. If it leads to nothing there, the row may stand within something else (`{"customer": {..}}`): then
/// the path is followed from everywhere in it.
pub fn in_row(keys: &[String], names: Names, fields: &mut Object<'_>, change: &mut Change<'_>) {
    let mut found = at(keys, fields, change);
    // `x` is a list too long for columns; of a shorter one its columns are meant.
    if let [name] = keys
        && name == names.list()
    {
        found |= change.fields(fields, |key| names.is_position(key));
    }
    for (key, value) in &mut *fields {
        if key == names.list() {
            found |= in_item(keys, names, value, change);
        }
        found |= match value {
            Value::List(items) => in_items(keys, names, items, change),
            // Columns, or what stands in their place in a call that does not fit.
            Value::Object(columns) if generic::holds_batches(key) => at(keys, columns, change),
            _ => false,
        };
    }
    if !found {
        fields.iter_mut().for_each(|(_, value)| anywhere(keys, names, value, change));
    }
}

/// Follows a path in a truth that is no object: one without names, or a list of such.
pub fn in_truth(keys: &[String], names: Names, truth: &mut Value<'_>, change: &mut Change<'_>) {
    let mut found = in_item(keys, names, truth, change);
    if let Value::List(items) = truth {
        found |= in_items(keys, names, items, change);
    }
    if !found {
        anywhere(keys, names, truth, change);
    }
}

/// Follows a path in each item of what may be a batch: then each is a row, and where the path leads to nothing in one, it is
/// followed from everywhere in that one.
fn in_items(keys: &[String], names: Names, items: &mut [Value<'_>], change: &mut Change<'_>) -> bool {
    let found: Vec<bool> = items.iter_mut().map(|item| in_item(keys, names, item, change)).collect();
    let is_batch = found.contains(&true);
    if is_batch {
        for (item, _) in items.iter_mut().zip(found).filter(|(_, found)| !found) {
            anywhere(keys, names, item, change);
        }
    }
    is_batch
}

/// Follows a path from every object and list in a value.
fn anywhere(keys: &[String], names: Names, value: &mut Value<'_>, change: &mut Change<'_>) {
    match value {
        Value::Object(fields) => {
            at(keys, fields, change);
            fields.iter_mut().for_each(|(_, value)| anywhere(keys, names, value, change));
        }
        Value::List(items) => {
            items.iter_mut().for_each(|item| anywhere(keys, names, item, change));
            in_item(keys, names, value, change);
        }
        Value::Json(value) => anywhere(keys, names, value, change),
        _ => {}
    }
}

/// Follows every occurrence of a path in an object. True if there was one.
fn at(keys: &[String], fields: &mut Object<'_>, change: &mut Change<'_>) -> bool {
    let mut found = false;
    // A key may itself contain dots: `a.b.c` also means `"a.b"."c"`.
    for taken in 1..=keys.len() {
        let (head, rest) = keys.split_at(taken);
        let joined;
        let name = if let [one] = head {
            one.as_str()
        } else {
            joined = head.join(".");
            joined.as_str()
        };
        if rest.is_empty() {
            found |= change.fields(fields, |key| key == name);
        } else {
            for (_, value) in fields.iter_mut().filter(|(key, _)| key == name) {
                found |= in_value(rest, value, change);
            }
        }
    }
    found
}

/// Follows a path in a value, through every list on the way.
fn in_value(keys: &[String], value: &mut Value<'_>, change: &mut Change<'_>) -> bool {
    match value {
        Value::Object(fields) => at(keys, fields, change),
        Value::List(items) => any(items, |item| in_value(keys, item, change)),
        Value::Json(value) => in_value(keys, value, change),
        _ => false,
    }
}

/// Follows a path in a row that has not been given its names.
fn in_item(keys: &[String], names: Names, item: &mut Value<'_>, change: &mut Change<'_>) -> bool {
    let [name, rest @ ..] = keys else { return false };
    match item {
        Value::Object(fields) => at(keys, fields, change),
        Value::List(items) if name == names.list() => any(items, |item| at_position(rest, item, change)),
        Value::List(items) => {
            let position = names.position(name).and_then(|position| items.get_mut(position));
            position.is_some_and(|item| at_position(rest, item, change))
        }
        scalar if name == names.scalar() && rest.is_empty() => {
            change.value(scalar);
            true
        }
        _ => false,
    }
}

/// Changes what stands at a position, or follows the rest of a path from there.
fn at_position(rest: &[String], value: &mut Value<'_>, change: &mut Change<'_>) -> bool {
    if rest.is_empty() {
        change.value(value);
        return true;
    }
    in_value(rest, value, change)
}

/// Whether `follow` found something in any of the items; all are looked at.
fn any<'a>(items: &mut [Value<'a>], mut follow: impl FnMut(&mut Value<'a>) -> bool) -> bool {
    items.iter_mut().fold(false, |found, item| follow(item) | found)
}
