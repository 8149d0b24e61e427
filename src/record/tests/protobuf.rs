//! The protobuf form: the same record as the JSON form, byte by byte as it was released, and nothing worse than damage from
//! any bytes.

use proptest::prelude::*;
use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, ReflectMessage, Value as Reflected};

use super::schema::prediction;
use super::*;
use crate::config::Format;
use crate::protocol::{self, Value};
use crate::record::wire::decode;
use crate::record::wire::listen::JsonText;

/// The protobuf messages of a call.
pub(crate) fn protobuf(call: &Call) -> Vec<Vec<u8>> {
    recorder().format(Format::Protobuf).messages(call).1
}

pub(super) fn json_of(message: &[u8]) -> Result<String, String> {
    let mut out = Vec::new();
    let unknown = decode::tell(message, &mut JsonText(&mut out)).map_err(|damaged| damaged.to_string())?;
    assert!(unknown.is_empty(), "weir's own");
    Ok(String::from_utf8(out).expect("JSON is text"))
}

/// What a reader of the schema that is not weir's makes of it.
fn by_reflection(message: &[u8]) -> serde_json::Value {
    let record =
        serde_json::json!({"id": null, "model_name": null, "model_version": null, "inputs": {}, "outputs": {}});
    reflected_record(prediction(), message, record)
}

/// The same, on top of the fields that its JSON form always has.
pub(super) fn reflected_record(
    of: MessageDescriptor,
    message: &[u8],
    mut record: serde_json::Value,
) -> serde_json::Value {
    let message = DynamicMessage::decode(of, message).expect("a record");
    assert_eq!(message.unknown_fields().count(), 0);
    for (field, value) in message.fields() {
        record[field.name()] = match value {
            // The JSON form writes whole milliseconds without a fraction.
            Reflected::F64(ms) if field.name().ends_with("_ms") && ms.fract() == 0.0 => (*ms as u64).into(),
            value => reflected(value),
        };
    }
    record
}

fn reflected(value: &Reflected) -> serde_json::Value {
    match value {
        Reflected::Bool(flag) => (*flag).into(),
        Reflected::String(text) => text.clone().into(),
        Reflected::U32(int) => (*int).into(),
        Reflected::U64(int) => (*int).into(),
        Reflected::I64(int) => (*int).into(),
        Reflected::F64(double) if double.is_nan() => "NaN".into(),
        Reflected::F64(double) if double.is_infinite() => if *double > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        Reflected::F64(double) => serde_json::from_str(zmij::Buffer::new().format(*double)).expect("a number"),
        Reflected::List(items) => items.iter().map(reflected).collect(),
        Reflected::Map(entries) => entries
            .iter()
            .map(|(key, value)| match key {
                MapKey::String(key) => (key.clone(), reflected(value)),
                other => panic!("a key {other:?}"),
            })
            .collect(),
        Reflected::Message(message) => message_as_json(message),
        other => panic!("no field is of the type of {other:?}"),
    }
}

fn message_as_json(message: &DynamicMessage) -> serde_json::Value {
    let items = || message.get_field_by_name("items").expect("items").into_owned();
    match message.descriptor().name() {
        "Object" => {
            let fields = message.get_field_by_name("fields").expect("fields");
            let entry = |entry: &Reflected| {
                let entry = entry.as_message().expect("an Entry");
                let key = entry.get_field_by_name("key").expect("a key");
                let value = entry.get_field_by_name("value").expect("a value");
                (key.as_str().expect("text").to_owned(), reflected(&value))
            };
            fields.as_list().expect("a list").iter().map(entry).collect()
        }
        "Value" => {
            let mut kinds = message.fields();
            let (kind, value) = kinds.next().expect("a kind");
            assert!(kinds.next().is_none());
            let text = || value.as_str().expect("text");
            match kind.name() {
                "null_value" => serde_json::Value::Null,
                "number_value" | "json_value" => serde_json::from_str(text()).expect("JSON"),
                _ => reflected(value),
            }
        }
        "List" | "Ints" | "Doubles" => reflected(&items()),
        "Timestamp" => {
            let number = |name: &str| message.get_field_by_name(name).expect("a number").into_owned();
            let (seconds, nanos) = (number("seconds").as_i64().expect("i64"), number("nanos").as_i32().expect("i32"));
            let time = jiff::Timestamp::new(seconds, nanos).expect("a time");
            format!("{time:.6}").into()
        }
        other => panic!("a message {other}"),
    }
}

