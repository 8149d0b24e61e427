//! `deploy/weir.yaml` is equal to the defaults and complete, and so is the schema; `weir init` writes a good file.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::config::file::{self, File};
use crate::config::tree::Tree;

const REFERENCE: &str = include_str!("../../../deploy/weir.yaml");

/// Takes the `#` off keys that are off by default: it is followed by the key, or by the two spaces of a deeper one.
fn uncommented(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        match line.trim_start().strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') || rest.starts_with("  ") => lines.push(format!("{indent}{rest}")),
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

fn switched_on() -> String {
    uncommented(REFERENCE).replace("to: ./weir-data/parquet", "to: s3://bucket/prefix")
}

/// With the keys behind a second `#` too: they exclude others, or name files.
fn all_of_the_reference() -> String {
    uncommented(&switched_on())
}

#[test]
fn the_reference_is_equal_to_the_defaults() {
    assert_eq!(good(REFERENCE), good(SMALLEST));
}

#[test]
fn every_key_that_is_off_can_be_switched_on_and_has_its_default() {
    let text = switched_on();
    let tree = Tree::parse("deploy/weir.yaml", &text).unwrap_or_else(|error| panic!("{error}"));
    let file: File = crate::config::read::read(&tree).unwrap_or_else(|error| panic!("{error}"));
    good(&text);
    let kafka = file.kafka.expect("it is switched on");
    let examples = file::Kafka {
        brokers: kafka.brokers.clone(),
        key: kafka.key.clone(),
        producer: kafka.producer.clone(),
        consumer: kafka.consumer.clone(),
        tls: Some(file::KafkaTls::default()),
        sasl: kafka.sasl.clone(),
        create_topics: Some(file::CreateTopics::default()),
        ..file::Kafka::default()
    };
    assert_eq!(kafka, examples);
}

/// Every key path that the schema knows; `*` for the key of a map of maps.
fn paths(schema: &Value, at: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = at.get("$ref").and_then(Value::as_str) {
        let target = schema.pointer(reference.trim_start_matches('#')).expect("a reference has a target");
        return paths(schema, target, path, found);
    }
    for choice in at.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        paths(schema, choice, path, found);
    }
    for (key, value) in at.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        found.insert(path.clone());
        paths(schema, value, &path, found);
    }
    if let Some(value) = at.get("additionalProperties").filter(|value| value.is_object()) {
        paths(schema, value, &format!("{path}.*"), found);
    }
}

fn schema_paths() -> BTreeSet<String> {
    let schema = json_schema();
    let mut found = BTreeSet::new();
    paths(&schema, &schema, "", &mut found);
    found
}

#[test]
fn the_reference_is_complete() {
    let text = all_of_the_reference();
    let tree = Tree::parse("deploy/weir.yaml", &text).unwrap();
    let keys = schema_paths();
    assert!(keys.len() > 80, "{keys:?}");
    for path in &keys {
        let path: Vec<&str> = path.split('.').map(|key| if key == "*" { "churn" } else { key }).collect();
        assert!(tree.entry(&path).is_some(), "{} is not in deploy/weir.yaml", path.join("."));
    }
}

#[test]
fn every_key_of_the_schema_says_what_it_is() {
    fn check(at: &Value, path: &str) {
        for (key, value) in at.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let described = value.get("description").and_then(Value::as_str).is_some_and(|text| text.len() > 5);
            assert!(described, "{path}.{key} has no description");
        }
    }
    let schema = json_schema();
    check(&schema, "");
    for (name, definition) in schema["$defs"].as_object().expect("there are definitions") {
        check(definition, name);
    }
}

#[test]
fn the_schema_allows_no_key_without_a_value_and_knows_the_defaults() {
    let schema = json_schema();
    assert!(!schema.to_string().contains("null"), "{schema}");
    assert_eq!(schema["required"], serde_json::json!(["version"]));
    assert_eq!(schema["properties"]["log"]["default"]["sync"], "200ms");
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn the_file_that_init_writes_is_good_and_so_is_what_it_offers() {
    for upstream in [None, Some("http://127.0.0.1:8000/predict"), Some("http://[::1]:8000")] {
        let text = init_yaml(upstream);
        let url = upstream.unwrap_or("http://127.0.0.1:8000");
        assert_eq!(good(&text), Config::for_upstream(url, None).unwrap(), "{text}");
        assert!(text.starts_with("# yaml-language-server: $schema=./weir-data/schema.json\n"));
        good(&uncommented(&text));
    }
}
