//! Names of the drain's objects. A file's key is a pure function of its chain, its ingest date and its first offset:
//! no clock, host, random number or configuration enters it, so two writers of one range meet at one key.
//!
//! ```text
//! churn/dt=2026-11-25/churn.g01-p0003-00000000000000120000.parquet
//! churn/_weir/origins/churn.g01.json
//! churn/_weir/schema/3.json
//! ```

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use crate::config::Partitioning;

/// Ending of every data file; nothing else under a store's root has it.
pub const PARQUET: &str = ".parquet";

/// Version of [`OriginDoc`] that this program writes, and the only one it reads.
pub const ORIGIN_VERSION: u32 = 1;

/// One chain of files: one partition (or log lane) of one generation of one origin, in one table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChainId {
    /// The topic's name; the first folder below the root.
    pub table: String,
    /// The topic's name again (Kafka), or the log's UUID.
    pub origin: String,
    /// From 1.
    pub generation: u32,
    /// Kafka's partition, or the log's lane.
    pub partition: u32,
}

impl ChainId {
    /// The key of the file whose first offset is `first`. Within a chain, the order of keys is the order of the files.
    pub fn key(&self, dt: &Dt, first: u64) -> String {
        let folder = self.folder(dt);
        format!("{folder}{}{first:020}{PARQUET}", self.file_prefix())
    }

    /// The folder of one date, with its slash: where to list this chain's files of that date.
    pub fn folder(&self, dt: &Dt) -> String {
        match dt.folder() {
            folder if folder.is_empty() => format!("{}/", self.table),
            folder => format!("{}/{folder}/", self.table),
        }
    }

    /// What the file names of this chain start with. To list by; [`parse_key`] says whose a listed key is.
    pub fn file_prefix(&self) -> String {
        format!("{self}-")
    }
}

/// `<origin>.g01-p0000`: how `verify`, `status` and the log lines name a chain within its table.
impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.g{:02}-p{:04}", self.origin, self.generation, self.partition)
    }
}

/// 9999-01-01, inside jiff's range in any case: later timestamps have this date.
const LAST_MS: i64 = 253_370_764_800_000;

/// An ingest date (UTC): `2026-11-25`, `2026-11-25/07` with its hour, or empty where a table is not partitioned.
/// The order is the order of time, among values of one partitioning.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Dt(String);

impl Dt {
    /// The date of a broker or log timestamp in milliseconds since the epoch. Timestamps before 1970 (Kafka's -1: none)
    /// count as 1970, those after 9999 as 9999, so that every date has the same width.
    pub fn of(timestamp_ms: i64, partitioning: Partitioning) -> Dt {
        if partitioning == Partitioning::None {
            return Dt(String::new());
        }
        let at = Timestamp::from_millisecond(timestamp_ms.clamp(0, LAST_MS)).unwrap_or(Timestamp::UNIX_EPOCH);
        let at = Offset::UTC.to_datetime(at);
        let (year, month, day) = (at.year(), at.month(), at.day());
        match partitioning {
            Partitioning::Hour => Dt(format!("{year:04}-{month:02}-{day:02}/{:02}", at.hour())),
            Partitioning::Day | Partitioning::None => Dt(format!("{year:04}-{month:02}-{day:02}")),
        }
    }

    /// The first timestamp whose date is after this one's: cheaper to compare with than a date made of every message.
    pub fn until(timestamp_ms: i64, partitioning: Partitioning) -> i64 {
        let length_ms = match partitioning {
            Partitioning::None => return i64::MAX,
            Partitioning::Day => 24 * 3_600_000,
            Partitioning::Hour => 3_600_000,
        };
        match timestamp_ms.max(0) {
            clamped if clamped >= LAST_MS => i64::MAX,
            clamped => (clamped / length_ms + 1) * length_ms,
        }
    }

