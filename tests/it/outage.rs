//! Outages: predictions go on unchanged, what cannot be delivered waits on the disk within its budget, what has no room is counted, the status
//! names the cause, and after the heal everything is delivered with nobody's help.

use serde_json::Value;

use crate::support::disk::{BadDisk, Fault as DiskFault};
use crate::support::kafka::{self, Broker, Extra};
use crate::support::model::Model;
use crate::support::refusing::refusing;
use crate::support::relay::{Fault, Relay};
use crate::support::s3;
use crate::support::until;
use crate::support::weir::{Weir, balanced, dropped, number, rows};

/// Predictions with so many bytes of ballast each; every answer is the model's.
fn predict(weir: &Weir, count: u64, ballast: usize) {
    let mut client = weir.client();
    let ballast = "x".repeat(ballast);
    for n in 0..count {
        let answer = client.post("/predict", format!(r#"{{"x":{n},"ballast":"{ballast}"}}"#).as_bytes());
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.json()["y"].as_f64()), (200, Some(n as f64 * 2.0)));
    }
}

/// Waits until so many rows wait: a call that was answered a moment ago may not be in the log yet.
pub fn waiting(weir: &Weir, rows: u64) {
    until(&format!("{rows} rows wait"), || number(&weir.status(), "/rows/backlog") >= rows);
}

fn dropped_as(weir: &Weir, reason: &str) -> u64 {
    weir.status()["calls"]["dropped"][reason].as_u64().unwrap_or(0)
}

/// After the heal: everything that was logged is stored, once, and the equations hold.
fn delivered(weir: &Weir, calls: u64) -> Value {
    weir.is_well();
    let (status, report) = weir.settle();
    assert_eq!(number(&status, "/calls/seen"), calls, "{status:#}");
    assert_eq!(rows(&report), calls - dropped(&status), "one row for each call that was logged: {status:#}");
    status
}

/// The file system is full, and has room again.
#[test]
fn a_full_disk_is_named_drops_are_counted_and_recording_goes_on_when_there_is_room() {
    let model = Model::start();
    let yaml = format!(
        "routes: {{ m: {{ upstream: {} }} }}\nstore: {{ to: ./out }}\nlog: {{ reserve_free: 0B, max_size: 6MiB, segment: 1MiB }}\n",
        model.url()
    );
    let weir = Weir::new(&yaml).on_a_small_disk(8).start();
    predict(&weir, 20, 0);
    until("they are logged", || number(&weir.status(), "/calls/logged") == 20);
    let ballast = weir.data_dir().join("ballast");
    let mut file = std::fs::File::create(&ballast).expect("a file");
    let (Ok(_) | Err(_)) = std::io::copy(&mut std::io::repeat(1), &mut file);
    predict(&weir, 40, 8 << 10);
    until("calls are dropped", || dropped_as(&weir, "disk_full") > 0);
    weir.names("No space left on device");
    weir.names("weir-data/log");
    balanced(&weir.status());

    drop(file);
    std::fs::remove_file(ballast).expect("room again");
    weir.is_well();
    let before = dropped(&weir.status());
    predict(&weir, 15, 0);
    let status = delivered(&weir, 75);
    assert_eq!(dropped(&status), before, "nothing is dropped any more");
}

