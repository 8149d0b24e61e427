//! One librdkafka producer with a poll thread of its own. Its delivery reports only settle slots of [`Window`]s: nothing else runs on the poll thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::{Client, OAuthToken};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig};

use super::PublishError;
use super::client::{ClientLog, ProblemSlot, lock};
use super::connect::client_config;
use super::topics::{PUBLISHES, denied};
use super::window::{Refusal, Window};
use crate::config;

/// How long the poll thread waits for a report before it looks whether it should end.
const POLL_EVERY: Duration = Duration::from_millis(100);

/// Bits of a message's opaque that hold its slot; the lane's index is above them.
const SLOT_BITS: u32 = 40;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

/// Where delivery reports go: one window per lane. A producer that is built anew gets new reports, so that late ones of the old change nothing.
#[derive(Debug)]
pub(crate) struct Reports {
    windows: RwLock<Vec<Arc<Mutex<Window>>>>,
    settled: Mutex<Settled>,
    changed: Condvar,
    log: Arc<ClientLog>,
    problem: Arc<ProblemSlot>,
}

#[derive(Debug, Default)]
struct Settled {
    messages: u64,
    /// Somebody waits for so many: waking costs system calls, which are not to be paid for each message.
    awaited: Option<u64>,
}

impl Reports {
    pub(crate) fn new(log: Arc<ClientLog>, problem: Arc<ProblemSlot>) -> Arc<Self> {
        Arc::new(Reports {
            windows: RwLock::default(),
            settled: Mutex::default(),
            changed: Condvar::new(),
            log,
            problem,
        })
    }

    /// Adds the window of the next lane.
    pub(crate) fn add(&self, window: Arc<Mutex<Window>>) {
        self.windows.write().unwrap_or_else(PoisonError::into_inner).push(window);
    }

    /// Waits until `more` messages were settled after the first `seen`, or `timeout`; returns how many are.
    pub(crate) fn wait(&self, seen: u64, more: u64, timeout: Duration) -> u64 {
        let mut settled = lock(&self.settled);
        let target = seen + more;
        settled.awaited = Some(target);
        let (mut settled, _) = self
            .changed
            .wait_timeout_while(settled, timeout, |s| s.messages < target)
            .unwrap_or_else(PoisonError::into_inner);
        settled.awaited = None;
        settled.messages
    }

    fn settle(&self, opaque: usize, result: Result<Option<u64>, Refusal>) {
        let (lane, slot) = (opaque >> SLOT_BITS, opaque as u64 & SLOT_MASK);
        let windows = self.windows.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get(lane) {
            lock(window).settle(slot, result);
        }
        drop(windows);
        let mut settled = lock(&self.settled);
        settled.messages += 1;
        if settled.awaited.is_some_and(|target| settled.messages >= target) {
            settled.awaited = None;
            self.changed.notify_one();
        }
    }
}

/// A message's opaque: its lane's index and its slot.
pub(crate) fn opaque(lane: usize, slot: u64) -> usize {
    debug_assert!(slot <= SLOT_MASK);
    lane << SLOT_BITS | usize::try_from(slot & SLOT_MASK).expect("40 bits fit a usize")
}

/// The callbacks of one producer.
pub(crate) struct Context(Arc<Reports>);

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.0.log.token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.0.log.line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.log.error(&error, reason, &self.0.problem);
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        match result {
            // A message that the broker knows already has no offset (-1).
            Ok(message) => self.0.settle(opaque, Ok(u64::try_from(message.offset()).ok())),
            Err((error, message)) => {
                let code = error.rdkafka_error_code();
                let why = match code {
                    Some(RDKafkaErrorCode::TopicAuthorizationFailed) => denied("write to", message.topic(), &PUBLISHES),
                    _ => error.to_string(),
                };
                let too_large = code == Some(RDKafkaErrorCode::MessageSizeTooLarge);
                self.0.settle(opaque, Err(Refusal { why, too_large }));
            }
        }
    }
}

/// A producer and its poll thread. Dropping it purges what is in flight: the log has it.
pub(crate) struct Producer {
    base: Arc<BaseProducer<Context>>,
    stop: Arc<AtomicBool>,
    poller: Option<JoinHandle<()>>,
}

/// Why a message did not enter the producer's queue.
pub(crate) enum NotSent {
    /// The queue is full; wait for reports.
    QueueFull,
    Refused(KafkaError),
}

