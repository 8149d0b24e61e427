//! A message made smaller for a topic that refuses it: still a record, in both forms.

use super::*;
use crate::config::Format;
use crate::record::wire::decode;
use crate::record::wire::lighter::{Lighter, lighter};
use crate::record::wire::listen::JsonText;

/// A call with everything that can be long.
fn long() -> Call {
    let big = "x".repeat(3_000);
    let request = format!(r#"{{"a":12345678901234567890,"note":"{big}"}}"#);
    with_route(call(request, format!(r#"{{"p":0.25,"why":"{big}"}}"#)), |route| {
        route.capture.bodies = config::Bodies::Always;
        route.version = Some(config::VersionFrom::Fixed("v".repeat(500)));
        route.labels = BTreeMap::from([("team".to_owned(), "t".repeat(500))]);
    })
}

fn message(format: Format, call: &Call) -> (ContentType, Vec<u8>) {
    (format.into(), recorder().format(format).messages(call).1.remove(0))
}

/// The JSON of a message of either form.
fn read(content_type: ContentType, message: Vec<u8>) -> serde_json::Value {
    match content_type {
        ContentType::Json => strict(vec![message]).remove(0),
        ContentType::Protobuf => {
            let mut text = Vec::new();
            decode::tell(&message, &mut JsonText(&mut text)).expect("a record");
            strict(vec![text]).remove(0)
        }
    }
}

#[test]
fn bodies_go_first_and_then_all_that_is_long() {
    for format in [Format::Json, Format::Protobuf] {
        let (content_type, whole) = message(format, &long());
        let less = lighter(content_type, &whole, Lighter::WithoutBodies).expect("it has bodies");
        let bare = lighter(content_type, &whole, Lighter::Bare).expect("it is a record");
        assert!(bare.len() < 1_500 && bare.len() < less.len() && less.len() < whole.len(), "{}", bare.len());
        let (before, less, bare) = (read(content_type, whole), read(content_type, less), read(content_type, bare));
        for name in ["inputs", "outputs", "metadata", "model_version", "id", "latency_ms", "parse_status"] {
            assert_eq!(less[name], before[name], "{name}");
        }
        assert!(less.get("request_body").is_none() && less.get("body_encoding").is_none());
        assert_eq!((&less["truncated"], &bare["truncated"]), (&true.into(), &true.into()));
        assert_eq!((&bare["inputs"], &bare["outputs"]), (&serde_json::json!({}), &serde_json::json!({})));
        assert!(bare["model_version"].is_null() && bare.get("metadata").is_none(), "{bare}");
        for name in ["id", "model_name", "occurred_at", "request_id", "status_code", "request_bytes", "schema_version"]
        {
            assert_eq!(bare[name], before[name], "{name}");
        }
    }
}

#[test]
fn a_record_without_bodies_has_none_to_leave_out_and_what_is_no_record_is_left_alone() {
    for format in [Format::Json, Format::Protobuf] {
        let (content_type, whole) = message(format, &call(r#"{"a":1}"#, r#"{"p":1}"#));
        assert_eq!(lighter(content_type, &whole, Lighter::WithoutBodies), None);
        assert_eq!(lighter(content_type, b"{\"id\":", Lighter::Bare), None);
    }
}
