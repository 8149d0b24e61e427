//! `kafka.key`: which value becomes a message's key, and that nothing does that must not be kept.

use super::redaction::{CANARY, rule};
use super::*;
use crate::config::{KeyField, Side};

fn keys(call: &Call, field: KeyField) -> Vec<Option<String>> {
    let rows = recorder().key(Some(field)).rows(call).1;
    rows.into_iter().map(|row| row.key.map(|key| String::from_utf8(key.to_vec()).expect("text"))).collect()
}

fn inputs(path: &str) -> KeyField {
    KeyField::Inputs(path.split('.').map(str::to_owned).collect())
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| Some((*text).to_owned())).collect()
}

#[test]
fn each_row_has_the_value_of_its_own_field() {
    let batch = call(r#"[{"c":"a"},{"c":12345678901234567890},{"c":true},{"c":null},{"c":[1]},{}]"#, "[1,2,3,4,5,6]");
    let mut expected = some(&["a", "12345678901234567890", "true"]);
    expected.extend([None, None, None]);
    assert_eq!(keys(&batch, inputs("c")), expected);
    let ids: Vec<String> = (0..6).map(|row| format!("{ID}_{row}")).collect();
    assert_eq!(keys(&batch, KeyField::Id), ids.into_iter().map(Some).collect::<Vec<_>>());
    assert_eq!(recorder().rows(&batch).1[0].key, None, "no key unless it is asked for");
}

#[test]
fn fields_of_the_call_and_nested_ones() {
    let mut call = call(r#"{"customer":{"id":7},"customer.id":9}"#, r#"{"p":0.5}"#);
    call.request_headers = headers(&[("content-type", "application/json"), ("x-request-id", "mine")]);
    assert_eq!(keys(&call, inputs("customer.id")), some(&["7"]));
    assert_eq!(keys(&call, KeyField::Outputs(vec!["p".to_owned()])), some(&["0.5"]));
    assert_eq!(keys(&call, KeyField::ClientRequestId), some(&["mine"]));
    assert_eq!(keys(&call, KeyField::ModelName), some(&["churn"]));
    assert_eq!(keys(&call, KeyField::Metadata("x-request-id".to_owned())), some(&["mine"]));
    assert_eq!(keys(&call, KeyField::TraceId), [None]);
}

#[test]
fn a_long_key_is_cut() {
    let long = "é".repeat(5_000);
    let keys = keys(&call(format!(r#"{{"c":"{long}"}}"#), "{}"), inputs("c"));
    let key = keys[0].as_ref().expect("a key");
    assert!(key.len() <= 1024 && long.starts_with(key.as_str()), "{} bytes", key.len());
}

#[test]
fn a_row_that_is_cut_to_fit_keeps_its_key() {
    let big = call(format!(r#"{{"c":"me","pad":"{}"}}"#, "x".repeat(9_000)), r#"{"p":1}"#);
    let recorder = Recorder::new(64, "{model}".to_owned(), Some(2_000), Vec::new()).key(Some(inputs("c")));
    let row = recorder.rows(&big).1.remove(0);
    assert_eq!(row.key.as_deref(), Some(&b"me"[..]));
    assert!(row.value.len() <= 2_000);
}

#[test]
fn a_redacted_value_is_no_key() {
    let redacted = |request: &str, field: KeyField| {
        let call = with_route(call(request.to_owned(), r#"{"p":1}"#), |route| {
            route.redact =
                vec![rule(Side::Inputs, "email"), rule(Side::Inputs, "a.b"), rule(Side::Inputs, "request_id")];
        });
        for key in keys(&call, field) {
            assert!(!key.unwrap_or_default().contains(CANARY), "{request}");
        }
    };
    redacted(&format!(r#"{{"email":"{CANARY}"}}"#), inputs("email"));
    redacted(&format!(r#"{{"a":{{"b":"{CANARY}","c":1}}}}"#), inputs("a.b"));
    redacted(&format!(r#"[{{"email":"{CANARY}"}},{{"email":"{CANARY}"}}]"#), inputs("email"));
    // The client's id, which is taken from a field that a rule drops.
    redacted(&format!(r#"{{"request_id":"{CANARY}","x":1}}"#), KeyField::ClientRequestId);
    // Damaged: nothing of it is kept.
    redacted(&format!(r#"{{"c":"{CANARY}","x":"#), inputs("c"));
    let open = call(format!(r#"{{"email":"{CANARY}"}}"#), r#"{"p":1}"#);
    assert_eq!(keys(&open, inputs("email")), some(&[CANARY]), "without a rule it is one");
}
