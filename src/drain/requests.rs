//! Requests to the drain's thread: store everything at hand now, or that and then end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::chain::Step;
use super::partition::Partition;
use super::run::Runner;
use super::status::Status;
use super::{DrainNowError, Left, Reach};
use crate::source::PartitionId;

/// Up to where "everything at hand" reaches, per partition; `None`: not known before it collects.
pub(super) type Targets = BTreeMap<PartitionId, Option<u64>>;

/// A request that is not answered yet.
pub(super) struct Request {
    reach: Reach,
    pub targets: Targets,
}

impl Runner {
    pub(super) fn take_requests(&mut self) {
        let mut inner = self.shared.lock();
        let requests = std::mem::take(&mut inner.requests);
        for number in std::mem::take(&mut inner.given_up) {
            self.requests.remove(&number);
            inner.answers.remove(&number);
        }
        let stop_by = inner.stop_by.filter(|_| self.stop.is_none());
        drop(inner);
        if requests.is_empty() && stop_by.is_none() {
            return;
        }
        // What is there now counts, whether it was told of or not.
        if self.stop.is_none() && self.source_retry_at.is_none() {
            match self.source.poll(Duration::ZERO) {
                Ok(events) => self.apply_all(events),
                Err(error) => self.source_failed(&error),
            }
        }
        // Somebody may have fixed what it waits for.
        self.partitions.values_mut().for_each(Partition::try_now);
        if let Some(by) = stop_by {
            self.stop = Some((by, self.targets(Reach::AtHand)));
        }
        for (number, reach) in requests {
            let targets = self.targets(reach);
            self.requests.insert(number, Request { reach, targets });
        }
    }

    /// Up to where a request reaches in each partition.
    fn targets(&self, reach: Reach) -> Targets {
        let all = reach == Reach::End || self.source.is_own_log();
        let target = |(id, partition): (&PartitionId, &Partition)| {
            let known = partition.heard
                && partition
                    .chain
                    .as_ref()
                    .is_some_and(|chain| matches!(chain.step(), Step::Collect | Step::Create(_)));
            let to = known.then(|| partition.next.max(if all { partition.bounds.end } else { 0 }));
            // What has not arrived is not at hand: nothing is waited for.
            (all || known).then(|| (id.clone(), to))
        };
        self.partitions.iter().filter_map(target).collect()
    }

    /// The requests that are met, or cannot be.
    pub(super) fn answer_requests(&mut self) -> Vec<(u64, Result<(), DrainNowError>)> {
        let mut answers = Vec::new();
        let mut requests = std::mem::take(&mut self.requests);
        requests.retain(|number, Request { reach, targets }| {
            if !self.source.announced() && *reach == Reach::End {
                // More partitions will come; they belong to what exists.
                *targets = self.targets(*reach);
                return true;
            }
            let now =
                if *reach == Reach::End || self.source.is_own_log() { self.targets(*reach) } else { Targets::new() };
            for (id, target) in now {
                let slot = targets.entry(id).or_insert(None);
                *slot = slot.or(target);
            }
            let refused = targets.keys().find_map(|id| self.partitions.get(id)?.refused().map(str::to_owned));
            let done = targets.iter().all(|(id, target)| self.reached(id, *target));
            let answer = match refused {
                Some(refused) => Some(Err(DrainNowError::Refused(refused))),
                None => done.then_some(Ok(())),
            };
            let open = answer.is_none();
            answers.extend(answer.map(|answer| (*number, answer)));
            open
        });
        self.requests = requests;
        answers
    }

    /// Whether everything of a partition below `target` is stored, or not ours any more.
    fn reached(&self, id: &PartitionId, target: Option<u64>) -> bool {
        let Some(partition) = self.partitions.get(id) else { return true };
        let (Some(chain), Some(target)) = (&partition.chain, target) else { return false };
        // Past the last message there may be offsets without one.
        let nothing_left =
            partition.collecting().is_some() && partition.next >= target && partition.at_hand.messages == 0;
        chain.head().next >= target || nothing_left
    }

    /// While stopping: whether it is over, and if so, whether the deadline cut it short.
    pub(super) fn stopped(&self) -> Option<bool> {
        let (by, targets) = self.stop.as_ref()?;
        let over = targets.iter().all(|(id, target)| {
            let Some(partition) = self.partitions.get(id) else { return true };
            if partition.refused().is_some() {
                // It waits for somebody, with its file or without.
                return true;
            }
            let sending = partition.sending.is_some();
            // Not opened, refused, or lost to another drain: there is nothing at hand.
            !sending && (target.is_none() || partition.collecting().is_none() || self.reached(id, *target))
        });
        match over {
            true => Some(false),
            false => (*by <= Instant::now()).then_some(true),
        }
    }
}

pub(super) fn left(status: &Status) -> Vec<Left> {
    let waiting = status.partitions.iter().filter(|partition| partition.rows > 0);
    let left = waiting.map(|partition| Left {
        table: partition.table.clone(),
        partition: partition.partition,
        rows: partition.rows,
        why: partition.last_error.as_ref().map(|failure| failure.what.clone()),
    });
    left.collect()
}
