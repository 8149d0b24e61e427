//! The running stages behind one handle: what the admin port asks, and what the stop phases end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::admin::Answers;
use crate::admin::status::{Calls, Lane, Partition, Rows, Status, count, seconds};
use crate::drain::Drain;
use crate::gateway::Gateway;
use crate::handoff::Sender;
use crate::ledger::Ledger;
use crate::log::Logs;
use crate::publish::Publisher;
use crate::telemetry::{Meters, Snapshot};

/// Every stage of one process.
pub struct Stages {
    started: Instant,
    ledger: Ledger,
    logs: Logs,
    meters: Meters,
    handoff: Sender,
    gateway: Option<Gateway>,
    publisher: Option<Publisher>,
    drain: Option<Drain>,
    stopping: AtomicBool,
    /// The totals as they stood before the log was closed.
    last: Mutex<Option<Status>>,
}

impl Stages {
    pub fn new(
        ledger: Ledger,
        logs: Logs,
        meters: Meters,
        handoff: Sender,
        gateway: Option<Gateway>,
        publisher: Option<Publisher>,
        drain: Option<Drain>,
    ) -> Arc<Stages> {
        let stages = Arc::new(Stages {
            started: Instant::now(),
            ledger,
            logs,
            meters,
            handoff,
            gateway,
            publisher,
            drain,
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

    pub fn flush_logs(&self) {
        self.logs.flush();
    }

    pub fn stop_publisher(&self, deadline: Duration) -> String {
        let Some(publisher) = &self.publisher else { return String::new() };
        match publisher.stop(deadline).left {
            0 => String::new(),
            n => format!("{} rows stay in the log until the next start", count(n)),
        }
    }

    pub fn stop_drain(&self, deadline: Duration) -> String {
        let Some(drain) = &self.drain else { return String::new() };
        drain.stop(deadline).left
    }

    pub fn close_logs(&self) {
        let status = self.status();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
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
        let mut partitions = Vec::new();
        if let Some(drain) = &self.drain {
            let drain = drain.status();
            rows.consumed = drain.totals.consumed;
            rows.stored = drain.totals.stored;
            rows.resent = drain.totals.resent;
            rows.quarantined = drain.quarantined;
            partitions = drain.partitions.into_iter().map(partition).collect();
        }
        (rows, partitions)
    }

    fn snapshot(&self) -> Snapshot {
        let status = self.status();
        Snapshot {
            seen: status.calls.seen,
            logged: status.calls.logged,
            unsampled: status.calls.unsampled,
            pending: status.calls.pending,
            dropped: status.calls.dropped.into_iter().collect(),
            appended: status.rows.appended,
            delivered: status.rows.delivered,
            consumed: status.rows.consumed,
            stored: status.rows.stored,
            resent: status.rows.resent,
            quarantined: status.rows.quarantined,
            backlog_rows: status.rows.backlog,
            log_bytes: status.log_bytes,
            oldest_unstored_seconds: status.oldest_unstored_seconds,
        }
    }

    fn trouble(&self, lanes: &[Lane], partitions: &[Partition]) -> Vec<String> {
        let mut trouble = Vec::new();
        for lane in lanes {
            if let Some(error) = &lane.error {
                trouble.push(format!("publish {}/{}: {error}", lane.topic, lane.lane));
            }
        }
        for partition in partitions {
            if let Some(error) = &partition.error {
                trouble.push(format!("drain {}/{}: {error}", partition.table, partition.partition));
            }
        }
        if let Some(error) = self.drain.as_ref().and_then(Drain::last_error) {
            trouble.push(format!("drain: {error}"));
        }
        trouble.dedup();
        trouble
    }
}

fn partition(p: crate::drain::PartitionStatus) -> Partition {
    Partition {
        table: p.table,
        origin: p.origin,
        partition: p.partition,
        first: p.first,
        next: p.next,
        rows: p.rows,
        bytes: p.bytes,
        age_seconds: p.age.as_secs_f64(),
        closes: p.closes,
        last_file: p.last_file,
        error: p.error,
    }
}

impl Answers for Stages {
    fn metrics(&self) -> String {
        self.meters.render()
    }

    fn ready(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::SeqCst) { Err("stopping".to_string()) } else { Ok(()) }
    }

    fn status(&self) -> Status {
        if let Some(last) = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return last;
        }
        let (rows, partitions) = self.rows();
        let lanes: Vec<Lane> = self
            .publisher
            .iter()
            .flat_map(|publisher| publisher.status())
            .map(|lane| Lane {
                topic: lane.topic,
                lane: lane.lane,
                partition: lane.partition,
                backlog: lane.backlog,
                error: lane.error,
            })
            .collect();
        let oldest = partitions.iter().map(|p| p.age_seconds).fold(0.0, f64::max);
        Status {
            version: env!("CARGO_PKG_VERSION").to_string(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            calls: Calls::of(&self.ledger.calls()),
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
        if let Some(publisher) = &self.publisher {
            while publisher.status().iter().any(|lane| lane.backlog > 0) {
                if begun.elapsed() > wait {
                    return Err(format!("Kafka did not take the backlog within {}", seconds(wait.as_secs_f64())));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        match &self.drain {
            Some(drain) => drain.drain_now(wait.saturating_sub(begun.elapsed())).map_err(|error| error.to_string()),
            None => Err("this process does not drain; ask one with `roles: [drain]`".to_string()),
        }
    }
}
