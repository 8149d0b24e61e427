//! A `data_dir` that was copied, or put back from an older backup: no row is lost or doubled, or it is refused and the printed command is the way on.

use std::path::Path;

use crate::support::kafka;
use crate::support::model::Model;
use crate::support::until;
use crate::support::weir::{Weir, number, rows};

/// Copies the log and the ledger of a process that does not run.
fn copy(from: &Path, to: &Path) {
    let _gone = std::fs::remove_dir_all(to.join("log"));
    std::fs::create_dir_all(to).expect("the folder");
    for part in ["log", "ledger"] {
        let copied = std::process::Command::new("cp").arg("-r").arg(from.join(part)).arg(to.join(part)).status();
        assert!(copied.expect("cp runs").success());
    }
}

/// What the running process says that it does not store, which holds the way on.
pub fn refusal(weir: &Weir) -> String {
    let mut said = String::new();
    until("the refusal is told", || {
        said = weir.status()["trouble"].to_string();
        said.contains("--new-generation")
    });
    said
}

/// Runs the command that a refusal printed.
pub fn obey(weir: &Weir, refusal: &str) {
    let command = refusal.split('`').find(|part| part.starts_with("weir drain")).expect("a command");
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let output = weir.cli(&arguments);
    let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command}: {words}");
}

#[test]
fn a_backup_that_was_put_back_is_refused_and_the_way_on_stores_what_is_new() {
    let model = Model::start();
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\n", model.url())).start();
    weir.post(20);
    weir.settle();
    weir.post(10);
    weir.has_logged(30);
    weir.kill();
    let (data, backup) = (weir.dir.join("weir-data"), weir.dir.join("backup"));
    copy(&data, &backup);
    weir.up();
    weir.post(15);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), 45, "{report:#}");
    weir.term();

    // The backup's log ends at row 30, and the files at row 45.
    std::fs::remove_file(data.join("ledger")).expect("the ledger goes");
    copy(&backup, &data);
    weir.up();
    weir.post(5);
    let said = refusal(&weir);
    assert!(said.contains("restored from an older state"), "{said}");
    until("what is new waits behind what the backup did not know as stored", || {
        number(&weir.status(), "/rows/backlog") == 15
    });
    weir.term();
    obey(&weir, &said);
    let report = weir.verify();
    assert_eq!(rows(&report), 50, "the backup's own rows are not stored again: {report:#}");
    weir.up();
    weir.post(4);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), 54, "{report:#}");
    weir.is_well();
}

#[test]
fn of_two_copies_on_one_folder_the_second_waits_until_told_how_to_go_on() {
    let model = Model::start();
    let shared = tempfile::tempdir().expect("a folder");
    let yaml =
        format!("routes: {{ m: {{ upstream: {} }} }}\nstore: {{ to: {} }}\n", model.url(), shared.path().display());
    let mut one = Weir::new(&yaml).start();
    one.post(20);
    one.settle();
    one.term();
    let mut two = Weir::new(&yaml);
    copy(&one.dir.join("weir-data"), &two.dir.join("weir-data"));
    one.up();
    one.post(10);
    one.settle();
    two.up();
    two.post(7);
    let said = refusal(&two);
    assert!(said.contains("copied"), "{said}");
    one.post(3);
    let (_, report) = one.settle();
    assert_eq!(rows(&report), 33, "the first goes on: {report:#}");

    // The copy's rows first, then the first goes on behind them.
    two.term();
    one.term();
    obey(&two, &said);
    assert_eq!(rows(&two.verify()), 40);
    one.up();
    one.post(2);
    let said = refusal(&one);
    one.term();
    obey(&one, &said);
    one.up();
    one.post(1);
    let (_, report) = one.settle();
    assert_eq!(rows(&report), 43, "{report:#}");
    one.is_well();
}

/// Through Kafka both are told apart by the epoch of their start, and what both had not sent yet is known by it.
#[test]
fn two_copies_before_kafka_send_what_both_have_and_it_is_stored_once() {
    let model = Model::start();
    let brokers = kafka::brokers();
    let topic = kafka::name("copied");
    let yaml = format!(
        "roles: [gateway]\nroutes: {{ m: {{ upstream: {}, model: {topic} }} }}\nkafka: {{ brokers: [\"{brokers}\"] }}\n",
        model.url()
    );
    let mut one = Weir::new(&yaml).start();
    one.post(12);
    one.has_logged(12);
    one.kill();
    let mut two = Weir::new(&yaml);
    copy(&one.dir.join("weir-data"), &two.dir.join("weir-data"));
    kafka::create(&brokers, &topic, 3);
    one.up();
    two.up();
    one.post(5);
    two.post(7);
    until("Kafka has all of the first", || number(&one.status(), "/rows/delivered") == 17);
    until("Kafka has all of the second", || number(&two.status(), "/rows/delivered") == 19);
    let drain =
        Weir::new(&format!("roles: [drain]\nkafka: {{ brokers: [\"{brokers}\"] }}\ndrain: {{ topics: [{topic}] }}\n"))
            .start();
    let (status, report) = drain.settle();
    assert_eq!(rows(&report), 24, "{report:#}");
    assert_eq!(number(&status, "/rows/resent"), 12);
}

#[test]
fn a_backup_that_was_put_back_before_kafka_sends_again_and_it_is_stored_once() {
    let model = Model::start();
    let brokers = kafka::brokers();
    let topic = kafka::name("restored");
    let yaml = format!(
        "routes: {{ m: {{ upstream: {}, model: {topic} }} }}\nkafka: {{ brokers: [\"{brokers}\"] }}\n",
        model.url()
    );
    let mut weir = Weir::new(&yaml).start();
    weir.post(12);
    weir.has_logged(12);
    weir.kill();
    let (data, backup) = (weir.dir.join("weir-data"), weir.dir.join("backup"));
    copy(&data, &backup);
    kafka::create(&brokers, &topic, 2);
    weir.up();
    weir.post(8);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), 20, "{report:#}");
    weir.term();
    std::fs::remove_file(data.join("ledger")).expect("the ledger goes");
    copy(&backup, &data);
    weir.up();
    weir.post(5);
    let (status, report) = weir.settle();
    assert_eq!(rows(&report), 25, "{report:#}");
    assert_eq!(number(&status, "/rows/resent"), 12, "{status:#}");
}
