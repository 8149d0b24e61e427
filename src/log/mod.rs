//! The durable local log: stage one in every mode.
//!
//! In: [`Recorded`] calls from the recorders. Out: their rows, in order, to one reader per lane. Every row is appended
//! here before it goes anywhere else, so whatever is down behind the log is backlog on disk, not loss.
//!
//! # Files
//! ```text
//! data_dir/lock                               one flock for all; holds the pid of its holder
//! data_dir/log/<topic>/meta.json, meta.bak    the log's UUID, lanes, reader, root (`meta.rs`)
//! data_dir/log/<topic>/<lane>/<first_seq>.seg entries, one per call (`format.rs`)
//! data_dir/log/<topic>/<lane>/cursor          first seq not yet delivered; may lie inside an entry
//! ```
//! Seqs count a lane's rows from 0 without a gap, over all its segments and starts. A segment ends where the next one's first
//! seq begins, whatever stands in it from there on. A lane's last segment is never unlinked: it knows how many calls and
//! rows the lane ever had. Files are made aside, synced and renamed, so no header is ever half there.
//!
//! # Writing
//! One thread owns all lanes: it takes what the recorders handed over in groups, gives the calls to the lanes in turn, makes one
//! write per lane and group, and syncs every `log.sync`. Readers see what is synced. A call is settled `logged` when it
//! is written; what becomes of that when a sync fails stands in `lane_writer.rs`. How topics share the disk: `budget.rs`.
//!
//! # After a kill or a power cut
//! State is derived from the segments, never from a file that could disagree with them: of each lane the last segment
//! is read. What is no whole entry at its end is cut; its calls are counted by the ledger as `dropped{crash}`. Damage before
//! that is delivered as [`Item::Damaged`], which names its rows; an entry whose head is whole keeps its seqs even at the end.
//!
//! Failpoints: `log.append`, `log.sync`, `log.roll`, `log.cursor`, `log.unlink`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::config;
use crate::config::is_feedback_topic;
use crate::ledger;
use crate::record::{ContentType, Recorded};

mod budget;
mod common;
mod disk;
mod format;
mod health;
mod inspect;
mod intervals;
mod lane;
mod lane_writer;
mod lock;
mod meta;
mod queue;
mod reader;
mod moving;
mod recover;
mod repair;
mod root;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

pub use inspect::{Damage, LaneReport, SegmentReport, TopicReport, VerifyReport, inspect, verify};
pub use intervals::Intervals;
pub use lane::Lane;
pub use moving::Moving;
pub use reader::Reader;
pub use repair::{Fix, Mode, repair};
pub use root::{Root, S3Access};

use common::Common;
use disk::Disk;
use lock::Lock;
use queue::{Ending, Queue};
use writer::Writer;

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

/// It is not how weir writes the header `source`: another producer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no source of weir's: `<log uuid>-<lane>-<epoch>`")]
pub struct NotASource;

impl std::str::FromStr for Source {
    type Err = NotASource;

    /// Reads exactly what [`Display`](std::fmt::Display) writes.
    fn from_str(text: &str) -> Result<Source, NotASource> {
        let hex = |part: &str, digits: usize| {
            part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let mut parts = text.split('-');
        let (Some(log), Some(lane), Some(epoch), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotASource);
        };
        let plain = !lane.is_empty()
            && lane.bytes().all(|byte| byte.is_ascii_digit())
            && (lane == "0" || !lane.starts_with('0'));
        if !hex(log, 32) || !hex(epoch, 8) || !plain {
            return Err(NotASource);
        }
        Ok(Source {
            log: Uuid::try_parse(log).map_err(|_| NotASource)?,
            lane: lane.parse().map_err(|_| NotASource)?,
            epoch: u32::from_str_radix(epoch, 16).map_err(|_| NotASource)?,
        })
    }
}

/// Who reads a log's lanes; pinned in `meta.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReaderKind {
    Drain,
    Publisher,
}

impl ReaderKind {
    pub fn word(self) -> &'static str {
        match self {
            ReaderKind::Drain => "drain",
            ReaderKind::Publisher => "publisher",
        }
    }
}

impl std::fmt::Display for ReaderKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReaderKind::Drain => "the drain (no `kafka:`)",
            ReaderKind::Publisher => "the publisher (`kafka:`)",
        })
    }
}

/// What a log is opened with.
#[derive(Debug, Clone)]
pub struct Options {
    pub log: config::Log,
    /// Lanes of a new log, and the least of one that stands.
    pub lanes: u32,
    pub reader: ReaderKind,
    /// The store, pinned in `meta.json` (empty for a publisher).
    pub root: Root,
}

/// The log cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("failed to {what} `{path}`; check that it is readable and writable, and that the disk has space")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("`{data_dir}` is in use by {}; stop it, or name another `data_dir`", match .pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    })]
    Locked { data_dir: PathBuf, pid: Option<u32> },
    #[error(
        "`{folder}/meta.json` and its copy meta.bak are both damaged ({why}); restore either, or `weir log repair` makes them anew from the segments"
    )]
    Meta { folder: PathBuf, why: String },
    #[error("segment `{path}` has format {version}, this weir knows {}; start the newer weir again", format::VERSION)]
    Newer { path: PathBuf, version: u32 },
    #[error(
        "the log of topic `{topic}` has {stands} lanes, and would now have {asked}; \
             lanes can be raised, not lowered: set `kafka.lanes: {stands}`"
    )]
    Lanes { topic: String, stands: u32, asked: u32 },
    #[error("row {seq} of `{topic}`, lane {lane}, was delivered and deleted; the log begins at row {first}")]
    Gone { topic: String, lane: u32, seq: u64, first: u64 },
    #[error("failed to start the log's thread")]
    Thread(#[source] std::io::Error),
}

