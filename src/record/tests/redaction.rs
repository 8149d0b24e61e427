//! A redacted value is in no message, however it came: a search for canaries, byte by byte.

use super::*;
use crate::config::{RedactAction, RedactRule, Side, VersionFrom};

pub(super) const CANARY: &str = "canary-7f3a";

pub(super) fn rule(side: Side, path: &str) -> RedactRule {
    doing(side, path, RedactAction::Drop)
}

pub(super) fn doing(side: Side, path: &str, action: RedactAction) -> RedactRule {
    RedactRule { side, keys: path.split('.').map(str::to_owned).collect(), action }
}

/// `call` on a route that drops the canary's places.
fn redacting(call: Call) -> Call {
    with_route(call, |route| {
        route.capture.bodies = config::Bodies::Always;
        route.redact =
            vec![rule(Side::Inputs, "email"), rule(Side::Inputs, "address.street"), rule(Side::Outputs, "echo")];
    })
}

/// `call` on a route that drops the canary's positions.
fn by_position(call: Call) -> Call {
    with_route(call, |route| {
        route.capture.bodies = config::Bodies::Always;
        route.redact = vec![rule(Side::Inputs, "x1"), rule(Side::Outputs, "y1")];
    })
}

/// The messages of a call, none of which may hold the canary.
pub(super) fn clean(call: &Call) -> Vec<serde_json::Value> {
    let messages = recorder().messages(call).1;
    for message in &messages {
        let text = String::from_utf8_lossy(message);
        assert!(!text.contains(CANARY), "{text}");
        // Bodies could hide it in base64.
        assert!(!text.contains("_body"), "{text}");
    }
    strict(messages)
}

