//! The whole drain on a source in memory and a folder: rows in = rows out, however often it dies.

mod generations;
mod lanes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::footer::Footer;
use super::store::{Content, Created, Folder, Listed, Store, StoreError, read_footer};
use super::triggers::Cause;
use super::*;
use crate::record::ContentType;
use crate::source::{Before, Bounds, Event, Message, Messages, PartitionId, Progress, SourceError};

const PATIENCE: Duration = Duration::from_secs(60);

/// A topic that outlives the drains that read it.
#[derive(Clone, Default)]
struct Topic(Arc<Mutex<TopicInner>>);

#[derive(Default)]
struct TopicInner {
    partitions: Vec<Vec<Message>>,
    /// First offset that exists.
    starts: Vec<u64>,
    committed: BTreeMap<u32, u64>,
    id: String,
    /// One partition is told of at a time, so long after the last.
    slowly: Option<Duration>,
    /// Reading partition 0 panics.
    panics: bool,
    /// What lies beyond has not arrived.
    arrived: Option<u64>,
    full: bool,
}

impl Topic {
    fn new(partitions: usize) -> Topic {
        let topic = Topic::default();
        topic.with(|inner| {
            inner.partitions.resize(partitions, Vec::new());
            inner.starts.resize(partitions, 0);
            inner.id = "topic-1".into();
        });
        topic
    }

    fn with<T>(&self, f: impl FnOnce(&mut TopicInner) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    fn send(&self, partition: u32, rows: u64) {
        self.send_at(partition, rows, 1_795_564_800_000);
    }

    fn send_at(&self, partition: u32, rows: u64, timestamp_ms: i64) {
        self.with(|inner| {
            let log = &mut inner.partitions[partition as usize];
            for _ in 0..rows {
                let offset = log.last().map_or(0, |last| last.offset + 1);
                log.push(Message {
                    offset,
                    timestamp_ms,
                    create_time: false,
                    key: None,
                    value: Some(row(partition, offset)),
                    content_type: ContentType::Json,
                    source: Some(format!("{:032x}-{partition}-00000001", 7).into()),
                    seq: Some(offset),
                    damaged: None,
                });
            }
        });
    }

    fn rows(&self) -> u64 {
        self.with(|inner| inner.partitions.iter().map(|log| log.len() as u64).sum())
    }

    fn committed(&self) -> BTreeMap<u32, u64> {
        self.with(|inner| inner.committed.clone())
    }
}

fn row(partition: u32, offset: u64) -> Bytes {
    let id = format!("{partition}-{offset}");
    let text = format!(
        r#"{{"id":"{id}","model_name":"m","model_version":null,"inputs":{{"x":{offset}.5}},"outputs":{{"y":true}},"parse_status":"ok","status_code":200}}"#
    );
    Bytes::from(text)
}

struct MemorySource {
    topic: Topic,
    assigned: u32,
    assigned_at: Instant,
    from: BTreeMap<u32, u64>,
    told: BTreeMap<u32, u64>,
}

impl MemorySource {
    fn boxed(topic: &Topic) -> Box<dyn Source> {
        let assigned_at = Instant::now();
        Box::new(MemorySource {
            topic: topic.clone(),
            assigned_at,
            assigned: 0,
            from: BTreeMap::new(),
            told: BTreeMap::new(),
        })
    }
}

fn partition_id(partition: u32) -> PartitionId {
    PartitionId { topic: "churn".into(), origin: "churn".into(), partition }
}

struct Rows(std::vec::IntoIter<Message>, bool);

impl Messages for Rows {
    fn next(&mut self) -> Result<Option<Message>, SourceError> {
        assert!(!self.1, "the record's fault");
        Ok(self.0.next())
    }
}

impl Source for MemorySource {
    fn poll(&mut self, wait: Duration) -> Result<Vec<Event>, SourceError> {
        let mut events = Vec::new();
        let (partitions, id, slowly) =
            self.topic.with(|inner| (inner.partitions.clone(), inner.id.clone(), inner.slowly));
        for (partition, log) in (0u32..).zip(&partitions) {
            let end = log.last().map_or(0, |last| last.offset + 1);
            let due = slowly.is_none_or(|wait| self.assigned_at.elapsed() > wait);
            if partition == self.assigned && due {
                (self.assigned, self.assigned_at) = (partition + 1, Instant::now());
                let start = self.topic.with(|inner| inner.starts[partition as usize]);
                let hint = self.topic.committed().get(&partition).copied();
                let bounds = Bounds { start, end, topic_id: id.clone(), hint };
                events.push(Event::Assigned { partition: partition_id(partition), bounds });
            }
            let Some(&from) = self.from.get(&partition) else { continue };
            let end = end.min(self.topic.with(|inner| inner.arrived).unwrap_or(u64::MAX));
            if end > self.told[&partition].max(from) {
                self.told.insert(partition, end);
                let waiting: Vec<_> = log.iter().filter(|message| (from..end).contains(&message.offset)).collect();
                events.push(Event::Message(Progress {
                    partition: partition_id(partition),
                    next: end,
                    messages: waiting.len() as u64,
                    bytes: waiting.iter().map(|message| message.value.as_ref().map_or(0, Bytes::len) as u64).sum(),
                }));
            }
        }
        if events.is_empty() {
            std::thread::sleep(wait.min(Duration::from_millis(2)));
        }
        Ok(events)
    }

