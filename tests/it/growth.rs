//! A deployment that grows: another partitioning, another folder, S3, Kafka. No row is lost or doubled on the way, also where a process dies at it.

use std::path::{Path, PathBuf};

use crate::path::{answered, ask, read_with};
use crate::support::model::Model;
use crate::support::python::Server;
use crate::support::weir::{Weir, number, rows};

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
    weir.post(10);
    weir.settle();
    weir.term();
    weir.more("store: { partition: none }\n");
    weir.up();
    weir.post(10);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), 20, "{report:#}");
    assert!(files(&weir.parquet().join("m")).iter().all(|file| file.iter().count() == 2), "the day's folder");
    assert!(weir.stderr().contains("stays so until a new generation"), "{}", weir.stderr());
}

pub fn words(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A weir that stores in a folder of its own which is not the default.
fn stores_in(model: &Model, folder: &Path) -> Weir {
    Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\nstore: {{ to: {} }}\n", model.url(), folder.display()))
}

/// Puts another text for the store's part of the configuration.
pub fn store_to(weir: &Weir, store: &str) {
    let path = weir.dir.join("weir.yaml");
    let before = std::fs::read_to_string(&path).expect("weir.yaml");
    let kept: Vec<&str> = before.lines().filter(|line| !line.starts_with("store:")).collect();
    std::fs::write(path, format!("{}\nstore: {store}\n", kept.join("\n"))).expect("weir.yaml");
}

/// The rows of a root, which must be whole.
pub fn rows_in(weir: &Weir, root: &str) -> u64 {
    let report = weir.cli_json(&["verify", root, "--deep"]);
    assert_eq!(report["ok"], serde_json::Value::Bool(true), "{root}: {report:#}");
    rows(&report)
}

/// Ids of all rows of several folders.
fn ids(roots: &[&Path]) -> Vec<String> {
    roots.iter().flat_map(|root| crate::support::parquet::column(root, "id")).collect()
}

#[test]
fn from_one_folder_to_another_and_back() {
    let model = Model::start();
    let folders = tempfile::tempdir().expect("a folder");
    let (one, two) = (folders.path().join("one"), folders.path().join("two"));
    let mut weir = stores_in(&model, &one).start();
    weir.post(20);
    weir.settle();
    weir.post(5);
    weir.has_logged(25);
    weir.kill();
    store_to(&weir, &format!("{{ to: {} }}", two.display()));
    let check = weir.cli(&["check"]);
    assert!(check.status.success() && words(&check).contains("stores there what is left"), "{}", words(&check));
    weir.up();
    weir.post(7);
    let (status, _) = weir.settle();
    assert_eq!(number(&status, "/rows/appended"), 32);
    assert_eq!((rows_in(&weir, &one.display().to_string()), rows_in(&weir, &two.display().to_string())), (25, 7));

    // Back: the old chains stay, new ones begin beside them.
    weir.term();
    store_to(&weir, &format!("{{ to: {} }}", one.display()));
    weir.up();
    weir.post(4);
    weir.settle();
    assert_eq!((rows_in(&weir, &one.display().to_string()), rows_in(&weir, &two.display().to_string())), (29, 7));
    let mut all = ids(&[&one, &two]);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 36);
    weir.is_well();
}

/// Steps of a move to another place, in their order.
const STEPS: [&str; 7] = [
    "drain_before_create",
    "drain_after_create",
    "drain_before_commit",
    "move_after_drain",
    "move_after_begin",
    "move_before_meta",
    "move_after_meta",
];

/// Moves from each of these places to the next, which are one more than there are steps, and dies at each step once: at one of them with a file
/// stored that the log does not know of. In the end each place has its nine rows, the last one two; `root`: how `weir verify` is told of a place.
pub fn moves_and_dies(weir: &mut Weir, stores: &[String; STEPS.len() + 1], root: impl Fn(usize) -> String) {
    let mut sent = 0;
    for (n, &point) in STEPS.iter().enumerate() {
        weir.post(6);
        sent += 6;
        weir.settle();
        weir.post(3);
        sent += 3;
        weir.has_logged(sent);
        weir.kill();
        if point == "move_after_drain" {
            // The file is stored, the cursor is not moved.
            let _served = weir.up_to_die("drain_after_create=panic");
            weir.until_dead("drain_after_create=panic");
        }
        store_to(weir, &stores[n + 1]);
        let _died_before_it_served = weir.up_to_die(&format!("{point}=panic"));
        weir.until_dead(point);
        weir.up();
    }
    weir.post(2);
    weir.settle();
    for n in 0..=STEPS.len() {
        assert_eq!(rows_in(weir, &root(n)), if n == STEPS.len() { 2 } else { 9 }, "{}", root(n));
    }
}

#[test]
fn a_move_that_dies_at_any_step_is_taken_again() {
    let model = Model::start();
    let folders = tempfile::tempdir().expect("a folder");
    let place = |n: usize| folders.path().join(n.to_string());
    let mut weir = stores_in(&model, &place(0)).start();
    let stores = std::array::from_fn(|n| format!("{{ to: {} }}", place(n).display()));
    moves_and_dies(&mut weir, &stores, |n| place(n).display().to_string());
}

/// A folder that was renamed is no other folder; one that is gone is not made again.
#[test]
fn a_folder_that_was_moved_goes_on_and_one_that_is_gone_is_refused() {
    let model = Model::start();
    let folders = tempfile::tempdir().expect("a folder");
    let (one, two) = (folders.path().join("one"), folders.path().join("two"));
    let mut weir = stores_in(&model, &one).start();
    weir.post(20);
    weir.settle();
    weir.term();
    std::fs::rename(&one, &two).expect("renamed");
    store_to(&weir, &format!("{{ to: {} }}", two.display()));
    weir.up();
    weir.post(5);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), 25);
    assert_eq!(report["tables"]["m"]["partitions"].as_object().expect("partitions").len(), 1, "one chain: {report:#}");
    weir.term();

    std::fs::rename(&two, &one).expect("renamed");
    store_to(&weir, &format!("{{ to: {} }}", folders.path().join("three").display()));
    let refused = weir.cli(&["run"]);
    assert_eq!(refused.status.code(), Some(78), "{}", words(&refused));
    for part in ["two", "no such folder", "Put it back"] {
        assert!(words(&refused).contains(part), "{}", words(&refused));
    }
    assert!(!two.exists(), "it was not made again");
    std::fs::rename(&one, &two).expect("put back");
    weir.up();
    weir.post(1);
    weir.settle();
    assert_eq!(rows_in(&weir, &two.display().to_string()), 25);
    assert_eq!(rows_in(&weir, &folders.path().join("three").display().to_string()), 1);
}
