//! One partition as the drain's thread holds it: its chain, what waits in it, and when something is tried again.

use std::time::{Duration, Instant};

use super::chain::{Chain, Step};
use super::status::{Failure, LastFile, PartitionState, PartitionStatus};
use super::store::Kind;
use super::temp::TempFile;
use super::triggers::{AtHand, Backoff, Cause, Triggers};
use super::write::Resume;
use crate::config;
use crate::source::{Bounds, PartitionId, Progress};

/// Something that waits for a human is tried again this often: it may have been fixed.
const RECHECK: Duration = Duration::from_secs(10);

pub(super) struct Partition {
    /// Of this assignment: answers to questions of an earlier one are void.
    pub number: u64,
    pub bounds: Bounds,
    /// `None` until the origin document was read.
    pub chain: Option<Chain>,
    /// Since when a question to the store is out.
    pub asked_at: Option<Instant>,
    /// How long the store took for its last answer.
    pub answered_after: Duration,
    pub retry_at: Option<Instant>,
    pub backoff: Backoff,
    pub at_hand: AtHand,
    /// The position after the last message at hand.
    pub next: u64,
    /// The source was polled since the last seek: what it has is known.
    pub heard: bool,
    pub triggers: Triggers,
    /// The range that is being written, and why, while the store is asked for its schema.
    pub writing: Option<(Resume, Cause)>,
    /// The file of the create in flight.
    pub sending: Option<Sending>,
    pub last_file: Option<LastFile>,
    /// A chain's head, and the timestamp of the message there; `None`: it cannot be told.
    pub oldest: Option<(u64, Option<i64>)>,
    pub last_error: Option<Failure>,
    /// The last failure waits for somebody.
    pub stopped: bool,
    /// The origin has no document yet: it is made once all its partitions are known.
    pub new_origin: bool,
    pub quarantined: u64,
}

pub(super) struct Sending {
    pub file: TempFile,
    pub file_bytes: u64,
    pub cause: Cause,
    /// Whether the range ended before what was at hand.
    pub cut: bool,
    pub sealed_ms: i64,
}

impl Partition {
    pub fn new(id: &PartitionId, number: u64, bounds: Bounds, store: &config::Store) -> Partition {
        Partition {
            number,
            next: 0,
            heard: false,
            bounds,
            chain: None,
            asked_at: None,
            answered_after: Duration::ZERO,
            retry_at: None,
            backoff: Backoff::default(),
            at_hand: AtHand::default(),
            triggers: Triggers::new(id, store.roll_bytes, store.roll_every),
            writing: None,
            sending: None,
            last_file: None,
            oldest: None,
            last_error: None,
            stopped: false,
            new_origin: false,
            quarantined: 0,
        }
    }

    /// Whether nothing keeps it from its next step.
    pub fn ready(&self, now: Instant) -> bool {
        self.asked_at.is_none() && self.retry_at.is_none_or(|at| at <= now)
    }

    pub fn collecting(&self) -> Option<&Chain> {
        self.chain.as_ref().filter(|chain| matches!(chain.step(), Step::Collect))
    }

    /// What somebody has to see to before it goes on.
    pub fn refused(&self) -> Option<&str> {
        self.last_error.as_ref().filter(|_| self.stopped).map(|failure| failure.what.as_str())
    }

    /// Forgets how long it was to wait: somebody asks.
    pub fn try_now(&mut self) {
        self.retry_at = None;
        self.stopped = false;
    }

    pub fn progress(&mut self, progress: &Progress, now_ms: i64) {
        self.next = self.next.max(progress.next);
        self.at_hand.messages = progress.messages;
        self.at_hand.bytes = progress.bytes;
        self.at_hand.since_ms = match progress.messages {
            0 => None,
            _ => self.at_hand.since_ms.or(Some(now_ms)),
        };
    }

