//! `proto/weir/v1/prediction.proto` and `feedback.proto` say what the encoder writes, and keep what has been released.

use std::path::Path;

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind as Type, MessageDescriptor};

use crate::record::wire::{FIELDS, Kind, OF_PREDICTION};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
const FILE: &str = "weir/v1/prediction.proto";
const FEEDBACK_FILE: &str = "weir/v1/feedback.proto";

/// The schema of a folder's files, by a compiler of protobuf.
fn compiled(folder: &Path) -> DescriptorPool {
    let set = protox::compile([FILE, FEEDBACK_FILE], [folder]).unwrap_or_else(|error| panic!("{error}"));
    DescriptorPool::from_file_descriptor_set(set).expect("a schema")
}

fn message(name: &str) -> MessageDescriptor {
    static POOL: std::sync::OnceLock<DescriptorPool> = std::sync::OnceLock::new();
    let pool = POOL.get_or_init(|| compiled(Path::new(FOLDER)));
    pool.get_message_by_name(name).expect("the record")
}

pub(super) fn prediction() -> MessageDescriptor {
    message("weir.v1.Prediction")
}

pub(super) fn feedback() -> MessageDescriptor {
    message("weir.v1.Feedback")
}

#[test]
fn the_schema_has_the_encoders_fields() {
    assert_eq!(prediction().fields().len(), OF_PREDICTION);
    let own = feedback().fields().filter(|field| field.number() as usize > OF_PREDICTION).count();
    assert_eq!(own, FIELDS.len() - OF_PREDICTION);
    for field in prediction().fields().chain(feedback().fields()) {
        let (name, kind) =
            FIELDS.get(field.number() as usize - 1).unwrap_or_else(|| panic!("{field:?} is written by nobody"));
        assert_eq!(field.name(), *name, "of number {}", field.number());
        assert!(field.is_map() || field.supports_presence(), "{name} is optional");
        let fits = match (field.kind(), kind) {
            (Type::Message(message), Kind::Object) => message.full_name() == "weir.v1.Object",
            (Type::Message(message), Kind::Value) => message.full_name() == "weir.v1.Value",
            (Type::Message(message), Kind::Time) => message.full_name() == "google.protobuf.Timestamp",
            (Type::Message(_), Kind::Map) => field.is_map(),
            (Type::String, Kind::Text) | (Type::Bool, Kind::Flag) => true,
            (Type::Uint32 | Type::Uint64, Kind::Integer) => true,
            (Type::Double, Kind::Double | Kind::Milliseconds) => true,
            _ => false,
        };
        assert!(fits, "{name} is {:?} in the schema and {kind:?} in the encoder", field.kind());
    }
}

/// One line a field: `weir.v1.Prediction 1 id: optional string`.
fn lines(pool: &DescriptorPool) -> Vec<String> {
    let of_weir = |message: &MessageDescriptor| message.package_name() == "weir.v1" && !message.is_map_entry();
    let mut messages: Vec<MessageDescriptor> = pool.all_messages().filter(of_weir).collect();
    messages.sort_by_key(|message| message.name().to_owned());
    let line = |message: &MessageDescriptor, field: &FieldDescriptor| {
        let label = match field.containing_oneof() {
            Some(one) if !field.field_descriptor_proto().proto3_optional() => format!("oneof {} ", one.name()),
            _ if field.is_map() => String::new(),
            _ if field.is_list() => "repeated ".to_owned(),
            _ if field.supports_presence() => "optional ".to_owned(),
            _ => String::new(),
        };
        format!("{} {} {}: {label}{}", message.full_name(), field.number(), field.name(), type_name(&field.kind()))
    };
    messages
        .iter()
        .flat_map(|message| message.fields().map(|field| line(message, &field)).collect::<Vec<_>>())
        .collect()
}

