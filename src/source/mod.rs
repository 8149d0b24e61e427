//! Where the drain reads: a Kafka partition (through its spool) or a lane of the log, one trait.

use std::sync::Arc;
use std::time::Duration;

pub use crate::record::ContentType;

/// One unit of order: a Kafka partition, or a lane of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    /// The table's name too.
    pub topic: Arc<str>,
    /// The topic again (Kafka), or the log's UUID: names the chain's files.
    pub origin: Arc<str>,
    pub partition: u32,
}

/// What a source tells the drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The drain looks for the chain's head, then calls [`Source::seek`].
    Assigned { partition: PartitionId, bounds: Bounds },
    /// It is another drain's now: what is at hand of it is dropped, and read again by that one.
    Revoked { partition: PartitionId },
    /// Messages are at hand.
    Message(Progress),
}

/// What the source knows of a partition when it is assigned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds {
    /// First offset that still exists.
    pub start: u64,
    /// First offset that does not exist yet.
    pub end: u64,
    /// Kafka's topic id, where known; a log's UUID otherwise.
    pub topic_id: String,
    /// Kafka's committed offset, or the log's cursor: a hint.
    pub hint: Option<u64>,
}

impl Bounds {
    /// Takes over what is known now; what is not known any more stays as it was.
    pub fn renew(&mut self, now: Bounds) {
        self.start = now.start;
        self.end = now.end;
        self.hint = now.hint.max(self.hint);
        if !now.topic_id.is_empty() {
            self.topic_id = now.topic_id;
        }
    }
}

/// How far the messages at hand reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub partition: PartitionId,
    /// The position after the last message at hand; covers gaps (transaction markers).
    pub next: u64,
    /// Messages at hand from the seek or last commit on.
    pub messages: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// One message of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub offset: u64,
    /// Broker or log timestamp, milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Whether `timestamp_ms` is the producer's clock (CreateTime, or a log): it may be wrong.
    pub create_time: bool,
    pub key: Option<bytes::Bytes>,
    /// `None`: a tombstone.
    pub value: Option<bytes::Bytes>,
    pub content_type: ContentType,
    /// The `source` header, as it was sent.
    pub source: Option<Arc<str>>,
    pub seq: Option<u64>,
    /// Rows `seq..damaged.next` of a log could not be read: the message stands for all of them.
    pub damaged: Option<Damaged>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The first seq after the damaged range.
    pub next: u64,
    /// Whether the source counts its positions in seqs (a log), so that the next message stands at `next`. In a topic it stands at the offset behind
    /// this one, whatever number its row has.
    pub is_position: bool,
    pub why: String,
}

/// What a source knows of the last message before a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// It can be read without moving (a log).
    Known(Message),
    /// It cannot be told here, or not any more: it was stored and deleted.
    Unknown,
    /// The source never had so many messages.
    NotThere,
}

/// Reads messages at hand, in order, from one offset on.
pub trait Messages {
    /// The next message below the end the reader was opened with.
    fn next(&mut self) -> Result<Option<Message>, SourceError>;
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("failed to read {what}")]
    Read {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{0}")]
    Other(String),
}

/// A log or a set of topics, as the drain sees it. One owner: the drain's thread.
pub trait Source: Send {
    /// Waits at most `wait` for the next events; an empty list is a tick.
    fn poll(&mut self, wait: Duration) -> Result<Vec<Event>, SourceError>;
    /// Sets where messages are collected from; what is at hand before it is dropped.
    fn seek(&mut self, partition: &PartitionId, offset: u64) -> Result<(), SourceError>;
    /// Opens the messages at hand in `from..to`; again and again if asked (two passes).
    fn read(&mut self, partition: &PartitionId, from: u64, to: u64) -> Result<Box<dyn Messages>, SourceError>;
    /// Everything below `next` is stored: the log's cursor moves, the spool is cut, Kafka's offset is committed as a hint.
    fn commit(&mut self, partition: &PartitionId, next: u64) -> Result<(), SourceError>;

    /// The last message below `next`: tells whether a file that ends there is of this source.
    fn record_before(&mut self, _partition: &PartitionId, _next: u64) -> Result<Before, SourceError> {
        Ok(Before::Unknown)
    }

    /// What it holds of a partition now: asked before the partition is looked at again, and after the newest file was read, which may be
    /// newer than the assignment. `None`: it cannot tell.
    fn bounds(&mut self, _partition: &PartitionId) -> Result<Option<Bounds>, SourceError> {
        Ok(None)
    }

    /// The first position of a partition that does not exist yet, as far as it is known without asking anybody.
    fn end(&self, _partition: &PartitionId) -> Option<u64> {
        None
    }

    /// The bounds of all partitions of an origin, also of those that other drains read: its document says where each of them begins. `None`: all of
    /// them are assigned to this drain.
    fn origin_bounds(&mut self, _partition: &PartitionId) -> Result<Option<Vec<(u32, Bounds)>>, SourceError> {
        Ok(None)
    }

    /// Whether it is this process's own log: its backlog is stored whatever `drain.start` says, and ends with what the process wrote.
    fn is_own_log(&self) -> bool {
        false
    }

    /// Whether it has no room for more until something is stored.
    fn full(&self) -> bool {
        false
    }

    /// Whether every partition that exists now, and is this drain's, has been told of: "everything at hand" means nothing before that.
    fn announced(&self) -> bool {
        true
    }
}

pub mod kafka;
pub mod lane;
pub mod spool;