/// A call with a value of every kind.
fn of_every_kind() -> Call {
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let request = format!(
        r#"{{"int":-7,"zero":0,"max":9223372036854775807,"beyond":9223372036854775808,"minus_zero":-0,"float":0.87,
        "small":1e-05,"spelled":1.50,"long":0.12345678901234567890123,"not_a_number":NaN,"infinite":-Infinity,
        "null":null,"yes":true,"no":false,"text":"gr\u00f6\u00dfe \" \\ \n","empty":"","list":[],"object":{{}},
        "ints":[1,-2,300],"doubles":[0.5,1e-05,NaN],"mixed":[1,0.5],"rows":[[1.5,2.5],[3.5,4.5]],
        "nested":{{"a":[{{"b":null}},"c"]}},"twice":1,"twice":2,"deep":{deep}}}"#
    );
    let mut call = call(request, r#"{"p":0.25,"label":"yes"}"#);
    call.tags = vec![("team".to_owned(), "größe".to_owned()), ("empty".to_owned(), String::new())];
    let call = with_route(call, |route| route.capture.bodies = config::Bodies::Always);
    with_route(call, |route| route.version = Some(crate::config::VersionFrom::Fixed("v7".to_owned())))
}

/// The bytes that are on topics since the first release. They change only if the form does; then readers break.
#[test]
fn the_bytes_are_the_released_ones() {
    golden("record", &protobuf(&of_every_kind()).remove(0));
}

/// Compares with `tests/data/protobuf/<name>.bin`, and what it says with the text beside it.
pub(super) fn golden(name: &str, message: &[u8]) {
    let file = format!("{}/tests/data/protobuf/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("WEIR_WRITE_GOLDEN").is_some() {
        std::fs::write(format!("{file}.bin"), message).expect("written");
        std::fs::write(format!("{file}.json"), json_of(message).expect("a record") + "\n").expect("written");
    }
    let released = std::fs::read(format!("{file}.bin")).expect("the golden record");
    assert!(message == released, "the encoder writes other bytes than those of tests/data/protobuf/{name}.bin");
    let text = std::fs::read_to_string(format!("{file}.json")).expect("the golden text");
    assert_eq!(json_of(&released).expect("a record"), text.trim_end());
}

#[test]
fn every_kind_is_read_alike_by_weir_and_by_others() {
    let call = of_every_kind();
    let (json, protobuf) = (recorder().messages(&call).1.remove(0), protobuf(&call).remove(0));
    let decoded = json_of(&protobuf).expect("a record");
    same(&json, decoded.as_bytes());
    assert_eq!(by_reflection(&protobuf), serde_json::from_slice::<serde_json::Value>(&json).expect("JSON"));
    assert!(protobuf.len() < json.len(), "{} bytes against {}", protobuf.len(), json.len());
}

/// Panics if two JSON texts are not the same record: keys in order, texts, integers digit by digit, floats bit by bit.
pub(crate) fn same(one: &[u8], other: &[u8]) {
    fn alike(one: &Value<'_>, other: &Value<'_>) -> bool {
        let is_float = |digits: &str| digits.contains(['.', 'e', 'E']);
        let bits = |digits: &str| digits.parse::<f64>().map(f64::to_bits);
        match (one, other) {
            (Value::Number(one), Value::Number(other)) => {
                one == other || (is_float(one) && is_float(other) && bits(one) == bits(other))
            }
            (Value::List(one), Value::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
            }
            (Value::Object(one), Value::Object(other)) => {
                let pairs = one.iter().zip(other);
                one.len() == other.len() && pairs.into_iter().all(|(a, b)| a.0 == b.0 && alike(&a.1, &b.1))
            }
            (one, other) => one == other,
        }
    }
    let read = |text| protocol::json::read(text, 512).expect("JSON").value;
    let (a, b) = (read(one), read(other));
    assert!(alike(&a, &b), "{}\n{}", String::from_utf8_lossy(one), String::from_utf8_lossy(other));
}

/// JSON as clients write it: numbers of every spelling, keys that repeat, nesting.
pub(crate) fn body() -> impl Strategy<Value = String> {
    let text = |text: &str| serde_json::to_string(text).expect("a string");
    let number = prop_oneof![
        any::<i64>().prop_map(|int| int.to_string()),
        (-1_000..1_000_i32).prop_map(|int| int.to_string()),
        any::<u128>().prop_map(|int| int.to_string()),
        any::<f64>().prop_map(|float| format!("{float:?}").replace("inf", "Infinity")),
        any::<f64>().prop_map(|float| format!("{float:e}").replace("inf", "Infinity")),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?",
        prop::sample::select(vec!["0.87", "1.50", "-0", "-0.0", "1e-05", "NaN"]).prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        3 => number,
        1 => prop::sample::select(vec!["null", "true", "false", "[]", "{}", "\"\""]).prop_map(str::to_owned),
        1 => any::<String>().prop_map(move |value| text(&value)),
    ];
    let value = leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            object_of(inner),
        ]
    });
    object_of(value)
}