    fn seek(&mut self, partition: &PartitionId, offset: u64) -> Result<(), SourceError> {
        self.from.insert(partition.partition, offset);
        self.told.insert(partition.partition, offset);
        Ok(())
    }

    fn read(&mut self, partition: &PartitionId, from: u64, to: u64) -> Result<Box<dyn Messages>, SourceError> {
        let log = self.topic.with(|inner| inner.partitions[partition.partition as usize].clone());
        let range: Vec<_> = log.into_iter().filter(|message| (from..to).contains(&message.offset)).collect();
        let panics = partition.partition == 0 && self.topic.with(|inner| inner.panics);
        Ok(Box::new(Rows(range.into_iter(), panics)))
    }

    fn commit(&mut self, partition: &PartitionId, next: u64) -> Result<(), SourceError> {
        self.from.insert(partition.partition, next);
        self.topic.with(|inner| inner.committed.insert(partition.partition, next));
        Ok(())
    }

    fn bounds(&mut self, partition: &PartitionId) -> Result<Option<Bounds>, SourceError> {
        let partition = partition.partition;
        Ok(self.topic.with(|inner| {
            let log = &inner.partitions[partition as usize];
            let (start, end) = (inner.starts[partition as usize], log.last().map_or(0, |last| last.offset + 1));
            Some(Bounds { start, end, topic_id: inner.id.clone(), hint: inner.committed.get(&partition).copied() })
        }))
    }

    fn full(&self) -> bool {
        self.topic.with(|inner| inner.full)
    }

    fn announced(&self) -> bool {
        self.topic.with(|inner| inner.slowly.is_none() || self.assigned as usize == inner.partitions.len())
    }

    fn record_before(&mut self, partition: &PartitionId, next: u64) -> Result<Before, SourceError> {
        let log = self.topic.with(|inner| inner.partitions[partition.partition as usize].clone());
        Ok(log.into_iter().rfind(|message| message.offset < next).map_or(Before::Unknown, Before::Known))
    }
}

/// A folder that fails now and then: before the create, or after it with the answer lost.
struct Moody {
    folder: Folder,
    calls: AtomicU32,
    calm: AtomicBool,
    /// Nothing is created and nothing answered.
    deaf: AtomicBool,
}

impl Moody {
    fn mood(&self) -> u32 {
        match self.calm.load(Ordering::Relaxed) {
            true => 0,
            false => self.calls.fetch_add(1, Ordering::Relaxed) % 5,
        }
    }
}

fn unanswered() -> StoreError {
    StoreError::Unanswered { action: "create", object: "x".into(), why: "connection reset".into() }
}

impl Store for Moody {
    fn create(&self, key: &str, content: Content<'_>) -> Result<Created, StoreError> {
        let mood = self.mood();
        if mood == 1 || self.deaf.load(Ordering::Relaxed) {
            return Err(unanswered());
        }
        let created = self.folder.create(key, content)?;
        if mood == 3 { Err(unanswered()) } else { Ok(created) }
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.folder.get(key)
    }

    fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.folder.tail(key, bytes)
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        self.folder.list(prefix, after)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.folder.folders(prefix)
    }

    fn address(&self) -> String {
        self.folder.address()
    }
}

struct World {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
    topic: Topic,
    roll_every: Duration,
    roll_bytes: u64,
    earliest: bool,
}

impl World {
    fn new(partitions: usize) -> World {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Folder::open(&dir.path().join("parquet")).unwrap());
        World {
            dir,
            store,
            topic: Topic::new(partitions),
            roll_every: Duration::from_millis(20),
            roll_bytes: 128 << 20,
            earliest: true,
        }
    }

    fn start_in(&self, data_dir: &Path) -> Drain {
        self.start_on(data_dir, MemorySource::boxed(&self.topic))
    }

    fn start_on(&self, data_dir: &Path, source: Box<dyn Source>) -> Drain {
        Drain::start(self.config(data_dir), self.store.clone(), source).unwrap()
    }

    fn config(&self, data_dir: &Path) -> DrainConfig {
        DrainConfig {
            drain: config::Drain {
                topics: Vec::new(),
                group: "weir-drain".into(),
                start_earliest: self.earliest,
                spool_bytes_max: 4 << 30,
                resend_window: Duration::from_secs(7 * 86_400),
            },
            store: config::Store {
                to: config::StoreTo::Folder(self.dir.path().join("parquet")),
                roll_bytes: self.roll_bytes,
                roll_every: self.roll_every,
                partition: config::Partitioning::Day,
                parquet: config::Parquet {
                    zstd_level: 1,
                    row_group_rows: 131_072,
                    encodings: config::Encodings::Compatible,
                },
                columns_max: 1_000,
                tables: BTreeMap::new(),
            },
            data_dir: data_dir.to_owned(),
            waiting_bytes_max: 1 << 30,
            store_tested: false,
            meters: crate::telemetry::Meters::new().drain(),
        }
    }

    fn start(&self) -> Drain {
        self.start_in(&self.dir.path().join("data"))
    }

    fn files(&self) -> Vec<(String, Footer)> {
        let listed = self.store.list("churn/dt=", None).unwrap();
        let read = |object: Listed| {
            let footer = read_footer(&*self.store, &object.key).unwrap().unwrap();
            (object.key, footer)
        };
        listed.into_iter().map(read).collect()
    }

    /// Every row of the topic is in exactly one file, the chains are whole, and the equation holds.
    fn whole(&self) -> Vec<(String, Footer)> {
        let files = self.files();
        let mut stored: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let mut next: BTreeMap<u32, u64> = BTreeMap::new();
        for (key, footer) in &files {
            let partition = footer.chain.partition;
            assert_eq!(footer.first, next.get(&partition).copied().unwrap_or(0), "{key} follows its predecessor");
            next.insert(partition, footer.next);
            let offsets = offsets(&*self.store, key);
            assert_eq!(offsets.len() as u64, footer.rows, "{key}");
            let totals = footer.totals;
            assert_eq!(totals.consumed, totals.stored + totals.resent);
            stored.entry(partition).or_default().extend(offsets);
        }
        for (partition, log) in (0u32..).zip(self.topic.with(|inner| inner.partitions.clone())) {
            let mut seqs = BTreeSet::new();
            let sent: Vec<u64> = log.iter().filter(|m| seqs.insert(m.seq.unwrap())).map(|m| m.offset).collect();
            assert_eq!(stored.remove(&partition).unwrap_or_default(), sent, "partition {partition}");
        }
        files
    }
}

/// The `_offset` column of a file.
fn offsets(store: &dyn Store, key: &str) -> Vec<u64> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::UInt64Type;
    let bytes = store.get(key).unwrap().unwrap();
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    let mut offsets = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column =
            arrow_cast::cast(batch.column_by_name("_offset").unwrap(), &arrow_schema::DataType::UInt64).unwrap();
        offsets.extend(column.as_primitive::<UInt64Type>().values());
    }
    offsets
}