/// Writes that are refused (a file system that was mounted read-only), syncs that fail, syncs that take seconds.
#[test]
fn a_disk_that_is_read_only_fails_to_sync_or_is_slow_is_named_and_predictions_go_on() {
    let model = Model::start();
    let yaml = format!("routes: {{ m: {{ upstream: {} }} }}\nstore: {{ roll: {{ every: 2s }} }}\n", model.url());
    let mut weir = Weir::new(&yaml);
    let disk = BadDisk::new(&weir.dir);
    for (name, value) in disk.env() {
        weir = weir.env(name, &value);
    }
    let weir = weir.start();
    predict(&weir, 10, 0);
    until("they are logged", || number(&weir.status(), "/calls/logged") == 10);
    let mut calls = 10;
    for (fault, cause, reason) in [
        (DiskFault::Write(30), "Read-only file system", Some("log_error")),
        (DiskFault::Sync(5), "cannot be synced: Input/output error", Some("fsync")),
        (DiskFault::SlowSync(2_500), "the disk ", None),
    ] {
        disk.set(&fault);
        let mut rounds = 0;
        until("it is named, and what cannot be kept is counted", || {
            predict(&weir, 5, 0);
            calls += 5;
            rounds += 1;
            weir.trouble().contains(cause) && reason.is_none_or(|reason| dropped_as(&weir, reason) > 0)
        });
        disk.heal();
        weir.is_well();
        let before = dropped(&weir.status());
        predict(&weir, 10, 0);
        calls += 10;
        until("nothing is pending", || number(&weir.status(), "/calls/pending") == 0);
        assert_eq!(dropped(&weir.status()), before, "after {rounds} rounds of {cause}");
    }
    delivered(&weir, calls);
}

/// No broker is there at the start; the log fills up to its budget; then the broker comes.
#[test]
fn brokers_that_are_down_at_the_start_fill_the_log_to_its_budget_and_get_everything_when_they_come() {
    let model = Model::start();
    let mut broker = Broker::prepare();
    let yaml = format!(
        "routes: {{ m: {{ upstream: {} }} }}\nkafka: {{ brokers: [{}], lanes: 1 }}\nlog: {{ max_size: 1MiB, segment: 128KiB, reserve_free: 0B }}\n",
        model.url(),
        broker.address()
    );
    let weir = Weir::new(&yaml).start();
    let mut calls = 0;
    until("the log is full", || {
        predict(&weir, 20, 8 << 10);
        calls += 20;
        dropped_as(&weir, "log_full") > 0
    });
    weir.names(&format!("no broker of {} can be reached", broker.address()));
    weir.names("the log is full");
    let status = weir.status();
    balanced(&status);
    assert!(number(&status, "/log_bytes") <= 1 << 20, "{status:#}");
    assert!(number(&status, "/rows/backlog") > 50, "{status:#}");
    assert!(status["oldest_unstored_seconds"].as_f64().is_some_and(|age| age > 0.0), "{status:#}");
    let screen = String::from_utf8(weir.cli(&["status"]).stdout).expect("text");
    assert!(screen.contains("!!") && screen.contains("log_full"), "{screen}");

    broker.up();
    kafka::create(broker.address(), "m", 2);
    delivered(&weir, calls);
    let said = weir.stderr();
    assert!(said.contains("kafka producer: no broker of"), "{said}");
    for internal in ["thrd:", "Some(", "librdkafka", "facility", "/bootstrap"] {
        assert!(!said.contains(internal), "`{internal}` in a log line:\n{said}");
    }
}

/// A broker whose disk is full gives up; once there is room and it is started again, it gets everything.
#[test]
fn a_broker_that_dies_of_a_full_disk_gets_everything_when_it_has_room() {
    let model = Model::start();
    let mut broker = Broker::prepare_with(&Extra { disk_mebibytes: Some(128), ..Extra::default() });
    broker.up();
    kafka::create(broker.address(), "m", 2);
    let yaml = format!(
        "routes: {{ m: {{ upstream: {} }} }}\nkafka: {{ brokers: [{}], lanes: 2 }}\nstore: {{ roll: {{ every: 2s }} }}\n",
        model.url(),
        broker.address()
    );
    let weir = Weir::new(&yaml).start();
    predict(&weir, 10, 0);
    until("the path works", || number(&weir.status(), "/rows/delivered") == 10);
    let mut calls = 10;
    broker.disk().is_full();
    until("the broker has given up", || {
        predict(&weir, 10, 8 << 10);
        calls += 10;
        broker.has_ended()
    });
    predict(&weir, 20, 0);
    calls += 20;
    weir.names(&format!("no broker of {} can be reached", broker.address()));
    waiting(&weir, 20);

    broker.disk().has_room();
    broker.up();
    let status = delivered(&weir, calls);
    assert_eq!(dropped(&status), 0, "{status:#}");
}

