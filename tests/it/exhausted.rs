//! What a drain needs runs out (K20): the disk that Kafka's messages wait on, file descriptors. It says so, waits, and loses nothing. The third
//! thing, memory, has its budget: `kafka_source.rs` fills the spool up to it.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::group::each_once;
use crate::support::kafka::{brokers, client, topic};
use crate::support::model::Model;
use crate::support::until;
use crate::support::weir::{Weir, dropped, number, rows};

const MESSAGES: u64 = 1_000;
/// Of each message: together far more than what is held in memory on the way to the disk.
const BYTES: usize = 4 << 10;

#[test]
fn a_full_disk_under_kafkas_spool_is_named_and_waited_out() {
    let (topic, root) = (topic(&brokers(), "spooled", 1), tempfile::tempdir().expect("a folder"));
    let weir = Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{}] }}\ndrain: {{ topics: [{topic}] }}\nstore: {{ to: \"{}\", roll: {{ every: 2s }} }}\n",
        brokers(),
        root.path().display()
    ));
    let weir = weir.on_a_small_disk(32).start();
    produce(&topic, 0, 10);
    each_once(&weir, &topic, 10);
    // The disk is smaller than `log.reserve_free`, for which a gateway would drop calls: a drain has none.
    weir.is_well();

    let ballast = weir.data_dir().join("ballast");
    let mut file = std::fs::File::create(&ballast).expect("a file");
    let (Ok(_) | Err(_)) = std::io::copy(&mut std::io::repeat(1), &mut file);
    produce(&topic, 10, MESSAGES);
    until("the full disk is named", || {
        let said = weir.status()["trouble"].to_string();
        said.contains(&format!("failed to write the spool of {topic}/0")) && said.contains("No space left on device")
    });

    drop(file);
    std::fs::remove_file(ballast).expect("room again");
    each_once(&weir, &topic, 10 + MESSAGES);
    weir.is_well();
}

fn produce(topic: &str, first: u64, count: u64) {
    let producer: BaseProducer = client(&brokers()).create().expect("a producer");
    let ballast = "x".repeat(BYTES);
    for n in first..first + count {
        let value = format!(r#"{{"id":"{n}","inputs":{{"x":{n},"ballast":"{ballast}"}}}}"#);
        producer.send(BaseRecord::<(), str>::to(topic).partition(0).payload(&value)).map_err(|(e, _)| e).expect("room");
    }
    producer.flush(std::time::Duration::from_secs(60)).expect("delivered");
}

/// No file, no segment and no connection can be opened while predictions come by one that is.
#[test]
fn without_file_descriptors_predictions_go_on_and_what_was_logged_is_stored_when_there_are_some() {
    let model = Model::start();
    let weir = Weir::new(&format!(
        "routes: {{ m: {{ upstream: {} }} }}\nlog: {{ segment: 64KiB }}\nstore: {{ roll: {{ every: 500ms }} }}\n",
        model.url()
    ))
    .start();
    let (mut client, mut calls) = (weir.client(), 0);
    let mut predict = |count| {
        for _ in 0..count {
            let answer = client.post("/predict", format!(r#"{{"x":{calls}}}"#).as_bytes()).expect("an answer");
            assert_eq!((answer.status, answer.json()["y"].as_f64()), (200, Some(calls as f64 * 2.0)));
            calls += 1;
        }
        calls
    };
    predict(50);
    until("some are stored", || number(&weir.status(), "/rows/stored") > 0);

    let pid = Pid::from_raw(weir.pid() as i32);
    let before = getrlimit(Resource::Nofile);
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(3), ..before }).expect("a limit");
    // Nobody can ask for the status now: its log says it.
    until("the log and the drain have met it", || {
        predict(20);
        let words = weir.stderr();
        let met = |who: &str| words.lines().any(|line| line.contains(who) && line.contains("Too many open files"));
        met("failed to write a segment of the log") && met("m-p0000")
    });
    let calls = predict(200);
    prlimit(pid, Resource::Nofile, before).expect("the old limit");

    weir.is_well();
    let (status, report) = weir.settle();
    assert_eq!(number(&status, "/calls/seen"), calls, "{status:#}");
    assert_eq!(dropped(&status), number(&status, "/calls/dropped/log_error"), "{status:#}");
    assert_eq!(rows(&report), calls - dropped(&status), "one row for each call that was logged: {status:#}");
}
