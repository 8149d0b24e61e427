//! A topic in memory that outlives the drains that read it, and the source that reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::record::ContentType;
use crate::source::{Before, Bounds, Event, Message, Messages, PartitionId, Progress, Source, SourceError};

/// A topic that outlives the drains that read it.
#[derive(Clone, Default)]
pub struct Topic(Arc<Mutex<TopicInner>>);

#[derive(Default)]
pub struct TopicInner {
    pub partitions: Vec<Vec<Message>>,
    /// First offset that exists.
    pub starts: Vec<u64>,
    pub committed: BTreeMap<u32, u64>,
    pub id: String,
    /// One partition is told of at a time, so long after the last.
    pub slowly: Option<Duration>,
    /// Reading partition 0 panics.
    pub panics: bool,
    /// What was read of partition 0 before it was made again.
    pub at_hand: Option<Vec<Message>>,
    /// What lies beyond has not arrived.
    pub arrived: Option<u64>,
    pub full: bool,
}

impl Topic {
    pub fn new(partitions: usize) -> Topic {
        let topic = Topic::default();
        topic.with(|inner| {
            inner.partitions.resize(partitions, Vec::new());
            inner.starts.resize(partitions, 0);
            inner.id = "topic-1".into();
        });
        topic
    }

    pub fn with<T>(&self, f: impl FnOnce(&mut TopicInner) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    pub fn send(&self, partition: u32, rows: u64) {
        self.send_at(partition, rows, 1_795_564_800_000);
    }

    pub fn send_at(&self, partition: u32, rows: u64, timestamp_ms: i64) {
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

    /// Partition 0 is another one of the same name, with other records. What was read of it stays at hand until the drain seeks.
    pub fn make_again(&self, rows: u64) {
        self.with(|inner| inner.at_hand = Some(std::mem::take(&mut inner.partitions[0])));
        self.send_at(0, rows, 1_795_564_900_000);
    }

    pub fn rows(&self) -> u64 {
        self.with(|inner| inner.partitions.iter().map(|log| log.len() as u64).sum())
    }

    pub fn committed(&self) -> BTreeMap<u32, u64> {
        self.with(|inner| inner.committed.clone())
    }
}

pub fn row(partition: u32, offset: u64) -> Bytes {
    let id = format!("{partition}-{offset}");
    let text = format!(
        r#"{{"id":"{id}","model_name":"m","model_version":null,"inputs":{{"x":{offset}.5}},"outputs":{{"y":true}},"parse_status":"ok","status_code":200}}"#
    );
    Bytes::from(text)
}

pub struct MemorySource {
    topic: Topic,
    assigned: u32,
    assigned_at: Instant,
    from: BTreeMap<u32, u64>,
    told: BTreeMap<u32, u64>,
}

impl MemorySource {
    pub fn boxed(topic: &Topic) -> Box<dyn Source> {
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

pub fn partition_id(partition: u32) -> PartitionId {
    PartitionId { topic: "churn".into(), origin: "churn".into(), partition }
}

pub struct Rows(std::vec::IntoIter<Message>, bool);

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
        self.topic.with(|inner| inner.at_hand = None);
        Ok(())
    }

    fn read(&mut self, partition: &PartitionId, from: u64, to: u64) -> Result<Box<dyn Messages>, SourceError> {
        let (mut log, at_hand) =
            self.topic.with(|inner| (inner.partitions[partition.partition as usize].clone(), inner.at_hand.clone()));
        for (place, message) in log.iter_mut().zip(at_hand.into_iter().flatten()) {
            *place = message;
        }
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
