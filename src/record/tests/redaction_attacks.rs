//! Odd ways to say a redacted field's value. Each was tried on purpose: the canary is in no message, and where a rule could not have
//! followed it, the side is withheld.

use serde_json::{Value, json};

use super::redaction::{CANARY, clean, doing, rule};
use super::redaction_actions::mask;
use super::*;
use crate::config::{RedactAction, RedactRule, Side};

const CSV: &str = "text/csv";
const EVENTS: &str = "text/event-stream";

/// A call with these types of its bodies, on a route with these rules.
fn attack(path: &str, request: (&str, &str), response: (&str, &str), rules: Vec<RedactRule>) -> Call {
    let with_canary = |text: &str| text.replace("CANARY", CANARY);
    let mut call = call(with_canary(request.1), with_canary(response.1));
    call.path = path.to_owned();
    call.request_headers = headers(&[("content-type", request.0)]);
    call.response_headers = headers(&[("content-type", response.0)]);
    with_route(call, |route| {
        route.capture.bodies = config::Bodies::Always;
        route.redact = rules;
    })
}

fn both(name: &str) -> Vec<RedactRule> {
    vec![rule(Side::Inputs, name), rule(Side::Outputs, name)]
}

fn withheld(call: &Call, side: &str) {
    for row in clean(call) {
        assert_eq!((&row["parse_status"], &row[side]), (&"unsupported".into(), &json!({})), "{row}");
    }
}

/// What is left of a request's rows under a rule for `secret`.
fn left(path: &str, request: (&str, &str), response: &str) -> Vec<Value> {
    let rows = clean(&attack(path, request, ("application/json", response), vec![rule(Side::Inputs, "secret")]));
    rows.iter().map(|row| row["inputs"].clone()).collect()
}

#[test]
fn a_repeated_key_within_a_redacted_value_is_named_nowhere() {
    let body = r#"{"a":1,"a":2,"secret":{"CANARY":1,"CANARY":2},"secret":3}"#;
    let row =
        clean(&attack("/predict", ("application/json", body), ("application/json", body), both("secret"))).remove(0);
    assert_eq!(row["metadata"]["duplicate_keys"], "a,secret", "{row}");
}

#[test]
fn texts_that_hold_a_field_of_that_name_are_withheld() {
    for text in [
        "Secret: CANARY",
        "SECRET=CANARY",
        "Name,Secret\nAnn,CANARY",
        "{'name': 'secret', 'value': 'CANARY'}",
        "[('secret', 'CANARY'), ('a', 1)]",
        "<field name=\"secret\" value=\"CANARY\"/>",
        "<input name='secret' value='CANARY'>",
        "a=1&secret=CANARY",
        "secret => CANARY",
    ] {
        let body = json!({"note": text, "secret": "x"}).to_string();
        let call = attack("/predict", ("application/json", &body), ("application/json", &body), both("secret"));
        for side in ["inputs", "outputs"] {
            withheld(&call, side);
        }
        let chat = json!({"model": "m", "messages": [{"role": "user", "content": text}], "secret": 1}).to_string();
        let answer = json!({"choices": [{"message": {"role": "assistant", "content": text}}], "secret": 1}).to_string();
        let call =
            attack("/v1/chat/completions", ("application/json", &chat), ("application/json", &answer), both("secret"));
        for side in ["inputs", "outputs"] {
            withheld(&call, side);
        }
    }
    for text in ["our \"secret\", and more", "the secret of it, and more", "a secret"] {
        let body = json!({"note": text, "secret": "x"}).to_string();
        let call = attack("/predict", ("application/json", &body), ("application/json", "1"), both("secret"));
        assert_eq!(messages(&call)[0]["inputs"], json!({"note": text}), "{text}");
    }
}

#[test]
fn a_body_that_is_one_text_has_no_names() {
    for (kind, body) in [("application/json", "\"CANARY\""), ("text/plain", "CANARY"), ("text/plain", "\"CANARY\"")] {
        withheld(&attack("/predict", (kind, body), ("application/json", "1"), both("secret")), "inputs");
    }
    let call =
        attack("/predict", ("text/plain", "CANARY"), ("application/json", "1"), vec![rule(Side::Inputs, "text")]);
    assert_eq!((&clean(&call)[0]["parse_status"], &clean(&call)[0]["inputs"]), (&json!("ok"), &json!({})));
}

#[test]
fn a_table_s_header_is_no_way_out() {
    // Blanks around a name; other separators; and a first row of data that is taken for a header.
    for path in ["/invocations", "/predict"] {
        assert_eq!(left(path, (CSV, "a, secret\n1,CANARY\n"), "[1]"), [json!({"a": 1})], "{path}");
        for (body, answer) in [
            ("a;secret\n1;CANARY\n", "[1]"),
            ("a\tsecret\n1\tCANARY\n", "[1]"),
            ("a|secret\n1|CANARY\n2|CANARY\n", "[1,2]"),
        ] {
            for inputs in left(path, (CSV, body), answer) {
                assert_eq!(inputs, json!({}), "{path} {body}");
            }
        }
        let headed =
            attack(path, (CSV, "x,CANARY\n3,4\n5,6\n"), ("application/json", "[1,2]"), vec![rule(Side::Inputs, "x1")]);
        for row in clean(&headed) {
            assert_eq!(row["inputs"], json!({}), "{path}");
        }
    }
}

