//! One lane as its readers see it: its segments, how far it is synced, how far it is delivered.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use uuid::Uuid;

use super::common::Common;
use super::format::HEADER_BYTES;
use super::{Item, LogError, Reader, meta};

/// A mark per so many bytes says where a seq stands, for readers that begin within a segment.
pub(super) const MARK_BYTES: u64 = 256 << 10;

/// One lane of one topic's log. Cheap to clone.
#[derive(Clone)]
pub struct Lane {
    pub(super) inner: Arc<LaneInner>,
}

/// What the lanes of a topic share.
pub(super) struct Topic {
    pub name: String,
    pub log: Uuid,
    pub folder: PathBuf,
    /// Of its segments.
    pub bytes: AtomicU64,
}

pub(super) struct LaneInner {
    pub common: Arc<Common>,
    pub topic: Arc<Topic>,
    pub lane: u32,
    pub folder: PathBuf,
    /// First seq not yet appended.
    appended: AtomicU64,
    /// Calls ever appended.
    calls: AtomicU64,
    synced: AtomicU64,
    cursor: AtomicU64,
    /// First seq of the last segment: a reader of an earlier one knows by it that its segment has got an end.
    last_first: AtomicU64,
    segments: Mutex<Vec<Segment>>,
    persisted: Mutex<Persisted>,
    /// The cursor that was looked at last, and when its row was appended.
    oldest: Mutex<Option<(u64, i64)>>,
}

struct Persisted {
    cursor: u64,
    at: Option<Instant>,
}

#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub first_seq: u64,
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// Seq and offset of entries, ascending.
    pub marks: Vec<(u64, u64)>,
}

/// Where a reader finds a seq.
#[derive(Debug)]
pub(super) enum Found {
    Segment {
        path: PathBuf,
        first_seq: u64,
        limit: u64,
        offset: u64,
    },
    /// No segment reaches back to it; the first one begins here.
    Before(Option<u64>),
}

/// What recovery found out about a lane.
pub(super) struct State {
    pub next_seq: u64,
    pub calls: u64,
    pub cursor: u64,
    /// As the `cursor` file says.
    pub persisted: u64,
    pub segments: Vec<Segment>,
}

impl Lane {
    pub(super) fn new(common: &Arc<Common>, topic: &Arc<Topic>, lane: u32, state: State) -> Lane {
        let bytes = state.segments.iter().map(|segment| segment.bytes).sum();
        topic.bytes.fetch_add(bytes, Ordering::Relaxed);
        common.bytes.fetch_add(bytes, Ordering::Relaxed);
        let inner = LaneInner {
            common: Arc::clone(common),
            topic: Arc::clone(topic),
            lane,
            folder: topic.folder.join(lane.to_string()),
            appended: AtomicU64::new(state.next_seq),
            calls: AtomicU64::new(state.calls),
            synced: AtomicU64::new(state.next_seq),
            cursor: AtomicU64::new(state.cursor),
            last_first: AtomicU64::new(state.segments.last().map_or(0, |segment| segment.first_seq)),
            segments: Mutex::new(state.segments),
            persisted: Mutex::new(Persisted { cursor: state.persisted, at: None }),
            oldest: Mutex::new(None),
        };
        Lane { inner: Arc::new(inner) }
    }

    pub fn topic(&self) -> &str {
        &self.inner.topic.name
    }

    pub fn log(&self) -> Uuid {
        self.inner.topic.log
    }

    pub fn lane(&self) -> u32 {
        self.inner.lane
    }

    /// First seq not yet appended: the rows that the lane ever had.
    pub fn appended(&self) -> u64 {
        self.inner.appended.load(Ordering::Acquire)
    }

    /// Calls that the lane ever had.
    pub fn calls(&self) -> u64 {
        self.inner.calls.load(Ordering::Acquire)
    }

    /// First seq not yet synced: readers see rows below it.
    pub fn synced(&self) -> u64 {
        self.inner.synced.load(Ordering::Acquire)
    }

    /// First seq not yet delivered.
    pub fn cursor(&self) -> u64 {
        self.inner.cursor.load(Ordering::Acquire)
    }

    /// The cursor as its file says: where the lane stands after a kill.
    pub fn persisted_cursor(&self) -> u64 {
        self.inner.persisted.lock().unwrap_or_else(PoisonError::into_inner).cursor
    }

