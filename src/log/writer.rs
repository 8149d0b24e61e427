//! The one thread that writes: takes calls in groups, spreads them over the lanes, syncs, keeps the budget.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::ledger::Reason;
use crate::record::Recorded;

use super::common::Common;
use super::disk::now_ms;
use super::format::{self, BODY_BYTES_MAX, ENTRY_BYTES};
use super::health::Kind;
use super::lane::{Persist, Topic};
use super::lane_writer::{LaneWriter, RETRY_AFTER};
use super::queue::{Ending, Queue};
use super::recover::{self, Opened};
use super::{Options, budget};

/// Bytes held for the case that a sync fails; at this point the writer syncs before its time.
const UNSYNCED_BYTES_MAX: usize = 8 << 20;
/// How often the free space and the cursors are looked after when nothing else happens.
const TICK: Duration = Duration::from_millis(500);
/// How often one kind of refusal is logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Writer {
    common: Arc<Common>,
    queue: Arc<Queue>,
    options: Options,
    epoch: u32,
    topics: BTreeMap<String, TopicWriter>,
    /// Over all topics.
    lanes_total: usize,
    /// Bytes of the group so far.
    group_bytes: u64,
    /// When something that is not synced was written first.
    dirty_since: Option<Instant>,
    /// From then to the sync: `log.sync`, or longer after one that failed.
    sync_after: Duration,
    ticked_at: Instant,
    disk_low: bool,
    /// Whether a call was dropped for want of room since the lanes were last looked at.
    short: bool,
    /// The topic and length of the last entry that had no room.
    refused: Option<(String, u64)>,
    complained_at: BTreeMap<&'static str, Instant>,
}

struct TopicWriter {
    topic: Arc<Topic>,
    lanes: Vec<LaneWriter>,
    /// Calls so far: they go to the lanes in turn.
    turn: usize,
}

impl Writer {
    pub(super) fn new(
        common: Arc<Common>,
        queue: Arc<Queue>,
        options: Options,
        epoch: u32,
        opened: Vec<Opened>,
    ) -> Writer {
        let sync_after = common.sync;
        let mut writer = Writer {
            common,
            queue,
            options,
            epoch,
            topics: BTreeMap::new(),
            lanes_total: 0,
            group_bytes: 0,
            dirty_since: None,
            sync_after,
            ticked_at: Instant::now(),
            disk_low: false,
            short: false,
            refused: None,
            complained_at: BTreeMap::new(),
        };
        for opened in opened {
            writer.add_topic(opened);
        }
        writer.look_at_free_space();
        writer
    }

    fn add_topic(&mut self, opened: Opened) {
        self.common.add_lanes(opened.lanes.iter().map(|opened| opened.lane.clone()));
        self.lanes_total += opened.lanes.len();
        let lanes = opened.lanes.into_iter();
        let lanes = lanes.map(|opened| LaneWriter::new(opened.lane, self.epoch, opened.appended_at_ms)).collect();
        let name = opened.topic.name.clone();
        self.topics.insert(name, TopicWriter { topic: opened.topic, lanes, turn: 0 });
    }

    /// Runs until the queue ends.
    pub(super) fn run(mut self) {
        let _ended = EndedOnDrop(Arc::clone(&self.queue));
        let mut calls = Vec::new();
        let mut flushed = 0;
        loop {
            let mut work = self.queue.take(self.time_left(), flushed, calls);
            #[cfg(test)]
            if work.ending == Some(Ending::Killed) {
                // A killed process runs no destructors: its tickets stay pending.
                std::mem::forget(work.calls);
                return;
            }
            let flush = work.flush > flushed || work.ending.is_some();
            if flush {
                self.lanes().for_each(LaneWriter::unblock);
            }
            self.append(&mut work.calls);
            calls = work.calls;
            if flush || self.sync_is_due() {
                self.sync();
            }
            if self.ticked_at.elapsed() >= TICK || self.short {
                self.tick();
            }
            if work.flush > flushed {
                flushed = work.flush;
                self.queue.flushed(flushed);
            }
            if work.ending == Some(Ending::Orderly) {
                self.lanes().for_each(|lane| lane.lane.inner.persist_cursor(Persist::Now));
                return;
            }
        }
    }

