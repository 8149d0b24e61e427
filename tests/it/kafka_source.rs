//! Reading topics: against a real broker.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use weir::config;
use weir::source::kafka::{KafkaSource, KafkaWatch, Reach, TopicPicker};
use weir::source::{Before, Bounds, ContentType, Event, Message, PartitionId, Source};

use crate::support::kafka::{Broker, admin, block_on, brokers, client, config, create, name, topic};
use crate::support::{PATIENCE, until, until_ok};

fn drain(group: &str, spool_bytes_max: u64) -> config::Drain {
    config::Drain {
        topics: Vec::new(),
        group: group.into(),
        start_earliest: true,
        spool_bytes_max,
        resend_window: Duration::from_secs(7 * 24 * 3600),
    }
}

/// A source and what it has said.
struct Reading {
    source: KafkaSource,
    watch: KafkaWatch,
    assigned: BTreeMap<PartitionId, Bounds>,
    /// Per partition: next, messages, bytes.
    at_hand: BTreeMap<PartitionId, (u64, u64, u64)>,
    revoked: Vec<PartitionId>,
    _folder: tempfile::TempDir,
}

impl Reading {
    fn start(brokers: &str, picker: TopicPicker, reach: Reach) -> Reading {
        Reading::with(brokers, picker, reach, &name("group"), "here", 64 << 20)
    }

    fn with(brokers: &str, picker: TopicPicker, reach: Reach, group: &str, root: &str, spool: u64) -> Reading {
        let folder = tempfile::tempdir().unwrap();
        let spool_dir = folder.path().join("spool");
        let source =
            KafkaSource::start(&config(brokers), &drain(group, spool), picker, spool_dir, root, reach).unwrap();
        let watch = source.watch();
        Reading {
            source,
            watch,
            assigned: BTreeMap::new(),
            at_hand: BTreeMap::new(),
            revoked: Vec::new(),
            _folder: folder,
        }
    }

    /// Takes events until `done`.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Reading) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "waited for {what}: {:?}", self.watch.status());
            for event in self.source.poll(Duration::from_millis(100)).unwrap() {
                match event {
                    Event::Assigned { partition, bounds } => {
                        self.assigned.insert(partition, bounds);
                    }
                    Event::Revoked { partition } => {
                        self.assigned.remove(&partition);
                        self.at_hand.remove(&partition);
                        self.revoked.push(partition);
                    }
                    Event::Message(p) => {
                        self.at_hand.insert(p.partition, (p.next, p.messages, p.bytes));
                    }
                }
            }
        }
    }

    fn until_assigned(&mut self, partitions: usize) {
        self.until("partitions", |r| r.assigned.len() == partitions);
    }

    fn seek_all_to_start(&mut self) {
        for (partition, bounds) in self.assigned.clone() {
            self.source.seek(&partition, bounds.start).unwrap();
        }
    }

    fn until_next(&mut self, partition: &PartitionId, next: u64) {
        self.until("a position", |r| r.at_hand.get(partition).is_some_and(|(n, _, _)| *n >= next));
    }

    /// The record before an offset, if the source can tell. A question waits for seconds only: it is asked again.
    fn before(&mut self, partition: &PartitionId, next: u64) -> Option<Message> {
        let answer =
            until_ok("kafka answers", || self.source.record_before(partition, next).map_err(|error| error.to_string()));
        match answer {
            Before::Known(message) => Some(message),
            Before::Unknown | Before::NotThere => None,
        }
    }

    /// Where a partition begins and ends now.
    fn bounds(&mut self, partition: &PartitionId) -> Option<Bounds> {
        until_ok("kafka answers", || self.source.bounds(partition).map_err(|error| error.to_string()))
    }

    fn read(&mut self, partition: &PartitionId, from: u64, to: u64) -> Vec<Message> {
        let mut messages = self.source.read(partition, from, to).unwrap();
        let mut found = Vec::new();
        while let Some(message) = messages.next().unwrap() {
            found.push(message);
        }
        found
    }
}

fn id(topic: &str, partition: u32) -> PartitionId {
    PartitionId { topic: topic.into(), origin: topic.into(), partition }
}

fn picker(topic: &str) -> TopicPicker {
    TopicPicker::fixed(vec![topic.to_owned()])
}

