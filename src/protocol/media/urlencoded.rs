//! `application/x-www-form-urlencoded` -> an object of texts; a name that occurs again makes a list.
//!
//! Specification: WHATWG URL, section 5.1.

use std::borrow::Cow;

use crate::protocol::value::{Object, Value};
use crate::protocol::{ParseStatus, Problem};

/// Fields of one form.
const FIELDS_MAX: usize = 10_000;

/// Reads a form.
///
/// # Errors
/// `unsupported` for what is no form (no `=` in it), `limit` for too many fields.
pub fn read(bytes: &[u8]) -> Result<Value<'_>, Problem> {
    if !bytes.contains(&b'=') || bytes.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) {
        return Err(Problem::new(ParseStatus::Unsupported, "application/x-www-form-urlencoded: no form"));
    }
    let mut fields = Object::new();
    for part in bytes.trim_ascii().split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
        if fields.len() == FIELDS_MAX {
            return Err(Problem::new(ParseStatus::Limit, format!("a form of more than {FIELDS_MAX} fields")));
        }
        let (name, value) = match part.iter().position(|byte| *byte == b'=') {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &[][..]),
        };
        fields.push((decoded(name), Value::Text(decoded(value))));
    }
    Ok(Value::Object(gathered(fields)))
}

/// Values of one name as a list, at the place of the first.
pub fn gathered(fields: Object<'_>) -> Object<'_> {
    let mut places = std::collections::HashMap::new();
    let mut gathered: Vec<(Cow<'_, str>, Vec<Value<'_>>)> = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let at = *places.entry(name.clone()).or_insert(gathered.len());
        match gathered.get_mut(at) {
            Some((_, values)) => values.push(value),
            None => gathered.push((name, vec![value])),
        }
    }
    gathered
        .into_iter()
        .map(|(name, mut values)| match values.len() {
            1 => (name, values.pop().unwrap_or(Value::Null)),
            _ => (name, Value::List(values)),
        })
        .collect()
}

fn decoded(part: &[u8]) -> Cow<'_, str> {
    if !part.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return String::from_utf8_lossy(part);
    }
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut bytes = Vec::with_capacity(part.len());
    let mut at = 0;
    while let Some(byte) = part.get(at) {
        at += 1;
        match (byte, hex(part.get(at)), hex(part.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', _, _) => bytes.push(b' '),
            (other, _, _) => bytes.push(*other),
        }
    }
    Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let text = |text: &'static str| Value::Text(text.into());
        let value = read(b"age=38&name=Ada+L%C3%B6&tag=a&tag=b&empty=&bare&x=%zz").expect("a form");
        assert_eq!(
            value,
            Value::Object(vec![
                ("age".into(), text("38")),
                ("name".into(), text("Ada Lö")),
                ("tag".into(), Value::List(vec![text("a"), text("b")])),
                ("empty".into(), text("")),
                ("bare".into(), text("")),
                ("x".into(), text("%zz")),
            ])
        );
        assert_eq!(read(b"\x00\x01=").expect_err("binary").status, ParseStatus::Unsupported);
        assert_eq!(read(b"text").expect_err("text").status, ParseStatus::Unsupported);
    }
}
