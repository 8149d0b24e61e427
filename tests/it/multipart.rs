//! A file that goes to S3 in several parts (K13): the process dies between two of them, the answer to the completion is lost, a part is cut.
//! Each row is stored once, in one object. The other places to die at are in `s3_faults.rs`.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::kafka_s3::store_at;
use crate::support::relay::{Cut, Fault, Relay, complete_parts, put_part};
use crate::support::s3::{Bucket, bucket};
use crate::support::weir::{Weir, number, rows};
use crate::support::{kafka, until};

/// Messages of a file, and what of each no compression takes away: with S3's smallest threshold and parts of 16 MiB, two parts.
const MESSAGES: u64 = 44;
const RANDOM_BYTES: usize = 400_000;

#[test]
fn uploads_in_parts_that_are_cut_short_store_each_row_once() {
    let (bucket, brokers) = (bucket(), kafka::brokers());
    let topic = kafka::topic(&brokers, "parts", 1);
    let server = bucket.account.endpoint.trim_start_matches("http://").parse().expect("an address");
    let relay = Relay::to(server);
    let weir = drain(&brokers, &topic, &bucket, &relay);

    fill(&brokers, &topic, 0);
    // The store's self-test uploads once, in one part: the next one is the file's first.
    dies_at(&weir, "s3_part_sent=1*off->panic");
    let status = weir.drain_alone();
    assert_eq!(number(&status, "/rows/stored"), MESSAGES, "{status:#}");

    // Neither is noticed but by what it costs: a look at the object, a part sent again.
    for (round, fault) in
        [Fault::DropAnswer(complete_parts), Fault::CutRequest(put_part, Cut::Half)].into_iter().enumerate()
    {
        let before = MESSAGES * (round as u64 + 1);
        fill(&brokers, &topic, before);
        meets(&weir, &relay, fault);
        let status = weir.drain_alone();
        assert_eq!(number(&status, "/rows/stored"), before + MESSAGES, "{status:#}");
    }
    let report = weir.verify();
    assert_eq!(rows(&report), 3 * MESSAGES, "{report:#}");
    assert_eq!(report["tables"][&topic]["files"], 3, "each went in one file: {report:#}");
}

fn drain(brokers: &str, topic: &str, bucket: &Bucket, relay: &Relay) -> Weir {
    let store = store_at(bucket, &relay.url(), ", multipart_threshold: 5MiB");
    let mut weir = Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{brokers}] }}\ndrain: {{ topics: [{topic}] }}\n{store}"
    ));
    for (name, value) in bucket.account.env() {
        weir = weir.env(name, &value);
    }
    weir
}

fn fill(brokers: &str, topic: &str, first: u64) {
    let producer: BaseProducer = kafka::client(brokers).create().expect("a producer");
    for n in first..first + MESSAGES {
        let random: Vec<u8> = (0..RANDOM_BYTES / 16).flat_map(|_| *uuid::Uuid::new_v4().as_bytes()).collect();
        let value = format!(r#"{{"id":"{n}","inputs":{{"x":{n},"blob":"{}"}}}}"#, STANDARD.encode(random));
        let record = BaseRecord::<(), _>::to(topic).partition(0).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("it is queued");
    }
    producer.flush(std::time::Duration::from_secs(60)).expect("it is sent");
}

fn dies_at(weir: &Weir, point: &str) {
    let output = weir.command(&["drain", "--once"]).env("FAILPOINTS", point).output().expect("weir runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "it did not die at {point}: {}\n{words}", output.status);
    let name = point.split('=').next().unwrap_or_default();
    assert!(words.contains(&format!("failpoint {name} panic")), "it died elsewhere than at {point}:\n{words}");
}

/// `weir drain --once` goes well although it meets the fault, which ends then.
fn meets(weir: &Weir, relay: &Relay, fault: Fault) {
    let before = relay.hits();
    relay.set(fault);
    let mut command = weir.command(&["drain", "--once"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("weir runs");
    until("the fault is met", || relay.hits() > before);
    relay.heal();
    let output = child.wait_with_output().expect("weir ends");
    assert!(output.status.success(), "{fault:?}: {}", String::from_utf8_lossy(&output.stderr));
}
