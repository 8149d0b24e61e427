//! The Responses API: a list of output items, or a stream of events that ends with all of them.

use std::borrow::Cow;
use std::collections::HashSet;

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
    // Cut: the items that came whole, and the pieces of the text of the others.
    let mut items = Vec::new();
    let mut places = HashSet::new();
    for event in stream::payloads(&value).filter(|event| kind(event).as_deref() == Some("response.output_item.done")) {
        items.extend(event.get(&["item"]).cloned());
        places.extend(event.get(&["output_index"]).and_then(Value::as_word));
    }
    let mut output = Output::of(items);
    let mut model = None;
    for event in stream::payloads(&value) {
        let is_whole = event.get(&["output_index"]).and_then(Value::as_word).is_some_and(|at| places.contains(&at));
        match kind(event).as_deref() {
            Some("response.output_text.delta") if !is_whole => output.content.push_at(event, &["delta"]),
            Some("response.created") => model = event.get(&["response", MODEL]).and_then(Value::as_word),
            _ => {}
        }
    }
    let mut fields = output.columns();
    set(&mut fields, MODEL, model.clone().map(Value::Text));
    Answer { output: Half::One(fields), model, ended: Some(false), error, ..Answer::default() }
}

/// What stands in a list of output items, as columns.
#[derive(Default)]
struct Output<'a> {
    content: Joined<'a>,
    refusal: Joined<'a>,
    /// Named as in chat: `reasoning` is what the request asked for.
    reasoning: Joined<'a>,
    annotations: Vec<Value<'a>>,
    calls: Vec<Value<'a>>,
}

impl<'a> Output<'a> {
    fn of(items: Vec<Value<'a>>) -> Output<'a> {
        let mut output = Output::default();
        for item in items {
            match item.get(&["type"]).and_then(Value::as_text) {
                Some("message") => output.message(&item),
                Some("reasoning") => {
                    for key in ["summary", "content"] {
                        if let Some(text) = item.get(&[key]).and_then(stream::text_of) {
                            output.reasoning.push(text);
                        }
                    }
                }
                _ => output.calls.push(item),
            }
        }
        output
    }

    fn message(&mut self, item: &Value<'a>) {
        let Some(content) = item.get(&["content"]) else { return };
        if let Some(text) = stream::text_of(content) {
            self.content.push(text);
        }
        for part in content.as_list().unwrap_or_default() {
            self.refusal.push_at(part, &["refusal"]);
            self.annotations.extend_from_slice(part.get(&["annotations"]).and_then(Value::as_list).unwrap_or_default());
        }
    }

    fn columns(self) -> Object<'a> {
        let list = |items: Vec<Value<'a>>| (!items.is_empty()).then(|| Value::List(items).as_json());
        let mut columns = Object::new();
        set(&mut columns, CONTENT, self.content.into_text().map(Value::Text));
        set(&mut columns, "refusal", self.refusal.into_text().map(Value::Text));
        set(&mut columns, "reasoning_content", self.reasoning.into_text().map(Value::Text));
        set(&mut columns, "annotations", list(self.annotations));
        set(&mut columns, TOOL_CALLS, list(self.calls));
        columns
    }
}

fn whole(mut fields: Object<'_>) -> Answer<'_> {
    let model = fields.iter().rev().find(|(key, _)| key == MODEL).and_then(|(_, value)| value.as_word());
    let mut taken = |key: &str| {
        let at = fields.iter().position(|(name, _)| name == key)?;
        Some(fields.remove(at).1)
    };
    let (output, status) = (taken("output"), taken("status"));
    let items = match output {
        Some(Value::List(items)) => items,
        _ => Vec::new(),
    };
    let error = stream::error_text(&Value::Object(fields.clone()));
    let mut columns = Output::of(items).columns();
    set(&mut columns, FINISH_REASON, status);
    columns.extend(rest(fields));
    Answer { output: Half::One(columns), model, error, ..Answer::default() }
}
