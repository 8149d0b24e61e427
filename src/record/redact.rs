//! The one choke point between what was seen and what is kept. In: [`Predictions`], complete. Out: the same, without
//! what the route's rules forbid. Everything that is encoded has passed here.
//!
//! Fails closed: on a route with rules no body is ever stored, and of a side that was not parsed whole, and of every
//! error answer with its text, only the length and an HMAC-SHA256 stay. A body in which names may be values, so that no rule
//! could find them, is not parsed to begin with: [`withhold`]. A side of which a rule's name is in the body and in no row is
//! withheld too: [`withhold_taken`]. So is an upload that is only described ([`withhold_unread`]) and a table whose names may be values
//! ([`withhold_headed`]).
//!
//! A rule's path starts at a row. A batch that could not be split is one row whose lists hold the rows, so a path is also
//! followed from each element of a list at the top (and of columns at the top), and from everywhere in a row where it leads
//! to nothing at its place: rather one value too many is changed. What a rule does to what it finds is [`change::Change`].

mod change;
mod columns;
mod copies;
mod hidden;
mod mask;
mod paths;
mod rule_names;
mod taken;
mod texts;

use std::borrow::Cow;

use change::hmac;
use columns::Given;
use hidden::{Hides, Unnamed};
pub use taken::Named;

use super::assemble::DUPLICATE_KEYS;
use super::body::Copies;
use super::call::Call;
use super::prediction::{Envelope, Prediction, Predictions};
use crate::config::{Bodies, RedactAction, RedactRule, Side, VersionFrom};
use crate::gateway::exchange::Origin;
use crate::protocol::media::{Form, TEXT};
use crate::protocol::names::{Names, ROWS};
use crate::protocol::{self, Applied, Columns, NamesIn, Object, ParseStatus, Problem, Reading, Value};
use crate::protocol::{anthropic, generic, ollama, openai};

/// Why a side is withheld of which a rule could not be followed.
const NO_COLUMN: &str = "a rule's name is no column; `weir map` shows the columns";

/// What redaction must know beyond the record itself.
pub struct Facts<'r> {
    /// The rules as [`settle`] found them.
    pub rules: Cow<'r, [RedactRule]>,
    /// Whether the request, and the answer, were parsed to their ends.
    pub whole: [bool; 2],
    /// The keys under which the client's id stood in the request's body, if it did.
    pub client_id_keys: Option<&'static [&'static str]>,
}

/// Takes a side from every parser, before any has seen it, if rules by name could not find their fields in it. If they could,
/// were its values named, the reason is returned: [`settle`] decides.
pub fn withhold(body: &mut protocol::Side<'_>, rules: &[RedactRule], side: Side) -> Option<&'static str> {
    if rules.is_empty() {
        return None;
    }
    let Ok(value) = &body.value else { return None };
    let hides = hidden::hides_names(value, rules, side);
    // A plain text has no names, and so no field of a rule but all of it.
    let is_text = body.form == Form::Text && side == Side::Inputs;
    let is_for_all = |rule: &RedactRule| rule.side == side && rule.keys[0] == TEXT;
    let text = value.get(&[TEXT]).filter(|_| is_text && !rules.iter().any(is_for_all));
    match hides.or_else(|| hidden::hides_names(text?, rules, side))? {
        Hides::Positions(why) => Some(why),
        Hides::Always(why) => {
            let problem = Problem::new(ParseStatus::Unsupported, format!("redaction could miss a field here: {why}"));
            // The names of keys may be those of a table's rows.
            body.duplicate_keys.clear();
            body.bytes = Err(problem.clone());
            body.value = Err(problem);
            None
        }
    }
}

/// What is known of one side when its rows are read and have got their names.
#[derive(Default)]
pub struct Sight<'a> {
    /// Why the body would be withheld if its values had no names.
    pub at_positions: Option<&'static str>,
    /// The names that were given to its values, and what became of them.
    pub given: Option<(Columns<'a>, Applied)>,
    /// The key of the list of rows, where the route names it.
    pub list: Option<&'a str>,
}

/// Withholds the sides in whose rows rules by name could not find their fields, and returns all that the rules mean where values
/// at positions have got names. A name that was given lets a value be kept only if every value on that side has its name, and
/// every rule is one for a name that is there.
pub fn settle<'r>(
    reading: &mut Reading<'_>,
    rules: &'r [RedactRule],
    names: NamesIn,
    sights: &[Sight<'_>; 2],
) -> Cow<'r, [RedactRule]> {
    let mut settled = Cow::Borrowed(rules);
    for side in [Side::Inputs, Side::Outputs] {
        if !rules.iter().any(|rule| rule.side == side) {
            continue;
        }
        let Sight { at_positions, given, list } = &sights[side as usize];
        let (mut why, mut found) = (*at_positions, Cow::Borrowed(rules));
        let tensor = reading.tensors[side as usize].clone();
        let mut unnamed = Some(Unnamed { list: *list, tensor: &tensor });
        if let Some((columns, applied)) = given {
            let given = Given { side, names: columns.names, tensor: &tensor };
            let meant = given.meant(rules);
            settled.to_mut().extend(meant.iter().cloned());
            if (applied.renamed || applied.listed) && !given.resolves(rules, reading) {
                why = why.or(Some(NO_COLUMN));
            } else if applied.is_whole() {
                (why, unnamed) = (None, None);
                found.to_mut().extend(meant);
            }
        }
        if why.is_none() && names == NamesIn::Rows {
            why = hides_in_rows(reading, &found, side, unnamed.as_ref());
        }
        if let Some(why) = why {
            withhold_side(reading, side, why);
        }
    }
    settled
}