    /// The folders of it below the table's: `dt=2026-11-25`, `dt=2026-11-25/hour=07`, or empty. No slash at either end.
    pub fn folder(&self) -> String {
        match self.0.split_once('/') {
            Some((day, hour)) => format!("dt={day}/hour={hour}"),
            None if self.0.is_empty() => String::new(),
            None => format!("dt={}", self.0),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Dt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Dt> for String {
    fn from(dt: Dt) -> String {
        dt.0
    }
}

impl TryFrom<String> for Dt {
    type Error = String;

    fn try_from(text: String) -> Result<Dt, String> {
        let (day, hour) = match text.split_once('/') {
            Some((day, hour)) => (day, Some(hour)),
            None => (text.as_str(), None),
        };
        let day_is_one = day.len() == 10
            && day.bytes().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
        let hour_is_one = hour.is_none_or(|h| h.len() == 2 && h.bytes().all(|b| b.is_ascii_digit()));
        if text.is_empty() || (day_is_one && hour_is_one) {
            Ok(Dt(text))
        } else {
            Err(format!("`{text}` is no ingest date"))
        }
    }
}

/// What a data file's key says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName {
    pub chain: ChainId,
    pub dt: Dt,
    pub first: u64,
}

/// Reads a data file's key; `None` for every key that [`ChainId::key`] would not have made.
pub fn parse_key(key: &str) -> Option<FileName> {
    let (table, below) = key.split_once('/')?;
    let (folder, name) = below.rsplit_once('/').unwrap_or(("", below));
    let dt = match folder.split_once('/') {
        None if folder.is_empty() => String::new(),
        None => folder.strip_prefix("dt=")?.to_owned(),
        Some((day, hour)) => format!("{}/{}", day.strip_prefix("dt=")?, hour.strip_prefix("hour=")?),
    };
    let (rest, first) = name.strip_suffix(PARQUET)?.rsplit_once('-')?;
    let (rest, partition) = rest.rsplit_once("-p")?;
    let (origin, generation) = rest.rsplit_once(".g")?;
    let chain = ChainId {
        table: table.to_owned(),
        origin: origin.to_owned(),
        generation: generation.parse().ok()?,
        partition: partition.parse().ok()?,
    };
    let file = FileName { chain, dt: Dt::try_from(dt).ok()?, first: first.parse().ok()? };
    // Signs, missing zeros and empty names end here.
    let canonical = !table.is_empty() && !origin.is_empty() && file.chain.key(&file.dt, file.first) == key;
    canonical.then_some(file)
}

/// The document that starts a generation of an origin in a table: created once, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginDoc {
    /// [`ORIGIN_VERSION`].
    pub version: u32,
    pub table: String,
    pub origin: String,
    pub generation: u32,
    pub partitioning: Partitioning,
    /// Kafka's topic id where known, a log's UUID otherwise.
    pub topic_id: String,
    /// First offset of each partition's chain; a partition that is not here (made later) starts at 0.
    pub starts: BTreeMap<u32, u64>,
    /// Where the chains of the generation before it ended when this one began, of those that had a file: what came later came late.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ended: BTreeMap<u32, u64>,
    pub created_ms: i64,
}

impl OriginDoc {
    /// Where the chain of `partition` starts.
    pub fn start(&self, partition: u32) -> u64 {
        self.starts.get(&partition).copied().unwrap_or(0)
    }

