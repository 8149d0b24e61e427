//! "Where is my file?": what is open, when and why it closes, what is behind, and the last file, in the status, the metrics and the footer.

use serde_json::Value;

use crate::support::http::Client;
use crate::support::model::Model;
use crate::support::weir::{Weir, number};
use crate::support::{kafka, until, until_ok};

/// The value of the series of `metric` that has this label.
fn metric(weir: &Weir, metric: &str, label: &str) -> Option<f64> {
    let page = Client::new(weir.admin()).get("/metrics").expect("metrics").body;
    let page = String::from_utf8(page).expect("text");
    let line = page.lines().find(|line| line.starts_with(metric) && line.contains(label))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn partition(weir: &Weir) -> Value {
    weir.status()["drain"][0].clone()
}

/// The first file closes by age after seconds, long before `roll.every`; the next range is open for the test's time.
#[test]
fn the_open_range_and_the_last_file_are_told() {
    let model = Model::start();
    let mut weir =
        Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\nstore: {{ roll: {{ every: 1h }} }}\n", model.url()))
            .start();
    weir.post(1);
    until("the first file is stored", || partition(&weir)["last_file"]["cause"] == "age");
    weir.post(20);
    let mut open = Value::Null;
    until("the rows are at hand", || {
        open = partition(&weir);
        open["rows"] == 20
    });
    assert_eq!((&open["closes_by"], &open["lag"]), (&Value::from("age"), &Value::from(20)), "{open:#}");
    assert!(open["closes_in_seconds"].as_f64().expect("seconds") <= 3_600.0, "{open:#}");
    assert!(
        open["bytes"].as_u64().expect("bytes") > 1_000 && open["closes_at_bytes"].as_u64() > open["bytes"].as_u64()
    );
    assert_eq!(open["last_file"]["rows"], 1, "{open:#}");
    let screen = String::from_utf8(weir.cli(&["status"]).stdout).expect("text");
    assert!(screen.contains("(age)"), "the line of the screen: {screen}");

    weir.drain_running();
    let stored = partition(&weir);
    assert_eq!(stored["last_file"]["cause"], "manual", "{stored:#}");
    assert_eq!((&stored["lag"], &stored["last_file"]["rows"]), (&Value::from(0), &Value::from(20)), "{stored:#}");
    let created = stored["last_file"]["created"].as_str().expect("a time");
    assert!(created.parse::<jiff::Timestamp>().is_ok(), "{created}");
    let key = stored["last_file"]["key"].as_str().expect("a key").to_owned();
    assert_eq!(
        std::fs::metadata(weir.parquet().join(&key)).expect("the file").len(),
        number(&stored, "/last_file/bytes")
    );
    assert_eq!(metric(&weir, "weir_drain_rotations_total", "cause=\"manual\""), Some(1.0));
    assert_eq!(metric(&weir, "weir_drain_rotations_total", "cause=\"age\""), Some(1.0));
    assert_eq!(metric(&weir, "weir_drain_rotations_total", "cause=\"size\""), Some(0.0));
    assert_eq!(metric(&weir, "weir_drain_commit_total", "outcome=\"created\""), Some(2.0));
    assert_eq!(metric(&weir, "weir_drain_head_offset", "topic=\"m\""), Some(21.0));
    assert_eq!(metric(&weir, "weir_drain_lag_records", "topic=\"m\""), Some(0.0));
    assert_eq!(metric(&weir, "weir_drain_file_bytes_count", ""), Some(2.0));
    assert_eq!(metric(&weir, "weir_drain_upload_seconds_count", ""), Some(2.0));

    // The newest file is known after a start, too, and why it was closed: its footer says so.
    weir.term();
    weir.up();
    until("the chain is opened", || partition(&weir)["chain"].is_string());
    let found = partition(&weir);
    assert_eq!(found["last_file"]["cause"], "manual", "{found:#}");
    assert_eq!((&found["last_file"]["rows"], &found["last_file"]["bytes"]), (&Value::from(20), &Value::Null));
}

/// A drain that cannot store still says how far behind it is: messages that came long before it stand with their own age.
#[test]
fn the_lag_and_the_age_of_a_topic_are_told_while_nothing_can_be_stored() {
    let brokers = kafka::brokers();
    let topic = kafka::topic(&brokers, "lag", 1);
    let weir = Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{brokers}] }}\ndrain: {{ topics: [{topic}], spool: 64MiB }}\nstore: {{ roll: {{ every: 1h }} }}\n"
    ))
    .start();
    let hour_ago = jiff::Timestamp::now().as_millisecond() - 3_600_000;
    kafka::produce_at(&brokers, &topic, 50, hour_ago);
    // Until the drain has made its first, early file.
    until("a file is stored", || partition(&weir)["last_file"]["rows"].as_u64().is_some());
    let stored = until_ok("the lag is told", || {
        let before = partition(&weir);
        let stored = number(&before, "/first");
        if stored > 0 && before["lag"] == 50 - stored { Ok(stored) } else { Err(before.to_string()) }
    });
    std::fs::rename(weir.parquet(), weir.dir.join("away")).expect("the folder goes");
    std::fs::write(weir.parquet(), "no folder").expect("a file in its place");
    kafka::produce_at(&brokers, &topic, 30, hour_ago);
    until("the lag is told", || partition(&weir)["lag"] == 80 - stored);
    until("the age is the messages' own", || {
        weir.status()["oldest_unstored_seconds"].as_f64().is_some_and(|age| age > 3_500.0)
    });
    assert!(metric(&weir, "weir_drain_oldest_unstored_seconds", &topic).is_some_and(|age| age > 3_500.0));
    until("the refusal is told", || weir.status()["trouble"].to_string().contains("_weir/origins"));

    std::fs::remove_file(weir.parquet()).expect("the file goes");
    std::fs::rename(weir.dir.join("away"), weir.parquet()).expect("the folder is back");
    weir.drain_running();
    assert_eq!((&partition(&weir)["lag"], weir.status()["rows"]["stored"].as_u64()), (&Value::from(0), Some(80)));
}
