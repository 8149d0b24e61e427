//! The record as plain data: what all rows of a call share, and what each row has of its own.

use std::borrow::Cow;

use crate::protocol::{Object, ParseStatus};

/// The form's number, in every record.
pub const SCHEMA_VERSION: u32 = 1;

/// All records of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions<'a> {
    pub envelope: Envelope<'a>,
    /// Never empty.
    pub rows: Vec<Prediction<'a>>,
}

/// What the rows of a call share. Times are microseconds, sizes bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<'a> {
    pub model_name: String,
    pub model_version: Option<Cow<'a, str>>,
    /// Arrival of the request, since the epoch.
    pub occurred_at_us: i64,
    pub request_id: String,
    pub client_request_id: Option<String>,
    pub trace_id: Option<String>,
    /// Rows of the call; 0 for an empty batch.
    pub row_count: usize,
    pub status_code: Option<u16>,
    pub outcome: &'static str,
    pub origin: &'static str,
    pub attempts: u32,
    pub upstream: Option<&'a str>,
    pub latency_us: u64,
    pub upstream_us: Option<u64>,
    pub ttfb_us: Option<u64>,
    pub route: &'a str,
    pub protocol: &'static str,
    pub method: &'a str,
    pub path: Cow<'a, str>,
    /// True sizes, whatever was kept.
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// The answer is an event stream or NDJSON.
    pub streamed: bool,
    /// Streamed, and its end never came.
    pub partial: bool,
    pub parse_status: ParseStatus,
    pub parse_error: Option<String>,
    pub error: Option<String>,
    /// The probability that this record was kept; `None` where nothing is sampled.
    pub sampling_rate: Option<f64>,
    /// Each name once.
    pub metadata: Vec<(String, String)>,
    /// Declared types by column.
    pub types: Vec<(Cow<'a, str>, &'static str)>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction<'a> {
    pub id: String,
    pub row_index: usize,
    pub inputs: Object<'a>,
    pub outputs: Object<'a>,
    /// The copy of a body was cut, or the record was, to fit.
    pub truncated: bool,
    /// On row 0 only.
    pub bodies: Option<Bodies<'a>>,
}

/// Both bodies as stored; `encoding` holds for both.
#[derive(Debug, Clone, PartialEq)]
pub struct Bodies<'a> {
    pub request: Option<Cow<'a, str>>,
    pub response: Option<Cow<'a, str>>,
    /// `utf-8` or `base64`.
    pub encoding: &'static str,
}
