//! A new generation of an origin: the way on after a refusal (design D8), and to another partitioning. The old files stay; new chains begin beside them.
//!
//! Who calls has made sure that nobody drains this origin meanwhile: it holds the log's lock, or the consumer group has no members.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chain::{Found, LastHere};
use super::footer::Footer;
use super::jobs::newest_file;
use super::names::{ChainId, ORIGIN_VERSION, OriginDoc};
use super::pin::{self, PinError};
use super::store::{self, Store};
use crate::config::Partitioning;
use crate::source::{Bounds, PartitionId, Source, SourceError};

/// A create may still be on its way this long after the newest file.
const QUIET: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(
        "{table}: `{key}` is {minutes} min old: another drain may still be at work. Stop it, wait until its newest file is 15 min old, and \
         ask again"
    )]
    Young { table: String, key: String, minutes: i64 },
    #[error(
        "{table}: somebody else began generation {generation} of {origin} meanwhile: look at what it is before you begin another"
    )]
    Overtaken { table: String, origin: String, generation: u32 },
}

impl From<store::StoreError> for GenerationError {
    fn from(error: store::StoreError) -> GenerationError {
        GenerationError::Pin(error.into())
    }
}

/// Begins the next generation of one origin: `partitions` are all of its partitions, as `source` assigned them. Each new chain begins where the old
/// one ended if the source still agrees with that, else where the source begins.
pub fn begin(
    store: &dyn Store,
    source: &mut dyn Source,
    partitions: &[(PartitionId, Bounds)],
    partitioning: Partitioning,
    now_ms: i64,
) -> Result<Option<OriginDoc>, GenerationError> {
    let Some((PartitionId { topic, origin, .. }, bounds)) = partitions.first() else { return Ok(None) };
    let old = pin::origin(store, topic, origin)?;
    let mut starts = BTreeMap::new();
    for (id, bounds) in partitions {
        let found = match &old {
            Some(doc) => newest(store, source, id, doc)?,
            None => None,
        };
        if let Some(Found { key, footer, .. }) = &found {
            let age_ms = now_ms.saturating_sub(footer.created_ms);
            if age_ms < i64::try_from(QUIET.as_millis()).unwrap_or(i64::MAX) {
                return Err(GenerationError::Young {
                    table: topic.to_string(),
                    key: key.clone(),
                    minutes: age_ms.max(0) / 60_000,
                });
            }
        }
        starts.insert(id.partition, start(found.as_ref(), bounds, old.as_ref()));
    }
    let generation = old.as_ref().map_or(1, |doc| doc.generation + 1);
    let doc = OriginDoc {
        version: ORIGIN_VERSION,
        table: topic.to_string(),
        origin: origin.to_string(),
        generation,
        partitioning,
        topic_id: bounds.topic_id.clone(),
        starts,
        created_ms: now_ms,
    };
    let created = pin::create_origin(store, doc.clone())?;
    if created != doc {
        return Err(GenerationError::Overtaken {
            table: doc.table,
            origin: doc.origin,
            generation: created.generation,
        });
    }
    Ok(Some(created))
}

fn newest(
    store: &dyn Store,
    source: &mut dyn Source,
    id: &PartitionId,
    doc: &OriginDoc,
) -> Result<Option<Found>, GenerationError> {
    let chain = ChainId {
        table: doc.table.clone(),
        origin: doc.origin.clone(),
        generation: doc.generation,
        partition: id.partition,
    };
    let Some(key) = newest_file(store, &chain, doc.partitioning)? else { return Ok(None) };
    let Some(footer) = store::read_footer(store, &key)? else { return Ok(None) };
    let last_here = LastHere::from(&source.record_before(id, footer.next)?);
    Ok(Some(Found { key, footer, last_here }))
}

/// The old head where the source goes on from it; of rows whose files are gone, those that were acknowledged are not stored again.
fn start(found: Option<&Found>, bounds: &Bounds, old: Option<&OriginDoc>) -> u64 {
    let same = |stored: &str| stored.is_empty() || bounds.topic_id.is_empty() || stored == bounds.topic_id;
    let continued = match found {
        Some(Found { footer: Footer { next, topic_id, last_hash, .. }, last_here, .. }) => {
            (last_here.may_be(last_hash) && same(topic_id)).then_some(*next)
        }
        None => old.is_none_or(|doc| same(&doc.topic_id)).then_some(bounds.start),
    };
    let acknowledged = continued.map_or(0, |next| next.max(bounds.hint.unwrap_or(0)));
    if acknowledged > bounds.end { bounds.start } else { acknowledged.max(bounds.start) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(start: u64, end: u64, topic_id: &str, hint: Option<u64>) -> Bounds {
        Bounds { start, end, topic_id: topic_id.into(), hint }
    }

    fn doc() -> OriginDoc {
        OriginDoc {
            version: ORIGIN_VERSION,
            table: "t".into(),
            origin: "o".into(),
            generation: 1,
            partitioning: Partitioning::Day,
            topic_id: "id-1".into(),
            starts: BTreeMap::new(),
            created_ms: 0,
        }
    }

    fn found(next: u64, last_here: &str) -> Found {
        let footer = Footer {
            version: super::super::footer::FOOTER_VERSION,
            chain: ChainId { table: "t".into(), origin: "o".into(), generation: 1, partition: 0 },
            topic_id: "id-1".into(),
            first: 0,
            next,
            rows: next,
            quarantined: 0,
            dt: super::super::names::Dt::of(0, Partitioning::Day),
            created_ms: 0,
            min_timestamp_ms: 0,
            max_timestamp_ms: 0,
            schema: 1,
            sources: Default::default(),
            totals: Default::default(),
            last_hash: "hash".into(),
            writer: "w".into(),
            previous: None,
        };
        Found { key: footer.key(), footer, last_here: LastHere::Hash(last_here.to_owned()) }
    }

    #[test]
    fn a_new_chain_begins_where_the_old_one_ended_or_where_the_source_begins() {
        let doc = doc();
        let at = |found: Option<&Found>, bounds: Bounds| start(found, &bounds, Some(&doc));
        let head = found(100, "hash");
        assert_eq!(at(Some(&head), bounds(0, 500, "id-1", None)), 100, "another partitioning");
        assert_eq!(at(Some(&head), bounds(120, 500, "id-1", None)), 120, "retention passed the head");
        assert_eq!(at(Some(&head), bounds(0, 50, "id-1", None)), 0, "made again, and shorter");
        assert_eq!(at(Some(&head), bounds(3, 500, "id-2", None)), 3, "made again, and longer");
        assert_eq!(at(Some(&found(100, "other")), bounds(5, 500, "id-1", None)), 5, "another record stands there");
        assert_eq!(
            at(Some(&head), bounds(0, 500, "id-1", Some(130))),
            130,
            "the newest files are gone: not stored again"
        );
        assert_eq!(at(None, bounds(130, 500, "id-1", Some(130))), 130, "all files are gone");
        assert_eq!(start(None, &bounds(0, 500, "id-1", Some(130)), None), 130, "the document too");
        assert_eq!(start(None, &bounds(0, 500, "id-1", None), None), 0, "nothing was ever stored");
    }
}
