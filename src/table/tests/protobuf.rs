//! Protobuf messages become the rows that the same records become in JSON, also when a topic holds both.

use proptest::prelude::*;

use super::*;
use crate::config::Format;
use crate::record::tests::protobuf::{body, same};
use crate::record::tests::{call, recorder};

/// The messages of some calls in a form, where `protobuf` says of each row which.
fn in_form(calls: &[(String, String)], protobuf: impl Fn(usize) -> bool) -> Vec<Message> {
    let encoded = |format| {
        let recorder = recorder().format(format);
        calls
            .iter()
            .flat_map(|(request, response)| recorder.messages(&call(request.clone(), response.clone())).1)
            .collect()
    };
    let [json, binary]: [Vec<Vec<u8>>; 2] = [encoded(Format::Json), encoded(Format::Protobuf)];
    let pairs = json.iter().zip(&binary).enumerate();
    let message = |(row, (json, binary))| match protobuf(row) {
        true => Message { content_type: ContentType::Protobuf, ..message(row as u64, binary) },
        false => message(row as u64, json),
    };
    pairs.map(message).collect()
}

fn write(messages: &[Message]) -> (Arc<Schema>, File) {
    let schema = Arc::new(surveyed(messages).propose(None).unwrap_or_default());
    let file = write_with(&schema, messages, SETTINGS);
    (schema, file)
}

/// Column for column the same; `_raw` of a protobuf message may spell a float in another way.
fn same_tables(json: &File, other: &File) {
    assert_eq!(json.batch.schema(), other.batch.schema());
    for (at, field) in json.batch.schema().fields().iter().enumerate() {
        if field.name() != "_raw" {
            assert_eq!(json.batch.column(at), other.batch.column(at), "{}", field.name());
            continue;
        }
        for (json, other) in json.texts("_raw").iter().zip(other.texts("_raw")) {
            match (json, other) {
                (None, None) => {}
                (Some(json), Some(other)) => same(json.as_bytes(), other.as_bytes()),
                (json, other) => panic!("{json:?} and {other:?}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn both_forms_give_the_same_table(
        calls in prop::collection::vec((body(), body()), 1..8),
        mixture: u8,
    ) {
        let (schema, json) = write(&in_form(&calls, |_| false));
        for protobuf in [0xff, mixture] {
            let messages = in_form(&calls, |row| protobuf >> (row % 8) & 1 == 1);
            let (other_schema, other) = write(&messages);
            prop_assert_eq!(&other_schema, &schema);
            prop_assert_eq!((json.quarantined, other.quarantined), (0, 0));
            same_tables(&json, &other);
        }
    }

    #[test]
    fn any_bytes_are_one_row(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..20)) {
        let messages: Vec<Message> = messages(&values)
            .into_iter()
            .map(|message| Message { content_type: ContentType::Protobuf, ..message })
            .collect();
        write(&messages);
    }
}

fn protobuf(value: Vec<u8>) -> Message {
    Message { content_type: ContentType::Protobuf, ..message(0, value) }
}

#[test]
fn a_damaged_message_keeps_its_bytes_and_says_why() {
    let good = in_form(&[(r#"{"age":38}"#.to_owned(), r#"{"p":0.5}"#.to_owned())], |_| true).remove(0);
    let whole = good.value.clone().expect("a value");
    let cut = protobuf(whole[..whole.len() - 1].to_vec());
    let (_, file) = write(&[good, cut]);
    assert_eq!((file.quarantined, file.doubles("inputs.age")), (1, vec![Some(38.0), None]));
    let error = file.text("_error", 1).expect("an error");
    assert_eq!(error, "base64: not a protobuf record: the message is cut; _raw holds the bytes");
    use base64::Engine;
    let raw = file.text("_raw", 1).expect("the bytes");
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(raw).expect("base64"), whole[..whole.len() - 1]);
    assert_eq!(file.text("id", 1), None);
}

/// Nothing is lost by a drain that is older than the gateway.
#[test]
fn fields_of_a_newer_version_are_kept_in_raw_and_are_no_column() {
    let good = in_form(&[(r#"{"age":38}"#.to_owned(), r#"{"p":0.5}"#.to_owned())], |_| true).remove(0);
    let newer = [&[0xca, 0x02, 2, b'e', b'u'], good.value.as_ref().expect("a value").as_ref()].concat();
    let (schema, file) = write(&[good, protobuf(newer)]);
    assert_eq!((file.quarantined, file.doubles("inputs.age")), (0, vec![Some(38.0); 2]));
    assert_eq!((schema.columns(), file.raw_rows()), (2, vec![1]));
    let raw: serde_json::Value = serde_json::from_str(&file.text("_raw", 1).expect("a text")).expect("JSON");
    assert_eq!((&raw["inputs"], &raw["unknown_fields"]), (&serde_json::json!({"age": 38}), &"ygICZXU=".into()));
}

#[test]
fn the_fields_of_the_record_are_the_fixed_columns() {
    let columns: Vec<&str> = crate::table::envelope::RECORD.iter().map(|(name, _)| *name).collect();
    let fields = &crate::record::wire::FIELDS[..crate::record::wire::OF_PREDICTION];
    let fields: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(columns, fields);
}

/// The key that is expected next is compared as JSON has it, with escapes.
#[test]
fn a_key_with_a_backslash_is_not_taken_for_another_ones_escape() {
    let calls: Vec<(String, String)> =
        (0..8).map(|n| (format!(r#"{{"a{}nb":{n}}}"#, [r"\", r"\\"][n % 2]), "{}".to_owned())).collect();
    let (schema, json) = write(&in_form(&calls, |_| false));
    let (other_schema, other) = write(&in_form(&calls, |_| true));
    assert_eq!((schema.columns(), &schema), (2, &other_schema));
    same_tables(&json, &other);
    assert_eq!(other.column("inputs.a\nb").null_count(), 4);
}

/// Integers that no double holds are told apart as in JSON.
#[test]
fn large_integers_fit_as_they_do_in_json() {
    let edge = 1_i64 << 53;
    let numbers = [0, edge, edge + 1, edge + 2, -edge - 1, i64::MIN, i64::MAX];
    let calls: Vec<_> = numbers.iter().map(|n| (format!(r#"{{"n":{n}}}"#), "{}".to_owned())).collect();
    let (_, json) = write(&in_form(&calls, |_| false));
    let (_, other) = write(&in_form(&calls, |_| true));
    same_tables(&json, &other);
    assert_eq!(other.raw_rows(), [2, 4, 6]);
}
