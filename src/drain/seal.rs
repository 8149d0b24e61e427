//! One sealed range: which of its messages become rows, where it must end, and the footer it gets. Pure: `now` is an argument.
//!
//! # Why the date rules look like this
//! The key of a file is a function of the chain's head and of the first record at or after it, never of a clock or of the cut: two drains that
//! start from one head always fight for one key. Where a file *ends* is free, so the end may depend on the clock.

use bytes::Bytes;

use super::footer::{FOOTER_VERSION, Footer, SourceSeen, Sources, Totals};
use super::names::{ChainId, Dt};
use super::triggers::Cause;
use crate::config::Partitioning;
use crate::log;
use crate::source::Message;

/// A producer's clock is believed this far ahead of the previous file's creation.
const CLOCK_AHEAD_MS: i64 = 7 * 24 * 3_600_000;

/// Intervals of seqs that a footer holds at most, over all sources (some 300 KB). A log makes one per start and partition, and a few for what
/// was sent again; more come from nobody who counts.
const INTERVALS_MAX: usize = 10_000;

/// The newest committed file of a chain, or its start.
#[derive(Debug, Clone)]
pub struct Head {
    /// `None`: the chain has no file yet.
    pub key: Option<String>,
    /// First offset that is not stored.
    pub next: u64,
    /// Date of the newest file.
    pub dt: Option<Dt>,
    /// When the newest file was made; without one, the origin document.
    pub created_ms: i64,
    /// Which rows of which source are stored, as far back as the resend window.
    pub sources: Sources,
    /// Since the chain's start.
    pub totals: Totals,
    /// Hash of the record before `next`; empty: not known.
    pub last_hash: String,
}

impl Head {
    /// A chain without files. `sources`: what the generations before it hold.
    pub fn at_start(start: u64, created_ms: i64, sources: Sources) -> Head {
        Head {
            key: None,
            next: start,
            dt: None,
            created_ms,
            sources,
            totals: Totals::default(),
            last_hash: String::new(),
        }
    }

    /// A chain whose newest file has this footer.
    pub fn of_file(key: String, footer: &Footer) -> Head {
        Head {
            key: Some(key),
            next: footer.next,
            dt: Some(footer.dt.clone()),
            created_ms: footer.created_ms,
            sources: footer.sources.clone(),
            totals: footer.totals,
            last_hash: footer.last_hash.clone(),
        }
    }
}

/// What becomes of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// It is a row of the file.
    Row,
    /// A row with its source and seq is stored already; it is counted and left out.
    Resent,
    /// It lies before the range (a seek that came too early): left out, not counted as consumed.
    Behind,
    /// It belongs to the next file: the range ends before it.
    Cut,
}

/// A file as it is to be created: its key is decided, its content is written.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub key: String,
    pub footer: Footer,
    /// Messages of the source in the range, the left-out ones too.
    pub messages: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// What the writer of a file knows about it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Rows among them that could not be read.
    pub quarantined: u64,
    /// Version of the pinned schema.
    pub schema: u32,
    /// Random, made for this build of this file.
    pub writer: String,
    pub cause: Option<Cause>,
}

/// Takes the messages of a range in order. One is made per pass over the range.
#[derive(Debug, Clone)]
pub struct Seal {
    chain: ChainId,
    topic_id: String,
    partitioning: Partitioning,
    resend_window_ms: i64,
    now_ms: i64,
    head: Head,
    /// The offset that the next message has at least.
    expected: u64,
    first: Option<First>,
    sources: Sources,
    messages: u64,
    bytes: u64,
    behind: u64,
    rows: u64,
    resent: u64,
    min_timestamp_ms: i64,
    max_timestamp_ms: i64,
    last: Option<Last>,
}

#[derive(Debug, Clone)]
struct First {
    dt: Dt,
    timestamp_ms: i64,
    /// Messages before it have no later date than the first one.
    until_ms: i64,
    /// Its date was not believed: the file keeps the previous date.
    implausible: bool,
}

