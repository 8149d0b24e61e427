//! `multipart/form-data` -> an object of fields. A file becomes its type, its name, its size and its hash: what it holds is
//! the model's, and too large for a row.
//!
//! Specification: RFC 7578, RFC 2046 section 5.1.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::urlencoded::gathered;
use crate::protocol::value::{Object, Value};
use crate::protocol::{ParseStatus, Problem};

/// Parts of one body.
const PARTS_MAX: usize = 10_000;

/// Bytes of the head of one part.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The name of a part that has none.
const UNNAMED: &str = "data";

/// Reads the parts between the boundaries. Names that occur again make a list.
///
/// # Errors
/// `invalid` without a boundary, with a damaged part or without the end mark, `limit` for too many parts.
pub fn read<'a>(bytes: &'a [u8], boundary: Option<&str>) -> Result<Value<'a>, Problem> {
    let damaged = |what: &str| Problem::new(ParseStatus::Invalid, format!("multipart: {what}"));
    let boundary = boundary.filter(|boundary| !boundary.is_empty()).ok_or_else(|| damaged("no boundary"))?;
    let delimiter = format!("\r\n--{boundary}");
    let finder = memchr::memmem::Finder::new(delimiter.as_bytes());
    // The first boundary may stand at the very beginning.
    let mut rest = match bytes.strip_prefix(&delimiter.as_bytes()[2..]) {
        Some(rest) => rest,
        None => {
            let at = finder.find(bytes).ok_or_else(|| damaged("its boundary does not occur"))?;
            &bytes[at + delimiter.len()..]
        }
    };
    let mut fields = Object::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(Value::Object(gathered(fields)));
        }
        // Blanks behind a boundary are allowed.
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let part = rest[blanks..].strip_prefix(b"\r\n").ok_or_else(|| damaged("no line end behind a boundary"))?;
        let end = finder.find(&rest[blanks..]).ok_or_else(|| damaged("its end mark is missing"))?;
        // A part without head and body: the boundary's line end is the part's.
        let part = part.get(..end.saturating_sub(2)).unwrap_or_default();
        if fields.len() == PARTS_MAX {
            return Err(Problem::new(ParseStatus::Limit, format!("multipart: more than {PARTS_MAX} parts")));
        }
        fields.push(field(part)?);
        rest = &rest[blanks + end + delimiter.len()..];
    }
}

fn field(part: &[u8]) -> Result<(Cow<'_, str>, Value<'_>), Problem> {
    let damaged = |what: &str| Problem::new(ParseStatus::Invalid, format!("multipart: {what}"));
    let (head, content) = match part.strip_prefix(b"\r\n") {
        Some(content) => (&[][..], content),
        None => {
            let at =
                memchr::memmem::find(part, b"\r\n\r\n").ok_or_else(|| damaged("a part without the end of its head"))?;
            (&part[..at], &part[at + 4..])
        }
    };
    if head.len() > HEAD_BYTES_MAX {
        return Err(Problem::new(ParseStatus::Limit, format!("multipart: a head of more than {HEAD_BYTES_MAX} bytes")));
    }
    let head = std::str::from_utf8(head).map_err(|_| damaged("a head that is no text"))?;
    let line = |wanted: &str| {
        head.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = line("content-disposition").unwrap_or_default();
    let name = parameter(disposition, "name").unwrap_or(Cow::Borrowed(UNNAMED));
    let file = parameter(disposition, "filename");
    let kind = line("content-type");
    let text = std::str::from_utf8(content).ok();
    let is_text = kind.is_none_or(|kind| kind.starts_with("text/plain") || kind.starts_with("application/json"));
    let value = match (file, text) {
        (None, Some(text)) if is_text => Value::Text(Cow::Borrowed(text)),
        (file, _) => self::file(kind, file, content),
    };
    Ok((name, value))
}

/// What stays of a file.
pub fn file<'a>(kind: Option<&'a str>, name: Option<Cow<'a, str>>, content: &[u8]) -> Value<'a> {
    let hash = Sha256::digest(content).iter().fold(String::with_capacity(64), |mut hex, byte| {
        hex.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        hex.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        hex
    });
    let mut fields: Object<'a> = Vec::with_capacity(4);
    if let Some(kind) = kind {
        fields.push(("content_type".into(), Value::Text(kind.into())));
    }
    if let Some(name) = name {
        fields.push(("filename".into(), Value::Text(name)));
    }
    fields.push(("bytes".into(), Value::UInt(content.len() as u64)));
    fields.push(("sha256".into(), Value::Text(hash.into())));
    Value::Object(fields)
}

/// A parameter of a `content-disposition`; in quotes, a backslash escapes.
fn parameter<'a>(line: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    let mut rest = line.split_once(';')?.1;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (name, after) = rest.split_once('=')?;
        let (value, behind) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut escaped = false;
                let end = quoted.char_indices().find_map(|(at, c)| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends.then_some(at)
                })?;
                let inner = &quoted[..end];
                let inner = match inner.contains('\\') {
                    true => Cow::Owned(inner.replace("\\\"", "\"").replace("\\\\", "\\")),
                    false => Cow::Borrowed(inner),
                };
                (inner, &quoted[end + 1..])
            }
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (Cow::Borrowed(after[..end].trim()), &after[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\na cat\r\n--XX\r\n\
        Content-Disposition: form-data; name=\"data\"; filename=\"a;\\\"b.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n\
        line\r\n--X\r\n--XX\r\ncontent-disposition: form-data; filename=c.bin; name=data\r\n\r\n\r\n--XX--\r\n";

    #[test]
    fn fields_and_files() {
        let value = read(BODY.as_bytes(), Some("XX")).expect("valid");
        assert_eq!(value.get(&["caption"]), Some(&Value::Text("a cat".into())));
        let Some(Value::List(files)) = value.get(&["data"]) else { panic!("{value:?}") };
        assert_eq!(files[0].get(&["filename"]), Some(&Value::Text("a;\"b.jpg".into())));
        assert_eq!(files[0].get(&["bytes"]), Some(&Value::UInt(9)));
        assert_eq!(files[0].get(&["content_type"]), Some(&Value::Text("image/jpeg".into())));
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(files[1].get(&["sha256"]), Some(&Value::Text(empty.into())));
        let at_once = &BODY["preamble\r\n".len()..];
        assert_eq!(read(at_once.as_bytes(), Some("XX")).expect("valid"), value);
    }

    #[test]
    fn damage_is_named() {
        let status = |bytes: &str, boundary| read(bytes.as_bytes(), boundary).expect_err("damaged").status;
        assert_eq!(status(BODY, None), ParseStatus::Invalid);
        assert_eq!(status(BODY, Some("YY")), ParseStatus::Invalid);
        for end in 0..BODY.len() - 4 {
            assert_eq!(status(&BODY[..end], Some("XX")), ParseStatus::Invalid, "cut at {end}");
        }
        assert_eq!(status("--XX\r\nno head\r\n--XX--", Some("XX")), ParseStatus::Invalid);
        assert_eq!(read(b"--XX--", Some("XX")).expect("empty"), Value::Object(vec![]));
    }
}