    fn lanes(&mut self) -> impl Iterator<Item = &mut LaneWriter> {
        self.topics.values_mut().flat_map(|topic| &mut topic.lanes)
    }

    fn time_left(&self) -> Duration {
        let tick = TICK.saturating_sub(self.ticked_at.elapsed());
        match self.dirty_since {
            Some(since) => tick.min(self.sync_after.saturating_sub(since.elapsed())),
            None => tick,
        }
    }

    fn append(&mut self, calls: &mut Vec<Recorded>) {
        if calls.is_empty() {
            return;
        }
        let now_ms = now_ms();
        for recorded in calls.drain(..) {
            self.add(recorded, now_ms);
        }
        let mut fresh = false;
        let mut unsynced = false;
        let common = Arc::clone(&self.common);
        let _busy = common.health.busy();
        for lane in self.lanes() {
            lane.write();
            fresh |= lane.take_fresh();
            unsynced |= lane.unsynced_bytes() > 0;
        }
        self.group_bytes = 0;
        if fresh {
            self.common.announce();
        }
        if unsynced {
            self.dirty_since.get_or_insert_with(Instant::now);
        }
    }

    /// Adds a call to its lane's group, or drops it with a reason.
    fn add(&mut self, recorded: Recorded, now_ms: i64) {
        let entry_bytes = format::entry_bytes(&recorded.rows);
        if entry_bytes > BODY_BYTES_MAX {
            self.complain("too_long", || tracing::error!(entry_bytes, "dropped a call that is too long for the log"));
            return recorded.ticket.dropped(Reason::LogError);
        }
        if self.disk_low {
            let reserve = self.options.log.reserve_free_bytes;
            self.complain("disk", || {
                tracing::error!(reserve, "dropping calls: the file system has less than `log.reserve_free` left");
            });
            return recorded.ticket.dropped(Reason::DiskFull);
        }
        if !self.topics.contains_key(&recorded.topic)
            && let Err(reason) = self.make_topic(&recorded.topic)
        {
            return recorded.ticket.dropped(reason);
        }
        if !self.fits(&recorded.topic, entry_bytes) {
            self.short = true;
            let bytes_max = self.options.log.bytes_max;
            self.full(&recorded.topic, entry_bytes);
            self.complain("full", || tracing::error!(bytes_max, "dropping calls: the log has reached `log.max_size`"));
            return recorded.ticket.dropped(Reason::LogFull);
        }
        self.group_bytes += entry_bytes;
        let segment_bytes = budget::segment_bytes(&self.options.log, self.lanes_total);
        let topic = self.topics.get_mut(&recorded.topic).expect("the topic was made above");
        let lane = topic.turn % topic.lanes.len();
        topic.turn = topic.turn.wrapping_add(1);
        topic.lanes[lane].add(recorded, entry_bytes, now_ms, segment_bytes);
    }

    fn full(&mut self, topic: &str, entry_bytes: u64) {
        if self.refused.is_none() {
            let what = format!(
                "the log is full: calls are dropped as log_full until its backlog shrinks. See to what holds the backlog up, or raise \
                 `log.max_size` ({} MiB)",
                self.options.log.bytes_max >> 20
            );
            self.common.health.set(Kind::Full, what);
        }
        self.refused = Some((topic.to_owned(), entry_bytes));
    }

    /// The log is not full any more once what was refused last has room.
    fn look_at_the_room(&mut self) {
        if self.refused.as_ref().is_some_and(|(topic, entry_bytes)| self.fits(topic, *entry_bytes)) {
            self.refused = None;
            self.common.health.clear(&Kind::Full);
        }
    }

    fn make_topic(&mut self, name: &str) -> Result<(), Reason> {
        if !recover::topic_is_valid(name) {
            self.complain("topic", || {
                tracing::error!(topic = name, "dropped a call: its topic cannot be a folder's name")
            });
            return Err(Reason::LogError);
        }
        match recover::make_topic(&self.common, &self.options, name) {
            Ok(opened) => {
                self.add_topic(opened);
                self.common.health.clear(&Kind::Make(name.to_owned()));
                Ok(())
            }
            Err(error) => {
                let what = format!(
                    "the log of topic {name} cannot be made, its calls are dropped: {}",
                    crate::telemetry::with_causes(&error)
                );
                self.common.health.set(Kind::Make(name.to_owned()), what);
                self.complain("make", || {
                    tracing::error!(topic = name, error = %crate::telemetry::with_causes(&error), "dropped a call: its topic's log cannot be made");
                });
                Err(if error.is_full() { Reason::DiskFull } else { Reason::LogError })
            }
        }
    }

