//! The durable local log: stage one in every mode.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::config;
use crate::record::{ContentType, Recorded};

/// `<log uuid>-<lane>-<epoch>`: names one start of one process for one lane. Travels in the message header `source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    pub log: Uuid,
    pub lane: u32,
    pub epoch: u32,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{:08x}", self.log.simple(), self.lane, self.epoch)
    }
}

/// Who reads a log's lanes; pinned in `meta.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReaderKind {
    Drain,
    Publisher,
}

/// What a log is opened with.
#[derive(Debug, Clone)]
pub struct Options {
    pub log: config::Log,
    /// Lanes of a new log.
    pub lanes: u32,
    pub reader: ReaderKind,
    /// The store's address, pinned in `meta.json` (empty for a publisher).
    pub root: String,
}

#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct LogError;

/// All logs of one `data_dir`, with the lock held and the writer thread running. Cheap to clone.
#[derive(Clone)]
pub struct Logs {
    _inner: Arc<()>,
}

/// Over all lanes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls in the log, ever.
    pub calls: u64,
    /// Rows in the log, ever.
    pub rows: u64,
    /// Rows below the cursors.
    pub delivered: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Logs {
    /// Recovers every log under `data_dir/log`, taking `data_dir/lock`; a torn tail is cut, damage in the middle quarantined.
    pub fn open(_data_dir: &Path, _options: Options) -> Result<Logs, LogError> {
        unimplemented!()
    }

    /// Hands a call to the writer; waits while the writer is behind (recorder threads only). The ticket is settled by the writer.
    pub fn append(&self, _recorded: Recorded) {
        unimplemented!()
    }

    /// Every lane of every log, in a stable order; grows as new topics are made.
    pub fn lanes(&self) -> Vec<Lane> {
        unimplemented!()
    }

    pub fn totals(&self) -> Totals {
        unimplemented!()
    }

    /// Waits until something was synced or a lane was added since `seen`, or `timeout`; returns the new generation.
    pub fn wait(&self, _seen: u64, _timeout: Duration) -> u64 {
        unimplemented!()
    }

    /// Everything handed over before is written and synced when this returns.
    pub fn flush(&self) {
        unimplemented!()
    }

    /// Flushes, persists the cursors, ends the writer.
    pub fn close(&self) {
        unimplemented!()
    }
}

/// One lane of one topic's log. Cheap to clone.
#[derive(Clone)]
pub struct Lane {
    _inner: Arc<()>,
}

impl Lane {
    pub fn topic(&self) -> &str {
        unimplemented!()
    }
    pub fn log(&self) -> Uuid {
        unimplemented!()
    }
    pub fn lane(&self) -> u32 {
        unimplemented!()
    }
    /// First seq not yet synced: readers see rows below it.
    pub fn synced(&self) -> u64 {
        unimplemented!()
    }
    /// First seq not yet delivered.
    pub fn cursor(&self) -> u64 {
        unimplemented!()
    }
    /// Bytes of rows between two seqs, estimated from the segments; for the roll by size.
    pub fn bytes_between(&self, _from: u64, _to: u64) -> u64 {
        unimplemented!()
    }
    /// A reader of its own file handle, standing before row `from`.
    pub fn reader(&self, _from: u64) -> Result<Reader, LogError> {
        unimplemented!()
    }
    /// Everything below `seq` is delivered: persisted aside, synced, renamed; then whole segments are unlinked.
    pub fn advance(&self, _seq: u64) {
        unimplemented!()
    }
}

/// Reads one lane forward.
pub struct Reader {
    _inner: (),
}

/// What a reader yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Row(LogRow),
    /// Rows `seq..next` cannot be read; delivered as one quarantine row that names them.
    Damaged { seq: u64, next: u64, appended_at_ms: i64, source: Source, why: String },
}

/// One row of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    pub seq: u64,
    /// When the entry was appended, milliseconds since the epoch; never goes back within a lane.
    pub appended_at_ms: i64,
    pub source: Source,
    pub content_type: ContentType,
    pub key: Option<Bytes>,
    pub value: Bytes,
}

impl Reader {
    /// The next row below the synced end; `None` if there is none yet.
    pub fn next(&mut self) -> Result<Option<Item>, LogError> {
        unimplemented!()
    }
}