fn producer(brokers: &str) -> BaseProducer {
    client(brokers).set("linger.ms", "5").set("queue.buffering.max.kbytes", "262144").create().unwrap()
}

/// Sends `value(i)` for each `i` to one partition.
fn produce(brokers: &str, topic: &str, partition: i32, range: std::ops::Range<u64>, value: impl Fn(u64) -> Vec<u8>) {
    let producer = producer(brokers);
    for i in range {
        let value = value(i);
        producer
            .send(BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(&value))
            .map_err(|(e, _)| e)
            .unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn offsets(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|m| m.offset).collect()
}

#[test]
fn a_topic_of_any_producer_is_read_whole_and_again_from_any_offset() {
    let brokers = brokers();
    let topic = topic(&brokers, "foreign", 2);
    produce(&brokers, &topic, 0, 0..5_000, |i| format!("{{\"id\":{i}}}").into_bytes());
    produce(&brokers, &topic, 1, 0..10, |i| vec![i as u8; 3]);
    let mut reading = Reading::start(&brokers, picker(&topic), Reach::Follow);
    reading.until_assigned(2);
    let zero = id(&topic, 0);
    let consumer: BaseConsumer = client(&brokers).create().unwrap();
    let cluster = consumer.client().fetch_cluster_id(PATIENCE).unwrap();
    let expected = Bounds { start: 0, end: 5_000, topic_id: format!("{cluster}/{topic}"), hint: None };
    assert_eq!(reading.assigned[&zero], expected);
    // Nothing comes before the drain has said where to begin.
    assert!(reading.source.poll(Duration::from_millis(300)).unwrap().is_empty());
    reading.source.seek(&zero, 0).unwrap();
    reading.until_next(&zero, 5_000);
    assert_eq!(reading.at_hand.len(), 1, "only the sought partition is read");
    let all = reading.read(&zero, 0, u64::MAX);
    assert_eq!(offsets(&all), (0..5_000).collect::<Vec<_>>());
    assert_eq!(all[4_321].value.as_deref(), Some(&b"{\"id\":4321}"[..]));
    assert_eq!(offsets(&reading.read(&zero, 17, 20)), [17, 18, 19]);
    assert_eq!(reading.at_hand[&zero].1, 5_000);

    reading.source.commit(&zero, 4_000).unwrap();
    assert_eq!(offsets(&reading.read(&zero, 0, u64::MAX))[0], 4_000, "what is stored is cut");
    for (to, count) in [(100, 4_900), (4_990, 10), (0, 5_000)] {
        reading.source.seek(&zero, to).unwrap();
        reading.at_hand.clear();
        reading.until_next(&zero, 5_000);
        assert_eq!(offsets(&reading.read(&zero, 0, u64::MAX)), (to..5_000).collect::<Vec<_>>());
        assert_eq!(reading.at_hand[&zero].1, count);
    }
    // What is sent now comes too.
    produce(&brokers, &topic, 0, 5_000..5_100, |i| format!("{{\"id\":{i}}}").into_bytes());
    reading.until_next(&zero, 5_100);
    assert_eq!(offsets(&reading.read(&zero, 5_000, 6_000)), (5_000..5_100).collect::<Vec<_>>());
}

#[test]
fn headers_keys_tombstones_and_timestamps_arrive() {
    let brokers = brokers();
    let topic = topic(&brokers, "headers", 1);
    let producer = producer(&brokers);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "content-type", value: Some("application/x-protobuf") })
        .insert(Header { key: "source", value: Some("00000000000000000000000000000007-0-00000001") })
        .insert(Header { key: "seq", value: Some("41") })
        .insert(Header { key: "seq-next", value: Some("44") });
    let full = BaseRecord::to(&topic).partition(0).key("k").payload("v").timestamp(1_234_567).headers(headers);
    producer.send(full).map_err(|(e, _)| e).unwrap();
    let strange = OwnedHeaders::new()
        .insert(Header { key: "source", value: Some("orders") })
        .insert(Header { key: "seq", value: Some("41") })
        .insert(Header { key: "seq-next", value: Some("18446744073709551615") });
    let theirs = BaseRecord::<str, str>::to(&topic).partition(0).payload("v").headers(strange);
    producer.send(theirs).map_err(|(e, _)| e).unwrap();
    let strange = OwnedHeaders::new()
        .insert(Header { key: "seq", value: Some("not a number") })
        .insert(Header::<&[u8]> { key: "source", value: None })
        .insert(Header { key: "content-type", value: Some(&b"\xff\xfe"[..]) });
    let tombstone = BaseRecord::<str, str>::to(&topic).partition(0).key("k").headers(strange);
    producer.send(tombstone).map_err(|(e, _)| e).unwrap();
    producer.flush(PATIENCE).unwrap();
    let mut reading = Reading::start(&brokers, picker(&topic), Reach::Follow);
    reading.until_assigned(1);
    reading.seek_all_to_start();
    let zero = id(&topic, 0);
    reading.until_next(&zero, 3);
    let messages = reading.read(&zero, 0, 3);
    let first = &messages[0];
    assert_eq!((first.timestamp_ms, first.create_time, first.content_type), (1_234_567, true, ContentType::Protobuf));
    assert_eq!((first.key.as_deref(), first.value.as_deref()), (Some(&b"k"[..]), Some(&b"v"[..])));
    assert_eq!((first.source.as_deref(), first.seq), (Some("00000000000000000000000000000007-0-00000001"), Some(41)));
    assert_eq!(first.damaged.as_ref().map(|d| d.next), Some(44));
    assert_eq!(messages[1].damaged, None, "only weir's own logs have damaged ranges");
    let second = &messages[2];
    assert_eq!((second.value.as_deref(), second.source.as_deref(), second.seq), (None, None, None));
    assert_eq!((second.content_type, second.damaged.is_none()), (ContentType::Json, true));
}

