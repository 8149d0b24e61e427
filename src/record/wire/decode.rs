//! A protobuf message, told to a [`Listener`] in the order of the JSON form. Bytes of anybody's: every length is checked,
//! nothing is allocated by what a length says, and the nesting has an end.
//!
//! Read strictly, so that two readers never see two records: a field that may stand once and stands twice, a value with no
//! kind or several, a known field of another wire type are damage, and the caller keeps the bytes. Fields that this version
//! does not know are handed back as they are.

use jiff::Timestamp;

use super::fields::{Damaged, Raw, Reader, damaged};
use super::listen::Listener;
use super::protobuf::{ITEMS, LEVELS_MAX, entry, kind, time};
use super::{FIELDS, Kind, OF_PREDICTION, json};
use crate::protocol::value::{spelled, widened};
use crate::protocol::{self, Object, Value};

/// Deepest JSON text that is read; what [`protocol::json`] reads at most.
const JSON_DEPTH_MAX: usize = 512;

/// Fields, the first ones, that the form of a prediction always has, and that of feedback.
const ALWAYS: usize = 5;
const ALWAYS_OF_FEEDBACK: usize = 1;

fn another_type<T>(name: &str) -> Result<T, Damaged> {
    damaged(format!("field {name} has another wire type"))
}

/// Tells `message` to `listener`. Out: the fields that this version does not know, as they were; mostly none. After an error the
/// listener has heard an unknown part.
pub fn tell<'m>(message: &'m [u8], listener: &mut impl Listener) -> Result<Unknown<'m>, Damaged> {
    if message.is_empty() {
        return damaged("the message is empty");
    }
    let top = Top::of(message)?;
    let is_feedback = top.once[OF_PREDICTION..].iter().any(Option::is_some);
    let always = if is_feedback { ALWAYS_OF_FEEDBACK } else { ALWAYS };
    listener.begin_object();
    for (at, (name, kind)) in FIELDS.iter().enumerate() {
        match (*kind, top.once[at]) {
            (Kind::Map, _) => tell_map(top.maps.iter().filter(|map| map.0 == at).map(|map| map.1), name, listener)?,
            (Kind::Object, None) if at < always => {
                listener.key(name);
                listener.begin_object();
                listener.end_object();
            }
            (_, None) if at < always => {
                listener.key(name);
                listener.null();
            }
            (_, None) => {}
            (kind, Some(raw)) => {
                listener.key(name);
                match (kind, raw) {
                    (Kind::Text, Raw::Bytes(text)) => listener.string(utf8(text)?),
                    (Kind::Integer, Raw::Varint(integer)) => listener.unsigned(integer),
                    (Kind::Flag, Raw::Varint(flag)) => listener.boolean(flag != 0),
                    (Kind::Double, Raw::Fixed64(bits)) => listener.double(f64::from_bits(bits)),
                    (Kind::Milliseconds, Raw::Fixed64(bits)) => listener.milliseconds(f64::from_bits(bits)),
                    (Kind::Time, Raw::Bytes(time)) => tell_time(time, listener)?,
                    (Kind::Object, Raw::Bytes(object)) => tell_object(object, 1, listener)?,
                    (Kind::Value, Raw::Bytes(value)) => tell_value(value, 1, listener)?,
                    _ => return another_type(name),
                }
            }
        }
    }
    listener.end_object();
    Ok(Unknown(top.unknown))
}

/// The fields of a message in their order: number, and the bytes with the tag before them.
pub(super) fn parts(message: &[u8]) -> Result<Vec<(u32, &[u8])>, Damaged> {
    let mut reader = Reader(message);
    let mut parts = Vec::new();
    loop {
        let before = reader.0;
        let Some((number, _)) = reader.field()? else { return Ok(parts) };
        parts.push((number, &before[..before.len() - reader.0.len()]));
    }
}

/// Fields of a newer version.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown<'m>(Vec<&'m [u8]>);

impl Unknown<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their bytes, one after the other: a message of these fields alone.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }
}

