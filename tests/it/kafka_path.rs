//! From the log to a topic and out of it again: against a real broker; a mock one only where it must fail on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::admin::{AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use weir::config;
use weir::ledger::Ledger;
use weir::log::{Logs, Options, ReaderKind, Root};
use weir::publish::{Publisher, PublisherStatus};
use weir::record::{ContentType, Encoded, Recorded};
use weir::source::kafka::{KafkaSource, Reach, TopicPicker};
use weir::source::{Event, Source};

use crate::support::PATIENCE;
use crate::support::kafka::{Broker, admin, block_on, brokers, client, config, create, name, topic};

const PRODUCER_BYTES: u64 = 32 << 20;
const LANES: u32 = 4;

/// A `data_dir` with its log and ledger open.
pub struct Gateway {
    pub logs: Logs,
    ledger: Ledger,
}

impl Gateway {
    pub fn open(data_dir: &Path) -> Gateway {
        let options = Options {
            log: config::Log {
                sync: Duration::from_millis(20),
                bytes_max: 1 << 30,
                reserve_free_bytes: 0,
                segment_bytes: 1 << 20,
            },
            lanes: LANES,
            reader: ReaderKind::Publisher,
            root: Root::default(),
        };
        let logs = Logs::open(data_dir, options).unwrap();
        let ledger = Ledger::open(&data_dir.join("ledger"), logs.totals().logged()).unwrap();
        Gateway { logs, ledger }
    }

    /// Appends `calls` calls of two rows each, and waits until they are synced.
    pub fn append(&self, topic: &str, calls: std::ops::Range<u64>, bytes: usize) {
        for call in calls {
            let row = |half| Encoded {
                key: None,
                value: Bytes::from(format!("{{\"id\":\"{call}_{half}\",\"pad\":\"{}\"}}", "x".repeat(bytes))),
            };
            self.logs.append(Recorded {
                ticket: self.ledger.see(),
                topic: topic.to_owned(),
                content_type: ContentType::Json,
                rows: vec![row(0), row(1)],
            });
        }
        self.logs.flush();
    }

    pub fn publish(&self, kafka: &config::Kafka, data_dir: &Path) -> Publisher {
        Publisher::start(kafka, PRODUCER_BYTES, data_dir, self.logs.clone()).unwrap()
    }

    pub fn until_delivered(&self, publisher: &Publisher, rows: u64) {
        until(publisher, "delivery", |_| self.logs.totals().delivered >= rows);
    }
}