    /// The lane's own folder, for what its reader keeps beside the cursor.
    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// When the oldest row that is not delivered was appended, milliseconds since the epoch; `None`: all that can be read is delivered. Read
    /// from the disk once per position of the cursor.
    pub fn oldest_undelivered_ms(&self) -> Option<i64> {
        let cursor = self.cursor();
        if cursor >= self.synced() {
            return None;
        }
        let mut oldest = self.inner.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, appended_at_ms)) = oldest.filter(|(seq, _)| *seq == cursor) {
            return Some(appended_at_ms);
        }
        let appended_at_ms = match self.reader(cursor).and_then(|mut reader| reader.next()).ok()?? {
            Item::Row(row) => row.appended_at_ms,
            Item::Damaged { appended_at_ms, .. } => appended_at_ms,
        };
        *oldest = Some((cursor, appended_at_ms));
        Some(appended_at_ms)
    }

    /// First seq that is still on disk; `synced` if none is.
    pub fn first(&self) -> u64 {
        let first = self.inner.segments().first().map(|segment| segment.first_seq);
        first.unwrap_or_else(|| self.synced())
    }

    /// Bytes of rows between two seqs, estimated from the segments; for the roll by size.
    pub fn bytes_between(&self, from: u64, to: u64) -> u64 {
        let appended = self.appended();
        let segments = self.inner.segments();
        let mut bytes = 0;
        for (index, segment) in segments.iter().enumerate() {
            let end = segments.get(index + 1).map_or(appended, |next| next.first_seq);
            let (start, stop) = (from.max(segment.first_seq), to.min(end));
            if start < stop {
                bytes += segment.offset_of(stop, end).saturating_sub(segment.offset_of(start, end));
            }
        }
        bytes
    }

    /// A reader of its own file handle, standing before row `from`.
    ///
    /// # Errors
    /// [`LogError::Gone`] if the row was delivered and its segment unlinked.
    pub fn reader(&self, from: u64) -> Result<Reader, LogError> {
        Reader::new(self.clone(), from)
    }

    /// Everything below `seq` is delivered: persisted aside, synced, renamed; then whole segments are unlinked.
    ///
    /// Persisted by the caller at most once per `log.sync`, by the writer soon after, and at [`close`](super::Logs::close):
    /// after a kill the lane may stand a little before what was delivered. Never goes back, nor beyond [`synced`](Lane::synced).
    pub fn advance(&self, seq: u64) {
        self.inner.cursor.fetch_max(seq.min(self.synced()), Ordering::AcqRel);
        self.inner.persist_cursor(Persist::IfDue);
    }

    /// The cursor as it is, on disk.
    ///
    /// # Errors
    /// It cannot be written, or the log was closed.
    pub(super) fn persist(&self) -> Result<(), LogError> {
        self.inner.persist_cursor(Persist::Now);
        let persisted = self.inner.persisted.lock().unwrap_or_else(PoisonError::into_inner).cursor;
        if persisted == self.cursor() {
            return Ok(());
        }
        let what = "keep the cursor of";
        let source = std::io::Error::other("it could not be written; the lines before this say why");
        Err(LogError::Io { what, path: self.inner.folder.clone(), source })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persist {
    IfDue,
    Now,
}

impl LaneInner {
    fn segments(&self) -> MutexGuard<'_, Vec<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last_first(&self) -> u64 {
        self.last_first.load(Ordering::Acquire)
    }

    /// The segment that holds `seq`, or would.
    pub(super) fn find(&self, seq: u64) -> Found {
        let segments = self.segments();
        let after = segments.partition_point(|segment| segment.first_seq <= seq);
        let Some(segment) = after.checked_sub(1).map(|index| &segments[index]) else {
            return Found::Before(segments.first().map(|segment| segment.first_seq));
        };
        let mark = segment.marks.partition_point(|mark| mark.0 <= seq);
        Found::Segment {
            path: segment.path.clone(),
            first_seq: segment.first_seq,
            limit: segments.get(after).map_or(u64::MAX, |next| next.first_seq),
            offset: mark.checked_sub(1).map_or(HEADER_BYTES as u64, |mark| segment.marks[mark].1),
        }
    }

    /// First seq after the segment that begins at `first_seq`; `u64::MAX` if it is the last.
    pub(super) fn limit_of(&self, first_seq: u64) -> u64 {
        let segments = self.segments();
        let after = segments.partition_point(|segment| segment.first_seq <= first_seq);
        segments.get(after).map_or(u64::MAX, |next| next.first_seq)
    }

    /// The writer appended: so many rows and calls are in the lane now.
    pub(super) fn set_appended(&self, next_seq: u64, calls: u64) {
        self.appended.store(next_seq, Ordering::Release);
        self.calls.store(calls, Ordering::Release);
    }

    /// The writer synced everything below `next_seq`, which ends at `offset` of the last segment.
    pub(super) fn set_synced(&self, next_seq: u64, offset: u64) {
        if let Some(last) = self.segments().last_mut() {
            last.mark(next_seq, offset);
        }
        self.synced.store(next_seq, Ordering::Release);
    }

    /// The last segment has this length now.
    pub(super) fn set_last_bytes(&self, bytes: u64) {
        if let Some(last) = self.segments().last_mut() {
            self.count_bytes(last.bytes, bytes);
            last.bytes = bytes;
        }
    }

    /// A new last segment; one of the same first seq was replaced by it.
    pub(super) fn push_segment(&self, segment: Segment) {
        let mut segments = self.segments();
        let (first_seq, bytes) = (segment.first_seq, segment.bytes);
        match segments.last_mut() {
            Some(last) if last.first_seq == first_seq => {
                self.count_bytes(last.bytes, bytes);
                *last = segment;
            }
            _ => {
                self.count_bytes(0, bytes);
                segments.push(segment);
            }
        }
        self.last_first.store(first_seq, Ordering::Release);
    }

    /// The segment before the last was cut to what had been synced of it.
    pub(super) fn set_bytes(&self, first_seq: u64, bytes: u64) {
        if let Some(segment) = self.segments().iter_mut().find(|segment| segment.first_seq == first_seq) {
            self.count_bytes(segment.bytes, bytes);
            segment.bytes = bytes;
        }
    }

    fn count_bytes(&self, before: u64, after: u64) {
        for total in [&self.topic.bytes, &self.common.bytes] {
            // Both are sums of segments' lengths, changed only under the segments' locks.
            total.fetch_add(after, Ordering::Relaxed);
            total.fetch_sub(before, Ordering::Relaxed);
        }
    }

    /// Whether everything that was appended is delivered, and the last segment takes more room than an empty one.
    pub(super) fn reclaimable(&self) -> bool {
        self.cursor.load(Ordering::Acquire) == self.appended.load(Ordering::Acquire)
            && self.segments().last().is_some_and(|last| last.bytes > HEADER_BYTES as u64)
    }

    /// Persists the cursor if it moved, then unlinks the segments wholly below it, but never the last.
    pub(super) fn persist_cursor(&self, persist: Persist) {
        let mut persisted = self.persisted.lock().unwrap_or_else(PoisonError::into_inner);
        let cursor = self.cursor.load(Ordering::Acquire);
        let due = persist == Persist::Now || persisted.at.is_none_or(|at| at.elapsed() >= self.common.sync);
        // The log may have been closed, and the folder be another process's by now.
        let Some(_lock) = self.common.hold_lock() else { return };
        if cursor != persisted.cursor {
            if !due {
                return;
            }
            persisted.at = Some(Instant::now());
            if let Err(error) = meta::write_cursor(&self.common.disk, &self.folder, cursor) {
                tracing::warn!(topic = self.topic.name, lane = self.lane, %error, "failed to persist the log's cursor; will try again");
                return;
            }
            persisted.cursor = cursor;
        } else if persist == Persist::IfDue {
            return;
        }
        self.unlink_below(cursor);
    }

    fn unlink_below(&self, cursor: u64) {
        loop {
            let path = {
                let segments = self.segments();
                match segments.as_slice() {
                    [first, second, ..] if second.first_seq <= cursor => first.path.clone(),
                    _ => return,
                }
            };
            if let Err(error) = self.unlink(&path) {
                tracing::warn!(path = %path.display(), %error, "failed to unlink a delivered segment; will try again");
                return;
            }
            let mut segments = self.segments();
            if segments.first().is_some_and(|first| first.path == path) {
                let gone = segments.remove(0);
                self.count_bytes(gone.bytes, 0);
            }
        }
    }

    fn unlink(&self, path: &Path) -> std::io::Result<()> {
        match self.common.disk.unlink(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl Segment {
    pub(super) fn mark(&mut self, seq: u64, offset: u64) {
        let last = self.marks.last().map_or((self.first_seq, HEADER_BYTES as u64), |&mark| mark);
        if offset >= last.1 + MARK_BYTES && seq > last.0 {
            self.marks.push((seq, offset));
        }
    }

    /// Where `seq` stands, by the marks around it. `end` is the first seq after the segment.
    fn offset_of(&self, seq: u64, end: u64) -> u64 {
        let after = self.marks.partition_point(|mark| mark.0 <= seq);
        let low = after.checked_sub(1).map_or((self.first_seq, HEADER_BYTES as u64), |index| self.marks[index]);
        let high = self.marks.get(after).copied().unwrap_or((end, self.bytes));
        if high.0 <= low.0 || seq >= high.0 {
            return high.1;
        }
        let share = u128::from(high.1.saturating_sub(low.1)) * u128::from(seq - low.0) / u128::from(high.0 - low.0);
        low.1 + u64::try_from(share).expect("a share is no more than the whole")
    }
}
