//! One side of a call: its head, its plain bytes, and its JSON if it is JSON. Made once, before any protocol looks.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::json;
use super::value::Value;
use super::{ParseStatus, Problem};

/// One side of a call, with what could be made of its body.
#[derive(Debug, Clone)]
pub struct Side<'a> {
    pub head: &'a HeaderMap,
    /// The plain bytes (content encodings undone), or why there are none.
    pub bytes: Result<&'a [u8], Problem>,
    /// The body as JSON, or why it is none.
    pub value: Result<Value<'a>, Problem>,
    /// Keys that occur twice in one object.
    pub duplicate_keys: Vec<String>,
}

impl<'a> Side<'a> {
    /// A side whose bytes are there: reads them if their type or their first byte says JSON.
    pub fn read(head: &'a HeaderMap, bytes: &'a [u8], depth_max: usize) -> Side<'a> {
        let (value, duplicate_keys) = match read_json(head, bytes, depth_max) {
            Ok(document) => (Ok(document.value), document.duplicate_keys),
            Err(problem) => (Err(problem), Vec::new()),
        };
        Side { head, bytes: Ok(bytes), value, duplicate_keys }
    }

    /// A side whose bytes are read by no one, with the reason.
    pub fn unread(head: &'a HeaderMap, bytes: Result<&'a [u8], Problem>, problem: Problem) -> Side<'a> {
        Side { head, bytes, value: Err(problem), duplicate_keys: Vec::new() }
    }

    /// The media type in lower case, without parameters.
    pub fn media_type(&self) -> Option<String> {
        media_type(self.head)
    }
}

/// The media type of a head in lower case, without parameters.
pub fn media_type(head: &HeaderMap) -> Option<String> {
    let line = head.get(CONTENT_TYPE)?.as_bytes();
    let word = line.split(|byte| *byte == b';').next().unwrap_or_default();
    Some(String::from_utf8_lossy(word).trim().to_ascii_lowercase())
}

fn read_json<'a>(head: &HeaderMap, bytes: &'a [u8], depth_max: usize) -> Result<json::Document<'a>, Problem> {
    let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return Err(Problem::new(ParseStatus::Empty, "no body"));
    };
    let media_type = media_type(head);
    match form(media_type.as_deref()) {
        Form::Json => json::read(bytes, depth_max),
        // Flask answers JSON under text/html, curl sends it as a form, many clients name no type at all.
        Form::Text if matches!(first, b'{' | b'[' | 0xef) => {
            json::read(bytes, depth_max).map_err(|problem| match &media_type {
                Some(name) if problem.status == ParseStatus::Invalid => unsupported(name, &problem.what),
                _ => problem,
            })
        }
        Form::Text | Form::Other => {
            Err(unsupported(media_type.as_deref().unwrap_or("no content type"), "no form that weir reads"))
        }
    }
}

fn unsupported(media_type: &str, what: &str) -> Problem {
    let word: String = media_type.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(64).collect();
    Problem::new(ParseStatus::Unsupported, format!("{word}: {what}"))
}

enum Form {
    Json,
    /// Could be JSON under another name.
    Text,
    Other,
}

fn form(media_type: Option<&str>) -> Form {
    match media_type {
        None | Some("" | "application/octet-stream" | "application/x-www-form-urlencoded" | "*/*") => Form::Text,
        Some("application/json" | "text/json" | "application/x-json") => Form::Json,
        Some(name) if name.ends_with("+json") => Form::Json,
        Some("text/event-stream" | "text/csv") => Form::Other,
        Some(name) if name.starts_with("text/") => Form::Text,
        Some(_) => Form::Other,
    }
}