/// As [`withhold`], for names that only become keys in the rows.
fn hides_in_rows(
    reading: &mut Reading<'_>,
    rules: &[RedactRule],
    side: Side,
    unnamed: Option<&Unnamed<'_>>,
) -> Option<&'static str> {
    reading.rows.iter_mut().find_map(|row| {
        let fields = match side {
            Side::Inputs => &mut row.inputs,
            Side::Outputs => &mut row.outputs,
        };
        let value = Value::Object(std::mem::take(fields));
        let why = hidden::hides_names_in_row(&value, rules, side, unnamed);
        if let Value::Object(taken) = value {
            *fields = taken;
        }
        why
    })
}

/// As [`withhold`], for rules whose name the protocol took apart: `named` is what the bodies held.
pub fn withhold_taken(reading: &mut Reading<'_>, named: &Named<'_>) {
    for (gone, side) in named.gone(reading).into_iter().zip([Side::Inputs, Side::Outputs]) {
        if gone {
            withhold_side(reading, side, NO_COLUMN);
        }
    }
}

/// Takes a side out of every row.
fn withhold_side(reading: &mut Reading<'_>, side: Side, why: &str) {
    if side == Side::Inputs {
        reading.client_id = None;
    }
    for row in &mut reading.rows {
        match side {
            Side::Inputs => row.inputs.clear(),
            Side::Outputs => row.outputs.clear(),
        }
    }
    let (at, name) = match side {
        Side::Inputs => (0, "request"),
        Side::Outputs => (1, "response"),
    };
    reading.whole[at] = false;
    let what = format!("{name}: redaction could miss a field here: {why}");
    reading.problem = Some(match reading.problem.take() {
        // Rows that are not kept need not count the same.
        Some(known) if known.status != ParseStatus::RowMismatch => {
            Problem { status: known.status.min(ParseStatus::Unsupported), what: format!("{}; {what}", known.what) }
        }
        _ => Problem::new(ParseStatus::Unsupported, what),
    });
}

/// Withholds the sides that were not read as any value, whatever a protocol says of them: of an upload its unkeyed hash. `unread`: which.
pub fn withhold_unread(reading: &mut Reading<'_>, rules: &[RedactRule], unread: [bool; 2]) {
    for (unread, side) in unread.into_iter().zip([Side::Inputs, Side::Outputs]) {
        if unread && reading.whole[side as usize] && !rules.is_empty() {
            withhold_side(reading, side, "a form that weir does not read");
        }
    }
}

