//! Anthropic's messages, whole or as a stream of events.
//!
//! Reference: Anthropic API, "Messages" and "Streaming messages".

use std::borrow::Cow;

use super::generic::Halves;
use super::media::Form;
use super::split::Half;
use super::stream::{self, CONTENT, FINISH_REASON, Gathered, Joined, MODEL, TOOL_CALLS, USAGE, set};
use super::value::{Object, Value};
use super::{Matter, Reading, json};

pub const NAME: &str = "anthropic";

/// The path's end; or the request's version, on the paths of those who host it (Amazon Bedrock, Vertex AI).
pub fn matches(matter: &Matter<'_>) -> bool {
    matter.path.trim_end_matches('/').ends_with("/messages")
        || matter.request.value.as_ref().is_ok_and(|body| {
            body.get(&["anthropic_version"]).is_some() && body.get(&["messages"]).is_some_and(Value::is_list)
        })
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let streamed = matter.response.form == Form::Events;
    let (request, first) = matter.request.open();
    let (response, second) = if matter.answered { matter.response.open() } else { (None, None) };
    let model = request.as_ref().and_then(|value| value.get(&[MODEL])).and_then(Value::as_word);
    let input = match request {
        None => Half::Absent,
        Some(Value::Object(fields)) => Half::One(stream::request(fields)),
        Some(other) => Half::One(vec![(Cow::Borrowed("messages"), other.as_json())]),
    };
    let message =
        response.map(|value| if streamed { assembled(&value, matter.limits.depth_max) } else { whole(value) });
    let (message, ended, error) = match message {
        Some(Message { fields, ended, error }) => (Some(fields), ended, error),
        None => (None, None, None),
    };
    let second = stream::hindrance(second, ended);
    let version = message
        .as_ref()
        .and_then(|fields| fields.iter().find(|(key, _)| key == MODEL).and_then(|(_, model)| model.as_word()));
    let output = message.map_or(Half::Absent, Half::One);
    let mut reading = Halves { input, output, problems: [first, second] }.reading(NAME, &matter.limits);
    reading.model = model;
    reading.version = version;
    reading.ended = ended;
    reading.error = error;
    reading
}

/// Keys of a message that have columns, or say what the columns say.
const KNOWN: [&str; 8] = ["type", "role", CONTENT, "stop_reason", "stop_sequence", MODEL, "id", USAGE];

struct Message<'a> {
    fields: Object<'a>,
    /// As in [`Reading`].
    ended: Option<bool>,
    error: Option<String>,
}

/// A message that came at once.
fn whole(value: Value<'_>) -> Message<'_> {
    let error = stream::error_text(&value);
    let blocks = value.get(&[CONTENT]).and_then(Value::as_list).unwrap_or_default().to_vec();
    let reason = value.get(&["stop_reason"]).cloned();
    let fields = columns(blocks, reason, &value);
    Message { fields, ended: None, error }
}

fn columns<'a>(blocks: Vec<Value<'a>>, reason: Option<Value<'a>>, message: &Value<'a>) -> Object<'a> {
    let mut text = Joined::default();
    let mut thinking = Joined::default();
    let mut calls = Vec::new();
    let mut citations = Vec::new();
    for block in blocks {
        match block.get(&["type"]).and_then(Value::as_text) {
            Some("text") => {
                text.push_at(&block, &["text"]);
                citations.extend_from_slice(block.get(&["citations"]).and_then(Value::as_list).unwrap_or_default());
            }
            Some("thinking" | "redacted_thinking") => thinking.push_at(&block, &["thinking"]),
            _ => calls.push(block),
        }
    }
    let mut fields = Object::new();
    set(&mut fields, CONTENT, text.into_text().map(Value::Text));
    set(&mut fields, "thinking", thinking.into_text().map(Value::Text));
    set(&mut fields, TOOL_CALLS, (!calls.is_empty()).then(|| Value::List(calls).as_json()));
    set(&mut fields, FINISH_REASON, reason);
    set(&mut fields, "citations", (!citations.is_empty()).then(|| Value::List(citations).as_json()));
    for key in ["stop_sequence", MODEL, "id", USAGE] {
        set(&mut fields, key, message.get(&[key]).cloned());
    }
    if let Value::Object(message) = message {
        let others = message.iter().filter(|(key, value)| !KNOWN.contains(&key.as_ref()) && *value != Value::Null);
        fields.extend(others.map(|(key, value)| (key.clone(), value.clone().as_json())));
    }
    fields
}

