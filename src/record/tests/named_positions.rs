//! Rules and values at positions to which the route gives names: the value is gone wherever it stands, and where anything
//! does not fit, all of its side is.

use serde_json::json;

use super::redaction::{CANARY, clean, doing, rule};
use super::*;
use crate::config::{Layout, RedactAction, RedactRule, Side};

/// A call on a route that names two columns on either side.
fn named(call: Call, columns: [&str; 2], rules: Vec<RedactRule>) -> Call {
    with_route(call, |route| {
        let layout = Layout { rows: None, columns: columns.map(str::to_owned).to_vec() };
        route.record = config::Record { inputs: layout.clone(), outputs: layout, ..config::Record::default() };
        route.redact = rules;
    })
}

/// Requests that hold the canary at position 1, and an answer that counts as many.
fn positional() -> Vec<(String, &'static str, &'static str)> {
    let c = CANARY;
    vec![
        (format!(r#"[[41,"{c}"],[28,"{c}"]]"#), "/predict", "[1,2]"),
        (format!(r#"[41,"{c}"]"#), "/predict", "1"),
        (format!(r#"{{"data":[[41,"{c}"],[28,"{c}"]],"tenant":1}}"#), "/predict", "[1,2]"),
        (format!(r#"{{"instances":[[41,"{c}"],[28,"{c}"]]}}"#), "/v1/models/m:predict", r#"{"predictions":[1,2]}"#),
        (format!(r#"{{"inputs":[[41,"{c}"],[28,"{c}"]]}}"#), "/invocations", r#"{"predictions":[1,2]}"#),
        (
            format!(r#"{{"data":{{"ndarray":[[41,"{c}"],[28,"{c}"]]}}}}"#),
            "/api/v1.0/predictions",
            r#"{"data":{"ndarray":[1,2]}}"#,
        ),
        (
            format!(
                r#"{{"inputs":[{{"name":"in","shape":[2,2],"datatype":"BYTES","data":["41","{c}","28","{c}"]}}]}}"#
            ),
            "/v2/models/m/infer",
            r#"{"outputs":[{"name":"p","shape":[2],"datatype":"FP32","data":[1,2]}]}"#,
        ),
    ]
}

fn at(path: &str, request: String, response: &str) -> Call {
    let mut call = call(request, response.to_owned());
    call.path = path.to_owned();
    call
}

#[test]
fn a_rule_by_a_given_name_finds_the_value_at_its_position() {
    for (request, path, response) in positional() {
        for action in [RedactAction::Drop, RedactAction::Truncate(3)] {
            let rules = vec![doing(Side::Inputs, "email", action)];
            // Split, kept as one row, and not to be split.
            for (response, rows) in [(response, Rows::Split), (response, Rows::Keep), ("[1,2,3]", Rows::Split)] {
                let call = named(at(path, request.clone(), response), ["age", "email"], rules.clone());
                let call = with_route(call, |route| route.capture.rows = rows);
                for row in clean(&call) {
                    assert_ne!(row["parse_status"], "unsupported", "{request} {:?}", row.get("parse_error"));
                    assert_ne!(row["inputs"], json!({}), "{request}");
                }
            }
        }
        let rules = vec![rule(Side::Inputs, "email")];
        for row in clean(&named(at(path, request.clone(), response), ["age", "email"], rules)) {
            assert!(row["inputs"].get("age").is_some(), "{request}: {row}");
            assert_eq!(row["inputs"].get("email"), None, "{request}");
        }
    }
}

#[test]
fn a_rule_by_position_holds_when_the_position_gets_a_name() {
    for (request, path, response) in positional() {
        let position = if path.starts_with("/v2") { "in_1" } else { "x1" };
        for name in [position, "x1"] {
            for row in
                clean(&named(at(path, request.clone(), response), ["age", "email"], vec![rule(Side::Inputs, name)]))
            {
                assert!(row["inputs"].get("age").is_some(), "{request}: {row}");
            }
        }
    }
}

#[test]
fn a_name_that_pipelines_decorated_is_meant_too() {
    for (request, path, response) in positional() {
        let rules = vec![rule(Side::Inputs, "email"), rule(Side::Inputs, "age")];
        clean(&named(at(path, request, response), ["age", "num__email"], rules));
    }
}

#[test]
fn values_that_do_not_fit_are_withheld() {
    let c = CANARY;
    for (request, response) in [
        // Who knows which value is the e-mail here.
        (format!(r#"[[41,7,"{c}"]]"#), "[1]"),
        (format!(r#"[[41,"x"],[28,7,"{c}"]]"#), "[1,2]"),
        (format!(r#"[[41,"x"],[28,7,"{c}"]]"#), "[1,2,3]"),
        (format!(r#"{{"data":[["{c}"]]}}"#), "[1]"),
        (format!(r#"{{"instances":["{c}","{c}","{c}"]}}"#), "{}"),
        (format!(r#"{{"instances":["{c}","{c}"]}}"#), "[1,2,3]"),
        (format!(r#"{{"data":[[41,"{c}"]],"age":3}}"#), "[1]"),
        (format!(r#"{{"a":{{"rows":[[1,"{c}"]]}}}}"#), "1"),
    ] {
        let rules = vec![rule(Side::Inputs, "email")];
        for row in clean(&named(call(request.clone(), response), ["age", "email"], rules)) {
            assert_eq!((&row["inputs"], &row["parse_status"]), (&json!({}), &"unsupported".into()), "{request}");
            assert_eq!(row["metadata"]["request_hmac"].as_str().map(str::len), Some(64), "{request}");
        }
    }
}

#[test]
fn a_rule_for_none_of_the_names_withholds_the_side() {
    for (request, path, response) in positional() {
        // One that is there, one by position, and one that could be any value.
        for others in [vec![], vec!["age"], vec!["x0"]] {
            let mut rules = vec![rule(Side::Inputs, "email")];
            rules.extend(others.iter().map(|name| rule(Side::Inputs, name)));
            for row in clean(&named(at(path, request.clone(), response), ["age", "second"], rules)) {
                assert_eq!(row["inputs"], json!({}), "{request}");
            }
        }
    }
    // A key beside the rows is one that is there.
    let request = format!(r#"{{"data":[[41,"pro"]],"email":"{CANARY}"}}"#);
    let row = clean(&named(call(request, "[1]"), ["age", "plan"], vec![rule(Side::Inputs, "email")])).remove(0);
    assert_eq!(row["inputs"], json!({"age": 41, "plan": "pro"}));
}

#[test]
fn a_rule_by_position_does_not_say_where_a_name_stands_that_is_nowhere() {
    for (request, path, response) in positional() {
        let rules = vec![rule(Side::Inputs, "x0"), rule(Side::Inputs, "email")];
        for row in clean(&with_route(at(path, request.clone(), response), |route| route.redact = rules.clone())) {
            assert_eq!(row["inputs"], json!({}), "{request}");
        }
    }
    let rules = vec![rule(Side::Inputs, "x1")];
    let row = clean(&with_route(call(format!(r#"[[41,"{CANARY}"]]"#), "[1]"), |route| route.redact = rules)).remove(0);
    assert_eq!(row["inputs"], json!({"x0": 41}), "rules by position alone find their values");
}

#[test]
fn answers_are_held_to_the_same() {
    let response = format!(r#"{{"predictions":[["x","{CANARY}"],["y","{CANARY}"]]}}"#);
    for request in ["[[1],[2]]", "[[1],[2],[3]]"] {
        let rules = vec![rule(Side::Outputs, "note")];
        for row in clean(&named(call(request, response.clone()), ["label", "note"], rules)) {
            assert_ne!(row["outputs"], json!({}));
        }
        for row in clean(&named(call(request, response.clone()), ["label", "other"], vec![rule(Side::Outputs, "note")]))
        {
            assert_eq!(row["outputs"], json!({}));
        }
    }
}

#[test]
fn rows_in_a_place_of_the_routes_are_held_to_the_same() {
    let request = format!(r#"{{"payload":{{"items":[[41,"{CANARY}"],[28,"{CANARY}"]]}}}}"#);
    for response in ["[1,2]", "[1,2,3]"] {
        for columns in [vec![], vec!["age".to_owned(), "email".to_owned()]] {
            let call = with_route(call(request.clone(), response), |route| {
                let rows = Some(["payload", "items"].map(str::to_owned).to_vec());
                route.record.inputs = Layout { rows, columns: columns.clone() };
                route.redact = vec![rule(Side::Inputs, "email")];
            });
            for row in clean(&call) {
                assert_eq!(row["inputs"] == json!({}), columns.is_empty(), "{row}");
            }
        }
    }
}
