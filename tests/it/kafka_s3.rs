//! The same path through a real Apache Kafka to a real S3 server, and topics that somebody else's producer fills.

use std::path::Path;

use serde_json::Value;

use crate::kill::torment;
use crate::path::{answered, ask, read_with};
use crate::support::python::{self, Server};
use crate::support::s3::{Bucket, bucket};
use crate::support::until;
use crate::support::weir::{Weir, number, rows};
use crate::support::{kafka, model::Model};

/// Kills with Kafka and S3 in the test command; `WEIR_KILLS_KAFKA` sets another number.
fn kills() -> u32 {
    std::env::var("WEIR_KILLS_KAFKA").ok().and_then(|v| v.parse().ok()).unwrap_or(5)
}

/// The `store` of a bucket, with more keys of it (`, roll: {..}`).
pub fn store(bucket: &Bucket, more: &str) -> String {
    store_at(bucket, &bucket.account.endpoint, more)
}

/// The same by another way to the server.
pub fn store_at(bucket: &Bucket, endpoint: &str, more: &str) -> String {
    format!(
        "store: {{ to: \"s3://{}/rows\", endpoint: {endpoint}, region: us-east-1, path_style: true{more} }}\n",
        bucket.name
    )
}

/// A deployment on the shared broker with a topic of its own and a bucket of its own.
fn deployment(upstream: &str, bucket: &Bucket) -> (Weir, String) {
    let topic = kafka::topic(&kafka::brokers(), "churn", 3);
    (deployed(upstream, &kafka::brokers(), &topic, bucket, &store(bucket, "")), topic)
}

/// A weir with both roles; `more`: the `store` and whatever else of the configuration.
pub fn deployed(upstream: &str, brokers: &str, topic: &str, bucket: &Bucket, more: &str) -> Weir {
    let mut weir = Weir::new(&format!(
        "routes: {{ churn: {{ upstream: {upstream}, model: {topic} }} }}\nkafka: {{ brokers: [{brokers}] }}\n{more}"
    ));
    for (name, value) in bucket.account.env() {
        weir = weir.env(name, &value);
    }
    weir
}

/// Copies every object of the table into a folder, for readers without an S3 client.
pub fn download(bucket: &Bucket, folder: &Path) {
    for key in bucket.keys() {
        let path = folder.join(&key);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, bucket.get(&key)).expect("a file");
    }
}

#[test]
fn fastapi_through_kafka_to_s3_becomes_typed_rows() {
    through(&Server::fastapi());
}

#[test]
fn flask_through_kafka_to_s3_becomes_typed_rows() {
    through(&Server::flask());
}