/// The parts of a record that its hash covers; the bytes are shared, not copied.
#[derive(Debug, Clone)]
struct Last {
    offset: u64,
    timestamp_ms: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
    known: bool,
}

impl Seal {
    pub(super) fn new(
        chain: &ChainId,
        topic_id: &str,
        partitioning: Partitioning,
        resend_window_ms: i64,
        head: &Head,
        now_ms: i64,
    ) -> Seal {
        Seal {
            chain: chain.clone(),
            topic_id: topic_id.to_owned(),
            partitioning,
            resend_window_ms,
            now_ms,
            expected: head.next,
            sources: head.sources.clone(),
            head: head.clone(),
            first: None,
            messages: 0,
            bytes: 0,
            behind: 0,
            rows: 0,
            resent: 0,
            min_timestamp_ms: i64::MAX,
            max_timestamp_ms: i64::MIN,
            last: None,
        }
    }

    /// Decides on the next message. Nothing may be admitted after [`Admit::Cut`].
    pub fn admit(&mut self, message: &Message) -> Admit {
        if message.offset < self.expected {
            self.messages += 1;
            self.bytes += value_bytes(message);
            self.behind += 1;
            return Admit::Behind;
        }
        match &self.first {
            None => self.first = Some(self.date_first(message)),
            Some(first) if self.cuts(first, message) => return Admit::Cut,
            Some(_) => {}
        }
        self.messages += 1;
        self.bytes += value_bytes(message);
        let next = message.offset.saturating_add(1);
        self.expected = match &message.damaged {
            Some(damaged) if damaged.is_position => damaged.next.max(next),
            _ => next,
        };
        self.min_timestamp_ms = self.min_timestamp_ms.min(message.timestamp_ms);
        self.max_timestamp_ms = self.max_timestamp_ms.max(message.timestamp_ms);
        self.last = Some(Last {
            offset: message.offset,
            timestamp_ms: message.timestamp_ms,
            key: message.key.clone(),
            value: message.value.clone(),
            known: message.damaged.is_none(),
        });
        if self.seen_before(message) {
            self.resent += 1;
            return Admit::Resent;
        }
        self.rows += 1;
        Admit::Row
    }

    /// Rows admitted so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether no record was consumed yet.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Messages that lay before the range.
    pub fn behind(&self) -> u64 {
        self.behind
    }

    /// Ends the range before `to` and names the file. `None` when no record was in it: there is nothing to store, however far the offsets went.
    pub fn finish(mut self, to: u64, facts: Facts) -> Option<Sealed> {
        let first = self.first.take()?;
        let next = to.max(self.expected);
        // Broker time; a producer's clock in the future must not make us forget sources.
        let seen_ms = self.max_timestamp_ms.min(self.now_ms);
        self.sources.prune(seen_ms, std::time::Duration::from_millis(self.resend_window_ms.unsigned_abs()));
        self.sources.forget_beyond(INTERVALS_MAX);
        let footer = Footer {
            version: FOOTER_VERSION,
            topic_id: self.topic_id,
            first: self.head.next,
            next,
            rows: self.rows,
            quarantined: facts.quarantined,
            dt: first.dt,
            created_ms: self.now_ms,
            min_timestamp_ms: self.min_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            schema: facts.schema,
            sources: self.sources,
            totals: Totals {
                consumed: self.head.totals.consumed + self.rows + self.resent,
                stored: self.head.totals.stored + self.rows,
                resent: self.head.totals.resent + self.resent,
            },
            last_hash: self.last.map_or_else(String::new, |last| last.hash()),
            writer: facts.writer,
            previous: self.head.key,
            cause: facts.cause,
            chain: self.chain,
        };
        let key = footer.chain.key(&footer.dt, footer.first);
        Some(Sealed { key, footer, messages: self.messages, bytes: self.bytes })
    }

