//! One lane on its way to its partition: reads the log from the cursor on, sends, keeps account of what is in flight.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fail::fail_point;
use rdkafka::error::RDKafkaErrorCode;

use super::caution::Caution;
use super::client::{Problem, ProblemSlot, lock};
use super::known::Known;
use super::message::{self, SourceText};
use super::producer::{NotSent, Producer, opaque};
use super::run::Backoff;
use super::shorten::Shorten;
use super::window::Window;
use super::{LaneStatus, pins};
use crate::config;
use crate::log::{Item, Lane, LogError, Reader};
use crate::record::ContentType;
use crate::record::wire::lighter::{Lighter, lighter};

/// Messages that one lane sends before the next one has its turn.
const TURN: usize = 512;

/// What a turn came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    Sent,
    Nothing,
    /// The producer's queue is full: no lane can send.
    QueueFull,
    /// Messages of this lane were refused: look whether the topic is still as it was.
    Refused,
}

pub(super) struct LaneFeed {
    lane: Lane,
    /// Its place in the reports.
    index: usize,
    partition: Option<u32>,
    window: Arc<Mutex<Window>>,
    reader: Option<Reader>,
    /// Read and not yet in the producer's queue.
    held: Option<Item>,
    source: SourceText,
    /// The cursor as the log knows it.
    advanced: u64,
    backoff: Backoff,
    /// Set by a refusal, until what was refused is acknowledged.
    caution: Option<Caution>,
    problem: Arc<ProblemSlot>,
    /// Which of its rows stand on the topic.
    known: Known,
    /// The row that the topic refused for its size, and how it is sent instead.
    shorten: Option<Shorten>,
    /// Rows that got through with less in them.
    shortened: u64,
}

impl LaneFeed {
    pub(super) fn new(lane: Lane, index: usize) -> Self {
        let (cursor, synced) = (lane.cursor(), lane.synced());
        let problem = Arc::new(ProblemSlot::default());
        LaneFeed {
            known: Known::new(lane.clone(), Arc::clone(&problem)),
            lane,
            index,
            partition: None,
            window: Arc::new(Mutex::new(Window::new(cursor, synced))),
            reader: None,
            held: None,
            source: SourceText::default(),
            advanced: cursor,
            backoff: Backoff::default(),
            caution: None,
            problem,
            shorten: None,
            shortened: 0,
        }
    }

    pub(super) fn topic(&self) -> &str {
        self.lane.topic()
    }

    pub(super) fn is(&self, lane: &Lane) -> bool {
        self.lane.log() == lane.log() && self.lane.lane() == lane.lane()
    }

    pub(super) fn window(&self) -> Arc<Mutex<Window>> {
        Arc::clone(&self.window)
    }

    pub(super) fn partition(&self) -> Option<u32> {
        self.partition
    }

    /// Sets the partition for a pinned partition count.
    pub(super) fn place(&mut self, partitions: u32) {
        self.partition = Some(pins::partition_of(self.lane.log(), self.lane.lane(), partitions));
    }

    /// The producer is gone: a new window from the cursor on.
    pub(super) fn restart(&mut self) -> Arc<Mutex<Window>> {
        let fresh = {
            let window = lock(&self.window);
            Window::new(window.cursor(), window.sent_until())
        };
        self.window = Arc::new(Mutex::new(fresh));
        self.start_again();
        self.window()
    }