/// The fields of a `Prediction` or a `Feedback`.
struct Top<'m> {
    once: [Option<Raw<'m>>; FIELDS.len()],
    maps: Vec<(usize, &'m [u8])>,
    unknown: Vec<&'m [u8]>,
}

impl<'m> Top<'m> {
    fn of(message: &'m [u8]) -> Result<Top<'m>, Damaged> {
        let mut top = Top { once: [None; FIELDS.len()], maps: Vec::new(), unknown: Vec::new() };
        let mut reader = Reader(message);
        loop {
            let before = reader.0;
            let Some((number, raw)) = reader.field()? else { return Ok(top) };
            let at = (number as usize).wrapping_sub(1);
            match (FIELDS.get(at), raw) {
                (None, _) => top.unknown.push(&before[..before.len() - reader.0.len()]),
                (Some((_, Kind::Map)), Raw::Bytes(entry)) => top.maps.push((at, entry)),
                (Some((name, Kind::Map)), _) => return another_type(name),
                (Some((name, _)), raw) => {
                    if top.once[at].replace(raw).is_some() {
                        return damaged(format!("field {name} stands there twice"));
                    }
                }
            }
        }
    }
}

fn tell_map<'m>(
    entries: impl Iterator<Item = &'m [u8]>,
    name: &str,
    listener: &mut impl Listener,
) -> Result<(), Damaged> {
    let mut any = false;
    for bytes in entries {
        if !any {
            listener.key(name);
            listener.begin_object();
        }
        any = true;
        let (mut key, mut value) = (None, None);
        let mut reader = Reader(bytes);
        while let Some(field) = reader.field()? {
            let place = match field {
                (entry::KEY, Raw::Bytes(text)) => key.replace(text),
                (entry::VALUE, Raw::Bytes(text)) => value.replace(text),
                _ => return damaged(format!("an entry of {name} is not key and value")),
            };
            if place.is_some() {
                return damaged(format!("an entry of {name} is not key and value"));
            }
        }
        // Either is left out where it is empty.
        listener.key(utf8(key.unwrap_or_default())?);
        listener.string(utf8(value.unwrap_or_default())?);
    }
    if any {
        listener.end_object();
    }
    Ok(())
}

fn tell_time(bytes: &[u8], listener: &mut impl Listener) -> Result<(), Damaged> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader(bytes);
    while let Some(field) = reader.field()? {
        match field {
            (time::SECONDS, Raw::Varint(value)) => seconds = value as i64,
            (time::NANOS, Raw::Varint(value)) => nanos = value as i64,
            _ => return damaged("occurred_at is no Timestamp"),
        }
    }
    let nanoseconds = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    match Timestamp::from_nanosecond(nanoseconds) {
        Ok(time) if (0..1_000_000_000).contains(&nanos) => listener.string(&json::time(time)),
        _ => return damaged(format!("occurred_at is no time: {seconds} s and {nanos} ns")),
    }
    Ok(())
}

fn tell_object(bytes: &[u8], level: u32, listener: &mut impl Listener) -> Result<(), Damaged> {
    listener.begin_object();
    let mut reader = Reader(bytes);
    while let Some(field) = reader.field()? {
        let (ITEMS, Raw::Bytes(bytes)) = field else { return damaged("an Object has a field that is no Entry") };
        let (mut key, mut value) = (None, None);
        let mut inner = Reader(bytes);
        while let Some(field) = inner.field()? {
            let before = match field {
                (entry::KEY, Raw::Bytes(text)) => key.replace(text),
                (entry::VALUE, Raw::Bytes(bytes)) => value.replace(bytes),
                _ => return damaged("an Entry has a field that is neither key nor value"),
            };
            if before.is_some() {
                return damaged("an Entry has two keys or two values");
            }
        }
        let Some(value) = value else { return damaged("an Entry has no value") };
        listener.key(utf8(key.unwrap_or_default())?);
        tell_value(value, level, listener)?;
    }
    listener.end_object();
    Ok(())
}