/// K22.
#[test]
fn gaps_of_transactions_are_covered_up_to_the_end() {
    let brokers = brokers();
    let topic = topic(&brokers, "transactions", 1);
    let producer: BaseProducer = client(&brokers).set("transactional.id", name("tx")).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    let batch = |range: std::ops::Range<u64>| {
        producer.begin_transaction().unwrap();
        for i in range {
            let value = i.to_string();
            producer.send(BaseRecord::<(), str>::to(&topic).partition(0).payload(&value)).map_err(|(e, _)| e).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    };
    batch(0..3); // offsets 0, 1, 2, marker 3
    producer.commit_transaction(PATIENCE).unwrap();
    batch(3..6); // aborted: 4, 5, 6, marker 7
    producer.abort_transaction(PATIENCE).unwrap();
    batch(6..8); // 8, 9, marker 10
    producer.commit_transaction(PATIENCE).unwrap();
    batch(8..9); // aborted: 11, marker 12
    producer.abort_transaction(PATIENCE).unwrap();
    let zero = id(&topic, 0);
    for reach in [Reach::Follow, Reach::ToEnd] {
        let mut reading = Reading::start(&brokers, picker(&topic), reach);
        reading.until_assigned(1);
        assert_eq!(reading.assigned[&zero].end, 13);
        reading.seek_all_to_start();
        reading.until_next(&zero, 13);
        assert_eq!(reading.at_hand[&zero].0, 13, "the last marker is inside the range");
        assert_eq!(offsets(&reading.read(&zero, 0, 13)), [0, 1, 2, 8, 9]);
        if reach == Reach::ToEnd {
            reading.until("the end", |r| r.watch.at_end());
        }
        // Nothing but aborted records after the seek: the position still gets to the end.
        reading.source.seek(&zero, 10).unwrap();
        reading.at_hand.clear();
        reading.until_next(&zero, 13);
        assert_eq!(offsets(&reading.read(&zero, 0, 13)), [0_u64; 0]);
    }
    // An open transaction: once mode ends before it.
    batch(9..10);
    let mut reading = Reading::start(&brokers, picker(&topic), Reach::ToEnd);
    reading.until_assigned(1);
    reading.seek_all_to_start();
    reading.until("the end", |r| r.watch.at_end());
    assert_eq!(offsets(&reading.read(&zero, 0, u64::MAX)), [0, 1, 2, 8, 9]);
    producer.abort_transaction(PATIENCE).unwrap();
}

#[test]
fn once_mode_stops_where_the_topic_ended_when_it_began() {
    let brokers = brokers();
    let topic = topic(&brokers, "once", 3);
    produce(&brokers, &topic, 1, 0..100, |i| i.to_string().into_bytes());
    let mut reading = Reading::start(&brokers, picker(&topic), Reach::ToEnd);
    reading.until_assigned(3);
    assert!(!reading.watch.at_end());
    produce(&brokers, &topic, 1, 100..200, |i| i.to_string().into_bytes());
    produce(&brokers, &topic, 2, 0..5, |i| i.to_string().into_bytes());
    reading.seek_all_to_start();
    reading.until("the end", |r| r.watch.at_end());
    reading.until_next(&id(&topic, 1), 100);
    assert_eq!(reading.at_hand[&id(&topic, 1)].0, 100);
    assert_eq!(reading.read(&id(&topic, 1), 0, u64::MAX).len(), 100);
    assert_eq!(reading.read(&id(&topic, 2), 0, u64::MAX).len(), 0);
}

/// K20.
#[test]
fn a_full_spool_pauses_reading_and_nothing_is_lost() {
    let brokers = brokers();
    let topic = topic(&brokers, "full", 2);
    for partition in 0..2 {
        produce(&brokers, &topic, partition, 0..400, |i| vec![i as u8; 100_000]); // 40 MB each
    }
    let max = 16 << 20;
    let mut reading = Reading::with(&brokers, picker(&topic), Reach::ToEnd, &name("group"), "here", max);
    reading.until_assigned(2);
    reading.seek_all_to_start();
    let mut next: BTreeMap<PartitionId, u64> = reading.assigned.keys().map(|p| (p.clone(), 0)).collect();
    let mut pauses = 0;
    while next.values().any(|n| *n < 400) {
        reading.until("a full spool or the end", |r| r.watch.status().paused || r.watch.at_end());
        pauses += usize::from(reading.watch.status().paused);
        assert!(reading.source.full() || !reading.watch.status().paused, "the drain is told that it has to store");
        let used = reading.watch.status().spool_bytes;
        // Over by no more than what librdkafka had fetched before the pause took hold.
        assert!(used <= max + (2 << 20), "{used} bytes are at hand");
        for (partition, from) in &mut next {
            let messages = reading.read(partition, *from, u64::MAX);
            for message in &messages {
                assert_eq!(message.offset, *from, "no gap, nothing twice");
                assert_eq!(message.value.as_deref(), Some(&vec![*from as u8; 100_000][..]));
                *from += 1;
            }
            reading.source.commit(partition, *from).unwrap();
        }
    }
    assert!(pauses >= 2);
}

#[test]
fn a_broker_that_is_down_at_the_start_and_later_is_waited_for() {
    let mut broker = Broker::prepare();
    let address = broker.address().to_owned();
    let topic = name("late");
    let mut reading = Reading::start(&address, picker(&topic), Reach::Follow);
    let unreachable = format!("no broker of {address} can be reached (");
    reading.until("a complaint", |r| r.watch.status().problem.is_some_and(|p| p.message.starts_with(&unreachable)));
    assert!(!reading.source.announced(), "nobody knows what exists");
    broker.up();
    reading.until("the missing topic", |r| r.watch.status().missing == [topic.clone()]);
    create(&address, &topic, 1);
    produce(&address, &topic, 0, 0..10, |i| i.to_string().into_bytes());
    reading.until_assigned(1);
    reading.seek_all_to_start();
    let zero = id(&topic, 0);
    reading.until_next(&zero, 10);
    assert!(!reading.watch.at_end(), "only once mode has an end");
    broker.kill();
    broker.up();
    produce(&address, &topic, 0, 10..20, |i| i.to_string().into_bytes());
    reading.until_next(&zero, 20);
    assert_eq!(offsets(&reading.read(&zero, 0, 100)), (0..20).collect::<Vec<_>>());
    reading.until("no complaint", |r| r.watch.status().problem.is_none());
}

#[test]
fn topics_that_appear_later_and_patterns_are_found() {
    let brokers = brokers();
    let family = name("family");
    let first = format!("{family}-a");
    create(&brokers, &first, 1);
    create(&brokers, &format!("x{family}-a"), 1);
    let mut reading = Reading::start(&brokers, picker(&format!("{family}-*")), Reach::Follow);
    reading.until_assigned(1);
    let second = format!("{family}-b");
    create(&brokers, &second, 2);
    reading.until_assigned(3);
    assert_eq!(reading.assigned.keys().cloned().collect::<Vec<_>>(), [id(&first, 0), id(&second, 0), id(&second, 1)]);
}

#[test]
fn a_committed_offset_is_a_hint_for_the_same_root_only() {
    let brokers = brokers();
    let topic = topic(&brokers, "hint", 1);
    produce(&brokers, &topic, 0, 0..10, |i| i.to_string().into_bytes());
    let (group, zero) = (name("group"), id(&topic, 0));
    let mut reading = Reading::with(&brokers, picker(&topic), Reach::Follow, &group, "s3://here", 64 << 20);
    reading.until_assigned(1);
    reading.seek_all_to_start();
    reading.until_next(&zero, 10);
    reading.source.commit(&zero, 7).unwrap();
    drop(reading); // commits at its end
    let hint = |root| {
        let mut reading = Reading::with(&brokers, picker(&topic), Reach::ToEnd, &group, root, 64 << 20);
        reading.until_assigned(1);
        reading.assigned[&zero].hint
    };
    // No commit waits for its own answer.
    until("it is committed", || hint("s3://here") == Some(7));
    assert_eq!(hint("s3://elsewhere"), None);
}

#[test]
fn retention_that_passes_the_position_is_announced() {
    let brokers = brokers();
    let topic = topic(&brokers, "retention", 1);
    produce(&brokers, &topic, 0, 0..100, |i| i.to_string().into_bytes());
    let zero = id(&topic, 0);
    let mut reading = Reading::start(&brokers, picker(&topic), Reach::Follow);
    reading.until_assigned(1);
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(50)).unwrap();
    block_on(admin(&brokers).delete_records(&before, &AdminOptions::new())).unwrap();
    reading.source.seek(&zero, 10).unwrap();
    reading.until("the revocation", |r| r.revoked == [zero.clone()]);
    reading.until_assigned(1);
    assert_eq!((reading.assigned[&zero].start, reading.assigned[&zero].end), (50, 100));
    reading.source.seek(&zero, 50).unwrap();
    reading.until_next(&zero, 100);
    assert_eq!(offsets(&reading.read(&zero, 0, 100)), (50..100).collect::<Vec<_>>());
}

