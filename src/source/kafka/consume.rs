//! The consume thread: the only one that polls, assigns, seeks, pauses and commits.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::decode;
use super::limits::{begun_metadata, hint_metadata};
use super::member::{Changes, Member};
use super::shared::{Partition, Phase, Shared};
use crate::config::Kafka;
use crate::publish::{ClientLog, ProblemSlot, lock};
use crate::source::PartitionId;

/// How long a poll waits for a message.
const POLL: Duration = Duration::from_millis(20);
/// How often wishes and pauses are looked at while messages keep coming.
const TEND_EVERY: Duration = Duration::from_millis(20);
/// How often positions are asked for: they cover gaps at the end of a partition.
const POSITION_EVERY: Duration = Duration::from_millis(100);
/// How often hints are committed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
const SEEK_TIMEOUT: Duration = Duration::from_secs(2);
/// Failed seeks after which a partition is assigned anew instead.
const SEEKS_MAX: u32 = 3;
/// Messages taken before the drain is told of them.
const TELL_AFTER: usize = 512;
/// Wait after the spool could not be written.
const SPOOL_RETRY: Duration = Duration::from_secs(1);
/// How long the last commit is waited for.
const LAST_COMMIT: Duration = Duration::from_millis(500);

/// The callbacks of the consumer.
pub(super) struct Context {
    log: ClientLog,
    problem: Arc<ProblemSlot>,
    /// The cluster's id, once a broker has answered.
    cluster: OnceLock<String>,
    /// What the consumer group said, if it is asked.
    pub(super) changes: Changes,
}

impl Context {
    pub(super) fn new(kafka: &Kafka, problem: Arc<ProblemSlot>) -> Context {
        Context {
            log: ClientLog::new("consumer", kafka),
            problem,
            cluster: OnceLock::new(),
            changes: Changes::default(),
        }
    }

    /// The id of the consumer's cluster, where it has one; waits at most `timeout`.
    pub(super) fn cluster(consumer: &BaseConsumer<Context>, timeout: Duration) -> Option<&str> {
        let known = &consumer.context().cluster;
        if known.get().is_none() {
            let id = consumer.client().fetch_cluster_id(timeout).filter(|id| !id.is_empty())?;
            return Some(known.get_or_init(|| id));
        }
        known.get().map(String::as_str)
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.log.token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.log.line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason, &self.problem);
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Context>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.changes.rebalance(consumer, err, list);
    }
}

pub(super) struct Consume {
    consumer: Arc<BaseConsumer<Context>>,
    /// `None`: all partitions are read.
    member: Option<Member>,
    shared: Arc<Shared>,
    root: String,
    table: Table,
    /// Partitions that were assigned, with the seeks that failed since.
    assigned: HashMap<PartitionId, u32>,
    noted: Vec<Arc<Partition>>,
    untold: usize,
    tended_at: Instant,
    position_at: Instant,
    commit_at: Instant,
    /// What was committed last.
    committed: Option<TopicPartitionList>,
}

/// Finds a message's partition.
#[derive(Default)]
struct Table {
    version: u64,
    topics: BTreeMap<Arc<str>, Vec<Option<Arc<Partition>>>>,
    last: Option<Arc<Partition>>,
}

impl Table {
    fn refresh(&mut self, shared: &Shared) {
        let version = shared.version();
        if version == self.version {
            return;
        }
        self.version = version;
        self.topics.clear();
        self.last = None;
        for partition in shared.partitions() {
            let Ok(number) = usize::try_from(partition.number) else { continue };
            let of_topic = self.topics.entry(Arc::clone(&partition.id.topic)).or_default();
            if of_topic.len() <= number {
                of_topic.resize(number + 1, None);
            }
            of_topic[number] = Some(partition);
        }
    }

    fn find(&mut self, topic: &str, number: i32) -> Option<Arc<Partition>> {
        if let Some(last) = self.last.as_ref().filter(|p| p.number == number && &*p.id.topic == topic) {
            return Some(Arc::clone(last));
        }
        let found = self.topics.get(topic)?.get(usize::try_from(number).ok()?)?.clone();
        self.last.clone_from(&found);
        found
    }
}

