//! The plain form: an object of `id` or `client_request_id`, `truth`, `reward`, `metadata`. What it says is checked key by key: a
//! misspelt one would be a truth that is never found.

use std::borrow::Cow;

use super::EXAMPLE;
use super::said::{CLIENT_ID_BYTES_MAX, Id, KEYS, Place, Said};
use crate::protocol::{Object, Value};
use crate::record::assemble::shorten;

/// Bytes of a key that is quoted.
const QUOTED_BYTES_MAX: usize = 64;

pub fn read(value: Value<'_>, place: Place) -> Result<Said<'_>, String> {
    let Value::Object(fields) = value else {
        return Err(place.says(format!("it is no JSON object; {EXAMPLE}")));
    };
    object(fields).map_err(|why| place.says(why))
}

fn object(fields: Object<'_>) -> Result<Said<'_>, String> {
    let mut said =
        Said { id: None, client_request_id: None, row_index: None, truth: None, reward: None, metadata: Vec::new() };
    for (key, value) in fields {
        match (key.as_ref(), value) {
            ("id", value) => said.id = Some(id(&value)?),
            ("client_request_id", value) => said.client_request_id = Some(client_id(value)?),
            ("truth" | "reward" | "metadata", Value::Null) => {}
            ("truth", value) => said.truth = Some(value),
            ("reward", value) => said.reward = Some(reward(value)?),
            ("metadata", value) => said.metadata = metadata(value)?,
            (other, _) => {
                let key = shorten(other.to_owned(), QUOTED_BYTES_MAX);
                return Err(format!(
                    "`{key}` is no field of feedback; it has {}",
                    KEYS.map(|key| format!("`{key}`")).join(", ")
                ));
            }
        }
    }
    if said.id.is_none() && said.client_request_id.is_none() {
        return Err(format!("it names no prediction: neither `id` nor `client_request_id`; {EXAMPLE}"));
    }
    if said.truth.is_none() && said.reward.is_none() {
        return Err("it says nothing: neither `truth` nor `reward`; send one of them".to_owned());
    }
    Ok(said)
}

fn id(value: &Value<'_>) -> Result<Id, String> {
    value.as_text().and_then(Id::parse).ok_or_else(|| {
        "`id` is no id that weir gives: send the answer's `x-weir-id`, or `<x-weir-id>_<i>` for row i of a batch (from 0); \
         an id of your own goes in `client_request_id`"
            .to_owned()
    })
}

fn client_id(value: Value<'_>) -> Result<Cow<'_, str>, String> {
    match value.as_word() {
        Some(id) if (1..=CLIENT_ID_BYTES_MAX).contains(&id.len()) => Ok(id),
        _ => Err(format!(
            "`client_request_id` is no text of 1 to {CLIENT_ID_BYTES_MAX} bytes; send the id as the prediction had it"
        )),
    }
}

pub fn reward(value: Value<'_>) -> Result<Value<'_>, String> {
    match value {
        Value::Number(_) | Value::Double(_) | Value::Float(_) | Value::Int(_) | Value::UInt(_) => Ok(value),
        _ => Err("`reward` is no number; send a number, for example 1.0".to_owned()),
    }
}

fn metadata(value: Value<'_>) -> Result<Vec<(String, String)>, String> {
    let Value::Object(fields) = value else {
        return Err("`metadata` is no object; send for example {\"source\": \"chargebacks\"}".to_owned());
    };
    let mut metadata: Vec<(String, String)> = Vec::new();
    for (name, value) in fields {
        let word = match &value {
            Value::Null => continue,
            Value::Bool(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
            other => other.as_word().ok_or_else(|| {
                let name = shorten(name.clone().into_owned(), QUOTED_BYTES_MAX);
                format!("`metadata.{name}` is no text, number or boolean; what has fields of its own goes in `truth`")
            })?,
        };
        match metadata.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = word.into_owned(),
            None => metadata.push((name.into_owned(), word.into_owned())),
        }
    }
    Ok(metadata)
}
