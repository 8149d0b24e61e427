//! OpenAI's chat, completions, embeddings and responses, and the many servers that speak like it; event streams assembled.
//!
//! Reference: OpenAI API reference ("Chat", "Completions", "Embeddings", "Responses"; streaming events of each).

mod chat;
mod embeddings;
mod responses;

use std::borrow::Cow;

use super::generic::Halves;
use super::media::Form;
use super::split::Half;
use super::stream::{self, MODEL};
use super::value::{Object, Value};
use super::{Matter, Reading, Side};

pub const NAME: &str = "openai";

/// The four kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Chat and completions.
    Chat,
    Embeddings,
    Responses,
}

impl Kind {
    /// Whether the bodies, as far as they can be read, are a call of this kind: a request asks by a key of its own, and names a model or is
    /// answered in the kind's form.
    fn fits(self, matter: &Matter<'_>) -> bool {
        let (asks, answers): (&[&str], _) = match self {
            Kind::Chat => (&["messages", "prompt"], ["choices", "error"]),
            Kind::Embeddings => (&["input"], ["data", "error"]),
            Kind::Responses => (&["input", "prompt", "previous_response_id"], ["output", "error"]),
        };
        let answered = match matter.response.form {
            Form::Events => None,
            _ => has_one(&matter.response, &answers),
        };
        match has_one(&matter.request, asks) {
            Some(false) => false,
            Some(true) => has_one(&matter.request, &[MODEL]) == Some(true) || answered != Some(false),
            None => answered != Some(false),
        }
    }
}

/// Whether a body has one of these keys; `None`: there is none that can be read.
fn has_one(side: &Side<'_>, keys: &[&str]) -> Option<bool> {
    side.value.as_ref().ok()?;
    Some(side.fields().is_some_and(|fields| fields.iter().any(|(key, _)| keys.contains(&key.as_ref()))))
}

/// The path's end, unless the bodies are of another make, for many servers have such a path; or, on whatever path (`/invocations` of MLflow and
/// Databricks), a question and an answer that look so.
pub fn matches(matter: &Matter<'_>) -> bool {
    kind_of(matter).is_some()
}

fn kind_of(matter: &Matter<'_>) -> Option<Kind> {
    kind(matter.path).filter(|kind| kind.fits(matter)).or_else(|| kind_by_shape(matter))
}

fn kind_by_shape(matter: &Matter<'_>) -> Option<Kind> {
    let asks = |key: &str| matter.request.value.as_ref().is_ok_and(|body| body.get(&[key]).is_some());
    let chats =
        matter.request.value.as_ref().is_ok_and(|body| body.get(&["messages"]).is_some_and(stream::is_dialogue));
    let answer = matter.response.value.as_ref().ok().filter(|_| matter.answered);
    let has_choices = |body: &Value<'_>| body.get(&["choices"]).is_some_and(Value::is_list);
    if chats && (answer.is_some_and(has_choices) || answer.is_some_and(|list| stream::payloads(list).any(has_choices)))
    {
        return Some(Kind::Chat);
    }
    let answer = answer?;
    match answer.get(&["object"])?.as_text()? {
        "text_completion" if asks("prompt") && has_choices(answer) => Some(Kind::Chat),
        "response" if asks("input") => Some(Kind::Responses),
        "list" if asks("input") => {
            let first = answer.get(&["data"])?.as_list()?.first()?;
            (first.get(&["object"])?.as_text()? == "embedding").then_some(Kind::Embeddings)
        }
        _ => None,
    }
}

fn kind(path: &str) -> Option<Kind> {
    match path.trim_end_matches('/').rsplit('/').next()? {
        "completions" => Some(Kind::Chat),
        "embeddings" => Some(Kind::Embeddings),
        "responses" => Some(Kind::Responses),
        _ => None,
    }
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    // A route may pin this protocol on any path.
    let kind = kind_of(&matter).or_else(|| kind(matter.path)).unwrap_or(Kind::Chat);
    let streamed = matter.response.form == Form::Events;
    let (request, first) = matter.request.open();
    let (response, second) = if matter.answered { matter.response.open() } else { (None, None) };
    let model = request.as_ref().and_then(|value| value.get(&[MODEL])).and_then(Value::as_word);

    let answer = match (kind, response) {
        (_, None) => Answer::default(),
        (Kind::Chat, Some(value)) => chat::answer(value, streamed),
        (Kind::Responses, Some(value)) => responses::answer(value, streamed),
        (Kind::Embeddings, Some(value)) => embeddings::answer(value),
    };
    let input = match (kind, request) {
        (_, None) => Half::Absent,
        (Kind::Embeddings, Some(Value::Object(fields))) => embeddings::request(fields),
        (_, Some(Value::Object(fields))) => Half::One(stream::request(fields)),
        (_, Some(other)) => Half::One(vec![(Cow::Borrowed("input"), other)]),
    };
    let version = answer.model;
    let second = stream::hindrance(second, answer.ended);
    let mut reading = Halves { input, output: answer.output, problems: [first, second] }.reading(NAME, &matter.limits);
    reading.model = model;
    reading.version = version;
    reading.ended = answer.ended;
    reading.error = answer.error;
    reading.types = answer.types;
    reading
}

/// What an answer was read as.
struct Answer<'a> {
    output: Half<'a>,
    /// The name that the model answers by.
    model: Option<Cow<'a, str>>,
    /// As in [`Reading`].
    ended: Option<bool>,
    error: Option<String>,
    types: Vec<(Cow<'a, str>, &'static str)>,
}

impl Default for Answer<'_> {
    fn default() -> Self {
        Answer { output: Half::Absent, model: None, ended: None, error: None, types: Vec::new() }
    }
}

/// Fields of an answer's top level that are no columns: what they say is in others.
const LEFT_OUT: [&str; 3] = ["object", "choices", "data"];

/// The rest of an answer's top level: scalars and `usage` as they are, other containers as JSON.
fn rest(fields: Object<'_>) -> Object<'_> {
    fields
        .into_iter()
        .filter(|(key, value)| !LEFT_OUT.contains(&key.as_ref()) && *value != Value::Null)
        .map(|(key, value)| if key == stream::USAGE { (key, value) } else { (key, value.as_json()) })
        .collect()
}
