//! What the drain says of itself: for `weir status`, the API and the page.

use std::time::Duration;

use serde::Serialize;

use super::footer::Totals;
use super::triggers::Cause;

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
    /// As `weir verify` keys it: `<origin>.g01-p0000`; without the generation until the origin document was read.
    pub chain: String,
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
    /// How long the oldest of them waits.
    pub age: Option<Duration>,
    /// When the range closes by age at the latest.
    pub closes_in: Option<Duration>,
    /// Value bytes that are expected to close it by size.
    pub closes_at_bytes: u64,
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

/// The newest file that this process created or adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastFile {
    pub key: String,
    pub rows: u64,
    /// 0: another drain's, not measured.
    pub bytes: u64,
    /// Milliseconds since the epoch.
    pub created_ms: i64,
    /// `None`: another drain made it.
    pub cause: Option<Cause>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    pub what: String,
}

impl std::fmt::Display for PartitionStatus {
    /// `p3: open 2m10s, 41 MiB, 118230 rows, closes in 2m50s (age); last file .. created`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = |duration: Duration| {
            let all = duration.as_secs();
            if all < 60 { format!("{all}s") } else { format!("{}m{:02}s", all / 60, all % 60) }
        };
        let mebibytes = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        write!(f, "{} p{}: ", self.table, self.partition)?;
        match (self.state, self.age, self.closes_in) {
            (PartitionState::Opening, ..) => write!(f, "looking for its newest file")?,
            (PartitionState::Refused, ..) => write!(f, "refused")?,
            (PartitionState::Storing, ..) => write!(f, "storing {} rows from {}", self.rows, self.first)?,
            (PartitionState::Collecting, Some(age), Some(closes_in)) => write!(
                f,
                "open {}, {:.1} of {:.0} MiB, {} rows, closes in {} (age)",
                seconds(age),
                mebibytes(self.bytes),
                mebibytes(self.closes_at_bytes),
                self.rows,
                seconds(closes_in)
            )?,
            (PartitionState::Collecting, ..) => write!(f, "all stored, up to {}", self.first)?,
        }
        if let Some(file) = &self.last_file {
            let made = file.cause.map_or("adopted", Cause::word);
            write!(f, "; last file {} ({} rows, {made})", file.key, file.rows)?;
        }
        if let Some(failure) = &self.last_error {
            write!(f, "; {}", failure.what)?;
        }
        Ok(())
    }
}