fn tell_value(bytes: &[u8], level: u32, listener: &mut impl Listener) -> Result<(), Damaged> {
    if level > LEVELS_MAX {
        return damaged("a Value is nested too deep");
    }
    let mut reader = Reader(bytes);
    let Some(field) = reader.field()? else { return damaged("a Value has no kind") };
    if !reader.0.is_empty() {
        return damaged("a Value has more than one kind");
    }
    match field {
        (kind::NULL, Raw::Varint(1)) => listener.null(),
        (kind::BOOL, Raw::Varint(value)) => listener.boolean(value != 0),
        (kind::INT, Raw::Varint(value)) => listener.integer(unzigzag(value)),
        (kind::DOUBLE, Raw::Fixed64(bits)) => listener.double(f64::from_bits(bits)),
        (kind::NUMBER, Raw::Bytes(text)) => {
            match protocol::json::read(text, 0).map(|document| document.value) {
                Ok(number @ (Value::Number(_) | Value::Double(_))) => tell_json(&number, listener),
                // More digits than a number has in the JSON form.
                Ok(Value::Text(_)) if !text.starts_with(b"\"") => listener.string(utf8(text)?),
                _ => return damaged("a number_value is no number"),
            }
        }
        (kind::STRING, Raw::Bytes(text)) => listener.string(utf8(text)?),
        (kind::LIST, Raw::Bytes(bytes)) => tell_list(bytes, level + 1, listener)?,
        (kind::OBJECT, Raw::Bytes(bytes)) => tell_object(bytes, level + 1, listener)?,
        (kind::INTS, Raw::Bytes(bytes)) => tell_ints(bytes, listener)?,
        (kind::DOUBLES, Raw::Bytes(bytes)) => tell_doubles(bytes, listener)?,
        (kind::JSON, Raw::Bytes(text)) => match protocol::json::read(text, JSON_DEPTH_MAX) {
            Ok(document) => tell_json(&document.value, listener),
            Err(problem) => return damaged(format!("a json_value is no JSON: {}", problem.what)),
        },
        (number, _) => return damaged(format!("field {number} of a Value is of no kind that this version knows")),
    }
    Ok(())
}

fn tell_list(bytes: &[u8], level: u32, listener: &mut impl Listener) -> Result<(), Damaged> {
    listener.begin_list();
    let mut reader = Reader(bytes);
    while let Some(field) = reader.field()? {
        let (ITEMS, Raw::Bytes(bytes)) = field else { return damaged("a List has a field that is no Value") };
        tell_value(bytes, level, listener)?;
    }
    listener.end_list();
    Ok(())
}

/// Packed, and one by one as some writers do.
fn tell_ints(bytes: &[u8], listener: &mut impl Listener) -> Result<(), Damaged> {
    listener.begin_list();
    let mut reader = Reader(bytes);
    while let Some(field) = reader.field()? {
        match field {
            (ITEMS, Raw::Varint(value)) => listener.integer(unzigzag(value)),
            (ITEMS, Raw::Bytes(packed)) => {
                let mut packed = Reader(packed);
                while !packed.0.is_empty() {
                    listener.integer(unzigzag(packed.varint()?));
                }
            }
            _ => return damaged("an Ints has a field that is no integer"),
        }
    }
    listener.end_list();
    Ok(())
}

fn tell_doubles(bytes: &[u8], listener: &mut impl Listener) -> Result<(), Damaged> {
    listener.begin_list();
    let mut reader = Reader(bytes);
    while let Some(field) = reader.field()? {
        match field {
            (ITEMS, Raw::Fixed64(bits)) => listener.double(f64::from_bits(bits)),
            (ITEMS, Raw::Bytes(packed)) => {
                let (doubles, rest) = packed.as_chunks::<8>();
                if !rest.is_empty() {
                    return damaged("a Doubles is cut in the middle of an item");
                }
                doubles.iter().for_each(|double| listener.double(f64::from_le_bytes(*double)));
            }
            _ => return damaged("a Doubles has a field that is no double"),
        }
    }
    listener.end_list();
    Ok(())
}

fn tell_json(value: &Value<'_>, listener: &mut impl Listener) {
    match value {
        Value::Null => listener.null(),
        Value::Bool(value) => listener.boolean(*value),
        Value::Number(digits) => listener.number(digits),
        // Only of packed tensors and of what a protocol made: not in a text of JSON that was read.
        Value::Int(number) => listener.number(&number.to_string()),
        Value::UInt(number) => listener.number(&number.to_string()),
        Value::Float(value) => listener.double(widened(*value)),
        Value::Double(value) => listener.double(*value),
        Value::Text(text) => listener.string(text),
        Value::Json(value) => tell_json(value, listener),
        Value::Packed(packed) => tell_json(&Value::List(spelled(*packed)), listener),
        Value::List(items) => {
            listener.begin_list();
            items.iter().for_each(|item| tell_json(item, listener));
            listener.end_list();
        }
        Value::Object(fields) => tell_fields(fields, listener),
    }
}

fn tell_fields(fields: &Object<'_>, listener: &mut impl Listener) {
    listener.begin_object();
    for (key, value) in fields {
        listener.key(key);
        tell_json(value, listener);
    }
    listener.end_object();
}

fn utf8(bytes: &[u8]) -> Result<&str, Damaged> {
    std::str::from_utf8(bytes).map_err(|_| Damaged("a text is not UTF-8".into()))
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
