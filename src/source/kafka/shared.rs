//! What the drain's thread and the two consumer threads share. Lock order: the group, the partitions, one partition, the events.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::group::Group;
use super::{KafkaSourceStatus, PartitionStatus, Reach};
use crate::publish::{ProblemSlot, lock};
use crate::source::spool::{Spool, SpoolPool, SpoolReader};
use crate::source::{Bounds, Event, PartitionId, Progress, SourceError};

pub(super) struct Shared {
    pub pool: Arc<SpoolPool>,
    pub problem: Arc<ProblemSlot>,
    reach: Reach,
    pub(super) partitions: RwLock<BTreeMap<PartitionId, Arc<Partition>>>,
    /// Those that the group took, until the drain has heard of it: it may be reading them.
    pub(super) leaving: RwLock<BTreeMap<PartitionId, Arc<Partition>>>,
    /// `None`: every partition is read.
    pub(super) group: Option<Mutex<Group>>,
    /// The group has given partitions that are not announced yet.
    pub(super) given: AtomicBool,
    /// Grows with `partitions`, so that a thread can see that its own table is old.
    pub(super) version: AtomicU64,
    events: Mutex<Events>,
    ready: Condvar,
    pub(super) stopped: Mutex<bool>,
    pub(super) stop: Condvar,
    /// All topics asked for by name were found, and all their partitions announced.
    complete: AtomicBool,
    /// All partitions that exist were announced.
    announced: AtomicBool,
    missing: Mutex<Vec<String>>,
    pub look_again: AtomicBool,
    /// How often somebody asked for marks, and the last of those asks that the discover thread has answered.
    marks_asked: AtomicU64,
    marks_set: AtomicU64,
    pub paused: AtomicBool,
    pub repeated: AtomicU64,
}

#[derive(Default)]
struct Events {
    announced: VecDeque<Event>,
    dirty: Vec<Arc<Partition>>,
}

/// One partition and what is at hand of it.
pub(super) struct Partition {
    pub id: PartitionId,
    pub number: i32,
    /// The offset that was committed when the partition was found.
    pub hint: Option<u64>,
    pub inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub phase: Phase,
    /// Counts the drain's seeks, so that one that came while another was being applied is seen.
    pub seeks: u64,
    pub spool: Spool,
    /// First offset not at hand.
    pub next: u64,
    /// Where reading ends ([`Reach::ToEnd`]).
    pub limit: Option<u64>,
    /// Where the partition ended when that was last heard of.
    pub end: u64,
    /// Where the partition ended when somebody last asked ([`Shared::ask_for_marks`]).
    pub mark: u64,
    /// An offset to commit as a hint.
    pub commit: Option<u64>,
    /// Where the drain began: committed once as the sign that it stores here, so that others see it before it has stored anything.
    pub begun: u64,
    /// What is committed says already that this drain stores here.
    pub known: bool,
    /// What is at hand is gone: to be announced anew.
    pub lost: bool,
    /// The brokers have refused to give messages, and none has come since: of this partition or of another, they do not say.
    pub denied: bool,
    /// Whether the drain has been told of what came since.
    noted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The drain has not said where to begin.
    Waiting,
    /// It has; the consumer is not there yet. `anew`: the partition is to be assigned again even if it is.
    Seeking {
        anew: bool,
    },
    Reading,
}

impl Inner {
    /// Whether everything up to the limit is at hand.
    pub fn is_finished(&self) -> bool {
        self.phase != Phase::Waiting && self.limit.is_some_and(|limit| self.next >= limit)
    }
}

impl Partition {
    pub fn seek(&self, offset: u64) {
        let mut inner = lock(&self.inner);
        inner.spool.clear();
        inner.next = offset;
        inner.begun = offset;
        inner.phase = Phase::Seeking { anew: false };
        inner.seeks += 1;
    }

    pub fn read(&self, from: u64, to: u64) -> io::Result<SpoolReader> {
        lock(&self.inner).spool.read(from, to)
    }

    pub fn commit(&self, next: u64) -> io::Result<()> {
        let mut inner = lock(&self.inner);
        inner.commit = Some(next);
        inner.known = true;
        inner.spool.cut(next)
    }

    fn progress(&self) -> Option<Event> {
        let mut inner = lock(&self.inner);
        inner.noted = false;
        (inner.phase == Phase::Reading).then(|| {
            let (messages, bytes) = (inner.spool.messages(), inner.spool.value_bytes());
            Event::Message(Progress { partition: self.id.clone(), next: inner.next, messages, bytes })
        })
    }
}