pub fn until(publisher: &Publisher, what: &str, mut done: impl FnMut(&PublisherStatus) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = publisher.status();
        if done(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "waited for {what}: {status:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One message as a client that is not weir sees it.
#[derive(Debug)]
pub struct Seen {
    pub partition: i32,
    pub source: String,
    pub seq: u64,
    pub value: Vec<u8>,
}

/// Everything in a topic, partition by partition, in order.
pub fn read_topic(brokers: &str, topic: &str, partitions: i32) -> Vec<Seen> {
    read_topic_as("application/json", brokers, topic, partitions)
}

/// The same of messages of this content type.
pub fn read_topic_as(mime: &str, brokers: &str, topic: &str, partitions: i32) -> Vec<Seen> {
    let consumer: BaseConsumer = client(brokers).set("group.id", name("reader")).create().unwrap();
    let mut list = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).unwrap();
        left += high - low;
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut seen = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while left > 0 {
        assert!(Instant::now() < deadline, "{left} messages are missing");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.unwrap();
        let headers = message.headers().expect("weir sends headers");
        let header = |key: &str| {
            let value =
                headers.iter().find(|h| h.key == key).and_then(|h| h.value).unwrap_or_else(|| panic!("header {key}"));
            String::from_utf8(value.to_vec()).unwrap()
        };
        assert_eq!(header("content-type"), mime);
        assert_eq!(header("schema-version"), "1");
        seen.push(Seen {
            partition: message.partition(),
            source: header("source"),
            seq: header("seq").parse().unwrap(),
            value: message.payload().unwrap().to_vec(),
        });
        left -= 1;
    }
    seen
}

/// `<log>-<lane>` of a source.
fn lane_of(source: &str) -> String {
    source.rsplit_once('-').unwrap().0.to_owned()
}

/// Every row of every lane is there, in order but for resends; returns how many messages came more than once.
pub fn assert_nothing_is_missing(seen: &[Seen], rows: u64) -> usize {
    type Rows = BTreeMap<u64, (String, Vec<u8>)>;
    let mut lanes: BTreeMap<String, (BTreeSet<i32>, Rows)> = BTreeMap::new();
    let mut again = 0;
    for message in seen {
        let (partitions, seqs) = lanes.entry(lane_of(&message.source)).or_default();
        partitions.insert(message.partition);
        let expected = seqs.len() as u64;
        assert!(message.seq <= expected, "seq {} of {} came before {expected}", message.seq, message.source);
        match seqs.get(&message.seq) {
            Some(first) => {
                again += 1;
                assert_eq!((&first.0, &first.1), (&message.source, &message.value), "a resend is the same message");
            }
            None => {
                seqs.insert(message.seq, (message.source.clone(), message.value.clone()));
            }
        }
    }
    for (lane, (partitions, _)) in &lanes {
        assert_eq!(partitions.len(), 1, "lane {lane} is one partition: {partitions:?}");
    }
    let ids: BTreeSet<Vec<u8>> = lanes.values().flat_map(|(_, seqs)| seqs.values().map(|(_, v)| v.clone())).collect();
    assert_eq!(lanes.values().map(|(_, seqs)| seqs.len() as u64).sum::<u64>(), rows);
    assert_eq!(ids.len() as u64, rows, "every row once");
    again
}

#[test]
fn rows_of_a_log_reach_the_topic_in_order_with_source_and_seq() {
    let brokers = brokers();
    let topic = topic(&brokers, "path", 3);
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    gateway.append(&topic, 0..500, 200);
    let publisher = gateway.publish(&config(&brokers), folder.path());
    gateway.append(&topic, 500..1_000, 200);
    gateway.until_delivered(&publisher, 2_000);
    let lanes = publisher.status().lanes;
    assert_eq!(lanes.len(), LANES as usize);
    let report = publisher.stop(PATIENCE);
    assert_eq!((report.backlog, report.lanes.len()), (0, 0));
    let seen = read_topic(&brokers, &topic, 3);
    assert_eq!(assert_nothing_is_missing(&seen, 2_000), 0);
    for lane in &lanes {
        let found = seen.iter().find(|s| lane_of(&s.source).ends_with(&format!("-{}", lane.lane))).unwrap();
        assert_eq!(Some(found.partition as u32), lane.partition);
    }
    gateway.logs.close();
    // A new start has nothing to send again.
    drop(gateway);
    let gateway = Gateway::open(folder.path());
    assert_eq!(gateway.logs.totals().delivered, 2_000);
    let publisher = gateway.publish(&config(&brokers), folder.path());
    gateway.append(&topic, 1_000..1_010, 200);
    gateway.until_delivered(&publisher, 2_020);
    let seen = read_topic(&brokers, &topic, 3);
    assert_eq!(assert_nothing_is_missing(&seen, 2_020), 0);
}

#[test]
fn a_publisher_that_is_cut_off_again_and_again_loses_nothing() {
    let brokers = brokers();
    let topic = topic(&brokers, "cut", 2);
    let folder = tempfile::tempdir().unwrap();
    let mut kafka = config(&brokers);
    kafka.producer.insert("linger.ms".into(), "0".into());
    let (rounds, calls) = (8, 400);
    for round in 0..rounds {
        let gateway = Gateway::open(folder.path());
        let publisher = gateway.publish(&kafka, folder.path());
        gateway.append(&topic, round * calls..(round + 1) * calls, 2_000);
        // Somewhere under way: what is in flight is thrown away, as by a kill.
        until(&publisher, "something in flight", |s| s.lanes.iter().any(|l| l.in_flight > 0 || l.cursor > 0));
        drop(publisher);
        gateway.logs.close();
    }
    let gateway = Gateway::open(folder.path());
    let publisher = gateway.publish(&kafka, folder.path());
    let report = publisher.stop(PATIENCE);
    assert_eq!(report.backlog, 0, "{report:?}");
    assert_eq!(gateway.logs.totals().delivered, 2 * rounds * calls);
    assert_nothing_is_missing(&read_topic(&brokers, &topic, 2), 2 * rounds * calls);
}

#[test]
fn brokers_that_are_down_at_the_start_and_crash_later_are_waited_for() {
    let mut broker = Broker::prepare();
    let address = broker.address().to_owned();
    let topic = name("outage");
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    let mut kafka = config(&address);
    kafka.create_topics = Some(config::CreateTopics { partitions: 2, replication: 1 });
    gateway.append(&topic, 0..100, 1_000);
    let publisher = gateway.publish(&kafka, folder.path());
    until(&publisher, "a complaint", |s| s.lanes.iter().any(|l| l.problem.is_some()));
    assert_eq!(gateway.logs.totals().delivered, 0);
    broker.up();
    gateway.until_delivered(&publisher, 200);
    for round in 1..3 {
        gateway.append(&topic, round * 100..round * 100 + 50, 1_000);
        broker.kill();
        gateway.append(&topic, round * 100 + 50..(round + 1) * 100, 1_000);
        broker.up();
        gateway.until_delivered(&publisher, (round + 1) * 200);
    }
    until(&publisher, "no complaint", |s| s.problem.is_none() && s.lanes.iter().all(|l| l.problem.is_none()));
    let seen = read_topic(&address, &topic, 2);
    assert_nothing_is_missing(&seen, 600);
    // The topic that weir made has the broker's timestamps.
    let specifier = ResourceSpecifier::Topic(&topic);
    let described = block_on(admin(&address).describe_configs(&[specifier], &AdminOptions::new())).unwrap();
    let resource = described[0].as_ref().unwrap();
    assert_eq!(resource.get("message.timestamp.type").unwrap().value.as_deref(), Some("LogAppendTime"));
}

#[test]
fn stopping_without_a_broker_ends_at_the_deadline_and_says_what_is_left() {
    let broker = Broker::prepare();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    gateway.append("left", 0..10, 10);
    let publisher = gateway.publish(&config(broker.address()), folder.path());
    let report = publisher.stop(Duration::from_millis(200));
    assert_eq!(report.backlog, 20);
    assert_eq!(gateway.logs.totals().delivered, 0);
}

#[test]
fn a_missing_topic_is_waited_for_and_the_message_says_how_to_make_it() {
    let brokers = brokers();
    let topic = name("missing");
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    gateway.append(&topic, 0..10, 10);
    let publisher = gateway.publish(&config(&brokers), folder.path());
    let mut said = String::new();
    until(&publisher, "the message", |s| {
        let problem = s.lanes.first().and_then(|l| l.problem.clone());
        said = problem.map(|p| p.message).unwrap_or_default();
        !said.is_empty()
    });
    assert!(said.contains("kafka-topics.sh") && said.contains(&format!("--topic {topic}")), "{said}");
    create(&brokers, &topic, 1);
    gateway.until_delivered(&publisher, 20);
    assert_nothing_is_missing(&read_topic(&brokers, &topic, 1), 20);
}

#[test]
fn a_topic_that_grows_moves_no_lane() {
    let brokers = brokers();
    let topic = topic(&brokers, "grows", 1);
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    let publisher = gateway.publish(&config(&brokers), folder.path());
    gateway.append(&topic, 0..20, 10);
    gateway.until_delivered(&publisher, 40);
    drop(publisher);
    let grown = NewPartitions::new(&topic, 5);
    block_on(admin(&brokers).create_partitions(&[grown], &AdminOptions::new())).unwrap();
    let publisher = gateway.publish(&config(&brokers), folder.path());
    gateway.append(&topic, 20..40, 10);
    gateway.until_delivered(&publisher, 80);
    let seen = read_topic(&brokers, &topic, 5);
    assert_nothing_is_missing(&seen, 80);
    assert!(seen.iter().all(|s| s.partition == 0));
}

#[test]
fn a_topic_that_takes_nothing_holds_its_lane_and_no_other_topic() {
    let brokers = brokers();
    let narrow = name("narrow");
    let new = NewTopic::new(&narrow, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "100");
    block_on(admin(&brokers).create_topics([&new], &AdminOptions::new())).unwrap();
    let wide = topic(&brokers, "wide", 1);
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    let mut kafka = config(&brokers);
    kafka.producer.insert("compression.type".into(), "none".into());
    let publisher = gateway.publish(&kafka, folder.path());
    gateway.append(&narrow, 0..4, 5_000);
    gateway.append(&wide, 0..500, 5_000);
    until(&publisher, "the refusal", |s| {
        s.lanes.iter().any(|l| l.topic == narrow && l.problem.as_ref().is_some_and(|p| p.message.contains("refused")))
    });
    until(&publisher, "the other topic", |s| {
        s.lanes.iter().filter(|l| l.topic == wide).all(|l| l.cursor == l.synced && l.synced > 0)
    });
    gateway.until_delivered(&publisher, 1_000);
    let wider = AlterConfig::new(ResourceSpecifier::Topic(&narrow)).set("max.message.bytes", "1000000");
    block_on(admin(&brokers).alter_configs(&[wider], &AdminOptions::new())).unwrap();
    gateway.until_delivered(&publisher, 1_008);
    until(&publisher, "no complaint", |s| s.lanes.iter().all(|l| l.problem.is_none()));
    assert_nothing_is_missing(&read_topic(&brokers, &narrow, 1), 8);
    assert_nothing_is_missing(&read_topic(&brokers, &wide, 1), 1_000);
}

#[test]
fn a_fatal_error_makes_a_new_producer_that_sends_again() {
    let mock = MockCluster::new(1).unwrap();
    let topic = "fatal";
    mock.create_topic(topic, 1, 1).unwrap();
    let brokers = mock.bootstrap_servers();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    let publisher = gateway.publish(&config(&brokers), folder.path());
    gateway.append(topic, 0..100, 100);
    gateway.until_delivered(&publisher, 200);
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER; 3]);
    gateway.append(topic, 100..200, 100);
    gateway.until_delivered(&publisher, 400);
    // A producer without permission is one that can never send.
    mock.request_errors(
        RDKafkaApiKey::InitProducerId,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED],
    );
    drop(publisher);
    let publisher = gateway.publish(&config(&brokers), folder.path());
    until(&publisher, "a new producer", |s| s.rebuilds >= 1);
    gateway.append(topic, 200..300, 100);
    gateway.until_delivered(&publisher, 600);
    drop(publisher);
    assert_nothing_is_missing(&read_topic(&brokers, topic, 1), 600);
}