fn object_of(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let key = prop_oneof![
        3 => prop::sample::select(vec!["age", "plan", "x", "größe", "", "a.b"]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec((key, value), 0..6).prop_map(|fields| {
        let field = |(key, value): (String, String)| format!("{}:{value}", serde_json::json!(key));
        format!("{{{}}}", fields.into_iter().map(field).collect::<Vec<_>>().join(","))
    })
}

proptest! {
    #[test]
    fn both_forms_are_the_same_record(
        request in body(),
        response in body(),
        status in 100_u16..600,
        client_id in prop::option::of("[ -~]{0,20}"),
        arrived_at_us in prop_oneof![0..2_000_000_000_000_000_i64, any::<i64>()],
        latency_us in prop_oneof![0..100_000_u64, 0..1_000_000_000_000_u64],
    ) {
        let mut call = call(request, response);
        call.status = StatusCode::from_u16(status).ok();
        (call.arrived_at_us, call.timings.latency_us) = (arrived_at_us, latency_us);
        if let Some(id) = client_id {
            call.request_headers.insert("x-request-id", HeaderValue::from_str(&id).expect("a header value"));
        }
        let (json, protobuf) = (recorder().messages(&call).1, protobuf(&call));
        prop_assert_eq!(json.len(), protobuf.len());
        for (json, protobuf) in json.iter().zip(&protobuf) {
            let decoded = json_of(protobuf).expect("a record");
            same(json, decoded.as_bytes());
            // serde_json rounds a float as it is spelled, so the same spelling is read.
            prop_assert_eq!(by_reflection(protobuf), serde_json::from_str::<serde_json::Value>(&decoded).expect("JSON"));
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_damaged(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        told_or_refused(&bytes);
    }

    #[test]
    fn a_record_with_any_damage_is_a_record_or_damaged(
        request in body(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut message = protobuf(&call(request, "{}")).remove(0);
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len()));
        }
        told_or_refused(&message);
    }
}

/// What is told is one JSON object, whatever the bytes were.
fn told_or_refused(message: &[u8]) {
    let mut out = Vec::new();
    if decode::tell(message, &mut JsonText(&mut out)).is_ok() {
        let document = protocol::json::read(&out, 512).unwrap_or_else(|problem| panic!("{problem:?}"));
        assert!(document.value.is_object());
    }
}

#[test]
fn damage_says_what_is_wrong() {
    let field = |number: u8, wire_type: u8| number << 3 | wire_type;
    let nested = |number: u8, inner: &[u8]| [&[field(number, 2), inner.len() as u8], inner].concat();
    let value = |value: &[u8]| nested(4, &nested(1, &nested(2, value)));
    for (message, what) in [
        (vec![], "the message is empty"),
        (b"{\"id\":\"a\"}".to_vec(), "field 15 has wire type 3"),
        (vec![0, 0, 0, 0, 1], "a field has an impossible number"),
        (vec![field(1, 2), 5, b'a'], "the message is cut"),
        (vec![field(1, 2), 0xff, 0xff, 0xff, 0xff, 0x0f], "the message is cut"),
        ([&[field(10, 0)][..], &[0xff; 11]].concat(), "a varint is too long"),
        (nested(1, b"\xff"), "a text is not UTF-8"),
        (vec![field(1, 0), 1], "field id has another wire type"),
        ([nested(1, b"a"), nested(1, b"b")].concat(), "field id stands there twice"),
        (nested(4, &nested(1, &nested(1, b"x"))), "an Entry has no value"),
        (value(&[]), "a Value has no kind"),
        (value(&[field(2, 0), 1, field(2, 0), 1]), "a Value has more than one kind"),
        (value(&[field(12, 0), 1]), "field 12 of a Value is of no kind that this version knows"),
        (value(&nested(5, b"1,2")), "a number_value is no number"),
        (value(&nested(11, b"{\"a\":")), "a json_value is no JSON: damaged JSON at byte 5: EOF while parsing a value"),
        (value(&nested(10, &nested(1, &[0; 12]))), "a Doubles is cut in the middle of an item"),
        (
            nested(6, &[field(1, 0), 1, field(2, 0), 0xff, 0xff, 0xff, 0xff, 0x7f]),
            "occurred_at is no time: 1 s and 34359738367 ns",
        ),
    ] {
        assert_eq!(json_of(&message), Err(what.to_owned()), "{message:02x?}");
    }
}

/// What generated code of other languages may write otherwise than weir does.
#[test]
fn what_other_writers_leave_out_or_do_not_pack_is_read() {
    let nested = |number: u8, inner: &[u8]| [&[number << 3 | 2, inner.len() as u8], inner].concat();
    let entry = |value: &[u8]| nested(1, &[nested(1, b"x"), nested(2, value)].concat());
    let unpacked = nested(9, &[1 << 3, 2, 1 << 3, 3]);
    let message =
        [nested(1, b"a"), nested(4, &[entry(&unpacked), nested(1, &nested(2, &[1 << 3, 1]))].concat())].concat();
    let text = json_of(&message).expect("a record");
    assert_eq!(text, r#"{"id":"a","model_name":null,"model_version":null,"inputs":{"x":[1,-2],"":null},"outputs":{}}"#);
    let seconds = nested(6, &[1 << 3, 1]);
    assert!(json_of(&seconds).expect("a record").contains(r#""occurred_at":"1970-01-01T00:00:01.000000Z""#));
}
