//! What the drain says of itself: for `weir status`, the API and the page.

use std::time::Duration;

use serde::Serialize;

use super::footer::{Footer, Totals};
use super::triggers::Cause;

/// A store that has not answered for so long is slow: that is the trouble then.
pub const SLOW_AFTER: Duration = Duration::from_secs(10);

/// Everything, as of the last turn of the drain's thread.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    pub partitions: Vec<PartitionStatus>,
    pub totals: TotalsStatus,
    /// The newest failure of any partition or of the source; gone when it works again.
    pub last_error: Option<Failure>,
    /// The drain's thread ended otherwise than by [`stop`](super::Drain::stop).
    pub dead: bool,
}

/// Over the partitions that this process owns: `consumed = stored + resent`. The first three since each chain's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TotalsStatus {
    pub consumed: u64,
    pub stored: u64,
    pub resent: u64,
    /// Stored rows that could not be read; counted since this process started.
    pub quarantined: u64,
}

impl TotalsStatus {
    pub(super) fn add(&mut self, chain: &Totals, quarantined: u64) {
        self.consumed += chain.consumed;
        self.stored += chain.stored;
        self.resent += chain.resent;
        self.quarantined += quarantined;
    }
}

/// Where is my file?
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    pub table: String,
    /// As `weir verify` keys it: `<origin>.g01-p0000`; `None` until the origin document was read, which names the generation.
    pub chain: Option<String>,
    pub partition: u32,
    pub state: PartitionState,
    /// First offset of the open range: everything below it is stored.
    pub first: u64,
    /// The position after the last message at hand.
    pub next: u64,
    /// Messages at hand that are not stored yet.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// How long the range is open: since the first of them came to hand.
    pub age: Option<Duration>,
    /// Timestamp of the oldest of them, milliseconds since the epoch: the broker's, the log's, or on a CreateTime topic the producer's.
    pub oldest_ms: Option<i64>,
    /// When the open range is expected to close, and why; of a file on its way to the store, why it was closed.
    pub closes_in: Option<Duration>,
    pub closes_by: Option<Cause>,
    /// Value bytes that are expected to close it by size.
    pub closes_at_bytes: u64,
    /// The first position that does not exist yet, as far as the source knows.
    pub end: Option<u64>,
    /// How long the store has been asked without an answer.
    pub asked_for: Option<Duration>,
    pub last_file: Option<LastFile>,
    pub last_error: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartitionState {
    /// Its newest file is looked for.
    Opening,
    Collecting,
    /// A file is on its way to the store.
    Storing,
    /// It waits for somebody: `last_error` says for what.
    Refused,
}

impl PartitionState {
    pub fn word(self) -> &'static str {
        match self {
            PartitionState::Opening => "opening",
            PartitionState::Collecting => "collecting",
            PartitionState::Storing => "storing",
            PartitionState::Refused => "refused",
        }
    }
}

/// The newest file of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastFile {
    pub key: String,
    pub rows: u64,
    /// `None`: this process did not make it.
    pub bytes: Option<u64>,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// `None`: its footer does not say.
    pub cause: Option<Cause>,
}

impl LastFile {
    /// A file that was found in the store.
    pub(super) fn found(key: String, footer: &Footer) -> LastFile {
        LastFile { key, rows: footer.rows, bytes: None, created_ms: footer.created_ms, cause: footer.cause }
    }

    /// RFC 3339, in UTC, to the second.
    pub fn created(&self) -> String {
        jiff::Timestamp::from_millisecond(self.created_ms).map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"))
    }
}

