//! What hash, truncate and mask leave of a value, wherever it stands.

use serde_json::json;

use super::redaction::{CANARY, clean, doing};
use super::*;
use crate::config::{Config, MaskKind, RedactAction, RedactRule, Side};

/// The key of the hashes below.
const KEY: &str = "key of the tests";
/// `printf %s canary-7f3a | openssl dgst -sha256 -hmac "key of the tests"`
const CANARY_HASHED: &str = "dded7a3f9c5b4d60f3a998bef72565f1982e2fc8d5f4c23fd0348941cee36dfc";
/// The same of `4217`.
const NUMBER_HASHED: &str = "7a1c505ee9a8238bcaaeadcccc5532308c6a83f74bc35f7b74ca9b37a893a635";

pub(super) fn hash() -> RedactAction {
    let text = "version: 1\nroutes: { a: { upstream: 'http://a:1', redact: { inputs.a: { hash: \"${env:K}\" } } } }\n";
    let config = Config::from_yaml("weir.yaml", text, &|_| Some(KEY.to_owned())).expect("a configuration");
    config.routes[0].redact[0].action.clone()
}

pub(super) fn mask() -> RedactAction {
    RedactAction::Mask(vec![MaskKind::Email, MaskKind::Phone, MaskKind::Card])
}

fn inputs(action: RedactAction, path: &str) -> Vec<RedactRule> {
    vec![doing(Side::Inputs, path, action)]
}

/// The inputs of each row of a call that is answered with one value per row.
fn left(request: &str, response: &str, rules: Vec<RedactRule>) -> Vec<serde_json::Value> {
    let call = with_route(call(request.to_owned(), response.to_owned()), |route| route.redact = rules);
    messages(&call)
        .iter()
        .map(|row| {
            assert_eq!(row["parse_status"], "ok", "{row}");
            row["inputs"].clone()
        })
        .collect()
}

