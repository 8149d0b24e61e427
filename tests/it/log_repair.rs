//! A log that lost its identity and some of its bytes is repaired: nothing is written unasked, nothing is destroyed, everything is accounted for.

use crate::support::model::Model;
use crate::support::weir::{Weir, number, rows};

#[test]
fn a_damaged_log_is_repaired_after_it_was_said_how_and_every_row_is_accounted_for() {
    let model = Model::start();
    let mut weir =
        Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\nlog: {{ sync: 10ms }}\n", model.url())).start();
    // No file can be stored: the rows stay in the log, whatever the time.
    let (Ok(()) | Err(_)) = std::fs::remove_dir_all(weir.parquet());
    std::fs::write(weir.parquet(), "no folder").expect("a file in its place");
    let mut client = weir.client();
    for n in 0..40 {
        assert_eq!(client.post("/predict", format!(r#"{{"x":{n}}}"#).as_bytes()).expect("an answer").status, 200);
    }
    crate::support::until("all are logged", || number(&weir.status(), "/calls/logged") == 40);
    assert_eq!(weir.cli(&["log", "repair"]).status.code(), Some(1), "a running process holds the log");
    weir.kill();
    assert_eq!(String::from_utf8_lossy(&weir.cli(&["log", "repair"]).stdout).trim(), "nothing to repair");

    let folder = weir.dir.join("weir-data/log/m");
    let segments = std::fs::read_dir(folder.join("0")).expect("the lane").flatten().map(|entry| entry.path());
    let segment = segments
        .filter(|path| path.extension().is_some_and(|x| x == "seg"))
        .max_by_key(|path| path.metadata().expect("a file").len());
    let segment = segment.expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("bytes");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 900].fill(0xff);
    bytes.extend_from_slice(b"torn");
    std::fs::write(&segment, &bytes).expect("damage");
    for name in ["meta.json", "meta.bak"] {
        std::fs::write(folder.join(name), "{").expect("damage");
    }

    let plan = weir.cli(&["log", "repair"]);
    let said = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert_eq!(plan.status.code(), Some(1), "{said}");
    assert!(
        said.contains("nothing was written") && said.contains("meta.json") && said.contains("are no entry"),
        "{said}"
    );
    assert_eq!(std::fs::read(&segment).expect("bytes"), bytes, "a plan writes nothing");
    assert!(!weir.dir.join("weir-data/log-damaged").exists());

    let report = weir.cli_json(&["log", "repair", "--yes"]);
    assert_eq!(report["written"], true, "{report:#}");
    let fixes = report["fixes"].as_array().expect("fixes");
    let of_segment =
        fixes.iter().find(|fix| fix["path"].as_str().is_some_and(|path| path.ends_with(".seg"))).expect("the segment");
    let kept = weir.dir.join(of_segment["kept"].as_str().expect("a path"));
    assert_eq!(std::fs::read(kept).expect("the copy"), bytes, "byte for byte");
    let lost: u64 = report["lost"]
        .as_array()
        .expect("lost")
        .iter()
        .map(|range| number(range, "/next") - number(range, "/seq"))
        .sum();
    assert!(lost > 0 && lost < 40, "{report:#}");
    let again = weir.cli_json(&["log", "repair", "--yes"]);
    assert_eq!(again["fixes"].as_array().expect("fixes").len(), 0, "it is repaired: {again:#}");

    std::fs::remove_file(weir.parquet()).expect("the store can be made again");
    weir.up();
    let (status, report) = weir.settle();
    assert_eq!(number(&status, "/calls/seen"), 40, "{status:#}");
    assert_eq!(number(&status, "/rows/appended"), 40, "{status:#}");
    let quarantined = report["tables"]["m"]["quarantined"].as_u64().expect("quarantined");
    assert!(quarantined > 0, "{report:#}");
    assert_eq!(rows(&report) - quarantined, 40 - lost, "the whole rows are stored: {report:#}");
    weir.is_well();
}
