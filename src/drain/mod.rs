//! The drain: collect, spool, seal, write, store, commit. The object is the commit.
//!
//! [`chain`] decides what may be stored next, [`seal`] what belongs into one file, [`triggers`] when it closes: all three pure. `run` is the thread
//! that feeds them with the source's events and the store's answers; [`jobs`] asks the store, [`mod@write`] makes the files.

pub mod names;
pub mod triggers;
pub mod footer;
pub mod store;
pub mod verify;
pub mod refusal;
pub mod seal;
pub mod chain;
pub mod pin;
pub mod leftover;
pub mod jobs;
mod temp;
pub mod write;
pub mod generation;
pub mod status;
mod partition;
mod requests;
mod run;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::status::Status;
use self::store::Store;
use crate::config;
use crate::source::Source;
use crate::telemetry::DrainMeters;

/// What the drain is started with.
#[derive(Debug, Clone)]
pub struct DrainConfig {
    pub drain: config::Drain,
    pub store: config::Store,
    /// Files are written in a folder of this drain's own in `<data_dir>/tmp`.
    pub data_dir: PathBuf,
    /// Value bytes that may wait over all partitions before the largest range is closed: below `drain.spool` with Kafka, below `log.max_size`
    /// without it.
    pub waiting_bytes_max: u64,
    /// The store has passed its self-test already; else the drain makes it before anything else.
    pub store_tested: bool,
    pub meters: DrainMeters,
}

/// Why the drain could not be started.
#[derive(Debug, thiserror::Error)]
#[error("failed to start the drain in `{data_dir}`")]
pub struct StartError {
    pub data_dir: PathBuf,
    #[source]
    pub source: std::io::Error,
}

/// Why not everything at hand was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrainNowError {
    #[error("not everything was stored in {seconds} s: {waiting}{}", because(.last_error))]
    Timeout { seconds: u64, waiting: String, last_error: Option<String> },
    /// A partition waits for somebody.
    #[error("{0}")]
    Refused(String),
    #[error("the drain has stopped")]
    Stopped,
}

fn because(error: &Option<String>) -> String {
    error.as_ref().map_or_else(String::new, |error| format!(" ({error})"))
}

/// What [`Drain::stop`] left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoppedReport {
    /// Partitions with messages that were at hand and are not stored: they stay in the log or in Kafka.
    pub left: Vec<Left>,
    /// The thread was still at work when the deadline passed.
    pub cut_short: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub table: String,
    pub partition: u32,
    pub rows: u64,
    pub why: Option<String>,
}

impl StoppedReport {
    pub fn all_stored(&self) -> bool {
        self.left.is_empty() && !self.cut_short
    }
}

/// The running drain. Dropped without [`stop`](Drain::stop), it ends where it stands, as a kill would; the next one goes on from the store.
pub struct Drain {
    watch: Watch,
    thread: Option<JoinHandle<()>>,
}

/// Looks at a drain and asks it to store. Cheap to clone; it outlives the drain.
#[derive(Clone)]
pub struct Watch {
    shared: Arc<Shared>,
}

impl std::ops::Deref for Drain {
    type Target = Watch;

    fn deref(&self) -> &Watch {
        &self.watch
    }
}

/// Between the handle and the thread.
#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

/// How far a request to store reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To the end of everything that exists now, wherever it is.
    End,
    /// What is in this process's hands: its own log, and what has arrived. The rest of a topic waits in Kafka as well as it did.
    AtHand,
}

#[derive(Default)]
struct Inner {
    status: Status,
    requested: u64,
    /// Those that the thread has not seen yet.
    requests: Vec<(u64, Reach)>,
    /// Numbers of requests that nobody waits for any more.
    given_up: Vec<u64>,
    answers: BTreeMap<u64, Result<(), DrainNowError>>,
    stop_by: Option<Instant>,
    abandoned: bool,
    ended: Option<StoppedReport>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Plain values, each whole at every moment a panic could leave it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change until `until`; false once that has passed.
    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>, until: Instant) -> (MutexGuard<'a, Inner>, bool) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return (inner, false);
        }
        let (inner, _) = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner);
        (inner, true)
    }
}

impl Drain {
    /// Starts the drain's thread and the few that talk to the store.
    pub fn start(config: DrainConfig, store: Arc<dyn Store>, source: Box<dyn Source>) -> Result<Drain, StartError> {
        let shared = Arc::new(Shared::default());
        let data_dir = config.data_dir.clone();
        let started = || -> std::io::Result<JoinHandle<()>> {
            let runner = run::Runner::new(config, store, source, shared.clone())?;
            std::thread::Builder::new().name("drain".into()).spawn(move || runner.run())
        };
        let thread = started().map_err(|source| StartError { data_dir, source })?;
        Ok(Drain { watch: Watch { shared }, thread: Some(thread) })
    }

    /// A handle that outlives the drain.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Seals and stores what is at hand, and ends. What is not stored by then stays where it is.
    pub fn stop(mut self, deadline: Duration) -> StoppedReport {
        let until = Instant::now() + deadline;
        // Also what a lane of the log holds that is still looking for its newest file. What fails here is told by the report.
        if let Err(error) = self.watch.store(Reach::AtHand, deadline) {
            tracing::debug!(%error, "not everything was stored before the stop");
        }
        let shared = self.watch.shared.clone();
        let mut inner = shared.lock();
        inner.stop_by = Some(until);
        let report = loop {
            if let Some(report) = &inner.ended {
                break report.clone();
            }
            let in_time;
            (inner, in_time) = shared.wait(inner, until + Duration::from_millis(200));
            if !in_time || inner.status.dead {
                inner.abandoned = true;
                break StoppedReport { left: requests::left(&inner.status), cut_short: true };
            }
        };
        drop(inner);
        if report.cut_short {
            // It may wait for a disk that hangs; the process ends without it.
            self.thread = None;
        }
        report
    }
}

impl Watch {
    pub fn status(&self) -> Status {
        self.shared.lock().status.clone()
    }

    /// Stores everything that exists now; returns when it is stored.
    pub fn drain_now(&self, timeout: Duration) -> Result<(), DrainNowError> {
        self.store(Reach::End, timeout)
    }

    fn store(&self, reach: Reach, timeout: Duration) -> Result<(), DrainNowError> {
        let until = Instant::now() + timeout;
        let mut inner = self.shared.lock();
        inner.requested += 1;
        let number = inner.requested;
        inner.requests.push((number, reach));
        loop {
            if let Some(answer) = inner.answers.remove(&number) {
                return answer;
            }
            if inner.ended.is_some() || inner.status.dead {
                return Err(DrainNowError::Stopped);
            }
            let in_time;
            (inner, in_time) = self.shared.wait(inner, until);
            if !in_time {
                inner.given_up.push(number);
                let waiting = inner.status.partitions.iter().filter(|partition| partition.rows > 0);
                let waiting = waiting.map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let last_error = inner.status.last_error.as_ref().map(|failure| failure.what.clone());
                return Err(DrainNowError::Timeout { seconds: timeout.as_secs(), waiting, last_error });
            }
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.shared.lock().abandoned = true;
        if let Some(thread) = self.thread.take() {
            // A panic was reported when it happened.
            drop(thread.join());
        }
    }
}