#[test]
fn parsed_values_are_dropped_wherever_they_stand() {
    let c = CANARY;
    for (request, response) in [
        (format!(r#"{{"a":1,"email":"{c}"}}"#), "{}".to_owned()),
        (format!(r#"{{"email":1,"a":1,"email":"{c}"}}"#), "{}".to_owned()),
        (format!(r#"{{"e\u006dail":"{c}"}}"#), "{}".to_owned()),
        (format!(r#"{{"address":{{"street":"{c}","city":"x"}}}}"#), "{}".to_owned()),
        (format!(r#"{{"address":[{{"street":"{c}"}},[{{"street":"{c}"}}]]}}"#), "{}".to_owned()),
        (format!(r#"{{"address.street":"{c}"}}"#), "{}".to_owned()),
        (format!(r#"[{{"email":"{c}"}},{{"a":1,"email":"{c}"}}]"#), "[1,2]".to_owned()),
        // Beside the batch, in a batch that does not split, in columns.
        (format!(r#"{{"data":[{{"a":1}},{{"a":2}}],"email":"{c}"}}"#), "[1,2]".to_owned()),
        (format!(r#"[{{"email":"{c}"}},{{"email":"{c}"}}]"#), "[1,2,3]".to_owned()),
        (format!(r#"{{"data":[{{"email":"{c}"}},{{"email":"{c}"}}]}}"#), "{}".to_owned()),
        (format!(r#"{{"customers":[{{"email":"{c}"}},{{"email":"{c}"}}],"b":1}}"#), r#"{"p":1}"#.to_owned()),
        (format!(r#"{{"instances":[{{"email":"{c}"}},{{"email":"{c}"}}]}}"#), r#"{"predictions":[1]}"#.to_owned()),
        (format!(r#"{{"inputs":{{"email":["{c}","b"],"a":[1,2]}}}}"#), r#"{"outputs":[1,2]}"#.to_owned()),
        (format!(r#"{{"inputs":{{"email":["{c}","b"],"a":[1,2]}}}}"#), r#"{"outputs":[1]}"#.to_owned()),
        // In what looks like none of these.
        (format!(r#"[{{"email":"{c}"}},null]"#), "1".to_owned()),
        (format!(r#"{{"data":{{"email":"{c}","a":[1,2]}}}}"#), "1".to_owned()),
        (format!(r#"{{"data":{{"email":["{c}"],"a":[1,2]}}}}"#), "1".to_owned()),
        (format!(r#"{{"data":[{{"email":"{c}"}}],"rows":[{{"email":"{c}"}}]}}"#), "1".to_owned()),
        (format!(r#"{{"instances":[{{"email":"{c}"}},7]}}"#), "1".to_owned()),
        // Within something else.
        (format!(r#"{{"payload":{{"a":1,"email":"{c}"}}}}"#), "1".to_owned()),
        (format!(r#"{{"a":{{"b":[[{{"c":{{"email":"{c}"}}}}]]}}}}"#), "1".to_owned()),
        (format!(r#"{{"customer":{{"address":[{{"street":"{c}"}}]}}}}"#), "1".to_owned()),
        (format!(r#"[{{"email":"x"}},{{"row":{{"email":"{c}"}}}}]"#), "[1,2]".to_owned()),
        ("{}".to_owned(), format!(r#"{{"result":{{"p":1,"meta":{{"echo":"{c}"}}}}}}"#)),
        ("{}".to_owned(), format!(r#"{{"p":1,"echo":"{c}"}}"#)),
        ("{}".to_owned(), format!(r#"[{{"echo":"{c}"}},{{"echo":{{"x":"{c}"}}}}]"#)),
        (r#"[{"a":1},{"a":2}]"#.to_owned(), format!(r#"{{"p":[1,2],"echo":["{c}","{c}"]}}"#)),
    ] {
        let rows = clean(&redacting(call(request.clone(), response)));
        assert!(
            rows.iter().all(|row| row["parse_status"] == "ok" || row["parse_status"] == "row_mismatch"),
            "{request}"
        );
        let keep = with_route(redacting(call(request, "{}")), |route| route.capture.rows = Rows::Keep);
        clean(&keep);
    }
}

/// Calls with the canary at position 1 of either side.
fn positional() -> Vec<(String, String)> {
    let c = CANARY;
    vec![
        (format!(r#"[[1,"{c}"],[2,"{c}"]]"#), "[1,2]".to_owned()),
        (format!(r#"[[1,"{c}"],[2,"{c}"]]"#), "[1,2,3]".to_owned()),
        (format!(r#"[[0,"{c}"{}]]"#, ",0".repeat(400)), "[1]".to_owned()),
        (format!(r#"{{"data":[1,"{c}"]}}"#), "1".to_owned()),
        (format!(r#"{{"a":{{"rows":[[1,"{c}"]]}}}}"#), "1".to_owned()),
        ("[[1],[2]]".to_owned(), format!(r#"[["a","{c}"],["b","{c}"]]"#)),
        ("[[1],[2]]".to_owned(), format!(r#"[["a","{c}"]]"#)),
    ]
}

#[test]
fn values_at_positions_are_dropped_by_their_positions() {
    for (request, response) in positional() {
        for row in clean(&by_position(call(request.clone(), response))) {
            assert!(row["parse_status"] == "ok" || row["parse_status"] == "row_mismatch", "{request}: {row}");
        }
        clean(&with_route(by_position(call(request, "{}")), |route| route.capture.rows = Rows::Keep));
    }
}

/// Where the field of a rule by name stands nobody knows, whatever rules by position are there too.
#[test]
fn values_at_positions_are_withheld_if_a_rule_by_name_is_for_none_of_them() {
    for (request, response) in positional() {
        let both = with_route(by_position(call(request.clone(), response.clone())), |route| {
            route.redact.extend([rule(Side::Inputs, "email"), rule(Side::Outputs, "echo")]);
        });
        let (side, hmac) =
            if request.contains(CANARY) { ("inputs", "request_hmac") } else { ("outputs", "response_hmac") };
        for row in clean(&both) {
            assert_eq!((&row["parse_status"], &row[side]), (&"unsupported".into(), &serde_json::json!({})), "{row}");
            assert_eq!(row["metadata"][hmac].as_str().map(str::len), Some(64), "{row}");
        }
    }
    // One of two names is no key of the body: its field may be in the rows.
    let request = format!(r#"{{"email":"{CANARY}","data":[[1,"{CANARY}"]]}}"#);
    let names = |names: &'static [&'static str]| {
        with_route(call(request.clone(), "[1]"), |route| {
            route.redact = names.iter().map(|name| rule(Side::Inputs, name)).collect();
        })
    };
    assert_eq!(clean(&names(&["email", "phone"]))[0]["inputs"], serde_json::json!({}));
    assert_eq!(clean(&names(&["email", "x1"]))[0]["inputs"], serde_json::json!({"x0": 1}));
    // So it is with the columns of a lone tensor, which have its name.
    let tensor =
        format!(r#"{{"inputs":[{{"name":"input","shape":[1,2],"datatype":"BYTES","data":["a","{CANARY}"]}}]}}"#);
    for (names, left) in
        [(["input_1", "phone"], serde_json::json!({})), (["input_1", "input_1"], serde_json::json!({"input_0": "a"}))]
    {
        let mut call =
            call(tensor.clone(), r#"{"outputs":[{"name":"p","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#);
        call.path = "/v2/models/m/infer".to_owned();
        let call = with_route(call, |route| {
            route.redact = names.map(|name| rule(Side::Inputs, name)).to_vec();
            route.redact.push(rule(Side::Outputs, "echo"));
        });
        let row = clean(&call).remove(0);
        assert_eq!((&row["inputs"], &row["outputs"]["p_1"]), (&left, &2.into()), "{row}");
    }
}

#[test]
fn a_rule_on_a_long_list_covers_a_short_one() {
    for length in [2, 400] {
        let request = format!(r#"[[{}"{CANARY}"]]"#, "0,".repeat(length));
        let call = with_route(call(request, "[1]"), |route| route.redact = vec![rule(Side::Inputs, "x")]);
        assert_eq!(clean(&call)[0]["inputs"], serde_json::json!({}));
    }
}

#[test]
fn other_values_stay() {
    let request = format!(r#"{{"a":1,"email":"{CANARY}","address":{{"street":"s","city":"c"}}}}"#);
    let row = clean(&redacting(call(request, r#"{"p":1}"#))).remove(0);
    assert_eq!(row["inputs"], serde_json::json!({"a": 1, "address": {"city": "c"}}));
    assert_eq!(row["outputs"], serde_json::json!({"p": 1}));

    // Where a rule finds its field, others of that name further down are others.
    let request = format!(r#"{{"email":"{CANARY}","company":{{"email":"info@example.com"}}}}"#);
    let row = clean(&redacting(call(request, "{}"))).remove(0);
    assert_eq!(row["inputs"], serde_json::json!({"company": {"email": "info@example.com"}}));
}

#[test]
fn an_error_that_echoes_the_input_is_kept_as_length_and_hmac() {
    let request = format!(r#"{{"email":"{CANARY}"}}"#);
    let response = format!(r#"{{"detail":[{{"loc":["body","email"],"input":"{CANARY}"}}]}}"#);
    let mut call = redacting(call(request, response.clone()));
    call.status = Some(StatusCode::UNPROCESSABLE_ENTITY);
    let row = clean(&call).remove(0);
    assert_eq!(row.get("error"), None);
    assert_eq!(row["response_bytes"], response.len());
    assert_eq!(row["metadata"]["response_hmac"].as_str().map(str::len), Some(64));
    assert_eq!(row["parse_status"], "ok");
}

#[test]
fn the_hmac_is_the_one_that_everybody_computes() {
    let mut call = redacting(call("{}", "The quick brown fox jumps over the lazy dog"));
    call.status = Some(StatusCode::BAD_REQUEST);
    let row = clean(&call).remove(0);
    let known = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
    assert_eq!(row["metadata"]["response_hmac"], known);
}

#[test]
fn what_was_not_parsed_whole_is_kept_as_length_and_hmac() {
    let body = format!(r#"{{"email":"{CANARY}","rest":[1,2,3]}}"#);
    let whole = || redacting(call(body.clone(), "{}"));

    let mut cut = whole();
    cut.request.kept = Kept::Cut;
    let mut broken = whole();
    broken.request.ended = false;
    let mut damaged = whole();
    damaged.request = captured(format!("{body}}}").into());
    let mut not_utf8 = whole();
    not_utf8.request = captured([body.as_bytes(), b"\xff"].concat().into());
    let mut unknown = whole();
    unknown.request_headers = headers(&[("content-type", "text/csv")]);
    let mut coded = whole();
    coded.request_headers.insert("content-encoding", HeaderValue::from_static("snappy"));
    let raw = with_route(whole(), |route| route.protocol = ProtocolChoice::Raw);
    let deep = with_route(whole(), |route| route.capture.depth_max = 1);
    for (what, call) in [
        ("cut", cut),
        ("broken off", broken),
        ("damaged", damaged),
        ("not UTF-8", not_utf8),
        ("unknown", unknown),
        ("coded", coded),
        ("raw", raw),
        ("deep", deep),
    ] {
        let row = clean(&call).remove(0);
        assert_ne!(row["parse_status"], "ok", "{what}");
        assert_eq!(row["inputs"], serde_json::json!({}), "{what}");
        assert_eq!(row["metadata"]["request_hmac"].as_str().map(str::len), Some(64), "{what}");
        assert!(row["request_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{what}");
    }
}

#[test]
fn compressed_bodies_are_redacted_as_plain_ones() {
    let body = format!(r#"{{"a":1,"email":"{CANARY}"}}"#);
    let mut call = redacting(call(gzip(body.as_bytes()), "{}"));
    call.request_headers.insert("content-encoding", HeaderValue::from_static("gzip"));
    assert_eq!(clean(&call)[0]["inputs"], serde_json::json!({"a": 1}));
    let cut = call.request.frames[0].len() - 4;
    call.request.frames[0].truncate(cut);
    assert_eq!(clean(&call)[0]["parse_status"], "truncated");
}

#[test]
fn what_is_derived_from_a_body_is_redacted_with_it() {
    let call = with_route(
        call(format!(r#"{{"client_request_id":"{CANARY}"}}"#), format!(r#"{{"meta":{{"version":"{CANARY}"}}}}"#)),
        |route| {
            route.redact = vec![rule(Side::Inputs, "client_request_id"), rule(Side::Outputs, "meta")];
            route.version = Some(VersionFrom::Response(vec!["meta".to_owned(), "version".to_owned()]));
        },
    );
    let row = clean(&call).remove(0);
    assert_eq!((row.get("client_request_id"), &row["model_version"]), (None, &serde_json::Value::Null));
}

#[test]
fn without_rules_nothing_is_withheld() {
    let mut call = call(format!(r#"{{"email":"{CANARY}"}}"#), "oops");
    call.status = Some(StatusCode::INTERNAL_SERVER_ERROR);
    let row = messages(&call).remove(0);
    assert_eq!((&row["inputs"]["email"], &row["error"]), (&serde_json::json!(CANARY), &serde_json::json!("oops")));
    assert_eq!(row["metadata"].get("request_hmac"), None);
}