#[test]
fn rows_that_are_too_large_for_the_topic_are_sent_with_less_in_them_and_hold_nothing_up() {
    let brokers = brokers();
    let narrow = name("narrow");
    let new = NewTopic::new(&narrow, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "200000");
    block_on(admin(&brokers).create_topics([&new], &AdminOptions::new())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    let mut kafka = config(&brokers);
    kafka.producer.insert("compression.type".into(), "none".into());
    // Batches that pass, but for those with a large row.
    kafka.producer.insert("batch.size".into(), "100000".into());
    gateway.append(&narrow, 0..400, 500);
    gateway.append(&narrow, 400..401, 300_000);
    gateway.append(&narrow, 401..2_001, 500);
    let rows: u64 = 2 * 2_001;
    let publisher = gateway.publish(&kafka, folder.path());
    gateway.until_delivered(&publisher, rows);
    until(&publisher, "the count", |s| s.lanes.iter().map(|lane| lane.shortened).sum::<u64>() == 2);
    until(&publisher, "no complaint", |s| s.lanes.iter().all(|l| l.problem.is_none()));
    // What was under way behind a refused message came before it: each row is there, not each in its place.
    let seen = read_topic(&brokers, &narrow, 1);
    let mut rows_seen: BTreeMap<(&str, u64), &[u8]> = BTreeMap::new();
    for message in &seen {
        rows_seen.insert((&message.source, message.seq), &message.value);
    }
    assert_eq!(rows_seen.len() as u64, rows);
    assert!(seen.len() as u64 <= rows + 2_000, "{} messages of {rows} rows", seen.len());
    let cut: BTreeSet<&[u8]> = rows_seen.into_values().filter(|value| value.len() < 500).collect();
    let expected = [&br#"{"id":"400_0","truncated":true}"#[..], br#"{"id":"400_1","truncated":true}"#];
    assert_eq!(cut, BTreeSet::from(expected), "all others are whole");
}

#[test]
fn rows_that_were_logged_before_max_record_was_lowered_are_sent_with_less_in_them() {
    let brokers = brokers();
    let topic = topic(&brokers, "lowered", 1);
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    gateway.append(&topic, 0..10, 50_000);
    gateway.append(&topic, 10..20, 500);
    let mut kafka = config(&brokers);
    kafka.record_bytes_max = 10_000;
    let publisher = gateway.publish(&kafka, folder.path());
    gateway.until_delivered(&publisher, 40);
    until(&publisher, "the count", |s| s.lanes.iter().map(|lane| lane.shortened).sum::<u64>() == 20);
    assert_nothing_is_missing(&read_topic(&brokers, &topic, 1), 40);
}

#[test]
fn a_damaged_range_of_the_log_goes_through_the_topic_to_the_drain() {
    let brokers = brokers();
    let topic = topic(&brokers, "damaged", 4);
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::open(folder.path());
    gateway.append(&topic, 0..40, 100); // ten calls, twenty rows in each lane
    gateway.logs.close();
    drop(gateway);
    // One byte of a row's text in the middle of the segment of lane 0.
    let lane = folder.path().join("log").join(&topic).join("0");
    let segment =
        std::fs::read_dir(&lane).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension() == Some("seg".as_ref()));
    let segment = segment.unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let pads: Vec<usize> = bytes.windows(8).enumerate().filter(|(_, w)| w == b"xxxxxxxx").map(|(at, _)| at).collect();
    bytes[pads[pads.len() / 2]] = b'y';
    std::fs::write(&segment, bytes).unwrap();

    let gateway = Gateway::open(folder.path());
    let publisher = gateway.publish(&config(&brokers), folder.path());
    gateway.until_delivered(&publisher, 80);
    assert_eq!(publisher.stop(PATIENCE).backlog, 0);
    let spool = folder.path().join("spool");
    let drain = config::Drain {
        topics: Vec::new(),
        group: name("group"),
        start_earliest: true,
        spool_bytes_max: 64 << 20,
        resend_window: Duration::from_secs(3600),
    };
    let picker = TopicPicker::fixed(vec![topic.clone()]);
    let mut source = KafkaSource::start(&config(&brokers), &drain, picker, spool, "here", Reach::ToEnd).unwrap();
    let watch = source.watch();
    let deadline = Instant::now() + PATIENCE;
    let mut partitions = Vec::new();
    while !watch.at_end() {
        assert!(Instant::now() < deadline, "{:?}", watch.status());
        for event in source.poll(Duration::from_millis(50)).unwrap() {
            if let Event::Assigned { partition, bounds } = event {
                source.seek(&partition, bounds.start).unwrap();
                partitions.push(partition);
            }
        }
    }
    // Row after row of each lane, with one message that stands for the two rows of the call.
    let mut damaged = Vec::new();
    for partition in &partitions {
        let mut messages = source.read(partition, 0, u64::MAX).unwrap();
        let mut next = 0;
        while let Some(message) = messages.next().unwrap() {
            assert_eq!(message.seq, Some(next));
            next = message.damaged.as_ref().map_or(next + 1, |d| d.next);
            if message.damaged.is_some() {
                damaged.push(message);
            }
        }
        assert_eq!(next, 20);
    }
    assert_eq!(damaged.len(), 1);
    let message = &damaged[0];
    let seq = message.seq.unwrap();
    let range = message.damaged.as_ref().unwrap();
    assert_eq!((seq % 2, range.next), (0, seq + 2), "one call");
    assert!(range.why.contains(&format!("rows {seq}..{}", range.next)), "{}", range.why);
    let record: serde_json::Value = serde_json::from_slice(message.value.as_ref().unwrap()).unwrap();
    let error = record["error"].as_str().unwrap();
    assert!(error.contains("checksum") && error.contains(&format!("rows {seq}..{}", range.next)), "{error}");
    assert!(message.source.as_ref().unwrap().contains("-0-"), "of lane 0: {:?}", message.source);
}
