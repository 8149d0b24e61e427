//! From a call to its messages: fixtures, redaction, cuts, and what must hold for any bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use uuid::Uuid;

use super::*;
use crate::config::{self, Capture, CaptureMode, ProtocolChoice, Route, Rows, Timeouts, Upstream};
use crate::gateway::exchange::{Captured, Keep, Kept, Origin, Outcome, Timings};

pub(crate) mod fixtures;
mod hidden_names;
mod keys;
mod lighter;
mod limits;
mod named_positions;
mod packed;
mod properties;
pub(crate) mod protobuf;
mod redaction;
mod redaction_actions;
mod redaction_attacks;
mod redaction_canaries;
mod feedback;
mod feedback_protobuf;
mod sample;
mod schema;
mod told_names;

/// A route with the defaults.
pub(crate) fn route() -> Route {
    Route {
        name: "churn".to_owned(),
        path: "/".to_owned(),
        upstream: Upstream { authority: "127.0.0.1:8000".to_owned(), path: None },
        model: None,
        version: None,
        protocol: ProtocolChoice::Auto,
        timeouts: Timeouts {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            pool_idle: Duration::from_secs(4),
        },
        retry_connect: 1,
        concurrency_max: 256,
        labels: BTreeMap::new(),
        capture: Capture {
            mode: CaptureMode::BestEffort,
            sample: None,
            body_bytes_max: 1 << 20,
            headers: ["content-type", "x-request-id", "traceparent"].map(str::to_owned).to_vec(),
            rows: Rows::Split,
            bodies: config::Bodies::OnError,
            header_allowed: true,
            methods: vec!["POST".to_owned()],
            rows_max: 10_000,
            decompressed_bytes_max: 8 << 20,
            depth_max: 64,
        },
        feedback: None,
        record: crate::config::Record::default(),
        redact: Vec::new(),
    }
}

/// The id of every test's call.
pub(crate) const ID: &str = "01932f3a-7c1e-7a00-8000-0000000000aa";

/// A finished call of JSON.
pub(crate) fn call(request: impl Into<Bytes>, response: impl Into<Bytes>) -> Call {
    Call {
        id: Uuid::parse_str(ID).expect("an id"),
        route: Arc::new(route()),
        keep: Keep::Bodies,
        arrived_at_us: 1_764_037_200_123_456,
        method: Method::POST,
        path: "/predict".to_owned(),
        request_headers: headers(&[("content-type", "application/json")]),
        request: captured(request.into()),
        status: Some(StatusCode::OK),
        response_headers: headers(&[("content-type", "application/json")]),
        response: captured(response.into()),
        outcome: Outcome::Complete,
        origin: Origin::Model,
        error: None,
        attempts: 1,
        upstream: Some("127.0.0.1:8000".into()),
        timings: Timings { latency_us: 12_345, upstream_us: Some(12_000), ttfb_us: Some(11_500) },
        tags: Vec::new(),
    }
}

pub(crate) fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a header name"),
            HeaderValue::from_bytes(value.as_bytes()).expect("a header value"),
        );
    }
    headers
}

pub(crate) fn captured(body: Bytes) -> Captured {
    Captured { seen_bytes: body.len() as u64, frames: vec![body], kept: Kept::Whole, ended: true }
}

pub(crate) fn with_route(mut call: Call, edit: impl FnOnce(&mut Route)) -> Call {
    let mut route = (*call.route).clone();
    edit(&mut route);
    call.route = Arc::new(route);
    call
}

pub(crate) fn recorder() -> Recorder {
    Recorder::new(64, "{model}".to_owned(), None, b"key".to_vec())
}

/// The messages of a call, each strict JSON.
pub(crate) fn messages(call: &Call) -> Vec<serde_json::Value> {
    strict(recorder().messages(call).1)
}

pub(crate) fn strict(messages: Vec<Vec<u8>>) -> Vec<serde_json::Value> {
    messages
        .iter()
        .map(|message| {
            let value: serde_json::Value = serde_json::from_slice(message)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(message)));
            for field in ["id", "model_name", "model_version", "inputs", "outputs"] {
                assert!(value.get(field).is_some(), "no {field}: {value}");
            }
            value
        })
        .collect()
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    use std::io::Write;

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}