fn until(drain: &Drain, what: &str, met: impl Fn(&Status) -> bool) -> Status {
    let by = Instant::now() + PATIENCE;
    loop {
        let status = drain.status();
        if met(&status) {
            return status;
        }
        assert!(Instant::now() < by, "{what}: {status:#?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn rows_in_are_rows_out_and_the_totals_say_so() {
    let world = World::new(3);
    world.topic.send(0, 1_000);
    world.topic.send(1, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    assert_eq!(
        drain.status().totals,
        status::TotalsStatus { consumed: 1_010, stored: 1_010, resent: 0, quarantined: 0 }
    );
    world.topic.send(1, 5);
    world.topic.send(2, 7);
    drain.drain_now(PATIENCE).unwrap();
    assert_eq!(world.topic.committed(), BTreeMap::from([(0, 1_000), (1, 15), (2, 7)]));
    assert!(drain.stop(PATIENCE).all_stored());
    let files = world.whole();
    assert_eq!(files.len(), 4);
    assert!(std::fs::read_dir(world.dir.path().join("data/tmp")).unwrap().next().is_none(), "nothing is left over");
}

#[test]
fn a_store_that_has_passed_its_self_test_is_not_tested_again() {
    for tested in [true, false] {
        let world = World::new(1);
        world.topic.send(0, 3);
        let config = DrainConfig { store_tested: tested, ..world.config(&world.dir.path().join("data")) };
        let drain = Drain::start(config, world.store.clone(), MemorySource::boxed(&world.topic)).unwrap();
        drain.drain_now(PATIENCE).unwrap();
        assert_eq!(world.store.get(store::SELF_TEST).unwrap().is_none(), tested);
    }
}

#[test]
fn a_range_closes_by_age_without_anybody_asking() {
    let world = World::new(1);
    world.topic.send(0, 3);
    let drain = world.start();
    let status = until(&drain, "stored by age", |status| status.totals.stored == 3);
    assert_eq!(status.partitions[0].last_file.as_ref().unwrap().cause, Some(Cause::Age));
    world.topic.send(0, 3);
    until(&drain, "and again", |status| status.totals.stored == 6);
    drop(drain);
    world.whole();
}

#[test]
fn stopping_stores_what_is_at_hand() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(2) };
    world.topic.send(0, 100);
    let drain = world.start();
    until(&drain, "collected", |status| status.partitions.iter().any(|partition| partition.rows == 100));
    let report = drain.stop(PATIENCE);
    assert!(report.all_stored(), "{report:?}");
    let files = world.whole();
    assert_eq!(files.len(), 1);
}

#[test]
fn a_drain_that_dies_anywhere_loses_and_doubles_nothing() {
    let world = World::new(2);
    let mut dice = 7u64;
    for round in 0..40 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        world.topic.send((round % 2) as u32, 50);
        let drain = world.start();
        let stored = world.topic.rows() * (dice >> 60) / 16;
        let by = Instant::now() + Duration::from_millis(60);
        while drain.status().totals.stored < stored && Instant::now() < by {
            std::thread::yield_now();
        }
        // Dropped: it ends where it stands, its uploads run on.
        drop(drain);
    }
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    assert_eq!(drain.status().totals.stored, world.topic.rows());
    drop(drain);
    world.whole();
}

#[test]
fn a_store_that_fails_and_loses_answers_only_delays() {
    let world = World::new(2);
    let folder = Folder::open(&world.dir.path().join("parquet")).unwrap();
    let world = World {
        store: Arc::new(Moody {
            folder,
            calls: AtomicU32::new(0),
            calm: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
        }),
        ..world
    };
    let drain = world.start();
    for _ in 0..10 {
        world.topic.send(0, 20);
        world.topic.send(1, 20);
        drain.drain_now(PATIENCE).unwrap();
    }
    assert_eq!(drain.status().last_error, None, "what works again is no error any more");
    drop(drain);
    world.whole();
}