    /// Sends up to a turn's messages while fewer than `share` bytes of this lane are in flight.
    pub(super) fn feed(&mut self, producer: &Producer, share: u64, kafka: &config::Kafka) -> Fed {
        let Some(partition) = self.partition else { return Fed::Nothing };
        if let Some(refused) = self.rewind_after_a_refusal() {
            return refused;
        }
        if !self.backoff.due() {
            return Fed::Nothing;
        }
        match self.known.before_sending(partition, &self.window, kafka) {
            Ok(true) => {}
            Ok(false) => return Fed::Nothing,
            Err(why) => {
                self.fail(&why);
                return Fed::Nothing;
            }
        }
        let cursor = lock(&self.window).cursor();
        self.count_shortened(cursor);
        let mut sent = Fed::Nothing;
        for _ in 0..self.messages_at_once() {
            if lock(&self.window).unsettled_bytes() >= share {
                break;
            }
            let item = match self.next() {
                Ok(Some(item)) => item,
                Ok(None) => break,
                Err(error) => {
                    self.fail(&format!(
                        "failed to read lane {} of `{}` from the log: {error}",
                        self.lane.lane(),
                        self.topic()
                    ));
                    self.reader = None;
                    break;
                }
            };
            match self.send(producer, partition, &item) {
                Ok(()) => sent = Fed::Sent,
                Err(NotSent::QueueFull) => {
                    self.held = Some(item);
                    return if sent == Fed::Sent { Fed::Sent } else { Fed::QueueFull };
                }
                Err(NotSent::Refused(error)) => {
                    let seq = match &item {
                        Item::Row(row) => row.seq,
                        Item::Damaged { seq, .. } => *seq,
                    };
                    self.held = Some(item);
                    // Larger than the producer sends: `kafka.max_record` was lowered since it was logged.
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                        if self.shorten.is_some_and(|other| !other.is_of(seq)) {
                            break; // one at a time
                        }
                        self.shorten = Shorten::next(self.shorten, seq);
                        if self.shorten.is_some() {
                            continue;
                        }
                    }
                    self.fail(&error.to_string());
                    return Fed::Refused;
                }
            }
        }
        sent
    }

    /// Messages that may be sent in this turn.
    fn messages_at_once(&mut self) -> usize {
        let Some(caution) = &mut self.caution else { return TURN };
        let window = lock(&self.window);
        if !window.is_empty() {
            return 0;
        }
        let at_once = caution.at_once(window.cursor());
        drop(window);
        at_once.unwrap_or_else(|| {
            self.caution = None;
            TURN
        })
    }

    /// When a message was refused and nothing is under way any more, everything from the cursor on is sent again.
    fn rewind_after_a_refusal(&mut self) -> Option<Fed> {
        let mut window = lock(&self.window);
        let refusal = window.failure()?.clone();
        if window.unsettled() > 0 {
            return Some(Fed::Nothing);
        }
        let (alone, seq) = (window.len() == 1, window.cursor());
        let refused_until = window.rewind();
        self.caution = Some(Caution::after(window.cursor(), refused_until));
        drop(window);
        self.start_again();
        if refusal.too_large {
            if alone {
                self.shorten = Shorten::next(self.shorten, seq);
            }
            // One among others: the next attempt is made with it alone.
            if !alone || self.shorten.is_some() {
                return Some(Fed::Nothing);
            }
        }
        self.fail(&format!("kafka refused a message: {}", refusal.why));
        Some(Fed::Refused)
    }

    /// What was sent is sent again from the cursor on.
    fn start_again(&mut self) {
        self.reader = None;
        self.held = None;
    }

    /// Why its producer must not send again what is under way: so long without an answer, nobody knows any more what came before.
    pub(super) fn waits_too_long(&self, resend_window: Duration) -> Option<String> {
        let waits = lock(&self.window).unsettled() > 0;
        (waits && self.known.is_forgotten(resend_window)).then(|| {
            format!("what lane {} of `{}` sent has not been acknowledged for long", self.lane.lane(), self.topic())
        })
    }

    fn fail(&mut self, why: &str) {
        if self.problem.get().is_none_or(|p| p.message != why) {
            tracing::warn!(topic = self.lane.topic(), lane = self.lane.lane(), "{why}");
        }
        self.problem.set(why);
        self.backoff.failed();
    }

    fn next(&mut self) -> Result<Option<Item>, LogError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        if self.reader.is_none() {
            self.reader = Some(self.lane.reader(lock(&self.window).cursor())?);
        }
        match &mut self.reader {
            Some(reader) => reader.next(),
            None => Ok(None),
        }
    }

    fn send(&mut self, producer: &Producer, partition: u32, item: &Item) -> Result<(), NotSent> {
        let damaged;
        let (seq, next, epoch, key, value, headers) = match item {
            Item::Row(row) => {
                let headers = message::headers(row.content_type, row.source, &mut self.source, row.seq, None);
                (row.seq, row.seq + 1, row.source.epoch, row.key.as_deref(), row.value.as_ref(), headers)
            }
            Item::Damaged { seq, next, source, why, .. } => {
                damaged = message::damaged_value(*seq, *next, *source, why);
                let headers = message::headers(ContentType::Json, *source, &mut self.source, *seq, Some(*next));
                (*seq, *next, source.epoch, None, damaged.as_slice(), headers)
            }
        };
        debug_assert!(next > seq);
        let shorter = match (item, Shorten::of(self.shorten, seq)) {
            (Item::Row(row), Some(how)) => lighter(row.content_type, value, how).or_else(|| {
                self.shorten = Shorten::next(self.shorten, seq);
                lighter(row.content_type, value, Lighter::Bare)
            }),
            _ => None,
        };
        let value = shorter.as_deref().unwrap_or(value);
        let bytes = u32::try_from(value.len() + key.map_or(0, <[u8]>::len)).unwrap_or(u32::MAX);
        let slot = lock(&self.window).push(next, bytes);
        if self.known.holds(epoch, seq, next) {
            lock(&self.window).settle(slot, Ok(None));
            return Ok(());
        }
        let sent = producer.send(self.lane.topic(), partition, key, value, headers, opaque(self.index, slot));
        if sent.is_err() {
            lock(&self.window).pop();
        }
        sent
    }

    /// Tells the log how far Kafka has acknowledged; returns whether it moved.
    pub(super) fn advance(&mut self, resend_window: Duration) -> bool {
        let (cursor, mark) = {
            let window = lock(&self.window);
            (window.cursor(), window.mark())
        };
        let moved = cursor > self.advanced;
        if moved {
            fail_point!("publish_acked");
            self.lane.advance(cursor);
            self.advanced = cursor;
            self.count_shortened(cursor);
            self.backoff.worked();
            self.problem.clear();
        }
        self.known.acknowledged(mark, resend_window);
        moved
    }

    fn count_shortened(&mut self, cursor: u64) {
        let Some(shorten) = self.shorten.filter(|shorten| shorten.is_done(cursor)) else { return };
        self.shorten = None;
        self.shortened += 1;
        let (topic, lane) = (self.lane.topic(), self.lane.lane());
        let left_out = match shorten.how {
            Lighter::WithoutBodies => "its bodies",
            Lighter::Bare => "its inputs, outputs and long fields",
        };
        // The first is said aloud, the others are counted.
        if self.shortened == 1 {
            tracing::warn!(
                topic,
                lane,
                "topic `{topic}` refused a row for its size (max.message.bytes) and got it without {left_out}; such rows are counted as \
                 `shortened` in `weir status --json`; `weir check` says how to let them in"
            );
        } else {
            tracing::debug!(topic, lane, shortened = self.shortened, "sent a row without {left_out}");
        }
    }

    /// Whether everything synced is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        let window = lock(&self.window);
        window.is_empty() && self.held.is_none() && window.cursor() >= self.lane.synced()
    }

    pub(super) fn has_something_to_settle(&self) -> bool {
        self.held.is_some() || !lock(&self.window).is_empty()
    }

    pub(super) fn status(&self, topic_problem: Option<Problem>) -> LaneStatus {
        let window = lock(&self.window);
        LaneStatus {
            topic: self.lane.topic().to_owned(),
            lane: self.lane.lane(),
            partition: self.partition,
            cursor: window.cursor(),
            synced: self.lane.synced(),
            in_flight: window.unsettled(),
            shortened: self.shortened,
            problem: topic_problem.or_else(|| self.problem.get()),
        }
    }
}
