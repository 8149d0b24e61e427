//! The one choke point between what was seen and what is kept. In: [`Predictions`], complete. Out: the same, without
//! what the route's rules forbid. Everything that is encoded has passed here.
//!
//! Fails closed: on a route with rules no body is ever stored, and of a side that was not parsed whole, and of every
//! error answer with its text, only the length and an HMAC-SHA256 stay. A body in which names may be values, so that no rule
//! could find them, is not parsed to begin with: [`withhold`].
//!
//! A rule's path starts at a row. A batch that could not be split is one row whose lists hold the rows, so a path is also
//! followed from each element of a list at the top (and of columns at the top), and from everywhere in a row where it leads
//! to nothing at its place: rather one value too many is dropped.

mod hidden;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::body::Copies;
use super::call::Call;
use super::prediction::Predictions;
use crate::config::{Bodies, RedactAction, RedactRule, Side, VersionFrom};
use crate::gateway::exchange::Origin;
use crate::protocol::generic;
use crate::protocol::names::Names;
use crate::protocol::{self, Object, ParseStatus, Problem, Reading, Value};

/// What redaction must know beyond the record itself.
pub struct Facts {
    /// Whether the request, and the answer, were parsed to their ends.
    pub whole: [bool; 2],
    /// The keys under which the client's id stood in the request's body, if it did.
    pub client_id_keys: Option<&'static [&'static str]>,
}

/// Takes a side from every parser, before any has seen it, if rules by name could not find their fields in it.
pub fn withhold(body: &mut protocol::Side<'_>, rules: &[RedactRule], side: Side) {
    if rules.is_empty() {
        return;
    }
    let Ok(value) = &body.value else { return };
    if let Some(why) = hidden::hides_names(value, rules, side) {
        let problem = Problem::new(ParseStatus::Unsupported, format!("redaction could miss a field here: {why}"));
        // The names of keys may be those of a table's rows.
        body.duplicate_keys.clear();
        body.bytes = Err(problem.clone());
        body.value = Err(problem);
    }
}

/// As [`withhold`], for a protocol whose names only become keys in its rows: looks at those. A side that could hide a field
/// is taken out of every row.
pub fn withhold_rows(reading: &mut Reading<'_>, rules: &[RedactRule]) {
    if rules.is_empty() {
        return;
    }
    for (at, side) in [Side::Inputs, Side::Outputs].into_iter().enumerate() {
        let why = reading.rows.iter_mut().find_map(|row| {
            let fields = match side {
                Side::Inputs => &mut row.inputs,
                Side::Outputs => &mut row.outputs,
            };
            let value = Value::Object(std::mem::take(fields));
            let why = hidden::hides_names_in_row(&value, rules, side);
            if let Value::Object(taken) = value {
                *fields = taken;
            }
            why
        });
        let Some(why) = why else { continue };
        for row in &mut reading.rows {
            match side {
                Side::Inputs => row.inputs.clear(),
                Side::Outputs => row.outputs.clear(),
            }
        }
        reading.whole[at] = false;
        let side = ["request", "response"][at];
        let what = format!("{side}: redaction could miss a field here: {why}");
        reading.problem = Some(match reading.problem.take() {
            // Rows that are not kept need not count the same.
            Some(known) if known.status != ParseStatus::RowMismatch => {
                Problem { status: known.status.min(ParseStatus::Unsupported), what: format!("{}; {what}", known.what) }
            }
            _ => Problem::new(ParseStatus::Unsupported, what),
        });
    }
}

/// Applies the route's rules to all that would be kept. `key` makes the HMACs.
pub fn redact(predictions: &mut Predictions<'_>, call: &Call, copies: &Copies, facts: &Facts, key: &[u8]) {
    let rules = &call.route.redact;
    if rules.is_empty() {
        return;
    }
    let [request_whole, response_whole] = facts.whole;
    let response_open = response_whole && call.answered();
    for row in &mut predictions.rows {
        row.bodies = None;
        if request_whole {
            apply(rules, Side::Inputs, &mut row.inputs);
        } else {
            row.inputs.clear();
        }
        if response_open {
            apply(rules, Side::Outputs, &mut row.outputs);
        } else {
            row.outputs.clear();
        }
    }
    let envelope = &mut predictions.envelope;
    if facts.client_id_keys.is_some_and(|keys| covers(rules, Side::Inputs, keys)) {
        envelope.client_request_id = None;
    }
    if let Some(VersionFrom::Response(keys)) = &call.route.version
        && (covers(rules, Side::Outputs, keys) || !response_open)
    {
        envelope.model_version = None;
    }
    // The gateway's own sentences quote no body; a model's error text does.
    if call.origin == Origin::Model && call.error.is_none() {
        envelope.error = None;
    }
    let always = call.route.capture.bodies == Bodies::Always;
    for (open, name, copy) in
        [(request_whole, "request_hmac", &copies.request), (response_open, "response_hmac", &copies.response)]
    {
        if (!open || always) && !copy.passed.is_empty() {
            envelope.metadata.retain(|(known, _)| known != name);
            envelope.metadata.push((name.to_owned(), hmac(key, &copy.passed)));
        }
    }
}