    /// Whether an entry has room, counting what is in the groups already.
    fn fits(&self, name: &str, entry_bytes: u64) -> bool {
        // An entry may need a new segment.
        let wanted = entry_bytes + format::HEADER_BYTES as u64;
        let total = self.common.bytes.load(Ordering::Relaxed) + self.group_bytes + wanted;
        if budget::fits_whoever_asks(self.options.log.bytes_max, total) {
            return true;
        }
        let group = |topic: &TopicWriter| topic.lanes.iter().map(LaneWriter::unwritten_bytes).sum::<u64>();
        let used = |topic: &TopicWriter| topic.topic.bytes.load(Ordering::Relaxed) + group(topic);
        let of_topic = self.topics.get(name).map_or(0, used);
        let of_others = self.topics.values().filter(|topic| topic.topic.name != name).map(used);
        budget::fits(self.options.log.bytes_max, wanted, of_topic, of_others)
    }

    fn sync_is_due(&self) -> bool {
        let Some(since) = self.dirty_since else { return false };
        let unsynced: usize = self.topics.values().flat_map(|topic| &topic.lanes).map(LaneWriter::unsynced_bytes).sum();
        unsynced >= UNSYNCED_BYTES_MAX || since.elapsed() >= self.sync_after
    }

    fn sync(&mut self) {
        self.dirty_since = None;
        self.sync_after = self.common.sync;
        let mut fresh = false;
        let mut owed = false;
        let common = Arc::clone(&self.common);
        let busy = common.health.busy();
        for lane in self.lanes() {
            lane.sync();
            fresh |= lane.take_fresh();
            owed |= lane.unsynced_bytes() > 0;
        }
        drop(busy);
        if fresh {
            self.common.announce();
        }
        if owed {
            // A lane that could not be synced is tried again.
            self.dirty_since = Some(Instant::now());
            self.sync_after = self.common.sync.max(RETRY_AFTER);
        }
        self.look_at_free_space();
    }

    fn tick(&mut self) {
        self.ticked_at = Instant::now();
        self.look_at_free_space();
        if self.short || self.disk_low {
            self.lanes().for_each(LaneWriter::reclaim);
            self.short = false;
        }
        self.lanes().for_each(LaneWriter::probe);
        self.lanes().for_each(|lane| lane.lane.inner.persist_cursor(Persist::IfDue));
        self.look_at_the_room();
    }

    fn look_at_free_space(&mut self) {
        let reserve = self.options.log.reserve_free_bytes;
        self.disk_low = reserve > 0
            && match self.common.disk.free_bytes(&self.common.folder) {
                Ok(free) => free < reserve,
                Err(error) => {
                    self.complain("statvfs", || tracing::warn!(%error, "cannot tell how much of the disk is free"));
                    false
                }
            };
        self.tell_free_space();
    }

    fn tell_free_space(&self) {
        if !self.disk_low {
            return self.common.health.clear(&Kind::DiskLow);
        }
        let what = format!(
            "the file system of {} has less than `log.reserve_free` ({} MiB) left: calls are dropped as disk_full until there is room. Free \
             space there, or lower it",
            self.common.folder.display(),
            self.options.log.reserve_free_bytes >> 20
        );
        self.common.health.set(Kind::DiskLow, what);
    }

    fn complain(&mut self, kind: &'static str, say: impl FnOnce()) {
        let now = Instant::now();
        if self.complained_at.get(kind).is_none_or(|at| now.duration_since(*at) >= COMPLAIN_EVERY) {
            self.complained_at.insert(kind, now);
            say();
        }
    }
}

/// Nobody waits for a writer that is gone, not even for one that panicked.
struct EndedOnDrop(Arc<Queue>);

impl Drop for EndedOnDrop {
    fn drop(&mut self) {
        self.0.ended();
    }
}

const _: () = assert!(BODY_BYTES_MAX + ENTRY_BYTES as u64 <= u32::MAX as u64, "an entry's length fits its field");