/// Withholds the sides of tables whose first row was taken for names, where rules are for positions: it may be a row like the others.
pub fn withhold_headed(reading: &mut Reading<'_>, rules: &[RedactRule], is_table: [bool; 2]) {
    for (is_table, side) in is_table.into_iter().zip([Side::Inputs, Side::Outputs]) {
        let names = Names::of(side);
        let by_position = |rule: &RedactRule| rule.side == side && names.is_unnamed(&rule.keys[0]);
        let is_headed = |fields: &Object<'_>| match fields.as_slice() {
            [(key, Value::List(rows))] if key == ROWS => rows.iter().any(Value::is_object),
            fields => fields.iter().any(|(key, _)| key != names.list() && names.given(key).is_none()),
        };
        let mut rows = reading.rows.iter().map(|row| if side == Side::Inputs { &row.inputs } else { &row.outputs });
        if is_table && rules.iter().any(by_position) && rows.any(is_headed) {
            withhold_side(reading, side, "a rule for a position, in a table with names");
        }
    }
}

/// Forgets the model and its version where they are copies of what a rule is for.
pub fn forget_model(reading: &mut Reading<'_>, rules: &[RedactRule]) {
    let language = [openai::NAME, anthropic::NAME, ollama::NAME].contains(&reading.protocol);
    if language && covers(rules, Side::Inputs, &["model"]) {
        reading.model = None;
    }
    let places: [&[&str]; 3] = [&["model"], &["model_version"], &["meta", "requestPath"]];
    if places.iter().any(|keys| covers(rules, Side::Outputs, keys)) {
        reading.version = None;
    }
}

/// Applies the route's rules to all that would be kept. `key` makes the HMACs.
pub fn redact(predictions: &mut Predictions<'_>, call: &Call, copies: &Copies, facts: &Facts<'_>, key: &[u8]) {
    let rules = facts.rules.as_ref();
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
            // Pieces of a stream that nobody put together: each is short enough, and looks like nothing.
            let in_pieces = predictions.envelope.streamed
                && row.outputs.iter().any(|(key, value)| (key == generic::EVENTS || key == ROWS) && value.is_list());
            let rules = if in_pieces { Cow::Owned(without_texts(rules)) } else { Cow::Borrowed(rules) };
            apply(&rules, Side::Outputs, &mut row.outputs);
        } else {
            row.outputs.clear();
        }
    }
    let envelope = &mut predictions.envelope;
    retype(rules, &mut envelope.types);
    if facts
        .client_id_keys
        .is_some_and(|keys| [Side::Inputs, Side::Outputs].into_iter().any(|side| covers(rules, side, keys)))
    {
        envelope.client_request_id = None;
    }
    let in_path = |version: &str| call.path.split('/').any(|segment| segment == version);
    let is_said = match &call.route.version {
        Some(VersionFrom::Response(keys)) => covers(rules, Side::Outputs, keys) || !response_open,
        Some(VersionFrom::Fixed(_) | VersionFrom::Header(_)) => false,
        None => !response_open,
    };
    if is_said && !envelope.model_version.as_deref().is_some_and(in_path) {
        envelope.model_version = None;
    }
    keep_known_names(rules, envelope, &predictions.rows);
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

/// Of the keys that occur twice, keeps those that stand in a row or in a rule: others are part of what is not kept.
fn keep_known_names(rules: &[RedactRule], envelope: &mut Envelope<'_>, rows: &[Prediction<'_>]) {
    let Some(at) = envelope.metadata.iter().position(|(name, _)| name == DUPLICATE_KEYS) else { return };
    let is_known = |name: &&str| {
        rules.iter().any(|rule| rule.keys.iter().any(|key| key == name))
            || rows.iter().any(|row| [&row.inputs, &row.outputs].iter().any(|fields| columns::has_key(fields, &[name])))
    };
    let known: Vec<&str> = envelope.metadata[at].1.split(',').filter(is_known).collect();
    match known.join(",") {
        known if known.is_empty() => {
            envelope.metadata.remove(at);
        }
        known => envelope.metadata[at].1 = known,
    }
}

/// The rules, with those that leave a part of a text leaving nothing.
fn without_texts(rules: &[RedactRule]) -> Vec<RedactRule> {
    let action = |rule: &RedactRule| match &rule.action {
        RedactAction::Mask(_) | RedactAction::Truncate(_) => RedactAction::Drop,
        action => action.clone(),
    };
    rules.iter().map(|rule| RedactRule { action: action(rule), ..rule.clone() }).collect()
}