#[test]
fn what_is_read_of_an_answer_s_model_is_redacted_with_it() {
    let json = "application/json";
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    let answer = r#"{"model":"CANARY","choices":[{"message":{"content":"y"}}]}"#;
    let row = clean(&attack("/v1/chat/completions", (json, chat), (json, answer), both("model"))).remove(0);
    assert_eq!((&row["model_version"], &row["outputs"]["content"]), (&Value::Null, &json!("y")));
    let chat = r#"{"model":"CANARY","messages":[{"role":"user","content":"x"}]}"#;
    let row = clean(&attack("/v1/chat/completions", (json, chat), (json, answer), both("model"))).remove(0);
    assert_eq!(row["model_name"], "churn");
    // Of an answer that is withheld nothing stays.
    let hidden = r#"{"model_name":"m","model_version":"CANARY","outputs":[{"name":"p","shape":[1],"datatype":"BYTES","data":["secret: CANARY"]}]}"#;
    let request = r#"{"inputs":[{"name":"a","shape":[1],"datatype":"INT64","data":[1]}]}"#;
    let row = clean(&attack("/v2/models/m/infer", (json, request), (json, hidden), both("secret"))).remove(0);
    assert_eq!(row["model_version"], Value::Null, "{row}");
}

#[test]
fn a_tag_of_a_rule_s_name_is_left_out() {
    let mut call = attack("/predict", ("application/json", "{}"), ("application/json", "{}"), both("secret"));
    call.tags = vec![("secret".to_owned(), CANARY.to_owned()), ("team".to_owned(), "a".to_owned())];
    assert_eq!(clean(&call)[0]["metadata"]["team"], "a");
}

/// A piece of a few characters is short enough, and looks like nothing; all pieces are the value.
#[test]
fn pieces_of_a_stream_are_not_shortened_one_by_one() {
    let pieces: Vec<String> =
        CANARY.as_bytes().chunks(3).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect();
    let object = |piece: &String| json!({"token": piece, "n": 1}).to_string();
    let events: String = pieces.iter().map(|piece| format!("data: {}\n\n", object(piece))).collect();
    let lines: String = pieces.iter().map(|piece| object(piece) + "\n").collect();
    for action in [RedactAction::Truncate(3), mask()] {
        for (kind, body) in [(EVENTS, &events), ("application/x-ndjson", &lines)] {
            let call = attack(
                "/predict",
                ("application/json", r#"{"a":1}"#),
                (kind, body),
                vec![doing(Side::Outputs, "token", action.clone())],
            );
            let row = clean(&call).remove(0);
            assert!(
                !pieces.iter().any(|piece| row["outputs"].to_string().contains(&json!(piece).to_string())),
                "{row}"
            );
            assert!(row["outputs"].to_string().contains("\"n\":1"), "{row}");
        }
    }
    // Rows that are whole values are changed each.
    let call = attack(
        "/invocations",
        ("application/jsonlines", "{\"a\":1}\n{\"a\":2}\n"),
        ("application/jsonlines", "{\"token\":\"CANARY\"}\n{\"token\":\"CANARY\"}\n"),
        vec![doing(Side::Outputs, "token", RedactAction::Truncate(3))],
    );
    assert_eq!(clean(&call)[1]["outputs"], json!({"token": "can"}));
}

#[test]
fn a_form_that_is_only_described_is_not_whole() {
    let row = clean(&attack(
        "/predictions/m",
        ("application/x-unknown", "CANARY"),
        ("application/json", "1"),
        both("secret"),
    ))
    .remove(0);
    assert_eq!((&row["inputs"], &row["parse_status"]), (&json!({}), &json!("unsupported")));
    assert_eq!(row["metadata"]["request_hmac"].as_str().map(str::len), Some(64));
    let row = &messages(&attack(
        "/predictions/m",
        ("application/x-unknown", "CANARY"),
        ("application/json", "1"),
        Vec::new(),
    ))[0];
    assert_eq!((&row["inputs"]["data"]["bytes"], &row["parse_status"]), (&json!(CANARY.len()), &json!("ok")));
}

#[test]
fn a_rule_with_a_tensor_s_name_is_for_all_of_it() {
    let json = "application/json";
    let tensor = |side: &str, name: &str| {
        format!(r#"{{"{side}":[{{"name":"{name}","shape":[1,2],"datatype":"FP32","data":[51234.5,2]}}]}}"#)
    };
    let (request, response) = (tensor("inputs", "secret"), tensor("outputs", "secret"));
    let row = clean(&attack("/v2/models/m/infer", (json, &request), (json, &response), both("secret"))).remove(0);
    assert!(!row.to_string().contains("51234"), "{row}");
}

#[test]
fn copies_under_other_names_are_changed_too() {
    let json = "application/json";
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
    for answer in [
        // Several choices; a field of the answer that takes the message's name; the text that clients add.
        r#"{"choices":[{"message":{"content":"CANARY"}},{"message":{"content":"CANARY"}}]}"#,
        r#"{"content":"other","choices":[{"message":{"content":"CANARY"}}]}"#,
        r#"{"choices":[{"message":{"content":[{"type":"text","text":"CANARY"}]},"logprobs":{"content":[{"token":"CANARY"}]}}]}"#,
    ] {
        clean(&attack("/v1/chat/completions", (json, chat), (json, answer), both("content")));
    }
    let answer =
        r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"CANARY"}]}],"output_text":"CANARY"}"#;
    clean(&attack("/v1/responses", (json, r#"{"model":"m","input":"x"}"#), (json, answer), both("content")));
    // The text of a block has another name than the argument of a tool.
    let answer =
        r#"{"content":[{"type":"text","text":"CANARY"},{"type":"tool_use","input":{"text":"x"}}],"model":"c"}"#;
    clean(&attack("/v1/messages", (json, chat), (json, answer), both("text")));
}
