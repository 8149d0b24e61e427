//! Closing ranges: which is due, why, and the file that it becomes.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use super::super::jobs::{Job, NewestSchema, panic_text};
use super::super::partition::{Partition, Sending};
use super::super::requests::Targets;
use super::super::triggers::{Cause, under_pressure};
use super::super::write::{Outcome as Written, Range, Resume, WriteError};
use super::{Runner, now_ms};
use crate::source::{Message, PartitionId, Source};

impl Runner {
    /// Closes and writes the range that is due longest, if any: one per turn, so that the source is polled between two files.
    pub(super) fn seal_one(&mut self) {
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
        if partition.writing.is_none() && self.is_another_topic(id, partition) {
            tracing::warn!(
                "{}-p{:04}: the topic is not the one that was read before; looking at it anew",
                id.topic,
                id.partition
            );
            partition.chain = None;
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
            Err(WriteError::Panicked { from, to, why: panic_text(&*panic).to_owned() })
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
    pub(super) fn look_at_the_oldest(&mut self) {
        for (id, partition) in &mut self.partitions {
            let Some(head) = partition.oldest_unknown() else { continue };
            let first = first_at_hand(&mut *self.source, id, head, partition.next);
            partition.oldest = Some((head, first.map(|message| message.timestamp_ms)));
        }
    }
}

/// The first message at hand from `from` on, if it can be read: what is wrong with it is said when it is written.
pub(super) fn first_at_hand(source: &mut dyn Source, id: &PartitionId, from: u64, to: u64) -> Option<Message> {
    let read = AssertUnwindSafe(|| source.read(id, from, to).and_then(|mut messages| messages.next()));
    std::panic::catch_unwind(read).ok()?.ok()?
}
