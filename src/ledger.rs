//! The equations: every call ends in exactly one outcome, even when dropped, even by kill -9.
//!
//! `seen = logged + pending + dropped{reason} + unsampled`. `seen`, `dropped` and `unsampled` live in a small
//! memory-mapped file, counted before anything can fail; `logged` is never in it: the log itself knows.

use std::path::Path;
use std::sync::Arc;

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
    pub const ALL: [Reason; 7] =
        [Reason::Crash, Reason::QueueFull, Reason::LogFull, Reason::DiskFull, Reason::Fsync, Reason::LogError, Reason::Lost];

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

#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct LedgerError;

/// Shared handle, cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    _inner: Arc<()>,
}

impl Ledger {
    /// Opens or makes `path`. `logged` is what the log counted (header + entries, over all lanes): the difference to what
    /// the dead process had seen is counted as `dropped{crash}`.
    pub fn open(_path: &Path, _logged: u64) -> Result<Ledger, LedgerError> {
        unimplemented!()
    }

    /// Counts a call as seen. The ticket settles it.
    pub fn see(&self) -> Ticket {
        unimplemented!()
    }

    pub fn calls(&self) -> Calls {
        unimplemented!()
    }
}

/// One call that was seen and not yet settled. Dropping it unsettled counts `dropped{lost}`.
#[must_use]
pub struct Ticket {
    _number: u64,
}

impl Ticket {
    /// The call's number: its value of `seen`, from 1.
    pub fn number(&self) -> u64 {
        unimplemented!()
    }
    /// Settles the call as appended to the log.
    pub fn logged(self) {
        unimplemented!()
    }
    pub fn dropped(self, _reason: Reason) {
        unimplemented!()
    }
    pub fn unsampled(self) {
        unimplemented!()
    }
}
