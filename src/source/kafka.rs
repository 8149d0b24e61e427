//! Kafka partitions as a [`Source`]. In: topics of any producer. Out: their messages, through a raw spool per partition.
//!
//! Two threads share one consumer. *Discover* asks for topics and partitions, also for those that appear later, and announces each with its bounds.
//! *Consume* polls, assigns a partition by hand once the drain has said where to begin, and appends what comes to the partition's spool. The
//! drain's thread takes events, reads spools and leaves wishes (seek, commit) for the consume thread; when it opens a chain it asks Kafka itself, for a
//! short time (`ask`).
//!
//! Which partitions are announced says the consumer group (`member`), so that many drains divide the work; a drain that is to end by itself
//! ([`Reach::ToEnd`]) reads them all.
//!
//! Guards: a message below the expected offset is dropped and counted; one above it is a gap of the topic (transaction markers, aborted
//! batches) and is accepted; `auto.offset.reset` is `error`, and a partition that met it is looked at again and announced anew, so that the drain decides
//! whether data were lost. Polling never stops: a full spool pauses the partitions.

mod ask;
mod consume;
mod decode;
mod discover;
mod group;
mod limits;
mod member;
mod members;
mod shared;
mod topics;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use super::spool::SpoolPool;
use super::{Before, Bounds, Event, Messages, PartitionId, Source, SourceError};
use crate::config;
use crate::publish::{Problem, ProblemSlot, Tokens, client_config, lock};

use ask::Ask;
use consume::{Consume, Context};
use discover::Discover;
use member::Member;
pub use members::{Members, members, other_drains};
use shared::Shared;
pub use topics::TopicPicker;

/// How often [`KafkaWatch::catch_up`] looks.
const CATCH_UP_LOOK: Duration = Duration::from_millis(10);

/// How far the source reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// On and on, the partitions that the consumer group gives to this drain.
    Follow,
    /// Up to where each partition ended when it was first seen (`weir drain --once`); [`KafkaWatch::at_end`] says when.
    ToEnd,
}

