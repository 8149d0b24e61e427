//! What one rule does to a value that its path led to. In: the action and the value. Out: the value, changed.
//!
//! `drop` takes a field out, and leaves null where others must keep their position. The other actions leave a text, whatever stood
//! there, so that a column keeps one type; null stays null. A list or an object is hashed as its JSON, so that nothing of it
//! stays; `truncate` and `mask` change each value in it.

use std::borrow::Cow;
use std::collections::HashSet;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::mask::mask;
use crate::config::{MaskKind, RedactAction};
use crate::protocol::{Object, Value};
use crate::record::wire::json;

/// A rule's action on one row.
pub struct Change<'r> {
    action: &'r RedactAction,
    /// Hashes that stand in the row already: a path may lead to a place twice, and a hash of a hash is another.
    hashes: HashSet<String>,
}

impl<'r> Change<'r> {
    pub fn new(action: &'r RedactAction) -> Change<'r> {
        Change { action, hashes: HashSet::new() }
    }

    /// Changes every field whose key is named. True if there was one.
    pub fn fields(&mut self, fields: &mut Object<'_>, named: impl Fn(&str) -> bool) -> bool {
        if *self.action == RedactAction::Drop {
            let before = fields.len();
            fields.retain(|(key, _)| !named(key));
            return fields.len() < before;
        }
        let mut found = false;
        for (_, value) in fields.iter_mut().filter(|(key, _)| named(key)) {
            self.value(value);
            found = true;
        }
        found
    }

    /// Changes what stands at a position.
    pub fn value(&mut self, value: &mut Value<'_>) {
        match self.action {
            RedactAction::Drop => *value = Value::Null,
            RedactAction::Hash(key) => self.hash(key.expose().as_bytes(), value),
            RedactAction::Truncate(chars) => truncate(*chars, value),
            RedactAction::Mask(kinds) => mask_in(kinds, value),
        }
    }

    /// Equal values become equal hashes, whether they came as a number or as its digits.
    fn hash(&mut self, key: &[u8], value: &mut Value<'_>) {
        let hash = match &*value {
            Value::Null => return,
            Value::Text(text) if self.hashes.contains(text.as_ref()) => return,
            Value::Text(text) => hmac(key, text.as_bytes()),
            other => hmac(key, &written(other)),
        };
        self.hashes.insert(hash.clone());
        *value = Value::Text(Cow::Owned(hash));
    }
}

/// HMAC-SHA256 in lower-case hex.
pub fn hmac(key: &[u8], bytes: &[u8]) -> String {
    use std::fmt::Write;

    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(bytes);
    mac.finalize().into_bytes().iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes all");
        hex
    })
}

/// A value as its JSON.
fn written(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.weight());
    json::value(&mut out, value.plain());
    out
}

/// The text of a scalar; `None` for null and for what holds others.
fn text_of(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Null | Value::List(_) | Value::Packed(_) | Value::Object(_) | Value::Json(_) => None,
        Value::Text(text) => Some(text.clone().into_owned()),
        // NaN and the infinities are written between quotes.
        scalar => Some(String::from_utf8_lossy(&written(scalar)).trim_matches('"').to_owned()),
    }
}

fn truncate(chars: usize, value: &mut Value<'_>) {
    each(value, &mut |text| match text.char_indices().nth(chars) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    });
}

fn mask_in(kinds: &[MaskKind], value: &mut Value<'_>) {
    // Keys can be such texts too. They are no field that could be kept, so what holds them becomes one text.
    if value.plain().is_container() && names_one(kinds, value) {
        *value = Value::Text(Cow::Owned(String::from_utf8_lossy(&written(value)).into_owned()));
    }
    each(value, &mut |text| mask(&text, kinds));
}

/// Whether a key anywhere in the value would be masked.
fn names_one(kinds: &[MaskKind], value: &Value<'_>) -> bool {
    match value {
        Value::Object(fields) => {
            fields.iter().any(|(key, value)| mask(key, kinds) != key.as_ref() || names_one(kinds, value))
        }
        Value::List(items) => items.iter().any(|item| names_one(kinds, item)),
        Value::Json(value) => names_one(kinds, value),
        _ => false,
    }
}

/// Makes each scalar in a value the text that `change` makes of its text.
fn each(value: &mut Value<'_>, change: &mut impl FnMut(String) -> String) {
    match value {
        Value::List(items) => items.iter_mut().for_each(|item| each(item, change)),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, value)| each(value, change)),
        Value::Json(value) => each(value, change),
        scalar => {
            if let Some(text) = text_of(scalar) {
                *scalar = Value::Text(Cow::Owned(change(text)));
            }
        }
    }
}
