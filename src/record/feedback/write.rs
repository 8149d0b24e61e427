//! What was said as a message: JSON, the keys in this order, those without a value left out.

use bytes::Bytes;
use jiff::Timestamp;

use super::said::Said;
use crate::config::KeyField;
use crate::gateway::feedback::Posted;
use crate::protocol::Value;
use crate::record::assemble::shorten;
use crate::record::key::KEY_BYTES_MAX;
use crate::record::prediction::SCHEMA_VERSION;
use crate::record::wire::json;

type Metadata = Vec<(String, String)>;

/// The metadata of a record, and the record.
pub fn record(said: &Said<'_>, posted: &Posted) -> (Metadata, Vec<u8>) {
    let metadata = metadata(said, posted);
    let mut fields = Fields(Vec::with_capacity(512));
    let id = said.id.as_ref();
    fields.text("id", id.map(|id| id.text.as_str()));
    fields.text("model_name", Some(posted.route.own_model()));
    // Beyond the years that RFC 3339 knows there is nothing to say.
    let occurred_at = Timestamp::from_microsecond(posted.arrived_at_us).ok().map(json::time);
    fields.text("occurred_at", occurred_at.as_deref());
    fields.text("request_id", id.map(|id| id.request_id.as_str()));
    fields.text("client_request_id", said.client_request_id.as_deref());
    fields.integer("row_index", id.map_or(said.row_index, |id| id.row_index));
    fields.text("route", Some(&posted.route.name));
    fields.value("truth", said.truth.as_ref());
    fields.value("reward", said.reward.as_ref());
    if !metadata.is_empty() {
        let out = fields.key("metadata");
        for (number, (name, word)) in metadata.iter().enumerate() {
            out.push(if number == 0 { b'{' } else { b',' });
            json::text(out, name);
            out.push(b':');
            json::text(out, word);
        }
        out.push(b'}');
    }
    fields.integer("schema_version", Some(SCHEMA_VERSION));
    let mut out = fields.0;
    out.push(b'}');
    (metadata, out)
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

/// An object that is being written.
struct Fields(Vec<u8>);

impl Fields {
    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        json::text(&mut self.0, name);
        self.0.push(b':');
        &mut self.0
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            json::text(self.key(name), text);
        }
    }

    fn integer(&mut self, name: &str, integer: Option<u32>) {
        if let Some(integer) = integer {
            self.key(name).extend_from_slice(integer.to_string().as_bytes());
        }
    }

    fn value(&mut self, name: &str, value: Option<&Value<'_>>) {
        if let Some(value) = value {
            json::value(self.key(name), value);
        }
    }
}
