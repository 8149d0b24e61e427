//! Feedback as protobuf: the same record as in JSON, byte by byte as it was released, and never taken for a prediction.

use proptest::prelude::*;
use serde_json::json;

use super::feedback::{posted, recorder};
use super::protobuf::{body, golden, json_of, reflected_record, same};
use super::{ID, schema};
use crate::config::Format;

/// The only message of a body, as JSON and as protobuf.
fn both(body: &str) -> [Vec<u8>; 2] {
    [Format::Json, Format::Protobuf].map(|format| {
        let posted = posted(body.to_owned(), |route| {
            route.labels.insert("team".to_owned(), "größe".to_owned());
        });
        let feedback = recorder().format(format).record(&posted).expect("it is taken");
        assert_eq!((feedback.content_type, feedback.rows.len()), (format.into(), 1));
        feedback.rows[0].value.to_vec()
    })
}

/// Panics unless weir and a reader of the schema find in the protobuf what the JSON says.
fn alike([json, protobuf]: &[Vec<u8>; 2]) {
    let decoded = json_of(protobuf).expect("a record");
    same(json, decoded.as_bytes());
    let read = reflected_record(schema::feedback(), protobuf, json!({"id": null}));
    assert_eq!(read, serde_json::from_str::<serde_json::Value>(&decoded).expect("JSON"));
}

#[test]
fn the_bytes_are_the_released_ones() {
    let truth = r#"{"churned":true,"price":0.87,"ids":[1,-2,300],"none":null,"beyond":9223372036854775808,"of":{"a":["b",1.5]}}"#;
    let [_, protobuf] =
        both(&format!(r#"{{"id":"{ID}_7","truth":{truth},"reward":-0.5,"metadata":{{"by":"crm","n":4}}}}"#));
    golden("feedback", &protobuf);
}

#[test]
fn both_forms_say_the_same_whatever_is_left_out() {
    for fields in [
        format!(r#""id":"{ID}","truth":true"#),
        format!(r#""id":"{ID}_0","truth":[]"#),
        format!(r#""id":"{ID}","reward":1"#),
        r#""client_request_id":"order-7","truth":"a","reward":0.5"#.to_owned(),
    ] {
        alike(&both(&format!("{{{fields}}}")));
    }
}

proptest! {
    #[test]
    fn any_truth_is_the_same_in_both_forms(truth in body()) {
        alike(&both(&format!(r#"{{"id":"{ID}","truth":{truth}}}"#)));
    }
}
