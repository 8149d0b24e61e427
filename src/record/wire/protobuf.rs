//! The form as protobuf, `proto/weir/v1/prediction.proto` and `feedback.proto`, written straight from what was read: nothing is copied first.

use jiff::Timestamp;

use super::{Entries, Field, Form, json};
use crate::protocol::value::{spelled, widened};
use crate::protocol::{Object, Value};

/// Levels below `inputs` and `outputs`; deeper lists and objects become JSON text. Three messages make a level, and protobuf's
/// readers stop at 100.
pub(super) const LEVELS_MAX: u32 = 32;

/// How a field's bytes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Bytes = 2,
    Fixed32 = 5,
}

/// Numbers of `Object`, `List`, `Ints` and `Doubles`: each has one field.
pub(super) const ITEMS: u32 = 1;

/// Numbers of `Entry`, and of the entries of a map.
pub(super) mod entry {
    pub const KEY: u32 = 1;
    pub const VALUE: u32 = 2;
}

/// Numbers of `google.protobuf.Timestamp`.
pub(super) mod time {
    pub const SECONDS: u32 = 1;
    pub const NANOS: u32 = 2;
}

/// Numbers of `Value`.
pub(super) mod kind {
    pub const NULL: u32 = 1;
    pub const BOOL: u32 = 2;
    pub const INT: u32 = 3;
    pub const DOUBLE: u32 = 4;
    pub const NUMBER: u32 = 5;
    pub const STRING: u32 = 6;
    pub const LIST: u32 = 7;
    pub const OBJECT: u32 = 8;
    pub const INTS: u32 = 9;
    pub const DOUBLES: u32 = 10;
    pub const JSON: u32 = 11;
}

pub struct Protobuf;

impl Form for Protobuf {
    fn open(&self, _out: &mut Vec<u8>) {}

    fn close(&self, _out: &mut Vec<u8>) {}

    fn null(&self, _out: &mut Vec<u8>, _field: Field) {}

    fn text(&self, out: &mut Vec<u8>, field: Field, text: &str) {
        bytes(out, field as u32, text.as_bytes());
    }

    fn integer(&self, out: &mut Vec<u8>, field: Field, integer: u64) {
        varint_field(out, field as u32, integer);
    }

    fn milliseconds(&self, out: &mut Vec<u8>, field: Field, microseconds: u64) {
        double_field(out, field as u32, microseconds as f64 / 1000.0);
    }

    fn double(&self, out: &mut Vec<u8>, field: Field, double: f64) {
        double_field(out, field as u32, double);
    }

    fn flag(&self, out: &mut Vec<u8>, field: Field, flag: bool) {
        varint_field(out, field as u32, flag.into());
    }

    fn time(&self, out: &mut Vec<u8>, field: Field, time: Timestamp) {
        // Protobuf counts the nanoseconds forwards, before 1970 too.
        let nanoseconds = time.as_nanosecond();
        let seconds = nanoseconds.div_euclid(1_000_000_000) as i64;
        nested(out, field as u32, |out| {
            varint_field(out, time::SECONDS, seconds as u64);
            varint_field(out, time::NANOS, nanoseconds.rem_euclid(1_000_000_000) as u64);
        });
    }

    fn map(&self, out: &mut Vec<u8>, field: Field, entries: Entries<'_, '_>) {
        for (key, value) in entries {
            nested(out, field as u32, |out| {
                bytes(out, entry::KEY, key.as_bytes());
                bytes(out, entry::VALUE, value.as_bytes());
            });
        }
    }

    fn object(&self, out: &mut Vec<u8>, field: Field, object: &Object<'_>) {
        nested(out, field as u32, |out| fields(out, object, 1));
    }

    fn value(&self, out: &mut Vec<u8>, field: Field, value: &Value<'_>) {
        nested(out, field as u32, |out| self::value(out, value, 1));
    }

    fn entry(&self, out: &mut Vec<u8>, key: &str, value: &Value<'_>) {
        entry(out, key, value, 1);
    }

    fn empty_bytes(&self) -> usize {
        0
    }

    fn char_bytes(&self, c: char) -> usize {
        c.len_utf8()
    }
}

fn fields(out: &mut Vec<u8>, object: &Object<'_>, level: u32) {
    for (key, value) in object {
        entry(out, key, value, level);
    }
}

fn entry(out: &mut Vec<u8>, key: &str, value: &Value<'_>, level: u32) {
    nested(out, ITEMS, |out| {
        bytes(out, entry::KEY, key.as_bytes());
        nested(out, entry::VALUE, |out| self::value(out, value, level));
    });
}

