//! The fixed columns of every table, in order, with their physical types (design section 6).
//!
//! | columns | type |
//! |---|---|
//! | names, ids, texts, bodies, `_raw`, `_source`, `_topic`, `_error` | STRING |
//! | `occurred_at`, `_timestamp` | TIMESTAMP, microseconds, UTC |
//! | `row_index`, `row_count`, `status_code`, `attempts`, `schema_version`, `_partition` | INT32 |
//! | `request_bytes`, `response_bytes`, `_seq`, `_offset` | INT64 |
//! | `latency_ms`, `upstream_ms`, `ttfb_ms`, `sampling_rate` | DOUBLE |
//! | `streamed`, `partial`, `truncated`, `_quarantined` | BOOLEAN |
//! | `metadata`, `types` | MAP of STRING to STRING |
//! | `_key` | BINARY: a Kafka key need not be text |
//!
//! Required are `_topic`, `_partition`, `_offset`, `_quarantined`; all others may be null.

/// Physical type of a fixed column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Binary,
    Time,
    Int32,
    Int64,
    Double,
    Bool,
    TextMap,
    /// `inputs` and `outputs`: a STRUCT of the schema.
    Side,
}

/// The record's own fields in the record's order. The schema's extra columns stand after `outputs`.
pub(super) const RECORD: [(&str, Kind); 38] = [
    ("id", Kind::Text),
    ("model_name", Kind::Text),
    ("model_version", Kind::Text),
    ("inputs", Kind::Side),
    ("outputs", Kind::Side),
    ("occurred_at", Kind::Time),
    ("request_id", Kind::Text),
    ("client_request_id", Kind::Text),
    ("trace_id", Kind::Text),
    ("row_index", Kind::Int32),
    ("row_count", Kind::Int32),
    ("status_code", Kind::Int32),
    ("outcome", Kind::Text),
    ("origin", Kind::Text),
    ("attempts", Kind::Int32),
    ("upstream", Kind::Text),
    ("latency_ms", Kind::Double),
    ("upstream_ms", Kind::Double),
    ("ttfb_ms", Kind::Double),
    ("route", Kind::Text),
    ("protocol", Kind::Text),
    ("method", Kind::Text),
    ("path", Kind::Text),
    ("request_bytes", Kind::Int64),
    ("response_bytes", Kind::Int64),
    ("streamed", Kind::Bool),
    ("partial", Kind::Bool),
    ("truncated", Kind::Bool),
    ("parse_status", Kind::Text),
    ("parse_error", Kind::Text),
    ("error", Kind::Text),
    ("sampling_rate", Kind::Double),
    ("metadata", Kind::TextMap),
    ("types", Kind::TextMap),
    ("request_body", Kind::Text),
    ("response_body", Kind::Text),
    ("body_encoding", Kind::Text),
    ("schema_version", Kind::Int32),
];

/// What the drain knows of a message, after the record's fields.
pub(super) const SYSTEM: [(&str, Kind, Needed); 10] = [
    ("_raw", Kind::Text, Needed::Optional),
    ("_source", Kind::Text, Needed::Optional),
    ("_seq", Kind::Int64, Needed::Optional),
    ("_topic", Kind::Text, Needed::Required),
    ("_partition", Kind::Int32, Needed::Required),
    ("_offset", Kind::Int64, Needed::Required),
    ("_key", Kind::Binary, Needed::Optional),
    ("_timestamp", Kind::Time, Needed::Optional),
    ("_quarantined", Kind::Bool, Needed::Required),
    ("_error", Kind::Text, Needed::Optional),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    Required,
    Optional,
}

/// All fixed column names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RECORD.into_iter().map(|(name, _)| name).chain(SYSTEM.into_iter().map(|(name, _, _)| name))
}

/// The field id of a fixed column: its place, from 1; a map's key and value have the two ids from [`map_ids`] on.
pub(super) fn id(name: &str) -> i32 {
    let place = names().position(|fixed| fixed == name).expect("a fixed column");
    i32::try_from(place).expect("few columns") + 1
}

/// The id of a fixed map's key; its value has the next one.
pub(super) fn map_ids(id: i32) -> i32 {
    200 + 2 * id
}

/// Fields of the schema have ids from here on.
pub(super) const DYNAMIC_IDS: i32 = 1_000;
