//! The equations: every call ends in exactly one outcome, even when dropped, even by kill -9.
//!
//! `seen = logged + pending + dropped{reason} + unsampled`. `seen`, `dropped` and `unsampled` live in a small
//! memory-mapped file (`file.rs`), counted before anything can fail; `logged` is never in it: the log itself knows.
//!
//! Feedbacks are counted likewise and apart, each one of a list: `seen = logged + pending + dropped{reason}`. A list is one
//! entry of the log, so it is in the log whole or not at all.
//!
//! At open the two are joined. More seen than settled: the dead process held those calls, they become
//! `dropped{crash}`. Less seen than settled: a power cut took the file's last state but not the log's, `seen` is raised.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

mod file;

use file::Counters;

/// What is counted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Group {
    Calls = 0,
    Feedback = 1,
}

impl Group {
    const ALL: [Group; 2] = [Group::Calls, Group::Feedback];

    fn word(self) -> &'static str {
        match self {
            Group::Calls => "calls",
            Group::Feedback => "feedbacks",
        }
    }
}

/// What the log holds when a ledger is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Logged {
    pub calls: u64,
    pub feedback: u64,
}

/// Why a call, or a feedback, has no record. The discriminant is the slot in the ledger's file: only ever append.
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
    /// A stage ended (panic, stop deadline) while it held the call, or before the call did: one whose model had not answered when the stop went on.
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

/// The first equation's counters, of calls or of feedbacks. `pending` is derived: `seen - logged - dropped - unsampled`.
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
    /// By [`Group`].
    logged: [AtomicU64; Group::ALL.len()],
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
    pub fn open(path: &Path, logged: Logged) -> Result<Ledger, LedgerError> {
        let counters = Counters::open(path)?;
        let logged = [AtomicU64::new(logged.calls), AtomicU64::new(logged.feedback)];
        let inner = Inner { counters, logged };
        Group::ALL.into_iter().for_each(|of| inner.join(of));
        Ok(Ledger { inner: Arc::new(inner) })
    }

    /// Counts a call as seen. The ticket settles it.
    pub fn see(&self) -> Ticket {
        self.ticket(Of::Call)
    }

    /// Counts `count` feedbacks, which are one entry of the log, as seen. The ticket settles them together and tells `told`
    /// what became of them.
    pub fn see_feedback(&self, count: u64, told: impl FnOnce(Result<(), Reason>) + Send + 'static) -> Ticket {
        self.ticket(Of::Feedback { count, told: Some(Box::new(told)) })
    }

    fn ticket(&self, of: Of) -> Ticket {
        let before = self.inner.counters.seen(of.group()).fetch_add(of.count(), Ordering::AcqRel);
        Ticket { number: before + 1, inner: Some(Arc::clone(&self.inner)), of }
    }

    /// A snapshot in which no call counts as settled before it counts as seen.
    pub fn calls(&self) -> Calls {
        self.inner.counted(Group::Calls)
    }

    /// The same of feedbacks; none is unsampled.
    pub fn feedback(&self) -> Calls {
        self.inner.counted(Group::Feedback)
    }
}

impl Inner {
    fn counted(&self, of: Group) -> Calls {
        // The settled ones first: each was seen before, so `seen`, loaded last, covers all of them.
        let logged = self.logged[of as usize].load(Ordering::Acquire);
        let unsampled = match of {
            Group::Calls => self.counters.unsampled().load(Ordering::Acquire),
            Group::Feedback => 0,
        };
        let dropped = Reason::ALL.map(|reason| self.counters.dropped(of, reason).load(Ordering::Acquire));
        let seen = self.counters.seen(of).load(Ordering::Acquire);
        Calls { seen, logged, dropped, unsampled }
    }

    /// Joins what the file says with what the log says.
    fn join(&self, of: Group) {
        let counted = self.counted(of);
        let (settled, what) = (counted.settled(), of.word());
        if counted.seen > settled {
            let crashed = counted.seen - settled;
            self.counters.dropped(of, Reason::Crash).fetch_add(crashed, Ordering::AcqRel);
            tracing::warn!(
                what,
                count = crashed,
                "counted {crashed} {what} as dropped{{crash}}: the last process had not logged them"
            );
        } else if settled > counted.seen {
            self.counters.seen(of).store(settled, Ordering::Release);
            tracing::warn!(
                what,
                seen = counted.seen,
                raised_to = settled,
                "raised the ledger's seen {what}: the log holds more than the ledger had seen, as after a power cut"
            );
        }
    }
}

/// Hears what became of feedbacks.
type Told = Box<dyn FnOnce(Result<(), Reason>) + Send>;

/// What a ticket stands for.
enum Of {
    Call,
    Feedback { count: u64, told: Option<Told> },
}

impl Of {
    fn group(&self) -> Group {
        match self {
            Of::Call => Group::Calls,
            Of::Feedback { .. } => Group::Feedback,
        }
    }

    fn count(&self) -> u64 {
        match self {
            Of::Call => 1,
            Of::Feedback { count, .. } => *count,
        }
    }
}

/// One call, or the feedbacks of one entry, seen and not yet settled. Dropping it unsettled counts `dropped{lost}`.
#[must_use]
pub struct Ticket {
    number: u64,
    /// `None` once settled.
    inner: Option<Arc<Inner>>,
    of: Of,
}

impl Ticket {
    /// The number of the call, or of the first feedback: its value of `seen`, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Settles it as appended to the log.
    pub fn logged(mut self) {
        self.settle(Ok(()));
    }

    /// Settles it as dropped.
    pub fn dropped(mut self, reason: Reason) {
        self.settle(Err(reason));
    }

    /// Settles a call as not wanted: by sampling, or because the client said so.
    pub fn unsampled(mut self) {
        debug_assert!(matches!(self.of, Of::Call), "feedback is never sampled");
        if let Some(inner) = self.inner.take() {
            inner.counters.unsampled().fetch_add(1, Ordering::AcqRel);
        }
    }

    fn settle(&mut self, outcome: Result<(), Reason>) {
        let Some(inner) = self.inner.take() else { return };
        let counter = match outcome {
            Ok(()) => &inner.logged[self.of.group() as usize],
            Err(reason) => inner.counters.dropped(self.of.group(), reason),
        };
        counter.fetch_add(self.of.count(), Ordering::AcqRel);
        if let Of::Feedback { told, .. } = &mut self.of
            && let Some(told) = told.take()
        {
            told(outcome);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle(Err(Reason::Lost));
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("number", &self.number).field("settled", &self.inner.is_none()).finish()
    }
}

#[cfg(test)]
mod tests;
