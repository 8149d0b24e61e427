//! Feedback: what becomes a record, what is refused and with which words, what redaction leaves.

use serde_json::{Value, json};

use super::*;
use crate::config::{Feedback, KeyField, MaskKind, RedactAction, RedactRule, Side};
use crate::gateway::exchange::Permit;
use crate::gateway::feedback::{Posted, Reply, Told};
use crate::record::feedback::FeedbackRecorder;

pub(super) fn posted(body: impl Into<Bytes>, change: impl FnOnce(&mut Route)) -> Posted {
    let mut route = route();
    route.feedback = Some(Feedback { path: "/feedback".to_owned(), redact: Vec::new() });
    change(&mut route);
    Posted {
        route: Arc::new(route),
        arrived_at_us: 1_764_037_200_123_456,
        headers: headers(&[("content-type", "application/json")]),
        tags: Vec::new(),
        body: body.into(),
        permit: Permit { bytes: 0, release: None },
        reply: Reply::to_nobody(),
    }
}

pub(super) fn recorder() -> FeedbackRecorder {
    FeedbackRecorder::new("{model}".to_owned(), None, None)
}

fn rows(posted: &Posted) -> Vec<Value> {
    let feedback = recorder().record(posted).expect("it is taken");
    assert_eq!(feedback.topic, "churn.feedback");
    feedback.rows.iter().map(|row| serde_json::from_slice(&row.value).expect("strict JSON")).collect()
}

