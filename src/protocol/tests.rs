//! The table of protocols, and what must hold for every splitter.

use proptest::prelude::*;

use super::recognise::{FORMS, recognise};
use super::split::{Batch, Half, Items, pair};
use super::*;
use crate::config::{ProtocolChoice, Rows};
use http::HeaderMap;

fn limits() -> Limits {
    Limits { depth_max: 64, rows_max: 10_000, decompressed_bytes_max: 8 << 20, rows: Rows::Split }
}

fn matter<'a>(
    head: &'a HeaderMap,
    made: &'a MadeNames,
    path: &'a str,
    request: &'a str,
    response: &'a str,
) -> Matter<'a> {
    Matter {
        path,
        request: Side::read(head, request.as_bytes(), 64),
        response: Side::read(head, response.as_bytes(), 64),
        answered: true,
        places: Places::default(),
        made,
        limits: limits(),
    }
}

#[test]
fn the_table_ends_with_what_matches_everything() {
    assert_eq!(FORMS.last().map(|form| form.name), Some("raw"));
    let (head, made) = (HeaderMap::new(), MadeNames::default());
    for (path, request, response, name) in [
        ("/v1/models/m:predict", "", "", "v1"),
        ("/", r#"{"instances":[1]}"#, "[1]", "v1"),
        ("/", r#"{"instances":3}"#, "[1]", "json"),
        ("/", r#"{"inputs":{"a":[1]}}"#, r#"{"outputs":[1]}"#, "v1"),
        ("/", r#"{"inputs":{"a":[1]}}"#, r#"{"result":[1]}"#, "json"),
        ("/", r#"{"a":1}"#, "", "json"),
        ("/", "", r#"{"a":1}"#, "json"),
        ("/", "a", "b", "raw"),
    ] {
        let matter = matter(&head, &made, path, request, response);
        assert_eq!(recognise(ProtocolChoice::Auto, &matter).name, name, "{path} {request} {response}");
        for pinned in [ProtocolChoice::Json, ProtocolChoice::V1, ProtocolChoice::Raw] {
            assert_eq!(recognise(pinned, &matter).pin, pinned);
        }
        for served_as_json in [ProtocolChoice::Bentoml, ProtocolChoice::Ray, ProtocolChoice::Multipart] {
            assert_eq!(recognise(served_as_json, &matter).name, "json");
        }
    }
}

#[test]
fn keys_beside_a_batch_cannot_multiply_without_end() {
    let beside = "b".repeat(1 << 16);
    let request = format!(r#"{{"data":[{}[1]],"beside":"{beside}"}}"#, "[1],".repeat(999));
    let response = format!("[{}0]", "0,".repeat(999));
    let (head, made) = (HeaderMap::new(), MadeNames::default());
    let reading = read(ProtocolChoice::Auto, matter(&head, &made, "/", &request, &response));
    assert_eq!((reading.status(), reading.rows.len()), (ParseStatus::Limit, 1));
}

/// Scalars in a half, wherever they stand.
fn scalars(half: &Half<'_>, copies_of_beside: usize) -> usize {
    match half {
        Half::One(fields) => count(fields),
        Half::Absent => 0,
        Half::Many(batch) => {
            let items = match &batch.items {
                Items::Rows(items) => items.iter().map(count_value).sum::<usize>(),
                Items::Columns(columns) => {
                    columns.iter().flat_map(|(_, values)| values).map(count_value).sum::<usize>()
                }
                Items::Grid { cells, .. } => cells.iter().map(count_value).sum::<usize>(),
            };
            items + count(&batch.beside) * copies_of_beside
        }
    }
}

fn count(fields: &Object<'_>) -> usize {
    fields.iter().map(|(_, value)| count_value(value)).sum()
}

fn count_value(value: &Value<'_>) -> usize {
    match value {
        Value::List(items) => items.iter().map(count_value).sum(),
        Value::Object(fields) => count(fields),
        _ => 1,
    }
}

fn any_value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Number("1.5")),
        any::<f64>().prop_map(Value::Double),
        "[a-z]{0,3}".prop_map(|text| Value::Text(text.into())),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            any_object(inner).prop_map(Value::Object),
        ]
    })
}

fn any_object(value: impl Strategy<Value = Value<'static>>) -> impl Strategy<Value = Object<'static>> {
    prop::collection::vec(("[a-c]{0,1}".prop_map(Cow::Owned), value), 0..4)
}

fn any_half() -> impl Strategy<Value = Half<'static>> {
    let key = prop::option::of("[a-c]".prop_map(Cow::Owned));
    let rows = (key.clone(), prop::collection::vec(any_value(), 0..5), any_object(any_value()))
        .prop_map(|(key, items, beside)| Half::Many(Batch { key, items: Items::Rows(items), beside }));
    let columns = (key, 1..3_usize, 0..4_usize, any_value(), any_object(any_value())).prop_map(
        |(key, width, length, value, beside)| {
            let column = |at: usize| (Cow::Owned(format!("c{at}")), vec![value.clone(); length]);
            Half::Many(Batch { key, items: Items::Columns((0..width).map(column).collect()), beside })
        },
    );
    prop_oneof![any_object(any_value()).prop_map(Half::One), rows, columns, Just(Half::Absent)]
}

proptest! {
    #[test]
    fn rows_times_columns_in_is_values_out_or_a_mismatch(input in any_half(), output in any_half(), keep: bool) {
        let limits = Limits { rows: if keep { Rows::Keep } else { Rows::Split }, ..limits() };
        let counts = (input.count(), output.count());
        let split = pair(input.clone(), output.clone(), &limits);
        let copies = split.rows.len();
        let empty = split.row_count == 0;
        let expected = |half: &Half<'_>| if empty && !matches!(half, Half::Many(_)) { 0 } else { scalars(half, copies) };
        let found: (usize, usize) =
            split.rows.iter().fold((0, 0), |sum, row| (sum.0 + count(&row.inputs), sum.1 + count(&row.outputs)));
        prop_assert_eq!(found, (expected(&input), expected(&output)));
        prop_assert!(!split.rows.is_empty());
        match counts {
            (Some(0), Some(0)) => prop_assert_eq!(split.row_count, 0),
            (Some(inputs), Some(outputs)) if inputs != outputs => {
                prop_assert_eq!(split.problem.map(|problem| problem.status), Some(ParseStatus::RowMismatch));
            }
            (Some(inputs), Some(_)) if !keep => prop_assert_eq!(split.rows.len(), inputs),
            _ => prop_assert_eq!(split.rows.len(), 1),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        request in any_body(),
        response in any_body(),
        heads in (0..MEDIA_TYPES.len(), 0..MEDIA_TYPES.len()),
        whole in any::<bool>(),
    ) {
        let heads = [heads.0, heads.1].map(|at| head_of(MEDIA_TYPES[at]));
        for form in &FORMS {
            let made = MadeNames::default();
            let response = match whole {
                true => Side::read(&heads[1], &response, 8),
                false => Side::part(&heads[1], &response, Problem::new(ParseStatus::Truncated, "cut"), 8),
            };
            let matter = Matter {
                path: "/v2/models/m/generate_stream",
                request: Side::read(&heads[0], &request, 8),
                response,
                answered: true,
                places: Places::default(),
                made: &made,
                limits: limits(),
            };
            let _any = (form.matches)(&matter);
            let reading = (form.read)(matter);
            prop_assert!(!reading.rows.is_empty());
            prop_assert!(whole || reading.problem.is_some(), "a cut is always said");
        }
    }

    #[test]
    fn given_names_lose_double_and_move_nothing(
        rows in prop::collection::vec(prop::collection::vec(any_value(), 0..4), 1..4),
        beside in any_object(any_value()),
        key in prop::sample::select(vec!["data", "instances", "inputs"]),
        answers in 0..4_usize,
        count in 1..4_usize,
    ) {
        let answers = Value::List(vec![Value::Number("1"); if answers == 0 { rows.len() } else { answers }]);
        let mut request = vec![(Cow::Borrowed(key), Value::List(rows.into_iter().map(Value::List).collect()))];
        request.extend(beside);
        let (request, response) = (written(&Value::Object(request)), written(&answers));
        let (head, made) = (HeaderMap::new(), MadeNames::default());
        let names: Vec<String> = ["a", "b", "named"][..count].iter().map(|name| (*name).to_owned()).collect();
        let mut reading = read(ProtocolChoice::Auto, matter(&head, &made, "/", &request, &response));
        let before = reading.rows.clone();
        let columns = Columns { names: &names, giver: "the route names", list: None, tensors: true };
        let applied = columns::apply(&mut reading, config::Side::Inputs, columns);
        let mut renamed = false;
        for (row, old) in reading.rows.iter().zip(&before) {
            prop_assert_eq!(&row.outputs, &old.outputs);
            prop_assert_eq!(row.inputs.len(), old.inputs.len());
            for ((key, value), (old_key, old_value)) in row.inputs.iter().zip(&old.inputs) {
                prop_assert_eq!(written(value), written(old_value));
                if key != old_key {
                    renamed = true;
                    prop_assert!(names.iter().any(|name| name == key));
                    prop_assert_eq!(row.inputs.iter().filter(|(other, _)| other == key).count(), 1);
                }
            }
        }
        prop_assert_eq!(renamed, applied.renamed);
    }

    #[test]
    fn arbitrary_json_never_panics(request in any_value(), response in any_value()) {
        let (request, response) = (written(&request), written(&response));
        let (head, made) = (HeaderMap::new(), MadeNames::default());
        for form in &FORMS {
            let reading = (form.read)(matter(&head, &made, "/v1/models/m:predict", &request, &response));
            prop_assert!(!reading.rows.is_empty(), "{}", form.name);
        }
    }
}

/// Media types of every reader, and some of none.
const MEDIA_TYPES: [&str; 12] = [
    "application/json",
    "text/csv",
    "application/x-ndjson",
    "text/event-stream",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=B",
    "application/x-npy",
    "text/plain",
    "text/html",
    "application/octet-stream",
    "application/vnd.sagemaker-triton.binary+json;json-header-size=7",
    "image/png",
];

fn head_of(media_type: &str) -> HeaderMap {
    let mut head = HeaderMap::new();
    head.insert(http::header::CONTENT_TYPE, media_type.parse().expect("a header value"));
    head
}

/// Bytes, some of them with the words that the readers look for.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"{\"inputs\":[{\"name\":\"a\",\"shape\":[",
        b"2],\"datatype\":\"FP16\",",
        b"\"data\":[1,2]}]}",
        b"data: ",
        b"\n\n",
        b"\r\n--B\r\n",
        b"--B--",
        b"Content-Disposition: form-data; name=\"a\"\r\n\r\n",
        b"\x93NUMPY\x01\0\x20\0{'descr': '<f4', 'shape': (",
        b"a,b\n1,\"2",
        b"{\"choices\":[{\"index\":",
        b"0,\"delta\":{\"content\":\"x\"}}]}",
        b"[DONE]",
        b"{\"type\":\"content_block_delta\",\"index\":",
        b"[",
        b"]",
        b"{",
        b"}",
        b"\"",
        b",",
        b":",
        b"=",
        b"&",
        b"%",
        b"18446744073709551616",
        b"-1",
        b"\xff",
        b"\n",
    ];
    let piece = prop_oneof![
        3 => prop::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn recognition_is_stable_under_case_and_blanks() {
    let body = "a,b\n1,2\n";
    let made = MadeNames::default();
    for media_type in ["text/csv", "Text/CSV", " text/csv ; charset=utf-8", "TEXT/CSV;header=present"] {
        let head = head_of(media_type);
        let matter = matter(&head, &made, "/predict", body, "[1]");
        assert_eq!(recognise(ProtocolChoice::Auto, &matter).name, "sagemaker", "{media_type}");
    }
    let json = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}"#;
    for json in [json.to_owned(), json.replace(',', " ,\n "), format!("\u{feff}\n{json}\r\n")] {
        let head = head_of("Application/JSON");
        assert_eq!(recognise(ProtocolChoice::Auto, &matter(&head, &made, "/", &json, "{}")).name, "v2", "{json}");
    }
}

/// JSON of a value, for tests that may not use the record's writer.
fn written(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(bool) => bool.to_string(),
        Value::Number(digits) => (*digits).to_owned(),
        Value::Json(value) => written(value),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(float) => format!("{float:e}"),
        Value::Double(double) if double.is_nan() => "NaN".to_owned(),
        Value::Double(double) if double.is_infinite() => {
            if *double > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        Value::Double(double) => format!("{double:e}"),
        Value::Text(text) => format!("\"{text}\""),
        Value::Packed(packed) => written(&Value::List(value::spelled(*packed))),
        Value::List(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("\"{key}\":{}", written(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}
