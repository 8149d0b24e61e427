//! The writing end of one lane: its open segment, and what of it is not synced yet.
//!
//! # Settling
//! A call is settled `logged` when its entry was written, before it is synced: from then on a killed process finds it
//! again. Entries that are written and not synced stay in memory (the writer bounds them by syncing in time), so when a
//! sync fails the segment is final: what had been synced of it counts, the rest is written again to the next segment
//! without being counted again. If that fails too it is tried again from time to time, and the lane takes no new
//! calls meanwhile: they are dropped and counted. Should the process die then, the next start counts what it finds, and
//! the ledger counts the rest as `dropped{crash}`: the equation holds either way.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use crate::ledger::{Reason, Ticket};
use crate::record::Recorded;

use super::Source;
use super::format::{self, HEADER_BYTES, Place, SegmentHeader};
use super::health::Kind;
use super::lane::{Lane, Persist, Segment};
use super::segment::segment_name;

/// How long a lane that could not be written or synced takes no calls, before it tries again.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(200);
/// A buffer that once was larger gives its memory back.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

pub(super) struct LaneWriter {
    pub lane: Lane,
    source: Source,
    current: Option<Current>,
    /// Entries from `base` on; those before `settled` are written to the current segment, if there is one.
    buffer: Vec<u8>,
    base: Position,
    settled: Position,
    settled_bytes: usize,
    next: Position,
    /// Of the entries after `settled`.
    tickets: Vec<Ticket>,
    appended_at_ms: i64,
    blocked: Option<Blocked>,
    /// Whether readers can see more than the writer has told them.
    fresh: bool,
}

/// Rows and calls that a lane had up to a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    seq: u64,
    calls: u64,
}

struct Current {
    file: File,
    first_seq: u64,
    bytes: u64,
}

struct Blocked {
    reason: Reason,
    until: Instant,
}

impl LaneWriter {
    pub(super) fn new(lane: Lane, epoch: u32, appended_at_ms: i64) -> LaneWriter {
        let base = Position { seq: lane.appended(), calls: lane.calls() };
        LaneWriter {
            source: Source { log: lane.log(), lane: lane.lane(), epoch },
            lane,
            current: None,
            buffer: Vec::new(),
            base,
            settled: base,
            settled_bytes: 0,
            next: base,
            tickets: Vec::new(),
            appended_at_ms,
            blocked: None,
            fresh: false,
        }
    }

    /// Bytes appended and not yet synced.
    pub(super) fn unsynced_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes of the group.
    pub(super) fn unwritten_bytes(&self) -> u64 {
        (self.buffer.len() - self.settled_bytes) as u64
    }

    /// Adds a call to the group; [`Self::write`] writes it. `entry_bytes` is its entry's length.
    pub(super) fn add(&mut self, recorded: Recorded, entry_bytes: u64, now_ms: i64, segment_bytes: u64) {
        if self.length() + entry_bytes > segment_bytes && self.length() > HEADER_BYTES as u64 {
            self.roll();
        }
        if let Some(reason) = self.is_blocked() {
            recorded.ticket.dropped(reason);
            return;
        }
        self.appended_at_ms = self.appended_at_ms.max(now_ms);
        let place = Place {
            source: self.source,
            call: recorded.ticket.number(),
            calls_before: self.next.calls,
            first_seq: self.next.seq,
            appended_at_ms: self.appended_at_ms,
        };
        format::encode_entry(&mut self.buffer, &place, recorded.content_type, &recorded.rows);
        self.next.seq += recorded.rows.len() as u64;
        self.next.calls += 1;
        self.tickets.push(recorded.ticket);
    }

    /// What the current segment, or the next, will be long when the group is written.
    fn length(&self) -> u64 {
        match &self.current {
            Some(current) => current.bytes + (self.buffer.len() - self.settled_bytes) as u64,
            None => (HEADER_BYTES + self.buffer.len()) as u64,
        }
    }

    fn is_blocked(&mut self) -> Option<Reason> {
        let blocked = self.blocked.as_ref()?;
        if Instant::now() < blocked.until {
            return Some(blocked.reason);
        }
        // Entries that another segment still owes come first, see `sync`.
        let reason = blocked.reason;
        if self.current.is_none() && self.settled_bytes > 0 {
            return Some(reason);
        }
        self.blocked = None;
        None
    }

