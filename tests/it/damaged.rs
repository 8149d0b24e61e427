//! A log that the disk has damaged before its rows were sent: what is whole is stored, the rest is named, by way of Kafka too.

use std::process::Output;

use serde_json::Value;

use crate::support::kafka;
use crate::support::model::Model;
use crate::support::until;
use crate::support::weir::{Weir, number, rows};

const CALLS: u64 = 40;

/// Rows that `weir log verify` calls damaged.
fn damaged(said: &Output) -> u64 {
    let report: Value = serde_json::from_slice(&said.stdout).expect("a report in JSON");
    let ranges = report["damage"].as_array().expect("ranges");
    ranges.iter().map(|range| number(range, "/next") - number(range, "/seq")).sum()
}

#[test]
fn rows_behind_a_damaged_range_are_stored_and_the_range_is_named_in_a_topic_too() {
    let model = Model::start();
    let brokers = kafka::brokers();
    let topic = kafka::name("damaged");
    let mut weir = Weir::new(&format!(
        "routes: {{ m: {{ upstream: {}, model: {topic} }} }}\nlog: {{ sync: 10ms }}\nkafka: {{ brokers: [\"{brokers}\"], lanes: 1 }}\n",
        model.url()
    ))
    .start();
    // There is no topic yet: the rows stay in the log.
    let mut client = weir.client();
    for n in 0..CALLS {
        assert_eq!(client.post("/predict", format!(r#"{{"x":{n}}}"#).as_bytes()).expect("an answer").status, 200);
    }
    until("all are logged", || number(&weir.status(), "/calls/logged") == CALLS);
    weir.kill();
    let segments = std::fs::read_dir(weir.dir.join("weir-data/log").join(&topic).join("0")).expect("the lane");
    let segment =
        segments.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|x| x == "seg"));
    let segment = segment.max_by_key(|path| path.metadata().expect("a file").len()).expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("bytes");
    let (from, to) = (bytes.len() / 4, bytes.len() / 2);
    bytes[from..to].fill(0xff);
    std::fs::write(&segment, &bytes).expect("damage");
    let lost = damaged(&weir.cli(&["log", "verify", "--json"]));
    assert!(lost > 2 && lost < CALLS / 2, "{lost} rows are lost");

    kafka::create(&brokers, &topic, 2);
    weir.up();
    until("all is delivered", || {
        let status = weir.status();
        number(&status, "/rows/appended") == CALLS && number(&status, "/rows/backlog") == 0
    });
    let (status, report) = weir.settle();
    let quarantined = report["tables"][&topic]["quarantined"].as_u64().expect("quarantined");
    assert!(quarantined > 0, "{report:#}");
    assert_eq!(rows(&report) - quarantined, CALLS - lost, "the whole rows are stored: {report:#}");
    assert_eq!(status["trouble"], Value::Array(Vec::new()));
    let sources = report["tables"][&topic]["sources"].as_object().expect("sources");
    assert!(sources.values().all(|source| number(source, "/missing") == 0), "every seq is accounted for: {report:#}");
    weir.term();
}
