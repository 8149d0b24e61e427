//! A request and its answer -> the records that weir would make of them, and their columns. Nothing is sent or stored.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::transcript::Pair;
use crate::config::{Capture, CaptureMode, Config, Route};
use crate::gateway::exchange::{Captured, Keep, Kept, Origin, Outcome, Timings};
use crate::record::{Call, Recorder};

/// What became of a call.
#[derive(Debug, Serialize)]
pub struct Mapped {
    pub route: String,
    pub protocol: Value,
    pub parse_status: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parse_error: Option<Value>,
    pub model_name: Value,
    pub model_version: Value,
    pub row_count: Value,
    /// Share of such calls that is recorded.
    pub sampling_rate: f64,
    /// Fields that the route's rules took out of one row or another.
    pub redacted: Vec<String>,
    /// As they would stand on the topic.
    pub records: Vec<Value>,
}

impl Mapped {
    /// What the route's names and places do not fit, if there is something.
    pub fn layout(&self) -> Option<&str> {
        self.records.first()?["metadata"]["layout"].as_str()
    }

    /// Every column of the rows, with a word for its type.
    pub fn columns(&self) -> Vec<(String, String)> {
        let mut columns: Vec<(String, String)> = Vec::new();
        for record in &self.records {
            for side in ["inputs", "outputs"] {
                for (key, value) in record[side].as_object().into_iter().flatten() {
                    let name = format!("{side}.{key}");
                    let kind =
                        record["types"].get(&name).and_then(Value::as_str).unwrap_or_else(|| kind(value)).to_owned();
                    match columns.iter_mut().find(|(known, _)| *known == name) {
                        Some(column) if column.1 == "null" => column.1 = kind,
                        Some(_) => {}
                        None => columns.push((name, kind)),
                    }
                }
            }
        }
        columns
    }
}

/// Makes the records of a call, twice: with the route's rules and without.
pub fn map(config: &Config, route: &Route, path: &str, pair: &Pair, status: StatusCode) -> Result<Mapped, String> {
    let recorder = Recorder::new(config.models_max, "{model}".to_owned(), None, b"weir map".to_vec());
    let call = |route: Route| call(route, path, pair, status);
    let records = records(&recorder, &call(route.clone()))?;
    let open = self::records(&recorder, &call(Route { redact: Vec::new(), ..route.clone() }))?;
    let redacted = changed(&open, &records);
    let first = records.first().cloned().unwrap_or_default();
    let field = |name: &str| first.get(name).cloned().unwrap_or_default();
    Ok(Mapped {
        route: route.name.clone(),
        protocol: field("protocol"),
        parse_status: field("parse_status"),
        parse_error: first.get("parse_error").cloned(),
        model_name: field("model_name"),
        model_version: field("model_version"),
        row_count: field("row_count"),
        sampling_rate: sampling_rate(&route.capture, status),
        redacted,
        records,
    })
}

fn sampling_rate(capture: &Capture, status: StatusCode) -> f64 {
    match &capture.sample {
        _ if capture.mode == CaptureMode::Off => 0.0,
        Some(sample) if !(sample.keep_errors && status.as_u16() >= 400) => sample.rate,
        _ => 1.0,
    }
}

fn call(route: Route, path: &str, pair: &Pair, status: StatusCode) -> Call {
    let captured = |body: &[u8]| {
        let seen_bytes = body.len() as u64;
        Captured { frames: vec![Bytes::copy_from_slice(body)], seen_bytes, kept: Kept::Whole, ended: true }
    };
    let answer = pair.response.as_ref();
    Call {
        id: uuid::Uuid::now_v7(),
        route: Arc::new(route),
        keep: Keep::Bodies,
        arrived_at_us: jiff::Timestamp::now().as_microsecond(),
        method: Method::POST,
        path: path.to_owned(),
        request_headers: pair.request.headers.clone(),
        request: captured(&pair.request.body),
        status: Some(status),
        response_headers: answer.map(|answer| answer.headers.clone()).unwrap_or_default(),
        response: captured(answer.map(|answer| answer.body.as_slice()).unwrap_or_default()),
        outcome: Outcome::Complete,
        origin: Origin::Model,
        error: None,
        attempts: 1,
        upstream: None,
        timings: Timings::default(),
        tags: Vec::new(),
    }
}

fn records(recorder: &Recorder, call: &Call) -> Result<Vec<Value>, String> {
    let (_, messages) = recorder.messages(call);
    messages
        .iter()
        .map(|message| serde_json::from_slice(message).map_err(|error| format!("a record: {error}")))
        .collect()
}

/// Fields of inputs and outputs that a record without rules has and the one with them has not, or has otherwise; names only.
fn changed(open: &[Value], redacted: &[Value]) -> Vec<String> {
    let mut names = Vec::new();
    for (open, redacted) in open.iter().zip(redacted) {
        for side in ["inputs", "outputs"] {
            below(&open[side], &redacted[side], side, &mut names);
        }
    }
    names
}

fn below(open: &Value, redacted: &Value, path: &str, names: &mut Vec<String>) {
    let Value::Object(fields) = open else { return };
    for (key, value) in fields {
        let path = format!("{path}.{key}");
        match redacted.get(key) {
            Some(kept) if kept.is_object() => below(value, kept, &path, names),
            Some(kept) if kept == value => {}
            _ if names.contains(&path) => {}
            _ => names.push(path),
        }
    }
}

/// What the drain would propose for a value, in a word.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "double",
        Value::Number(_) => "int",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "struct",
    }
}
