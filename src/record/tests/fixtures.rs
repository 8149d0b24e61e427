//! `tests/data/<protocol>/*.json`: a request, its response, and the rows that they must become.
//!
//! A fixture holds `request` and `response` (`headers`, a body as `json`, `text`,
//! `base64`, or `gzip` of a text, and `broken` where its transfer broke off),
//! optionally `path`, `status`, `route` (`protocol`, `rows`, `bodies`, `rows_max`, `model`, `version`, `record`), and `rows`: the
//! fields that each message must have, whole values compared. A field that is expected to be `null` must be absent or
//! null.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::config::{Layout, Record, VersionFrom};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

#[test]
fn every_fixture_becomes_its_rows() {
    let fixtures = fixtures();
    let failures: Vec<String> = fixtures
        .iter()
        .filter_map(|(name, fixture)| difference(name, fixture, &messages(&fixture_call(fixture))))
        .collect();
    assert!(failures.is_empty(), "{} fixtures differ:\n{}", failures.len(), failures.join("\n"));
    assert!(fixtures.len() >= 60, "only {} fixtures found", fixtures.len());
}

/// Every fixture with its path.
pub(crate) fn fixtures() -> Vec<(String, Value)> {
    // Golden bytes of the record's own form are no calls.
    let calls = |path: &&PathBuf| path.is_dir() && !path.ends_with("protobuf");
    let mut fixtures = Vec::new();
    for folder in sorted(&data()).iter().filter(calls) {
        for file in sorted(folder).iter().filter(|file| file.extension().is_some_and(|end| end == "json")) {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(file).expect("a fixture");
            let fixture = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            fixtures.push((name, fixture));
        }
    }
    fixtures
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// The first difference between a fixture's rows and these, if there is one.
pub(crate) fn difference(name: &str, fixture: &Value, rows: &[Value]) -> Option<String> {
    let expected = fixture["rows"].as_array().unwrap_or_else(|| panic!("{name}: no rows"));
    if rows.len() != expected.len() {
        return Some(format!("{name}: {} rows, wanted {}: {rows:?}", rows.len(), expected.len()));
    }
    for (index, (row, expected)) in rows.iter().zip(expected).enumerate() {
        for (field, value) in expected.as_object().unwrap_or_else(|| panic!("{name}: a row is an object")) {
            let got = row.get(field).unwrap_or(&Value::Null);
            if got != value {
                let why = row.get("parse_error");
                return Some(format!("{name}: row {index}, {field} is {got}, wanted {value}; parse_error {why:?}"));
            }
        }
    }
    None
}

pub(crate) fn fixture_call(fixture: &Value) -> Call {
    let mut call = call(body(&fixture["request"]), body(&fixture["response"]));
    call.request_headers = head(&fixture["request"]);
    call.response_headers = head(&fixture["response"]);
    // The transfer broke off, of an answer because the client left.
    call.request.ended = !fixture["request"]["broken"].as_bool().unwrap_or(false);
    call.response.ended = !fixture["response"]["broken"].as_bool().unwrap_or(false);
    if !call.response.ended {
        call.outcome = Outcome::ClientAborted;
    }
    if let Some(path) = fixture["path"].as_str() {
        call.path = path.to_owned();
    }
    if let Some(status) = fixture["status"].as_u64() {
        call.status = StatusCode::from_u16(u16::try_from(status).expect("a status")).ok();
    }
    let mut route = route();
    let settings = &fixture["route"];
    if !settings["protocol"].is_null() {
        route.protocol = serde_json::from_value(settings["protocol"].clone()).expect("a protocol");
    }
    match settings["rows"].as_str() {
        None => {}
        Some("keep") => route.capture.rows = Rows::Keep,
        Some(other) => panic!("rows {other}"),
    }
    match settings["bodies"].as_str() {
        None => {}
        Some("always") => route.capture.bodies = config::Bodies::Always,
        Some("never") => route.capture.bodies = config::Bodies::Never,
        Some(other) => panic!("bodies {other}"),
    }
    if let Some(rows_max) = settings["rows_max"].as_u64() {
        route.capture.rows_max = usize::try_from(rows_max).expect("a number of rows");
    }
    route.record = Record {
        inputs: layout(&settings["record"]["inputs"]),
        outputs: layout(&settings["record"]["outputs"]),
        ..Record::default()
    };
    route.model = settings["model"].as_str().map(str::to_owned);
    route.version = settings["version"]
        .as_array()
        .map(|keys| VersionFrom::Response(keys.iter().map(|key| key.as_str().expect("a key").to_owned()).collect()));
    call.route = Arc::new(route);
    call
}

fn layout(side: &Value) -> Layout {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let keys = |path: &str| path.split('.').skip(1).map(str::to_owned).collect();
    Layout {
        rows: side["rows"].as_str().map(keys),
        columns: side["columns"].as_array().map(|names| names.iter().map(text).collect()).unwrap_or_default(),
    }
}

fn body(side: &Value) -> Bytes {
    if let Some(text) = side["text"].as_str() {
        return text.to_owned().into();
    }
    if let Some(text) = side["gzip"].as_str() {
        return gzip(text.as_bytes()).into();
    }
    if let Some(text) = side["base64"].as_str() {
        return STANDARD.decode(text).expect("base64").into();
    }
    match side.get("json") {
        Some(value) => value.to_string().into(),
        None => Bytes::new(),
    }
}

fn head(side: &Value) -> HeaderMap {
    let Some(lines) = side["headers"].as_object() else {
        return headers(&[("content-type", "application/json")]);
    };
    let lines: Vec<(&str, &str)> =
        lines.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("a header value"))).collect();
    headers(&lines)
}
