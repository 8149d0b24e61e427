//! The equations: every call ends in exactly one outcome, even when dropped, even by kill -9.
//!
//! `seen = logged + pending + dropped{reason} + unsampled`. `seen`, `dropped` and `unsampled` live in a small
//! memory-mapped file (`file.rs`), counted before anything can fail; `logged` is never in it: the log itself knows.
//!
//! At open the two are joined. More seen than settled: the dead process held those calls, they become
//! `dropped{crash}`. Less seen than settled: a power cut took the file's last state but not the log's, `seen` is raised.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

mod file;

use file::Counters;

/// Why a call has no record. The discriminant is the slot in the ledger's file: only ever append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Reason {
    /// The process died between seeing the call and logging it.
    Crash = 0,
    /// The handoff was full.
    QueueFull = 1,
    /// The log reached `log.max_size`.
    LogFull = 2,
    /// The file system has less than `log.reserve_free` left, or is full.
    DiskFull = 3,
    /// The log could not be synced.
    Fsync = 4,
    /// The log could not be written for another reason.
    LogError = 5,
    /// A stage ended (panic, stop deadline) while it held the call.
    Lost = 6,
}

impl Reason {
    pub const ALL: [Reason; 7] = [
        Reason::Crash,
        Reason::QueueFull,
        Reason::LogFull,
        Reason::DiskFull,
        Reason::Fsync,
        Reason::LogError,
        Reason::Lost,
    ];

    /// The word used in `weir status`, metrics and log lines.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Crash => "crash",
            Reason::QueueFull => "queue_full",
            Reason::LogFull => "log_full",
            Reason::DiskFull => "disk_full",
            Reason::Fsync => "fsync",
            Reason::LogError => "log_error",
            Reason::Lost => "lost",
        }
    }
}

/// The first equation's counters. `pending` is derived: `seen - logged - dropped - unsampled`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    pub seen: u64,
    pub logged: u64,
    pub dropped: [u64; Reason::ALL.len()],
    pub unsampled: u64,
}

impl Calls {
    /// Calls that were seen and not yet settled; never negative.
    pub fn pending(&self) -> u64 {
        self.seen.saturating_sub(self.settled())
    }

    /// Calls dropped, over all reasons.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    fn settled(&self) -> u64 {
        self.logged.saturating_add(self.dropped_total()).saturating_add(self.unsampled)
    }
}

/// The ledger's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("failed to {what} the ledger `{path}`; check that its folder exists, is writable and has space")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Not a ledger, cut, or damaged: its counters cannot be believed.
    #[error(
        "`{path}` is not a ledger that weir can read: {why}; move it away and start again: \
         the counters then restart from what the log holds"
    )]
    Damaged { path: PathBuf, why: String },
    #[error("the ledger `{path}` was written by a newer weir ({why}); start that one, or move the file away")]
    Newer { path: PathBuf, why: String },
}

/// Shared handle, cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    counters: Counters,
    logged: AtomicU64,
}

impl Ledger {
    /// Opens or makes `path`. `logged` is what the log counted (header + entries, over all lanes): the difference to what
    /// the dead process had seen is counted as `dropped{crash}`.
    ///
    /// Who may call: the holder of `data_dir/lock`, that is, after the log was opened.
    ///
    /// # Errors
    /// A file that is short, foreign or damaged is refused and left as it is. An empty or all-zero file, which is what
    /// a power cut leaves of one that was never synced, is made anew with a warning.
    pub fn open(path: &Path, logged: u64) -> Result<Ledger, LedgerError> {
        let counters = Counters::open(path)?;
        let inner = Inner { counters, logged: AtomicU64::new(logged) };
        let calls = inner.calls();
        let settled = calls.settled();
        if calls.seen > settled {
            let crashed = calls.seen - settled;
            inner.counters.dropped(Reason::Crash).fetch_add(crashed, Ordering::AcqRel);
            tracing::warn!(
                calls = crashed,
                "counted {crashed} calls as dropped{{crash}}: the last process had not logged them"
            );
        } else if settled > calls.seen {
            inner.counters.seen().store(settled, Ordering::Release);
            tracing::warn!(
                seen = calls.seen,
                raised_to = settled,
                "raised the ledger's seen calls: the log holds more than the ledger had seen, as after a power cut"
            );
        }
        Ok(Ledger { inner: Arc::new(inner) })
    }

    /// Counts a call as seen. The ticket settles it.
    pub fn see(&self) -> Ticket {
        let number = self.inner.counters.seen().fetch_add(1, Ordering::AcqRel) + 1;
        Ticket { number, inner: Some(Arc::clone(&self.inner)) }
    }

    /// A snapshot in which no call counts as settled before it counts as seen.
    pub fn calls(&self) -> Calls {
        self.inner.calls()
    }
}

impl Inner {
    fn calls(&self) -> Calls {
        // The settled ones first: each was seen before, so `seen`, loaded last, covers all of them.
        let logged = self.logged.load(Ordering::Acquire);
        let unsampled = self.counters.unsampled().load(Ordering::Acquire);
        let dropped = Reason::ALL.map(|reason| self.counters.dropped(reason).load(Ordering::Acquire));
        let seen = self.counters.seen().load(Ordering::Acquire);
        Calls { seen, logged, dropped, unsampled }
    }
}

/// One call that was seen and not yet settled. Dropping it unsettled counts `dropped{lost}`.
#[must_use]
pub struct Ticket {
    number: u64,
    /// `None` once settled.
    inner: Option<Arc<Inner>>,
}

impl Ticket {
    /// The call's number: its value of `seen`, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Settles the call as appended to the log.
    pub fn logged(mut self) {
        if let Some(inner) = self.inner.take() {
            inner.logged.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Settles the call as dropped.
    pub fn dropped(mut self, reason: Reason) {
        self.drop_with(reason);
    }

    /// Settles the call as not wanted: by sampling, or because the client said so.
    pub fn unsampled(mut self) {
        if let Some(inner) = self.inner.take() {
            inner.counters.unsampled().fetch_add(1, Ordering::AcqRel);
        }
    }

    fn drop_with(&mut self, reason: Reason) {
        if let Some(inner) = self.inner.take() {
            inner.counters.dropped(reason).fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.drop_with(Reason::Lost);
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("number", &self.number).field("settled", &self.inner.is_none()).finish()
    }
}

#[cfg(test)]
mod tests;