fn type_name(kind: &Type) -> String {
    match kind {
        Type::Message(message) if message.is_map_entry() => {
            let [key, value] = [message.map_entry_key_field(), message.map_entry_value_field()];
            format!("map<{}, {}>", type_name(&key.kind()), type_name(&value.kind()))
        }
        Type::Message(message) => message.full_name().to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The first release: so many lines of `released.txt`, with this hash, for ever.
const FIRST_RELEASE: (usize, u64) = (55, 0x9f6b_aa0b_420b_bddf);

/// What is wrong with a schema, seen from what has been released.
fn broken_promises(lines: &[String], released: &str) -> Vec<String> {
    let released: Vec<&str> = released.lines().filter(|line| !line.starts_with('#')).collect();
    let mut wrong = Vec::new();
    let (count, hash) = FIRST_RELEASE;
    let first = released.iter().take(count).map(|line| format!("{line}\n")).collect::<String>();
    let found = xxhash_rust::xxh3::xxh3_64(first.as_bytes());
    if found != hash {
        wrong.push(format!("the lines of the first release were changed: their hash is {found:#x}"));
    }
    for line in &released {
        if !lines.iter().any(|now| now == line) {
            wrong.push(format!("`{line}` was released and is not in the schema any more"));
        }
    }
    for line in released.iter().skip(count) {
        // The two records grow.
        if !["weir.v1.Prediction ", "weir.v1.Feedback "].iter().any(|record| line.starts_with(record)) {
            wrong.push(format!("`{line}` adds to a message that readers know completely"));
        }
    }
    for line in lines {
        if !released.contains(&line.as_str()) {
            wrong.push(format!("`{line}` is new: add the line at the end of proto/weir/v1/released.txt"));
        }
    }
    wrong
}

fn released() -> String {
    std::fs::read_to_string(Path::new(FOLDER).join("weir/v1/released.txt")).expect("what has been released")
}

#[test]
fn what_was_released_stays() {
    assert_eq!(broken_promises(&lines(&compiled(Path::new(FOLDER))), &released()), Vec::<String>::new());
}

/// The rule itself: each way to break readers is found, and an addition is not one.
#[test]
fn the_rule_of_evolution_finds_what_breaks_readers() {
    let schema = std::fs::read_to_string(Path::new(FOLDER).join(FILE)).expect("the schema");
    let broken = |from: &str, to: &str, added: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(FILE);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        assert!(schema.contains(from), "{from}");
        std::fs::write(&file, schema.replacen(from, to, 1)).expect("written");
        std::fs::copy(Path::new(FOLDER).join(FEEDBACK_FILE), folder.path().join(FEEDBACK_FILE)).expect("copied");
        broken_promises(&lines(&compiled(folder.path())), &(released() + added)).join("; ")
    };
    let gone = "was released and is not in the schema any more";
    for (from, to) in [
        ("  optional string route = 20;\n", ""),
        ("route = 20;", "route = 200;"),
        ("optional string route = 20;", "optional bytes route = 20;"),
        ("optional string route = 20;", "string route = 20;"),
        ("string route = 20;", "string way = 20;"),
        ("sint64 int_value = 3;", "int64 int_value = 3;"),
        ("map<string, string> types", "map<string, bytes> types"),
    ] {
        let found = broken(from, to, "");
        assert!(found.contains(gone), "{from} -> {to}: {found}");
    }
    let added = "  optional string region = 41;\n  optional uint32 schema_version = 38;";
    assert!(broken("  optional uint32 schema_version = 38;", added, "").contains("is new"));
    let line = "weir.v1.Prediction 41 region: optional string\n";
    assert_eq!(broken("  optional uint32 schema_version = 38;", added, line), "");
    let kind = "weir.v1.Value 12 bytes_value: oneof kind bytes\n";
    let found = broken("    string json_value = 11;", "    string json_value = 11;\n    bytes bytes_value = 12;", kind);
    assert!(found.contains("readers know completely"), "{found}");
    let shortened = released().replace("weir.v1.Prediction 20 route: optional string\n", "");
    assert!(!broken_promises(&lines(&compiled(Path::new(FOLDER))), &shortened).is_empty());
}
