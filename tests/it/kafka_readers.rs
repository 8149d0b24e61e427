//! A topic as clients see it that are not weir's: each record with its headers and its key.

use std::collections::{BTreeMap, BTreeSet};

use parquet::record::Field;
use serde_json::Value;

use crate::support::model::Model;
use crate::support::weir::{Weir, rows};
use crate::support::{kafka, parquet as files, python};

const LIBRARIES: [&str; 3] = ["confluent-kafka", "kafka-python", "aiokafka"];

/// Every message of a topic in the order of its partitions.
fn read(library: &str, topic: &str, count: usize) -> Vec<Value> {
    let text = python::run(&["readers.py", library, &kafka::brokers(), topic, &count.to_string()]);
    let mut messages: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    messages.sort_by_key(|message| (message["partition"].as_u64(), message["offset"].as_u64()));
    messages
}

#[test]
fn the_usual_clients_read_each_record_with_its_headers_and_its_key() {
    let model = Model::start();
    let [open, closed] = ["open", "closed"].map(|what| kafka::topic(&kafka::brokers(), what, 2));
    let weir = Weir::new(&format!(
        "routes:\n  open: {{ upstream: {url}, model: {open} }}\n  closed: {{ upstream: {url}, model: {closed}, redact: {{ inputs.customer: drop }} }}\n\
         kafka: {{ brokers: [{brokers}], key: inputs.customer }}\n",
        url = model.url(),
        brokers = kafka::brokers()
    ))
    .start();
    let mut client = weir.client();
    for n in 0..40 {
        let body = format!(r#"{{"x":{n},"customer":"customer-{}"}}"#, n % 7);
        client.post("/predict/open", body.as_bytes()).expect("an answer");
        client.post("/predict/closed", body.as_bytes()).expect("an answer");
    }
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), 80, "{report:#}");

    let messages = LIBRARIES.map(|library| read(library, &open, 40));
    assert_eq!(messages[0], messages[1]);
    assert_eq!(messages[0], messages[2]);
    let mut seqs: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let mut sent = BTreeSet::new();
    for message in &messages[0] {
        let (headers, value) = (&message["headers"], &message["value"]);
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["schema-version"], "1");
        let seq = headers["seq"].as_str().expect("seq").parse().expect("a number");
        assert!(seqs.entry(headers["source"].as_str().expect("source")).or_default().insert(seq), "seq {seq} twice");
        let x = value["inputs"]["x"].as_u64().expect("x");
        assert_eq!(message["key"], format!("customer-{}", x % 7));
        assert_eq!(value["inputs"]["customer"], message["key"]);
        sent.insert(x);
    }
    assert_eq!(sent, (0..40).collect());
    for (source, seqs) in seqs {
        assert_eq!(seqs, (0..seqs.len() as u64).collect(), "{source} has no gap");
    }

    // A field that is dropped is no key.
    let messages = read("confluent-kafka", &closed, 40);
    assert!(messages.iter().all(|message| message["key"].is_null()), "{messages:?}");
    assert!(!format!("{messages:?}").contains("customer-"), "{messages:?}");

    let keys: Vec<(u64, String)> = files::rows(&weir.parquet().join(&open))
        .iter()
        .map(|row| {
            let field = |name: &str| row.get_column_iter().find(|(n, _)| *n == name).expect("the column").1;
            let Field::Bytes(key) = field("_key") else { panic!("{:?}", field("_key")) };
            let Field::Group(inputs) = field("inputs") else { panic!("{:?}", field("inputs")) };
            let x = inputs.get_column_iter().find(|(n, _)| *n == "x").expect("x").1;
            let Field::Double(x) = x else { panic!("{x:?}") };
            (*x as u64, String::from_utf8(key.data().to_vec()).expect("text"))
        })
        .collect();
    assert_eq!(keys.len(), 40);
    assert!(keys.iter().all(|(x, key)| *key == format!("customer-{}", x % 7)), "{keys:?}");
}