    /// Writes the group, and settles its tickets.
    pub(super) fn write(&mut self) {
        if self.tickets.is_empty() {
            return;
        }
        let written = match &mut self.current {
            Some(current) => {
                let group = &self.buffer[self.settled_bytes..];
                match self.lane.inner.common.disk.write_at(&current.file, group, current.bytes) {
                    Ok(()) => {
                        current.bytes += group.len() as u64;
                        self.lane.inner.set_last_bytes(current.bytes);
                        Ok(())
                    }
                    Err(error) => Err((error, self.lane.inner.common.disk.cut(&current.file, current.bytes).is_ok())),
                }
            }
            None => self.start_segment().map_err(|error| (error, true)),
        };
        match written {
            Ok(()) => {
                self.well(Kind::Write);
                self.settle();
            }
            Err((error, cut_back)) => {
                let reason = write_reason(&error);
                self.warn(&error, "write", reason);
                self.trouble(Kind::Write, &error, "written", reason);
                self.buffer.truncate(self.settled_bytes);
                self.next = self.settled;
                if !cut_back {
                    // Nobody knows what stands there now: the next segment begins at what was synced.
                    self.current = None;
                    self.rewrite();
                }
                // Only now: a call that is counted as dropped must not be found again by the next start.
                self.tickets.drain(..).for_each(|ticket| ticket.dropped(reason));
                self.block(reason);
            }
        }
    }

    fn settle(&mut self) {
        self.settled = self.next;
        self.settled_bytes = self.buffer.len();
        self.lane.inner.set_appended(self.settled.seq, self.settled.calls);
        self.tickets.drain(..).for_each(Ticket::logged);
        if self.base == self.settled {
            // A segment was started with the group in it: all of it is synced.
            self.clear_buffer();
        }
    }

    /// Makes the next segment with everything in the buffer in it, synced before it has its name.
    fn start_segment(&mut self) -> io::Result<()> {
        fail::fail_point!("log.roll", |_| Err(io::Error::other("failpoint log.roll")));
        let inner = &self.lane.inner;
        let header = SegmentHeader {
            source: self.source,
            first_seq: self.base.seq,
            calls_before: self.base.calls,
            made_at_ms: if self.buffer.is_empty() {
                self.appended_at_ms.max(super::disk::now_ms())
            } else {
                self.first_appended_at_ms()
            },
        };
        let name = segment_name(header.first_seq);
        let file = inner.common.disk.put(&inner.folder, &name, &[&header.encode(), &self.buffer])?;
        self.appended_at_ms = self.appended_at_ms.max(header.made_at_ms);
        let bytes = (HEADER_BYTES + self.buffer.len()) as u64;
        let path = inner.folder.join(name);
        inner.push_segment(Segment { first_seq: header.first_seq, path, bytes, marks: Vec::new() });
        self.current = Some(Current { file, first_seq: header.first_seq, bytes });
        self.base = self.next;
        inner.set_appended(self.base.seq, self.base.calls);
        inner.set_synced(self.base.seq, bytes);
        self.fresh = true;
        Ok(())
    }

    /// What the first entry in the buffer is dated: a header is not dated after an entry.
    fn first_appended_at_ms(&self) -> i64 {
        let head = format::EntryHead::decode(self.source.log, self.source.lane, &self.buffer);
        head.map_or(self.appended_at_ms, |head| head.appended_at_ms)
    }

    /// Syncs what was written.
    pub(super) fn sync(&mut self) {
        self.write();
        if self.settled_bytes == 0 {
            return;
        }
        let Some(current) = &self.current else {
            self.rewrite();
            return;
        };
        match self.lane.inner.common.disk.sync(&current.file) {
            Ok(()) => {
                self.lane.inner.set_synced(self.settled.seq, current.bytes);
                self.base = self.settled;
                self.clear_buffer();
                self.fresh = true;
                self.well(Kind::Sync);
            }
            Err(error) => {
                self.trouble(Kind::Sync, &error, "synced", Reason::Fsync);
                self.warn(&error, "sync", Reason::Fsync);
                let synced_bytes = current.bytes - self.settled_bytes as u64;
                let suspect = self.current.take();
                let moved = self.rewrite();
                if let (true, Some(suspect)) = (moved, suspect) {
                    self.cut_suspect(&suspect, synced_bytes);
                }
            }
        }
    }

