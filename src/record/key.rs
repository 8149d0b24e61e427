//! The key of a row's message. In: [`Predictions`] after redaction, so that what is not kept is no key either. Out: the field's value as text.

use std::borrow::Cow;

use bytes::Bytes;

use super::assemble::shorten;
use super::prediction::{Envelope, Prediction, Predictions};
use crate::config::KeyField;
use crate::protocol::{Object, Value};

/// A longer key is cut: what is kept of a message beside its value has a limit.
pub const KEY_BYTES_MAX: usize = 1024;

/// One key per row; `None` where the row has no single value in that field.
pub fn keys(predictions: &Predictions<'_>, field: &KeyField) -> Vec<Option<Bytes>> {
    let envelope = &predictions.envelope;
    predictions
        .rows
        .iter()
        .map(|row| word(envelope, row, field).map(|word| Bytes::from(shorten(word.into_owned(), KEY_BYTES_MAX))))
        .collect()
}

fn word<'r>(envelope: &'r Envelope<'_>, row: &'r Prediction<'_>, field: &KeyField) -> Option<Cow<'r, str>> {
    match field {
        KeyField::Id => Some(&row.id),
        KeyField::RequestId => Some(&envelope.request_id),
        KeyField::ClientRequestId => envelope.client_request_id.as_ref(),
        KeyField::TraceId => envelope.trace_id.as_ref(),
        KeyField::ModelName => Some(&envelope.model_name),
        KeyField::ModelVersion => return envelope.model_version.as_deref().map(Cow::Borrowed),
        KeyField::Route => return Some(Cow::Borrowed(envelope.route)),
        KeyField::Inputs(keys) => return single(&row.inputs, keys),
        KeyField::Outputs(keys) => return single(&row.outputs, keys),
        KeyField::Metadata(name) => envelope.metadata.iter().find(|(known, _)| known == name).map(|(_, value)| value),
    }
    .map(|text| Cow::Borrowed(text.as_str()))
}

/// The value at `keys` if it is one: the text itself, the digits of a number as they were sent.
fn single<'r>(fields: &'r Object<'_>, keys: &[String]) -> Option<Cow<'r, str>> {
    let (first, below) = keys.split_first()?;
    // Of a key that occurs twice the last one counts.
    let (_, value) = fields.iter().rev().find(|(name, _)| name == first)?;
    match value.get(below)? {
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        Value::Bool(false) => Some(Cow::Borrowed("false")),
        Value::Double(double) => Some(Cow::Owned(double.to_string())),
        Value::Float(float) => Some(Cow::Owned(float.to_string())),
        Value::Int(number) => Some(Cow::Owned(number.to_string())),
        Value::UInt(number) => Some(Cow::Owned(number.to_string())),
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Number(digits) => Some(Cow::Borrowed(digits)),
        Value::Null | Value::List(_) | Value::Packed(_) | Value::Object(_) | Value::Json(_) => None,
    }
}
