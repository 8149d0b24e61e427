//! Numbers out of packed tensors are written as they came; what must look into them sees them all the same. Each packed call beside
//! the same call in JSON: their rows are equal.

use super::redaction::doing;
use super::*;
use crate::config::{MaskKind, RedactAction, Side};

/// The same numbers, 0, 1, 2 and so on: packed, and in JSON.
fn both(name: &str, shape: &[usize]) -> [Call; 2] {
    let count: usize = shape.iter().product();
    let numbers: Vec<u8> = (0..count).map(|number| (number % 251) as u8).collect();
    let tensor =
        |rest: String| format!(r#"{{"inputs":[{{"name":"{name}","shape":{shape:?},"datatype":"UINT8",{rest}}}]}}"#);
    let head = tensor(format!(r#""parameters":{{"binary_data_size":{count}}}"#));
    let mut packed = call([head.as_bytes(), &numbers].concat(), "{}");
    packed.request_headers = headers(&[
        ("content-type", "application/octet-stream"),
        ("inference-header-content-length", &head.len().to_string()),
    ]);
    let json = call(tensor(format!(r#""data":{numbers:?}"#)), "{}");
    [packed, json].map(|mut call| {
        call.path = "/v2/models/churn/infer".to_owned();
        call
    })
}

/// Inputs and declared types of every row, which must be the same of both calls.
fn same(name: &str, calls: [Call; 2]) -> Vec<serde_json::Value> {
    let [packed, json] = calls.map(|call| {
        let seen = |row: &serde_json::Value| {
            serde_json::json!([row["inputs"], row["types"], row["parse_status"], row["metadata"]["layout"]])
        };
        messages(&call).iter().map(seen).collect::<Vec<_>>()
    });
    assert_eq!(packed, json, "{name}");
    packed
}

#[test]
fn packed_numbers_are_the_rows_that_json_makes() {
    for shape in [&[1, 2][..], &[1, 256], &[1, 257], &[3, 300], &[2, 3, 4], &[7], &[7, 1], &[0, 4], &[3, 0]] {
        let rows = same(&format!("{shape:?}"), both("x", shape));
        assert_eq!(rows[0][2], if shape[0] == 1 { "ok" } else { "row_mismatch" }, "{shape:?}");
    }
    let [packed, _] = both("x", &[1, 256]);
    let row = messages(&packed).remove(0);
    assert_eq!((&row["inputs"]["x_0"], &row["inputs"]["x_255"]), (&0.into(), &4.into()));
    assert_eq!(
        (&row["types"]["inputs.x_9"], row["types"].as_object().map(serde_json::Map::len)),
        (&"UINT8".into(), Some(256))
    );
}

#[test]
fn rules_and_names_look_into_packed_lists() {
    for action in [RedactAction::Drop, RedactAction::Truncate(1), RedactAction::Mask(vec![MaskKind::Card])] {
        for (keys, shape) in
            [("x", &[1, 300][..]), ("x", &[2, 3, 4]), ("x.7", &[1, 300]), ("x_3", &[1, 8]), ("x", &[9])]
        {
            let calls = both("x", shape)
                .map(|call| with_route(call, |route| route.redact = vec![doing(Side::Inputs, keys, action.clone())]));
            same(&format!("{action:?} {keys} {shape:?}"), calls);
        }
    }
    // A list under a batch's name that could not be split: the names do not fit its rows, and that is said.
    for (name, shape) in [("data", &[4][..]), ("data", &[2, 300]), ("instances", &[2, 3]), ("x", &[1, 300])] {
        let calls = both(name, shape).map(|call| {
            with_route(call, |route| {
                route.record.inputs.columns = vec!["age".to_owned(), "plan".to_owned()];
                route.redact = vec![doing(Side::Inputs, "age", RedactAction::Drop)];
            })
        });
        same(&format!("{name} {shape:?}"), calls);
    }
}
