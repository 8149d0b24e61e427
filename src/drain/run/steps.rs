//! The next step of each partition: open its chain, seek, send its file. None is waited for.

use std::time::{Duration, Instant};

use fail::fail_point;

use super::super::chain::{Chain, Step};
use super::super::jobs::{Create, Job, Open};
use super::super::partition::Partition;
use super::super::store::Kind;
use super::{Runner, now_ms};
use crate::source::{Bounds, PartitionId, SourceError};

/// How long the last of an origin's partitions was told of before its document is made: all of them are to be in it.
const ALL_KNOWN_AFTER: Duration = Duration::from_millis(250);

impl Runner {
    /// One step of every partition that waits for none.
    pub(super) fn advance_all(&mut self) {
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

    pub(super) fn advance(&mut self, id: &PartitionId, partition: &mut Partition, stopping: bool) {
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
    pub(super) fn all_known_at(&self) -> Option<Instant> {
        let now = Instant::now();
        let at = self.assigned_at + ALL_KNOWN_AFTER;
        match self.source.announced() {
            true => (at > now).then_some(at),
            false => Some(now + ALL_KNOWN_AFTER),
        }
    }

    pub(super) fn open(&mut self, id: &PartitionId, partition: &Partition) -> Result<Open, SourceError> {
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

    pub(super) fn ask(&mut self, id: &PartitionId, partition: &mut Partition, job: Job) {
        partition.asked_at = Some(Instant::now());
        partition.retry_at = None;
        self.jobs.ask(id.clone(), partition.number, job);
    }

    pub(super) fn failed(&mut self, id: &PartitionId, partition: &mut Partition, kind: Kind, what: String) {
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
}
