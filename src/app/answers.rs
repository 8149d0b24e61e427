//! The running stages behind one handle: what the admin port asks, and what the stop phases end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::feedback::FeedbackDesk;
use crate::admin::Answers;
use crate::admin::status::{Calls, Feedback, Lane, Partition, Rows, Status, count, now_ms, seconds};
use crate::drain::status::SLOW_AFTER;
use crate::drain::{Drain, Watch};
use crate::gateway::Gateway;
use crate::handoff::Sender;
use crate::ledger::{self, Ledger};
use crate::log::Logs;
use crate::publish::Publisher;
use crate::source::kafka::KafkaWatch;
use crate::telemetry::{Meters, PartitionSample, Snapshot};

/// Rows that wait longer in the log for Kafka are trouble, whatever the cause.
const KAFKA_SLOW_AFTER: Duration = Duration::from_secs(15);

/// Every stage of one process.
pub struct Stages {
    started: Instant,
    ledger: Ledger,
    logs: Logs,
    meters: Meters,
    handoff: Sender,
    /// `None`: no route takes feedback.
    feedback: Option<Arc<FeedbackDesk>>,
    gateway: Option<Gateway>,
    /// Taken out when they stop.
    publisher: Mutex<Option<Publisher>>,
    drain: Mutex<Option<Drain>>,
    /// What the drain says of itself, also after it has stopped.
    drained: Option<Watch>,
    /// What the drain reads, if that is Kafka.
    kafka: Option<KafkaWatch>,
    stopping: AtomicBool,
    /// The totals as they stood before the log was closed.
    last: Mutex<Option<Status>>,
}

impl Stages {
    #[expect(clippy::too_many_arguments, reason = "one place that takes every stage")]
    pub fn new(
        ledger: Ledger,
        logs: Logs,
        meters: Meters,
        handoff: Sender,
        feedback: Option<Arc<FeedbackDesk>>,
        gateway: Option<Gateway>,
        publisher: Option<Publisher>,
        drain: Option<Drain>,
        kafka: Option<KafkaWatch>,
    ) -> Arc<Stages> {
        let stages = Arc::new(Stages {
            started: Instant::now(),
            ledger,
            logs,
            meters,
            handoff,
            feedback,
            gateway,
            publisher: Mutex::new(publisher),
            drained: drain.as_ref().map(Drain::watch),
            drain: Mutex::new(drain),
            kafka,
            stopping: AtomicBool::new(false),
            last: Mutex::new(None),
        });
        let observed = Arc::downgrade(&stages);
        stages.meters.observe(move || observed.upgrade().map(|stages| stages.snapshot()).unwrap_or_default());
        stages
    }

    pub fn address(&self) -> Option<SocketAddr> {
        self.gateway.as_ref().map(Gateway::address)
    }

    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Ends the gateway; what it left, in words.
    pub fn stop_gateway(&self, deadline: Duration) -> String {
        let Some(gateway) = &self.gateway else { return String::new() };
        match gateway.stop(deadline).abandoned {
            0 => String::new(),
            n => format!("{n} requests were cut"),
        }
    }

    pub fn close_handoff(&self) {
        self.handoff.close();
    }

    /// Ends the feedback thread: what was posted is handed to the log.
    pub fn stop_feedback(&self) {
        if let Some(feedback) = &self.feedback {
            feedback.stop();
        }
    }

    pub fn flush_logs(&self) {
        self.logs.flush();
    }

    pub fn stop_publisher(&self, deadline: Duration) -> String {
        let publisher = lock(&self.publisher).take();
        match publisher.map_or(0, |publisher| publisher.stop(deadline).backlog) {
            0 => String::new(),
            n => format!("{} rows stay in the log until the next start", count(n)),
        }
    }

    pub fn stop_drain(&self, deadline: Duration) -> String {
        let Some(drain) = lock(&self.drain).take() else { return String::new() };
        let report = drain.stop(deadline);
        if report.all_stored() {
            return String::new();
        }
        let rows = report.left.iter().map(|left| left.rows).sum();
        let mut words = format!("{} rows are not in Parquet yet, they stay where they are", count(rows));
        if let Some(why) = report.left.iter().find_map(|left| left.why.as_ref()) {
            words.push_str(&format!(" ({why})"));
        }
        words
    }

