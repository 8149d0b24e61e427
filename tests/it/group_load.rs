//! Many partitions and many topics in one drain, and a store that hangs: the accounts are exact and the memory is bounded.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::kafka::{admin, block_on, brokers, client, name, topic};
use crate::support::relay::{Fault, Relay};
use crate::support::s3::bucket;
use crate::support::until;
use crate::support::weir::{Weir, balanced, number, rows};

/// What a process may take beside what its configuration adds.
const BASE_MIB: u64 = 256;
const DRAIN_MIB: u64 = 128;
/// The broker stops taking fetches of a member that does not poll for so long.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

fn producer() -> BaseProducer {
    let mut config = client(&brokers());
    config.set("linger.ms", "5").set("compression.type", "lz4").create().expect("a producer")
}

/// `count` records of about 500 bytes on every partition.
fn fill(producer: &BaseProducer, topic: &str, partitions: i32, count: u64) {
    for n in 0..count {
        for partition in 0..partitions {
            let value = format!(
                r#"{{"id":"{partition}-{n}","inputs":{{"x":{n},"text":"{}"}},"outputs":{{"y":{}}}}}"#,
                "t".repeat(400),
                n % 7
            );
            let mut record = BaseRecord::<(), _>::to(topic).payload(&value).partition(partition);
            while let Err((error, again)) = producer.send(record) {
                assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::QueueFull), "{error}");
                producer.poll(Duration::from_millis(10));
                record = again;
            }
        }
    }
    producer.flush(Duration::from_secs(60)).expect("delivered");
}

fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("the peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("KiB") / 1024
}

#[test]
fn sixty_four_partitions_and_sixty_four_topics_fit_into_the_stated_memory() {
    let brokers = brokers();
    let wide = topic(&brokers, "wide", 64);
    let family = name("narrow");
    let names: Vec<String> = (0..64).map(|n| format!("{family}-{n:02}")).collect();
    let new: Vec<NewTopic<'_>> = names.iter().map(|name| NewTopic::new(name, 1, TopicReplication::Fixed(1))).collect();
    let made = block_on(admin(&brokers).create_topics(&new, &AdminOptions::new())).expect("topics");
    assert!(made.iter().all(Result::is_ok), "{made:?}");

    let producer = producer();
    fill(&producer, &wide, 64, 400);
    names.iter().for_each(|name| fill(&producer, name, 1, 100));
    let all = 64 * 400 + 64 * 100;

    let weir = Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{brokers}] }}\ndrain: {{ topics: [{wide}, \"{family}-*\"] }}\n\
         memory: {{ drain: {DRAIN_MIB}MiB }}\n"
    ))
    .start();
    until("all partitions are its own", || {
        weir.status()["drain"].as_array().is_some_and(|partitions| partitions.len() == 128)
    });
    until("every row is stored", || {
        weir.drain_running();
        number(&weir.status(), "/rows/stored") == all
    });
    let status = weir.status();
    balanced(&status);
    assert_eq!(number(&status, "/rows/consumed"), all);
    let report = weir.verify();
    assert_eq!(rows(&report), all);
    assert_eq!(report["tables"].as_object().expect("tables").len(), 65);
    let peak = peak_mib(weir.pid());
    assert!(peak <= BASE_MIB + DRAIN_MIB, "it took {peak} MiB");
}

/// The spool is full and the store takes nothing: the drain keeps its partitions for longer than a member may be silent, and goes on by itself.
#[test]
fn a_store_that_hangs_costs_no_membership() {
    let (brokers, bucket) = (brokers(), bucket());
    let topic = topic(&brokers, "hangs", 2);
    let relay = Relay::to(bucket.account.endpoint.trim_start_matches("http://").parse().expect("an address"));
    let producer = producer();
    // Twice as much as the spool takes.
    fill(&producer, &topic, 2, 4_000);
    let mut weir = Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{brokers}], consumer: {{ max.poll.interval.ms: {} }} }}\n\
         drain: {{ topics: [{topic}], spool: 2MiB }}\n\
         store: {{ to: \"s3://{}/rows\", endpoint: {}, region: us-east-1, path_style: true, roll: {{ size: 1MiB, every: 1s }} }}\n",
        POLL_INTERVAL.as_millis(),
        bucket.name,
        relay.url()
    ));
    for (name, value) in bucket.account.env() {
        weir = weir.env(name, &value);
    }
    weir.up();
    until("something is stored", || number(&weir.status(), "/rows/stored") > 0);
    relay.set(Fault::BlackHole);
    fill(&producer, &topic, 2, 8_000);
    let at_hand = |weir: &Weir| {
        let status = weir.status();
        let partitions = status["drain"].as_array().expect("partitions").clone();
        partitions.iter().map(|partition| partition["rows"].as_u64().expect("rows")).sum::<u64>()
    };
    let mut last = 0;
    until("nothing more is read", || {
        std::thread::sleep(Duration::from_secs(1));
        let now = at_hand(&weir);
        now > 0 && now == std::mem::replace(&mut last, now)
    });
    std::thread::sleep(POLL_INTERVAL + Duration::from_secs(3));
    assert!(!weir.stderr().contains("the consumer group takes"), "{}", weir.stderr());
    relay.heal();
    until("every row is stored", || number(&weir.status(), "/rows/stored") == 24_000);
    balanced(&weir.status());
    assert!(!weir.stderr().contains("the consumer group takes"), "{}", weir.stderr());
    assert_eq!(rows(&weir.verify()), 24_000);
}
