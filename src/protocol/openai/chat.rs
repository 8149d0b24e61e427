//! Chat and completions: choices with a message, or a stream of their pieces.

use std::borrow::Cow;

use super::super::split::Half;
use super::super::stream::{self, CONTENT, FINISH_REASON, Joined, MODEL, TOOL_CALLS, set};
use super::super::value::{Object, Value};
use super::{Answer, rest};

pub(super) fn answer(value: Value<'_>, streamed: bool) -> Answer<'_> {
    if streamed {
        return assembled(&value);
    }
    let Value::Object(mut fields) = value else {
        return Answer { output: Half::One(vec![(Cow::Borrowed(CONTENT), value)]), ..Answer::default() };
    };
    let choices = match fields.iter().position(|(key, value)| key == "choices" && value.is_list()) {
        Some(at) => match fields.swap_remove(at).1 {
            Value::List(choices) => choices,
            _ => Vec::new(),
        },
        None => Vec::new(),
    };
    let model = field(&fields, MODEL).and_then(Value::as_word);
    let choices = choices.into_iter().map(whole).collect();
    Answer { output: Half::One(columns(choices, rest(fields))), model, ..Answer::default() }
}

fn field<'v, 'a>(fields: &'v Object<'a>, key: &str) -> Option<&'v Value<'a>> {
    fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// One choice as columns; several as a list of them.
fn columns<'a>(mut choices: Vec<Object<'a>>, rest: Object<'a>) -> Object<'a> {
    let mut fields = match choices.len() {
        0 => Object::new(),
        1 => choices.remove(0),
        _ => {
            let list = choices
                .into_iter()
                .enumerate()
                .map(|(index, mut choice)| {
                    choice.insert(0, (Cow::Borrowed("index"), Value::UInt(index as u64)));
                    Value::Object(choice)
                })
                .collect();
            vec![(Cow::Borrowed("choices"), Value::List(list))]
        }
    };
    fields.extend(rest);
    fields
}

/// A choice of an answer that came at once.
fn whole(choice: Value<'_>) -> Object<'_> {
    let message = |key: &str| choice.get(&["message", key]).cloned();
    let content = match message("content").or_else(|| choice.get(&["text"]).cloned()) {
        Some(parts @ Value::List(_)) => Some(stream::text_of(&parts).map_or(parts.clone().as_json(), Value::Text)),
        content => content,
    };
    let mut fields = Object::new();
    set(&mut fields, CONTENT, content);
    for key in TEXTS {
        set(&mut fields, key, message(key));
    }
    for key in PARTS {
        let part = message(key).filter(|part| !part.as_list().is_some_and(<[_]>::is_empty));
        set(&mut fields, key, part.map(Value::as_json));
    }
    set(&mut fields, TOOL_CALLS, message(TOOL_CALLS).or_else(|| message("function_call")).map(Value::as_json));
    set(&mut fields, FINISH_REASON, choice.get(&[FINISH_REASON]).cloned());
    set(&mut fields, LOGPROBS, choice.get(&[LOGPROBS]).cloned().map(Value::as_json));
    fields
}

/// Texts of a message beside its content. vLLM says `reasoning` for what it called `reasoning_content`.
const TEXTS: [&str; 3] = ["reasoning_content", "reasoning", "refusal"];

/// What else a message may hold; come at once, or not at all.
const PARTS: [&str; 2] = ["annotations", "audio"];

const LOGPROBS: &str = "logprobs";

/// A choice that grows.
#[derive(Default)]
struct Growing<'a> {
    content: Joined<'a>,
    /// By the order of [`TEXTS`].
    texts: [Joined<'a>; TEXTS.len()],
    /// Lists by their keys, each appended to.
    logprobs: Vec<(Cow<'a, str>, Vec<Value<'a>>)>,
    tool_calls: Vec<ToolCall<'a>>,
    finish_reason: Option<Value<'a>>,
}

#[derive(Default)]
struct ToolCall<'a> {
    id: Option<Value<'a>>,
    kind: Option<Value<'a>>,
    name: Joined<'a>,
    arguments: Joined<'a>,
}

/// Choices, and tool calls of one, that a stream may open: an index beyond it is not followed.
const INDEX_MAX: usize = 1024;

/// The entry at an index that a stream names.
fn at<'v, T: Default>(items: &'v mut Vec<T>, value: &Value<'_>) -> Option<&'v mut T> {
    let index = match value.get(&["index"]) {
        Some(index) => index.as_word()?.parse::<usize>().ok()?,
        None => 0,
    };
    if index >= INDEX_MAX {
        return None;
    }
    if items.len() <= index {
        items.resize_with(index + 1, T::default);
    }
    items.get_mut(index)
}

fn assembled<'a>(list: &Value<'a>) -> Answer<'a> {
    let mut choices: Vec<Growing<'a>> = Vec::new();
    let mut top = Object::new();
    let mut done = false;
    let mut error = None;
    for chunk in stream::payloads(list) {
        let fields = match chunk {
            Value::Text(text) if text == stream::DONE => {
                done = true;
                continue;
            }
            Value::Object(fields) => fields,
            _ => continue,
        };
        error = error.or_else(|| stream::error_text(chunk));
        for (key, value) in fields.iter().filter(|(key, value)| key != "choices" && *value != Value::Null) {
            match top.iter_mut().find(|(name, _)| name == key) {
                Some((_, last)) => *last = value.clone(),
                None => top.push((key.clone(), value.clone())),
            }
        }
        let pieces = field(fields, "choices").and_then(Value::as_list).unwrap_or_default();
        for piece in pieces {
            if let Some(choice) = at(&mut choices, piece) {
                grow(choice, piece);
            }
        }
    }
    let model = field(&top, MODEL).and_then(Value::as_word);
    let choices = choices.into_iter().map(grown).collect();
    Answer { output: Half::One(columns(choices, rest(top))), model, ended: Some(done), error, ..Answer::default() }
}

