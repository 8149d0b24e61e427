//! What `weir status`, `/api/v1/status` and the status line say: the three equations and where each partition stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{drain, ledger, publish};

/// A snapshot of one process. The field names are a contract with users.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    /// Seconds since the process started.
    pub uptime_seconds: f64,
    pub calls: Calls,
    #[serde(default)]
    pub feedback: Feedback,
    pub rows: Rows,
    /// Bytes of the log's segments on disk.
    pub log_bytes: u64,
    /// Age of the oldest row that is not in Parquet yet; 0 if there is none.
    pub oldest_unstored_seconds: f64,
    /// Requests being served now.
    pub in_flight: u64,
    /// What is wrong now, one line each; empty when all is well.
    pub trouble: Vec<String>,
    pub publisher: Vec<Lane>,
    pub drain: Vec<Partition>,
}

/// `seen = logged + pending + dropped + unsampled`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    pub seen: u64,
    pub logged: u64,
    pub pending: u64,
    pub dropped: BTreeMap<String, u64>,
    pub unsampled: u64,
}

/// `seen = logged + pending + dropped`, each feedback of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    pub seen: u64,
    pub logged: u64,
    pub pending: u64,
    pub dropped: BTreeMap<String, u64>,
}

/// `appended = delivered + backlog` and `consumed = stored + resent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    pub appended: u64,
    pub delivered: u64,
    pub backlog: u64,
    pub consumed: u64,
    pub stored: u64,
    pub resent: u64,
    pub quarantined: u64,
}

/// One lane on its way to Kafka.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    pub topic: String,
    pub lane: u32,
    pub partition: Option<u32>,
    pub backlog: u64,
    /// Rows that the topic refused for their size and took with less in them, since the start.
    #[serde(default)]
    pub shortened: u64,
    pub error: Option<String>,
}

/// One partition (or lane) on its way to Parquet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    pub table: String,
    /// As `weir verify` keys it: `<origin>.g01-p0000`; `null` until the origin document was read, which names the generation.
    pub chain: Option<String>,
    pub partition: u32,
    /// `opening`, `collecting`, `storing` or `refused`.
    pub state: String,
    /// First offset of the open range: everything below it is stored.
    pub first: u64,
    /// The position after the last message at hand.
    pub next: u64,
    /// Messages at hand and not stored, and the bytes of their values.
    pub rows: u64,
    pub bytes: u64,
    /// How long the range is open.
    pub age_seconds: f64,
    /// Age of the oldest of these messages by its own timestamp; 0 if there is none.
    pub oldest_unstored_seconds: f64,
    /// When the open range is expected to close; it closes by age at the latest.
    pub closes_in_seconds: Option<f64>,
    /// Why: `size`, `age`, `date`, `pressure`, `manual` or `stop`. Of a file on its way to the store, why it was closed.
    pub closes_by: Option<String>,
    /// Value bytes that are expected to close it by size.
    pub closes_at_bytes: u64,
    /// Offsets that exist and are not stored; `null`: not known yet.
    pub lag: Option<u64>,
    /// How long the store has been asked without an answer; `null`: nothing is asked.
    pub asking_seconds: Option<f64>,
    pub last_file: Option<File>,
    pub error: Option<String>,
    /// All of it in one line, for people.
    pub words: String,
}

/// The newest file of a partition's chain.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct File {
    pub key: String,
    pub rows: u64,
    /// `null`: this process did not make it.
    pub bytes: Option<u64>,
    /// When it was made: RFC 3339, UTC.
    pub created: String,
    /// Why its range was closed, in the words of `closes_by`; `null`: its footer does not say.
    pub cause: Option<String>,
}

impl File {
    fn of(file: &drain::status::LastFile) -> File {
        File {
            key: file.key.clone(),
            rows: file.rows,
            bytes: file.bytes,
            created: file.created(),
            cause: file.cause.map(|cause| cause.word().to_owned()),
        }
    }
}

impl Partition {
    /// `now_ms`: milliseconds since the epoch.
    pub fn of(p: &drain::status::PartitionStatus, now_ms: i64) -> Partition {
        Partition {
            table: p.table.clone(),
            chain: p.chain.clone(),
            partition: p.partition,
            state: p.state.word().to_string(),
            first: p.first,
            next: p.next,
            rows: p.rows,
            bytes: p.bytes,
            age_seconds: p.age.map_or(0.0, |age| age.as_secs_f64()),
            oldest_unstored_seconds: p
                .oldest_ms
                .map_or(0.0, |oldest_ms| now_ms.saturating_sub(oldest_ms).max(0) as f64 / 1e3),
            closes_in_seconds: p.closes_in.map(|left| left.as_secs_f64()),
            closes_by: p.closes_by.map(|cause| cause.word().to_owned()),
            closes_at_bytes: p.closes_at_bytes,
            lag: p.lag(),
            asking_seconds: p.asked_for.map(|asked_for| asked_for.as_secs_f64()),
            last_file: p.last_file.as_ref().map(File::of),
            error: p.last_error.as_ref().map(|failure| failure.what.clone()),
            words: p.to_string(),
        }
    }
}

impl Lane {
    pub fn of(l: &publish::LaneStatus) -> Lane {
        Lane {
            topic: l.topic.clone(),
            lane: l.lane,
            partition: l.partition,
            backlog: l.synced.saturating_sub(l.cursor),
            shortened: l.shortened,
            error: l.problem.as_ref().map(ToString::to_string),
        }
    }
}