    /// The file's date: of its first record, not before the previous file's, and not far beyond what was known when that was made.
    fn date_first(&self, message: &Message) -> First {
        let timestamp_ms = message.timestamp_ms;
        let implausible = message.create_time && timestamp_ms > self.head.created_ms.saturating_add(CLOCK_AHEAD_MS);
        let own = self.date(if implausible { self.head.created_ms } else { timestamp_ms });
        let dt = match &self.head.dt {
            Some(previous) if implausible || *previous > own => previous.clone(),
            _ => own,
        };
        First { dt, timestamp_ms, until_ms: Dt::until(timestamp_ms, self.partitioning), implausible }
    }

    fn cuts(&self, first: &First, message: &Message) -> bool {
        let timestamp_ms = message.timestamp_ms;
        if first.implausible {
            // After an idle week the first record is right and the next file may take its date: it stays alone. A clock that is really wrong
            // would then make a file of every record, so records from the future share one.
            let future_ms = self.now_ms.saturating_add(CLOCK_AHEAD_MS);
            return !(message.create_time && timestamp_ms > future_ms && first.timestamp_ms > future_ms);
        }
        if timestamp_ms < first.until_ms || self.date(timestamp_ms) <= first.dt {
            return false;
        }
        let believed_ms = self.head.created_ms.max(first.timestamp_ms).saturating_add(CLOCK_AHEAD_MS);
        !(message.create_time && timestamp_ms > believed_ms)
    }

    fn date(&self, timestamp_ms: i64) -> Dt {
        Dt::of(timestamp_ms, self.partitioning)
    }

    /// Notes the message's source and seq; whether they were there before.
    fn seen_before(&mut self, message: &Message) -> bool {
        let (Some(source), Some(seq)) = (message.source.as_deref(), message.seq) else { return false };
        if !self.sources.0.contains_key(source) {
            // Headers of these names mean something else to other producers: only weir's own numbers never name two rows.
            if source.parse::<log::Source>().is_err() {
                return false;
            }
            self.sources.0.insert(source.to_owned(), SourceSeen::default());
        }
        let seen = self.sources.0.get_mut(source).expect("the source was just inserted");
        // A broker's clock is believed, also where this machine's stands still in 1970: who seems to have been silent since then is forgotten.
        let seen_ms = if message.create_time { message.timestamp_ms.min(self.now_ms) } else { message.timestamp_ms };
        seen.last_seen_ms = seen.last_seen_ms.max(seen_ms);
        let Some(damaged) = &message.damaged else { return !seen.seqs.insert(seq) };
        // Of an entry that was damaged after some of its rows had been sent, the others are nowhere else.
        let next = damaged.next.max(seq.saturating_add(1));
        let seen_before = seen.seqs.contains_range(seq, next);
        seen.seqs.insert_range(seq, next);
        seen_before
    }
}

fn value_bytes(message: &Message) -> u64 {
    message.value.as_ref().map_or(0, |value| value.len() as u64)
}

/// Names a record by its place, time and bytes; empty for a damaged range, whose bytes nobody knows.
pub fn record_hash(message: &Message) -> String {
    Last {
        offset: message.offset,
        timestamp_ms: message.timestamp_ms,
        key: message.key.clone(),
        value: message.value.clone(),
        known: message.damaged.is_none(),
    }
    .hash()
}

impl Last {
    fn hash(&self) -> String {
        if !self.known {
            return String::new();
        }
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        hasher.update(&self.offset.to_le_bytes());
        hasher.update(&self.timestamp_ms.to_le_bytes());
        for part in [&self.key, &self.value] {
            // The length keeps a key's end apart from a value's beginning; a missing part is not an empty one.
            hasher.update(&part.as_ref().map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
            hasher.update(part.as_deref().unwrap_or_default());
        }
        format!("{:032x}", hasher.digest128())
    }
}

#[cfg(test)]
mod tests;