    /// Whether readers can see more than when this was last asked.
    pub(super) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// Writes the settled entries again, to a segment of their own. Until that works the lane takes no calls.
    fn rewrite(&mut self) -> bool {
        if self.settled_bytes == 0 {
            return false;
        }
        match self.start_segment() {
            Ok(()) => {
                self.clear_buffer();
                self.blocked = None;
                self.well(Kind::Sync);
                tracing::warn!(
                    topic = self.lane.topic(),
                    lane = self.lane.lane(),
                    "moved what had not been synced to a new segment"
                );
                true
            }
            Err(error) => {
                self.warn(&error, "move to a new segment", Reason::Fsync);
                self.trouble(Kind::Sync, &error, "synced", Reason::Fsync);
                self.block(Reason::Fsync);
                false
            }
        }
    }

    /// The entries that moved need not take room twice. Where it fails, readers still stop at the next segment's first seq.
    fn cut_suspect(&self, suspect: &Current, bytes: u64) {
        let replaced = self.current.as_ref().is_some_and(|current| current.first_seq == suspect.first_seq);
        if !replaced && self.lane.inner.common.disk.cut(&suspect.file, bytes).is_ok() {
            self.lane.inner.set_bytes(suspect.first_seq, bytes);
        }
    }

    /// Ends the current segment; the next call begins another.
    fn roll(&mut self) {
        self.write();
        self.sync();
        if self.settled_bytes == 0 {
            self.current = None;
        }
    }

    /// Starts an empty segment if all of the last one is delivered, so that it can be unlinked.
    pub(super) fn reclaim(&mut self) {
        if self.buffer.is_empty() && self.lane.inner.reclaimable() {
            match self.start_segment() {
                Ok(()) => self.lane.inner.persist_cursor(Persist::Now),
                Err(error) => self.warn(&error, "start", write_reason(&error)),
            }
        }
    }

    /// Finds out whether a lane that could not be written can be again, also while no calls come: an empty segment is begun.
    pub(super) fn probe(&mut self) {
        let failed = self.lane.inner.common.health.has(&self.kind(Kind::Write));
        if failed && self.buffer.is_empty() && self.is_blocked().is_none() {
            match self.start_segment() {
                Ok(()) => self.well(Kind::Write),
                Err(error) => self.trouble(Kind::Write, &error, "written", write_reason(&error)),
            }
        }
    }

    /// Lets a blocked lane try again at once.
    pub(super) fn unblock(&mut self) {
        if let Some(blocked) = &mut self.blocked {
            blocked.until = Instant::now();
        }
    }

    fn clear_buffer(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.settled_bytes = 0;
    }

    fn block(&mut self, reason: Reason) {
        self.blocked = Some(Blocked { reason, until: Instant::now() + RETRY_AFTER });
    }

    fn kind(&self, kind: fn(String, u32) -> Kind) -> Kind {
        kind(self.lane.topic().to_owned(), self.lane.lane())
    }

    fn well(&self, kind: fn(String, u32) -> Kind) {
        self.lane.inner.common.health.clear(&self.kind(kind));
    }

    fn trouble(&self, kind: fn(String, u32) -> Kind, error: &io::Error, verb: &str, reason: Reason) {
        let folder = self.lane.inner.folder.display();
        let fix = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space there",
            io::ErrorKind::ReadOnlyFilesystem => {
                "make the file system writable again (a failing disk is mounted read-only: see the system's log)"
            }
            _ => "look at the disk and the system's log",
        };
        let what = format!(
            "{folder} cannot be {verb}: {error}. Calls are dropped as {} until it can; weir goes on by itself: {fix}",
            reason.word()
        );
        self.lane.inner.common.health.set(self.kind(kind), what);
    }

    fn warn(&self, error: &io::Error, what: &str, reason: Reason) {
        tracing::error!(
            topic = self.lane.topic(),
            lane = self.lane.lane(),
            reason = reason.word(),
            %error,
            "failed to {what} a segment of the log; predictions are served on"
        );
    }
}

fn write_reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::DiskFull,
        _ => Reason::LogError,
    }
}
