//! What was lost is said aloud: a store that was emptied is refused, and the printed command is the way on.

use serde_json::Value;

use crate::support::model::Model;
use crate::support::until;
use crate::support::weir::{Weir, number, rows};

fn post(weir: &Weir, count: u64) {
    let mut client = weir.client();
    for n in 0..count {
        assert_eq!(client.post("/predict", format!(r#"{{"x":{n}}}"#).as_bytes()).expect("an answer").status, 200);
    }
}

#[test]
fn an_emptied_store_is_refused_while_predictions_go_on_and_a_new_generation_is_the_way_on() {
    let model = Model::start();
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\n", model.url())).start();
    post(&weir, 30);
    weir.settle();
    weir.term();
    std::fs::remove_dir_all(weir.parquet()).expect("the folder goes");

    weir.up();
    post(&weir, 12);
    let mut said = String::new();
    until("the refusal is told", || {
        said = weir.status()["trouble"].to_string();
        said.contains("--new-generation")
    });
    assert_eq!(number(&weir.status(), "/rows/stored"), 0, "nothing is stored beside what is missing: {said}");
    assert_eq!(number(&weir.status(), "/rows/backlog"), 12, "the rows wait in the log");
    let refused = weir.cli(&["drain", "--once", "--new-generation"]);
    assert_eq!(refused.status.code(), Some(1), "a running process holds the log");

    weir.term();
    let output = weir.cli(&["drain", "--once", "--new-generation"]);
    let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words}");
    let report = weir.verify();
    assert_eq!(rows(&report), 12, "{report:#}");
    weir.up();
    post(&weir, 5);
    let (status, report) = weir.settle();
    assert_eq!(rows(&report), 17, "{report:#}");
    assert_eq!(status["trouble"], Value::Array(Vec::new()));
}
