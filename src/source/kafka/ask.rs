//! What the drain's thread asks Kafka itself: where a partition begins and ends at this moment, and the record before an offset.
//!
//! Each answer is waited for at most [`ANSWER_TIMEOUT`] a request, and when one did not come, the next questions fail at once for a while: a drain
//! of many partitions is not to wait for each of them while the brokers are away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::consume::Context;
use super::shared::Partition;
use super::{decode, limits};
use crate::publish::{Quiet, Tokens};
use crate::source::spool::owned;
use crate::source::{Bounds, Message, PartitionId, SourceError};

/// How long an answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long nothing is asked after an answer did not come.
const QUIET: Duration = Duration::from_secs(2);
/// How long the bounds of a topic are good for another of its partitions: its document is made once, for all of them.
const ORIGIN_GOOD: Duration = Duration::from_secs(5);
/// How long a poll waits.
const POLL: Duration = Duration::from_millis(50);

/// Of all partitions of a topic, by number.
type AllBounds = Vec<(u32, Bounds)>;

pub(super) struct Ask {
    consumer: Arc<BaseConsumer<Context>>,
    config: ClientConfig,
    tokens: Tokens,
    /// Answers at once and reads single records, without moving the other consumer; made when it is first needed.
    lookup: Option<BaseConsumer<Quiet>>,
    quiet_until: Option<Instant>,
    root: String,
    /// The bounds of whole topics, for as long as they are asked for partition by partition.
    origins: HashMap<Arc<str>, (Instant, AllBounds)>,
}

