//! Looks at a partition before a lane goes on after a long time: which of its rows stand there already. In: an offset. Out: [`Already`].
//!
//! Read in small steps between the turns of other lanes. It reads to where the partition ends when the look begins: nobody else sends this lane's rows.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use uuid::Uuid;

use super::connect::{Quiet, client_config};
use super::message::{SEQ, SEQ_NEXT, SOURCE, number};
use super::token::Tokens;
use crate::config;
use crate::log::{Intervals, Source};

/// How long the brokers' answer to where the partition ends is waited for.
const ANSWER: Duration = Duration::from_secs(2);
/// How long a step takes at most.
const STEP: Duration = Duration::from_millis(50);

/// The rows of a lane that stand on its partition, by the epoch that wrote them: a copied log gives the same numbers to other rows.
#[derive(Debug, Default)]
pub(super) struct Already(BTreeMap<u32, Intervals>);

impl Already {
    pub(super) fn insert(&mut self, epoch: u32, seq: u64, next: u64) {
        self.0.entry(epoch).or_default().insert_range(seq, next);
    }

    /// Whether the rows `seq..next` of this epoch all stand there.
    pub(super) fn holds(&self, epoch: u32, seq: u64, next: u64) -> bool {
        self.0.get(&epoch).is_some_and(|seqs| seqs.contains_range(seq, next))
    }

    pub(super) fn count(&self) -> u64 {
        self.0.values().map(Intervals::count).sum()
    }
}

/// Which rows are looked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub log: Uuid,
    pub lane: u32,
    pub cursor: u64,
}

/// A look that is under way.
pub(super) struct ReadBack {
    consumer: BaseConsumer<Quiet>,
    wanted: Wanted,
    from: u64,
    next: u64,
    end: u64,
    /// The partition begins behind where the look should: what stood between is gone.
    pub gone: bool,
    found: Already,
}

impl ReadBack {
    /// Begins at `from`, or where the partition begins by now.
    pub(super) fn start(
        kafka: &config::Kafka,
        topic: &str,
        partition: u32,
        from: u64,
        wanted: Wanted,
    ) -> Result<ReadBack, String> {
        let tokens = Tokens::of(kafka);
        let consumer =
            BaseConsumer::from_config_and_context(&properties(kafka), Quiet::new("read-back", tokens.clone()))
                .map_err(|e| e.to_string())?;
        tokens.give(consumer.client())?;
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let (low, high) = consumer.fetch_watermarks(topic, number, ANSWER).map_err(|e| e.to_string())?;
        let (low, end) = (u64::try_from(low).unwrap_or(0), u64::try_from(high).unwrap_or(0));
        // A partition that ends before the mark is another one of the same name.
        let start = if from > end { low } else { from.max(low) };
        let mut list = TopicPartitionList::with_capacity(1);
        let offset = Offset::Offset(i64::try_from(start).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, number, offset).map_err(|e| e.to_string())?;
        consumer.assign(&list).map_err(|e| e.to_string())?;
        let gone = low > from;
        Ok(ReadBack { consumer, wanted, from: start, next: start, end, gone, found: Already::default() })
    }

    /// How far it has to read, as `from..end`.
    pub(super) fn range(&self) -> (u64, u64) {
        (self.from, self.end)
    }

    /// Reads on for a moment. `Some`: all is read.
    pub(super) fn step(&mut self) -> Result<Option<Already>, String> {
        let deadline = Instant::now() + STEP;
        while self.next < self.end {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Ok(None) };
            match self.consumer.poll(left) {
                None => return Ok(None),
                Some(Ok(message)) => {
                    self.next = u64::try_from(message.offset()).unwrap_or(0) + 1;
                    note(&mut self.found, &self.wanted, &message);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.next = self.end,
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(
                        RDKafkaErrorCode::AutoOffsetReset
                        | RDKafkaErrorCode::OffsetOutOfRange
                        | RDKafkaErrorCode::TopicAuthorizationFailed
                        | RDKafkaErrorCode::UnknownTopicOrPartition
                        | RDKafkaErrorCode::UnknownTopic
                        | RDKafkaErrorCode::UnknownPartition,
                    ) => return Err(error.to_string()),
                    // The client tries again by itself.
                    _ => tracing::debug!(%error, "kafka read-back"),
                },
            }
        }
        Ok(Some(std::mem::take(&mut self.found)))
    }
}

fn note(found: &mut Already, wanted: &Wanted, message: &BorrowedMessage<'_>) {
    let Some(headers) = message.headers() else { return };
    let value = |name: &str| headers.iter().find(|header| header.key == name).and_then(|header| header.value);
    let text = value(SOURCE).and_then(|source| std::str::from_utf8(source).ok());
    let Some(source) = text.and_then(|text| Source::from_str(text).ok()) else { return };
    let Some(seq) = value(SEQ).and_then(number) else { return };
    let next = value(SEQ_NEXT).and_then(number).unwrap_or(seq.saturating_add(1));
    if (source.log, source.lane) == (wanted.log, wanted.lane) && next > wanted.cursor {
        found.insert(source.epoch, seq, next);
    }
}

fn properties(kafka: &config::Kafka) -> ClientConfig {
    client_config(
        kafka,
        &[("queued.max.messages.kbytes", "4096"), ("fetch.message.max.bytes", "1048576"), ("fetch.wait.max.ms", "100")],
        &kafka.consumer,
        &[
            // Nobody joins it: the partition is assigned by hand, and nothing is committed.
            ("group.id", "weir-read-back"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            // Somebody's open transaction must not hold the look up; weir's own messages are in none.
            ("isolation.level", "read_uncommitted"),
            ("allow.auto.create.topics", "false"),
        ],
    )
}