    pub fn close_logs(&self) {
        let status = self.status();
        *lock(&self.last) = Some(status);
        self.logs.close();
    }

    fn rows(&self) -> (Rows, Vec<Partition>) {
        let log = self.logs.totals();
        let mut rows = Rows {
            appended: log.rows,
            delivered: log.delivered,
            backlog: log.rows.saturating_sub(log.delivered),
            ..Rows::default()
        };
        let drained = self.drained.as_ref().map(Watch::status).unwrap_or_default();
        rows.drained(&drained.totals);
        let now_ms = now_ms();
        (rows, drained.partitions.iter().map(|partition| Partition::of(partition, now_ms)).collect())
    }

    fn snapshot(&self) -> Snapshot {
        let status = self.status();
        let (calls, feedback) = (self.ledger.calls(), self.ledger.feedback());
        let dropped = |counted: &ledger::Calls| {
            ledger::Reason::ALL.map(|reason| (reason.word(), counted.dropped[reason as usize])).to_vec()
        };
        Snapshot {
            seen: calls.seen,
            logged: calls.logged,
            unsampled: calls.unsampled,
            pending: calls.pending(),
            dropped: dropped(&calls),
            feedback_seen: feedback.seen,
            feedback_logged: feedback.logged,
            feedback_pending: feedback.pending(),
            feedback_dropped: dropped(&feedback),
            appended: status.rows.appended,
            delivered: status.rows.delivered,
            shortened: status.publisher.iter().map(|lane| lane.shortened).sum(),
            consumed: status.rows.consumed,
            stored: status.rows.stored,
            resent: status.rows.resent,
            quarantined: status.rows.quarantined,
            backlog: status.rows.backlog,
            log_bytes: status.log_bytes,
            oldest_unstored_seconds: status.oldest_unstored_seconds,
            partitions: Self::samples(&status.drain),
        }
    }

    fn samples(partitions: &[Partition]) -> Vec<PartitionSample> {
        let made = |p: &Partition| {
            Some(p.last_file.as_ref()?.created.parse::<jiff::Timestamp>().ok()?.as_millisecond() as f64 / 1e3)
        };
        let sample = |p: &Partition| PartitionSample {
            topic: p.table.clone(),
            partition: p.partition.to_string(),
            head: p.chain.is_some().then_some(p.first),
            lag: p.lag,
            oldest_seconds: p.age_seconds.max(p.oldest_unstored_seconds),
            open_rows: p.rows,
            open_bytes: p.bytes,
            last_file_seconds: made(p),
        };
        partitions.iter().map(sample).collect()
    }

    /// Age of the oldest row that has not left the log.
    fn oldest_in_log_seconds(&self) -> f64 {
        let now_ms = now_ms();
        let oldest = self.logs.lanes().iter().filter_map(|lane| lane.oldest_undelivered_ms()).min();
        oldest.map_or(0.0, |oldest_ms| (now_ms - oldest_ms).max(0) as f64 / 1e3)
    }

    /// Rows that are sent and not acknowledged make no error: brokers that are slow, or a network that swallows what is sent.
    fn slow_kafka(&self) -> Option<String> {
        let waits = self.oldest_in_log_seconds();
        (waits >= KAFKA_SLOW_AFTER.as_secs_f64()).then(|| {
            format!(
                "kafka: the oldest row has waited for {} to be acknowledged, without an error: the brokers are slow, or not reached",
                seconds(waits)
            )
        })
    }