fn row(body: &str) -> Value {
    let mut rows = rows(&posted(body.to_owned(), |_| ()));
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

/// Why a body is refused.
fn refused(body: &str) -> String {
    match recorder().record(&posted(body.to_owned(), |_| ())) {
        Err(Told::Bad(why)) => why,
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn a_truth_becomes_a_record_that_is_joined_by_its_id() {
    let id = format!("{ID}_7");
    let body = json!({"id": id, "truth": {"churned": true}, "reward": 1, "metadata": {"by": "crm", "n": 4, "ok": true, "none": null}});
    assert_eq!(
        row(&body.to_string()),
        json!({"id": id, "model_name": "churn", "occurred_at": "2025-11-25T02:20:00.123456Z", "request_id": ID, "row_index": 7,
               "route": "churn", "truth": {"churned": true}, "reward": 1, "metadata": {"by": "crm", "n": "4", "ok": "true"},
               "schema_version": 1})
    );
    let call = row(&json!({"id": ID.to_uppercase(), "truth": 0.5}).to_string());
    assert_eq!((&call["id"], &call["request_id"], call.get("row_index")), (&json!(ID), &json!(ID), None));
    let own = row(r#"{"client_request_id": "order-7", "reward": -0.5}"#);
    assert_eq!(
        (&own["id"], &own["client_request_id"], &own["reward"]),
        (&Value::Null, &json!("order-7"), &json!(-0.5))
    );
    assert_eq!(
        row(&format!(r#"{{"id":"{ID}","truth":[NaN, 12345678901234567890]}}"#))["truth"],
        json!(["NaN", 12345678901234567890_u64])
    );
}

#[test]
fn labels_and_tags_go_into_metadata_and_win() {
    let mut posted = posted(format!(r#"{{"id":"{ID}","truth":1,"metadata":{{"team":"mine","by":"crm"}}}}"#), |route| {
        route.labels.insert("team".to_owned(), "growth".to_owned());
    });
    posted.tags.push(("by".to_owned(), "batch".to_owned()));
    assert_eq!(rows(&posted)[0]["metadata"], json!({"team": "growth", "by": "batch"}));
}

#[test]
fn a_list_is_one_entry_and_is_answered_by_its_ids() {
    let one = format!("{ID}_0");
    let body = json!([{"id": one, "truth": 1}, {"id": ID, "reward": 0}]).to_string();
    let feedback = recorder().record(&posted(body, |_| ())).expect("it is taken");
    assert_eq!(feedback.rows.len(), 2);
    let Told::Kept { status, body } = feedback.told else { panic!("{:?}", feedback.told) };
    assert_eq!(
        (status.as_u16(), serde_json::from_str::<Value>(&body).unwrap()),
        (202, json!({"accepted": 2, "ids": [one, ID]}))
    );

    let single = recorder().record(&posted(json!({"id": ID, "truth": 1}).to_string(), |_| ())).expect("it is taken");
    let Told::Kept { status, body } = single.told else { panic!("{:?}", single.told) };
    assert_eq!(
        (status.as_u16(), serde_json::from_str::<Value>(&body).unwrap()),
        (202, json!({"accepted": 1, "id": ID}))
    );
}

#[test]
fn what_cannot_be_taken_is_refused_with_place_and_way_out() {
    let with = |fields: &str| format!(r#"{{"id":"{ID}",{fields}}}"#);
    let long = "x".repeat(1025);
    let cases = [
        ("", "the body is empty", "send for example"),
        ("{", "not JSON that can be read", "send for example"),
        ("7", "no JSON object", "send for example"),
        ("[]", "the list is empty", "send for example"),
        (r#"{"truth":1}"#, "names no prediction", "`client_request_id`"),
        (r#"{"id":"42","truth":1}"#, "`id` is no id that weir gives", "goes in `client_request_id`"),
        (r#"{"id":42,"truth":1}"#, "`id` is no id that weir gives", "`x-weir-id`"),
        (&with(r#""metadata":{}"#), "says nothing", "`truth` nor `reward`"),
        (&with(r#""truth":null"#), "says nothing", "`truth` nor `reward`"),
        (&with(r#""truht":1"#), "`truht` is no field of feedback", "`truth`"),
        (&with(r#""truth":1,"truth":2"#), "`truth` stands twice", "write it once"),
        (&with(r#""reward":"1""#), "`reward` is no number", "1.0"),
        (&with(r#""truth":1,"metadata":[]"#), "`metadata` is no object", "chargebacks"),
        (&with(r#""truth":1,"metadata":{"a":{"b":1}}"#), "`metadata.a` is no text", "`truth`"),
        (&format!(r#"{{"client_request_id":"{long}","truth":1}}"#), "`client_request_id` is no text", "1 to 1024"),
        (r#"{"request":{},"response":{},"truth":{"data":{"ndarray":[1]}}}"#, "names no prediction", "`meta.puid`"),
        (r#"{"request":{},"id":"x","truth":1}"#, "Seldon's form", "nothing else"),
    ];
    for (body, what, way) in cases {
        let why = refused(body);
        assert!(why.contains(what) && why.contains(way), "{body}: {why}");
    }
    let list = format!(r#"[{{"id":"{ID}","truth":1}},{{"id":"{ID}"}}]"#);
    assert!(refused(&list).starts_with("feedback [1]: it says nothing"), "{}", refused(&list));
}

#[test]
fn what_is_too_long_is_refused_as_that() {
    let many = format!("[{0},{0},{0}]", json!({"id": ID, "truth": 1}));
    match recorder().record(&posted(many, |route| route.capture.rows_max = 2)) {
        Err(Told::TooLarge(why)) => assert!(why.contains("`capture.rows_max`"), "{why}"),
        other => panic!("{other:?}"),
    }
    let recorder = FeedbackRecorder::new("{model}".to_owned(), Some(400), None);
    let of = |bytes: usize| json!([{"id": ID, "truth": 1}, {"id": ID, "truth": "x".repeat(bytes)}]).to_string();
    assert_eq!(recorder.record(&posted(of(10), |_| ())).expect("it fits").rows.len(), 2);
    match recorder.record(&posted(of(400), |_| ())) {
        Err(Told::TooLarge(why)) => {
            assert!(why.starts_with("feedback [1]: ") && why.contains("`kafka.max_record`"), "{why}")
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_compressed_body_is_read_within_the_cap() {
    use std::io::Write as _;

    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    coder.write_all(json!({"id": ID, "truth": "y".repeat(5000)}).to_string().as_bytes()).unwrap();
    let coded = coder.finish().unwrap();
    let gzip = |change: fn(&mut Route)| {
        let mut posted = posted(coded.clone(), change);
        posted.headers = headers(&[("content-encoding", "gzip")]);
        posted
    };
    assert_eq!(rows(&gzip(|_| ())).len(), 1);
    let bomb = recorder().record(&gzip(|route| route.capture.decompressed_bytes_max = 1024));
    assert!(matches!(bomb, Err(Told::Bad(_))), "{bomb:?}");
}

#[test]
fn the_topic_follows_the_template_and_the_route_s_model() {
    let recorder = FeedbackRecorder::new("eu.{model}.v1".to_owned(), None, None);
    let body = json!({"id": ID, "truth": 1}).to_string();
    let feedback = recorder.record(&posted(body, |route| route.model = Some("credit".to_owned()))).unwrap();
    assert_eq!(feedback.topic, "eu.credit.v1.feedback");
}

#[test]
fn a_message_has_the_key_that_is_asked_for_where_feedback_has_the_field() {
    let key = |field| {
        let recorder = FeedbackRecorder::new("{model}".to_owned(), None, Some(field));
        let body = format!(r#"{{"id":"{ID}_1","truth":1,"metadata":{{"a":"b"}}}}"#);
        recorder.record(&posted(body, |_| ())).unwrap().rows[0].key.clone()
    };
    assert_eq!(key(KeyField::Id), Some(Bytes::from(format!("{ID}_1"))));
    assert_eq!(key(KeyField::RequestId), Some(Bytes::from(ID)));
    assert_eq!(key(KeyField::Metadata("a".to_owned())), Some(Bytes::from("b")));
    assert_eq!(key(KeyField::Inputs(vec!["x".to_owned()])), None);
}

#[test]
fn seldon_s_form_names_its_prediction_by_header_or_puid_and_splits_its_truth() {
    let body = json!({
        "request": {"data": {"ndarray": [[1, 2], [3, 4]]}},
        "response": {"meta": {"puid": "p-1"}, "data": {"names": ["a", "b"], "ndarray": [[0.1, 0.9], [0.8, 0.2]]}},
        "reward": 0.5,
        "truth": {"data": {"names": ["a", "b"], "ndarray": [[0, 1], [1, 0]]}}
    });
    let rows_of = |body: &Value, lines: &[(&str, &str)]| {
        let mut posted = posted(body.to_string(), |_| ());
        posted.headers = headers(lines);
        rows(&posted)
    };
    let found = rows_of(&body, &[]);
    assert_eq!(found.len(), 2);
    for (row, truth) in [(0, json!({"a": 0, "b": 1})), (1, json!({"a": 1, "b": 0}))] {
        let said = &found[row];
        assert_eq!((&said["client_request_id"], &said["row_index"]), (&json!("p-1"), &json!(row)), "{said}");
        assert_eq!((&said["truth"], &said["reward"], &said["id"]), (&truth, &json!(0.5), &Value::Null), "{said}");
    }
    let by_header = rows_of(&body, &[("x-weir-id", ID)]);
    assert_eq!((&by_header[1]["id"], &by_header[1]["request_id"]), (&json!(format!("{ID}_1")), &json!(ID)));

    // One row is the call's own; a reward may stand alone; `puid` may be a header.
    let single = json!({"request": {}, "truth": {"data": {"tensor": {"shape": [1, 1], "values": [1]}}}});
    let found = rows_of(&single, &[("seldon-puid", "p-2")]);
    assert_eq!((&found[0]["truth"], found[0].get("row_index")), (&json!({"y0": 1}), None));
    let reward = rows_of(&json!({"response": {"meta": {"puid": "p-3"}}, "reward": 1}), &[]);
    assert_eq!((reward[0].get("truth"), &reward[0]["reward"]), (None, &json!(1)));

    let told = recorder().record(&posted(body.to_string(), |_| ())).unwrap().told;
    assert_eq!(told, Told::Kept { status: StatusCode::OK, body: r#"{"meta":{"puid":"p-1"}}"#.to_owned() });
}

fn rule(path: &str, action: RedactAction) -> RedactRule {
    let keys = path.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect();
    RedactRule { side: Side::Outputs, keys, action }
}

/// What is left of a truth under these rules, or why it is refused.
fn left(truth: &Value, rules: Vec<RedactRule>) -> Result<Value, String> {
    let body = json!({"id": ID, "truth": truth, "reward": 1, "metadata": {"email": "ann@example.com", "by": "crm"}});
    let posted = posted(body.to_string(), |route| route.feedback.as_mut().expect("it takes feedback").redact = rules);
    match recorder().record(&posted) {
        Ok(feedback) => {
            let row: Value = serde_json::from_slice(&feedback.rows[0].value).unwrap();
            Ok(json!([row["truth"], row["metadata"]]))
        }
        Err(Told::Bad(why)) => Err(why),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn rules_change_every_occurrence_in_truth_and_take_their_names_out_of_metadata() {
    let whole = json!({"email": "ann@example.com", "by": "crm"});
    let drop = |path: &str| vec![rule(path, RedactAction::Drop)];
    let mask = || RedactAction::Mask(vec![MaskKind::Email]);
    assert_eq!(
        left(&json!({"email": "x", "a": {"email": "y"}, "b": [{"email": "z"}], "c": 1}), drop("email")),
        Ok(json!([{"a": {"email": "y"}, "b": [{}], "c": 1}, {"by": "crm"}]))
    );
    assert_eq!(left(&json!({"who": {"email": "y"}}), drop("email")), Ok(json!([{"who": {}}, {"by": "crm"}])));
    assert_eq!(
        left(&json!({"note": "from ann@example.com"}), vec![rule("note", mask())]),
        Ok(json!([{"note": "from [email]"}, whole]))
    );
    assert_eq!(
        left(&json!("from ann@example.com"), vec![rule("", mask())]),
        Ok(json!(["from [email]", whole])),
        "all of it"
    );
    assert_eq!(left(&json!({"a": "secret"}), drop("")), Ok(json!([null, whole])));
    assert_eq!(left(&json!("sick"), vec![rule("prediction", RedactAction::Truncate(1))]), Ok(json!(["s", whole])));
    assert_eq!(left(&json!([["sick", "well"]]), drop("y1")), Ok(json!([[["sick", null]], whole])));
    assert_eq!(left(&json!(3), drop("label")), Ok(json!([3, whole])), "a number alone is no text of anybody's");
}

#[test]
fn a_truth_in_which_a_rule_could_miss_its_field_is_refused() {
    for truth in [
        json!([{"name": "email", "value": "canary"}]),
        json!({"columns": ["a", "email"], "data": [[1, "canary"]]}),
        json!({"note": "{\"email\":\"canary\"}"}),
        json!("canary"),
        json!(["canary"]),
    ] {
        let why = left(&truth, vec![rule("email", RedactAction::Drop)]).expect_err("it is refused");
        assert!(why.contains("object of fields") && !why.contains("canary"), "{truth}: {why}");
    }
    // A rule by position, or a mask for all of it, does not say where the field of a rule by name is.
    for (truth, other) in [
        (json!(["x", "canary"]), rule("y0", RedactAction::Drop)),
        (json!("canary"), rule("y0", RedactAction::Drop)),
        (json!("canary"), rule("", RedactAction::Mask(vec![MaskKind::Email]))),
    ] {
        let why = left(&truth, vec![other, rule("email", RedactAction::Drop)]).expect_err("it is refused");
        assert!(!why.contains("canary"), "{truth}: {why}");
    }
    left(&json!("canary"), vec![rule("y1", RedactAction::Drop)]).expect_err("a text alone is at no such position");
    // Where the route names the outputs' positions, a rule's name may be the name of this number.
    let posted = posted(json!({"id": ID, "truth": 42}).to_string(), |route| {
        route.record.outputs.columns = vec!["age".to_owned()];
        route.feedback.as_mut().expect("it takes feedback").redact = vec![rule("age", RedactAction::Drop)];
    });
    let refused = recorder().record(&posted).expect_err("it is refused");
    assert!(matches!(&refused, Told::Bad(why) if why.contains("without a name")), "{refused:?}");
}
