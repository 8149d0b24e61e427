//! `kafka: { format: protobuf }`: what others read on the topic, and what the drain makes of it, against the same in JSON.

use std::collections::BTreeMap;
use std::path::Path;

use parquet::record::Field;
use serde_json::{Value, json};

use crate::support::model::Model;
use crate::support::weir::{Weir, number};
use crate::support::{kafka, parquet as files, python, until};

/// Columns that differ between two runs of one record: ids, times, and where it stood.
const OF_THE_RUN: [&str; 12] = [
    "id",
    "request_id",
    "occurred_at",
    "latency_ms",
    "upstream_ms",
    "ttfb_ms",
    "model_name",
    "_source",
    "_seq",
    "_topic",
    "_partition",
    "_offset",
];

fn deployment(topic: &str, format: &str, more: &str, model: &Model) -> Weir {
    Weir::new(&format!(
        "routes: {{ churn: {{ upstream: {}, model: {topic} }} }}\nkafka: {{ brokers: [{}], format: {format} }}\n{more}",
        model.url(),
        kafka::brokers()
    ))
}

/// Numbers of every size, texts, lists, objects, what has no column, and deeper nesting than a protobuf reader takes.
fn bodies() -> Vec<Value> {
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let plans = ["basic", "größe \" \\ ✓", ""];
    let mut bodies: Vec<Value> = (0..20)
        .map(|n| {
            json!({
                "x": n, "price": f64::from(n) * 0.1, "small": 1e-7 * f64::from(n), "big": 9_007_199_254_740_993_u64 + n as u64,
                "plan": plans[n as usize % 3], "yes": n % 2 == 0, "nothing": null,
                "ints": [n, -n, 300], "doubles": [0.5, f64::from(n) / 3.0], "mixed": [1, 0.5, "a", null],
                "nested": {"a": {"b": [{"c": n}]}}, "matrix": [[1.5, 2.5], [3.5, 4.5]]
            })
        })
        .collect();
    bodies.push(json!({"x": 20, "deep": deep}));
    bodies.push(json!([{"x": 21, "plan": "a"}, {"x": 22, "plan": 7}]));
    // As whoever reads their text has them.
    bodies.iter().map(|body| serde_json::from_str(&body.to_string()).expect("JSON")).collect()
}

fn post(weir: &Weir, bodies: &[Value]) {
    let mut client = weir.client();
    for body in bodies {
        assert_eq!(client.post("/predict", body.to_string().as_bytes()).expect("an answer").status, 200);
    }
}

/// The predictions of a topic by `inputs.x`.
fn read_by_python(topic: &str, count: usize) -> BTreeMap<u64, Value> {
    records(topic, count).into_iter().map(|record| (record["inputs"]["x"].as_u64().expect("x"), record)).collect()
}

/// The records of a topic, as `proto/read.py` prints them with the code of protobuf's own compiler.
pub fn records(topic: &str, count: usize) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let include = proto.display().to_string();
    let files = ["weir/v1/prediction.proto", "weir/v1/feedback.proto"];
    python::run(&["-m", "grpc_tools.protoc", "-I", &include, "--python_out", &out, files[0], files[1]]);
    let script = proto.join("read.py").display().to_string();
    let output = python::python(&[&script, &kafka::brokers(), topic, &count.to_string()])
        .env("PYTHONPATH", &out)
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The table's rows by `inputs.x`, without the columns of the run; of `_raw` only whether it is there, for it holds them.
fn table(weir: &Weir, topic: &str) -> BTreeMap<u64, BTreeMap<String, String>> {
    let row = |row: &parquet::record::Row| {
        let mut columns = BTreeMap::new();
        let mut x = None;
        for (name, field) in row.get_column_iter() {
            if let (true, Field::Group(inputs)) = (name == "inputs", field) {
                x = inputs.get_column_iter().find(|(name, _)| *name == "x").map(|(_, x)| format!("{x}"));
            }
            if !OF_THE_RUN.contains(&name.as_str()) && name != "_timestamp" {
                let told = if name == "_raw" { (*field != Field::Null).to_string() } else { format!("{field:?}") };
                columns.insert(name.clone(), told);
            }
        }
        let x = x.unwrap_or_else(|| panic!("no x: {columns:?}"));
        (x.parse::<f64>().expect("a number") as u64, columns)
    };
    files::rows(&weir.parquet().join(topic)).iter().map(row).collect()
}

#[test]
fn a_protobuf_topic_is_read_by_python_and_drains_to_the_rows_of_a_json_one() {
    let model = Model::start();
    let formats = ["json", "protobuf"];
    let topics = formats.map(|format| kafka::topic(&kafka::brokers(), format, 1));
    let bodies = bodies();
    // All of a topic is drained into one file, so that both tables have their columns from the same rows.
    let drains = [0, 1].map(|at| {
        let gateway = deployment(&topics[at], formats[at], "roles: [gateway]\n", &model).start();
        post(&gateway, &bodies);
        until("all rows are on the topic", || number(&gateway.status(), "/rows/delivered") == 23);
        let drain = Weir::new(&format!(
            "roles: [drain]\nkafka: {{ brokers: [{}] }}\ndrain: {{ topics: [{}] }}\n",
            kafka::brokers(),
            topics[at]
        ));
        drain.drain();
        let report = drain.verify();
        let table = &report["tables"][&topics[at]];
        assert_eq!((&table["rows"], &table["quarantined"]), (&json!(23), &json!(0)), "{report:#}");
        drain
    });
    let [json, protobuf] = [0, 1].map(|at| table(&drains[at], &topics[at]));
    assert_eq!(json.len(), 23);
    assert!(json.values().any(|row| row["_raw"] == "true") && json.values().any(|row| row["outputs"] != "Null"));
    assert_eq!(json, protobuf);

    let [json, protobuf] = [0, 1].map(|at| read_by_python(&topics[at], 23));
    for (x, mut record) in protobuf {
        let mut other = json[&x].clone();
        for field in OF_THE_RUN {
            assert_eq!(record.get(field).is_some(), other.get(field).is_some(), "{field}");
            record[field] = Value::Null;
            other[field] = Value::Null;
        }
        assert_eq!(record, other);
        if let Some(body) = bodies.get(x as usize).filter(|body| body.is_object()) {
            assert_eq!(record["inputs"], *body);
        }
    }
}

#[test]
fn a_topic_that_changes_its_form_midway_stays_one_table() {
    let model = Model::start();
    let topic = kafka::topic(&kafka::brokers(), "switch", 2);
    let mut weir = deployment(&topic, "json", "", &model).start();
    let bodies = bodies();
    post(&weir, &bodies[..10]);
    assert!(weir.term().success());
    let file = weir.dir.join("weir.yaml");
    let yaml = std::fs::read_to_string(&file).expect("weir.yaml");
    std::fs::write(&file, yaml.replace("format: json", "format: protobuf")).expect("weir.yaml");
    weir.up();
    post(&weir, &bodies[10..]);
    let (_, report) = weir.settle();
    assert_eq!(report["tables"][&topic]["rows"], 23, "{report:#}");
    assert_eq!(report["tables"][&topic]["quarantined"], 0, "{report:#}");
    assert_eq!(table(&weir, &topic).into_keys().collect::<Vec<_>>(), (0..23).collect::<Vec<_>>());
    let records = read_by_python(&topic, 23);
    for (x, body) in bodies.iter().enumerate().filter(|(_, body)| body.is_object()) {
        assert_eq!(records[&(x as u64)]["inputs"], *body);
    }
}
