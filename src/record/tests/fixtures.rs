//! `tests/data/<protocol>/*.json`: a request, its response, and the rows that they must become.
//!
//! A fixture holds `request` and `response` (`headers`, and a body as `json`, `text`, `base64`, or `gzip` of a text),
//! optionally `path`, `status`, `route` (`protocol`, `rows`, `bodies`, `rows_max`, `model`, `version`), and `rows`: the
//! fields that each message must have, whole values compared. A field that is expected to be `null` must be absent or
//! null.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::config::VersionFrom;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

#[test]
fn every_fixture_becomes_its_rows() {
    let mut count = 0;
    for protocol in ["json", "v1", "raw"] {
        let folder = data().join(protocol);
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .expect("a folder of fixtures")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.sort();
        for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "json")) {
            check(file);
            count += 1;
        }
    }
    assert!(count >= 60, "only {count} fixtures found");
}

fn check(file: &Path) {
    let name = file.display();
    let text = std::fs::read_to_string(file).expect("a fixture");
    let fixture: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let call = fixture_call(&fixture);
    let rows = messages(&call);
    let expected = fixture["rows"].as_array().unwrap_or_else(|| panic!("{name}: no rows"));
    assert_eq!(rows.len(), expected.len(), "{name}: rows {rows:#?}");
    for (index, (row, expected)) in rows.iter().zip(expected).enumerate() {
        for (field, value) in expected.as_object().unwrap_or_else(|| panic!("{name}: a row is an object")) {
            let got = row.get(field).unwrap_or(&Value::Null);
            assert_eq!(got, value, "{name}: row {index}, field {field}; parse_error {:?}", row.get("parse_error"));
        }
    }
}

fn fixture_call(fixture: &Value) -> Call {
    let mut call = call(body(&fixture["request"]), body(&fixture["response"]));
    call.request_headers = head(&fixture["request"]);
    call.response_headers = head(&fixture["response"]);
    if let Some(path) = fixture["path"].as_str() {
        call.path = path.to_owned();
    }
    if let Some(status) = fixture["status"].as_u64() {
        call.status = StatusCode::from_u16(u16::try_from(status).expect("a status")).ok();
    }
    let mut route = route();
    let settings = &fixture["route"];
    match settings["protocol"].as_str() {
        None => {}
        Some("json") => route.protocol = ProtocolChoice::Json,
        Some("v1") => route.protocol = ProtocolChoice::V1,
        Some("raw") => route.protocol = ProtocolChoice::Raw,
        Some(other) => panic!("protocol {other}"),
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
    route.model = settings["model"].as_str().map(str::to_owned);
    route.version = settings["version"]
        .as_array()
        .map(|keys| VersionFrom::Response(keys.iter().map(|key| key.as_str().expect("a key").to_owned()).collect()));
    call.route = Arc::new(route);
    call
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
