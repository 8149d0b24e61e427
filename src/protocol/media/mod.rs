//! A body by its media type -> a [`Value`]. One file per form; what protocols do with the value is theirs.
//!
//! Each reader is pure, borrows from the body where it can, takes linear time, and makes at most [`json::VALUES_MAX`]
//! values. A body that only looks like its form says so in a [`Problem`]; nothing panics on arbitrary bytes.

pub mod csv;
pub mod events;
pub mod lines;
pub mod multipart;
pub mod npy;
pub mod urlencoded;

use std::borrow::Cow;

use http::HeaderMap;

use super::value::Value;
use super::{ParseStatus, Problem, json};

/// The form that a body was read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    /// A list of rows, each a list of cells.
    Csv,
    /// JSON Lines, NDJSON: a list of values.
    Lines,
    /// Server-sent events: a list of payloads.
    Events,
    /// `application/x-www-form-urlencoded`: an object of texts.
    UrlEncoded,
    /// `multipart/form-data`: an object of fields; files as their type, size and hash.
    Multipart,
    /// A NumPy array: nested lists.
    Npy,
    /// Plain text: an object with one field, [`TEXT`].
    Text,
    /// JSON with the tensors of the Open Inference Protocol's binary extension behind it.
    JsonAndTensors,
    /// Nothing that weir reads.
    Unread,
}

/// What plain text is called.
pub const TEXT: &str = "text";

/// A body as far as its form says.
#[derive(Debug, Clone, PartialEq)]
pub struct Body<'a> {
    pub form: Form,
    pub value: Value<'a>,
    /// The raw tensors behind the JSON, if the form has such.
    pub tail: &'a [u8],
    pub duplicate_keys: Vec<String>,
    /// The id of the CloudEvent that the value was the data of.
    pub event_id: Option<Cow<'a, str>>,
}

impl<'a> Body<'a> {
    fn of(form: Form, value: Value<'a>) -> Body<'a> {
        Body { form, value, tail: &[], duplicate_keys: Vec::new(), event_id: None }
    }

    fn text(text: &'a str) -> Body<'a> {
        Body::of(Form::Text, Value::Object(vec![(TEXT.into(), Value::Text(text.into()))]))
    }

    /// A text of JSON that holds a text of JSON, an object or a list, is that: `json.dumps` was called twice.
    fn json(document: json::Document<'a>, depth_max: usize) -> Body<'a> {
        if let Value::Text(text) = &document.value
            && text.trim_start().starts_with(['{', '['])
            && let Ok(inner) = json::read(text.as_bytes(), depth_max)
        {
            return Body { duplicate_keys: inner.duplicate_keys, ..Body::of(Form::Json, inner.value.into_owned()) };
        }
        Body { duplicate_keys: document.duplicate_keys, ..Body::of(Form::Json, document.value) }
    }

    /// What a CloudEvent carries, if this is one (CloudEvents JSON format 1.0, section 3).
    fn event(mut self) -> Body<'a> {
        let Value::Object(fields) = &mut self.value else { return self };
        let id = fields.iter().find(|(name, _)| name == "id").and_then(|(_, id)| id.as_word());
        if let Some(at) = fields.iter().position(|(name, _)| name == "data") {
            self.value = fields.swap_remove(at).1;
            self.event_id = id;
        }
        self
    }
}

/// Reads a body whose copy is whole.
///
/// # Errors
/// `empty`, `invalid`, `limit`, or `unsupported` for a form that weir does not read.
pub fn read<'a>(head: &HeaderMap, bytes: &'a [u8], depth_max: usize) -> Result<Body<'a>, Problem> {
    let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return Err(Problem::new(ParseStatus::Empty, "no body"));
    };
    let kind = MediaType::of(head);
    if let Some(length) = kind.json_length(head)? {
        return json_and_tensors(bytes, length, depth_max);
    }
    if bytes.starts_with(npy::MAGIC) {
        return npy::read(bytes).map(|value| Body::of(Form::Npy, value));
    }
    let document = || json::read(bytes, depth_max).map(|document| Body::json(document, depth_max));
    match kind.essence.as_str() {
        "application/json" | "text/json" | "application/x-json" => document(),
        "application/cloudevents+json" => document().map(Body::event),
        name if name.ends_with("+json") => document(),
        "text/csv" | "application/csv" => csv::read(bytes).map(|value| Body::of(Form::Csv, value)),
        name if is_lines(name) => lines::read(bytes, depth_max, End::Whole),
        "text/event-stream" => events::read(bytes, depth_max, End::Whole),
        "multipart/form-data" => {
            let boundary = kind.parameter("boundary");
            multipart::read(bytes, boundary.as_deref()).map(|value| Body::of(Form::Multipart, value))
        }
        "application/x-npy" => npy::read(bytes).map(|value| Body::of(Form::Npy, value)),
        // Flask answers JSON under text/html, curl sends it as a form, many clients name no type at all.
        name if may_be_json(name) => match sniff(name, *first, bytes, depth_max) {
            Some(found) => found,
            None if name == "application/x-www-form-urlencoded" => {
                urlencoded::read(bytes).map(|value| Body::of(Form::UrlEncoded, value))
            }
            None if matches!(name, "text/plain" | "application/x-text") => text(bytes),
            None => Err(kind.unsupported("no form that weir reads")),
        },
        _ => Err(kind.unsupported("no form that weir reads")),
    }
}