#[test]
fn two_drains_on_one_root_share_one_chain() {
    let world = World::new(2);
    let drains = [world.start_in(&world.dir.path().join("a")), world.start_in(&world.dir.path().join("b"))];
    for round in 0..30 {
        world.topic.send(round % 2, 30);
        std::thread::sleep(Duration::from_millis(3));
    }
    for drain in &drains {
        drain.drain_now(PATIENCE).unwrap();
        assert_eq!(drain.status().totals.stored, world.topic.rows());
    }
    drop(drains);
    world.whole();
}

#[test]
fn a_later_date_begins_a_new_file() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(1) };
    world.topic.send_at(0, 10, 1_795_564_800_000);
    world.topic.send_at(0, 10, 1_795_564_800_000 + 86_400_000);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    let dates: Vec<_> = world.whole().into_iter().map(|(_, footer)| footer.dt.to_string()).collect();
    assert_eq!(dates, ["2026-11-25", "2026-11-26"]);
}

#[test]
fn a_large_backlog_becomes_files_of_the_size_that_was_asked_for() {
    let world = World { roll_bytes: 16 * 1024, roll_every: Duration::from_secs(3_600), ..World::new(1) };
    world.topic.send(0, 20_000);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    let files = world.whole();
    assert!(files.len() > 3, "{} files", files.len());
}

#[test]
fn rows_that_were_sent_again_are_stored_once() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    world.topic.with(|inner| {
        let log = &mut inner.partitions[0];
        let again: Vec<_> = (0..5).map(|at| Message { offset: 10 + at as u64, ..log[at].clone() }).collect();
        log.extend(again);
    });
    drain.drain_now(PATIENCE).unwrap();
    assert_eq!(drain.status().totals, status::TotalsStatus { consumed: 15, stored: 10, resent: 5, quarantined: 0 });
    drop(drain);
    world.whole();
}

#[test]
fn a_topic_that_was_made_again_is_refused_and_nothing_is_written() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    assert!(drain.stop(PATIENCE).all_stored());
    let before = world.files();
    world.topic.with(|inner| inner.id = "topic-2".into());
    world.topic.send(0, 10);
    let drain = world.start();
    let error = drain.drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("--new-generation")), "{error}");
    let status = drain.status();
    assert_eq!(status.partitions[0].state, status::PartitionState::Refused);
    assert!(status.last_error.is_some());
    assert!(drain.stop(PATIENCE).left.is_empty(), "nothing of it was at hand");
    assert_eq!(world.files(), before);
}

#[test]
fn an_emptied_store_is_refused() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    std::fs::remove_dir_all(world.dir.path().join("parquet/churn")).unwrap();
    let drain = world.start();
    let status = until(&drain, "refused", |status| status.last_error.is_some());
    assert!(status.last_error.unwrap().what.contains("churn/_weir/origins/churn.g01.json"));
    drop(drain);
    assert!(world.files().is_empty());
}

#[test]
fn a_missing_head_is_refused_after_it_was_looked_for_again() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    for (key, _) in world.files() {
        std::fs::remove_file(world.dir.path().join("parquet").join(key)).unwrap();
    }
    let drain = world.start();
    let error = drain.drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("files were deleted")), "{error}");
}

#[test]
fn many_partitions_of_one_table_share_origin_and_schema() {
    let world = World::new(16);
    (0..16).for_each(|partition| world.topic.send(partition, 20));
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    assert!(drain.stop(PATIENCE).all_stored());
    assert_eq!(world.whole().len(), 16);
    assert_eq!(world.store.list("churn/_weir/origins/", None).unwrap().len(), 1);
    assert_eq!(world.store.list("churn/_weir/schema/", None).unwrap().len(), 1);
}