    /// Everything at hand was dropped by a seek.
    pub fn sought(&mut self, offset: u64) {
        self.at_hand = AtHand::default();
        self.writing = None;
        self.next = offset;
        self.heard = false;
    }

    /// The first messages at hand are stored.
    pub fn stored(&mut self, messages: u64, bytes: u64, sending: &Sending) {
        self.at_hand.messages = self.at_hand.messages.saturating_sub(messages);
        self.at_hand.bytes = self.at_hand.bytes.saturating_sub(bytes);
        self.at_hand.since_ms = match (self.at_hand.messages, sending.cut) {
            (0, _) => None,
            // They waited with the ones that were stored.
            (_, true) => self.at_hand.since_ms,
            // They came while the file was written.
            (_, false) => Some(sending.sealed_ms),
        };
        self.triggers.stored();
        self.triggers.written(bytes, sending.file_bytes);
        self.worked();
    }

    pub fn worked(&mut self) {
        self.backoff.reset();
        self.retry_at = None;
        self.last_error = None;
        self.stopped = false;
    }

    /// Notes a failure and when the step is tried again. Returns whether it is news, to be logged.
    pub fn failed(&mut self, kind: Kind, what: String, now: Instant, now_ms: i64, random: u64) -> bool {
        let wait = match kind {
            Kind::Retry => self.backoff.next(random),
            Kind::Stop => RECHECK,
        };
        self.retry_at = Some(now + wait);
        self.stopped = kind == Kind::Stop;
        let news = self.last_error.as_ref().is_none_or(|last| last.what != what);
        self.last_error = Some(Failure { at_ms: now_ms, what });
        news
    }

    /// Where the oldest message at hand stands, if its timestamp is not known yet.
    pub fn oldest_unknown(&self) -> Option<u64> {
        let head = self.collecting()?.head().next;
        let known = self.oldest.is_some_and(|(at, _)| at == head);
        (self.at_hand.messages > 0 && !known).then_some(head)
    }

    /// `end`: where the source ends, as far as it knows.
    pub fn status(&self, id: &PartitionId, end: Option<u64>, now: Instant, now_ms: i64) -> PartitionStatus {
        let head = self.chain.as_ref().map(Chain::head);
        let state = match self.chain.as_ref().map(Chain::step) {
            _ if self.stopped => PartitionState::Refused,
            None | Some(Step::FindHead | Step::Seek(_)) => PartitionState::Opening,
            Some(Step::Collect) => PartitionState::Collecting,
            Some(Step::Create(_)) => PartitionState::Storing,
            Some(Step::Refused(_)) => PartitionState::Refused,
        };
        let duration = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let first = head.map_or(0, |head| head.next);
        let closed_by = self.sending.as_ref().map(|sending| sending.cause).or(self.writing.map(|(_, cause)| cause));
        let closes = self.triggers.closes(&self.at_hand, now_ms);
        let oldest = self.oldest.filter(|(at, _)| *at == first && self.at_hand.messages > 0);
        PartitionStatus {
            table: id.topic.to_string(),
            chain: self.chain.as_ref().map(|chain| chain.id().to_string()),
            partition: id.partition,
            state,
            first,
            next: self.next.max(first),
            rows: self.at_hand.messages,
            bytes: self.at_hand.bytes,
            age: self.at_hand.since_ms.map(|since_ms| duration(now_ms - since_ms)),
            oldest_ms: oldest.and_then(|(_, timestamp_ms)| timestamp_ms),
            closes_in: closes.filter(|_| closed_by.is_none()).map(|(at_ms, _)| duration(at_ms - now_ms)),
            closes_by: closed_by.or(closes.map(|(_, cause)| cause)),
            closes_at_bytes: self.triggers.value_bytes_max() as u64,
            end: end.map(|end| end.max(self.next)),
            asked_for: self.asked_at.map(|at| now.saturating_duration_since(at)),
            last_file: self.last_file.clone(),
            last_error: self.last_error.clone(),
        }
    }
}