fn grow<'a>(choice: &mut Growing<'a>, piece: &Value<'a>) {
    choice.content.push_at(piece, &["delta", "content"]);
    choice.content.push_at(piece, &["text"]);
    for (text, key) in choice.texts.iter_mut().zip(TEXTS) {
        text.push_at(piece, &["delta", key]);
    }
    if let Some(Value::Object(fields)) = piece.get(&[LOGPROBS]) {
        for (key, items) in fields.iter().filter_map(|(key, value)| Some((key, value.as_list()?))) {
            match choice.logprobs.iter_mut().find(|(name, _)| name == key) {
                Some((_, known)) => known.extend_from_slice(items),
                None => choice.logprobs.push((key.clone(), items.to_vec())),
            }
        }
    }
    for call in piece.get(&["delta", TOOL_CALLS]).and_then(Value::as_list).unwrap_or_default() {
        if let Some(growing) = at(&mut choice.tool_calls, call) {
            growing.id = growing.id.take().or_else(|| call.get(&["id"]).cloned());
            growing.kind = growing.kind.take().or_else(|| call.get(&["type"]).cloned());
            growing.name.push_at(call, &["function", "name"]);
            growing.arguments.push_at(call, &["function", "arguments"]);
        }
    }
    if let Some(reason) = piece.get(&[FINISH_REASON]).filter(|reason| **reason != Value::Null) {
        choice.finish_reason = Some(reason.clone());
    }
}

fn grown(choice: Growing<'_>) -> Object<'_> {
    let calls: Vec<Value<'_>> = choice.tool_calls.into_iter().map(tool_call).collect();
    let mut fields = Object::new();
    set(&mut fields, CONTENT, choice.content.into_text().map(Value::Text));
    for (key, text) in TEXTS.into_iter().zip(choice.texts) {
        set(&mut fields, key, text.into_text().map(Value::Text));
    }
    set(&mut fields, TOOL_CALLS, (!calls.is_empty()).then(|| Value::List(calls).as_json()));
    set(&mut fields, FINISH_REASON, choice.finish_reason);
    let logprobs: Object<'_> = choice.logprobs.into_iter().map(|(key, items)| (key, Value::List(items))).collect();
    set(&mut fields, LOGPROBS, (!logprobs.is_empty()).then(|| Value::Object(logprobs).as_json()));
    fields
}

/// As it would stand in an answer that came at once.
fn tool_call(call: ToolCall<'_>) -> Value<'_> {
    let function = vec![
        (Cow::Borrowed("name"), call.name.into_value()),
        (Cow::Borrowed("arguments"), call.arguments.into_value()),
    ];
    let mut fields = Object::new();
    set(&mut fields, "id", call.id);
    set(&mut fields, "type", call.kind);
    fields.push((Cow::Borrowed("function"), Value::Object(function)));
    Value::Object(fields)
}