/// Applies rules to the truth of a feedback, which stands where an output would: an object's fields are a row's, a list's items have
/// positions, a scalar is the lone prediction. A rule without keys is for all of it. `columns`: the route names its outputs' positions.
///
/// # Errors
/// A rule could miss a field: what the truth looks like.
pub fn truth(truth: &mut Value<'_>, rules: &[RedactRule], columns: bool) -> Result<(), &'static str> {
    let (whole, named): (Vec<&RedactRule>, Vec<&RedactRule>) = rules.iter().partition(|rule| rule.keys.is_empty());
    // What goes as a whole need not be looked into.
    let goes = whole.iter().any(|rule| matches!(rule.action, RedactAction::Drop | RedactAction::Hash(_)));
    let names = Names::of(Side::Outputs);
    if !named.is_empty() && !goes {
        if let Some(Hides::Always(why) | Hides::Positions(why)) = hidden::hides_names(truth, rules, Side::Outputs) {
            return Err(why);
        }
        let unnamed = if columns { !truth.is_object() } else { holds_text_without_name(truth) };
        // The field of one rule by name could stand at any position; a scalar has only one.
        let finds = |rule: &&RedactRule| match truth {
            Value::List(_) => names.is_unnamed(&rule.keys[0]),
            _ => rule.keys[0] == names.scalar(),
        };
        let all_found = if truth.is_list() { named.iter().all(finds) } else { named.iter().any(finds) };
        if unnamed && (columns || !all_found) {
            return Err("a value without a name, and rules only for names");
        }
    }
    for rule in named {
        let mut change = change::Change::new(&rule.action);
        match &mut *truth {
            Value::Object(fields) => paths::in_row(&rule.keys, names, fields, &mut change),
            other => paths::in_truth(&rule.keys, names, other, &mut change),
        }
    }
    for rule in whole {
        change::Change::new(&rule.action).value(truth);
    }
    Ok(())
}

/// Whether a truth is a text, or a list with one.
fn holds_text_without_name(truth: &Value<'_>) -> bool {
    match truth {
        Value::Text(_) => true,
        Value::List(items) => items.iter().any(holds_text_without_name),
        _ => false,
    }
}

/// Whether a value at `keys` is one that a rule finds: by its whole path, by the path of something that contains it, or, as a
/// path that leads to nothing at its place is followed from everywhere, by a part of it. What is made of such a value is left
/// out, whatever the rule does: rather one value too many.
fn covers(rules: &[RedactRule], side: Side, keys: &[impl AsRef<str>]) -> bool {
    rules.iter().filter(|rule| rule.side == side).any(|rule| {
        let path = rule.keys.iter();
        keys.windows(rule.keys.len()).any(|part| path.clone().eq(part.iter().map(AsRef::as_ref)))
    })
}

/// Takes the declared types of columns whose values a rule made texts.
fn retype(rules: &[RedactRule], types: &mut Vec<(Cow<'_, str>, &'static str)>) {
    let becomes_text = |column: &str| {
        rules.iter().any(|rule| {
            let (side, names) = match rule.side {
                Side::Inputs => ("inputs.", Names::Inputs),
                Side::Outputs => ("outputs.", Names::Outputs),
            };
            let Some(name) = column.strip_prefix(side) else { return false };
            let is_item = || rule.keys[0] == names.list() && names.is_position(name);
            rule.action != RedactAction::Drop && (rule.keys[0] == name || rule.keys.join(".") == name || is_item())
        })
    };
    types.retain(|(column, _)| !becomes_text(column));
}

/// Applies the rules of one side to one row.
fn apply(rules: &[RedactRule], side: Side, fields: &mut Object<'_>) {
    for rule in rules.iter().filter(|rule| rule.side == side) {
        copies::apply(rule, fields, |fields, change| {
            paths::in_row(&rule.keys, Names::of(side), fields, change);
            // What a chat's message calls as its answer calls something else.
            let renamed = format!("message_{}", rule.keys[0]);
            if side == Side::Outputs && fields.iter().any(|(key, _)| *key == renamed) {
                let keys: Vec<String> = std::iter::once(renamed).chain(rule.keys[1..].iter().cloned()).collect();
                paths::in_row(&keys, Names::of(side), fields, change);
            }
        });
    }
}