/// A block that grows by deltas.
struct Growing<'a> {
    start: Object<'a>,
    text: Joined<'a>,
    thinking: Joined<'a>,
    json: Joined<'a>,
    citations: Vec<Value<'a>>,
}

/// Blocks of one message that a stream may open.
const BLOCKS_MAX: usize = 1024;

fn assembled<'a>(list: &Value<'a>, depth_max: usize) -> Message<'a> {
    let mut message = Gathered::default();
    let mut blocks: Vec<Growing<'a>> = Vec::new();
    let mut usage = Gathered::default();
    let (mut reason, mut sequence, mut ended, mut error) = (None, None, false, None);
    for event in stream::payloads(list) {
        match event.get(&["type"]).and_then(Value::as_text) {
            Some("message_start") => {
                if let Some(Value::Object(start)) = event.get(&["message"]) {
                    start.iter().for_each(|field| message.last(field));
                    merge(&mut usage, event.get(&["message", USAGE]));
                }
            }
            Some("content_block_start") if blocks.len() < BLOCKS_MAX => {
                let start = match event.get(&["content_block"]) {
                    Some(Value::Object(start)) => start.clone(),
                    _ => Object::new(),
                };
                let (text, thinking, json) = (Joined::default(), Joined::default(), Joined::default());
                blocks.push(Growing { start, text, thinking, json, citations: Vec::new() });
            }
            Some("content_block_delta") => {
                let index =
                    event.get(&["index"]).and_then(Value::as_word).and_then(|index| index.parse::<usize>().ok());
                if let Some(block) = index.and_then(|index| blocks.get_mut(index)) {
                    block.text.push_at(event, &["delta", "text"]);
                    block.thinking.push_at(event, &["delta", "thinking"]);
                    block.json.push_at(event, &["delta", "partial_json"]);
                    block.citations.extend(event.get(&["delta", "citation"]).cloned());
                }
            }
            Some("message_delta") => {
                merge(&mut usage, event.get(&[USAGE]));
                reason = event.get(&["delta", "stop_reason"]).cloned();
                if let Some(Value::Object(delta)) = event.get(&["delta"]) {
                    let others = delta.iter().filter(|(key, _)| !KNOWN.contains(&key.as_ref()));
                    others.for_each(|field| message.last(field));
                }
                sequence = event.get(&["delta", "stop_sequence"]).cloned();
            }
            Some("message_stop") => ended = true,
            Some("error") => error = stream::error_text(event),
            _ => {}
        }
    }
    let blocks = blocks.into_iter().map(|block| grown(block, depth_max)).collect();
    let (mut message, usage) = (message.into_fields(), usage.into_fields());
    message.retain(|(key, _)| key != USAGE && key != "stop_sequence");
    if !usage.is_empty() {
        message.push((Cow::Borrowed(USAGE), Value::Object(usage)));
    }
    message.extend(sequence.map(|sequence| (Cow::Borrowed("stop_sequence"), sequence)));
    Message { fields: columns(blocks, reason, &Value::Object(message)), ended: Some(ended), error }
}

/// The later count of each kind of token is the whole one.
fn merge<'a>(usage: &mut Gathered<'a>, later: Option<&Value<'a>>) {
    let Some(Value::Object(later)) = later else { return };
    later.iter().filter(|(_, value)| *value != Value::Null).for_each(|field| usage.last(field));
}

/// As the block would stand in a message that came at once.
fn grown(block: Growing<'_>, depth_max: usize) -> Value<'_> {
    let mut fields = block.start;
    let mut set = |key: &'static str, value: Option<Value<'static>>, text: Option<Cow<'_, str>>| {
        let value = value.or_else(|| text.map(|text| Value::Text(Cow::Owned(text.into_owned()))));
        if let Some(value) = value {
            fields.retain(|(name, _)| name != key);
            fields.push((Cow::Borrowed(key), value));
        }
    };
    set("text", None, block.text.into_text());
    set("thinking", None, block.thinking.into_text());
    // A tool without arguments is called with nothing: what the block began with is right.
    if let Some(text) = block.json.into_text().filter(|text| !text.is_empty()) {
        let input = json::read(text.as_bytes(), depth_max).ok().map(|document| document.value.into_owned());
        set("input", input, Some(text));
    }
    if !block.citations.is_empty() {
        fields.retain(|(name, _)| name != "citations");
        fields.push((Cow::Borrowed("citations"), Value::List(block.citations)));
    }
    Value::Object(fields)
}
