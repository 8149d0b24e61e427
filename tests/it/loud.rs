//! What was lost is said aloud: a store that was emptied is refused, and the printed command is the way on.

use crate::copies::refusal;
use crate::outage::waiting;
use crate::support::model::Model;
use crate::support::weir::{Weir, number, rows};

#[test]
fn an_emptied_store_is_refused_while_predictions_go_on_and_a_new_generation_is_the_way_on() {
    let model = Model::start();
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\n", model.url())).start();
    weir.post(30);
    weir.settle();
    weir.term();
    std::fs::remove_dir_all(weir.parquet()).expect("the folder goes");

    weir.up();
    weir.post(12);
    let said = refusal(&weir);
    // In the log.
    waiting(&weir, 12);
    assert_eq!(number(&weir.status(), "/rows/stored"), 0, "nothing is stored beside what is missing: {said}");
    let refused = weir.cli(&["drain", "--once", "--new-generation"]);
    assert_eq!(refused.status.code(), Some(1), "a running process holds the log");

    weir.term();
    let output = weir.cli(&["drain", "--once", "--new-generation"]);
    let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words}");
    let report = weir.verify();
    assert_eq!(rows(&report), 12, "{report:#}");
    weir.up();
    weir.post(5);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), 17, "{report:#}");
    weir.is_well();
}
