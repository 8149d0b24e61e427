//! The drain's thread. It owns the source and every chain; per turn: poll, take the store's answers, take requests, one step per partition.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fail::fail_point;

use super::chain::{Answer, Chain, Found, LastHere, Outcome, Pinned, Step};
use super::footer::Footer;
use super::jobs::{Create, Done, Job, Jobs, NewestSchema, Open, Opened};
use super::names::ChainId;
use super::partition::{Partition, Sending};
use super::requests::{Request, Targets};
use super::status::{Failure, LastFile, Status};
use super::store::{Kind, Store};
use super::triggers::{Backoff, Cause, under_pressure};
use super::write::{Outcome as Written, Range, Resume, WriteError, Writer};
use super::{DrainConfig, Shared, StoppedReport, requests};
use crate::source::{Bounds, Event, PartitionId, Source, SourceError};
use crate::telemetry::Commit;

/// The longest turn without events: requests wait for it.
const TURN: Duration = Duration::from_millis(100);

/// A turn while the store is being asked.
const TURN_BUSY: Duration = Duration::from_millis(5);

/// How long the last of an origin's partitions was told of before its document is made: all of them are to be in it.
const ALL_KNOWN_AFTER: Duration = Duration::from_millis(250);

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

    fn take_answers(&mut self) {
        for (id, number, done) in self.jobs.take() {
            // An answer to an earlier assignment is void: the chain was looked up again since.
            let Some(mut partition) = self.partitions.remove(&id) else { continue };
            if partition.number == number {
                partition.answered_after = partition.asked_at.take().map_or(Duration::ZERO, |at| at.elapsed());
                self.answered(&id, &mut partition, done);
            }
            self.partitions.insert(id, partition);
        }
    }

    fn answered(&mut self, id: &PartitionId, partition: &mut Partition, done: Done) {
        match done {
            Done::NoOrigin => {
                partition.new_origin = true;
                partition.retry_at = self.all_known_at();
            }
            Done::Opened(opened) => self.opened(id, partition, *opened),
            Done::Schema { table, newest, grown } => {
                self.writer.learn(table, newest);
                if let Some((resume, _)) = &mut partition.writing {
                    resume.grown += u32::from(grown);
                    resume.fresh = true;
                }
            }
            Done::Created => self.settle(id, partition, Answer::New),
            Done::Exists(footer) => {
                let key = footer.key();
                match self.found(id, key, *footer) {
                    Ok(found) => self.settle(id, partition, Answer::Exists(Box::new(found))),
                    Err(error) => self.failed(id, partition, Kind::Retry, crate::telemetry::with_causes(&error)),
                }
            }
            Done::Superseded(newer) => {
                tracing::warn!("{id:?}: generation {newer} was made, going on there");
                // Looked up anew, with the new document.
                partition.chain = None;
                partition.sending = None;
            }
            Done::Refused(refusal) => self.failed(id, partition, Kind::Stop, refusal.to_string()),
            Done::FileLost(why) => {
                partition.sending = None;
                if let Some(chain) = partition.chain.as_mut().filter(|chain| matches!(chain.step(), Step::Create(_))) {
                    chain.file_lost();
                }
                self.failed(id, partition, Kind::Retry, why);
            }
            Done::Failed { kind, why } => {
                if partition.chain.as_ref().is_some_and(|chain| matches!(chain.step(), Step::Create(_))) {
                    self.settle(id, partition, Answer::Undecided);
                }
                self.failed(id, partition, kind, why);
            }
        }
    }

    fn found(&mut self, id: &PartitionId, key: String, footer: Footer) -> Result<Found, SourceError> {
        let last_here = LastHere::from(&self.source.record_before(id, footer.next)?);
        Ok(Found { key, footer, last_here })
    }

    fn opened(&mut self, id: &PartitionId, partition: &mut Partition, opened: Opened) {
        let Opened { doc, head, inherited } = opened;
        if doc.partitioning != self.config.store.partition {
            tracing::warn!(
                "`store.partition` is {:?}, table {} is pinned to {:?}: it stays so until a new generation",
                self.config.store.partition,
                doc.table,
                doc.partitioning
            );
        }
        let found = head.map(|(key, footer)| self.found(id, key, footer)).transpose();
        let known = found.and_then(|found| Ok((found, self.source.bounds(id)?)));
        let (found, bounds) = match known {
            Ok(known) => known,
            Err(error) => return self.failed(id, partition, Kind::Retry, crate::telemetry::with_causes(&error)),
        };
        // Only its end: start and hint are compared with the head as they were before it was looked for.
        let end = bounds.map(|bounds| bounds.end);
        partition.bounds.end = end.unwrap_or(0).max(partition.bounds.end);
        let pinned = Pinned {
            id: ChainId {
                table: doc.table.clone(),
                origin: doc.origin.clone(),
                generation: doc.generation,
                partition: id.partition,
            },
            partitioning: doc.partitioning,
            topic_id: doc.topic_id.clone(),
            start: doc.start(id.partition),
            older_end: doc.ended.get(&id.partition).copied().unwrap_or(0),
            created_ms: doc.created_ms,
            resend_window_ms: i64::try_from(self.config.drain.resend_window.as_millis()).unwrap_or(i64::MAX),
            inherited,
        };
        let schema = found.as_ref().map(|found| found.footer.schema);
        if let Some(found) =
            found.as_ref().filter(|found| partition.last_file.as_ref().is_none_or(|file| file.key != found.key))
        {
            partition.last_file = Some(LastFile::found(found.key.clone(), &found.footer));
        }
        let known =
            partition.chain.take().filter(|chain| *chain.id() == pinned.id && matches!(chain.step(), Step::FindHead));
        let mut chain = known.unwrap_or_else(|| Chain::new(pinned, partition.bounds.clone()));
        chain.ends(end);
        chain.head_found(found);
        match chain.step() {
            Step::Refused(refusal) => {
                let what = refusal.to_string();
                self.failed(id, partition, Kind::Stop, what);
            }
            Step::FindHead => {
                let random = self.random();
                partition.retry_at = Some(Instant::now() + partition.backoff.next(random));
            }
            _ => partition.worked(),
        }
        schema.inspect(|version| self.writer.schema_changed(&doc.table, *version));
        partition.chain = Some(chain);
    }

    /// The store's answer to the create in flight.
    fn settle(&mut self, id: &PartitionId, partition: &mut Partition, answer: Answer) {
        let Some(chain) = &mut partition.chain else { return };
        let Step::Create(sealed) = chain.step() else { return };
        let (messages, bytes, footer) = (sealed.messages, sealed.bytes, sealed.footer.clone());
        let adopted = match &answer {
            Answer::Exists(found) => Some(found.footer.clone()),
            Answer::New | Answer::Undecided => None,
        };
        let new = matches!(answer, Answer::New);
        let outcome = chain.answered(answer);
        let commit = match outcome {
            Outcome::Again => Commit::Error,
            Outcome::Stored if new => Commit::Created,
            Outcome::Stored => Commit::Ours,
            Outcome::Adopted => Commit::Adopted,
            Outcome::Refused => Commit::Conflict,
        };
        self.config.meters.commit(commit, partition.answered_after);
        let head = chain.head();
        let (next, key, table) = (head.next, head.key.clone().unwrap_or_default(), chain.id().table.clone());
        match outcome {
            Outcome::Again => {}
            Outcome::Stored => {
                let sending = partition.sending.take().expect("a create in flight has its file");
                partition.quarantined += footer.quarantined;
                self.config.meters.stored(sending.cause.word(), sending.file_bytes);
                tracing::info!(
                    rows = footer.rows,
                    bytes = sending.file_bytes,
                    cause = sending.cause.word(),
                    "stored `{key}`: offsets {}..{}",
                    footer.first,
                    footer.next
                );
                partition.last_file = Some(LastFile {
                    key,
                    rows: footer.rows,
                    bytes: Some(sending.file_bytes),
                    created_ms: footer.created_ms,
                    cause: Some(sending.cause),
                });
                partition.stored(messages, bytes, &sending);
                drop(sending);
                self.commit(id, next);
            }
            Outcome::Adopted => {
                tracing::info!("adopted `{key}`, which another drain stored: going on at {next}");
                partition.sending = None;
                let adopted = adopted.expect("what was adopted exists");
                partition.last_file = Some(LastFile::found(key, &adopted));
                self.writer.schema_changed(&table, adopted.schema);
                partition.worked();
            }
            Outcome::Refused => {
                partition.sending = None;
                if let Step::Refused(refusal) = chain.step() {
                    let what = refusal.to_string();
                    self.failed(id, partition, Kind::Stop, what);
                }
            }
        }
    }

    fn commit(&mut self, id: &PartitionId, next: u64) {
        fail_point!("drain_before_commit");
        // A commit that is refused, say of an illegal generation.
        fail_point!("drain_commit_refused", |_| ());
        if let Err(error) = self.source.commit(id, next) {
            // A hint: the truth is the file.
            tracing::debug!("failed to commit {next} of {id:?}: {}", crate::telemetry::with_causes(&error));
        }
        fail_point!("drain_after_commit");
    }

    fn failed(&mut self, id: &PartitionId, partition: &mut Partition, kind: Kind, what: String) {
        let random = self.random();
        let text = format!("{}-p{:04}: {what}", id.topic, id.partition);
        if !partition.failed(kind, what, Instant::now(), now_ms(), random) {
            return;
        }
        match kind {
            Kind::Retry => tracing::warn!("{text}"),
            Kind::Stop => tracing::error!("{text}"),
        }
    }

    /// One step of every partition that waits for none.
    fn advance_all(&mut self) {
        let now = Instant::now();
        let stopping = self.stop.is_some();
        let ids: Vec<PartitionId> =
            self.partitions.iter().filter(|(_, p)| p.ready(now)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some(mut partition) = self.partitions.remove(&id) else { continue };
            self.advance(&id, &mut partition, stopping);
            self.partitions.insert(id, partition);
        }
    }

    fn advance(&mut self, id: &PartitionId, partition: &mut Partition, stopping: bool) {
        if partition.chain.as_ref().is_some_and(|chain| matches!(chain.step(), Step::Refused(_))) {
            // Its time has come to be looked at again, with what the source holds by now.
            match self.source.bounds(id) {
                Ok(bounds) => bounds.into_iter().for_each(|bounds| partition.bounds.renew(bounds)),
                Err(error) => return self.failed(id, partition, Kind::Retry, crate::telemetry::with_causes(&error)),
            }
            partition.chain = None;
        }
        match partition.chain.as_ref().map(Chain::step) {
            None | Some(Step::FindHead) => {
                if stopping {
                    return;
                }
                if partition.new_origin
                    && let Some(at) = self.all_known_at()
                {
                    partition.retry_at = Some(at);
                    return;
                }
                match self.open(id, partition) {
                    Ok(open) => self.ask(id, partition, Job::Open(open)),
                    Err(error) => self.failed(id, partition, Kind::Retry, crate::telemetry::with_causes(&error)),
                }
            }
            Some(Step::Seek(offset)) => match self.source.seek(id, offset) {
                Ok(()) => {
                    partition.sought(offset);
                    let chain = partition.chain.as_mut().expect("the chain that asked to seek");
                    chain.sought();
                    let stored = chain.head().key.is_some();
                    fail_point!("drain_after_seek");
                    if stored {
                        // A file that was created by a process that died before its commit, or by another drain.
                        self.commit(id, offset);
                    }
                }
                Err(error) => self.failed(id, partition, Kind::Retry, crate::telemetry::with_causes(&error)),
            },
            Some(Step::Create(sealed)) => {
                let Some(sending) = &partition.sending else { unreachable!("a create in flight has its file") };
                let chain = partition.chain.as_ref().expect("the chain that creates").id().clone();
                let job = Job::Create(Create { chain, key: sealed.key.clone(), file: sending.file.path().to_owned() });
                self.ask(id, partition, job);
            }
            Some(Step::Collect | Step::Refused(_)) => {}
        }
    }

    /// When to look again whether all of the source's partitions are known; `None`: they are.
    fn all_known_at(&self) -> Option<Instant> {
        let now = Instant::now();
        let at = self.assigned_at + ALL_KNOWN_AFTER;
        match self.source.announced() {
            true => (at > now).then_some(at),
            false => Some(now + ALL_KNOWN_AFTER),
        }
    }

    fn open(&mut self, id: &PartitionId, partition: &Partition) -> Result<Open, SourceError> {
        let elsewhere = match partition.new_origin {
            true => self.source.origin_bounds(id)?,
            false => None,
        };
        let all: Vec<(u32, Bounds)> = elsewhere.unwrap_or_else(|| {
            // Those of this origin, this partition's own among them (it is out of the map while it steps).
            let others =
                self.partitions.iter().filter(|(other, _)| other.topic == id.topic && other.origin == id.origin);
            let all = others.chain([(id, partition)]);
            all.map(|(id, partition)| (id.partition, partition.bounds.clone())).collect()
        });
        let earliest = self.config.drain.start_earliest || self.source.is_own_log();
        let start = |bounds: &Bounds| if earliest { bounds.start } else { bounds.end };
        let hint = all.iter().filter_map(|(_, bounds)| bounds.hint).max();
        Ok(Open {
            partition: id.clone(),
            partitioning: self.config.store.partition,
            topic_id: partition.bounds.topic_id.clone(),
            starts: partition.new_origin.then(|| all.iter().map(|(number, bounds)| (*number, start(bounds))).collect()),
            hint,
            now_ms: now_ms(),
        })
    }

    fn ask(&mut self, id: &PartitionId, partition: &mut Partition, job: Job) {
        partition.asked_at = Some(Instant::now());
        partition.retry_at = None;
        self.jobs.ask(id.clone(), partition.number, job);
    }

    /// Closes and writes the range that is due longest, if any: one per turn, so that the source is polled between two files.
    fn seal_one(&mut self) {
        let now = Instant::now();
        let age_ms = self.age_ms();
        let waiting =
            self.partitions.iter().filter(|(_, p)| p.collecting().is_some()).map(|(id, p)| (id, p.at_hand.bytes));
        // Values are less than what they take in a spool: the source knows.
        let bytes_max = if self.source.full() { 0 } else { self.config.waiting_bytes_max };
        let pressed = under_pressure(waiting, bytes_max).cloned();
        let due = self.partitions.iter().filter(|(_, partition)| partition.ready(now)).filter_map(|(id, partition)| {
            let cause = self.cause(id, partition, pressed.as_ref() == Some(id), age_ms)?;
            Some((partition.at_hand.since_ms, id.clone(), cause))
        });
        let Some((_, id, cause)) = due.min_by(|a, b| a.0.cmp(&b.0)) else { return };
        let Some(mut partition) = self.partitions.remove(&id) else { return };
        self.seal(&id, &mut partition, cause);
        self.partitions.insert(id, partition);
    }

    fn cause(&self, id: &PartitionId, partition: &Partition, pressed: bool, age_ms: i64) -> Option<Cause> {
        let head = partition.collecting()?.head().next;
        if let Some((_, cause)) = partition.writing {
            return Some(cause);
        }
        if partition.at_hand.messages == 0 {
            return None;
        }
        let reached = |targets: &Targets| {
            targets.get(id).is_some_and(|to| to.is_some_and(|to| to > head && partition.next >= to))
        };
        if self.stop.as_ref().is_some_and(|(_, targets)| reached(targets)) {
            return Some(Cause::Stop);
        }
        if self.requests.values().any(|request| reached(&request.targets)) {
            return Some(Cause::Manual);
        }
        partition.triggers.due(&partition.at_hand, age_ms).or(pressed.then_some(Cause::Pressure))
    }

    fn seal(&mut self, id: &PartitionId, partition: &mut Partition, cause: Cause) {
        if partition.collecting().is_none() {
            return;
        }
        let begun = partition.writing.take().map(|(resume, _)| resume);
        let resume = begun.unwrap_or(Resume { to: partition.next, cut: None, grown: 0, fresh: false });
        let Some(chain) = partition.collecting() else { return };
        let sealed_ms = self.age_ms();
        let shared = self.shared.clone();
        let abandoned = || {
            let inner = shared.lock();
            inner.abandoned || inner.stop_by.is_some_and(|by| by < Instant::now())
        };
        let range = Range { chain, partition: id, resume, cause, now_ms: now_ms(), abandoned: &abandoned };
        let (writer, source) = (&mut self.writer, &mut *self.source);
        // A pass leaves nothing behind but a file that its guard removes.
        let written = std::panic::catch_unwind(AssertUnwindSafe(|| writer.write(source, &range)));
        let written = written.unwrap_or_else(|panic| {
            let (from, to) = (chain.head().next, resume.to);
            Err(WriteError::Panicked { from, to, why: super::jobs::panic_text(&*panic).to_owned() })
        });
        match written {
            Ok(Written::Nothing) => partition.at_hand = Default::default(),
            Ok(Written::Ask { proposed, resume }) => {
                let table = chain.id().table.clone();
                partition.writing = Some((resume, cause));
                let known = self.writer.known_schema(&table);
                self.ask(id, partition, Job::Schema(NewestSchema { table, known, proposed }));
            }
            Ok(Written::Written(written)) => {
                let cause = written.cut.unwrap_or(cause);
                let (file, file_bytes, cut) = (written.file, written.file_bytes, written.cut.is_some());
                partition.sending = Some(Sending { file, file_bytes, cause, cut, sealed_ms });
                partition.chain.as_mut().expect("the chain that collects").created(written.sealed);
                // At once, not in the next turn.
                self.advance(id, partition, false);
            }
            Err(WriteError::Abandoned) => {}
            Err(error) => self.failed(id, partition, error.kind(), crate::telemetry::with_causes(&error)),
        }
    }

    /// Notes how old the oldest message of each partition is, once per place: it waits since then, whenever it came to hand.
    fn look_at_the_oldest(&mut self) {
        for (id, partition) in &mut self.partitions {
            let Some(head) = partition.oldest_unknown() else { continue };
            let source = &mut *self.source;
            // What is wrong with the message is said when it is written.
            let first = std::panic::catch_unwind(AssertUnwindSafe(|| {
                let message = source.read(id, head, partition.next).and_then(|mut messages| messages.next());
                message.ok().flatten().map(|message| message.timestamp_ms)
            }));
            partition.oldest = Some((head, first.ok().flatten()));
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
