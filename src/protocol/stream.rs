//! What the language models' protocols share: requests as columns, and texts that grow by pieces.

use std::borrow::Cow;
use std::collections::HashMap;

use super::media::events;
use super::value::{Object, Value};
use super::{ParseStatus, Problem};

/// Column of an answer's text.
pub const CONTENT: &str = "content";
pub const FINISH_REASON: &str = "finish_reason";
pub const TOOL_CALLS: &str = "tool_calls";
pub const USAGE: &str = "usage";
pub const MODEL: &str = "model";
/// Column of the text that was asked, without the roles and parts around it: the last message of the user.
pub const PROMPT_TEXT: &str = "prompt_text";

/// Keys of requests of which [`PROMPT_TEXT`] is a copy.
pub const PROMPTS: [&str; 3] = ["messages", "prompt", "input"];

/// What ends an OpenAI stream.
pub const DONE: &str = "[DONE]";

/// A request's fields as columns: scalars as they are, what has another shape in every call as JSON.
pub fn request(fields: Object<'_>) -> Object<'_> {
    let prompt = PROMPTS
        .iter()
        .find_map(|key| fields.iter().rev().find(|(name, _)| name == key))
        .and_then(|(_, value)| prompt_text(value));
    let mut columns: Object<'_> = fields.into_iter().map(|(key, value)| (key, value.as_json())).collect();
    if let Some(prompt) = prompt
        && !columns.iter().any(|(key, _)| key == PROMPT_TEXT)
    {
        columns.push((Cow::Borrowed(PROMPT_TEXT), Value::Text(prompt)));
    }
    columns
}

/// Whether a list is what people and models said to each other: that is one input, however long.
pub fn is_dialogue(value: &Value<'_>) -> bool {
    value.as_list().and_then(<[_]>::first).is_some_and(|message| {
        let has = |key: &str| message.get(&[key]).is_some();
        message.get(&["role"]).and_then(Value::as_text).is_some() && (has("content") || has("parts"))
    })
}

/// The text of a prompt: itself, or that of the last message of the user.
fn prompt_text<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::List(messages) => messages
            .iter()
            .rev()
            .filter(|message| message.get(&["role"]).and_then(Value::as_text) == Some("user"))
            // A message of tools' results has no text of the user's.
            .find_map(|message| message.get(&["content"]).and_then(text_of)),
        _ => None,
    }
}

/// The text of a message's content: a text, or the parts that are texts.
pub fn text_of<'a>(content: &Value<'a>) -> Option<Cow<'a, str>> {
    match content {
        Value::Text(text) => Some(text.clone()),
        Value::List(parts) => {
            let mut joined = Joined::default();
            for part in parts {
                match part.get(&["text"]) {
                    Some(Value::Text(text)) => joined.push(text.clone()),
                    _ => {
                        if let Value::Text(text) = part {
                            joined.push(text.clone());
                        }
                    }
                }
            }
            joined.into_text()
        }
        _ => None,
    }
}

/// Pieces of a text, joined; borrowed as long as there is one.
#[derive(Debug, Default)]
pub struct Joined<'a>(Option<Cow<'a, str>>);

impl<'a> Joined<'a> {
    pub fn push(&mut self, piece: Cow<'a, str>) {
        match &mut self.0 {
            None => self.0 = Some(piece),
            Some(text) if text.is_empty() => *text = piece,
            Some(text) => text.to_mut().push_str(&piece),
        }
    }

    /// Appends the text at `keys`, if there is one.
    pub fn push_at(&mut self, value: &Value<'a>, keys: &[&str]) {
        if let Some(Value::Text(piece)) = value.get(keys) {
            self.push(piece.clone());
        }
    }

    pub fn into_text(self) -> Option<Cow<'a, str>> {
        self.0
    }

    /// The text, or null if no piece came.
    pub fn into_value(self) -> Value<'a> {
        self.0.map_or(Value::Null, Value::Text)
    }
}

/// The fields of an answer that comes in pieces, each piece an object.
#[derive(Debug, Default)]
pub struct Gathered<'a> {
    fields: Object<'a>,
    places: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Gathered<'a> {
    /// Of a field that comes again, the later value counts.
    pub fn last(&mut self, (key, value): &(Cow<'a, str>, Value<'a>)) {
        *self.at(key.clone()) = value.clone();
    }

    /// Of a field that comes again, texts are joined and lists go on; of anything else the later value counts.
    pub fn grow(&mut self, (key, value): &(Cow<'a, str>, Value<'a>)) {
        match (self.at(key.clone()), value) {
            (Value::Text(text), Value::Text(piece)) => text.to_mut().push_str(piece),
            (Value::List(items), Value::List(more)) => items.extend_from_slice(more),
            (known, value) => *known = value.clone(),
        }
    }

    fn at(&mut self, key: Cow<'a, str>) -> &mut Value<'a> {
        let place = *self.places.entry(key).or_insert_with_key(|key| {
            self.fields.push((key.clone(), Value::Null));
            self.fields.len() - 1
        });
        &mut self.fields[place].1
    }

    pub fn into_fields(self) -> Object<'a> {
        self.fields
    }
}

/// The payloads of a stream's list.
pub fn payloads<'v, 'a>(list: &'v Value<'a>) -> impl Iterator<Item = &'v Value<'a>> {
    list.as_list().unwrap_or_default().iter().map(events::payload)
}

/// What hindered reading an answer whole. Clients close the connection once they have read the end mark, before the transfer is over: nothing
/// is missing then.
pub fn hindrance(problem: Option<Problem>, ended: Option<bool>) -> Option<Problem> {
    problem.filter(|problem| ended != Some(true) || problem.status != ParseStatus::Truncated)
}

/// The text of an error that stands in an answer: `{"error": {"message": ..}}` or `{"error": ".."}`.
pub fn error_text(value: &Value<'_>) -> Option<String> {
    let error = value.get(&["error"])?;
    match error.get(&["message"]).unwrap_or(error) {
        Value::Text(text) => Some(text.clone().into_owned()),
        Value::Null => None,
        _ => Some("the model reported an error".to_owned()),
    }
}

/// Sets a field unless the value says nothing.
pub fn set<'a>(fields: &mut Object<'a>, key: &'static str, value: Option<Value<'a>>) {
    if let Some(value) = value.filter(|value| *value != Value::Null) {
        fields.push((Cow::Borrowed(key), value));
    }
}