#[test]
fn the_spool_is_gone_when_the_source_is() {
    let brokers = brokers();
    let topic = topic(&brokers, "spool", 1);
    produce(&brokers, &topic, 0, 0..10, |i| i.to_string().into_bytes());
    let mut reading = Reading::start(&brokers, picker(&topic), Reach::Follow);
    reading.until_assigned(1);
    reading.seek_all_to_start();
    reading.until_next(&id(&topic, 0), 10);
    assert_eq!(reading.read(&id(&topic, 0), 0, 10).len(), 10); // written out to be read
    let Reading { source, watch, _folder: folder, .. } = reading;
    let files = |at: &Path| std::fs::read_dir(at.join("spool")).unwrap().count();
    assert_eq!(files(folder.path()), 1);
    drop(source);
    drop(watch);
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn announced_waits_for_partitions_without_a_leader() {
    let mock = MockCluster::new(1).unwrap();
    let topic = "leaderless";
    mock.create_topic(topic, 3, 1).unwrap();
    mock.partition_leader(topic, 2, None).unwrap();
    let mut reading = Reading::start(&mock.bootstrap_servers(), picker(topic), Reach::Follow);
    assert!(!reading.source.announced());
    reading.until_assigned(2);
    std::thread::sleep(Duration::from_secs(1));
    assert!(!reading.source.announced(), "one exists and was not told of");
    mock.partition_leader(topic, 2, Some(1)).unwrap();
    reading.until("the last partition", |r| {
        assert!(!r.source.announced() || r.assigned.len() == 3, "an announcement that was not taken is still to come");
        r.assigned.len() == 3
    });
    reading.until("the end of the look", |r| r.source.announced());
}

#[test]
fn bounds_are_fresh_also_before_the_drain_has_said_where_to_begin() {
    let brokers = brokers();
    let topic = topic(&brokers, "fresh", 1);
    produce(&brokers, &topic, 0, 0..10, |i| i.to_string().into_bytes());
    let zero = id(&topic, 0);
    let mut reading = Reading::start(&brokers, picker(&topic), Reach::Follow);
    reading.until_assigned(1);
    produce(&brokers, &topic, 0, 10..30, |i| i.to_string().into_bytes());
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, Offset::Offset(20)).unwrap();
    block_on(admin(&brokers).delete_records(&before, &AdminOptions::new())).unwrap();
    let fresh = reading.bounds(&zero).unwrap();
    let expected = Bounds { start: 20, end: 30, ..reading.assigned[&zero].clone() };
    assert_eq!(fresh, expected);
    reading.source.seek(&zero, 20).unwrap();
    reading.until_next(&zero, 30);
    assert_eq!(reading.bounds(&zero), Some(expected));
    assert!(reading.source.bounds(&id(&topic, 7)).is_err(), "a partition that was not announced");
}

