//! A finished message made smaller, for a topic that takes less than `kafka.max_record` promised. In: a message as it stands in the log. Out: the same
//! record with less in it, marked `truncated`. What is left out is the same as where a recorder cuts a row: bodies first, then inputs and outputs.

use std::borrow::Cow;

use super::{Field, decode, json};
use crate::protocol::{self, Object, Value};
use crate::record::ContentType;

/// How much is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lighter {
    /// `request_body` and `response_body`.
    WithoutBodies,
    /// Those, all inputs and outputs, and every other field that is long.
    Bare,
}

/// A field that takes more than this is not in a bare record.
const SHORT_BYTES: usize = 128;

/// Nesting of what weir itself wrote.
const DEPTH_MAX: usize = 512;

/// Together they can be long, whatever each of their entries is.
const MAPS: [Field; 2] = [Field::Metadata, Field::Types];

const BODIES: [Field; 3] = [Field::RequestBody, Field::ResponseBody, Field::BodyEncoding];

/// `None`: there is nothing of it to leave out, or it is no record.
pub fn lighter(content_type: ContentType, message: &[u8], how: Lighter) -> Option<Vec<u8>> {
    match content_type {
        ContentType::Json => of_json(message, how),
        ContentType::Protobuf => of_protobuf(message, how),
    }
}

fn is(field: Field, name: &str) -> bool {
    field.name() == name
}

fn of_json(message: &[u8], how: Lighter) -> Option<Vec<u8>> {
    let Value::Object(fields) = protocol::json::read(message, DEPTH_MAX).ok()?.value else { return None };
    let is_body = |name: &str| BODIES.iter().any(|body| is(*body, name));
    if how == Lighter::WithoutBodies && !fields.iter().any(|(name, _)| is_body(name)) {
        return None;
    }
    let mut kept: Object<'_> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let written = |value: &Value<'_>| {
            let mut out = Vec::new();
            json::value(&mut out, value);
            out.len()
        };
        if is_body(&name) || is(Field::Truncated, &name) {
            continue;
        }
        if how == Lighter::WithoutBodies {
            kept.push((name, value));
        } else if is(Field::Inputs, &name) || is(Field::Outputs, &name) {
            kept.push((name, Value::Object(Vec::new())));
        } else if !MAPS.iter().any(|map| is(*map, &name)) && written(&value) <= SHORT_BYTES {
            kept.push((name, value));
        } else if is(Field::ModelVersion, &name) {
            // One of the five that are always there.
            kept.push((name, Value::Null));
        }
    }
    kept.push((Cow::Borrowed(Field::Truncated.name()), Value::Bool(true)));
    let mut out = Vec::with_capacity(message.len().min(4096));
    json::object(&mut out, &kept);
    Some(out)
}

fn of_protobuf(message: &[u8], how: Lighter) -> Option<Vec<u8>> {
    let parts = decode::parts(message).ok()?;
    let number = |field: Field| field as u32;
    let is_body = |found: u32| BODIES.iter().any(|body| number(*body) == found);
    if how == Lighter::WithoutBodies && !parts.iter().any(|part| is_body(part.0)) {
        return None;
    }
    let dropped = |&(found, bytes): &(u32, &[u8])| {
        let long = [Field::Inputs, Field::Outputs].iter().chain(&MAPS).any(|field| number(*field) == found)
            || bytes.len() > SHORT_BYTES;
        is_body(found) || found == number(Field::Truncated) || (how == Lighter::Bare && long)
    };
    let kept: Vec<&[u8]> = parts.iter().filter(|part| !dropped(part)).map(|part| part.1).collect();
    let mut out = kept.concat();
    // The flag: its number with wire type 0, and 1.
    let tag = number(Field::Truncated) << 3;
    out.extend([(tag & 0x7f) as u8 | 0x80, (tag >> 7) as u8, 1]);
    Some(out)
}