#[test]
fn asking_in_vain_names_what_waits() {
    let world = World::new(1);
    let folder = Folder::open(&world.dir.path().join("parquet")).unwrap();
    let moody =
        Arc::new(Moody { folder, calls: AtomicU32::new(0), calm: AtomicBool::new(true), deaf: AtomicBool::new(false) });
    let world = World { store: moody.clone(), ..world };
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    moody.deaf.store(true, Ordering::Relaxed);
    world.topic.send(0, 4);
    let error = drain.drain_now(Duration::from_millis(600)).unwrap_err();
    let named = |error: &DrainNowError| {
        error.to_string().contains("churn p0") && error.to_string().contains("connection reset")
    };
    assert!(matches!(&error, DrainNowError::Timeout { .. }) && named(&error), "{error}");
    let report = drain.stop(Duration::from_millis(100));
    assert!(!report.all_stored());
    assert_eq!(report.left[0].rows, 4);
    moody.deaf.store(false, Ordering::Relaxed);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    world.whole();
}

#[test]
fn what_somebody_has_fixed_goes_on_when_asked() {
    let world = World::new(1);
    let table = world.dir.path().join("parquet/churn");
    std::fs::write(&table, "in the way").unwrap();
    world.topic.send(0, 4);
    let drain = world.start();
    let error = drain.drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("churn")), "{error}");
    assert_eq!(drain.status().partitions[0].state, status::PartitionState::Refused);
    std::fs::remove_file(&table).unwrap();
    drain.drain_now(PATIENCE).unwrap();
    assert_eq!(drain.status().last_error, None);
    drop(drain);
    world.whole();
}

#[test]
fn partitions_that_are_told_of_one_by_one_are_all_in_the_origin_document() {
    let world = World::new(4);
    (0..4).for_each(|partition| world.topic.send(partition, 10));
    world.topic.with(|inner| {
        inner.partitions[3].drain(..4);
        inner.starts[3] = 4;
        inner.slowly = Some(Duration::from_millis(400));
    });
    let drain = world.start();
    until(&drain, "stored", |status| status.totals.stored == 36);
    drop(drain);
    let json = world.store.get("churn/_weir/origins/churn.g01.json").unwrap().unwrap();
    let doc: names::OriginDoc = serde_json::from_slice(&json).unwrap();
    assert_eq!(doc.starts, BTreeMap::from([(0, 0), (1, 0), (2, 0), (3, 4)]));
}

