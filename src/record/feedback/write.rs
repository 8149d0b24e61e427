//! What was said as a message, its fields in the order of [`Field`]; those without a value are left out, but for `id`.

use bytes::Bytes;
use jiff::Timestamp;

use super::said::Said;
use crate::config::KeyField;
use crate::gateway::feedback::Posted;
use crate::record::assemble::shorten;
use crate::record::key::KEY_BYTES_MAX;
use crate::record::prediction::SCHEMA_VERSION;
use crate::record::wire::{Field, Form};

type Metadata = Vec<(String, String)>;

/// The metadata of a record, and the record.
pub fn record(form: &dyn Form, said: &Said<'_>, posted: &Posted) -> (Metadata, Vec<u8>) {
    let metadata = metadata(said, posted);
    let mut record = Vec::with_capacity(512);
    let out = &mut record;
    form.open(out);
    let id = said.id.as_ref();
    match id {
        Some(id) => form.text(out, Field::Id, &id.text),
        None => form.null(out, Field::Id),
    }
    form.text(out, Field::ModelName, posted.route.own_model());
    // Beyond the years that RFC 3339 knows there is nothing to say.
    if let Ok(time) = Timestamp::from_microsecond(posted.arrived_at_us) {
        form.time(out, Field::OccurredAt, time);
    }
    if let Some(id) = id {
        form.text(out, Field::RequestId, &id.request_id);
    }
    if let Some(client_request_id) = &said.client_request_id {
        form.text(out, Field::ClientRequestId, client_request_id);
    }
    if let Some(row_index) = id.map_or(said.row_index, |id| id.row_index) {
        form.integer(out, Field::RowIndex, row_index.into());
    }
    form.text(out, Field::Route, &posted.route.name);
    let entries = metadata.iter().map(|(name, word)| (name.as_str(), word.as_str()));
    form.map(out, Field::Metadata, &mut { entries });
    form.integer(out, Field::SchemaVersion, SCHEMA_VERSION.into());
    for (field, value) in [(Field::Truth, &said.truth), (Field::Reward, &said.reward)] {
        if let Some(value) = value {
            form.value(out, field, value);
        }
    }
    form.close(out);
    (metadata, record)
}

/// What was said, then tags, then labels; the later wins, as with predictions.
fn metadata(said: &Said<'_>, posted: &Posted) -> Metadata {
    let mut metadata = said.metadata.clone();
    let labels = posted.route.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
    for (name, value) in posted.tags.iter().cloned().chain(labels) {
        match metadata.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => metadata.push((name, value)),
        }
    }
    metadata
}

/// The message's key, where feedback has the field.
pub fn key(field: &KeyField, said: &Said<'_>, posted: &Posted, metadata: &Metadata) -> Option<Bytes> {
    let id = said.id.as_ref();
    let word = match field {
        KeyField::Id => id.map(|id| id.text.as_str()),
        KeyField::RequestId => id.map(|id| id.request_id.as_str()),
        KeyField::ClientRequestId => said.client_request_id.as_deref(),
        KeyField::ModelName => Some(posted.route.own_model()),
        KeyField::Route => Some(posted.route.name.as_str()),
        KeyField::Metadata(name) => metadata.iter().find(|(known, _)| known == name).map(|(_, word)| word.as_str()),
        KeyField::TraceId | KeyField::ModelVersion | KeyField::Inputs(_) | KeyField::Outputs(_) => None,
    };
    word.map(|word| Bytes::from(shorten(word.to_owned(), KEY_BYTES_MAX)))
}
