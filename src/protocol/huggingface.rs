//! Hugging Face style: `{"inputs": "text", "parameters": {..}}`, pipelines and text-generation servers.
//!
//! Documentation: Hugging Face, "Inference Endpoints: custom handler"; huggingface/text-generation-inference, `docs/openapi.json`.

use std::borrow::Cow;

use super::generic::{self, Halves};
use super::media::Form;
use super::split::{Batch, Half, Items};
use super::stream::{self, Joined};
use super::value::{Object, Value};
use super::{Matter, Reading};

pub const NAME: &str = "huggingface";

const INPUTS: &str = "inputs";
const GENERATED_TEXT: &str = "generated_text";

/// What the items of a list of labels are called.
const RESULTS: &str = "results";

/// Keys that stand beside `inputs` in this form: of pipelines and text generation, and of the server for embeddings.
const BESIDE: [&str; 11] = [
    "inputs",
    "parameters",
    "options",
    "stream",
    "truncate",
    "truncation_direction",
    "normalize",
    "prompt_name",
    "dimensions",
    "raw_scores",
    "task",
];

/// Keys of which a pipeline's input of several parts has one: questions about texts and tables, similarity, conversations.
const PARTS: [&str; 4] = ["question", "query", "source_sentence", "past_user_inputs"];

/// Keys of which an item found in a text or an image has one. Such a list may as well have two or none: it stays a list.
const FOUND: [&str; 4] = ["entity", "entity_group", "box", "timestamp"];

/// `inputs` is a text, a list of texts, or what a pipeline takes in parts, and nothing foreign stands beside it. TF Serving's path
/// says that it is no such text, and MLflow's servers answer under a key of their own.
pub fn matches(matter: &Matter<'_>) -> bool {
    let Some(fields) = matter.request.fields() else { return false };
    let known = fields.iter().all(|(key, _)| BESIDE.contains(&key.as_ref()));
    let is_input = |value: &Value<'_>| is_text(value) || is_texts(value) || is_parts(value);
    known
        && fields.iter().any(|(key, value)| key == INPUTS && is_input(value))
        && !matter.path.contains("/v1/models/")
        && matter.response.fields().is_none_or(|fields| !fields.iter().any(|(key, _)| key == "predictions"))
}

fn is_parts(value: &Value<'_>) -> bool {
    let is_part =
        |(key, value): &(Cow<'_, str>, Value<'_>)| PARTS.contains(&key.as_ref()) && (is_text(value) || key == PARTS[3]);
    matches!(value, Value::Object(fields) if fields.iter().any(is_part))
}

fn is_text(value: &Value<'_>) -> bool {
    matches!(value, Value::Text(_))
}

fn is_texts(value: &Value<'_>) -> bool {
    value.as_list().is_some_and(|items| !items.is_empty() && items.iter().all(is_text))
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let streamed = match matter.response.form {
        Form::Events => true,
        // A line per token: the containers that SageMaker has for language models.
        Form::Lines => matter.response.value.as_ref().is_ok_and(|list| stream::payloads(list).any(is_token)),
        _ => false,
    };
    let client_id = generic::client_id(&matter);
    let (request, first) = matter.request.open();
    let (response, second) = if matter.answered { matter.response.open() } else { (None, None) };
    let ended = response.as_ref().filter(|_| streamed).map(ended);
    let second = stream::hindrance(second, ended);
    let error =
        response.as_ref().filter(|_| streamed).and_then(|list| stream::payloads(list).find_map(stream::error_text));
    let input = match request {
        None => Half::Absent,
        Some(Value::Object(fields)) => input(fields),
        Some(other) => generic::question(other).alone(),
    };
    let output = match (response, &input) {
        (None, _) => Half::Absent,
        (Some(list), _) if streamed => Half::One(assembled(&list)),
        (Some(Value::List(answers)), Half::Many(_)) => {
            Half::Many(Batch::bare(answers.into_iter().map(|answer| Value::Object(single(answer))).collect()))
        }
        (Some(value), Half::Many(batch)) => generic::answer(value, batch.count()),
        (Some(value), _) => Half::One(single(value)),
    };
    let mut reading = Halves { input, output, problems: [first, second] }.reading(NAME, &matter.limits);
    reading.client_id = client_id;
    reading.ended = ended;
    reading.error = error;
    reading
}

fn is_token(event: &Value<'_>) -> bool {
    event.get(&["token"]).is_some()
}

/// A list of texts is a batch of them; the parts of one input are its columns.
fn input(mut fields: Object<'_>) -> Half<'_> {
    if let Some(at) = fields.iter().position(|(key, value)| key == INPUTS && is_parts(value))
        && let (_, Value::Object(parts)) = fields.remove(at)
    {
        fields.splice(at..at, parts);
        return Half::One(fields);
    }
    let Some(at) = fields.iter().position(|(key, value)| key == INPUTS && is_texts(value)) else {
        return Half::One(fields);
    };
    match fields.remove(at) {
        (key, Value::List(items)) => {
            Half::Many(Batch { key: None, items: Items::Columns(vec![(key, items)]), beside: fields })
        }
        (key, other) => {
            fields.push((key, other));
            Half::One(fields)
        }
    }
}

/// The answer to one text: lists of one item are that item; a list of labels stays one.
fn single(value: Value<'_>) -> Object<'_> {
    match value {
        Value::List(items) if items.iter().any(is_found) => vec![(Cow::Borrowed(RESULTS), Value::List(items))],
        Value::List(mut items) if items.len() == 1 => single(items.pop().unwrap_or(Value::Null)),
        Value::Object(fields) => fields,
        list @ Value::List(_) => vec![(Cow::Borrowed(RESULTS), list)],
        scalar => super::names::Names::Outputs.fields(scalar),
    }
}

fn is_found(item: &Value<'_>) -> bool {
    FOUND.iter().any(|key| item.get(&[*key]).is_some())
}

/// Whether the last event came: it holds the whole text.
fn ended(list: &Value<'_>) -> bool {
    stream::payloads(list).any(|event| event.get(&[GENERATED_TEXT]).is_some_and(is_text))
}

/// The whole text out of the last event, or the pieces that came.
fn assembled<'a>(list: &Value<'a>) -> Object<'a> {
    let mut pieces = Joined::default();
    let mut fields = Object::new();
    for event in stream::payloads(list) {
        let special = event.get(&["token", "special"]) == Some(&Value::Bool(true));
        if !special {
            pieces.push_at(event, &["token", "text"]);
        }
        if let Some(text @ Value::Text(_)) = event.get(&[GENERATED_TEXT]) {
            fields.push((Cow::Borrowed(GENERATED_TEXT), text.clone()));
        }
        if let Some(details @ Value::Object(_)) = event.get(&["details"]) {
            fields.push((Cow::Borrowed("details"), details.clone()));
        }
    }
    if !fields.iter().any(|(key, _)| key == GENERATED_TEXT) {
        stream::set(&mut fields, GENERATED_TEXT, pieces.into_text().map(Value::Text));
    }
    fields
}
