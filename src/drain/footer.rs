//! What a data file says about itself and about its chain up to its end: the truth that a new owner starts from.
//! Written as `weir.*` key/values of the Parquet footer, next to the rows they describe.

mod intervals;

pub use crate::log::Intervals;
pub use intervals::{SourceSeen, Sources};

use std::collections::HashMap;

use crate::drain::names::{ChainId, Dt};
use crate::drain::triggers::Cause;

/// Version of the footer that this program writes, and the newest one it reads.
pub const FOOTER_VERSION: u32 = 1;

/// One file's place in its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// [`FOOTER_VERSION`].
    pub version: u32,
    pub chain: ChainId,
    /// Kafka's topic id where known, a log's UUID otherwise.
    pub topic_id: String,
    /// First offset of the file's range.
    pub first: u64,
    /// The position after the range, gaps at its end included: the next file's `first`.
    pub next: u64,
    /// Rows in the file, quarantined ones included.
    pub rows: u64,
    pub quarantined: u64,
    pub dt: Dt,
    /// When the file was written, on the writer's clock.
    pub created_ms: i64,
    /// Of the file's records, on the broker's or the log's clock.
    pub min_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    /// Number of the pinned schema that the file was written with.
    pub schema: u32,
    /// Which producers' rows the chain holds, up to the end of this file.
    pub sources: Sources,
    /// Of the chain, up to the end of this file.
    pub totals: Totals,
    /// Hash of the last record: tells a re-created topic or log from the one the file came from.
    pub last_hash: String,
    /// Random, one per building of a file: tells one's own lost answer from another writer's file.
    pub writer: String,
    /// Key of the file before it; `None` for a chain's first.
    pub previous: Option<String>,
    /// Why the range was closed, as far as the file says. Nothing follows from it.
    pub cause: Option<Cause>,
}

/// `consumed = stored + resent`, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub consumed: u64,
    pub stored: u64,
    pub resent: u64,
}

/// Why a file's key/values are no footer of weir's.
#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    #[error("the footer has no `{0}`: not a file of weir's")]
    Missing(&'static str),
    #[error("`{key}` in the footer is `{value}`, which is no {wanted}")]
    Bad { key: &'static str, value: String, wanted: &'static str },
    #[error(
        "the footer has version {0}, this weir reads up to {FOOTER_VERSION}: run the weir that wrote it, or a newer one"
    )]
    Version(u32),
}

const VERSION: &str = "weir.version";
const TABLE: &str = "weir.table";
const ORIGIN: &str = "weir.origin";
const GENERATION: &str = "weir.generation";
const PARTITION: &str = "weir.partition";
const TOPIC_ID: &str = "weir.topic_id";
const FIRST: &str = "weir.first_offset";
const NEXT: &str = "weir.next_offset";
const ROWS: &str = "weir.rows";
const QUARANTINED: &str = "weir.quarantined";
const DT: &str = "weir.dt";
const CREATED: &str = "weir.created";
const MIN_TIMESTAMP: &str = "weir.min_timestamp";
const MAX_TIMESTAMP: &str = "weir.max_timestamp";
const SCHEMA: &str = "weir.schema";
const SOURCES: &str = "weir.sources";
const CONSUMED: &str = "weir.consumed";
const STORED: &str = "weir.stored";
const RESENT: &str = "weir.resent";
const LAST_HASH: &str = "weir.last_hash";
const WRITER: &str = "weir.writer";
const PREVIOUS: &str = "weir.previous";
const CAUSE: &str = "weir.cause";

impl Footer {
    /// The key that this footer's file has.
    pub fn key(&self) -> String {
        self.chain.key(&self.dt, self.first)
    }

    /// Everything but other programs' key/values, in a fixed order.
    pub fn to_key_values(&self) -> Vec<(String, String)> {
        let sources = serde_json::to_string(&self.sources).expect("a map of strings and numbers is always JSON");
        let mut out = vec![
            (VERSION, self.version.to_string()),
            (TABLE, self.chain.table.clone()),
            (ORIGIN, self.chain.origin.clone()),
            (GENERATION, self.chain.generation.to_string()),
            (PARTITION, self.chain.partition.to_string()),
            (TOPIC_ID, self.topic_id.clone()),
            (FIRST, self.first.to_string()),
            (NEXT, self.next.to_string()),
            (ROWS, self.rows.to_string()),
            (QUARANTINED, self.quarantined.to_string()),
            (DT, self.dt.to_string()),
            (CREATED, self.created_ms.to_string()),
            (MIN_TIMESTAMP, self.min_timestamp_ms.to_string()),
            (MAX_TIMESTAMP, self.max_timestamp_ms.to_string()),
            (SCHEMA, self.schema.to_string()),
            (SOURCES, sources),
            (CONSUMED, self.totals.consumed.to_string()),
            (STORED, self.totals.stored.to_string()),
            (RESENT, self.totals.resent.to_string()),
            (LAST_HASH, self.last_hash.clone()),
            (WRITER, self.writer.clone()),
        ];
        out.extend(self.previous.clone().map(|key| (PREVIOUS, key)));
        out.extend(self.cause.map(|cause| (CAUSE, cause.word().to_owned())));
        out.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Reads the `weir.*` key/values back; others are ignored, an unknown version is refused before anything else is looked at.
    pub fn from_key_values<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Footer, FooterError>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let found = Found(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect());
        let version: u32 = found.number(VERSION)?;
        if version != FOOTER_VERSION {
            return Err(FooterError::Version(version));
        }
        let sources = found.text(SOURCES)?;
        Ok(Footer {
            version,
            chain: ChainId {
                table: found.text(TABLE)?,
                origin: found.text(ORIGIN)?,
                generation: found.number(GENERATION)?,
                partition: found.number(PARTITION)?,
            },
            topic_id: found.text(TOPIC_ID)?,
            first: found.number(FIRST)?,
            next: found.number(NEXT)?,
            rows: found.number(ROWS)?,
            quarantined: found.number(QUARANTINED)?,
            dt: Dt::try_from(found.text(DT)?).map_err(|_| found.bad(DT, "ingest date"))?,
            created_ms: found.number(CREATED)?,
            min_timestamp_ms: found.number(MIN_TIMESTAMP)?,
            max_timestamp_ms: found.number(MAX_TIMESTAMP)?,
            schema: found.number(SCHEMA)?,
            sources: serde_json::from_str(&sources).map_err(|_| found.bad(SOURCES, "map of interval sets"))?,
            totals: Totals {
                consumed: found.number(CONSUMED)?,
                stored: found.number(STORED)?,
                resent: found.number(RESENT)?,
            },
            last_hash: found.text(LAST_HASH)?,
            writer: found.text(WRITER)?,
            previous: found.0.get(PREVIOUS).cloned(),
            // A word of a later version is none of ours.
            cause: found.0.get(CAUSE).and_then(|word| Cause::from_word(word)),
        })
    }
}

struct Found(HashMap<String, String>);

impl Found {
    fn text(&self, key: &'static str) -> Result<String, FooterError> {
        self.0.get(key).cloned().ok_or(FooterError::Missing(key))
    }

    fn number<N: std::str::FromStr>(&self, key: &'static str) -> Result<N, FooterError> {
        self.text(key)?.parse().map_err(|_| self.bad(key, "number that fits"))
    }

    fn bad(&self, key: &'static str, wanted: &'static str) -> FooterError {
        let mut value = self.0.get(key).cloned().unwrap_or_default();
        if let Some((end, _)) = value.char_indices().nth(80) {
            value.truncate(end);
        }
        FooterError::Bad { key, value, wanted }
    }
}

#[cfg(test)]
mod tests;