#[test]
fn a_file_that_is_lost_before_it_was_stored_is_made_anew() {
    let world = World::new(1);
    let folder = Folder::open(&world.dir.path().join("parquet")).unwrap();
    let moody =
        Arc::new(Moody { folder, calls: AtomicU32::new(0), calm: AtomicBool::new(true), deaf: AtomicBool::new(false) });
    let world = World { store: moody.clone(), ..world };
    let drain = world.start();
    world.topic.send(0, 2);
    drain.drain_now(PATIENCE).unwrap();
    moody.deaf.store(true, Ordering::Relaxed);
    world.topic.send(0, 4);
    until(&drain, "on its way", |status| status.partitions[0].state == status::PartitionState::Storing);
    for folder in std::fs::read_dir(world.dir.path().join("data/tmp")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    moody.deaf.store(false, Ordering::Relaxed);
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    world.whole();
}

#[test]
fn a_head_that_is_newer_than_the_assignment_is_not_beyond_the_end() {
    let world = World::new(1);
    world.topic.send(0, 10);
    // One drain was told of the partition long ago, and its store answers only now; another stored more meanwhile.
    let folder = Folder::open(&world.dir.path().join("parquet")).unwrap();
    let moody =
        Arc::new(Moody { folder, calls: AtomicU32::new(0), calm: AtomicBool::new(true), deaf: AtomicBool::new(true) });
    let late =
        World { store: moody.clone(), dir: tempfile::tempdir().unwrap(), topic: world.topic.clone(), ..World::new(0) };
    let slow = late.start();
    until(&slow, "not answered", |status| status.last_error.is_some());
    let drain = world.start();
    world.topic.send(0, 10);
    drain.drain_now(PATIENCE).unwrap();
    moody.deaf.store(false, Ordering::Relaxed);
    world.topic.send(0, 10);
    slow.drain_now(PATIENCE).unwrap();
    assert_eq!(slow.status().totals.stored, 30);
    drop((drain, slow));
    world.whole();
}

#[test]
fn a_record_that_panics_stops_its_partition_only_and_says_so() {
    let world = World::new(2);
    world.topic.with(|inner| inner.panics = true);
    world.topic.send(0, 3);
    world.topic.send(1, 3);
    let drain = world.start();
    let status = until(&drain, "stored and refused", |status| {
        status.partitions.len() == 2
            && status.totals.stored == 3
            && status.partitions[0].state == status::PartitionState::Refused
    });
    let what = &status.partitions[0].last_error.as_ref().unwrap().what;
    assert!(what.contains("0..3") && what.contains("the record's fault"), "{what}");
    assert!(!status.dead);
    world.topic.with(|inner| inner.panics = false);
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    world.whole();
}

#[test]
fn a_store_that_panics_is_a_failure_of_its_partition() {
    let world = World::new(1);
    let folder = Folder::open(&world.dir.path().join("parquet")).unwrap();
    // More often than there are threads to ask it.
    let left = AtomicU32::new(6);
    let panics = move |call: &str, _: &str| {
        let taken = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(call != "create" || taken().is_err(), "the store's fault");
    };
    let world = World { store: Arc::new(Hooked(folder, Box::new(panics))), ..world };
    let drain = world.start();
    world.topic.send(0, 3);
    let status = until(&drain, "failed", |status| status.last_error.is_some());
    assert!(status.last_error.unwrap().what.contains("the store's fault"));
    while drain.drain_now(PATIENCE).is_err() {}
    drop(drain);
    world.whole();
}

/// Sees a call and its key or prefix.
type Hook = dyn Fn(&str, &str) + Send + Sync;

/// A folder whose hook sees each call before it is made.
struct Hooked(Folder, Box<Hook>);

impl Store for Hooked {
    fn create(&self, key: &str, content: Content<'_>) -> Result<Created, StoreError> {
        (self.1)("create", key);
        self.0.create(key, content)
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.0.get(key)
    }

    fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.0.tail(key, bytes)
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        (self.1)("list", prefix);
        self.0.list(prefix, after)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.0.folders(prefix)
    }

    fn address(&self) -> String {
        self.0.address()
    }
}

#[test]
fn a_stop_stores_what_has_arrived_and_leaves_the_rest_to_the_topic() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(1) };
    world.topic.send(0, 100);
    world.topic.with(|inner| inner.arrived = Some(10));
    let drain = world.start();
    until(&drain, "collected", |status| status.partitions.iter().any(|partition| partition.rows == 10));
    let begun = Instant::now();
    assert!(drain.stop(PATIENCE).all_stored());
    assert!(begun.elapsed() < PATIENCE / 2, "it waited for what had not arrived");
    assert_eq!(world.files().iter().map(|(_, footer)| footer.rows).sum::<u64>(), 10);
}

#[test]
fn a_request_that_nobody_waits_for_any_more_is_forgotten() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(1) };
    let folder = Folder::open(&world.dir.path().join("parquet")).unwrap();
    let moody =
        Arc::new(Moody { folder, calls: AtomicU32::new(0), calm: AtomicBool::new(true), deaf: AtomicBool::new(false) });
    let world = World { store: moody.clone(), ..world };
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    moody.deaf.store(true, Ordering::Relaxed);
    world.topic.send(0, 10);
    assert!(matches!(drain.drain_now(Duration::from_millis(300)), Err(DrainNowError::Timeout { .. })));
    moody.deaf.store(false, Ordering::Relaxed);
    drain.drain_now(PATIENCE).unwrap();
    assert!(drain.watch.shared.lock().answers.is_empty(), "an answer for nobody stays for ever");
    drop(drain);
    world.whole();
}

#[test]
fn a_source_that_is_full_is_pressure() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(1) };
    world.topic.send(0, 5);
    world.topic.with(|inner| inner.full = true);
    let drain = world.start();
    let status = until(&drain, "stored", |status| status.totals.stored == 5);
    assert_eq!(status.partitions[0].last_file.as_ref().unwrap().cause, Some(Cause::Pressure));
}
