//! Model servers that write their predictions to Kafka by themselves, as people do today: weir drains the topic, and nothing of the servers changes.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::path::read_with;
use crate::support::http::Client;
use crate::support::kafka::{brokers, topic};
use crate::support::python::Server;
use crate::support::until;
use crate::support::weir::{Weir, balanced, number, rows};

/// Asks the server `count` times, and notes what it was sent and what it answered, with the id that it gave the record.
fn ask(server: &Server, answers: &mut std::fs::File, count: u64) {
    let mut client = Client::new(server.address);
    for n in 0..count {
        let plan = ["basic", "plus", "pro"][n as usize % 3];
        let sent = json!({
            "age": 18 + n % 60,
            "monthly_charge": 5.25 + n as f64 / 7.0,
            "tenure_months": n % 72,
            "plan": plan,
            "has_partner": n % 2 == 0,
        });
        let answer = client.post("/predict", sent.to_string().as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        // As it came: a float that was read and written anew may be another one.
        let (id, got) = (answer.header("x-record-id").expect("the id"), String::from_utf8_lossy(&answer.body));
        writeln!(answers, r#"{{"id":"{id}","status":200,"sent":{sent},"got":{}}}"#, got.trim()).expect("written");
    }
    assert_eq!(client.post("/flush", b"{}").expect("an answer").status, 200);
}

#[test]
fn what_flask_and_fastapi_apps_write_to_kafka_by_themselves_is_drained_row_for_row() {
    let brokers = brokers();
    let (flask, fastapi) = (topic(&brokers, "flask-app", 2), topic(&brokers, "fastapi-app", 2));
    let weir = Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{brokers}] }}\ndrain: {{ topics: [{flask}, {fastapi}] }}\n"
    ))
    .start();
    let apps =
        [(&flask, Server::flask_producer(&brokers, &flask)), (&fastapi, Server::fastapi_producer(&brokers, &fastapi))];
    let mut answers = Vec::new();
    for (topic, server) in &apps {
        let path = weir.dir.join(format!("{topic}.jsonl"));
        ask(server, &mut std::fs::File::create(&path).expect("a file"), 120);
        answers.push(path);
    }
    until("both topics are at hand or stored", || {
        weir.drain_running();
        number(&weir.status(), "/rows/stored") == 240
    });
    let status = weir.status();
    balanced(&status);
    let report = weir.verify();
    assert_eq!(rows(&report), 240, "{report:#}");
    for ((topic, _), answers) in apps.iter().zip(&answers) {
        let table = &report["tables"][topic.as_str()];
        assert_eq!((&table["rows"], &table["quarantined"]), (&Value::from(120), &Value::from(0)), "{report:#}");
        for engine in ["duckdb", "polars", "pyarrow"] {
            read_with(engine, answers, &weir.parquet().join(topic.as_str()).display().to_string(), None);
        }
    }
}
