//! The discover thread: which topics and partitions there are, and their bounds. Only it makes requests that wait for an answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::consume::Context;
use super::limits;
use super::shared::{Partition, Phase, Shared};
use super::topics::{TopicPicker, Wanted};
use crate::publish::lock;
use crate::publish::topics::denied;
use crate::source::{Bounds, PartitionId};

/// How often new topics and partitions are looked for.
const EVERY: Duration = Duration::from_secs(5);
/// The same while something is missing.
const EVERY_WHILE_MISSING: Duration = Duration::from_millis(500);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// With more names than this, one request for all topics is cheaper than one for each.
const SINGLE_REQUESTS_MAX: usize = 16;

pub(super) struct Discover {
    consumer: Arc<BaseConsumer<Context>>,
    shared: Arc<Shared>,
    picker: TopicPicker,
    root: String,
    said_missing: Vec<String>,
}

/// What a look at the topics found.
#[derive(Default)]
struct Found {
    /// Partitions per topic.
    counts: BTreeMap<String, i32>,
    /// Topics that the brokers do not let weir see.
    hidden: Vec<String>,
    /// A wanted topic exists and cannot be looked into yet.
    unclear: bool,
}

impl Discover {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Context>>,
        shared: Arc<Shared>,
        picker: TopicPicker,
        root: String,
    ) -> Self {
        Discover { consumer, shared, picker, root, said_missing: Vec::new() }
    }

    pub(super) fn run(mut self) {
        loop {
            let looked = self.look();
            let every = if matches!(looked, Ok(true)) { EVERY } else { EVERY_WHILE_MISSING };
            if let Err(error) = &looked {
                self.shared.problem.set_if_none(error.to_string());
            }
            if self.shared.wait_for_stop(every, looked.is_ok()) {
                return;
            }
        }
    }

    /// One look; `Ok(true)`: nothing that was asked for is missing.
    fn look(&mut self) -> Result<bool, KafkaError> {
        let marks_due = self.shared.marks_due();
        let wanted = self.picker.current();
        let Found { counts: found, hidden, unclear } = self.topics(&wanted)?;
        if !hidden.is_empty()
            && let Some(denied) = self.denied(&hidden)
        {
            // Before what fails because of it: of a topic that is read already nothing more can be asked.
            self.shared.problem.set(denied);
        }
        let missing: Vec<String> = wanted.names.iter().filter(|n| !found.contains_key(*n)).cloned().collect();
        if missing != self.said_missing {
            for topic in missing.iter().filter(|t| !self.said_missing.contains(t) && !hidden.contains(t)) {
                tracing::warn!(topic, "topic `{topic}` does not exist yet; it is read once it does");
            }
            self.said_missing.clone_from(&missing);
        }
        self.shared.wish(found.keys());
        let new = if self.shared.is_divided() { self.shared.to_announce() } else { self.unknown(&found) };
        let new: Vec<(PartitionId, i32)> =
            new.into_iter().filter_map(|id| Some((id.clone(), i32::try_from(id.partition).ok()?))).collect();
        let all_announced = self.announce(&new)?;
        let nothing_to_come = all_announced && !unclear;
        if self.shared.look_again.swap(false, Ordering::AcqRel) {
            self.look_at_known_partitions()?;
        }
        if let Some(number) = marks_due.filter(|_| all_announced) {
            self.set_marks()?;
            self.shared.marks_are_set(number);
        }
        self.note_ends()?;
        let complete = missing.is_empty() && nothing_to_come && wanted.bad.is_empty();
        match (wanted.bad.first(), self.denied(&hidden)) {
            (Some(bad), _) => self.shared.problem.set(bad.as_str()),
            (None, Some(denied)) => self.shared.problem.set(denied),
            (None, None) if all_announced => self.shared.problem.clear(),
            (None, None) => {}
        }
        let missing = missing.into_iter().filter(|topic| !hidden.contains(topic)).collect();
        self.shared.found(missing, nothing_to_come, complete);
        Ok(complete)
    }

    /// What the brokers do not let weir see or read, with the fix.
    fn denied(&self, hidden: &[String]) -> Option<String> {
        let is_denied = |partition: &Partition| {
            let inner = lock(&partition.inner);
            inner.denied && inner.phase == Phase::Reading && inner.next < inner.end
        };
        let unread =
            || self.shared.partitions().iter().find(|partition| is_denied(partition)).map(|p| p.id.topic.clone());
        let says = |does: &str, topic: &str| denied(does, topic, &["Describe", "Read"]);
        hidden.first().map(|topic| says("see", topic)).or_else(|| unread().map(|topic| says("read", &topic)))
    }

    /// The partitions that were not announced yet.
    fn unknown(&self, found: &BTreeMap<String, i32>) -> Vec<PartitionId> {
        let of_topic = |(topic, count): (&String, &i32)| {
            let topic: Arc<str> = Arc::from(topic.as_str());
            let id = move |partition| PartitionId { origin: Arc::clone(&topic), topic: Arc::clone(&topic), partition };
            (0..u32::try_from(*count).unwrap_or(0)).map(id)
        };
        found.iter().flat_map(of_topic).filter(|id| !self.shared.knows(id)).collect()
    }

    /// The wanted topics that exist.
    fn topics(&self, wanted: &Wanted) -> Result<Found, KafkaError> {
        let mut found = Found::default();
        let mut take = |topic: &MetadataTopic| {
            if !wanted.takes(topic.name()) {
                return;
            }
            match topic.error().map(RDKafkaErrorCode::from) {
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::InvalidTopic,
                ) => {}
                // Whether it exists is not said either.
                Some(RDKafkaErrorCode::TopicAuthorizationFailed) => found.hidden.push(topic.name().to_owned()),
                None if !topic.partitions().is_empty() => {
                    let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
                    found.counts.insert(topic.name().to_owned(), count);
                }
                _ => found.unclear = true,
            }
        };
        if wanted.patterns.is_empty() && wanted.names.len() + wanted.optional.len() <= SINGLE_REQUESTS_MAX {
            for name in wanted.names.iter().chain(&wanted.optional) {
                self.consumer.fetch_metadata(Some(name), ANSWER_TIMEOUT)?.topics().iter().for_each(&mut take);
            }
        } else {
            self.consumer.fetch_metadata(None, ANSWER_TIMEOUT)?.topics().iter().for_each(&mut take);
        }
        Ok(found)
    }

    /// Announces new partitions with their bounds; `Ok(false)`: some have no leader yet.
    fn announce(&self, new: &[(PartitionId, i32)]) -> Result<bool, KafkaError> {
        if new.is_empty() {
            return Ok(true);
        }
        // Before the first of them is told of: the drain makes an origin's document when it knows all its partitions.
        self.shared.more_will_come();
        let hints = limits::hints(&self.consumer, new, &self.root, ANSWER_TIMEOUT);
        let mut all = true;
        for (id, number) in new {
            match self.bounds(id, *number) {
                Ok(bounds) => {
                    let hint = hints.get(id).copied();
                    self.shared.announce(id.clone(), *number, Bounds { hint, ..bounds });
                }
                Err(error) if self.shared.is_stopped() => return Err(error),
                Err(error) => {
                    tracing::debug!(topic = %id.topic, partition = id.partition, %error, "a partition has no bounds yet");
                    self.shared.problem.set_if_none(format!("{}/{}: {error}", id.topic, id.partition));
                    all = false;
                }
            }
        }
        Ok(all)
    }

    fn bounds(&self, id: &PartitionId, number: i32) -> Result<Bounds, KafkaError> {
        let cluster = Context::cluster(&self.consumer, ANSWER_TIMEOUT);
        limits::bounds(&self.consumer, cluster, &id.topic, number, ANSWER_TIMEOUT)
    }

    /// Notes where every partition ends now: one request per broker, whatever their number. The partitions of which that is not known.
    fn note_ends(&self) -> Result<usize, KafkaError> {
        let partitions = self.shared.partitions();
        let mut ask = TopicPartitionList::with_capacity(partitions.len());
        for partition in &partitions {
            ask.add_partition_offset(&partition.id.topic, partition.number, Offset::End)?;
        }
        if partitions.is_empty() {
            return Ok(0);
        }
        let ends = self.consumer.offsets_for_times(ask, ANSWER_TIMEOUT)?;
        let mut unknown = 0;
        for partition in &partitions {
            let end = ends.find_partition(&partition.id.topic, partition.number).map(|element| element.offset());
            match end {
                Some(Offset::Offset(end)) => lock(&partition.inner).end = u64::try_from(end).unwrap_or(0),
                _ => unknown += 1,
            }
        }
        Ok(unknown)
    }

    /// Notes where every partition ends now.
    fn set_marks(&self) -> Result<(), KafkaError> {
        if self.note_ends()? > 0 {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable));
        }
        for partition in self.shared.partitions() {
            let mut inner = lock(&partition.inner);
            inner.mark = inner.end;
        }
        Ok(())
    }

    /// After an offset was out of range or a spool failed: partitions whose position is outside their bounds are announced anew, so that the drain
    /// says whether data were lost; the others are assigned anew where they are.
    fn look_at_known_partitions(&self) -> Result<(), KafkaError> {
        for partition in self.shared.partitions() {
            if self.shared.is_stopped() {
                break;
            }
            let bounds = match self.bounds(&partition.id, partition.number) {
                Ok(bounds) => bounds,
                Err(error) => {
                    self.shared.look_again.store(true, Ordering::Release);
                    return Err(error);
                }
            };
            let mut inner = lock(&partition.inner);
            if inner.phase == Phase::Waiting {
                continue;
            }
            if inner.lost || inner.next < bounds.start || inner.next > bounds.end {
                drop(inner);
                self.shared.announce_again(&partition, bounds);
            } else {
                inner.phase = Phase::Seeking { anew: true };
                inner.seeks += 1;
            }
        }
        Ok(())
    }
}