    pub fn key(&self) -> String {
        origin_key(&self.table, &self.origin, self.generation)
    }
}

/// `<table>/_weir/origins/`: a table is a folder that has it.
pub fn origins_prefix(table: &str) -> String {
    format!("{table}/_weir/origins/")
}

/// The key of an [`OriginDoc`].
pub fn origin_key(table: &str, origin: &str, generation: u32) -> String {
    format!("{}{origin}.g{generation:02}.json", origins_prefix(table))
}

/// The origin and generation that the key of an [`OriginDoc`] names.
pub fn parse_origin_key(key: &str) -> Option<(String, String, u32)> {
    let (table, name) = key.split_once("/_weir/origins/")?;
    let (origin, generation) = name.strip_suffix(".json")?.rsplit_once(".g")?;
    let generation = generation.parse().ok()?;
    let canonical = !table.is_empty() && !origin.is_empty() && origin_key(table, origin, generation) == key;
    canonical.then(|| (table.to_owned(), origin.to_owned(), generation))
}

/// `<table>/_weir/schema/`.
pub fn schemas_prefix(table: &str) -> String {
    format!("{table}/_weir/schema/")
}

/// The key of a table's pinned schema number `n`, from 1.
pub fn schema_key(table: &str, n: u32) -> String {
    format!("{}{n}.json", schemas_prefix(table))
}

/// The number in a schema's key. Keys are not ordered by it: `10.json` lists before `9.json`.
pub fn parse_schema_key(key: &str) -> Option<u32> {
    let (table, name) = key.split_once("/_weir/schema/")?;
    let n = name.strip_suffix(".json")?.parse().ok()?;
    (schema_key(table, n) == key).then_some(n)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain() -> ChainId {
        ChainId { table: "churn".into(), origin: "churn".into(), generation: 1, partition: 3 }
    }

    #[test]
    fn a_key_is_what_the_design_says() {
        let dt = Dt::of(1_795_564_800_000, Partitioning::Day);
        assert_eq!(chain().key(&dt, 120_000), "churn/dt=2026-11-25/churn.g01-p0003-00000000000000120000.parquet");
        assert_eq!(chain().to_string(), "churn.g01-p0003");
        assert_eq!(origin_key("churn", "churn", 1), "churn/_weir/origins/churn.g01.json");
        assert_eq!(schema_key("churn", 7), "churn/_weir/schema/7.json");
    }

    #[test]
    fn hours_and_tables_without_dates_have_their_folders() {
        let dt = Dt::of(1_795_564_800_000 + 7 * 3_600_000, Partitioning::Hour);
        assert_eq!(dt.folder(), "dt=2026-11-25/hour=07");
        assert_eq!(dt.as_str(), "2026-11-25/07");
        let none = Dt::of(1_795_564_800_000, Partitioning::None);
        assert_eq!(none.folder(), "");
        assert_eq!(chain().key(&none, 0), "churn/churn.g01-p0003-00000000000000000000.parquet");
    }

    proptest! {
        #[test]
        fn a_date_lasts_until_the_next_one(timestamp_ms in any::<i64>(), hourly in any::<bool>()) {
            // Around our time too, not only in the far corners.
            for timestamp_ms in [timestamp_ms, timestamp_ms % LAST_MS, timestamp_ms % LAST_MS / 3_600_000 * 3_600_000] {
                let partitioning = if hourly { Partitioning::Hour } else { Partitioning::Day };
                let (dt, until) = (Dt::of(timestamp_ms, partitioning), Dt::until(timestamp_ms, partitioning));
                prop_assert!(timestamp_ms < until || until == i64::MAX);
                prop_assert_eq!(&Dt::of(until - 1, partitioning), &dt);
                prop_assert!(until == i64::MAX || Dt::of(until, partitioning) > dt);
            }
        }
    }

    #[test]
    fn a_broken_clock_still_gives_a_date() {
        assert_eq!(Dt::of(-1, Partitioning::Day).as_str(), "1970-01-01");
        assert_eq!(Dt::of(i64::MIN, Partitioning::Hour).as_str(), "1970-01-01/00");
        assert_eq!(Dt::of(i64::MAX, Partitioning::Day).as_str(), "9999-01-01");
    }

    #[test]
    fn keys_that_are_not_ours_are_not_read() {
        for key in [
            "churn/dt=2026-11-25/part-0000.parquet",
            "churn/dt=2026-11-25/churn.g1-p0003-00000000000000120000.parquet",
            "churn/dt=2026-11-25/churn.g01-p3-00000000000000120000.parquet",
            "churn/dt=2026-11-25/churn.g01-p0003-120000.parquet",
            "churn/dt=2026-11-25/churn.g01-p0003-+0000000000000120000.parquet",
            "churn/dt=2026-11-25/.g01-p0003-00000000000000120000.parquet",
            "churn/dt=soon/churn.g01-p0003-00000000000000120000.parquet",
            "churn/x/dt=2026-11-25/churn.g01-p0003-00000000000000120000.parquet",
            "churn.g01-p0003-00000000000000120000.parquet",
            "/churn.g01-p0003-00000000000000120000.parquet",
            "",
        ] {
            assert_eq!(parse_key(key), None, "{key}");
        }
    }

    #[test]
    fn an_origin_document_is_plain_json() {
        let doc = OriginDoc {
            version: ORIGIN_VERSION,
            table: "churn".into(),
            origin: "churn".into(),
            generation: 1,
            partitioning: Partitioning::Day,
            topic_id: "t".into(),
            starts: BTreeMap::from([(0, 5), (12, 0)]),
            ended: BTreeMap::new(),
            created_ms: 7,
        };
        let json = serde_json::to_string(&doc).unwrap();
        assert!(json.contains(r#""partitioning":"day""#) && json.contains(r#""starts":{"0":5,"12":0}"#), "{json}");
        assert_eq!(serde_json::from_str::<OriginDoc>(&json).unwrap(), doc);
        assert_eq!((doc.start(0), doc.start(3)), (5, 0));
    }

    fn name() -> impl Strategy<Value = String> {
        // Names that look like the parts around them are the interesting ones.
        prop_oneof![
            "[A-Za-z0-9._-]{1,20}",
            Just("a.g01-p0001-0".to_owned()),
            Just("x.g2".to_owned()),
            Just("-p".to_owned())
        ]
    }

    proptest! {
        #[test]
        fn every_key_is_read_back(table in name(), origin in name(), generation in 1u32.., partition: u32, first: u64, ms: i64) {
            for p in [Partitioning::Day, Partitioning::Hour, Partitioning::None] {
                let file = FileName {
                    chain: ChainId { table: table.clone(), origin: origin.clone(), generation, partition },
                    dt: Dt::of(ms, p),
                    first,
                };
                prop_assert_eq!(parse_key(&file.chain.key(&file.dt, first)), Some(file));
            }
            let key = origin_key(&table, &origin, generation);
            prop_assert_eq!(parse_origin_key(&key), Some((table.clone(), origin, generation)));
            prop_assert_eq!(parse_schema_key(&schema_key(&table, partition)), Some(partition));
        }

        #[test]
        fn the_order_of_keys_is_the_order_of_the_chain(a in 0i64..4_000_000_000_000, b in 0i64..4_000_000_000_000, first: u64, next: u64) {
            let (a, b) = (a.min(b), a.max(b));
            let (first, next) = (first.min(next), first.max(next));
            for p in [Partitioning::Day, Partitioning::Hour] {
                prop_assert!(Dt::of(a, p) <= Dt::of(b, p));
                prop_assert!(chain().key(&Dt::of(a, p), first) <= chain().key(&Dt::of(b, p), next));
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,60}") {
            prop_assert!(parse_key(&text).is_none_or(|file| file.chain.key(&file.dt, file.first) == text));
            prop_assert!(Dt::try_from(text.clone()).is_ok() || !text.is_empty());
            prop_assert!(parse_origin_key(&text).is_none() && parse_schema_key(&text).is_none());
        }
    }
}
