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

/// A create may still be on its way this long after the newest file: the network gives up on an unanswered one by then, and a drain that was
/// cut off or stopped still has to look at the generation before it creates.
pub(super) const QUIET: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Too young: to be asked again after that time, if nothing newer has come by then.
    #[error(
        "{table}: `{key}` was stored {} min ago: a file of the same chain may still be on its way. Keep every drain of it stopped, and wait \
         {} min more",
        age.as_secs() / 60,
        left.as_secs().div_ceil(60)
    )]
    Young { table: String, key: String, age: Duration, left: Duration },
    /// A chain that has records and no file, in a store where a create may come late: to be asked again after that time.
    #[error(
        "{table}: partition {partition} has no file yet, and its first one may still be on its way. Keep every drain of it stopped, and wait \
         {} min more",
        left.as_secs().div_ceil(60)
    )]
    NoFileYet { table: String, partition: u32, left: Duration },
    #[error(
        "{table}: `{key}` was stored just now: another drain is at work. Nothing was changed. Stop it, and ask again"
    )]
    Busy { table: String, key: String },
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

/// The time, by two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Milliseconds since the epoch; may be wrong.
    pub wall_ms: i64,
    /// Since anything, as long as it is the same in all calls; goes on evenly.
    pub even: Duration,
}

/// The newest files of one origin's partitions as they were seen, and since when: a file that was watched long enough is old, whatever the clocks say.
#[derive(Debug, Default)]
pub struct Watch(BTreeMap<u32, (String, Duration)>);

impl Watch {
    /// How long this has been the newest file.
    fn look(&mut self, table: &str, partition: u32, key: &str, now: Now) -> Result<Duration, GenerationError> {
        let (seen, since) = self.0.entry(partition).or_insert_with(|| (key.to_owned(), now.even));
        if seen != key {
            return Err(GenerationError::Busy { table: table.to_owned(), key: key.to_owned() });
        }
        Ok(now.even.saturating_sub(*since))
    }
}

/// Begins the next generation of one origin: `partitions` are all of its partitions, as `source` assigned them. Each new chain begins where the old
/// one ended if the source still agrees with that, else where the source begins.
pub fn begin(
    store: &dyn Store,
    source: &mut dyn Source,
    partitions: &[(PartitionId, Bounds)],
    partitioning: Partitioning,
    now: Now,
    watch: &mut Watch,
) -> Result<Option<OriginDoc>, GenerationError> {
    let Some((PartitionId { topic, origin, .. }, bounds)) = partitions.first() else { return Ok(None) };
    let old = pin::origin(store, topic, origin)?;
    let mut starts = BTreeMap::new();
    let mut ended = BTreeMap::new();
    let mut waits = Vec::new();
    for (id, bounds) in partitions {
        let found = match &old {
            Some(doc) => newest(store, source, id, doc)?,
            None => None,
        };
        if let Some(doc) = old.as_ref().filter(|_| found.is_none() && store.creates_late()) {
            let from = doc.start(id.partition).max(bounds.start);
            let left = QUIET.saturating_sub(watch.look(topic, id.partition, "", now)?);
            if bounds.end > from && left > Duration::ZERO {
                waits.push((
                    left,
                    GenerationError::NoFileYet { table: topic.to_string(), partition: id.partition, left },
                ));
            }
        }
        if let Some(Found { key, footer, .. }) = &found {
            ended.insert(id.partition, footer.next);
            // Nobody else creates in a folder what comes from a log whose lock we hold.
            let may_come_late = store.creates_late() || !source.is_own_log();
            if may_come_late {
                let watched = watch.look(topic, id.partition, key, now)?;
                if let Some((age, left)) = young(footer.created_ms, now.wall_ms, watched) {
                    let (table, key) = (topic.to_string(), key.clone());
                    waits.push((left, GenerationError::Young { table, key, age, left }));
                }
            }
        }
        starts.insert(id.partition, start(found.as_ref(), bounds, old.as_ref()));
    }
    if let Some((_, longest)) = waits.into_iter().max_by_key(|(left, _)| *left) {
        return Err(longest);
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
        ended,
        created_ms: now.wall_ms,
    };
    create(store, doc).map(Some)
}

