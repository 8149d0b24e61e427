//! Chat and completions: choices with a message, or a stream of their pieces.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::super::split::Half;
use super::super::stream::{self, CONTENT, FINISH_REASON, Gathered, Joined, MODEL, TOOL_CALLS, set};
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
    let choices = choices.into_iter().enumerate().map(|(place, choice)| (index(&choice, place), whole(choice)));
    Answer { output: Half::One(columns(choices.collect(), rest(fields))), model, ..Answer::default() }
}

fn field<'v, 'a>(fields: &'v Object<'a>, key: &str) -> Option<&'v Value<'a>> {
    fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// The number that a choice or a call has; without one, that of its place.
fn index(value: &Value<'_>, place: usize) -> u64 {
    let told = value.get(&["index"]).and_then(Value::as_word).and_then(|index| index.parse().ok());
    told.unwrap_or(place as u64)
}

/// One choice as columns; several as a list of them, by their numbers.
fn columns<'a>(mut choices: Vec<(u64, Object<'a>)>, rest: Object<'a>) -> Object<'a> {
    let mut fields = match choices.len() {
        0 => Object::new(),
        1 => choices.remove(0).1,
        _ => {
            choices.sort_by_key(|(index, _)| *index);
            let list = choices
                .into_iter()
                .map(|(index, mut choice)| {
                    choice.insert(0, (Cow::Borrowed("index"), Value::UInt(index)));
                    Value::Object(choice)
                })
                .collect();
            vec![(Cow::Borrowed("choices"), Value::List(list))]
        }
    };
    // What a message has of its own is not what the answer calls so.
    let taken: HashSet<&str> = rest.iter().map(|(key, _)| key.as_ref()).collect();
    for (key, _) in fields.iter_mut().filter(|(key, _)| taken.contains(key.as_ref())) {
        *key = Cow::Owned(format!("message_{key}"));
    }
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
    let calls = message(TOOL_CALLS).filter(|calls| !is_nothing(calls)).or_else(|| message(FUNCTION_CALL));
    set(&mut fields, TOOL_CALLS, calls.map(Value::as_json));
    set(&mut fields, FINISH_REASON, choice.get(&[FINISH_REASON]).cloned());
    set(&mut fields, LOGPROBS, choice.get(&[LOGPROBS]).cloned().map(Value::as_json));
    let Value::Object(choice) = choice else { return fields };
    let mut others = Object::new();
    for (key, value) in choice {
        match value {
            Value::Object(message) if key == "message" => others.extend(message.into_iter().filter(is_other)),
            value => others.extend(Some((key, value)).filter(is_other)),
        }
    }
    fields.extend(others.into_iter().map(|(key, value)| (key, value.as_json())));
    fields
}

/// Texts of a message beside its content. vLLM says `reasoning` for what it called `reasoning_content`.
const TEXTS: [&str; 3] = ["reasoning_content", "reasoning", "refusal"];

/// What a message called its one call before there could be several.
const FUNCTION_CALL: &str = "function_call";

const LOGPROBS: &str = "logprobs";

/// Keys of a choice and of its message that have columns, or say what the columns say.
const KNOWN: [&str; 10] =
    ["index", "role", "message", "delta", "content", "text", TOOL_CALLS, FUNCTION_CALL, FINISH_REASON, LOGPROBS];

/// Whether a field is one more that the server has to say: citations, audio, what a filter found.
fn is_other((key, value): &(Cow<'_, str>, Value<'_>)) -> bool {
    !KNOWN.contains(&key.as_ref()) && !TEXTS.contains(&key.as_ref()) && !is_nothing(value)
}

fn is_nothing(value: &Value<'_>) -> bool {
    *value == Value::Null || value.as_list().is_some_and(<[_]>::is_empty)
}

/// A choice that grows.
#[derive(Default)]
struct Growing<'a> {
    content: Joined<'a>,
    /// By the order of [`TEXTS`].
    texts: [Joined<'a>; TEXTS.len()],
    /// Lists by their keys, each appended to.
    logprobs: Gathered<'a>,
    /// In the order they began, with the numbers they are told by.
    tool_calls: Vec<(u64, ToolCall<'a>)>,
    function_call: Option<ToolCall<'a>>,
    finish_reason: Option<Value<'a>>,
    others: Gathered<'a>,
}

#[derive(Default)]
struct ToolCall<'a> {
    id: Option<Value<'a>>,
    kind: Option<Value<'a>>,
    name: Joined<'a>,
    arguments: Joined<'a>,
}

/// Choices, and tool calls of one, that a stream may open: what it opens beyond is not followed.
const OPEN_MAX: usize = 1024;

/// The choice that a piece is of.
fn choice<'v, 'a>(choices: &'v mut BTreeMap<u64, Growing<'a>>, piece: &Value<'_>) -> Option<&'v mut Growing<'a>> {
    let index = index(piece, 0);
    (choices.len() < OPEN_MAX || choices.contains_key(&index)).then(|| choices.entry(index).or_default())
}