/// The reasons that there were.
fn dropped(counted: &ledger::Calls) -> BTreeMap<String, u64> {
    ledger::Reason::ALL
        .iter()
        .map(|reason| (reason.word().to_string(), counted.dropped[*reason as usize]))
        .filter(|(_, count)| *count > 0)
        .collect()
}

impl Feedback {
    pub fn of(counted: &ledger::Calls) -> Feedback {
        let (seen, logged, pending) = (counted.seen, counted.logged, counted.pending());
        Feedback { seen, logged, pending, dropped: dropped(counted) }
    }

    pub fn dropped_sum(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// The first equation, of feedback.
    pub fn balanced(&self) -> bool {
        self.seen == self.logged + self.pending + self.dropped_sum()
    }
}

impl Calls {
    pub fn of(calls: &ledger::Calls) -> Calls {
        let (seen, logged, pending) = (calls.seen, calls.logged, calls.pending());
        Calls { seen, logged, pending, dropped: dropped(calls), unsampled: calls.unsampled }
    }

    pub fn dropped_sum(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// The first equation.
    pub fn balanced(&self) -> bool {
        self.seen == self.logged + self.pending + self.dropped_sum() + self.unsampled
    }
}

impl Rows {
    /// Takes over the third equation from the drain.
    pub fn drained(&mut self, totals: &drain::status::TotalsStatus) {
        self.consumed = totals.consumed;
        self.stored = totals.stored;
        self.resent = totals.resent;
        self.quarantined = totals.quarantined;
    }

    /// The second and third equation.
    pub fn balanced(&self) -> bool {
        self.appended == self.delivered + self.backlog && self.consumed == self.stored + self.resent
    }
}

impl Status {
    /// Whether the equations hold and nothing is under way.
    pub fn settled(&self) -> bool {
        let balanced = self.calls.balanced() && self.feedback.balanced() && self.rows.balanced();
        balanced && self.calls.pending == 0 && self.feedback.pending == 0 && self.rows.backlog == 0
    }

    /// The screen of `weir status`.
    pub fn text(&self) -> String {
        let (calls, rows) = (&self.calls, &self.rows);
        let mut out = String::new();
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        line(format!("weir {}  pid {}  up {}", self.version, self.pid, seconds(self.uptime_seconds)));
        line(format!(
            "calls   seen {} = logged {} + pending {} + dropped {} + unsampled {}",
            count(calls.seen),
            count(calls.logged),
            count(calls.pending),
            count(calls.dropped_sum()),
            count(calls.unsampled)
        ));
        for (reason, dropped) in &calls.dropped {
            line(format!("        dropped {}: {reason}", count(*dropped)));
        }
        let feedback = &self.feedback;
        if feedback.seen > 0 {
            line(format!(
                "feedback seen {} = logged {} + pending {} + dropped {}",
                count(feedback.seen),
                count(feedback.logged),
                count(feedback.pending),
                count(feedback.dropped_sum())
            ));
            for (reason, dropped) in &feedback.dropped {
                line(format!("        dropped {}: {reason}", count(*dropped)));
            }
        }
        line(format!(
            "rows    appended {} = delivered {} + backlog {}",
            count(rows.appended),
            count(rows.delivered),
            count(rows.backlog)
        ));
        line(format!(
            "        consumed {} = stored {} + resent {}   (quarantined {})",
            count(rows.consumed),
            count(rows.stored),
            count(rows.resent),
            count(rows.quarantined)
        ));
        line(format!(
            "at hand oldest unstored row {}   log {}",
            seconds(self.oldest_unstored_seconds),
            bytes(self.log_bytes)
        ));
        for lane in &self.publisher {
            let partition = lane.partition.map_or("not yet known".to_string(), |p| format!("partition {p}"));
            let shortened = match lane.shortened {
                0 => String::new(),
                n => format!("  shortened {} (the topic refused them for their size)", count(n)),
            };
            let backlog = count(lane.backlog);
            line(format!("publish {}/{} -> {partition}  backlog {backlog}{shortened}", lane.topic, lane.lane));
        }
        for partition in &self.drain {
            line(format!("drain   {}", partition.words));
        }
        for trouble in &self.trouble {
            line(format!("!!      {trouble}"));
        }
        out
    }
}

/// The wall clock, milliseconds since the epoch.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// `1234567` -> `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1`, `row` -> `1 row`; `1234`, `row` -> `1,234 rows`.
pub fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `1536` -> `1.5 KiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `75.4` -> `1m15s`.
pub fn seconds(s: f64) -> String {
    let whole = s.max(0.0) as u64;
    match whole {
        0..10 => format!("{:.1}s", s.max(0.0)),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(9_412_020), "9,412,020");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(seconds(0.25), "0.2s");
        assert_eq!(seconds(75.4), "1m15s");
        assert_eq!(seconds(7_260.0), "2h01m");
    }

    #[test]
    fn a_missing_call_is_not_balanced() {
        let mut calls = Calls { seen: 3, logged: 2, ..Calls::default() };
        assert!(!calls.balanced());
        calls.dropped.insert("crash".to_string(), 1);
        assert!(calls.balanced());
    }
}