/// Begins chains of a log at its cursors, in a root where nobody else drains it: it went elsewhere until now, and all that is below `starts` is stored
/// there. One that began there already and has no file yet is accepted: a start that died, or one that was taken back.
pub fn begin_at(
    store: &dyn Store,
    table: &str,
    origin: &str,
    starts: BTreeMap<u32, u64>,
    partitioning: Partitioning,
    now_ms: i64,
) -> Result<(), GenerationError> {
    let old = pin::origin(store, table, origin)?;
    if let Some(doc) = &old {
        let mut is_new = doc.starts == starts;
        for partition in starts.keys() {
            let OriginDoc { table, origin, generation, .. } = doc.clone();
            let chain = ChainId { table, origin, generation, partition: *partition };
            is_new = is_new && newest_file(store, &chain, doc.partitioning)?.is_none();
        }
        if is_new {
            return Ok(());
        }
    }
    let generation = old.map_or(1, |doc| doc.generation + 1);
    let (table, origin) = (table.to_owned(), origin.to_owned());
    let topic_id = origin.clone();
    create(
        store,
        OriginDoc {
            version: ORIGIN_VERSION,
            table,
            origin,
            generation,
            partitioning,
            topic_id,
            starts,
            ended: BTreeMap::new(),
            created_ms: now_ms,
        },
    )?;
    Ok(())
}

/// Creates the document of a generation that nobody has begun.
fn create(store: &dyn Store, doc: OriginDoc) -> Result<OriginDoc, GenerationError> {
    let created = pin::create_origin(store, doc.clone())?;
    if created == doc {
        return Ok(created);
    }
    Err(GenerationError::Overtaken { table: doc.table, origin: doc.origin, generation: created.generation })
}

/// How old a file is at least that is too young, and how long to wait. By the clocks, or by how long it was watched: a clock may be wrong.
fn young(created_ms: i64, now_ms: i64, watched: Duration) -> Option<(Duration, Duration)> {
    let age = Duration::from_millis(u64::try_from(now_ms.saturating_sub(created_ms)).unwrap_or(0)).max(watched);
    (age < QUIET).then(|| (age, QUIET - age))
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
            ended: BTreeMap::new(),
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
            cause: None,
        };
        Found { key: footer.key(), footer, last_here: LastHere::Hash(last_here.to_owned()) }
    }

    #[test]
    fn a_file_is_old_enough_by_the_clocks_or_by_being_watched() {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        assert_eq!(young(0, 15 * 60_000, Duration::ZERO), None);
        assert_eq!(young(0, 4 * 60_000, Duration::ZERO), Some((minutes(4), minutes(11))));
        assert_eq!(young(0, 4 * 60_000, minutes(9)), Some((minutes(9), minutes(6))));
        // Its writer's clock was years ahead, or the own one was put back.
        assert_eq!(young(i64::MAX, 0, Duration::ZERO), Some((Duration::ZERO, QUIET)));
        assert_eq!(young(i64::MAX, 0, QUIET), None);
        assert_eq!(young(i64::MIN, i64::MAX, Duration::ZERO), None);
    }

    #[test]
    fn what_is_stored_while_it_is_watched_was_stored_by_another() {
        let now = |even: u64| Now { wall_ms: 0, even: Duration::from_secs(even) };
        let mut watch = Watch::default();
        let mut look = |partition, key, at| watch.look("t", partition, key, now(at)).map(|watched| watched.as_secs());
        assert_eq!((look(0, "a", 5).unwrap(), look(1, "b", 6).unwrap()), (0, 0));
        assert_eq!((look(0, "a", 9).unwrap(), look(1, "b", 9).unwrap()), (4, 3));
        assert!(matches!(look(1, "c", 10), Err(GenerationError::Busy { .. })));
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