impl Producer {
    pub(crate) fn start(config: &ClientConfig, reports: Arc<Reports>) -> Result<Producer, PublishError> {
        let base = BaseProducer::from_config_and_context(config, Context(reports)).map_err(PublishError::Client)?;
        let (base, stop) = (Arc::new(base), Arc::new(AtomicBool::new(false)));
        let poller = thread::Builder::new().name("weir-kafka-poll".into()).spawn({
            let (base, stop) = (Arc::clone(&base), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Acquire) {
                    base.poll(POLL_EVERY);
                }
            }
        });
        let poller = Some(poller.map_err(PublishError::Thread)?);
        Ok(Producer { base, stop, poller })
    }

    pub(crate) fn client(&self) -> &Client<Context> {
        self.base.client()
    }

    /// Copies a message into the producer's queue; never blocks.
    pub(crate) fn send(
        &self,
        topic: &str,
        partition: u32,
        key: Option<&[u8]>,
        value: &[u8],
        headers: OwnedHeaders,
        opaque: usize,
    ) -> Result<(), NotSent> {
        let partition = i32::try_from(partition).unwrap_or(i32::MAX);
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(topic, opaque).partition(partition).payload(value).headers(headers);
        record.key = key;
        match self.base.send(record) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Err(NotSent::QueueFull),
            Err((error, _)) => Err(NotSent::Refused(error)),
        }
    }

    /// The error after which this producer sends nothing more, if there was one.
    pub(crate) fn fatal_error(&self) -> Option<String> {
        self.client().fatal_error().map(|(code, text)| format!("{code}: {text}"))
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // First of all: a producer that must not send again is not to do so while its thread is waited for.
        self.base.purge(PurgeConfig::default().queue().inflight());
        self.stop.store(true, Ordering::Release);
        if let Some(poller) = self.poller.take()
            && poller.join().is_err()
        {
            tracing::error!("the kafka poll thread panicked");
        }
    }
}

/// What a message takes besides its value: key, headers, and what librdkafka reckons for a batch.
const OVERHEAD_BYTES: u64 = 4096;

/// The longest `message.timeout.ms` that librdkafka takes: 24 days.
const TIMEOUT_MS_MAX: u128 = i32::MAX as u128;

/// The largest message, and the largest batch, that is sent.
pub(crate) fn message_bytes(kafka: &config::Kafka) -> u64 {
    kafka.record_bytes_max as u64 + OVERHEAD_BYTES
}

/// The producer's properties.
pub(crate) fn config(kafka: &config::Kafka, producer_bytes: u64) -> ClientConfig {
    // librdkafka counts payloads only; half of the budget is left to its bookkeeping and to the batches under way.
    let queue_kbytes = (producer_bytes / 2 / 1024).clamp(1024, 2_097_151).to_string();
    let timeout_ms = super::gives_up_after(kafka.resend_window).as_millis().min(TIMEOUT_MS_MAX).to_string();
    let queue_messages = (producer_bytes / 2 / 256).clamp(1_000, 1_000_000).to_string();
    client_config(
        kafka,
        &[
            ("linger.ms", "20"),
            ("compression.type", "lz4"),
            ("batch.num.messages", "10000"),
            ("statistics.interval.ms", "0"),
        ],
        &kafka.producer,
        &[
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("message.timeout.ms", &timeout_ms),
            ("queue.buffering.max.kbytes", &queue_kbytes),
            ("queue.buffering.max.messages", &queue_messages),
            ("allow.auto.create.topics", "false"),
            ("message.max.bytes", &message_bytes(kafka).to_string()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_reports_is_woken_for_as_many_as_were_asked_for() {
        let kafka =
            "version: 1\nroutes: { m: { upstream: 'http://127.0.0.1:1' } }\nkafka: { brokers: ['127.0.0.1:1'] }\n";
        let kafka = config::Config::from_yaml("weir.yaml", kafka, &|_| None).unwrap().kafka.unwrap();
        let reports = Reports::new(Arc::new(ClientLog::new("producer", &kafka)), Arc::default());
        assert_eq!(reports.wait(0, 3, Duration::from_millis(1)), 0);
        (0..2).for_each(|slot| reports.settle(opaque(0, slot), Ok(None)));
        let patience = Duration::from_secs(60);
        assert_eq!(reports.wait(0, 2, patience), 2, "they were there before they were asked for");
        let waits = thread::spawn({
            let reports = Arc::clone(&reports);
            move || reports.wait(2, 2, patience)
        });
        (2..4).for_each(|slot| reports.settle(opaque(0, slot), Ok(None)));
        assert_eq!(waits.join().unwrap(), 4);
    }
}