impl Shared {
    pub fn new(pool: Arc<SpoolPool>, problem: Arc<ProblemSlot>, reach: Reach) -> Shared {
        Shared {
            pool,
            problem,
            reach,
            partitions: RwLock::default(),
            leaving: RwLock::default(),
            group: (reach == Reach::Follow).then(Mutex::default),
            given: AtomicBool::new(false),
            version: AtomicU64::new(0),
            events: Mutex::default(),
            ready: Condvar::new(),
            stopped: Mutex::new(false),
            stop: Condvar::new(),
            complete: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            missing: Mutex::default(),
            look_again: AtomicBool::new(false),
            marks_asked: AtomicU64::new(0),
            marks_set: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            repeated: AtomicU64::new(0),
        }
    }

    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub fn knows(&self, id: &PartitionId) -> bool {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    pub fn get(&self, id: &PartitionId) -> Result<Arc<Partition>, SourceError> {
        let in_map = |map: &RwLock<BTreeMap<PartitionId, Arc<Partition>>>| {
            map.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
        };
        in_map(&self.leaving)
            .or_else(|| in_map(&self.partitions))
            .ok_or_else(|| SourceError::Other(format!("{}/{} is not assigned", id.topic, id.partition)))
    }

    /// Adds a partition and tells the drain; not one that the group has given to another drain meanwhile.
    pub fn announce(&self, id: PartitionId, number: i32, bounds: Bounds) {
        let group = self.group.as_ref().map(lock);
        if group.as_ref().is_some_and(|group| !group.has(&id)) {
            return;
        }
        let limit = (self.reach == Reach::ToEnd).then_some(bounds.end);
        let hint = bounds.hint;
        let inner = Inner {
            phase: Phase::Waiting,
            seeks: 0,
            spool: Spool::new(&self.pool),
            next: 0,
            limit,
            end: bounds.end,
            mark: 0,
            commit: None,
            begun: 0,
            known: hint.is_some(),
            lost: false,
            denied: false,
            noted: false,
        };
        let partition = Arc::new(Partition { id: id.clone(), number, hint, inner: Mutex::new(inner) });
        self.partitions.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), partition);
        self.version.fetch_add(1, Ordering::Release);
        self.push(vec![Event::Assigned { partition: id, bounds }]);
    }

    /// Drops what is at hand of a partition and has the drain begin anew with it; not of one that the group has taken meanwhile.
    pub fn announce_again(&self, partition: &Arc<Partition>, bounds: Bounds) {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        if !partitions.get(&partition.id).is_some_and(|known| Arc::ptr_eq(known, partition)) {
            return;
        }
        let mut inner = lock(&partition.inner);
        inner.spool.clear();
        inner.end = bounds.end;
        inner.phase = Phase::Waiting;
        inner.seeks += 1;
        inner.lost = false;
        self.push(vec![
            Event::Revoked { partition: partition.id.clone() },
            Event::Assigned { partition: partition.id.clone(), bounds },
        ]);
    }

    pub(super) fn push(&self, events: Vec<Event>) {
        lock(&self.events).announced.extend(events);
        self.ready.notify_one();
    }

    /// Notes that a partition has something new; returns whether it was not noted yet. [`Shared::tell`] tells the drain.
    pub fn note(inner: &mut Inner) -> bool {
        !std::mem::replace(&mut inner.noted, true)
    }

    pub fn tell(&self, noted: &mut Vec<Arc<Partition>>) {
        if !noted.is_empty() {
            lock(&self.events).dirty.append(noted);
            self.ready.notify_one();
        }
    }

    pub fn take_events(&self, wait: Duration) -> Vec<Event> {
        let events = lock(&self.events);
        let (mut events, _) = self
            .ready
            .wait_timeout_while(events, wait, |e| e.announced.is_empty() && e.dirty.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let (announced, dirty) = (std::mem::take(&mut events.announced), std::mem::take(&mut events.dirty));
        drop(events);
        for event in &announced {
            if let Event::Revoked { partition } = event {
                self.leaving.write().unwrap_or_else(PoisonError::into_inner).remove(partition);
            }
        }
        announced.into_iter().chain(dirty.into_iter().filter_map(|p| p.progress())).collect()
    }

    /// What a look at the topics came to; `announced`: every partition that exists, and is this drain's, was announced.
    pub fn found(&self, missing: Vec<String>, announced: bool, complete: bool) {
        *lock(&self.missing) = missing;
        let group = self.group.as_ref().map(lock);
        let settled = group.is_none_or(|group| group.is_settled() && !self.given.load(Ordering::Acquire));
        self.announced.store(announced && settled, Ordering::Release);
        self.complete.store(complete, Ordering::Release);
    }

    /// More partitions exist than were announced.
    pub fn more_will_come(&self) {
        self.announced.store(false, Ordering::Release);
    }

    /// Whether the drain has been told of every partition that exists; an announcement that it has not taken yet is still to come.
    pub fn announced(&self) -> bool {
        let events = lock(&self.events);
        events.announced.is_empty() && self.announced.load(Ordering::Acquire)
    }

    pub fn at_end(&self) -> bool {
        self.complete.load(Ordering::Acquire) && self.partitions().iter().all(|p| lock(&p.inner).is_finished())
    }

    /// Whether reading waits for room in the spool, or is about to.
    pub fn is_full(&self) -> bool {
        self.pool.is_full() || self.paused.load(Ordering::Relaxed)
    }

    pub fn stop(&self) {
        *lock(&self.stopped) = true;
        self.stop.notify_all();
        self.ready.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        *lock(&self.stopped)
    }

    /// Waits for the end, at most `timeout`; with `unless_asked` not longer than until somebody asks to look again. Returns whether the end has come.
    pub fn wait_for_stop(&self, timeout: Duration, unless_asked: bool) -> bool {
        let due = || self.look_again.load(Ordering::Acquire) || self.given.load(Ordering::Acquire);
        let asked = || unless_asked && (due() || self.marks_due().is_some());
        let waits = |stopped: &mut bool| !*stopped && !asked();
        let (stopped, _) =
            self.stop.wait_timeout_while(lock(&self.stopped), timeout, waits).unwrap_or_else(PoisonError::into_inner);
        *stopped
    }

    /// Has the discover thread look at the known partitions again.
    pub fn ask_to_look_again(&self) {
        let guard = lock(&self.stopped);
        self.look_again.store(true, Ordering::Release);
        drop(guard);
        self.stop.notify_all();
    }

    /// Has the discover thread note where every partition ends now; returns the number of this ask.
    pub fn ask_for_marks(&self) -> u64 {
        let guard = lock(&self.stopped);
        let number = self.marks_asked.fetch_add(1, Ordering::AcqRel) + 1;
        drop(guard);
        self.stop.notify_all();
        number
    }

    /// The newest ask that is not answered yet.
    pub fn marks_due(&self) -> Option<u64> {
        let asked = self.marks_asked.load(Ordering::Acquire);
        (asked > self.marks_set.load(Ordering::Acquire)).then_some(asked)
    }

    pub fn marks_are_set(&self, number: u64) {
        self.marks_set.fetch_max(number, Ordering::AcqRel);
    }

    /// The partitions that are not at hand up to their marks of ask `number`; `None` while it is not answered.
    pub fn behind(&self, number: u64) -> Option<Vec<PartitionId>> {
        if self.marks_set.load(Ordering::Acquire) < number {
            return None;
        }
        let partitions = self.partitions();
        let behind = partitions.iter().filter(|p| {
            let inner = lock(&p.inner);
            inner.phase == Phase::Waiting || inner.next < inner.mark
        });
        Some(behind.map(|p| p.id.clone()).collect())
    }

    pub fn status(&self) -> KafkaSourceStatus {
        let partitions = self
            .partitions()
            .iter()
            .map(|p| {
                let inner = lock(&p.inner);
                PartitionStatus {
                    partition: p.id.clone(),
                    reading: inner.phase == Phase::Reading,
                    next: inner.next,
                    messages: inner.spool.messages(),
                    bytes: inner.spool.value_bytes(),
                }
            })
            .collect();
        KafkaSourceStatus {
            problem: self.problem.get(),
            missing: lock(&self.missing).clone(),
            partitions,
            spool_bytes: self.pool.used(),
            spool_bytes_max: self.pool.bytes_max(),
            paused: self.paused.load(Ordering::Relaxed),
            repeated: self.repeated.load(Ordering::Relaxed),
        }
    }
}
