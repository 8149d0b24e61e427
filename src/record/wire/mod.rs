//! Predictions and feedback as messages. One list of fields, two forms: `json` (the design's section 6) and `protobuf`
//! (`proto/weir/v1/prediction.proto`, `feedback.proto`). The five fields that are always there come first, then the rest, without those that
//! have no value. The order is fixed, so that readers may guess the next key; a field's place is its protobuf number.

pub mod decode;
mod fields;
pub mod json;
pub mod lighter;
pub mod listen;
mod protobuf;

use jiff::Timestamp;

use super::prediction::{Envelope, Prediction, SCHEMA_VERSION};
use crate::config::Format;
use crate::protocol::{Object, Value};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Object,
    Time,
    Integer,
    Milliseconds,
    Double,
    Flag,
    Map,
    /// Any value of JSON.
    Value,
}

macro_rules! fields {
    ($($field:ident $name:literal $kind:ident;)*) => {
        /// A field of the record; its value is the protobuf number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field { Before, $($field,)* }

        /// Name and kind of every field; the first has number 1. First those of a prediction.
        pub const FIELDS: &[(&str, Kind)] = &[$(($name, Kind::$kind),)*];
    };
}

fields! {
    Id "id" Text;
    ModelName "model_name" Text;
    ModelVersion "model_version" Text;
    Inputs "inputs" Object;
    Outputs "outputs" Object;
    OccurredAt "occurred_at" Time;
    RequestId "request_id" Text;
    ClientRequestId "client_request_id" Text;
    TraceId "trace_id" Text;
    RowIndex "row_index" Integer;
    RowCount "row_count" Integer;
    StatusCode "status_code" Integer;
    Outcome "outcome" Text;
    Origin "origin" Text;
    Attempts "attempts" Integer;
    Upstream "upstream" Text;
    LatencyMs "latency_ms" Milliseconds;
    UpstreamMs "upstream_ms" Milliseconds;
    TtfbMs "ttfb_ms" Milliseconds;
    Route "route" Text;
    Protocol "protocol" Text;
    Method "method" Text;
    Path "path" Text;
    RequestBytes "request_bytes" Integer;
    ResponseBytes "response_bytes" Integer;
    Streamed "streamed" Flag;
    Partial "partial" Flag;
    Truncated "truncated" Flag;
    ParseStatus "parse_status" Text;
    ParseError "parse_error" Text;
    Error "error" Text;
    SamplingRate "sampling_rate" Double;
    Metadata "metadata" Map;
    Types "types" Map;
    RequestBody "request_body" Text;
    ResponseBody "response_body" Text;
    BodyEncoding "body_encoding" Text;
    SchemaVersion "schema_version" Integer;
    // Of feedback alone, which has some of the others too.
    Truth "truth" Value;
    Reward "reward" Value;
}

/// So many fields, the first ones, are a prediction's.
pub const OF_PREDICTION: usize = Field::SchemaVersion as usize;

impl Field {
    fn name(self) -> &'static str {
        FIELDS[self as usize - 1].0
    }
}

type Entries<'e, 'a> = &'e mut dyn Iterator<Item = (&'a str, &'a str)>;

