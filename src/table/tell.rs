//! A message told to a [`Visitor`], whatever its form. A protobuf one is told as its JSON form would be, which is written only where
//! `_raw` needs it; so both formats give the same rows.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::number::{self, Number};
use super::walk::{self, Visitor};
use crate::record::wire::decode;
use crate::record::wire::listen::{JsonText, Listener};
use crate::source::{ContentType, Message};

/// The key under which `_raw` keeps fields of a protobuf message that this version does not know: their bytes, as base64.
const UNKNOWN_FIELDS: &str = "unknown_fields";

/// Tells `message` to `visitor`, which must have been restarted; false if the message says more than was told.
///
/// # Errors
/// Why the message is no record, of which the visitor has heard a part. `base64: ` begins what is said of bytes that are no text.
pub(super) fn tell<V: Visitor>(message: &Message, visitor: &mut V, scratch: &mut String) -> Result<bool, String> {
    let Some(value) = &message.value else { return Err("tombstone: the message has no value".to_owned()) };
    match message.content_type {
        ContentType::Json => {
            let text = std::str::from_utf8(value)
                .map_err(|error| format!("base64: not UTF-8 at byte {}; _raw holds the bytes", error.valid_up_to()))?;
            walk::walk(text, visitor, scratch).map_err(|broken| format!("not JSON: {broken}"))?;
            Ok(true)
        }
        ContentType::Protobuf => match decode::tell(value, &mut Through(visitor)) {
            Ok(unknown) => Ok(unknown.is_empty()),
            Err(damaged) => Err(format!("base64: not a protobuf record: {damaged}; _raw holds the bytes")),
        },
    }
}

/// All that a message says, as text for `_raw`; `None` of one that could not be told.
pub(super) fn raw(message: &Message) -> Option<Cow<'_, str>> {
    let value = message.value.as_ref()?;
    match message.content_type {
        ContentType::Json => std::str::from_utf8(value).ok().map(Cow::Borrowed),
        ContentType::Protobuf => {
            let mut json = Vec::with_capacity(value.len() * 2);
            let unknown = decode::tell(value, &mut JsonText(&mut json)).ok()?;
            let mut text = String::from_utf8(json).ok()?;
            if !unknown.is_empty() && text.pop().is_some() {
                text.push_str(&format!(r#","{UNKNOWN_FIELDS}":"{}"}}"#, BASE64.encode(unknown.bytes())));
            }
            Some(Cow::Owned(text))
        }
    }
}

/// Integers up to here are doubles.
const EXACT_MAX: u64 = 1 << 53;

/// Passes on to a visitor what it hears of a protobuf message.
struct Through<'v, V>(&'v mut V);

impl<V: Visitor> Through<'_, V> {
    fn int(&mut self, text: &str, value: f64, exact: bool, int: Option<i64>) {
        self.0.number(Number { text, value, exact, int });
    }
}

impl<V: Visitor> Listener for Through<'_, V> {
    #[inline]
    fn key(&mut self, key: &str) {
        // With its quotes, and without escapes only if the key has no backslash.
        let expected = self.0.expected_key();
        let inner = expected.get(1..expected.len().saturating_sub(1)).unwrap_or_default();
        if !expected.is_empty() && inner == key.as_bytes() && !inner.contains(&b'\\') {
            self.0.take_expected();
        } else {
            self.0.key(key);
        }
    }

    fn null(&mut self) {
        self.0.null();
    }

    fn boolean(&mut self, value: bool) {
        self.0.boolean(value);
    }

    fn integer(&mut self, value: i64) {
        let exact = value.unsigned_abs() <= EXACT_MAX || value as f64 as i128 == i128::from(value);
        self.int(itoa::Buffer::new().format(value), value as f64, exact, Some(value));
    }

    fn unsigned(&mut self, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.integer(value),
            Err(_) => {
                let exact = value as f64 as u128 == u128::from(value);
                self.int(itoa::Buffer::new().format(value), value as f64, exact, None);
            }
        }
    }

    #[inline]
    fn double(&mut self, value: f64) {
        if value.is_finite() {
            let mut buffer = zmij::Buffer::new();
            self.0.number(Number { text: buffer.format_finite(value), value, exact: true, int: None });
        } else if value.is_nan() {
            self.0.string("NaN");
        } else {
            self.0.string(if value > 0.0 { "Infinity" } else { "-Infinity" });
        }
    }

    fn number(&mut self, digits: &str) {
        match number::scan(digits, 0) {
            Some((number, end)) if end == digits.len() => self.0.number(number),
            // The decoder has read it as a number.
            _ => self.0.altered(),
        }
    }

    #[inline]
    fn string(&mut self, value: &str) {
        self.0.string(value);
    }

    fn begin_object(&mut self) {
        self.0.begin_object();
    }

    fn end_object(&mut self) {
        self.0.end_object();
    }

    fn begin_list(&mut self) {
        self.0.begin_array();
    }

    fn end_list(&mut self) {
        self.0.end_array();
    }
}