fn through(server: &Server) {
    let bucket = bucket();
    let (weir, topic) = deployment(&format!("http://{}", server.address), &bucket);
    let weir = weir.start();
    let answers = weir.dir.join("answers.jsonl");
    for (seed, library) in ["requests", "httpx", "aiohttp"].iter().enumerate() {
        ask(&weir, library, &seed.to_string(), &answers, &[]);
    }
    let (status, report) = weir.settle();
    assert_eq!(rows(&report), answered(&answers));
    assert_eq!(number(&status, "/rows/stored"), answered(&answers));
    assert_eq!(number(&status, "/rows/resent"), 0);

    let local = weir.dir.join("downloaded");
    download(&bucket, &local);
    let table = local.join("rows").join(&topic).display().to_string();
    read_with("duckdb", &answers, &table, None);
    read_with("polars", &answers, &table, None);
    let account = &bucket.account;
    let endpoint = account.endpoint.trim_start_matches("http://");
    let there = format!("s3://{}:{}@{endpoint}/{}/rows/{topic}", account.key, account.secret, bucket.name);
    read_with("pyarrow", &answers, &there, None);
    let check = weir.cli(&["check"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn kills_with_kafka_and_s3_lose_nothing_that_was_logged() {
    let model = Model::start();
    let bucket = bucket();
    let (mut weir, topic) = deployment(&model.url(), &bucket);
    torment(&mut weir, kills(), 2, |weir| stored_ids(weir, &bucket, &topic));
}

/// The `id` column of every file of a table.
pub fn stored_ids(weir: &Weir, bucket: &Bucket, topic: &str) -> Vec<String> {
    let local = weir.dir.join("downloaded");
    download(bucket, &local);
    crate::support::parquet::column(&local.join("rows").join(topic), "id")
}

/// A gateway and a drain in processes of their own, with only the topic between them.
#[test]
fn a_gateway_and_a_drain_apart_make_one_path() {
    let model = Model::start();
    let topic = kafka::topic(&kafka::brokers(), "apart", 2);
    let brokers = kafka::brokers();
    let gateway = Weir::new(&format!(
        "roles: [gateway]\nroutes: {{ m: {{ upstream: {}, model: {topic} }} }}\nkafka: {{ brokers: [{brokers}] }}\n",
        model.url()
    ))
    .start();
    let drain =
        Weir::new(&format!("roles: [drain]\nkafka: {{ brokers: [{brokers}] }}\ndrain: {{ topics: [{topic}] }}\n"))
            .start();
    let mut client = gateway.client();
    for n in 0..60 {
        client.post("/predict", format!(r#"{{"x":{n}}}"#).as_bytes()).expect("an answer");
    }
    until("the topic has every row", || number(&gateway.status(), "/rows/delivered") == 60);
    let (status, report) = drain.settle();
    assert_eq!(rows(&report), 60);
    assert_eq!(number(&status, "/rows/stored"), 60);
    assert_eq!(number(&gateway.status(), "/calls/logged"), 60);
}

/// K24: what is no record is a row all the same, and holds nothing up.
#[test]
fn a_message_that_is_no_json_is_a_quarantined_row() {
    let topic = kafka::topic(&kafka::brokers(), "poison", 1);
    let weir = Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{}] }}\ndrain: {{ topics: [{topic}] }}\n",
        kafka::brokers()
    ));
    let answers = weir.dir.join("answers.jsonl").display().to_string();
    python::run(&["producer.py", "flask", &kafka::brokers(), &topic, "20", &answers]);
    python::run(&["producer.py", "poison", &kafka::brokers(), &topic, "1", &answers]);
    python::run(&["producer.py", "fastapi", &kafka::brokers(), &topic, "20", &answers]);
    weir.drain();
    let report = weir.verify();
    assert_eq!(rows(&report), 41, "{report:#}");
    assert_eq!(report["tables"][&topic]["quarantined"], Value::from(1), "{report:#}");
}

/// What Flask with kafka-python and FastAPI with aiokafka publish by hand is drained by a weir that has no routes.
#[test]
fn topics_of_other_producers_become_the_same_kind_of_table() {
    let topic = kafka::topic(&kafka::brokers(), "foreign", 2);
    let weir = Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{}] }}\ndrain: {{ topics: [{topic}] }}\n",
        kafka::brokers()
    ))
    .start();
    let answers = weir.dir.join("answers.jsonl");
    let out = answers.display().to_string();
    for kind in ["flask", "fastapi"] {
        python::run(&["producer.py", kind, &kafka::brokers(), &topic, "150", &out]);
    }
    weir.drain();
    let report = weir.verify();
    let table = &report["tables"][&topic];
    assert_eq!(table["rows"], Value::from(300), "{report:#}");
    assert_eq!(table["quarantined"], Value::from(0), "{report:#}");
    for engine in ["duckdb", "polars", "pyarrow"] {
        read_with(engine, &answers, &weir.parquet().join(&topic).display().to_string(), None);
    }
}

#[test]
fn drain_once_reads_a_topic_without_a_running_process() {
    let topic = kafka::topic(&kafka::brokers(), "once", 2);
    let weir = Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{}] }}\ndrain: {{ topics: [{topic}] }}\n",
        kafka::brokers()
    ));
    let answers = weir.dir.join("answers.jsonl").display().to_string();
    python::run(&["producer.py", "flask", &kafka::brokers(), &topic, "40", &answers]);
    weir.drain();
    assert_eq!(rows(&weir.verify()), 40);
    // Again: nothing is at hand, nothing is doubled.
    weir.drain();
    assert_eq!(rows(&weir.verify()), 40);
}
