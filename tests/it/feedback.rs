//! Feedback through the real binary: what is posted at a route's feedback path is a row of a table of its own, joined with the
//! predictions by the README's own words; or it is refused, or counted.

use serde_json::{Value, json};

use crate::kafka_path::read_topic_as;
use crate::protobuf;
use crate::redaction::found;
use crate::support::http::{Answer, Client};
use crate::support::model::Model;
use crate::support::weir::{Weir, balanced, number, rows};
use crate::support::{kafka, parquet, python, until};

const CANARY: &str = "canary-91c07d@example.com";
const CONTROL: &str = "control-5be2f0-kept-as-it-is";

const README: &str = include_str!("../../README.md");

pub fn deployment(model: &Model, more: &str) -> Weir {
    Weir::new(&format!("routes: {{ churn: {{ upstream: {}, feedback: /feedback }} }}\n{more}", model.url()))
}

/// Predicts; the answer's `x-weir-id`.
pub fn predict(client: &mut Client, body: &Value) -> String {
    let answer = client.post("/echo", body.to_string().as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200);
    answer.header("x-weir-id").expect("x-weir-id").to_owned()
}

fn post(client: &mut Client, body: &Value) -> Answer {
    client.post("/feedback", body.to_string().as_bytes()).expect("an answer")
}

/// The README's query that joins predictions and truth.
fn readme_sql() -> &'static str {
    let block = README.split("```sql\n").skip(1).find(|block| block.contains("churn.feedback")).expect("the query");
    block.split("```").next().expect("its end")
}

/// A query's rows, as DuckDB answers it in the deployment's folder.
fn ask(weir: &Weir, sql: &str) -> Value {
    let sql = sql.replace("weir-data/", &format!("{}/", weir.dir.join("weir-data").display()));
    serde_json::from_str(&python::run(&["sql.py", &sql])).expect("JSON")
}

#[test]
fn truth_is_joined_with_its_predictions_by_the_query_of_the_readme() {
    let model = Model::start();
    let weir = deployment(&model, "").start();
    let mut client = weir.client();
    // The model is right but for one row of the batch.
    let (mut singles, mut sent) = (Vec::new(), 0);
    for n in 0..10 {
        singles.push((predict(&mut client, &json!({"x": n, "churned": n >= 5})), n >= 5));
    }
    let batch = predict(&mut client, &json!([{"x": 10, "churned": false}, {"x": 11, "churned": true}]));
    for (id, churned) in &singles {
        let answer =
            post(&mut client, &json!({"id": id, "truth": {"churned": churned}, "metadata": {"source": "crm"}}));
        assert_eq!((answer.status, answer.json()), (202, json!({"accepted": 1, "id": id})));
        sent += 1;
    }
    let ids = [format!("{batch}_0"), format!("{batch}_1")];
    let both =
        json!([{"id": ids[0], "truth": {"churned": true}}, {"id": ids[1], "truth": {"churned": true}, "reward": 1}]);
    let answer = post(&mut client, &both);
    assert_eq!((answer.status, answer.json()), (202, json!({"accepted": 2, "ids": ids})));
    sent += 2;

    let (status, report) = weir.settle();
    assert_eq!((number(&status, "/feedback/seen"), number(&status, "/feedback/logged")), (sent, sent));
    assert_eq!(number(&status, "/calls/seen"), 11, "feedback is no call");
    assert_eq!(model.requests.load(std::sync::atomic::Ordering::SeqCst), 11, "feedback is not forwarded");
    assert_eq!(report["tables"]["churn.feedback"]["rows"], json!(sent));
    assert_eq!(rows(&report), 12 + sent);
    assert_eq!(ask(&weir, readme_sql()), json!([[12, 11.0 / 12.0]]), "{}", readme_sql());
    let typed = "select typeof(truth.churned), typeof(reward), count(reward), any_value(metadata['source']), min(row_index), \
                 max(row_index) from read_parquet('weir-data/parquet/churn.feedback/**/*.parquet', union_by_name=true) group by all";
    assert_eq!(ask(&weir, typed), json!([["BOOLEAN", "DOUBLE", 1, "crm", 0, 1]]));
    let text = String::from_utf8(weir.cli(&["status"]).stdout).expect("text");
    assert!(text.contains("feedback seen 12 = logged 12 + pending 0 + dropped 0"), "{text}");
    let metrics = Client::new(weir.admin()).get("/metrics").expect("metrics");
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("weir_feedback_total{state=\"logged\"} 12"), "{metrics}");
}

