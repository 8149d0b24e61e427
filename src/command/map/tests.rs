//! `weir map` shows of every call what would be recorded of it.

use super::*;
use crate::record::Call;
use crate::record::tests::fixtures::{difference, fixture_call, fixtures};

/// What a call has of its own time and place.
const OF_THE_CALL: [&str; 9] =
    ["id", "request_id", "occurred_at", "route", "model_name", "upstream", "latency_ms", "upstream_ms", "ttfb_ms"];

/// One side of a call as a file.
fn message(first: &str, headers: &http::HeaderMap, body: &[u8]) -> Message {
    let mut bytes = format!("{first}\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend([b"\r\n", body].concat());
    Message::read(&bytes).expect("a message")
}

fn pair(call: &Call, status: StatusCode) -> Pair {
    let request =
        message(&format!("POST {} HTTP/1.1", call.path), &call.request_headers, &call.request.frames.concat());
    let answer =
        message(&format!("HTTP/1.1 {} -", status.as_u16()), &call.response_headers, &call.response.frames.concat());
    Pair { request, response: Some(answer) }
}

#[test]
fn every_protocol_is_explained_as_it_is_recorded() {
    let config = Config::for_upstream("http://127.0.0.1:8000", Some("churn")).expect("a configuration");
    let mut protocols = std::collections::BTreeSet::new();
    let mut failures = Vec::new();
    for (name, mut fixture) in fixtures() {
        let call = fixture_call(&fixture);
        let status = call.status.expect("a status");
        let whole = call.request.ended && call.response.ended;
        // A file has no transfer that broke off, and these settings are a configuration's.
        if !fixture["route"].is_null() || !whole || call.path.contains(' ') {
            continue;
        }
        let mapped = map(&config, &config.routes[0], &call.path, &pair(&call, status), status).expect("records");
        for row in fixture["rows"].as_array_mut().expect("rows") {
            let row = row.as_object_mut().expect("a row");
            row.retain(|field, _| !OF_THE_CALL.contains(&field.as_str()));
        }
        failures.extend(difference(&name, &fixture, &mapped.records));
        protocols.insert(mapped.protocol.as_str().expect("a protocol").to_owned());
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    for form in &crate::protocol::recognise::FORMS {
        assert!(protocols.contains(form.name), "{} is in no fixture", form.name);
    }
}