impl Consume {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Context>>,
        member: Option<Member>,
        shared: Arc<Shared>,
        root: String,
    ) -> Consume {
        let now = Instant::now();
        Consume {
            consumer,
            member,
            shared,
            root,
            table: Table::default(),
            assigned: HashMap::new(),
            noted: Vec::new(),
            untold: 0,
            tended_at: now,
            position_at: now,
            commit_at: now,
            committed: None,
        }
    }

    pub(super) fn run(mut self) {
        let consumer = Arc::clone(&self.consumer);
        while !self.shared.is_stopped() {
            let polled = match consumer.poll(Duration::ZERO) {
                None => {
                    self.tell();
                    self.tend();
                    consumer.poll(POLL)
                }
                polled => polled,
            };
            match polled {
                Some(Ok(message)) => self.take(&message),
                Some(Err(error)) => self.failed(&error),
                None => {}
            }
            // Large messages fill the spool long before there are many of them.
            if self.shared.pool.is_full() && !self.shared.paused.load(Ordering::Relaxed) {
                self.tell();
                self.pause_or_resume();
            }
            if self.untold >= TELL_AFTER {
                self.tell();
                if self.tended_at.elapsed() >= TEND_EVERY {
                    self.tend();
                }
            }
        }
        self.commit(Duration::ZERO);
        self.until_committed();
    }

    /// Waits until the last commit has been answered, but not for long. Nobody is told of the answer itself; one to a question that was sent behind it
    /// on the same connection comes after it.
    fn until_committed(&mut self) {
        let Some(sent) = self.committed.take() else { return };
        if let Err(error) = self.committer().committed_offsets(sent, LAST_COMMIT) {
            tracing::debug!(%error, "whether the last offsets were committed is not known; they are hints only");
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        self.untold += 1;
        self.table.refresh(&self.shared);
        let Some(partition) = self.table.find(message.topic(), message.partition()) else { return };
        let Ok(offset) = u64::try_from(message.offset()) else { return };
        let mut inner = lock(&partition.inner);
        if inner.phase != Phase::Reading || inner.lost {
            return;
        }
        if offset < inner.next {
            self.shared.repeated.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match inner.limit {
            Some(limit) if offset >= limit => inner.next = inner.next.max(limit),
            _ => {
                if let Err(error) = inner.spool.append(&decode::stored(message, offset)) {
                    inner.lost = true;
                    drop(inner);
                    return self.spool_failed(&partition, &error);
                }
                inner.next = offset + 1;
                inner.denied = false;
            }
        }
        if Shared::note(&mut inner) {
            drop(inner);
            self.noted.push(partition);
        }
    }

    /// The messages at hand may be damaged: the partition is announced anew, and the drain begins again from its head.
    fn spool_failed(&self, partition: &Partition, error: &std::io::Error) {
        let id = &partition.id;
        tracing::warn!(topic = %id.topic, partition = id.partition, %error, "failed to write the spool; reading the partition again");
        self.shared.problem.set(format!("failed to write the spool of {}/{}: {error}", id.topic, id.partition));
        self.shared.ask_to_look_again();
        self.shared.wait_for_stop(SPOOL_RETRY, false);
    }

    fn failed(&self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::LogTruncation,
            ) => {
                tracing::warn!(%error, "a position is outside its partition; looking at all partitions again");
                self.shared.ask_to_look_again();
            }
            // librdkafka says it once; the discover thread says it as long as there is something to read.
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                self.shared.partitions().iter().for_each(|partition| lock(&partition.inner).denied = true);
            }
            // Reported through the context already.
            _ => tracing::debug!(%error, "kafka consumer"),
        }
    }

    fn tell(&mut self) {
        self.untold = 0;
        self.shared.tell(&mut self.noted);
    }

    /// Everything but messages.
    fn tend(&mut self) {
        self.tended_at = Instant::now();
        self.heed_the_group();
        self.seek();
        self.pause_or_resume();
        if self.position_at.elapsed() >= POSITION_EVERY {
            self.position_at = Instant::now();
            self.cover_gaps();
            self.tell();
        }
        self.commit(COMMIT_EVERY);
    }

    /// Serves the membership, and lets go of what is another drain's now.
    fn heed_the_group(&mut self) {
        let Some(member) = &mut self.member else { return };
        if let Some(topics) = self.shared.wished(member.topics().len())
            && let Err(error) = member.subscribe(topics)
        {
            self.shared.problem.set_if_none(format!("failed to subscribe: {error}"));
        }
        let topics = member.topics().len();
        let Some((owned, settled)) = member.turn() else { return };
        self.shared.own(owned, settled, topics);
        let mut gone = TopicPartitionList::new();
        self.assigned.retain(|id, _| {
            let stays = owned.contains(id);
            if let Some(number) = i32::try_from(id.partition).ok().filter(|_| !stays) {
                gone.add_partition(&id.topic, number);
            }
            stays
        });
        if gone.count() > 0 {
            self.log_failure("unassign", self.consumer.incremental_unassign(&gone));
        }
    }

    fn seek(&mut self) {
        for partition in self.shared.partitions() {
            let (offset, seeks, anew) = {
                let inner = lock(&partition.inner);
                let Phase::Seeking { anew } = inner.phase else { continue };
                (inner.next, inner.seeks, anew)
            };
            match self.go_to(&partition, offset, anew) {
                Ok(()) => {
                    let mut inner = lock(&partition.inner);
                    if inner.seeks == seeks && matches!(inner.phase, Phase::Seeking { .. }) {
                        inner.phase = Phase::Reading;
                        if Shared::note(&mut inner) {
                            drop(inner);
                            self.noted.push(Arc::clone(&partition));
                        }
                    }
                    if self.shared.paused.load(Ordering::Relaxed) {
                        self.log_failure("pause", self.consumer.pause(&list([&*partition])));
                    }
                }
                Err(error) => {
                    if let Some(failed) = self.assigned.get_mut(&partition.id) {
                        *failed += 1;
                    }
                    tracing::debug!(topic = %partition.id.topic, partition = partition.id.partition, offset, %error, "failed to seek");
                    // It may have waited long, and the group is to hear of this drain.
                    return;
                }
            }
        }
    }

    /// Moves the consumer to an offset. A partition that is fetched is sought, which discards what is under way; any other is assigned.
    fn go_to(&mut self, partition: &Arc<Partition>, offset: u64, anew: bool) -> KafkaResult<()> {
        let id = &partition.id;
        let raw = Offset::Offset(i64::try_from(offset).map_err(|_| KafkaError::Seek("offset beyond 2^63".into()))?);
        let mut target = TopicPartitionList::with_capacity(1);
        target.add_partition_offset(&id.topic, partition.number, raw)?;
        match self.assigned.get(id).copied() {
            Some(failed) if !anew && failed < SEEKS_MAX => {
                self.consumer.seek(&id.topic, partition.number, raw, SEEK_TIMEOUT)?;
            }
            Some(_) => {
                self.assigned.remove(id);
                self.log_failure("unassign", self.consumer.incremental_unassign(&list([&**partition])));
                self.consumer.incremental_assign(&target)?;
            }
            None => self.consumer.incremental_assign(&target)?,
        }
        self.assigned.insert(id.clone(), 0);
        Ok(())
    }

    /// A full spool pauses everything; so does the end of a partition that is read up to its end.
    fn pause_or_resume(&mut self) {
        let pool = &self.shared.pool;
        let was = self.shared.paused.load(Ordering::Relaxed);
        let now = if was { !pool.has_room() } else { pool.is_full() };
        if now == was {
            return;
        }
        self.shared.paused.store(now, Ordering::Relaxed);
        let partitions = self.shared.partitions();
        let reading = list(partitions.iter().filter(|p| self.assigned.contains_key(&p.id)).map(|p| &**p));
        if now {
            tracing::debug!(used = pool.used(), "the spool is full; reading pauses");
            self.log_failure("pause", self.consumer.pause(&reading));
        } else {
            self.log_failure("resume", self.consumer.resume(&reading));
        }
    }

    /// Positions go on over transaction markers and aborted batches, where no message comes.
    fn cover_gaps(&mut self) {
        let Ok(positions) = self.consumer.position() else { return };
        self.table.refresh(&self.shared);
        for element in positions.elements() {
            let Offset::Offset(position) = element.offset() else { continue };
            let Ok(position) = u64::try_from(position) else { continue };
            let Some(partition) = self.table.find(element.topic(), element.partition()) else { continue };
            let mut inner = lock(&partition.inner);
            let position = inner.limit.map_or(position, |limit| position.min(limit));
            if inner.phase == Phase::Reading && !inner.lost && position > inner.next {
                inner.next = position;
                if Shared::note(&mut inner) {
                    drop(inner);
                    self.noted.push(partition);
                }
            }
        }
    }

    /// Commits what the drain has stored, as a hint, and where it began, as a sign for others.
    fn commit(&mut self, every: Duration) {
        if self.commit_at.elapsed() < every || self.member.as_ref().is_some_and(|member| !member.may_commit()) {
            return;
        }
        self.commit_at = Instant::now();
        let mut offsets = TopicPartitionList::new();
        for partition in self.shared.partitions() {
            let (next, metadata) = {
                let mut inner = lock(&partition.inner);
                let begun = self.member.is_some() && !inner.known && inner.phase == Phase::Reading;
                inner.known |= begun;
                match inner.commit.take() {
                    Some(next) => (next, hint_metadata(&self.root)),
                    None if begun => (inner.begun, begun_metadata(&self.root)),
                    None => continue,
                }
            };
            let Ok(next) = i64::try_from(next) else { continue };
            let mut element = offsets.add_partition(&partition.id.topic, partition.number);
            element.set_metadata(metadata);
            if let Err(error) = element.set_offset(Offset::Offset(next)) {
                tracing::debug!(%error, "an offset cannot be committed");
            }
        }
        if offsets.count() > 0 {
            match self.committer().commit(&offsets, CommitMode::Async) {
                Ok(()) => self.committed = Some(offsets),
                Err(error) => tracing::debug!(%error, "offsets were not committed; they are hints only"),
            }
        }
    }

    /// The coordinator takes commits only from members while there are any. One that is none (`weir drain --once`) may be refused: whoever has the
    /// partition commits when it has adopted what this one stored.
    fn committer(&self) -> &BaseConsumer<Context> {
        self.member.as_ref().map_or(&*self.consumer, Member::consumer)
    }

    fn log_failure(&self, verb: &str, result: KafkaResult<()>) {
        if let Err(error) = result {
            tracing::warn!(%error, "failed to {verb} partitions");
        }
    }
}

fn list<'a>(partitions: impl IntoIterator<Item = &'a Partition>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.id.topic, partition.number);
    }
    list
}
