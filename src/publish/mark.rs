//! Where a lane's messages can stand on its partition: what a publisher knows of it after a kill, however long ago that was. Pure but for the file.
//!
//! A message that was sent and not acknowledged may be on the topic. Sent again soon after, the drain knows it by `source` and `seq`; but the drain
//! forgets a source after `drain.resend_window`. So a lane keeps a [`Mark`] beside its cursor: an offset below which no row from the cursor on can
//! stand, and when that was so. A publisher that has not known for too long what became of rows that it sent first looks at what stands from there
//! on ([`read_back`](super::read_back)) and leaves those rows out.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pins;

/// Beside the lane's `cursor`: `{"seq":120,"offset":340,"at_ms":1764037200123}`. Without it a lane is one that never sent anything.
pub(super) const FILE: &str = "acknowledged.json";

/// Marks are written at most this often; an older one only makes a later look longer.
const EVERY: Duration = Duration::from_secs(10);

/// At `at_ms`, every row below `seq` was acknowledged, and no row from `seq` on stood on the partition below `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub seq: u64,
    pub offset: u64,
    /// Milliseconds since the epoch, by this machine's clock.
    pub at_ms: i64,
}

impl Mark {
    /// One of which nothing is known: of a file that is damaged.
    const UNKNOWN: Mark = Mark { seq: 0, offset: 0, at_ms: 0 };

    fn is_within(self, now_ms: i64, span: Duration) -> bool {
        is_within(self.at_ms, now_ms, span)
    }

    /// Where to begin to look for rows from `cursor` on.
    pub(super) fn offset_for(self, cursor: u64) -> u64 {
        if self.seq <= cursor { self.offset } else { 0 }
    }

    pub(super) fn load(folder: &Path) -> io::Result<Option<Mark>> {
        let path = folder.join(FILE);
        match std::fs::read(&path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "cannot read what a lane's last acknowledgement was; will look at the whole partition");
                Mark::UNKNOWN
            }))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn save(self, folder: &Path) -> io::Result<()> {
        pins::put(folder, FILE, &serde_json::to_vec(&self)?)
    }
}

/// A clock that went back tells nothing.
fn is_within(at_ms: i64, now_ms: i64, span: Duration) -> bool {
    u128::from(now_ms.abs_diff(at_ms)) <= span.as_millis()
}

/// The mark of one lane: which one is on disk, and which one is to be next.
#[derive(Debug, Default)]
pub(super) struct Trail {
    written: Option<Mark>,
    /// Not written before the cursor's file has reached it: after a kill the mark must not be ahead of the cursor.
    waiting: Option<Mark>,
    /// When all that was sent was last known to be on the topic or not to be there. `None`: nothing was ever sent.
    known_ms: Option<i64>,
    /// The newest offset that was acknowledged.
    offset: Option<u64>,
}

impl Trail {
    pub(super) fn new(written: Option<Mark>) -> Trail {
        Trail { written, waiting: None, known_ms: written.map(|mark| mark.at_ms), offset: None }
    }

    /// What was sent is known now: nothing is under way, or a look has just told.
    pub(super) fn knows(&mut self, now_ms: i64) {
        self.known_ms = Some(now_ms);
    }

    /// Whether the drain may have forgotten what was sent and not acknowledged. Half the window: clocks differ, and a topic that keeps its messages
    /// just as long as the drain remembers must still have them.
    pub(super) fn is_forgotten(&self, now_ms: i64, window: Duration) -> bool {
        self.known_ms.is_some_and(|at_ms| !is_within(at_ms, now_ms, window / 2))
    }

    pub(super) fn written(&self) -> Option<Mark> {
        self.written
    }

    /// Takes note of a mark that holds now, while `persisted` is the cursor on disk. What it returns is to be written, then [`wrote`](Trail::wrote).
    pub(super) fn note(&mut self, mark: Mark, persisted: u64, window: Duration) -> Option<Mark> {
        // The process was stopped, and hears what was answered long ago: of what was sent behind that it knows no more than before.
        if self.is_forgotten(mark.at_ms, window) {
            return None;
        }
        // A message that the broker knew already is acknowledged without an offset: the drain has not seen it anew.
        if self.offset.replace(mark.offset) != Some(mark.offset) {
            self.knows(mark.at_ms);
        }
        let every = EVERY.min(window / 16);
        let due = self.written.is_none_or(|old| mark.seq != old.seq && !old.is_within(mark.at_ms, every));
        if due && self.waiting.is_none() {
            self.waiting = Some(mark);
        }
        self.waiting.filter(|waiting| waiting.seq <= persisted)
    }

    /// A mark to write before anything is sent. `clean`: nothing is under way, and no row from the cursor on, as it stands on disk, was ever sent; so
    /// the last mark holds now too.
    pub(super) fn before_sending(&mut self, cursor: u64, clean: bool, now_ms: i64, window: Duration) -> Option<Mark> {
        match self.written {
            None => {
                self.knows(now_ms);
                Some(Mark { seq: cursor, offset: 0, at_ms: now_ms })
            }
            Some(old) => (clean && !old.is_within(now_ms, window / 16)).then_some(Mark { at_ms: now_ms, ..old }),
        }
    }

    pub(super) fn wrote(&mut self, mark: Mark) {
        self.written = Some(mark);
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests;
