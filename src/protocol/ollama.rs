//! Ollama's `/api/generate`, `/api/chat` and `/api/embed`: one object, or a line of NDJSON per piece.
//!
//! Documentation: ollama/ollama, `docs/api.md`.

use std::borrow::Cow;

use super::generic::Halves;
use super::media::Form;
use super::split::{Batch, Half, Items};
use super::stream::{self, CONTENT, FINISH_REASON, Gathered, Joined, MODEL, TOOL_CALLS, set};
use super::value::{Object, Value};
use super::{Matter, Reading};

pub const NAME: &str = "ollama";

const PATHS: [&str; 4] = ["/api/generate", "/api/chat", "/api/embed", "/api/embeddings"];

/// Fields of a piece that are no columns of their own.
const PIECES: [&str; 6] = ["response", "message", "thinking", "logprobs", "done", "done_reason"];

/// The path; of the one that other servers have too, with its own key in the request.
pub fn matches(matter: &Matter<'_>) -> bool {
    let path = matter.path.trim_end_matches('/');
    PATHS.iter().any(|end| path.ends_with(end))
        && !(path.ends_with("/api/embeddings") && matter.request.fields().is_some_and(has_input))
}

fn has_input(fields: &Object<'_>) -> bool {
    fields.iter().any(|(key, _)| key == "input")
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let embeds = matter.path.contains("/api/embed");
    let streamed = matter.response.form == Form::Lines;
    let (request, first) = matter.request.open();
    let (response, second) = if matter.answered { matter.response.open() } else { (None, None) };
    let model = request.as_ref().and_then(|value| value.get(&[MODEL])).and_then(Value::as_word);
    let input = match request {
        None => Half::Absent,
        Some(Value::Object(fields)) if embeds => texts(fields),
        Some(Value::Object(fields)) => Half::One(stream::request(fields)),
        Some(other) => Half::One(vec![(Cow::Borrowed("prompt"), other)]),
    };
    let mut ended = None;
    let mut error = None;
    let output = match response {
        None => Half::Absent,
        Some(value) if embeds => vectors(value),
        Some(Value::List(pieces)) if streamed => {
            error = pieces.iter().find_map(stream::error_text);
            let (fields, done) = assembled(&pieces);
            ended = Some(done);
            Half::One(fields)
        }
        Some(value) => Half::One(assembled(&[value]).0),
    };
    let second = stream::hindrance(second, ended);
    let mut reading = Halves { input, output, problems: [first, second] }.reading(NAME, &matter.limits);
    reading.model = model;
    reading.ended = ended;
    reading.error = error;
    reading
}

/// Pieces of text joined, of every other field the last; and whether the last piece came.
fn assembled<'a>(pieces: &[Value<'a>]) -> (Object<'a>, bool) {
    let mut content = Joined::default();
    let mut thinking = Joined::default();
    let mut calls = Vec::new();
    let mut logprobs = Vec::new();
    let mut rest = Gathered::default();
    let mut reason = None;
    let mut done = false;
    for piece in pieces {
        content.push_at(piece, &["response"]);
        content.push_at(piece, &["message", "content"]);
        thinking.push_at(piece, &["thinking"]);
        thinking.push_at(piece, &["message", "thinking"]);
        calls.extend(piece.get(&["message", TOOL_CALLS]).and_then(Value::as_list).unwrap_or_default().iter().cloned());
        logprobs.extend(piece.get(&["logprobs"]).and_then(Value::as_list).unwrap_or_default().iter().cloned());
        done |= piece.get(&["done"]) == Some(&Value::Bool(true));
        reason = piece.get(&["done_reason"]).cloned().or(reason);
        let Value::Object(fields) = piece else { continue };
        fields.iter().filter(|(key, _)| !PIECES.contains(&key.as_ref())).for_each(|field| rest.last(field));
    }
    let mut fields = Object::new();
    set(&mut fields, CONTENT, content.into_text().map(Value::Text));
    set(&mut fields, "thinking", thinking.into_text().map(Value::Text));
    set(&mut fields, TOOL_CALLS, (!calls.is_empty()).then(|| Value::List(calls).as_json()));
    set(&mut fields, "logprobs", (!logprobs.is_empty()).then(|| Value::List(logprobs).as_json()));
    set(&mut fields, FINISH_REASON, reason);
    // The tokens of the whole conversation, for the next call: not columns.
    fields.extend(rest.into_fields().into_iter().map(|(key, value)| (key, value.as_json())));
    (fields, done)
}

/// A list of texts to embed is a batch.
fn texts(mut fields: Object<'_>) -> Half<'_> {
    match fields.iter().position(|(key, value)| key == "input" && value.is_list()) {
        Some(at) => match fields.remove(at) {
            (key, Value::List(items)) => {
                Half::Many(Batch { key: None, items: Items::Columns(vec![(key, items)]), beside: fields })
            }
            (key, other) => {
                fields.push((key, other));
                Half::One(fields)
            }
        },
        None => Half::One(fields),
    }
}

fn vectors(value: Value<'_>) -> Half<'_> {
    let Value::Object(mut fields) = value else { return Half::One(vec![(Cow::Borrowed("embedding"), value)]) };
    match fields.iter().position(|(key, value)| key == "embeddings" && value.is_list()) {
        Some(at) => match fields.remove(at) {
            (_, Value::List(items)) => {
                let columns = Items::Columns(vec![(Cow::Borrowed("embedding"), items)]);
                Half::Many(Batch { key: None, items: columns, beside: fields })
            }
            (key, other) => {
                fields.push((key, other));
                Half::One(fields)
            }
        },
        None => Half::One(fields),
    }
}
