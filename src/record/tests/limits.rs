//! What a record says of copies that are not whole, and how it is cut to fit a message.

use serde_json::{Value, json};

use super::*;
use crate::config::VersionFrom;

fn only(call: &Call) -> Value {
    let mut rows = messages(call);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

#[test]
fn a_cut_copy_is_truncated_and_its_beginning_kept() {
    let mut call = call(r#"{"name":"gr"#.as_bytes().iter().chain(&[0xc3]).copied().collect::<Vec<u8>>(), r#"{"p":1}"#);
    call.request.kept = Kept::Cut;
    call.request.seen_bytes = 5_000_000;
    let row = only(&call);
    assert_eq!(row["parse_status"], "truncated");
    assert_eq!(row["parse_error"], "request: copy cut at 12 of 5000000 bytes");
    assert_eq!(row["truncated"], true);
    assert_eq!(row["request_bytes"], 5_000_000);
    assert_eq!((&row["inputs"], &row["outputs"]), (&json!({}), &json!({"p": 1})));
    assert_eq!((&row["request_body"], &row["body_encoding"]), (&json!(r#"{"name":"gr"#), &json!("utf-8")));
}

#[test]
fn a_transfer_that_broke_off_is_truncated() {
    let mut call = call(r#"{"a":1}"#, r#"{"p":0."#);
    call.response.ended = false;
    call.outcome = Outcome::UpstreamAborted;
    call.error = Some("upstream_aborted: connection reset by the model".to_owned());
    let row = only(&call);
    assert_eq!((&row["parse_status"], &row["outcome"]), (&json!("truncated"), &json!("upstream_aborted")));
    assert_eq!(row["parse_error"], "response: transfer broke off after 7 bytes");
    assert_eq!(row["error"], "upstream_aborted: connection reset by the model");
    assert_eq!((&row["inputs"], &row["response_body"]), (&json!({"a": 1}), &json!(r#"{"p":0."#)));
}

#[test]
fn a_call_without_an_answer_keeps_its_inputs() {
    let mut call = call(r#"{"a":1}"#, "");
    call.status = None;
    call.response = Captured::default();
    call.response_headers = HeaderMap::new();
    call.outcome = Outcome::ClientAborted;
    let row = only(&call);
    assert_eq!((&row["parse_status"], &row["inputs"], &row["outputs"]), (&json!("ok"), &json!({"a": 1}), &json!({})));
    assert_eq!(row.get("status_code"), None);
    assert_eq!(row["request_body"], r#"{"a":1}"#);
}

#[test]
fn an_answer_made_by_the_gateway_says_so() {
    let mut call = call(r#"{"a":1}"#, r#"{"error":"upstream_connect"}"#);
    call.status = Some(StatusCode::BAD_GATEWAY);
    call.origin = Origin::Gateway;
    call.outcome = Outcome::UpstreamConnect;
    call.error = Some("upstream_connect: connection refused".to_owned());
    let row = only(&call);
    assert_eq!((&row["origin"], &row["error"]), (&json!("gateway"), &json!("upstream_connect: connection refused")));
    assert_eq!((&row["parse_status"], &row["inputs"]), (&json!("ok"), &json!({"a": 1})));
}

#[test]
fn nothing_is_kept_without_a_permit_or_on_request() {
    let mut call = call(r#"{"a":1}"#, r#"{"p":1}"#);
    call.keep = Keep::Metadata;
    let row = only(&call);
    assert_eq!((&row["parse_status"], &row["inputs"], &row["outputs"]), (&json!("not_kept"), &json!({}), &json!({})));
    assert_eq!((row.get("request_body"), &row["request_bytes"], &row["row_count"]), (None, &json!(7), &json!(1)));

    call.keep = Keep::Bodies;
    call.response = Captured { frames: vec![], seen_bytes: 7, kept: Kept::NotKept, ended: true };
    let row = only(&call);
    assert_eq!((&row["parse_status"], &row["inputs"]), (&json!("not_kept"), &json!({"a": 1})));
    assert_eq!(row["parse_error"], "response: no copy was kept");
}

#[test]
fn bodies_in_several_frames_are_one() {
    let mut call = call("", r#"{"p":1}"#);
    call.request.frames =
        vec![Bytes::from_static(b"{\"na"), Bytes::from_static(b"me\":\"gr\xc3"), Bytes::from_static(b"\xb6\"}")];
    assert_eq!(only(&call)["inputs"], json!({"name": "grö"}));
}

#[test]
fn a_compressed_body_beyond_the_cap_is_a_limit() {
    let plain = format!(r#"{{"a":"{}"}}"#, "a".repeat(1 << 20));
    let mut call = call(r#"{"a":1}"#, gzip(plain.as_bytes()));
    call.response_headers.insert("content-encoding", HeaderValue::from_static("gzip"));
    let call = with_route(call, |route| route.capture.decompressed_bytes_max = 1 << 10);
    let row = only(&call);
    assert_eq!((&row["parse_status"], &row["body_encoding"]), (&json!("limit"), &json!("base64")));
    assert_eq!(row["parse_error"], "response: gzip: more than 1024 bytes when decoded");
}

#[test]
fn nesting_beyond_the_depth_is_a_limit() {
    let call = with_route(call(r#"{"a":[[[[]]]]}"#, "1"), |route| route.capture.depth_max = 4);
    let row = only(&call);
    assert_eq!((&row["parse_status"], &row["outputs"]), (&json!("limit"), &json!({"prediction": 1})));
}

#[test]
fn metadata_holds_headers_tags_and_labels() {
    let mut call = call("{}", "{}");
    call.request_headers = headers(&[("content-type", "application/json"), ("authorization", "Bearer secret")]);
    call.tags = vec![("team".to_owned(), "client".to_owned()), ("run".to_owned(), "7".to_owned())];
    let call = with_route(call, |route| {
        route.labels.insert("team".to_owned(), "growth".to_owned());
    });
    let metadata = json!({"content-type": "application/json", "response.content-type": "application/json", "team": "growth", "run": "7"});
    assert_eq!(only(&call)["metadata"], metadata);
}

#[test]
fn a_tag_forges_neither_a_header_nor_a_word_of_weirs() {
    let forged = ["content-type", "x-request-id", "response.content-type", "response.server", "duplicate_keys"];
    let forged = forged.into_iter().chain(["model_asked", "request_hmac", "response_hmac", "Request_HMAC"]);
    let mut call = call(r#"{"a":1,"a":2}"#, "{}");
    call.tags = forged.map(|name| (name.to_owned(), "forged".to_owned())).collect();
    call.tags.push(("run".to_owned(), "7".to_owned()));
    call.request_headers.remove("x-request-id");
    let metadata = json!({"content-type": "application/json", "response.content-type": "application/json", "run": "7",
        "duplicate_keys": "a"});
    assert_eq!(only(&call)["metadata"], metadata);

    // An operator's label does not hide a header either, and where a tag and a label meet, the label stays.
    let call = with_route(call, |route| {
        route.labels = [("content-type", "label"), ("run", "label")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    });
    let metadata = &only(&call)["metadata"];
    assert_eq!((&metadata["content-type"], &metadata["run"]), (&json!("application/json"), &json!("label")));
}

#[test]
fn the_version_comes_from_where_the_route_says() {
    let mut base = call("{}", "{}");
    base.response_headers.insert("x-model-version", HeaderValue::from_static("v9"));
    let version =
        |from| with_route(Call { route: base.route.clone(), ..call("{}", "{}") }, |route| route.version = Some(from));
    let mut by_header = version(VersionFrom::Header("x-model-version".to_owned()));
    assert_eq!(only(&by_header)["model_version"], Value::Null);
    by_header.response_headers = base.response_headers;
    assert_eq!(only(&by_header)["model_version"], "v9");
    assert_eq!(only(&version(VersionFrom::Fixed("v7".to_owned())))["model_version"], "v7");
}

#[test]
fn topics_follow_the_model_if_clients_may_start_them() {
    let mut call = call(r#"{"instances":[1]}"#, r#"{"predictions":[1]}"#);
    call.path = "/v1/models/iris:predict".to_owned();
    let recorder = || Recorder::new(64, "p.{model}.json".to_owned(), None, Vec::new());
    assert_eq!(recorder().messages(&call).0, "p.iris.json");
    let (topic, rows) = recorder().topics_from_clients(false).messages(&call);
    assert_eq!((topic.as_str(), &strict(rows)[0]["model_name"]), ("p.churn.json", &json!("iris")));
    let none = Recorder::new(0, "{model}".to_owned(), None, Vec::new());
    let row = &strict(none.messages(&call).1)[0];
    assert_eq!((&row["model_name"], &row["metadata"]["model_asked"]), (&json!("churn"), &json!("iris")));
}

/// The one message of a call, at most `bytes_max` bytes.
fn cut(call: &Call, bytes_max: usize) -> Value {
    let recorder = Recorder::new(64, "{model}".to_owned(), Some(bytes_max), Vec::new());
    let messages = recorder.messages(call).1;
    for message in &messages {
        assert!(message.len() <= bytes_max, "{} > {bytes_max}", message.len());
    }
    strict(messages).remove(0)
}

#[test]
fn a_long_record_loses_bodies_then_outputs_then_inputs() {
    let long = |letter: &str, length: usize| letter.repeat(length);
    let request = format!(r#"{{"id":7,"note":"{}"}}"#, long("n", 4_000));
    let response = format!(r#"{{"p":1,"text":"{}"}}"#, long("t", 3_000));
    let call =
        with_route(call(request.clone(), response.clone()), |route| route.capture.bodies = config::Bodies::Always);
    let whole = cut(&call, 1 << 20);
    assert_eq!((&whole["truncated"], &whole["request_body"]), (&json!(false), &json!(request)));

    let row = cut(&call, 13_000);
    assert_eq!((&row["truncated"], &row["request_body"]), (&json!(true), &json!(request)));
    let kept = row["response_body"].as_str().expect("a part of the answer");
    assert!(response.starts_with(kept) && kept.len() > 500, "{}", kept.len());
    assert_eq!(row["inputs"]["note"], long("n", 4_000));

    let row = cut(&call, 8_200);
    assert_eq!((row.get("response_body"), &row["outputs"]["text"]), (None, &json!(long("t", 3_000))));

    let row = cut(&call, 6_000);
    assert_eq!((row.get("request_body"), &row["outputs"]), (None, &json!({"p": 1})));
    assert_eq!(row["inputs"]["note"], long("n", 4_000));

    let row = cut(&call, 1_200);
    assert_eq!((&row["outputs"], &row["inputs"]), (&json!({}), &json!({"id": 7})));
}

#[test]
fn an_envelope_that_is_too_long_is_cut_too() {
    let mut call = call("{}", "{}");
    call.path = format!("/{}", "p".repeat(10_000));
    call.tags = vec![("t".to_owned(), "\u{1}".repeat(10_000))];
    let row = cut(&call, 1_500);
    assert_eq!((&row["truncated"], row.get("metadata")), (&json!(true), None));
}

#[test]
fn binary_bodies_stay_decodable_when_cut() {
    use base64::Engine;

    let bytes: Vec<u8> = (0..3_000_u32).map(|i| (i % 251) as u8).collect();
    let mut call = call(bytes.clone(), "{}");
    call.request_headers = headers(&[("content-type", "image/png")]);
    let row = cut(&call, 2_500);
    let body = row["request_body"].as_str().expect("a part");
    let decoded = base64::engine::general_purpose::STANDARD.decode(body).expect("base64");
    assert!(decoded.len() > 500 && bytes.starts_with(&decoded));
}

#[test]
fn the_error_text_is_capped_between_characters() {
    let mut call = call("{}", "ö".repeat(4_000));
    call.status = Some(StatusCode::INTERNAL_SERVER_ERROR);
    let row = only(&call);
    assert_eq!(row["error"].as_str().map(str::len), Some(4096));
}

#[test]
fn a_batch_of_a_thousand_is_a_thousand_rows() {
    let list = |item: fn(usize) -> String| (0..1_000).map(item).collect::<Vec<_>>().join(",");
    let request = format!(r#"{{"instances":[{}]}}"#, list(|i| format!("[{i}]")));
    let response = format!(r#"{{"predictions":[{}]}}"#, list(|i| (i as f64 / 8.0).to_string()));
    let rows = messages(&call(request, response));
    assert_eq!(rows.len(), 1_000);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row["inputs"], json!({"x0": index}));
        assert_eq!(row["outputs"]["prediction"].as_f64(), Some(index as f64 / 8.0));
    }
}

/// The smallest `kafka.max_record` is enough for a row of which everything long is gone.
#[test]
fn no_envelope_is_too_long_for_the_smallest_limit() {
    let long = "\u{1}".repeat(5_000);
    let mut call = call(format!(r#"{{"a":"{}"}}"#, "a".repeat(3_000)), r#"{"p":1}"#);
    call.path = format!("/{long}");
    call.method = Method::from_bytes("X".repeat(3_000).as_bytes()).expect("a method");
    call.upstream = Some(format!("{}:8000", "h".repeat(253)).into());
    call.error = Some(long.clone());
    call.tags = vec![(long.clone(), long)];
    call.request_headers.insert("x-request-id", HeaderValue::from_str(&"\t".repeat(1_024)).expect("a header value"));
    let call = with_route(call, |route| {
        route.name = "r".repeat(64);
        route.model = Some("m".repeat(64));
        route.version = Some(VersionFrom::Fixed("v".repeat(3_000)));
    });
    for format in [config::Format::Json, config::Format::Protobuf] {
        let recorder = Recorder::new(64, "{model}".to_owned(), Some(1_000), Vec::new()).format(format);
        for message in recorder.messages(&call).1 {
            assert!(message.len() <= 1_000, "{format:?}: {} bytes", message.len());
        }
    }
}

#[test]
fn a_protobuf_row_is_cut_to_the_limit_and_not_far_below() {
    let long = |letter: &str| letter.repeat(4_000);
    let request = format!(r#"{{"id":7,"note":"{}"}}"#, long("n"));
    // Three bytes a character, and escaped in JSON alone.
    let response = format!(r#"{{"p":1,"text":"{}\t"}}"#, long("\u{4e2d}"));
    let call = with_route(call(request, response), |route| route.capture.bodies = config::Bodies::Always);
    let cut = |bytes_max| {
        let recorder = Recorder::new(64, "{model}".to_owned(), Some(bytes_max), Vec::new());
        let message = recorder.format(config::Format::Protobuf).messages(&call).1.remove(0);
        assert!(message.len() <= bytes_max, "{} > {bytes_max}", message.len());
        message.len()
    };
    // The answer's body is cut, to a character of the limit.
    for bytes_max in [31_000, 25_000, 21_500] {
        assert!(cut(bytes_max) > bytes_max - 8, "{} of {bytes_max}", cut(bytes_max));
    }
    for bytes_max in [16_700, 9_000, 5_000, 1_200] {
        cut(bytes_max);
    }
}