    fn trouble(&self, lanes: &[Lane], partitions: &[Partition]) -> Vec<String> {
        let mut trouble: Vec<String> =
            self.logs.troubles().into_iter().map(|trouble| format!("log: {trouble}")).collect();
        let problem = lock(&self.publisher).as_ref().and_then(|publisher| publisher.status().problem);
        let consumer = self.kafka.as_ref().map(KafkaWatch::status);
        let lacks_a_topic = consumer.as_ref().is_some_and(|status| !status.missing.is_empty());
        // What the consumer suffers from does not explain why rows wait to be sent.
        let is_explained =
            !trouble.is_empty() || problem.is_some() || lacks_a_topic || lanes.iter().any(|lane| lane.error.is_some());
        if !is_explained && !lanes.is_empty() {
            trouble.extend(self.slow_kafka());
        }
        trouble.extend(problem.map(|problem| format!("kafka: {problem}")));
        if let Some(status) = consumer {
            trouble.extend(status.problem.map(|problem| format!("kafka consumer: {problem}")));
            trouble.extend(status.missing.iter().map(|topic| format!("topic {topic} does not exist yet")));
        }
        for lane in lanes {
            if let Some(error) = &lane.error {
                trouble.push(format!("publish {}/{}: {error}", lane.topic, lane.lane));
            }
        }
        for partition in partitions {
            let waits = partition.asking_seconds.filter(|waits| *waits >= SLOW_AFTER.as_secs_f64());
            if let (Some(waits), None) = (waits, &partition.error) {
                let (table, number) = (&partition.table, partition.partition);
                trouble.push(format!("drain {table} p{number}: the store has not answered for {}", seconds(waits)));
            }
            if let Some(error) = &partition.error {
                trouble.push(format!("drain {} p{}: {error}", partition.table, partition.partition));
            }
        }
        if let Some(status) = self.drained.as_ref().map(Watch::status) {
            if let Some(failure) = status.last_error
                && !partitions.iter().any(|p| p.error.as_ref() == Some(&failure.what))
            {
                trouble.push(format!("drain: {}", failure.what));
            }
            if status.dead {
                trouble.push("the drain has ended: restart weir; rows wait in the log meanwhile".to_string());
            }
        }
        trouble
    }
}

/// The handles are whole at every moment a panic could leave them.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers for Stages {
    fn metrics(&self) -> String {
        self.meters.render()
    }

    fn ready(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::SeqCst) { Err("stopping".to_string()) } else { Ok(()) }
    }

    fn status(&self) -> Status {
        if let Some(last) = lock(&self.last).clone() {
            return last;
        }
        let (rows, partitions) = self.rows();
        let lanes: Vec<Lane> = match lock(&self.publisher).as_ref() {
            Some(publisher) => publisher.status().lanes.iter().map(Lane::of).collect(),
            None => Vec::new(),
        };
        // By their own timestamps; where a message tells none, since it came to hand.
        let ages = partitions.iter().map(|p| p.age_seconds.max(p.oldest_unstored_seconds));
        let oldest = ages.fold(self.oldest_in_log_seconds(), f64::max);
        Status {
            version: env!("CARGO_PKG_VERSION").to_string(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            calls: Calls::of(&self.ledger.calls()),
            feedback: Feedback::of(&self.ledger.feedback()),
            trouble: self.trouble(&lanes, &partitions),
            rows,
            log_bytes: self.logs.totals().bytes,
            oldest_unstored_seconds: oldest,
            in_flight: self.gateway.as_ref().map_or(0, |gateway| gateway.in_flight() as u64),
            publisher: lanes,
            drain: partitions,
        }
    }

    fn drain(&self, wait: Duration) -> Result<(), String> {
        let begun = Instant::now();
        while self.handoff.depth() > 0 && begun.elapsed() < wait {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.logs.flush();
        while lock(&self.publisher).is_some() && self.logs.totals().delivered < self.logs.totals().rows {
            if begun.elapsed() > wait {
                return Err(format!("Kafka did not take the backlog within {}", seconds(wait.as_secs_f64())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(kafka) = &self.kafka {
            kafka.catch_up(wait.saturating_sub(begun.elapsed())).map_err(|error| error.to_string())?;
        }
        match &self.drained {
            Some(drained) => drained.drain_now(wait.saturating_sub(begun.elapsed())).map_err(|error| error.to_string()),
            None => Err("this process does not drain; ask one with `roles: [drain]`".to_string()),
        }
    }
}
