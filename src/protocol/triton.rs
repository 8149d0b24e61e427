//! Triton's `generate` and `generate_stream`: a text in, a text out.
//!
//! Specification: triton-inference-server/server, `docs/protocol/extension_generate.md`.

use std::borrow::Cow;
use std::collections::HashMap;

use super::generic::Halves;
use super::media::Form;
use super::split::Half;
use super::stream::{self, Joined};
use super::value::{Object, Value};
use super::{Matter, Reading};

pub const NAME: &str = "triton_generate";

const TEXT_OUTPUT: &str = "text_output";

/// The path.
pub fn matches(matter: &Matter<'_>) -> bool {
    model_path(matter.path).is_some()
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let path = model_path(matter.path);
    let streamed = matter.response.form == Form::Events;
    let (request, first) = matter.request.open();
    let (response, second) = if matter.answered { matter.response.open() } else { (None, None) };
    let error = response.as_ref().and_then(|value| stream::payloads(value).find_map(stream::error_text));
    let mut fields = match response {
        Some(events) if streamed => Some(assembled(&events)),
        Some(Value::Object(fields)) => Some(fields),
        Some(other) => Some(vec![(Cow::Borrowed(TEXT_OUTPUT), other)]),
        None => None,
    };
    let mut taken = |key: &str| {
        let fields = fields.as_mut()?;
        let at = fields.iter().position(|(name, _)| name == key)?;
        fields.remove(at).1.as_word()
    };
    let (model, version) = (taken("model_name"), taken("model_version"));
    let input = match request {
        Some(Value::Object(fields)) => Half::One(fields),
        Some(other) => Half::One(vec![(Cow::Borrowed("text_input"), other)]),
        None => Half::Absent,
    };
    let output = fields.map_or(Half::Absent, Half::One);
    let mut reading = Halves { input, output, problems: [first, second] }.reading(NAME, &matter.limits);
    reading.model = model.or(path.map(|(model, _)| Cow::Borrowed(model)));
    reading.version = version.or(path.and_then(|(_, version)| version.map(Cow::Borrowed)));
    reading.error = error;
    reading
}

/// The outputs of all chunks: texts joined, of anything else the last. A text that is the same in every chunk is no piece.
fn assembled<'a>(list: &Value<'a>) -> Object<'a> {
    let mut fields: Vec<(Cow<'a, str>, Vec<Value<'a>>)> = Vec::new();
    let mut places = HashMap::new();
    for payload in stream::payloads(list) {
        let Value::Object(chunk) = payload else { continue };
        for (key, value) in chunk {
            let place = *places.entry(key.clone()).or_insert_with(|| {
                fields.push((key.clone(), Vec::new()));
                fields.len() - 1
            });
            fields[place].1.push(value.clone());
        }
    }
    fields.into_iter().map(|(key, pieces)| (key.clone(), joined(&key, pieces))).collect()
}

fn joined<'a>(key: &str, mut pieces: Vec<Value<'a>>) -> Value<'a> {
    let is_constant = key != TEXT_OUTPUT && pieces.windows(2).all(|pair| pair[0] == pair[1]);
    let last = pieces.pop().unwrap_or(Value::Null);
    if is_constant {
        return last;
    }
    // Several texts in one chunk, one per beam: each goes on in the next.
    let width = last.as_list().map(<[_]>::len);
    let is_like_last = |piece: &Value<'a>| match (piece, width) {
        (Value::Text(_), None) => true,
        (Value::List(items), Some(width)) => {
            items.len() == width && items.iter().all(|item| matches!(item, Value::Text(_)))
        }
        _ => false,
    };
    if !is_like_last(&last) || !pieces.iter().all(is_like_last) {
        return last;
    }
    pieces.push(last);
    let mut texts: Vec<Joined<'a>> = (0..width.unwrap_or(1)).map(|_| Joined::default()).collect();
    for piece in pieces {
        match piece {
            Value::List(items) => {
                for (text, item) in texts.iter_mut().zip(items) {
                    text.push_at(&item, &[]);
                }
            }
            piece => texts.iter_mut().for_each(|text| text.push_at(&piece, &[])),
        }
    }
    let mut texts = texts.into_iter().map(Joined::into_value);
    match width {
        Some(_) => Value::List(texts.collect()),
        None => texts.next().unwrap_or(Value::Null),
    }
}

/// Model and version of `/v2/models/{model}[/versions/{version}]/generate[_stream]`.
fn model_path(path: &str) -> Option<(&str, Option<&str>)> {
    let rest = path.strip_suffix("/generate").or_else(|| path.strip_suffix("/generate_stream"))?;
    let (_, rest) = rest.rsplit_once("/v2/models/")?;
    let (model, version) = match rest.split_once("/versions/") {
        Some((model, version)) => (model, Some(version)),
        None => (rest, None),
    };
    let is_segment = |text: &str| !text.is_empty() && !text.contains('/');
    (is_segment(model) && version.is_none_or(is_segment)).then_some((model, version))
}
