//! A topic's settings are looked at before anything is published, and by `weir check`.

use std::collections::BTreeMap;

use parquet::record::Field;
use rdkafka::admin::{AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use weir::config::CreateTopics;

use crate::kafka_path::{Gateway, assert_nothing_is_missing, read_topic, until};
use crate::support::kafka::{admin, block_on, brokers, config, name};
use crate::support::model::Model;
use crate::support::parquet as files;
use crate::support::weir::Weir;

/// A new topic of one partition with these settings.
pub fn topic_with(what: &str, settings: &[(&str, &str)]) -> String {
    let topic = name(what);
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
    let made = block_on(admin(&brokers()).create_topics([&new], &AdminOptions::new())).unwrap();
    made[0].as_ref().unwrap();
    topic
}

pub fn alter(topic: &str, name: &str, value: &str) {
    let new = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let done = block_on(admin(&brokers()).alter_configs(&[new], &AdminOptions::new())).unwrap();
    done[0].as_ref().unwrap();
}

fn settings(topic: &str) -> BTreeMap<String, String> {
    let resource = [ResourceSpecifier::Topic(topic)];
    let described = block_on(admin(&brokers()).describe_configs(&resource, &AdminOptions::new())).unwrap();
    let entries = &described[0].as_ref().unwrap().entries;
    entries.iter().map(|entry| (entry.name.clone(), entry.value.clone().unwrap_or_default())).collect()
}

#[test]
fn nothing_is_published_to_a_compacted_topic_until_it_keeps_every_row() {
    let topic = topic_with("compacted", &[("cleanup.policy", "compact")]);
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    gateway.append(&topic, 0..10, 10);
    let publisher = gateway.publish(&config(&brokers()), folder.path());
    let mut said = String::new();
    until(&publisher, "the refusal", |s| {
        let problem = s.lanes.first().and_then(|lane| lane.problem.clone());
        said = problem.map(|problem| problem.message).unwrap_or_default();
        said.contains("compacted")
    });
    assert!(said.contains("--add-config cleanup.policy=delete"), "{said}");
    assert_eq!(gateway.logs.totals().delivered, 0);
    alter(&topic, "cleanup.policy", "delete");
    gateway.until_delivered(&publisher, 20);
    assert_nothing_is_missing(&read_topic(&brokers(), &topic, 1), 20);
}

#[test]
fn a_topic_that_weir_makes_keeps_every_row_and_takes_every_message() {
    let topic = name("made");
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    let mut kafka = config(&brokers());
    kafka.create_topics = Some(CreateTopics { partitions: 1, replication: 1 });
    kafka.record_bytes_max = 3_000_000;
    gateway.append(&topic, 0..1, 2_900_000);
    let publisher = gateway.publish(&kafka, folder.path());
    gateway.until_delivered(&publisher, 2);
    let settings = settings(&topic);
    assert_eq!(settings["cleanup.policy"], "delete");
    assert_eq!(settings["message.timestamp.type"], "LogAppendTime");
    assert_eq!(settings["max.message.bytes"], "3004096");
}

#[test]
fn check_says_what_a_topic_s_settings_cost_and_refuses_what_would_lose_rows() {
    let settings = [
        ("max.message.bytes", "500000"),
        ("retention.ms", "3600000"),
        ("message.timestamp.type", "CreateTime"),
        ("min.insync.replicas", "2"),
    ];
    let topic = topic_with("checked", &settings);
    let yaml = format!(
        "routes: {{ m: {{ upstream: http://127.0.0.1:9, model: {topic} }} }}\nkafka: {{ brokers: [{}] }}\n",
        brokers()
    );
    let weir = Weir::new(&yaml);
    let of_topic = || {
        let checks = weir.cli_json(&["check"])["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["part"] == "topic").unwrap()
    };
    let check = of_topic();
    assert_eq!(check["ok"], true, "{check:#}");
    let text = check["text"].as_str().unwrap();
    for fix in [
        "max.message.bytes=904096",
        "retention.ms=604800000",
        "message.timestamp.type=LogAppendTime",
        "min.insync.replicas=1",
        "--partitions 4",
    ] {
        assert!(text.contains(fix), "{fix} is missing:\n{text}");
    }
    alter(&topic, "cleanup.policy", "compact");
    let check = of_topic();
    assert_eq!(check["ok"], false, "{check:#}");
    assert!(check["fix"].as_str().unwrap().contains("cleanup.policy=delete"), "{check:#}");
}

/// `max.message.bytes` is below `kafka.max_record`: the row is stored without its inputs, the others whole, and it is counted and said.
#[test]
fn a_row_that_is_too_large_for_its_topic_is_stored_with_less_in_it_and_counted() {
    let topic = topic_with("small", &[("max.message.bytes", "20000")]);
    let model = Model::start();
    let yaml = format!(
        "routes: {{ m: {{ upstream: {}, model: {topic} }} }}\nkafka: {{ brokers: [{}], lanes: 1 }}\n",
        model.url(),
        brokers()
    );
    let weir = Weir::new(&yaml).start();
    let mut client = weir.client();
    // Text that does not compress.
    let noise: String = (0..4_000).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
    for n in 0..6 {
        let pad = if n == 2 { noise.as_str() } else { "" };
        client.post("/predict", format!(r#"{{"x":{n},"pad":"{pad}"}}"#).as_bytes()).expect("an answer");
    }
    let (status, _) = weir.settle();
    assert_eq!(status["publisher"][0]["shortened"], 1, "{status:#}");
    assert!(weir.stderr().contains("refused a row for its size"), "{}", weir.stderr());
    let rows = files::rows(&weir.parquet().join(&topic));
    let truncated = |row: &parquet::record::Row| {
        row.get_column_iter().any(|(name, value)| name == "truncated" && *value == Field::Bool(true))
    };
    assert_eq!((rows.len(), rows.iter().filter(|row| truncated(row)).count()), (6, 1));
}
