//! A deployment that grows: another partitioning.

use std::path::{Path, PathBuf};

use crate::path::{answered, ask, read_with};
use crate::support::model::Model;
use crate::support::python::Server;
use crate::support::weir::{Weir, rows};

/// Every Parquet file below a folder, relative to it.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "parquet") {
                found.push(path.strip_prefix(root).expect("it is below").to_path_buf());
            }
        }
    }
    found
}

fn post(weir: &Weir, count: u64) {
    let mut client = weir.client();
    for n in 0..count {
        assert_eq!(client.post("/predict", format!(r#"{{"x":{n}}}"#).as_bytes()).expect("an answer").status, 200);
    }
}

/// Folders of the day and hour, or none at all: every engine reads them with the line of `weir schema`.
#[test]
fn tables_are_partitioned_by_the_hour_or_not_at_all() {
    let server = Server::fastapi();
    for (partition, depth) in [("hour", 3), ("none", 1)] {
        let weir = Weir::new(&format!(
            "routes: {{ churn: {{ upstream: http://{} }} }}\nstore: {{ partition: {partition} }}\n",
            server.address
        ))
        .start();
        let answers = weir.dir.join("answers.jsonl");
        ask(&weir, "httpx", "5", &answers, &[]);
        let (_, report) = weir.settle();
        assert_eq!(rows(&report), answered(&answers), "{partition}: {report:#}");
        let table = weir.parquet().join("churn");
        for file in files(&table) {
            let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            assert_eq!(parts.len(), depth, "{partition}: {parts:?}");
            assert!(depth == 1 || (parts[0].starts_with("dt=20") && parts[1].starts_with("hour=")), "{parts:?}");
        }
        let schema = weir.cli_json(&["schema", "churn"]);
        for engine in ["duckdb", "polars", "pyarrow"] {
            let line = schema["read"][engine].as_str().expect("a reading line");
            read_with(engine, &answers, &table.display().to_string(), Some(line));
        }
    }
}

/// A table keeps the partitioning that it began with, and says so.
#[test]
fn another_partitioning_waits_for_a_new_generation() {
    let model = Model::start();
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\n", model.url())).start();
    post(&weir, 10);
    weir.settle();
    weir.term();
    weir.more("store: { partition: none }\n");
    weir.up();
    post(&weir, 10);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), 20, "{report:#}");
    assert!(files(&weir.parquet().join("m")).iter().all(|file| file.iter().count() == 2), "the day's folder");
    assert!(weir.stderr().contains("stays so until a new generation"), "{}", weir.stderr());
}