/// HMAC-SHA256 in lower-case hex.
fn hmac(key: &[u8], bytes: &[u8]) -> String {
    use std::fmt::Write;

    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(bytes);
    mac.finalize().into_bytes().iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all");
        hex
    })
}

/// Whether a value at `keys` is dropped by a rule on it or on something that contains it.
fn covers(rules: &[RedactRule], side: Side, keys: &[impl AsRef<str>]) -> bool {
    rules.iter().any(|rule| {
        rule.side == side
            && rule.keys.len() <= keys.len()
            && rule.keys.iter().zip(keys).all(|(rule, key)| rule == key.as_ref())
    })
}

/// Applies the rules of one side to one row.
fn apply(rules: &[RedactRule], side: Side, fields: &mut Object<'_>) {
    let names = match side {
        Side::Inputs => Names::Inputs,
        Side::Outputs => Names::Outputs,
    };
    for rule in rules.iter().filter(|rule| rule.side == side) {
        match rule.action {
            RedactAction::Drop => drop_in_row(&rule.keys, names, fields),
        }
    }
}

/// Drops a path in a row. If it leads to nothing there, the row may stand within something else (`{"customer": {..}}`): then
/// the path is followed from everywhere in it.
fn drop_in_row(keys: &[String], names: Names, fields: &mut Object<'_>) {
    let mut dropped = drop_at(keys, fields);
    // `x` is a list too long for columns; of a shorter one its columns are meant.
    if let [name] = keys
        && name == names.list()
    {
        dropped |= retain(fields, |key| !names.is_position(key));
    }
    for (key, value) in &mut *fields {
        if key == names.list() {
            dropped |= drop_in_item(keys, names, value);
        }
        dropped |= match value {
            Value::List(items) => any(items, |item| drop_in_item(keys, names, item)),
            // Columns, or what stands in their place in a call that does not fit.
            Value::Object(columns) if generic::holds_batches(key) => drop_at(keys, columns),
            _ => false,
        };
    }
    if !dropped {
        fields.iter_mut().for_each(|(_, value)| drop_anywhere(keys, names, value));
    }
}

/// Drops a path from every object and list in a value.
fn drop_anywhere(keys: &[String], names: Names, value: &mut Value<'_>) {
    match value {
        Value::Object(fields) => {
            drop_at(keys, fields);
            fields.iter_mut().for_each(|(_, value)| drop_anywhere(keys, names, value));
        }
        Value::List(items) => {
            items.iter_mut().for_each(|item| drop_anywhere(keys, names, item));
            drop_in_item(keys, names, value);
        }
        Value::Json(value) => drop_anywhere(keys, names, value),
        _ => {}
    }
}

/// Drops every occurrence of a path in an object. True if there was one.
fn drop_at(keys: &[String], fields: &mut Object<'_>) -> bool {
    let mut dropped = false;
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
            dropped |= retain(fields, |key| key != name);
        } else {
            for (_, value) in fields.iter_mut().filter(|(key, _)| key == name) {
                dropped |= drop_in(rest, value);
            }
        }
    }
    dropped
}

/// Drops a path in a value, through every list on the way.
fn drop_in(keys: &[String], value: &mut Value<'_>) -> bool {
    match value {
        Value::Object(fields) => drop_at(keys, fields),
        Value::List(items) => any(items, |item| drop_in(keys, item)),
        Value::Json(value) => drop_in(keys, value),
        _ => false,
    }
}

/// Drops a path in a row that has not been given its names.
fn drop_in_item(keys: &[String], names: Names, item: &mut Value<'_>) -> bool {
    let [name, rest @ ..] = keys else { return false };
    match item {
        Value::Object(fields) => drop_at(keys, fields),
        Value::List(items) if name == names.list() => any(items, |item| drop_positional(rest, item)),
        Value::List(items) => {
            let position = names.position(name).and_then(|position| items.get_mut(position));
            position.is_some_and(|item| drop_positional(rest, item))
        }
        scalar if name == names.scalar() && rest.is_empty() => {
            *scalar = Value::Null;
            true
        }
        _ => false,
    }
}

/// Drops what stands at a position: others must keep theirs, so `null` takes its place.
fn drop_positional(rest: &[String], value: &mut Value<'_>) -> bool {
    if rest.is_empty() {
        *value = Value::Null;
        return true;
    }
    drop_in(rest, value)
}

/// Keeps the fields whose keys pass. True if one did not.
fn retain(fields: &mut Object<'_>, passes: impl Fn(&str) -> bool) -> bool {
    let before = fields.len();
    fields.retain(|(key, _)| passes(key));
    fields.len() < before
}

/// Whether `drop` dropped something in any of the items; all are looked at.
fn any<'a>(items: &mut [Value<'a>], mut drop: impl FnMut(&mut Value<'a>) -> bool) -> bool {
    items.iter_mut().fold(false, |dropped, item| drop(item) | dropped)
}