/// Why the source could not start. Brokers that are down are no reason.
#[derive(Debug, thiserror::Error)]
pub enum KafkaSourceError {
    /// A property that librdkafka does not know or does not accept.
    #[error("failed to make the kafka consumer; check `kafka.tls`, `kafka.sasl` and `kafka.consumer`")]
    Client(#[source] KafkaError),
    #[error("failed to prepare the spool folder {}", path.display())]
    Spool {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to keep the drain's name in {}", path.display())]
    Name {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to ask who is in the consumer group")]
    Members(#[source] KafkaError),
    #[error("no token for Kafka: {0}")]
    Token(String),
    #[error("failed to start a consumer thread")]
    Thread(#[source] std::io::Error),
}

/// Not everything that stood in the topics came in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatchUpError {
    pub seconds: u64,
    /// Empty: not even the ends of the partitions were to be had.
    pub behind: Vec<PartitionId>,
    pub problem: Option<String>,
}

impl std::error::Error for CatchUpError {}

impl std::fmt::Display for CatchUpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kafka did not give everything in {} s", self.seconds)?;
        for (i, id) in self.behind.iter().enumerate() {
            write!(f, "{}{}/{}", if i == 0 { ": behind in " } else { ", " }, id.topic, id.partition)?;
        }
        self.problem.as_ref().map_or(Ok(()), |problem| write!(f, " ({problem})"))
    }
}

/// Reads Kafka for the drain. Dropping it ends its threads and removes its spool.
pub struct KafkaSource {
    shared: Arc<Shared>,
    ask: Ask,
    threads: Vec<JoinHandle<()>>,
}

/// Looks at a [`KafkaSource`] from elsewhere; cheap to clone, outlives it.
#[derive(Clone)]
pub struct KafkaWatch {
    shared: Arc<Shared>,
}

/// How things stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaSourceStatus {
    /// What does not work: brokers that cannot be reached, refused logins, a disk that cannot be written.
    pub problem: Option<Problem>,
    /// Topics asked for by name that do not exist.
    pub missing: Vec<String>,
    pub partitions: Vec<PartitionStatus>,
    /// Bytes of all spools.
    pub spool_bytes: u64,
    pub spool_bytes_max: u64,
    /// Whether reading waits for room in the spool.
    pub paused: bool,
    /// Messages that came again below the expected offset and were dropped.
    pub repeated: u64,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    pub partition: PartitionId,
    /// Whether the drain has said where to begin.
    pub reading: bool,
    /// First offset not yet at hand.
    pub next: u64,
    /// Messages at hand.
    pub messages: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

impl KafkaSource {
    /// Starts reading; returns at once, also when no broker can be reached. `root` names where the drain stores: it stands in the metadata of the
    /// committed offsets, and a hint committed for another root is not taken.
    pub fn start(
        kafka: &config::Kafka,
        drain: &config::Drain,
        topics: TopicPicker,
        spool_dir: PathBuf,
        root: &str,
        reach: Reach,
    ) -> Result<KafkaSource, KafkaSourceError> {
        let pool = SpoolPool::open(&spool_dir, drain.spool_bytes_max)
            .map_err(|source| KafkaSourceError::Spool { path: spool_dir.clone(), source })?;
        let problem = Arc::new(ProblemSlot::default());
        let shared = Arc::new(Shared::new(pool, Arc::clone(&problem), reach));
        let config = client_config(
            kafka,
            &[
                ("fetch.min.bytes", "1048576"),
                ("fetch.wait.max.ms", "100"),
                ("queued.max.messages.kbytes", "16384"),
                ("fetch.message.max.bytes", "1048576"),
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("session.timeout.ms", "10000"),
                ("topic.metadata.refresh.interval.ms", "5000"),
                ("statistics.interval.ms", "0"),
            ],
            &kafka.consumer,
            &[
                ("group.id", drain.group.as_str()),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("isolation.level", "read_committed"),
                ("check.crcs", "true"),
                ("allow.auto.create.topics", "false"),
            ],
        );
        let consumer = BaseConsumer::from_config_and_context(&config, Context::new(kafka, Arc::clone(&problem)))
            .map_err(KafkaSourceError::Client)?;
        let consumer = Arc::new(consumer);
        let member = match reach {
            Reach::Follow => Some(member(kafka, problem, &config, &spool_dir)?),
            Reach::ToEnd => None,
        };
        let ask = Ask::new(Arc::clone(&consumer), config, Tokens::of(kafka), root);
        let mut source = KafkaSource { shared: Arc::clone(&shared), ask, threads: Vec::new() };
        let discover = Discover::new(Arc::clone(&consumer), Arc::clone(&shared), topics, root.to_owned());
        source.spawn("weir-discover", move || discover.run())?;
        let consume = Consume::new(consumer, member, shared, root.to_owned());
        source.spawn("weir-consume", move || consume.run())?;
        Ok(source)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), KafkaSourceError> {
        let thread = thread::Builder::new().name(name.into()).spawn(run).map_err(KafkaSourceError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// A handle for the status page and for `--once`.
    pub fn watch(&self) -> KafkaWatch {
        KafkaWatch { shared: Arc::clone(&self.shared) }
    }
}

/// The drain's name in the group is kept beside the spool, in the data folder.
fn member(
    kafka: &config::Kafka,
    problem: Arc<ProblemSlot>,
    config: &ClientConfig,
    spool_dir: &Path,
) -> Result<Member, KafkaSourceError> {
    let path = spool_dir.with_file_name("drain.id");
    let config =
        member::member_config(config.clone(), &path).map_err(|source| KafkaSourceError::Name { path, source })?;
    Member::new(kafka, problem, config).map_err(KafkaSourceError::Client)
}

impl KafkaWatch {
    pub fn status(&self) -> KafkaSourceStatus {
        self.shared.status()
    }

    /// With [`Reach::ToEnd`]: every topic was found, and everything that was in it is at hand or was committed. A topic that does not exist
    /// keeps it `false`; the status names it.
    pub fn at_end(&self) -> bool {
        self.shared.at_end()
    }

    /// Waits until everything that stands in the topics now is at hand or committed.
    ///
    /// # Errors
    /// After `wait`, with the partitions that are behind.
    pub fn catch_up(&self, wait: Duration) -> Result<(), CatchUpError> {
        let begun = Instant::now();
        let number = self.shared.ask_for_marks();
        loop {
            let behind = self.shared.behind(number);
            if behind.as_ref().is_some_and(Vec::is_empty) {
                return Ok(());
            }
            if begun.elapsed() >= wait {
                let problem = self.shared.status().problem.map(|problem| problem.to_string());
                return Err(CatchUpError { seconds: wait.as_secs(), behind: behind.unwrap_or_default(), problem });
            }
            thread::sleep(CATCH_UP_LOOK);
        }
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, wait: Duration) -> Result<Vec<Event>, SourceError> {
        if self.threads.iter().any(JoinHandle::is_finished) && !self.shared.is_stopped() {
            return Err(SourceError::Other("a kafka consumer thread ended unexpectedly; restart weir".into()));
        }
        Ok(self.shared.take_events(wait))
    }

    fn seek(&mut self, partition: &PartitionId, offset: u64) -> Result<(), SourceError> {
        self.shared.get(partition)?.seek(offset);
        Ok(())
    }

    fn read(&mut self, partition: &PartitionId, from: u64, to: u64) -> Result<Box<dyn Messages>, SourceError> {
        let reader = self.shared.get(partition)?.read(from, to).map_err(|source| spool_error(partition, source))?;
        Ok(Box::new(reader))
    }

    fn commit(&mut self, partition: &PartitionId, next: u64) -> Result<(), SourceError> {
        self.shared.get(partition)?.commit(next).map_err(|source| spool_error(partition, source))
    }

    fn record_before(&mut self, partition: &PartitionId, next: u64) -> Result<Before, SourceError> {
        let partition = self.shared.get(partition)?;
        // None: gone by retention, a transaction's marker, or beyond the end, which the bounds tell.
        Ok(self.ask.record_before(&partition, next)?.map_or(Before::Unknown, Before::Known))
    }

    fn origin_bounds(&mut self, partition: &PartitionId) -> Result<Option<Vec<(u32, Bounds)>>, SourceError> {
        if !self.shared.is_divided() {
            return Ok(None);
        }
        self.ask.origin_bounds(partition).map(Some)
    }

    fn announced(&self) -> bool {
        self.shared.announced()
    }

    fn bounds(&mut self, partition: &PartitionId) -> Result<Option<Bounds>, SourceError> {
        let partition = self.shared.get(partition)?;
        self.ask.bounds(&partition).map(Some)
    }

    fn end(&self, partition: &PartitionId) -> Option<u64> {
        let partition = self.shared.get(partition).ok()?;
        let inner = lock(&partition.inner);
        Some(inner.end.max(inner.next))
    }

    fn full(&self) -> bool {
        self.shared.is_full()
    }
}

fn spool_error(partition: &PartitionId, source: std::io::Error) -> SourceError {
    SourceError::Read { what: format!("the spool of {}/{}", partition.topic, partition.partition), source }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a kafka consumer thread panicked");
            }
        }
    }
}