#[test]
fn what_is_no_feedback_is_refused_and_never_forwarded() {
    let model = Model::start();
    let weir = Weir::new(&format!(
        "routes: {{ churn: {{ upstream: {}, path: /p, feedback: /p/feedback, capture: {{ body: 1KiB }} }} }}\n",
        model.url()
    ))
    .start();
    let mut client = weir.client();
    let mut send = |method: &str, body: &str| {
        let answer = client.send(method, "/p/feedback", &[], body.as_bytes()).expect("an answer");
        let said = answer.json();
        let message = said["error"]["message"].as_str().expect("a message").to_owned();
        assert_eq!(answer.header("x-weir-error"), said["error"]["code"].as_str());
        (answer.status, message)
    };
    let (status, why) = send("POST", r#"{"id":"7","truth":1}"#);
    assert!(status == 400 && why.contains("`x-weir-id`"), "{status} {why}");
    let (status, why) = send("POST", &format!(r#"[{{"truth":"{}"}}]"#, "x".repeat(2000)));
    assert!(status == 413 && why.contains("`capture.body`"), "{status} {why}");
    let (status, why) = send("GET", "");
    assert!(status == 405 && why.contains("POST"), "{status} {why}");

    let status = weir.status();
    assert_eq!(number(&status, "/feedback/seen") + number(&status, "/calls/seen"), 0, "{status:#}");
    assert_eq!(model.requests.load(std::sync::atomic::Ordering::SeqCst), 0);
    let metrics = Client::new(weir.admin()).get("/metrics").expect("metrics");
    assert!(String::from_utf8_lossy(&metrics.body).contains("weir_refused_total{why=\"feedback\"} 3"));
    // Beside the path the route's requests are the model's.
    assert_eq!(client_status(&weir, "/p/feedback/x"), 200);
    assert_eq!(model.requests.load(std::sync::atomic::Ordering::SeqCst), 1);
}

fn client_status(weir: &Weir, path: &str) -> u16 {
    weir.client().post(path, br#"{"x":1}"#).expect("an answer").status
}

#[test]
fn seldon_s_clients_send_feedback_where_they_always_did() {
    let model = Model::start();
    let weir = deployment(&model, "").start();
    let mut client = weir.client();
    let request = json!({"meta": {"puid": "p-7"}, "data": {"ndarray": [[1.0, 2.0]]}});
    let path = "/seldon/ns/dep/api/v1.0";
    let answer = client.post(&format!("{path}/predictions"), request.to_string().as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200);
    let feedback = json!({"request": request, "response": {"meta": {"puid": "p-7"}}, "reward": 1.0, "truth": {"data": {"ndarray": [[1]]}}});
    let answer = client.post(&format!("{path}/feedback"), feedback.to_string().as_bytes()).expect("an answer");
    assert_eq!((answer.status, answer.json()), (200, json!({"meta": {"puid": "p-7"}})));
    let (status, _) = weir.settle();
    assert_eq!((number(&status, "/calls/seen"), number(&status, "/feedback/logged")), (1, 1));
    let joined = "select p.protocol, f.truth.y0, f.reward from read_parquet('weir-data/parquet/churn/**/*.parquet') p \
                  join read_parquet('weir-data/parquet/churn.feedback/**/*.parquet') f using (client_request_id)";
    assert_eq!(ask(&weir, joined), json!([["seldon", 1.0, 1.0]]));
}

#[test]
fn a_full_log_refuses_feedback_aloud_and_counts_it() {
    let model = Model::start();
    let log = "log: { segment: 16KiB, max_size: 64KiB, reserve_free: 0B, sync: 10ms }\n";
    let mut weir = deployment(&model, log);
    // Nothing is stored, so that the log fills.
    weir.up_with(Some("drain_before_create=pause"));
    let mut client = weir.client();
    let truth = "t".repeat(4000);
    let id = predict(&mut client, &json!({"x": 1}));
    let (mut kept, mut refused) = (0, 0);
    until("the log is full", || {
        let answer = post(&mut client, &json!([{"id": id, "truth": truth}, {"id": id, "reward": 1}]));
        match answer.status {
            202 => kept += 2,
            503 => {
                assert_eq!(
                    (answer.header("x-weir-error"), answer.header("retry-after")),
                    (Some("log_full"), Some("1"))
                );
                refused += 2;
            }
            other => panic!("{other}: {}", answer.json()),
        }
        refused > 4
    });
    let status = weir.status();
    balanced(&status);
    assert_eq!((number(&status, "/feedback/logged"), number(&status, "/feedback/dropped/log_full")), (kept, refused));
    weir.kill();
    weir.up();
    let (status, report) = weir.settle();
    assert_eq!((number(&status, "/feedback/seen"), number(&status, "/feedback/logged")), (kept + refused, kept));
    assert_eq!(report["tables"]["churn.feedback"]["rows"], json!(kept));
}

#[test]
fn with_kafka_feedback_has_a_topic_of_its_own_and_the_same_table() {
    let model = Model::start();
    let topic = kafka::topic(&kafka::brokers(), "fed", 2);
    let weir = Weir::new(&format!(
        "routes: {{ churn: {{ upstream: {}, model: {topic}, feedback: /feedback }} }}\n\
         kafka: {{ brokers: [{}], key: id, format: protobuf, create_topics: {{ partitions: 2, replication: 1 }} }}\n",
        model.url(),
        kafka::brokers()
    ))
    .start();
    let mut client = weir.client();
    let ids: Vec<String> = (0..20).map(|n| predict(&mut client, &json!({"x": n}))).collect();
    weir.settle();
    // A topic without feedback yet is not missed.
    weir.is_well();
    let checks = weir.cli_json(&["check"])["checks"].to_string();
    assert!(
        checks.contains(&format!("{topic}.feedback will be created")) && checks.contains("feedback at /feedback"),
        "{checks}"
    );

    for id in &ids {
        assert_eq!(post(&mut client, &json!({"id": id, "truth": {"churned": true}})).status, 202);
    }
    let feedback = format!("{topic}.feedback");
    let mut report = Value::Null;
    until("all feedback is stored", || {
        let (status, settled) = weir.settle();
        report = settled;
        number(&status, "/rows/stored") == 40
    });
    assert_eq!(report["tables"][&feedback]["rows"], json!(20));
    let joined = format!(
        "select count(*), bool_and(f.truth.churned), bool_and(cast(f._key as text) = f.id) \
         from read_parquet('weir-data/parquet/{topic}/**/*.parquet') p \
         join read_parquet('weir-data/parquet/{feedback}/**/*.parquet') f using (id)"
    );
    assert_eq!(ask(&weir, &joined), json!([[20, true, true]]));
    assert_eq!(read_topic_as("application/x-protobuf", &kafka::brokers(), &feedback, 2).len(), 20);
    for record in protobuf::records(&feedback, 20) {
        assert_eq!((&record["model_name"], &record["truth"]), (&json!(topic), &json!({"churned": true})), "{record}");
    }
}

#[test]
fn what_is_not_to_be_kept_of_a_truth_is_in_no_file() {
    let model = Model::start();
    let mut weir = Weir::new(&format!(
        "routes: {{ churn: {{ upstream: {}, feedback: /feedback, redact: {{ outputs.note: drop, truth.mail: {{ mask: [email] }} }} }} }}\n",
        model.url()
    ));
    weir.up_with(Some("drain_before_create=pause"));
    let mut client = weir.client();
    let id = predict(&mut client, &json!({"x": 1}));
    let truth = json!({"note": CANARY, "mail": format!("from {CANARY}"), "kept": CONTROL});
    let answer = post(&mut client, &json!({"id": id, "truth": truth, "metadata": {"note": CANARY}}));
    assert_eq!(answer.status, 202);
    for hidden in [json!([{"name": "note", "value": CANARY}]), json!(CANARY)] {
        let answer = post(&mut client, &json!({"id": id, "truth": hidden}));
        assert_eq!(answer.status, 400);
        assert!(!answer.json().to_string().contains(CANARY));
    }
    assert!(
        !found(&weir.dir.join("weir-data/log"), CONTROL).is_empty(),
        "the log is not searched: the test tests nothing"
    );
    assert_eq!(found(&weir.dir, CANARY), Vec::<String>::new(), "in the log");
    weir.kill();
    weir.up();
    weir.settle();
    assert_eq!(found(&weir.dir, CANARY), Vec::<String>::new(), "in the files");
    let stored: Vec<String> =
        parquet::rows(&weir.parquet().join("churn.feedback")).iter().map(ToString::to_string).collect();
    assert!(stored.len() == 1 && stored[0].contains(CONTROL) && stored[0].contains("from [email]"), "{stored:?}");
    assert!(!stored[0].contains(CANARY), "{stored:?}");
}

#[test]
fn what_a_process_held_when_it_died_is_counted_as_a_crash() {
    let model = Model::start();
    let mut weir = deployment(&model, "").start();
    let id = predict(&mut weir.client(), &json!({"x": 1}));
    assert_eq!(post(&mut weir.client(), &json!({"id": id, "truth": 1})).status, 202);
    weir.settle();
    weir.kill();
    // The log takes nothing in this life.
    weir.up_with(Some("log.roll=pause"));
    let mut client = weir.client();
    let said = json!([{"id": id, "truth": 2}, {"id": id, "truth": 3}]).to_string();
    let unanswered = std::thread::spawn(move || client.post("/feedback", said.as_bytes()).is_err());
    until("it is seen", || number(&weir.status(), "/feedback/pending") == 2);
    weir.kill();
    assert!(unanswered.join().expect("a client"), "nothing is answered before it is in the log");
    weir.up();
    let (status, report) = weir.settle();
    assert_eq!((number(&status, "/feedback/seen"), number(&status, "/feedback/dropped/crash")), (3, 2), "{status:#}");
    assert_eq!(report["tables"]["churn.feedback"]["rows"], json!(1));
}
