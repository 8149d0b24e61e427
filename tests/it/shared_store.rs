//! Two gateways on one store, and a second log on an old folder: nothing lost, nothing adopted that is not its own.

use crate::support::model::Model;
use crate::support::weir::{Weir, rows};

#[test]
fn two_gateways_share_one_folder() {
    let model = Model::start();
    let shared = tempfile::tempdir().expect("a folder");
    let yaml =
        format!("routes: {{ m: {{ upstream: {} }} }}\nstore: {{ to: {} }}\n", model.url(), shared.path().display());
    let (one, two) = (Weir::new(&yaml).start(), Weir::new(&yaml).start());
    one.post(40);
    two.post(25);
    one.drain();
    two.drain();
    one.post(10);
    one.settle();
    let (_, report) = two.settle();
    assert_eq!(rows(&report), 75);
    assert_eq!(report["tables"]["m"]["partitions"].as_object().expect("partitions").len(), 2);
}

#[test]
fn a_new_log_on_an_old_folder_starts_a_chain_of_its_own() {
    let model = Model::start();
    let yaml = format!("routes: {{ m: {{ upstream: {} }} }}\n", model.url());
    let mut weir = Weir::new(&yaml).start();
    weir.post(30);
    weir.settle();
    assert!(weir.term().success());
    // The log is gone (another machine, an emptied disk); the Parquet is still there.
    std::fs::remove_dir_all(weir.dir.join("weir-data/log")).expect("the log");
    std::fs::remove_file(weir.dir.join("weir-data/ledger")).expect("the ledger");
    weir.up();
    weir.post(12);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), 42);
    assert_eq!(report["tables"]["m"]["partitions"].as_object().expect("partitions").len(), 2);
}

#[test]
fn a_second_process_on_one_data_dir_is_refused_with_the_holders_pid() {
    let model = Model::start();
    let weir = Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\n", model.url())).start();
    let output = weir.cli(&["run"]);
    assert_eq!(output.status.code(), Some(1), "the configuration is right, the folder is in use");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains(&weir.pid().to_string()), "{words}");
}