impl PartitionStatus {
    /// Messages (and gaps between them) that exist and are not stored; `None`: nobody knows yet.
    pub fn lag(&self) -> Option<u64> {
        self.end.filter(|_| self.chain.is_some()).map(|end| end.saturating_sub(self.first))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    pub what: String,
}

impl std::fmt::Display for PartitionStatus {
    /// `churn p3: open 2m10s, 41.0 of 128 MiB, 118230 rows, closes in 2m50s (age), lag 118230; last file ..`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} p{}: ", self.table, self.partition)?;
        let why = self.closes_by.map_or("", Cause::word);
        match (self.state, self.age, self.closes_in) {
            (PartitionState::Opening, ..) => write!(f, "looking for its newest file")?,
            (PartitionState::Refused, ..) => write!(f, "refused")?,
            (PartitionState::Storing, ..) => write!(f, "storing {} rows from {} ({why})", self.rows, self.first)?,
            (PartitionState::Collecting, Some(age), Some(closes_in)) => write!(
                f,
                "open {}, {:.1} of {:.0} MiB, {} rows, closes in {} ({why})",
                Seconds(age),
                mebibytes(self.bytes),
                mebibytes(self.closes_at_bytes),
                self.rows,
                Seconds(closes_in)
            )?,
            (PartitionState::Collecting, ..) => write!(f, "all stored, up to {}", self.first)?,
        }
        if let Some(lag) = self.lag().filter(|lag| *lag > 0) {
            write!(f, ", lag {lag}")?;
        }
        if let Some(asked_for) = self.asked_for.filter(|asked_for| *asked_for >= SLOW_AFTER) {
            write!(f, ", asking the store for {}", Seconds(asked_for))?;
        }
        if let Some(file) = &self.last_file {
            write!(f, "; last file {} {} ({} rows", file.created(), file.key, file.rows)?;
            if let Some(bytes) = file.bytes {
                write!(f, ", {:.1} MiB", mebibytes(bytes))?;
            }
            if let Some(cause) = file.cause {
                write!(f, ", {}", cause.word())?;
            }
            f.write_str(")")?;
        }
        if let Some(failure) = &self.last_error {
            write!(f, "; {}", failure.what)?;
        }
        Ok(())
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.0.as_secs();
        if all < 60 { write!(f, "{all}s") } else { write!(f, "{}m{:02}s", all / 60, all % 60) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> PartitionStatus {
        PartitionStatus {
            table: "churn".into(),
            chain: Some("churn.g01-p0003".into()),
            partition: 3,
            state: PartitionState::Collecting,
            first: 1_000,
            next: 1_118,
            rows: 118,
            bytes: 41 << 20,
            age: Some(Duration::from_secs(130)),
            oldest_ms: Some(0),
            closes_in: Some(Duration::from_secs(170)),
            closes_by: Some(Cause::Size),
            closes_at_bytes: 128 << 20,
            end: Some(1_200),
            asked_for: None,
            last_file: Some(LastFile {
                key: "churn/dt=2026-11-25/churn.g01-p0003-00000000000000000000.parquet".into(),
                rows: 1_000,
                bytes: Some(3 << 20),
                created_ms: 1_795_634_400_000,
                cause: Some(Cause::Age),
            }),
            last_error: None,
        }
    }

    #[test]
    fn where_is_my_file_is_answered_in_one_line() {
        assert_eq!(
            open().to_string(),
            "churn p3: open 2m10s, 41.0 of 128 MiB, 118 rows, closes in 2m50s (size), lag 200; last file \
             2026-11-25T19:20:00Z churn/dt=2026-11-25/churn.g01-p0003-00000000000000000000.parquet (1000 rows, 3.0 MiB, age)"
        );
        let storing = PartitionStatus {
            state: PartitionState::Storing,
            asked_for: Some(Duration::from_secs(75)),
            last_file: None,
            ..open()
        };
        assert_eq!(
            storing.to_string(),
            "churn p3: storing 118 rows from 1000 (size), lag 200, asking the store for 1m15s"
        );
    }

    #[test]
    fn the_lag_is_not_guessed() {
        assert_eq!(open().lag(), Some(200));
        assert_eq!(PartitionStatus { end: None, ..open() }.lag(), None);
        assert_eq!(PartitionStatus { chain: None, ..open() }.lag(), None, "its head is not known yet");
    }
}