/// A form of the message: how each kind of field is written at the end of `out`.
pub trait Form: Sync {
    fn open(&self, out: &mut Vec<u8>);
    fn close(&self, out: &mut Vec<u8>);
    /// A field that is always there has no value.
    fn null(&self, out: &mut Vec<u8>, field: Field);
    fn text(&self, out: &mut Vec<u8>, field: Field, text: &str);
    fn integer(&self, out: &mut Vec<u8>, field: Field, integer: u64);
    fn milliseconds(&self, out: &mut Vec<u8>, field: Field, microseconds: u64);
    fn double(&self, out: &mut Vec<u8>, field: Field, double: f64);
    fn flag(&self, out: &mut Vec<u8>, field: Field, flag: bool);
    fn time(&self, out: &mut Vec<u8>, field: Field, time: Timestamp);
    /// Left out when empty.
    fn map(&self, out: &mut Vec<u8>, field: Field, entries: Entries<'_, '_>);
    fn object(&self, out: &mut Vec<u8>, field: Field, object: &Object<'_>);
    fn value(&self, out: &mut Vec<u8>, field: Field, value: &Value<'_>);
    /// One key of an object with its value, alone: as many bytes as the message loses with it.
    fn entry(&self, out: &mut Vec<u8>, key: &str, value: &Value<'_>);
    /// Bytes of an empty text's value.
    fn empty_bytes(&self) -> usize;
    /// Bytes that a character adds to a text.
    fn char_bytes(&self, c: char) -> usize;
}

/// The form that the configuration names.
pub fn form(format: Format) -> &'static dyn Form {
    match format {
        Format::Json => &json::Json,
        Format::Protobuf => &protobuf::Protobuf,
    }
}

/// What the rows of a call share, already written.
pub struct Encoder {
    form: &'static dyn Form,
    /// `model_name`, `model_version`
    model: Vec<u8>,
    /// `occurred_at` up to `trace_id`
    ids: Vec<u8>,
    /// `row_count` up to `partial`
    call: Vec<u8>,
    /// `parse_status` up to `types`
    verdict: Vec<u8>,
}

impl Encoder {
    pub fn new(form: &'static dyn Form, envelope: &Envelope<'_>) -> Encoder {
        let (mut model, mut ids) = (Vec::with_capacity(128), Vec::with_capacity(256));
        let (mut call, mut verdict) = (Vec::with_capacity(512), Vec::with_capacity(256));
        write_model(form, &mut model, envelope);
        write_ids(form, &mut ids, envelope);
        write_call(form, &mut call, envelope);
        write_verdict(form, &mut verdict, envelope);
        Encoder { form, model, ids, call, verdict }
    }

    pub fn form(&self) -> &'static dyn Form {
        self.form
    }

    /// One message.
    pub fn encode(&self, row: &Prediction<'_>) -> Vec<u8> {
        let form = self.form;
        let mut message = Vec::with_capacity(self.room(row));
        let out = &mut message;
        form.open(out);
        form.text(out, Field::Id, &row.id);
        out.extend_from_slice(&self.model);
        form.object(out, Field::Inputs, &row.inputs);
        form.object(out, Field::Outputs, &row.outputs);
        out.extend_from_slice(&self.ids);
        form.integer(out, Field::RowIndex, row.row_index as u64);
        out.extend_from_slice(&self.call);
        form.flag(out, Field::Truncated, row.truncated);
        out.extend_from_slice(&self.verdict);
        if let Some(bodies) = &row.bodies {
            text(form, out, Field::RequestBody, bodies.request.as_deref());
            text(form, out, Field::ResponseBody, bodies.response.as_deref());
            form.text(out, Field::BodyEncoding, bodies.encoding);
        }
        form.integer(out, Field::SchemaVersion, SCHEMA_VERSION.into());
        form.close(out);
        message
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

fn write_model(form: &dyn Form, out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    form.text(out, Field::ModelName, &envelope.model_name);
    match &envelope.model_version {
        Some(version) => form.text(out, Field::ModelVersion, version),
        None => form.null(out, Field::ModelVersion),
    }
}

fn write_ids(form: &dyn Form, out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    // Beyond the years that RFC 3339 knows there is nothing to say.
    if let Ok(time) = Timestamp::from_microsecond(envelope.occurred_at_us) {
        form.time(out, Field::OccurredAt, time);
    }
    form.text(out, Field::RequestId, &envelope.request_id);
    text(form, out, Field::ClientRequestId, envelope.client_request_id.as_deref());
    text(form, out, Field::TraceId, envelope.trace_id.as_deref());
}

fn write_call(form: &dyn Form, out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    form.integer(out, Field::RowCount, envelope.row_count as u64);
    if let Some(status) = envelope.status_code {
        form.integer(out, Field::StatusCode, status.into());
    }
    form.text(out, Field::Outcome, envelope.outcome);
    form.text(out, Field::Origin, envelope.origin);
    form.integer(out, Field::Attempts, envelope.attempts.into());
    text(form, out, Field::Upstream, envelope.upstream);
    form.milliseconds(out, Field::LatencyMs, envelope.latency_us);
    for (field, microseconds) in [(Field::UpstreamMs, envelope.upstream_us), (Field::TtfbMs, envelope.ttfb_us)] {
        if let Some(microseconds) = microseconds {
            form.milliseconds(out, field, microseconds);
        }
    }
    form.text(out, Field::Route, envelope.route);
    form.text(out, Field::Protocol, envelope.protocol);
    form.text(out, Field::Method, envelope.method);
    form.text(out, Field::Path, &envelope.path);
    form.integer(out, Field::RequestBytes, envelope.request_bytes);
    form.integer(out, Field::ResponseBytes, envelope.response_bytes);
    form.flag(out, Field::Streamed, envelope.streamed);
    form.flag(out, Field::Partial, envelope.partial);
}

fn write_verdict(form: &dyn Form, out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    form.text(out, Field::ParseStatus, envelope.parse_status.word());
    text(form, out, Field::ParseError, envelope.parse_error.as_deref());
    text(form, out, Field::Error, envelope.error.as_deref());
    if let Some(rate) = envelope.sampling_rate {
        form.double(out, Field::SamplingRate, rate);
    }
    let metadata = envelope.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    form.map(out, Field::Metadata, &mut { metadata });
    let types = envelope.types.iter().map(|(name, word)| (name.as_ref(), *word));
    form.map(out, Field::Types, &mut { types });
}

fn text(form: &dyn Form, out: &mut Vec<u8>, field: Field, value: Option<&str>) {
    if let Some(value) = value {
        form.text(out, field, value);
    }
}