/// Reads the beginning of a stream whose end is not in the copy; `None` if the form is no stream.
pub fn read_part<'a>(head: &HeaderMap, bytes: &'a [u8], depth_max: usize) -> Option<Body<'a>> {
    match MediaType::of(head).essence.as_str() {
        name if is_lines(name) => lines::read(bytes, depth_max, End::Cut).ok(),
        "text/event-stream" => events::read(bytes, depth_max, End::Cut).ok(),
        _ => None,
    }
}

/// Whether a media type is one of a value per line.
pub fn is_lines(essence: &str) -> bool {
    matches!(
        essence,
        "application/jsonlines"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/x-ndjson"
            | "application/ndjson"
            | "application/x-json-stream"
    )
}

/// Whether a media type is that of a stream: events, or a value per line.
pub fn is_stream(essence: &str) -> bool {
    essence == "text/event-stream" || is_lines(essence)
}

/// Whether the copy holds the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Whole,
    /// What stands behind the last whole piece is left out.
    Cut,
}

fn may_be_json(essence: &str) -> bool {
    matches!(
        essence,
        "" | "*/*" | "application/octet-stream" | "application/x-www-form-urlencoded" | "application/x-text"
    ) || essence.starts_with("text/")
}

/// JSON under another name: objects and lists, and under `text/` also a lone number or string. `None`: it is none.
fn sniff<'a>(essence: &str, first: u8, bytes: &'a [u8], depth_max: usize) -> Option<Result<Body<'a>, Problem>> {
    let container = matches!(first, b'{' | b'[' | 0xef);
    let scalar = essence.starts_with("text/") && (first.is_ascii_digit() || matches!(first, b'-' | b'"'));
    if !container && !scalar {
        return None;
    }
    match json::read(bytes, depth_max) {
        Ok(document) => Some(Ok(Body::json(document, depth_max))),
        Err(problem) if problem.status != ParseStatus::Invalid => Some(Err(problem)),
        // Nobody said that it is anything else.
        Err(problem) if essence.is_empty() && first == b'{' => Some(Err(problem)),
        Err(_) => None,
    }
}

fn text(bytes: &[u8]) -> Result<Body<'_>, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Problem::new(ParseStatus::Invalid, format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    Ok(Body::text(text))
}

fn json_and_tensors(bytes: &[u8], length: usize, depth_max: usize) -> Result<Body<'_>, Problem> {
    let Some((json, tail)) = bytes.split_at_checked(length) else {
        let what = format!("the head of {length} bytes is longer than the body of {}", bytes.len());
        return Err(Problem::new(ParseStatus::Invalid, what));
    };
    let document = json::read(json, depth_max)?;
    Ok(Body { form: Form::JsonAndTensors, tail, ..Body::json(document, depth_max) })
}

/// A `content-type` line, taken apart.
pub struct MediaType {
    /// Type and subtype in lower case, without parameters; empty if there is no such line.
    pub essence: String,
    parameters: String,
}

impl MediaType {
    pub fn of(head: &HeaderMap) -> MediaType {
        let line = head.get(http::header::CONTENT_TYPE).map(|line| String::from_utf8_lossy(line.as_bytes()));
        let line = line.as_deref().unwrap_or_default();
        let (essence, parameters) = line.split_once(';').unwrap_or((line, ""));
        MediaType { essence: essence.trim().to_ascii_lowercase(), parameters: parameters.to_owned() }
    }

    /// The value of a parameter, without quotes.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
        })
    }

    /// Bytes of JSON before the tensors: Triton's header, or SageMaker's parameter in its place.
    fn json_length(&self, head: &HeaderMap) -> Result<Option<usize>, Problem> {
        let told = match head.get("inference-header-content-length") {
            Some(line) => Some(String::from_utf8_lossy(line.as_bytes()).into_owned()),
            None => self.parameter("json-header-size"),
        };
        let Some(told) = told else { return Ok(None) };
        told.trim()
            .parse()
            .map(Some)
            .map_err(|_| Problem::new(ParseStatus::Invalid, "the length of the JSON head is no number"))
    }

    fn unsupported(&self, what: &str) -> Problem {
        let name: String = self.essence.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(64).collect();
        let name = if self.essence.is_empty() { "no content type" } else { &name };
        Problem::new(ParseStatus::Unsupported, format!("{name}: {what}"))
    }
}