fn value(out: &mut Vec<u8>, value: &Value<'_>, level: u32) {
    match value {
        Value::Null => varint_field(out, kind::NULL, 1),
        Value::Bool(flag) => varint_field(out, kind::BOOL, (*flag).into()),
        Value::Number(digits) => match Number::of(digits) {
            Number::Int(int) => varint_field(out, kind::INT, zigzag(int)),
            Number::Double(double) => double_field(out, kind::DOUBLE, double),
            Number::Other => bytes(out, kind::NUMBER, digits.as_bytes()),
        },
        Value::Int(int) => varint_field(out, kind::INT, zigzag(*int)),
        Value::UInt(int) => match i64::try_from(*int) {
            Ok(int) => varint_field(out, kind::INT, zigzag(int)),
            Err(_) => bytes(out, kind::NUMBER, int.to_string().as_bytes()),
        },
        Value::Float(float) => double_field(out, kind::DOUBLE, widened(*float)),
        Value::Double(double) => double_field(out, kind::DOUBLE, *double),
        Value::Json(value) => {
            let mut text = Vec::new();
            json::value(&mut text, value);
            bytes(out, kind::STRING, &text);
        }
        Value::Text(text) => bytes(out, kind::STRING, text.as_bytes()),
        Value::List(_) | Value::Packed(_) | Value::Object(_) if level >= LEVELS_MAX => {
            let mut text = Vec::new();
            json::value(&mut text, value);
            bytes(out, kind::JSON, &text);
        }
        Value::Object(object) => nested(out, kind::OBJECT, |out| fields(out, object, level + 1)),
        Value::List(items) => list(out, items, level),
        Value::Packed(packed) => list(out, &spelled(*packed), level),
    }
}

/// Packed if all elements are numbers of one kind.
fn list(out: &mut Vec<u8>, items: &[Value<'_>], level: u32) {
    let packed = match items.first() {
        Some(first) if int(first).is_some() => {
            pack(out, kind::INTS, items, |out, item| int(item).map(|int| varint(out, zigzag(int))))
        }
        Some(first) if double(first).is_some() => pack(out, kind::DOUBLES, items, |out, item| {
            double(item).map(|double| out.extend_from_slice(&double.to_le_bytes()))
        }),
        _ => false,
    };
    if !packed {
        nested(out, kind::LIST, |out| {
            for item in items {
                nested(out, ITEMS, |out| value(out, item, level + 1));
            }
        });
    }
}

/// Writes the list by `put`, or nothing at all if it refuses an element.
fn pack(
    out: &mut Vec<u8>,
    kind: u32,
    items: &[Value<'_>],
    put: impl Fn(&mut Vec<u8>, &Value<'_>) -> Option<()>,
) -> bool {
    let start = out.len();
    let mut all = true;
    nested(out, kind, |out| {
        nested(out, ITEMS, |out| all = items.iter().all(|item| put(out, item).is_some()));
    });
    if !all {
        out.truncate(start);
    }
    all
}

fn int(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Number(digits) => match Number::of(digits) {
            Number::Int(int) => Some(int),
            _ => None,
        },
        Value::Int(int) => Some(*int),
        Value::UInt(int) => i64::try_from(*int).ok(),
        _ => None,
    }
}

fn double(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Number(digits) => match Number::of(digits) {
            Number::Double(double) => Some(double),
            _ => None,
        },
        Value::Double(double) => Some(*double),
        Value::Float(float) => Some(widened(*float)),
        _ => None,
    }
}

/// What holds a number so that nothing of it is lost.
enum Number {
    Int(i64),
    Double(f64),
    Other,
}

impl Number {
    fn of(digits: &str) -> Number {
        if !digits.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            return match digits.parse() {
                Ok(int) if digits != "-0" => Number::Int(int),
                _ => Number::Other,
            };
        }
        match digits.parse::<f64>() {
            Ok(double) if double.is_finite() => {
                let mut buffer = zmij::Buffer::new();
                let shortest = buffer.format_finite(double);
                // `1e-05` and `1e-5` are one number.
                if shortest == digits || same_number(shortest, digits) { Number::Double(double) } else { Number::Other }
            }
            _ => Number::Other,
        }
    }
}

/// Whether two decimals are the same number, however they are written.
fn same_number(one: &str, other: &str) -> bool {
    match (Decimal::of(one), Decimal::of(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// `0.digits * 10^exponent`; no zero at either end of the digits.
#[derive(PartialEq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Decimal> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let Some(first) = all.iter().position(|digit| *digit != b'0') else {
            return Some(Decimal { negative, digits: Vec::new(), exponent: 0 });
        };
        let last = all.iter().rposition(|digit| *digit != b'0')?;
        let exponent = exponent.checked_add(whole.len() as i64 - first as i64)?;
        Some(Decimal { negative, digits: all[first..=last].to_vec(), exponent })
    }
}

/// Small for small numbers of either sign, as `sint64` has it.
fn zigzag(int: i64) -> u64 {
    ((int << 1) ^ (int >> 63)) as u64
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn tag(out: &mut Vec<u8>, number: u32, wire_type: WireType) {
    varint(out, u64::from(number) << 3 | wire_type as u64);
}

fn varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    tag(out, number, WireType::Varint);
    varint(out, value);
}

fn double_field(out: &mut Vec<u8>, number: u32, double: f64) {
    tag(out, number, WireType::Fixed64);
    out.extend_from_slice(&double.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    tag(out, number, WireType::Bytes);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A field whose length is known when it is written: there is room for one byte, and what is longer moves up.
fn nested(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, number, WireType::Bytes);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(10);
    varint(&mut prefix, length as u64);
    out.splice(at..=at, prefix);
}
