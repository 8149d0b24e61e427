//! The whole path behind real Python model servers: every answer is one typed row, values equal bit for bit.

use std::path::Path;

use serde_json::Value;

use crate::support::python::{self, Server};
use crate::support::weir::{Weir, number, rows};

/// Calls per client library.
const CALLS: &str = "40";

pub fn ask(weir: &Weir, library: &str, seed: &str, answers: &Path, more: &[&str]) {
    let url = format!("http://{}/predict", weir.address());
    let out = answers.display().to_string();
    let mut arguments = vec!["client.py", library, &url, CALLS, seed, &out];
    arguments.extend_from_slice(more);
    python::run(&arguments);
}

/// Rows that the client was answered.
pub fn answered(answers: &Path) -> u64 {
    let text = std::fs::read_to_string(answers).expect("answers");
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line")["sent"].as_array().map_or(1, Vec::len) as u64)
        .sum()
}

pub fn read_with(engine: &str, answers: &Path, folder: &str, sql: Option<&str>) {
    let answers = answers.display().to_string();
    let mut arguments = vec!["read.py", engine, &answers, folder];
    arguments.extend(sql);
    python::run(&arguments);
}

fn through(server: &Server) {
    let weir = Weir::new(&format!("routes: {{ churn: {{ upstream: http://{} }} }}\n", server.address)).start();
    let answers = weir.dir.join("answers.jsonl");
    for (seed, library) in ["requests", "httpx", "aiohttp"].iter().enumerate() {
        ask(&weir, library, &seed.to_string(), &answers, &[]);
    }
    let (status, report) = weir.settle();
    assert_eq!(rows(&report), answered(&answers));
    assert_eq!(number(&status, "/rows/stored"), answered(&answers));
    assert_eq!(number(&status, "/rows/quarantined"), 0);
    let table = weir.parquet().join("churn");
    for engine in ["duckdb", "polars", "pyarrow"] {
        read_with(engine, &answers, &table.display().to_string(), None);
    }

    // A field is added half way: the reading line of `weir schema` still gives every row.
    ask(&weir, "httpx", "77", &answers, &["--region"]);
    weir.settle();
    let schema = weir.cli_json(&["schema", "churn"]);
    for engine in ["duckdb", "polars", "pyarrow"] {
        let line = schema["read"][engine].as_str().expect("a reading line");
        read_with(engine, &answers, &table.display().to_string(), Some(line));
    }
}

#[test]
fn fastapi_under_uvicorn_becomes_typed_rows() {
    through(&Server::fastapi());
}

#[test]
fn flask_under_gunicorn_becomes_typed_rows() {
    through(&Server::flask());
}