/// A network that closes, resets, delays or swallows, and one that flaps, between weir and its broker.
#[test]
fn a_network_to_the_brokers_that_breaks_in_each_way_costs_nothing_but_time() {
    let model = Model::start();
    let relay = Relay::unset();
    let broker = Broker::behind(&[&relay]);
    kafka::create(broker.address(), "m", 2);
    let yaml = format!(
        "routes: {{ m: {{ upstream: {} }} }}\nkafka: {{ brokers: [{}], lanes: 2 }}\nstore: {{ roll: {{ every: 2s }} }}\n",
        model.url(),
        relay.address()
    );
    let weir = Weir::new(&yaml).start();
    predict(&weir, 10, 0);
    until("the path works", || number(&weir.status(), "/rows/delivered") == 10);
    let mut calls = 10;
    let reached = format!("no broker of {} can be reached", relay.address());
    for (fault, cause) in [
        (Fault::Closed, reached.as_str()),
        (Fault::Reset, &reached),
        // Nobody says anything: the age of what waits is the sign.
        (Fault::BlackHole, "kafka: the oldest row has waited for"),
        // So slow that the oldest row is old before the first acknowledgement.
        (Fault::Latency(std::time::Duration::from_secs(40)), "the brokers are slow, or not reached"),
    ] {
        relay.set(fault);
        predict(&weir, 20, 0);
        calls += 20;
        weir.names(cause);
        waiting(&weir, 1);
        relay.heal();
        until("the backlog is delivered", || number(&weir.status(), "/rows/backlog") == 0);
        weir.is_well();
    }
    // Slow, but not out of use: rows arrive all the while, and nothing is said.
    relay.set(Fault::Latency(std::time::Duration::from_millis(700)));
    predict(&weir, 20, 0);
    calls += 20;
    until("a slow network delivers as well", || number(&weir.status(), "/rows/delivered") == calls);
    weir.is_well();
    relay.heal();
    for _ in 0..10 {
        relay.cut();
        predict(&weir, 5, 0);
        calls += 5;
    }
    let status = delivered(&weir, calls);
    assert_eq!(dropped(&status), 0, "{status:#}");
}

/// A store that is away, does not answer, is overloaded, forbids: rows wait in the log.
#[test]
fn a_bucket_that_is_away_silent_overloaded_or_forbidden_is_named_and_gets_everything_in_the_end() {
    let model = Model::start();
    let bucket = s3::bucket();
    let real = bucket.account.endpoint.trim_start_matches("http://").parse().expect("an address");
    let relay = Relay::to(real);
    let yaml = format!(
        "routes: {{ m: {{ upstream: {} }} }}\n\
         store: {{ to: \"s3://{}/rows\", endpoint: \"{}\", region: us-east-1, path_style: true, roll: {{ every: 1s }} }}\n",
        model.url(),
        bucket.name,
        relay.url()
    );
    let mut weir = Weir::new(&yaml);
    for (name, value) in bucket.account.env() {
        weir = weir.env(name, &value);
    }
    let weir = weir.start();
    predict(&weir, 10, 0);
    until("the path works", || number(&weir.status(), "/rows/stored") == 10);
    let mut calls = 10;
    let mut outage = |cause: &str| {
        predict(&weir, 20, 0);
        calls += 20;
        weir.names(cause);
        waiting(&weir, 20);
        let status = weir.status();
        balanced(&status);
        assert!(status["oldest_unstored_seconds"].as_f64().is_some_and(|age| age > 0.0), "{status:#}");
        relay.target(real);
        relay.cut();
        until("the backlog is stored", || number(&weir.status(), "/rows/backlog") == 0);
    };
    relay.set(Fault::Closed);
    outage("drain m p0");
    relay.set(Fault::BlackHole);
    outage("the store has not answered for");
    for (status, code) in [(503, "SlowDown"), (403, "AccessDenied")] {
        relay.target(refusing(status, code));
        relay.cut();
        outage(code);
    }
    let status = delivered(&weir, calls);
    assert_eq!(dropped(&status), 0, "{status:#}");
}
