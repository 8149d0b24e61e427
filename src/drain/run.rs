//! The drain's thread. It owns the source and every chain; per turn: poll, take the store's answers, take requests, one step per
//! partition (`steps`, `answers`), and at most one file (`sealing`).

mod answers;
mod same_topic;
mod sealing;
mod steps;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::jobs::Jobs;
use super::partition::Partition;
use super::requests::{Request, Targets};
use super::status::{Failure, Status};
use super::store::Store;
use super::triggers::{Backoff, Cause};
use super::write::Writer;
use super::{DrainConfig, Shared, StoppedReport, requests};
use crate::source::{Event, PartitionId, Source, SourceError};

/// The longest turn without events: requests wait for it.
const TURN: Duration = Duration::from_millis(100);

/// A turn while the store is being asked.
const TURN_BUSY: Duration = Duration::from_millis(5);

pub(super) struct Runner {
    pub(super) config: DrainConfig,
    pub(super) source: Box<dyn Source>,
    pub(super) shared: Arc<Shared>,
    jobs: Jobs,
    writer: Writer,
    pub(super) partitions: BTreeMap<PartitionId, Partition>,
    /// Assignments so far.
    assigned: u64,
    pub(super) requests: BTreeMap<u64, Request>,
    /// Set while stopping.
    pub(super) stop: Option<(Instant, Targets)>,
    source_error: Option<Failure>,
    source_backoff: Backoff,
    pub(super) source_retry_at: Option<Instant>,
    /// When a partition was told of last.
    assigned_at: Instant,
    started: Instant,
    random: u64,
}

impl Runner {
    pub fn new(
        config: DrainConfig,
        store: Arc<dyn Store>,
        source: Box<dyn Source>,
        shared: Arc<Shared>,
    ) -> std::io::Result<Runner> {
        config.meters.begin(&Cause::ALL.map(Cause::word));
        Ok(Runner {
            jobs: Jobs::start(&store, config.store_tested)?,
            writer: Writer::open(config.store.clone(), &config.data_dir)?,
            config,
            source,
            shared,
            partitions: BTreeMap::new(),
            assigned: 0,
            requests: BTreeMap::new(),
            stop: None,
            source_error: None,
            source_backoff: Backoff::default(),
            source_retry_at: None,
            assigned_at: Instant::now(),
            started: Instant::now(),
            random: uuid::Uuid::new_v4().as_u64_pair().0,
        })
    }

    /// Runs until it is stopped or abandoned.
    pub fn run(mut self) {
        let shared = self.shared.clone();
        if std::panic::catch_unwind(AssertUnwindSafe(|| self.turns())).is_err() {
            tracing::error!("the drain's thread panicked: nothing is stored until weir is restarted");
            shared.lock().status.dead = true;
        }
        shared.changed.notify_all();
    }

    fn turns(&mut self) {
        loop {
            self.poll();
            self.take_answers();
            self.take_requests();
            self.advance_all();
            self.seal_one();
            self.look_at_the_oldest();
            let answers = self.answer_requests();
            let status = self.status();
            let mut inner = self.shared.lock();
            // Together: who is answered sees the status of that moment.
            inner.status = status;
            inner.answers.extend(answers);
            if inner.abandoned {
                return;
            }
            if let Some(cut_short) = self.stopped() {
                inner.ended = Some(StoppedReport { left: requests::left(&inner.status), cut_short });
                return;
            }
            drop(inner);
            self.shared.changed.notify_all();
        }
    }

    fn poll(&mut self) {
        if self.stop.is_some() {
            // What comes now stays where it is.
            self.jobs.wait(TURN_BUSY);
            return;
        }
        let now = Instant::now();
        let wait = if self.jobs.busy() { TURN_BUSY } else { self.until_next(now) };
        if self.source_retry_at.is_some_and(|at| at > now) {
            self.jobs.wait(wait);
            return;
        }
        match self.source.poll(wait) {
            Ok(events) => {
                self.source_error = None;
                self.source_retry_at = None;
                self.source_backoff.reset();
                self.apply_all(events);
            }
            Err(error) => self.source_failed(&error),
        }
    }

    /// How long nothing has to be done unless something comes.
    fn until_next(&self, now: Instant) -> Duration {
        let now_ms = self.age_ms();
        let open = self
            .partitions
            .values()
            .filter(|partition| partition.retry_at.is_none() && partition.collecting().is_some());
        let closes = open.filter_map(|partition| {
            let closes_ms = partition.triggers.closes_ms(&partition.at_hand)?;
            Some(Duration::from_millis(u64::try_from(closes_ms - now_ms).unwrap_or(0)))
        });
        let retries =
            self.partitions.values().filter_map(|partition| Some(partition.retry_at?.saturating_duration_since(now)));
        closes.chain(retries).min().unwrap_or(TURN).clamp(TURN_BUSY, TURN)
    }

    pub(super) fn source_failed(&mut self, error: &SourceError) {
        let what = crate::telemetry::with_causes(error);
        if self.source_error.as_ref().is_none_or(|last| last.what != what) {
            tracing::warn!("failed to poll the source: {what}");
        }
        self.source_error = Some(Failure { at_ms: now_ms(), what });
        let random = self.random();
        self.source_retry_at = Some(Instant::now() + self.source_backoff.next(random));
    }

    pub(super) fn apply_all(&mut self, events: Vec<Event>) {
        events.into_iter().for_each(|event| self.apply(event));
        self.partitions.values_mut().for_each(|partition| partition.heard |= partition.collecting().is_some());
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Assigned { partition, bounds } => {
                self.assigned += 1;
                self.assigned_at = Instant::now();
                let state = Partition::new(&partition, self.assigned, bounds, &self.config.store);
                self.partitions.insert(partition, state);
            }
            Event::Revoked { partition } => {
                // What was collected is read again by the next owner; a create on its way is adopted by it.
                self.partitions.remove(&partition);
            }
            Event::Message(progress) => {
                let age_ms = self.age_ms();
                if let Some(partition) = self.partitions.get_mut(&progress.partition) {
                    partition.progress(&progress, age_ms);
                }
            }
        }
    }

    fn status(&self) -> Status {
        let (now, age_ms) = (Instant::now(), self.age_ms());
        let mut status = Status::default();
        for (id, partition) in &self.partitions {
            status.partitions.push(partition.status(id, self.source.end(id), now, age_ms));
            if let Some(chain) = &partition.chain {
                status.totals.add(&chain.head().totals, partition.quarantined);
            }
        }
        let failures =
            self.partitions.values().filter_map(|partition| partition.last_error.as_ref()).chain(&self.source_error);
        status.last_error = failures.max_by_key(|failure| failure.at_ms).cloned();
        status
    }

    /// The clock of what waits: milliseconds since the start, whatever is done to the wall's.
    fn age_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn random(&mut self) -> u64 {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
