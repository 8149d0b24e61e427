//! Weir's own records fit the table's fixed columns exactly, whatever became of the call: only `inputs` and `outputs` may
//! need `_raw`.

use http::{HeaderValue, StatusCode};

use super::*;
use crate::gateway::exchange::{Keep, Kept, Origin, Outcome};
use crate::protocol::ParseStatus;
use crate::record::Call;
use crate::record::tests::{call, headers, recorder, with_route};

/// A call whose request fits the table's columns.
fn plain(response: &str) -> Call {
    call(r#"{"age":38,"plan":"pro"}"#, response.to_owned())
}

fn edited(mut call: Call, edit: impl FnOnce(&mut Call)) -> Call {
    edit(&mut call);
    call
}

/// Calls that end in every way, parsed with every result.
fn calls() -> Vec<Call> {
    use Outcome::*;

    let ok = r#"{"p":0.5}"#;
    let error = r#"{"detail":[{"loc":["body","age"],"msg":"über \"32\" \u0000\ud83d\ude00","input":{"age":38}}]}"#;
    let mut calls = vec![plain(ok), plain(ok)];
    for status in [400_u16, 404, 422, 500, 502, 503] {
        for body in [error, "oops", "", "<html>\u{1}\t</html>"] {
            calls.push(edited(plain(body), |call| {
                call.status = StatusCode::from_u16(status).ok();
                call.response_headers = headers(&[("content-type", "text/html")]);
            }));
        }
    }
    for outcome in [UpstreamConnect, UpstreamTimeout, UpstreamAborted, ClientAborted, Refused] {
        for status in [None, Some(StatusCode::OK), Some(StatusCode::BAD_GATEWAY)] {
            for origin in [Origin::Model, Origin::Gateway] {
                calls.push(edited(plain(if status == Some(StatusCode::OK) { ok } else { "" }), |call| {
                    (call.outcome, call.status, call.origin) = (outcome, status, origin);
                    call.error = Some("connection refused\n".to_owned());
                    call.upstream = None;
                    (call.timings.upstream_us, call.timings.ttfb_us) = (None, None);
                }));
            }
        }
    }
    for latency_us in [0, 1, 10, 999, 1_001, 123_456_789, 86_400_000_001] {
        calls.push(edited(plain(ok), |call| call.timings.latency_us = latency_us));
    }
    let answered = |what: fn(&mut Call)| edited(plain(ok), what);
    calls.extend([
        // not_kept, truncated (both ways), invalid, unsupported, limit, empty
        answered(|call| call.keep = Keep::Metadata),
        answered(|call| call.request.kept = Kept::NotKept),
        answered(|call| call.response.kept = Kept::Cut),
        answered(|call| call.response.ended = false),
        edited(plain("{\"p\":"), |_| ()),
        edited(plain("\u{7f}"), |call| call.response_headers = headers(&[("content-type", "image/png")])),
        with_route(plain("[[[1]]]"), |route| route.capture.depth_max = 2),
        plain(""),
        call(vec![0xff, 0xfe], vec![0x80]),
        // Every optional field.
        edited(plain(ok), |call| {
            call.request_headers.insert(
                "traceparent",
                HeaderValue::from_static("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            );
            call.request_headers
                .insert("x-request-id", HeaderValue::from_bytes(b"\xff\"quoted\"").expect("a header value"));
            call.tags = vec![("team".to_owned(), "größe".to_owned()), ("empty".to_owned(), String::new())];
            call.response_headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
            call.path = "/a%20b/\u{e9}".to_owned();
        }),
        call(r#"{"age":1,"age":2}"#, r#"{"p":1,"p":2}"#),
    ]);
    for bodies in [crate::config::Bodies::Always, crate::config::Bodies::Never] {
        calls.push(with_route(plain(ok), |route| route.capture.bodies = bodies));
    }
    calls
}

#[test]
fn the_envelope_never_needs_the_raw_text() {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let batch = r#"[{"age":1,"plan":"a"},{"age":2,"plan":"b"},{"age":3,"plan":null}]"#;
    for call in calls().iter().chain([&call(batch, r#"[{"p":1},{"p":2},{"p":3}]"#), &call(batch, "[1]")]) {
        texts.extend(recorder().messages(call).1);
    }
    let (_, file) = table(&texts);
    assert_eq!(file.quarantined, 0);
    let mut statuses = std::collections::BTreeSet::new();
    for (row, raw) in file.texts("_raw").into_iter().enumerate() {
        let record: serde_json::Value = serde_json::from_slice(&texts[row]).expect("strict");
        statuses.insert(record["parse_status"].as_str().expect("a word").to_owned());
        // Sides without columns of their own, and keys that are there twice.
        let misfits = record["parse_status"] == "row_mismatch" || record["metadata"].get("duplicate_keys").is_some();
        let deep = record["outputs"].get("y0").is_some();
        assert_eq!(raw.is_some(), misfits || deep, "{record:#}");
    }
    use ParseStatus::*;
    for status in [Ok, RowMismatch, Truncated, Invalid, Unsupported, Limit, Empty, NotKept] {
        assert!(statuses.contains(status.word()), "no {}", status.word());
    }
}

#[test]
fn a_table_that_began_with_failures_gets_its_columns_later() {
    let refused = edited(plain(r#"{"detail":"no"}"#), |call| call.status = Some(StatusCode::UNPROCESSABLE_ENTITY));
    let texts = |call: &Call| recorder().messages(call).1;
    let failures = messages(&[texts(&refused), texts(&refused)].concat());
    let first = Arc::new(surveyed(&failures).propose(None).unwrap_or_default());
    assert_eq!((first.inputs(), first.outputs()), (&[][..], &[][..]));
    let file = write_with(&first, &failures, SETTINGS);
    assert!(!file.has("inputs") && !file.has("outputs"));
    // What has no column yet is not lost.
    assert_eq!(file.raw_rows(), [0, 1]);

    let later = messages(&[texts(&refused), texts(&plain(r#"{"p":0.5}"#)), texts(&refused)].concat());
    let grown = Arc::new(surveyed(&later).propose(Some(&first)).expect("columns for inputs and outputs"));
    assert!(grown.covers(&first));
    let file = write_with(&grown, &later, SETTINGS);
    assert_eq!(file.doubles("inputs.age"), [Some(38.0); 3]);
    assert_eq!(file.doubles("outputs.p"), [None, Some(0.5), None]);
    assert!(file.raw_rows().is_empty());

    // The same from the misfits of a file that was surveyed too early.
    let mut writer = FileWriter::new(first.clone(), "churn", 3, Vec::new(), SETTINGS).expect("settings");
    for message in &later {
        writer.push(message).expect("a row");
    }
    assert!(writer.misfits().propose(Some(&first)).is_some_and(|schema| schema.covers(&grown)));
}
