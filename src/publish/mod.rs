//! Log -> Kafka. In: the synced rows of every lane. Out: messages on the lanes' partitions, and the log's cursors, moved by delivery reports.
//!
//! One thread reads all lanes and feeds one idempotent producer (acks=all); librdkafka's callbacks run on a poll thread that only settles slots.
//! Nothing is ever dropped here: a full queue holds the reader back, a refused message makes its lane start again from the cursor,
//! a fatal error makes a new producer that sends everything from the cursors again, with the same `source` and `seq`, which is how the drain knows resends.
//!
//! The drain forgets a source after `drain.resend_window`; a lane that may have sent rows longer ago than half of it reads its partition back first
//! (`known`, `mark`, `read_back`), also in a process that lived through it.
//!
//! A lane's partition is fixed when the topic's partition count is first known (`pins`); until then the lane just fills.

pub mod message;

mod caution;
mod client;
mod connect;
mod known;
mod lane;
mod mark;
mod pins;
mod producer;
mod reach;
mod read_back;
mod roots;
mod run;
mod shorten;
mod token;
mod topic_settings;
pub(crate) mod topics;
mod trouble;
mod window;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use rdkafka::error::KafkaError;

use crate::config;
use crate::log::Logs;

pub use client::Problem;
pub(crate) use client::{ClientLog, ProblemSlot, lock};
pub(crate) use connect::{Quiet, client_config};
pub(crate) use reach::{Reached, reach};
pub(crate) use token::Tokens;
pub(crate) use topic_settings::{Wanted, findings};

/// Why the publisher could not start. Brokers that are down are no reason.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A property that librdkafka does not know or does not accept.
    #[error("failed to make the kafka producer; check `kafka.tls`, `kafka.sasl` and `kafka.producer`")]
    Client(#[source] KafkaError),
    #[error("failed to start a publisher thread")]
    Thread(#[source] std::io::Error),
}

/// Sends every lane of every log to Kafka until it is stopped. Dropping it without [`Publisher::stop`] ends it at once; the rest stays in the log.
pub struct Publisher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How things stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublisherStatus {
    /// What the client complains of: brokers that cannot be reached, refused logins, a producer being rebuilt.
    pub problem: Option<Problem>,
    /// How often a fatal error made a new producer necessary.
    pub rebuilds: u64,
    pub lanes: Vec<LaneStatus>,
}

/// One lane of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    pub topic: String,
    pub lane: u32,
    /// `None` until the topic's partition count is known.
    pub partition: Option<u32>,
    /// First seq not acknowledged by Kafka.
    pub cursor: u64,
    /// First seq not yet synced in the log.
    pub synced: u64,
    /// Messages sent and not acknowledged.
    pub in_flight: usize,
    /// Rows that the topic refused for their size and took with less in them, since the start.
    pub shortened: u64,
    /// Why this lane does not move, and since when.
    pub problem: Option<Problem>,
}

/// What was left when the publisher stopped; it is in the log and is sent at the next start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoppedReport {
    /// Rows not acknowledged, over all lanes.
    pub backlog: u64,
    /// The lanes that hold them.
    pub lanes: Vec<LaneStatus>,
    pub problem: Option<Problem>,
}

/// What every topic of a configuration has to be.
pub(crate) fn wanted(kafka: &config::Kafka) -> Wanted {
    Wanted {
        broker: kafka.brokers.first().cloned().unwrap_or_default(),
        lanes: kafka.lanes,
        message_bytes: producer::message_bytes(kafka),
        resend_window: kafka.resend_window,
    }
}

/// After how long without an answer the producer gives a message up by itself; the log has it. Before that, after half of the window, this thread makes a
/// new producer ([`known`]). So it only counts for a process that was stopped: librdkafka's threads may have their turn before this one, and look at a message's age
/// before they send it again. It is less than the window, since clocks differ.
fn gives_up_after(resend_window: Duration) -> Duration {
    resend_window / 4 * 3
}

struct Shared {
    stop: Mutex<Option<Instant>>,
    status: Mutex<PublisherStatus>,
}

impl Publisher {
    /// Starts publishing; returns at once, also when no broker can be reached.
    ///
    /// `data_dir` is the folder under which the logs lie (`log/<topic>/`, where the partition pins are kept); `producer_bytes` bounds what is in flight.
    pub fn start(
        kafka: &config::Kafka,
        producer_bytes: u64,
        data_dir: &Path,
        logs: Logs,
    ) -> Result<Publisher, PublishError> {
        let shared = Arc::new(Shared { stop: Mutex::new(None), status: Mutex::default() });
        let log_dir: PathBuf = data_dir.join("log");
        let run = run::Run::new(kafka.clone(), producer_bytes, log_dir, logs, Arc::clone(&shared))?;
        let thread = thread::Builder::new()
            .name("weir-publish".into())
            .spawn(move || run.run())
            .map_err(PublishError::Thread)?;
        Ok(Publisher { shared, thread: Some(thread) })
    }

    pub fn status(&self) -> PublisherStatus {
        lock(&self.shared.status).clone()
    }

    /// Goes on until everything synced is acknowledged, but not longer than `deadline`; moves the cursors; says what is left.
    pub fn stop(mut self, deadline: Duration) -> StoppedReport {
        self.end(Instant::now() + deadline);
        let status = self.status();
        let lanes: Vec<LaneStatus> = status.lanes.into_iter().filter(|l| l.cursor < l.synced).collect();
        let backlog = lanes.iter().map(|l| l.synced - l.cursor).sum();
        StoppedReport { backlog, lanes, problem: status.problem }
    }

    fn end(&mut self, deadline: Instant) {
        lock(&self.shared.stop).get_or_insert(deadline);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the publisher thread panicked; what it had not delivered is in the log");
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.end(Instant::now());
    }
}

/// A time as people read it.
fn at(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| "a day far away".to_owned(), |time| format!("{time:.0}"))
}