#[test]
fn the_record_before_an_offset_tells_a_topic_that_was_made_anew() {
    let brokers = brokers();
    let topic = topic(&brokers, "anew", 1);
    produce(&brokers, &topic, 0, 0..20, |i| format!("old {i}").into_bytes());
    let zero = id(&topic, 0);
    let mut reading = Reading::start(&brokers, picker(&topic), Reach::Follow);
    reading.until_assigned(1);
    // Nothing is at hand yet, and nothing moves by it.
    let before = reading.before(&zero, 10).unwrap();
    assert_eq!((before.offset, before.value.as_deref()), (9, Some(&b"old 9"[..])));
    reading.seek_all_to_start();
    reading.until_next(&zero, 20);
    let all = reading.read(&zero, 0, 20);
    for next in [1, 20, 10] {
        let found = reading.before(&zero, next);
        assert_eq!(found.as_ref(), Some(&all[next as usize - 1]), "the same as was read");
    }
    assert_eq!(reading.before(&zero, 0), None);
    assert_eq!(reading.before(&zero, 21), None, "beyond the end");
    produce(&brokers, &topic, 0, 20..25, |i| format!("old {i}").into_bytes());
    reading.until_next(&zero, 25);
    assert_eq!(offsets(&reading.read(&zero, 0, 25)), (0..25).collect::<Vec<_>>(), "reading went on where it was");
    let mut cut = TopicPartitionList::new();
    cut.add_partition_offset(&topic, 0, Offset::Offset(15)).unwrap();
    block_on(admin(&brokers).delete_records(&cut, &AdminOptions::new())).unwrap();
    assert_eq!(reading.before(&zero, 10), None, "gone by retention");
    drop(reading);

    block_on(admin(&brokers).delete_topics(&[&topic], &AdminOptions::new())).unwrap();
    create(&brokers, &topic, 1);
    produce(&brokers, &topic, 0, 0..40, |i| format!("new {i}").into_bytes());
    let mut reading = Reading::start(&brokers, picker(&topic), Reach::Follow);
    reading.until_assigned(1);
    let found = reading.before(&zero, 20).unwrap();
    assert_eq!(found.value.as_deref(), Some(&b"new 19"[..]), "the new topic is longer, and its record is another");
}

