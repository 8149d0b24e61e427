//! Predictions as JSON messages, in the form of the design's section 6: the five fields that are always there, then the
//! rest, without those that have no value. The order of the fields is fixed, so that readers may guess the next key.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

use super::json;
use super::prediction::{Envelope, Prediction, SCHEMA_VERSION};

static TIME: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// What the rows of a call share, already written.
pub struct Encoder {
    /// `,"model_name":..,"model_version":..,"inputs":`
    model: Vec<u8>,
    /// `,"occurred_at":..` up to `trace_id`.
    ids: Vec<u8>,
    /// `,"row_count":..` up to `partial`.
    call: Vec<u8>,
    /// `,"parse_status":..` up to `types`.
    verdict: Vec<u8>,
}

impl Encoder {
    pub fn new(envelope: &Envelope<'_>) -> Encoder {
        Encoder { model: model(envelope), ids: ids(envelope), call: call(envelope), verdict: verdict(envelope) }
    }

    /// One message.
    pub fn encode(&self, row: &Prediction<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.room(row));
        out.extend_from_slice(b"{\"id\":");
        json::text(&mut out, &row.id);
        out.extend_from_slice(&self.model);
        json::object(&mut out, &row.inputs);
        out.extend_from_slice(b",\"outputs\":");
        json::object(&mut out, &row.outputs);
        out.extend_from_slice(&self.ids);
        out.extend_from_slice(b",\"row_index\":");
        json::integer(&mut out, row.row_index as u64);
        out.extend_from_slice(&self.call);
        flag(&mut out, "truncated", row.truncated);
        out.extend_from_slice(&self.verdict);
        if let Some(bodies) = &row.bodies {
            text(&mut out, "request_body", bodies.request.as_deref());
            text(&mut out, "response_body", bodies.response.as_deref());
            text(&mut out, "body_encoding", Some(bodies.encoding));
        }
        out.extend_from_slice(b",\"schema_version\":");
        json::integer(&mut out, SCHEMA_VERSION.into());
        out.push(b'}');
        out
    }

    fn room(&self, row: &Prediction<'_>) -> usize {
        use crate::protocol::value::weight;

        let bodies = row.bodies.as_ref().map_or(0, |bodies| {
            [&bodies.request, &bodies.response].into_iter().flatten().map(|body| body.len() + body.len() / 8).sum()
        });
        let shared = self.model.len() + self.ids.len() + self.call.len() + self.verdict.len();
        shared + bodies + weight(&row.inputs) + weight(&row.outputs) + row.id.len() + 160
    }
}

fn model(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, "model_name", Some(&envelope.model_name));
    key(&mut out, "model_version");
    match &envelope.model_version {
        Some(version) => json::text(&mut out, version),
        None => out.extend_from_slice(b"null"),
    }
    key(&mut out, "inputs");
    out
}

fn ids(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    // Beyond the years that RFC 3339 knows there is nothing to say.
    if let Ok(time) = Timestamp::from_microsecond(envelope.occurred_at_us) {
        text(&mut out, "occurred_at", Some(&TIME.timestamp_to_string(&time)));
    }
    text(&mut out, "request_id", Some(&envelope.request_id));
    text(&mut out, "client_request_id", envelope.client_request_id.as_deref());
    text(&mut out, "trace_id", envelope.trace_id.as_deref());
    out
}

fn call(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    integer(&mut out, "row_count", Some(envelope.row_count as u64));
    integer(&mut out, "status_code", envelope.status_code.map(u64::from));
    text(&mut out, "outcome", Some(envelope.outcome));
    text(&mut out, "origin", Some(envelope.origin));
    integer(&mut out, "attempts", Some(envelope.attempts.into()));
    text(&mut out, "upstream", envelope.upstream);
    milliseconds(&mut out, "latency_ms", Some(envelope.latency_us));
    milliseconds(&mut out, "upstream_ms", envelope.upstream_us);
    milliseconds(&mut out, "ttfb_ms", envelope.ttfb_us);
    text(&mut out, "route", Some(envelope.route));
    text(&mut out, "protocol", Some(envelope.protocol));
    text(&mut out, "method", Some(envelope.method));
    text(&mut out, "path", Some(&envelope.path));
    integer(&mut out, "request_bytes", Some(envelope.request_bytes));
    integer(&mut out, "response_bytes", Some(envelope.response_bytes));
    flag(&mut out, "streamed", envelope.streamed);
    flag(&mut out, "partial", envelope.partial);
    out
}

fn verdict(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    text(&mut out, "parse_status", Some(envelope.parse_status.word()));
    text(&mut out, "parse_error", envelope.parse_error.as_deref());
    text(&mut out, "error", envelope.error.as_deref());
    if let Some(rate) = envelope.sampling_rate {
        key(&mut out, "sampling_rate");
        json::double(&mut out, rate);
    }
    map(&mut out, "metadata", envelope.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    map(&mut out, "types", envelope.types.iter().map(|(name, word)| (name.as_str(), *word)));
    out
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        key(out, name);
        json::text(out, value);
    }
}

fn integer(out: &mut Vec<u8>, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        key(out, name);
        json::integer(out, value);
    }
}

fn milliseconds(out: &mut Vec<u8>, name: &str, microseconds: Option<u64>) {
    if let Some(microseconds) = microseconds {
        key(out, name);
        json::milliseconds(out, microseconds);
    }
}

fn flag(out: &mut Vec<u8>, name: &str, value: bool) {
    key(out, name);
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Left out when empty.
fn map<'a>(out: &mut Vec<u8>, name: &str, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut first = true;
    for (entry, value) in entries {
        if first {
            key(out, name);
        }
        out.push(if first { b'{' } else { b',' });
        first = false;
        json::text(out, entry);
        out.push(b':');
        json::text(out, value);
    }
    if !first {
        out.push(b'}');
    }
}
