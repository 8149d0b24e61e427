//! The Responses API: a list of output items, or a stream of events that ends with all of them.

use std::borrow::Cow;

use super::super::split::Half;
use super::super::stream::{self, CONTENT, FINISH_REASON, Joined, MODEL, TOOL_CALLS, set};
use super::super::value::{Object, Value};
use super::{Answer, rest};

/// Events that carry the whole response and end the stream.
const LAST: [&str; 3] = ["response.completed", "response.incomplete", "response.failed"];

pub(super) fn answer(value: Value<'_>, streamed: bool) -> Answer<'_> {
    if !streamed {
        return match value {
            Value::Object(fields) => whole(fields),
            other => Answer { output: Half::One(vec![(Cow::Borrowed(CONTENT), other)]), ..Answer::default() },
        };
    }
    let kind = |event: &Value<'_>| event.get(&["type"]).and_then(Value::as_word).map(Cow::into_owned);
    let error = stream::payloads(&value).find_map(|event| match kind(event).as_deref() {
        Some("error") => event.get(&["message"]).and_then(Value::as_word).map(Cow::into_owned),
        _ => None,
    });
    let last = stream::payloads(&value).find(|event| kind(event).is_some_and(|kind| LAST.contains(&kind.as_str())));
    if let Some(Value::Object(fields)) = last.and_then(|event| event.get(&["response"])) {
        let answer = whole(fields.clone());
        return Answer { ended: Some(true), error: error.or(answer.error), ..answer };
    }
    // Cut: the pieces that came.
    let mut content = Joined::default();
    let mut model = None;
    for event in stream::payloads(&value) {
        match kind(event).as_deref() {
            Some("response.output_text.delta") => content.push_at(event, &["delta"]),
            Some("response.created") => model = event.get(&["response", MODEL]).and_then(Value::as_word),
            _ => {}
        }
    }
    let mut fields = Object::new();
    set(&mut fields, CONTENT, content.into_text().map(Value::Text));
    set(&mut fields, MODEL, model.clone().map(Value::Text));
    Answer { output: Half::One(fields), model, ended: Some(false), error, ..Answer::default() }
}

fn whole(mut fields: Object<'_>) -> Answer<'_> {
    let model = fields.iter().rev().find(|(key, _)| key == MODEL).and_then(|(_, value)| value.as_word());
    let mut taken = |key: &str| {
        let at = fields.iter().position(|(name, _)| name == key)?;
        Some(fields.remove(at).1)
    };
    let (output, status) = (taken("output"), taken("status"));
    let mut content = Joined::default();
    let mut calls = Vec::new();
    let items = match output {
        Some(Value::List(items)) => items,
        _ => Vec::new(),
    };
    for item in items {
        match item.get(&["type"]).and_then(Value::as_text) {
            Some("message") => {
                if let Some(text) = item.get(&["content"]).and_then(stream::text_of) {
                    content.push(text);
                }
            }
            Some("reasoning") => {}
            _ => calls.push(item),
        }
    }
    let error = stream::error_text(&Value::Object(fields.clone()));
    let mut columns = Object::new();
    set(&mut columns, CONTENT, content.into_text().map(Value::Text));
    set(&mut columns, TOOL_CALLS, (!calls.is_empty()).then(|| Value::List(calls).as_json()));
    set(&mut columns, FINISH_REASON, status);
    columns.extend(rest(fields));
    Answer { output: Half::One(columns), model, error, ..Answer::default() }
}
