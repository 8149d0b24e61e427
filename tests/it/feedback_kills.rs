//! Feedback and kill -9: what was answered is stored once, what was seen and not kept is counted, without Kafka and with it.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::feedback::{deployment, predict};
use crate::support::http::{Answer, Client};
use crate::support::model::Model;
use crate::support::weir::{Weir, balanced, number};
use crate::support::{kafka, parquet, until};

/// Posts feedback until the process dies; what was taken, by its ids.
fn feed(weir: &Weir, client_number: u64, call: String) -> std::thread::JoinHandle<(u64, Vec<String>)> {
    let address = weir.address();
    std::thread::spawn(move || {
        let mut client = Client::new(address);
        let (mut tried, mut taken) = (0, Vec::new());
        for n in 0_u64.. {
            let id = |row: u64| format!("{call}_{}", client_number * 100_000_000 + n * 10 + row);
            let said: Vec<Value> = (0..1 + n % 3).map(|row| json!({"id": id(row), "truth": row})).collect();
            tried += said.len() as u64;
            match post_or_end(&mut client, &Value::Array(said)) {
                Some(answer) => {
                    assert_eq!(answer.status, 202, "{}", answer.json());
                    taken.extend(
                        answer.json()["ids"]
                            .as_array()
                            .expect("ids")
                            .iter()
                            .map(|id| id.as_str().expect("an id").to_owned()),
                    );
                }
                None => break,
            }
        }
        (tried, taken)
    })
}

fn post_or_end(client: &mut Client, body: &Value) -> Option<Answer> {
    client.post("/feedback", body.to_string().as_bytes()).ok()
}

/// What the clients of all lives tried to say, and what of it was answered.
#[derive(Default)]
struct Said {
    tried: u64,
    taken: Vec<String>,
}

impl Said {
    fn add(&mut self, clients: Vec<std::thread::JoinHandle<(u64, Vec<String>)>>) {
        for client in clients {
            let (tried, ids) = client.join().expect("a client");
            self.tried += tried;
            self.taken.extend(ids);
        }
    }

    /// The oracle: `status` of the gateway, the ids that are stored.
    fn account(&self, status: &Value, stored: &[String]) {
        let (seen, logged) = (number(status, "/feedback/seen"), number(status, "/feedback/logged"));
        let crashed = status.pointer("/feedback/dropped/crash").and_then(Value::as_u64).unwrap_or(0);
        assert_eq!(seen, logged + crashed, "{status:#}");
        let (tried, answered) = (self.tried, self.taken.len());
        assert!(
            seen <= tried && logged >= answered as u64,
            "{seen} of {tried} seen, {logged} logged, {answered} answered"
        );
        let unique: HashSet<&String> = stored.iter().collect();
        assert_eq!(
            (stored.len(), unique.len()),
            (logged as usize, logged as usize),
            "a feedback is stored twice, or not"
        );
        assert!(self.taken.iter().all(|id| unique.contains(id)), "an answered feedback is not stored");
    }
}

#[test]
fn what_was_answered_survives_kill_9_and_the_rest_is_counted() {
    let model = Model::start();
    let mut weir = deployment(&model, "store: { roll: { size: 64KiB, every: 1s } }\n").start();
    let call = predict(&mut weir.client(), &json!({"x": 1}));
    let mut said = Said::default();
    for life in 0..6 {
        if life > 0 {
            weir.up();
        }
        balanced(&weir.status());
        die_while_fed(&mut weir, life, &call, &mut said);
    }
    weir.up();
    let (status, report) = weir.settle();
    let stored = parquet::column(&weir.parquet().join("churn.feedback"), "id");
    said.account(&status, &stored);
    assert_eq!(report["tables"]["churn.feedback"]["rows"], json!(stored.len()));
    assert_eq!(number(&status, "/calls/seen"), 1);
}

/// kill -9 while clients post.
fn die_while_fed(weir: &mut Weir, life: u64, call: &str, said: &mut Said) {
    let before = number(&weir.status(), "/feedback/logged");
    let clients: Vec<_> = (0..3).map(|client| feed(weir, life * 3 + client, call.to_owned())).collect();
    until("feedback is logged", || number(&weir.status(), "/feedback/logged") > before + 40);
    weir.kill();
    said.add(clients);
}

/// Where a gateway dies with feedback on its way to Kafka; the numbers are those of `crash_points.rs`.
const DEATHS: [&str; 6] = [
    "log.append=20*off->panic",
    "log.sync=3*off->panic",
    "publish_sent=panic", // K28: sent, not acknowledged
    "publish_sent=5*off->panic",
    "publish_acked=panic",
    "log.cursor=panic", // K28: acknowledged, the cursor not written
];

#[test]
fn with_kafka_it_survives_death_at_each_step_to_the_topic() {
    let model = Model::start();
    let topic = kafka::topic(&kafka::brokers(), "fed-killed", 1);
    let feedback = format!("{topic}.feedback");
    let mut weir = Weir::new(&format!(
        "roles: [gateway]\nroutes: {{ churn: {{ upstream: {}, model: {topic}, feedback: /feedback }} }}\n\
         kafka: {{ brokers: [{}], format: protobuf, create_topics: {{ partitions: 2, replication: 1 }} }}\n",
        model.url(),
        kafka::brokers()
    ))
    .start();
    let call = predict(&mut weir.client(), &json!({"x": 1}));
    let mut said = Said::default();
    die_while_fed(&mut weir, 0, &call, &mut said);
    for (life, point) in (1..).zip(DEATHS) {
        // With a backlog it may die before it serves.
        let clients = match weir.up_to_die(point) {
            true => (0..3).map(|client| feed(&weir, life * 3 + client, call.clone())).collect(),
            false => Vec::new(),
        };
        weir.until_dead(point);
        said.add(clients);
    }
    weir.up();
    die_while_fed(&mut weir, 1 + DEATHS.len() as u64, &call, &mut said);
    weir.up();
    until("all is on the topic", || {
        let status = weir.status();
        number(&status, "/feedback/pending") + number(&status, "/rows/backlog") == 0
    });
    let status = weir.status();
    balanced(&status);

    let drain = Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{}] }}\ndrain: {{ topics: [{feedback}] }}\n",
        kafka::brokers()
    ));
    let drained = drain.drain_alone();
    balanced(&drained);
    let stored = parquet::column(&drain.parquet().join(&feedback), "id");
    said.account(&status, &stored);
    assert_eq!(drain.verify()["tables"][&feedback]["rows"], json!(stored.len()));
}