#[test]
fn a_hash_is_the_hmac_that_everybody_computes_and_equal_values_stay_equal() {
    let rows = left(
        &format!(r#"[{{"id":"{CANARY}","a":1}},{{"id":4217}},{{"id":"4217"}},{{"id":null}},{{"id":true}}]"#),
        "[1,2,3,4,5]",
        inputs(hash(), "id"),
    );
    assert_eq!(rows[0], json!({"id": CANARY_HASHED, "a": 1}));
    assert_eq!((&rows[1]["id"], &rows[2]["id"]), (&json!(NUMBER_HASHED), &json!(NUMBER_HASHED)));
    assert_eq!(rows[3]["id"], json!(null));
    assert_eq!(rows[4]["id"].as_str().map(str::len), Some(64));
}

#[test]
fn every_occurrence_is_hashed_once() {
    let hashed = json!(CANARY_HASHED);
    let c = CANARY;
    for (request, response, path, pointer) in [
        (format!(r#"{{"a":{{"id":"{c}"}}}}"#), "1", "id", "/a/id"),
        (format!(r#"{{"a":[{{"id":"{c}"}},{{"id":"x"}}]}}"#), "1", "a.id", "/a/0/id"),
        (format!(r#"{{"a.id":"{c}"}}"#), "1", "a.id", "/a.id"),
        (format!(r#"{{"inputs":{{"id":["{c}","y"],"b":[1,2]}}}}"#), r#"{"outputs":[1,2]}"#, "id", "/id"),
        (format!(r#"[[1,"{c}"],[2,"y"]]"#), "[1,2]", "x1", "/x1"),
        // A lone scalar's place is also that of a list's first item: two paths lead there.
        (format!(r#"[["{c}"{}]]"#, ",0".repeat(300)), "[1]", "x0", "/x/0"),
    ] {
        let rows = left(&request, response, inputs(hash(), path));
        assert_eq!(rows[0].pointer(pointer), Some(&hashed), "{request}: {rows:?}");
    }
    let twice = with_route(call(format!(r#"{{"id":"{c}","id":"{c}"}}"#), "1"), |route| {
        route.redact = inputs(hash(), "id");
    });
    let message = recorder().messages(&twice).1.remove(0);
    assert_eq!(String::from_utf8_lossy(&message).matches(CANARY_HASHED).count(), 2);
}

#[test]
fn a_container_is_hashed_as_a_whole() {
    let request = |street: &str| format!(r#"{{"address":{{"street":"{street}","zip":[1,2]}}}}"#);
    let hash_of = |street: &str| left(&request(street), "1", inputs(hash(), "address"))[0]["address"].clone();
    assert_eq!(hash_of(CANARY).as_str().map(str::len), Some(64));
    assert_eq!(hash_of(CANARY), hash_of(CANARY));
    assert_ne!(hash_of(CANARY), hash_of("other"));
}

#[test]
fn what_is_truncated_or_masked_is_text() {
    let truncated = left(
        r#"[{"zip":94103},{"zip":"größe"},{"zip":"ab"},{"zip":-1.5},{"zip":null},{"zip":false},{"zip":["12345",6789]}]"#,
        "[1,2,3,4,5,6,7]",
        inputs(RedactAction::Truncate(3), "zip"),
    );
    let values: Vec<_> = truncated.iter().map(|row| row["zip"].clone()).collect();
    assert_eq!(json!(values), json!(["941", "grö", "ab", "-1.", null, "fal", ["123", "678"]]));

    let masked = left(
        r#"[{"note":"ann@example.com, 4111 1111 1111 1111"},{"note":4111111111111111},{"note":7},{"note":{"a":["x@y.de"],"b":1}},{"note":{"x@y.de":1}}]"#,
        "[1,2,3,4,5]",
        inputs(mask(), "note"),
    );
    let values: Vec<_> = masked.iter().map(|row| row["note"].clone()).collect();
    let expected = json!(["[email], [card]", "[card]", "7", {"a": ["[email]"], "b": "1"}, r#"{"[email]":1}"#]);
    assert_eq!(json!(values), expected);
}

#[test]
fn rules_apply_in_their_order() {
    let rules = vec![
        doing(Side::Inputs, "a.b", mask()),
        doing(Side::Inputs, "a", RedactAction::Truncate(4)),
        doing(Side::Inputs, "c", RedactAction::Drop),
    ];
    let rows = left(r#"{"a":{"b":"x@y.de"},"c":1,"d":2}"#, "1", rules);
    assert_eq!(rows[0], json!({"a": {"b": "[ema"}, "d": 2}));
}

#[test]
fn the_copy_of_a_prompt_is_changed_with_it() {
    let chat = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"I am {CANARY}@b.de"}}],"user":"u"}}"#);
    let plain = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}"#;
    let of = |path: &str, rule: RedactRule| {
        let mut call = with_route(call(chat.clone(), plain), |route| route.redact = vec![rule]);
        call.path = path.to_owned();
        clean(&call).remove(0)
    };
    let chat_path = "/v1/chat/completions";
    for path in ["messages", "messages.content", "content", "prompt_text"] {
        let dropped = of(chat_path, doing(Side::Inputs, path, RedactAction::Drop));
        assert_eq!((&dropped["protocol"], dropped["inputs"].get("prompt_text")), (&json!("openai"), None), "{path}");
        assert_eq!(dropped["inputs"]["user"], "u");
        let masked = of(chat_path, doing(Side::Inputs, path, mask()));
        assert_eq!(masked["inputs"]["prompt_text"], "I am [email]", "{path}");
        let messages = masked["inputs"]["messages"].as_str().expect("a text of JSON");
        assert!(messages.contains(r#""content":"I am [email]""#), "{messages}");
        of(chat_path, doing(Side::Inputs, path, hash()));
        of(chat_path, doing(Side::Inputs, path, RedactAction::Truncate(5)));
    }
}

#[test]
fn a_name_that_the_protocol_takes_apart_withholds_the_side() {
    let batch = format!(r#"{{"customers":[{{"name":"{CANARY}"}}]}}"#);
    let choices = format!(r#"{{"choices":[{{"message":{{"content":"{CANARY}"}}}}]}}"#);
    for (path, request, response, side, rule) in [
        ("/predict", batch.as_str(), r#"{"scores":[1]}"#, Side::Inputs, "customers"),
        ("/predict", batch.as_str(), r#"{"scores":[1]}"#, Side::Inputs, "customers.name"),
        ("/predict", &format!(r#"{{"data":[{{"a":"{CANARY}"}},{{"a":2}}]}}"#), "[1,2]", Side::Inputs, "data"),
        (
            "/v1/models/m:predict",
            r#"{"instances":[1]}"#,
            &format!(r#"{{"predictions":["{CANARY}"]}}"#),
            Side::Outputs,
            "predictions",
        ),
        ("/v1/chat/completions", r#"{"messages":[]}"#, choices.as_str(), Side::Outputs, "choices"),
        ("/v1/chat/completions", r#"{"messages":[]}"#, choices.as_str(), Side::Outputs, "choices.message.content"),
        ("/v1/chat/completions", r#"{"messages":[]}"#, choices.as_str(), Side::Outputs, "message"),
    ] {
        for action in [RedactAction::Drop, hash(), mask(), RedactAction::Truncate(3)] {
            let mut call = with_route(call(request.to_owned(), response.to_owned()), |route| {
                route.redact = vec![doing(side, rule, action)];
            });
            call.path = path.to_owned();
            let row = clean(&call).remove(0);
            let [kept, hmac] = match side {
                Side::Inputs => ["inputs", "request_hmac"],
                Side::Outputs => ["outputs", "response_hmac"],
            };
            assert_eq!((&row[kept], &row["parse_status"]), (&json!({}), &json!("unsupported")), "{path} {rule}");
            assert!(row["metadata"].get(hmac).is_some(), "{path} {rule}");
            assert!(row["parse_error"].as_str().is_some_and(|why| why.contains("is no column")), "{row}");
        }
    }
}

#[test]
fn tokens_of_a_redacted_answer_are_left_out() {
    let answer = |place: &str| {
        format!(
            r#"{{"choices":[{{"{place}":{{"content":"{CANARY}@b.de"}},"logprobs":{{"content":[{{"token":"{CANARY}","logprob":0}}]}}}}]}}"#
        )
    };
    let whole = ("application/json", answer("message"));
    let streamed = ("text/event-stream", format!("data: {}\n\ndata: [DONE]\n\n", answer("delta")));
    let actions = [RedactAction::Drop, hash(), mask(), RedactAction::Truncate(2)];
    for (action, (media_type, answer)) in actions.iter().flat_map(|action| [(action, &whole), (action, &streamed)]) {
        let mut call = with_route(call(r#"{"messages":[]}"#, answer.clone()), |route| {
            route.redact = vec![doing(Side::Outputs, "content", action.clone())];
        });
        call.response_headers.insert("content-type", media_type.parse().expect("a header value"));
        call.path = "/v1/chat/completions".to_owned();
        let row = clean(&call).remove(0);
        assert_eq!((&row["parse_status"], row["outputs"].get("logprobs")), (&json!("ok"), None), "{action:?}");
    }
}

#[test]
fn a_changed_column_has_no_declared_type() {
    let request = r#"{"inputs":[{"name":"id","shape":[1],"datatype":"INT64","data":[4217]},
        {"name":"age","shape":[1],"datatype":"INT64","data":[38]}]}"#;
    let call = with_route(call(request, r#"{"outputs":[]}"#), |route| route.redact = inputs(hash(), "id"));
    let row = messages(&call).remove(0);
    assert_eq!(row["inputs"], json!({"id": NUMBER_HASHED, "age": 38}));
    assert_eq!(row["types"], json!({"inputs.age": "INT64"}));
}

#[test]
fn what_is_made_of_a_changed_value_is_left_out() {
    for action in [hash(), mask(), RedactAction::Truncate(20)] {
        let call = with_route(call(format!(r#"{{"client_request_id":"{CANARY}@b.de-0123456789"}}"#), "1"), |route| {
            route.redact = inputs(action.clone(), "client_request_id");
        });
        let row = messages(&call).remove(0);
        assert_eq!(row.get("client_request_id"), None, "{action:?}");
    }
}