impl Ask {
    /// `config` and `tokens` are the other consumer's.
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Context>>,
        mut config: ClientConfig,
        tokens: Tokens,
        root: &str,
    ) -> Ask {
        config.set("enable.partition.eof", "true");
        config.set("queued.max.messages.kbytes", "1024");
        config.set("fetch.min.bytes", "1");
        // A fetch beyond the record that was asked for keeps the next question waiting.
        config.set("fetch.wait.max.ms", "1");
        let root = root.to_owned();
        Ask { consumer, config, tokens, lookup: None, quiet_until: None, root, origins: HashMap::new() }
    }

    /// Where a partition begins and ends now.
    pub(super) fn bounds(&mut self, partition: &Partition) -> Result<Bounds, SourceError> {
        self.ask(&partition.id, "where it begins and ends", |ask| ask.bounds_of(&partition.id, partition.number))
            .map(|bounds| Bounds { hint: partition.hint, ..bounds })
    }

    /// Where all partitions of a topic begin and end, and how far each was committed.
    pub(super) fn origin_bounds(&mut self, id: &PartitionId) -> Result<AllBounds, SourceError> {
        if let Some((_, known)) = self.origins.get(&id.topic).filter(|(at, _)| at.elapsed() < ORIGIN_GOOD) {
            return Ok(known.clone());
        }
        let all = self.ask(id, "where the topic's partitions begin", |ask| {
            let metadata = ask.lookup()?.fetch_metadata(Some(&id.topic), ANSWER_TIMEOUT)?;
            let count = metadata.topics().iter().find(|t| t.name() == &*id.topic).map_or(0, |t| t.partitions().len());
            let ids = (0..count).filter_map(|number| {
                let (partition, number) = (u32::try_from(number).ok()?, i32::try_from(number).ok()?);
                Some((PartitionId { partition, ..id.clone() }, number))
            });
            let ids: Vec<(PartitionId, i32)> = ids.collect();
            let root = ask.root.clone();
            let hints = limits::hints(ask.lookup()?, &ids, &root, ANSWER_TIMEOUT);
            let mut bounds = |(id, number): &(PartitionId, i32)| {
                let bounds = ask.bounds_of(id, *number)?;
                Ok((id.partition, Bounds { hint: hints.get(id).copied(), ..bounds }))
            };
            ids.iter().map(&mut bounds).collect::<Result<Vec<_>, KafkaError>>()
        })?;
        self.origins.insert(Arc::clone(&id.topic), (Instant::now(), all.clone()));
        Ok(all)
    }

    /// The record at `next - 1`; `None`: retention took it, or it is none (a transaction's marker, a compacted record).
    pub(super) fn record_before(&mut self, partition: &Partition, next: u64) -> Result<Option<Message>, SourceError> {
        let Some(offset) = next.checked_sub(1) else { return Ok(None) };
        self.ask(&partition.id, "the record before the head", |ask| {
            let bounds = ask.bounds_of(&partition.id, partition.number)?;
            if !(bounds.start..bounds.end).contains(&offset) {
                return Ok(None);
            }
            ask.read(partition, offset)
        })
    }

    fn ask<T>(
        &mut self,
        id: &PartitionId,
        what: &str,
        question: impl FnOnce(&mut Ask) -> Result<T, KafkaError>,
    ) -> Result<T, SourceError> {
        let failed = |why: String| {
            SourceError::Other(format!("failed to ask kafka for {what} of {}/{}: {why}", id.topic, id.partition))
        };
        if self.quiet_until.is_some_and(|until| Instant::now() < until) {
            return Err(failed("it did not answer a moment ago".into()));
        }
        let answer = question(self);
        self.quiet_until = answer.is_err().then(|| Instant::now() + QUIET);
        answer.map_err(|error| failed(error.to_string()))
    }

    fn bounds_of(&mut self, id: &PartitionId, number: i32) -> Result<Bounds, KafkaError> {
        let consumer = Arc::clone(&self.consumer);
        let cluster = Context::cluster(&consumer, ANSWER_TIMEOUT);
        limits::bounds(self.lookup()?, cluster, &id.topic, number, ANSWER_TIMEOUT)
    }

    /// The other client's questions wait behind its fetches, which a broker holds for a while: one at a time is answered on a connection.
    fn lookup(&mut self) -> Result<&BaseConsumer<Quiet>, KafkaError> {
        let consumer = match self.lookup.take() {
            Some(consumer) => consumer,
            None => self.new_lookup()?,
        };
        // Nothing is assigned: what comes is a wish for another token, which is only heard here.
        drop(consumer.poll(Duration::ZERO));
        Ok(self.lookup.insert(consumer))
    }

    fn new_lookup(&self) -> Result<BaseConsumer<Quiet>, KafkaError> {
        let context = Quiet::new("lookup", self.tokens.clone());
        let consumer = BaseConsumer::from_config_and_context(&self.config, context)?;
        self.tokens.give(consumer.client()).map_err(|why| {
            tracing::debug!(why, "no token for a question");
            KafkaError::MetadataFetch(RDKafkaErrorCode::Authentication)
        })?;
        Ok(consumer)
    }

    fn read(&mut self, partition: &Partition, offset: u64) -> Result<Option<Message>, KafkaError> {
        let consumer = self.lookup()?;
        let raw = i64::try_from(offset).map_err(|_| KafkaError::Seek("offset beyond 2^63".into()))?;
        let mut target = TopicPartitionList::with_capacity(1);
        target.add_partition_offset(&partition.id.topic, partition.number, Offset::Offset(raw))?;
        consumer.assign(&target)?;
        let found = first(consumer, partition, offset);
        consumer.unassign()?;
        found
    }
}

/// The message at `offset`, unless what comes first lies behind it.
fn first(consumer: &BaseConsumer<Quiet>, partition: &Partition, offset: u64) -> Result<Option<Message>, KafkaError> {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    while Instant::now() < deadline {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                let at = u64::try_from(message.offset()).unwrap_or(0);
                if message.partition() != partition.number || message.topic() != &*partition.id.topic || at < offset {
                    continue;
                }
                return Ok((at == offset).then(|| owned(&decode::stored(&message, at))));
            }
            // It is the last, and there is no message.
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => return Ok(None),
                // The client tries again by itself; the deadline decides.
                _ => tracing::debug!(%error, "kafka lookup"),
            },
        }
    }
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}