impl LogError {
    fn io(what: &'static str, path: &Path, source: std::io::Error) -> LogError {
        LogError::Io { what, path: path.to_owned(), source }
    }

    /// Whether room on the disk would help.
    fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, LogError::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// All logs of one `data_dir`, with the lock held and the writer thread running. Cheap to clone.
///
/// Dropping the last one closes it.
#[derive(Clone)]
pub struct Logs {
    inner: Arc<LogsInner>,
}

struct LogsInner {
    common: Arc<Common>,
    moving: Mutex<Vec<Moving>>,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Over all lanes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls in the log, ever.
    pub calls: u64,
    /// Feedbacks in the log, ever; rows too.
    pub feedback: u64,
    /// Rows in the log, ever.
    pub rows: u64,
    /// Rows below the cursors.
    pub delivered: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Totals {
    /// What a ledger is opened with.
    pub fn logged(&self) -> ledger::Logged {
        ledger::Logged { calls: self.calls, feedback: self.feedback }
    }
}

impl Logs {
    /// Recovers every log under `data_dir/log`, taking `data_dir/lock`; a torn tail is cut, damage in the middle quarantined.
    ///
    /// # Errors
    /// The lock is held; a log has more lanes than `options` say for a publisher; a log was written by a newer weir; the disk fails. Damage is none
    /// of these, unless it hits `meta.json` and its copy both. A log that somebody else read, or that went elsewhere, is none either: see
    /// [`moving`](Logs::moving).
    pub fn open(data_dir: &Path, options: Options) -> Result<Logs, LogError> {
        Logs::open_on(Disk::default(), data_dir, options)
    }

    fn open_on(disk: Disk, data_dir: &Path, options: Options) -> Result<Logs, LogError> {
        let folder = data_dir.join("log");
        std::fs::create_dir_all(data_dir)
            .and_then(|()| disk.make_folder(&folder))
            .map_err(|source| LogError::io("create", &folder, source))?;
        let lock = Lock::take(data_dir)?;
        disk.sync_folder(data_dir).map_err(|source| LogError::io("sync", data_dir, source))?;
        let common = Arc::new(Common::new(disk, folder, options.log.sync, lock));
        let mut opened = recover::open_all(&common, &options)?;
        let moving = Mutex::new(opened.iter_mut().filter_map(|topic| topic.moving.take()).collect());
        let queue = Arc::new(Queue::default());
        let epoch = Uuid::new_v4().as_fields().0;
        let writer = Writer::new(Arc::clone(&common), Arc::clone(&queue), options, epoch, opened);
        let thread = std::thread::Builder::new().name("log.write".to_owned()).spawn(move || writer.run());
        let writer = Mutex::new(Some(thread.map_err(LogError::Thread)?));
        Ok(Logs { inner: Arc::new(LogsInner { common, moving, queue, writer }) })
    }

    /// Hands a call to the writer; waits while the writer is behind (recorder threads only). The ticket is settled by the writer.
    ///
    /// After [`close`](Logs::close) the call is dropped, which its ticket counts as lost.
    pub fn append(&self, recorded: Recorded) {
        self.inner.queue.push(recorded);
    }

    /// Every lane of every log, in a stable order; grows as new topics are made.
    pub fn lanes(&self) -> Vec<Lane> {
        self.inner.common.lanes()
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for lane in self.lanes() {
            // The cursor first: it is never beyond what was appended.
            totals.delivered += lane.cursor();
            let rows = lane.appended();
            totals.rows += rows;
            if is_feedback_topic(lane.topic()) {
                totals.feedback += rows;
            } else {
                totals.calls += lane.calls();
            }
        }
        totals.bytes = self.inner.common.bytes.load(std::sync::atomic::Ordering::Relaxed);
        totals
    }

    /// What keeps the log from taking calls now, or makes it slow: one line each, empty when all is well.
    pub fn troubles(&self) -> Vec<String> {
        self.inner.common.health.words(std::time::Instant::now())
    }

    /// Waits until something was synced or a lane was added since `seen`, or `timeout`; returns the new generation.
    ///
    /// Look at the lanes after it returns, not before: begin with `seen` = 0, which returns at once if there ever was anything.
    pub fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.inner.common.wait(seen, timeout)
    }

    /// Everything handed over before is written and synced when this returns, or counted as dropped; what the disk refused to
    /// sync is kept and tried again.
    pub fn flush(&self) {
        self.inner.queue.flush();
    }

    /// Flushes, persists the cursors, ends the writer, releases the lock. Lanes and readers still read, but deliver nothing any more.
    pub fn close(&self) {
        self.inner.end(Ending::Orderly);
    }
}

impl LogsInner {
    fn end(&self, ending: Ending) {
        self.queue.end(ending);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the log's thread panicked; what it held is counted as lost");
        }
        self.common.release_lock();
        self.common.announce();
    }
}

impl Drop for LogsInner {
    fn drop(&mut self) {
        self.end(Ending::Orderly);
    }
}

/// What a reader yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Row(LogRow),
    /// Rows `seq..next` cannot be read; delivered as one quarantine row that names them.
    Damaged {
        seq: u64,
        next: u64,
        appended_at_ms: i64,
        source: Source,
        why: String,
    },
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