#[test]
fn the_record_before_an_offset_may_be_none() {
    let brokers = brokers();
    let topic = topic(&brokers, "marker", 1);
    let producer: BaseProducer = client(&brokers).set("transactional.id", name("tx")).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    let zero = id(&topic, 0);
    for value in ["0", "2"] {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), str>::to(&topic).partition(0).payload(value)).map_err(|(e, _)| e).unwrap();
        producer.commit_transaction(PATIENCE).unwrap(); // its marker takes an offset
    }
    let mut reading = Reading::start(&brokers, picker(&topic), Reach::Follow);
    reading.until_assigned(1);
    let mut before = |next| reading.before(&zero, next).map(|message| message.offset);
    assert_eq!([before(1), before(2), before(3), before(4)], [Some(0), None, Some(2), None]);
}

#[test]
fn a_question_to_brokers_that_are_down_fails_and_the_next_is_not_even_asked() {
    let mut broker = Broker::start();
    let address = broker.address().to_owned();
    let topic = topic(&address, "gone", 1);
    let zero = id(&topic, 0);
    let mut reading = Reading::start(&address, picker(&topic), Reach::Follow);
    reading.until_assigned(1);
    broker.kill();
    assert!(reading.source.record_before(&zero, 1).is_err());
    // Whoever comes later than that is asked for again.
    let again = until_ok("a question is not asked", || {
        let failed = reading.source.bounds(&zero).unwrap_err().to_string();
        if failed.contains("it did not answer a moment ago") { Ok(failed) } else { Err(failed) }
    });
    assert!(again.contains("where it begins and ends") && again.contains(&topic), "{again}");
}
