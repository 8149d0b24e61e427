//! The form as JSON: strict, what every reader takes. NaN and the infinities become the strings that name them.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

use super::{Entries, Field, Form};
use crate::protocol::packed::{Element, Packed};
use crate::protocol::{Object, Value};

static TIME: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
static TIME_IN_FULL: DateTimePrinter = DateTimePrinter::new();

pub struct Json;

impl Form for Json {
    fn open(&self, out: &mut Vec<u8>) {
        out.push(b'{');
    }

    fn close(&self, out: &mut Vec<u8>) {
        out.push(b'}');
    }

    fn null(&self, out: &mut Vec<u8>, field: Field) {
        key(out, field);
        out.extend_from_slice(b"null");
    }

    fn text(&self, out: &mut Vec<u8>, field: Field, text: &str) {
        key(out, field);
        self::text(out, text);
    }

    fn integer(&self, out: &mut Vec<u8>, field: Field, integer: u64) {
        key(out, field);
        self::integer(out, integer);
    }

    fn milliseconds(&self, out: &mut Vec<u8>, field: Field, microseconds: u64) {
        key(out, field);
        self::milliseconds(out, microseconds);
    }

    fn double(&self, out: &mut Vec<u8>, field: Field, double: f64) {
        key(out, field);
        self::double(out, double);
    }

    fn flag(&self, out: &mut Vec<u8>, field: Field, flag: bool) {
        key(out, field);
        out.extend_from_slice(if flag { b"true" } else { b"false" });
    }

    fn time(&self, out: &mut Vec<u8>, field: Field, time: Timestamp) {
        key(out, field);
        text(out, &self::time(time));
    }

    fn map(&self, out: &mut Vec<u8>, field: Field, entries: Entries<'_, '_>) {
        let mut first = true;
        for (entry, value) in entries {
            if first {
                key(out, field);
            }
            out.push(if first { b'{' } else { b',' });
            first = false;
            text(out, entry);
            out.push(b':');
            text(out, value);
        }
        if !first {
            out.push(b'}');
        }
    }

    fn object(&self, out: &mut Vec<u8>, field: Field, object: &Object<'_>) {
        key(out, field);
        self::object(out, object);
    }

    fn value(&self, out: &mut Vec<u8>, field: Field, value: &Value<'_>) {
        key(out, field);
        self::value(out, value);
    }

    fn entry(&self, out: &mut Vec<u8>, key: &str, value: &Value<'_>) {
        out.push(b',');
        text(out, key);
        out.push(b':');
        self::value(out, value);
    }

    fn empty_bytes(&self) -> usize {
        2
    }

    fn char_bytes(&self, c: char) -> usize {
        match c {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            '\0'..='\u{1f}' => 6,
            other => other.len_utf8(),
        }
    }
}

fn key(out: &mut Vec<u8>, field: Field) {
    if field != Field::Id {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(field.name().as_bytes());
    out.extend_from_slice(b"\":");
}

/// RFC 3339 with microseconds; finer only where there is more to say.
pub fn time(time: Timestamp) -> String {
    let whole = time.subsec_nanosecond() % 1_000 == 0;
    (if whole { &TIME } else { &TIME_IN_FULL }).timestamp_to_string(&time)
}

/// Writes a value.
pub fn value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::UInt(number) => integer(out, *number),
        Value::Float(float) => self::float(out, *float),
        Value::Double(double) => self::double(out, *double),
        Value::Text(text) => self::text(out, text),
        Value::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                self::value(out, item);
            }
            out.push(b']');
        }
        Value::Packed(packed) => self::packed(out, *packed),
        Value::Object(fields) => object(out, fields),
        Value::Json(value) => {
            let mut json = Vec::with_capacity(value.weight());
            self::value(&mut json, value);
            text(out, &String::from_utf8_lossy(&json));
        }
    }
}

/// Writes numbers out of a tensor, without making values of them first.
fn packed(out: &mut Vec<u8>, packed: Packed<'_>) {
    out.push(b'[');
    packed.each(|element| {
        match element {
            Element::Bool(bool) => out.extend_from_slice(if bool { b"true" } else { b"false" }),
            Element::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Element::UInt(number) => integer(out, number),
            Element::Float(float) => self::float(out, float),
            Element::Double(double) => self::double(out, double),
        }
        out.push(b',');
    });
    if !packed.is_empty() {
        out.pop();
    }
    out.push(b']');
}

/// Writes an object, keys in their order, those that occur twice too.
pub fn object(out: &mut Vec<u8>, fields: &Object<'_>) {
    out.push(b'{');
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(out, key);
        out.push(b':');
        self::value(out, value);
    }
    out.push(b'}');
}

/// Writes the shortest text that reads back to the same double.
pub fn double(out: &mut Vec<u8>, double: f64) {
    if double.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(double).as_bytes());
    } else {
        not_finite(out, double);
    }
}

/// Writes the shortest text that reads back to the same float.
pub fn float(out: &mut Vec<u8>, float: f32) {
    if float.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(float).as_bytes());
    } else {
        not_finite(out, float.into());
    }
}

fn not_finite(out: &mut Vec<u8>, double: f64) {
    out.extend_from_slice(match double {
        _ if double.is_nan() => b"\"NaN\"",
        _ if double > 0.0 => b"\"Infinity\"",
        _ => b"\"-Infinity\"",
    });
}

/// Writes a string.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    loop {
        let special = find_special(bytes, start);
        out.extend_from_slice(&bytes[start..special]);
        let Some(byte) = bytes.get(special) else { break };
        escape(out, *byte);
        start = special + 1;
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        control => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(control >> 4)]);
            out.push(HEX[usize::from(control & 0x0f)]);
        }
    }
}

/// The first quote, backslash or control byte at or after `at`, else the length. Eight bytes a step.
#[inline]
pub fn find_special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES * 0x80;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let backslash = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        // A borrow can only mark bytes above a true hit, and the lowest hit is what counts.
        let hits = (quote | backslash | control) & TOPS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// Writes an integer.
pub fn integer(out: &mut Vec<u8>, integer: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
}

/// Writes microseconds as milliseconds, as many decimals as there are.
pub fn milliseconds(out: &mut Vec<u8>, microseconds: u64) {
    integer(out, microseconds / 1000);
    let rest = microseconds % 1000;
    if rest > 0 {
        let digits = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
        let length = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        out.push(b'.');
        out.extend_from_slice(&digits[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_keep_every_microsecond() {
        for (microseconds, text) in [(0, "0"), (1, "0.001"), (1_500, "1.5"), (20_010, "20.01"), (7_000, "7")] {
            let mut out = Vec::new();
            milliseconds(&mut out, microseconds);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn strings_read_back() {
        let all: String = (0..=0x250_u32).filter_map(char::from_u32).chain("\u{2028}😀".chars()).collect();
        let mut out = Vec::new();
        text(&mut out, &all);
        assert_eq!(serde_json::from_slice::<String>(&out).expect("strict"), all);
    }
}