/// The call that a piece is of. Some servers number every call 0: another id is another call.
fn call<'v, 'a>(calls: &'v mut Vec<(u64, ToolCall<'a>)>, piece: &Value<'a>) -> Option<&'v mut ToolCall<'a>> {
    let index = index(piece, 0);
    let id = piece.get(&["id"]).filter(|id| id.as_text().is_some_and(|id| !id.is_empty()));
    let known = calls.iter().rposition(|(known, _)| *known == index);
    let goes_on = known.filter(|at| id.is_none() || calls[*at].1.id.is_none() || calls[*at].1.id.as_ref() == id);
    match goes_on {
        Some(at) => calls.get_mut(at).map(|(_, call)| call),
        None if calls.len() < OPEN_MAX => {
            calls.push((index, ToolCall::default()));
            calls.last_mut().map(|(_, call)| call)
        }
        None => None,
    }
}

fn assembled<'a>(list: &Value<'a>) -> Answer<'a> {
    let mut choices = BTreeMap::new();
    let mut top = Gathered::default();
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
        let rest = fields.iter().filter(|(key, value)| key != "choices" && *value != Value::Null);
        rest.for_each(|field| top.last(field));
        let pieces = field(fields, "choices").and_then(Value::as_list).unwrap_or_default();
        for piece in pieces {
            if let Some(choice) = choice(&mut choices, piece) {
                grow(choice, piece);
            }
        }
    }
    let top = top.into_fields();
    let model = field(&top, MODEL).and_then(Value::as_word);
    let choices = choices.into_iter().map(|(index, choice)| (index, grown(choice))).collect();
    Answer { output: Half::One(columns(choices, rest(top))), model, ended: Some(done), error, ..Answer::default() }
}

fn grow<'a>(choice: &mut Growing<'a>, piece: &Value<'a>) {
    choice.content.push_at(piece, &["delta", "content"]);
    choice.content.push_at(piece, &["text"]);
    for (text, key) in choice.texts.iter_mut().zip(TEXTS) {
        text.push_at(piece, &["delta", key]);
    }
    if let Some(Value::Object(fields)) = piece.get(&[LOGPROBS]) {
        fields.iter().filter(|(_, items)| items.is_list()).for_each(|field| choice.logprobs.grow(field));
    }
    for piece in piece.get(&["delta", TOOL_CALLS]).and_then(Value::as_list).unwrap_or_default() {
        if let Some(call) = call(&mut choice.tool_calls, piece) {
            call.id = call.id.take().or_else(|| piece.get(&["id"]).cloned());
            call.kind = call.kind.take().or_else(|| piece.get(&["type"]).cloned());
            call.name.push_at(piece, &["function", "name"]);
            call.arguments.push_at(piece, &["function", "arguments"]);
        }
    }
    if let Some(piece) = piece.get(&["delta", FUNCTION_CALL]).filter(|piece| piece.is_object()) {
        let call = choice.function_call.get_or_insert_default();
        call.name.push_at(piece, &["name"]);
        call.arguments.push_at(piece, &["arguments"]);
    }
    for fields in [Some(piece), piece.get(&["delta"])].into_iter().flatten() {
        if let Value::Object(fields) = fields {
            fields.iter().filter(|field| is_other(field)).for_each(|field| choice.others.grow(field));
        }
    }
    if let Some(reason) = piece.get(&[FINISH_REASON]).filter(|reason| **reason != Value::Null) {
        choice.finish_reason = Some(reason.clone());
    }
}

fn grown(choice: Growing<'_>) -> Object<'_> {
    let calls: Vec<Value<'_>> = choice.tool_calls.into_iter().map(|(_, call)| tool_call(call)).collect();
    let calls = match (calls.is_empty(), choice.function_call) {
        (false, _) => Some(Value::List(calls)),
        (true, call) => call.map(|call| Value::Object(function(call.name, call.arguments))),
    };
    let mut fields = Object::new();
    set(&mut fields, CONTENT, choice.content.into_text().map(Value::Text));
    for (key, text) in TEXTS.into_iter().zip(choice.texts) {
        set(&mut fields, key, text.into_text().map(Value::Text));
    }
    set(&mut fields, TOOL_CALLS, calls.map(Value::as_json));
    set(&mut fields, FINISH_REASON, choice.finish_reason);
    let logprobs = choice.logprobs.into_fields();
    set(&mut fields, LOGPROBS, (!logprobs.is_empty()).then(|| Value::Object(logprobs).as_json()));
    fields.extend(choice.others.into_fields().into_iter().map(|(key, value)| (key, value.as_json())));
    fields
}

/// As it would stand in an answer that came at once.
fn tool_call(call: ToolCall<'_>) -> Value<'_> {
    let mut fields = Object::new();
    set(&mut fields, "id", call.id);
    set(&mut fields, "type", call.kind);
    fields.push((Cow::Borrowed("function"), Value::Object(function(call.name, call.arguments))));
    Value::Object(fields)
}

fn function<'a>(name: Joined<'a>, arguments: Joined<'a>) -> Object<'a> {
    vec![(Cow::Borrowed("name"), name.into_value()), (Cow::Borrowed("arguments"), arguments.into_value())]
}
