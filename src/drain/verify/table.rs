//! One table's objects: which files belong to which chain, and what all chains together say of each producer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::chain::Chain;
use super::text::Count;
use super::{PartitionReport, Range, SourceReport, TableReport, with_causes};
use crate::drain::footer::{Footer, Intervals};
use crate::drain::names::{ChainId, FileName, ORIGIN_VERSION, OriginDoc, PARQUET, parse_key, parse_origin_key};
use crate::drain::store::{Listed, Store, StoreError, read_footer};

/// Footers read at once: on S3 each is one round trip.
const READERS: usize = 16;
/// Footers held at once.
const FOOTERS_MAX: usize = 256;

/// The files of a table by chain, in the order of their offsets.
pub(super) struct Contents {
    origins: BTreeMap<(String, u32), OriginDoc>,
    /// In the order in which an origin's generations follow each other, partition by partition.
    pub(super) chains: BTreeMap<(String, u32, u32), Vec<FileName>>,
    /// What was found while sorting.
    report: TableReport,
}

impl Contents {
    pub(super) fn sort(store: &dyn Store, table: &str, listed: &[Listed]) -> Result<Contents, StoreError> {
        let mut contents =
            Contents { origins: BTreeMap::new(), chains: BTreeMap::new(), report: TableReport::default() };
        for object in listed.iter().filter(|object| object.key.contains("/_weir/origins/")) {
            match read_origin(store, table, &object.key)? {
                Ok(doc) => drop(contents.origins.insert((doc.origin.clone(), doc.generation), doc)),
                Err(why) => contents.report.problems.push(format!("`{}`: {why}", object.key)),
            }
        }
        for doc in contents.origins.values() {
            for &partition in doc.starts.keys() {
                contents.chains.entry((doc.origin.clone(), partition, doc.generation)).or_default();
            }
        }
        for object in listed {
            let is_data = object.key.ends_with(PARQUET) && !object.key.split('/').any(|part| part.starts_with('_'));
            match parse_key(&object.key) {
                Some(file) if contents.origins.contains_key(&(file.chain.origin.clone(), file.chain.generation)) => {
                    let chain = (file.chain.origin.clone(), file.chain.partition, file.chain.generation);
                    contents.chains.entry(chain).or_default().push(file);
                }
                Some(_) => contents.report.strays.push(object.key.clone()),
                // A table format's own Parquet files live in folders of their own, which start with an underscore.
                None if is_data => contents.report.strays.push(object.key.clone()),
                None => {}
            }
        }
        for files in contents.chains.values_mut() {
            files.sort_unstable_by(|a, b| (a.first, &a.dt).cmp(&(b.first, &b.dt)));
        }
        Ok(contents)
    }

    /// Reads every footer and checks every chain.
    pub(super) fn check(&mut self, store: &dyn Store) -> Result<TableReport, StoreError> {
        let mut report = std::mem::take(&mut self.report);
        let mut seen: BTreeMap<String, Intervals> = BTreeMap::new();
        let mut before: Option<(&(String, u32, u32), Chain)> = None;
        for (id, files) in &self.chains {
            let doc = &self.origins[&(id.0.clone(), id.2)];
            let older = before.filter(|(older, _)| (&older.0, older.1) == (&id.0, id.1)).map(|(_, chain)| chain);
            let mut chain = Chain::new(doc, id.1, older.as_ref(), &mut report);
            for files in files.chunks(FOOTERS_MAX) {
                for (file, footer) in files.iter().zip(read_footers(store, files)) {
                    match footer {
                        Ok(Some(footer)) => chain.add(file, &footer, &mut report),
                        Ok(None) => chain.skip(file, "it was listed, and cannot be found".to_owned(), &mut report),
                        Err(error) => chain.skip(file, with_causes(&error), &mut report),
                    }
                }
            }
            chain.end(&mut report);
            for (source, seqs) in &chain.added {
                let joined = seen.entry(source.clone()).or_default();
                report.duplicates += joined.intersection(seqs).count();
                joined.insert_all(seqs);
            }
            before = Some((id, chain));
        }
        report.sources = sources(&seen);
        for (source, found) in report.sources.iter().filter(|(_, found)| found.missing > 0) {
            let rows = Count(found.missing, "row");
            report.notes.push(format!("not here, or not yet: {rows} of source {source}"));
        }
        Ok(report)
    }
}

impl PartitionReport {
    /// Adds one file of this chain.
    pub(super) fn count(&mut self, footer: &Footer) {
        self.files += 1;
        self.rows = self.rows.saturating_add(footer.rows);
        self.quarantined = self.quarantined.saturating_add(footer.quarantined);
        self.resent = footer.totals.resent;
        self.next = self.next.max(footer.next);
    }
}

impl Range {
    pub(super) fn new(chain: &ChainId, from: u64, to: u64) -> Range {
        Range { partition: chain.to_string(), from, to }
    }
}

fn read_origin(store: &dyn Store, table: &str, key: &str) -> Result<Result<OriginDoc, String>, StoreError> {
    let Some(name) = parse_origin_key(key) else { return Ok(Err("it is no origin document's name".to_owned())) };
    let Some(bytes) = store.get(key)? else { return Ok(Err("it was listed, and cannot be found".to_owned())) };
    Ok(match serde_json::from_slice::<OriginDoc>(&bytes) {
        Err(error) => Err(format!("it is no origin document: {error}")),
        Ok(doc) if doc.version != ORIGIN_VERSION => {
            Err(format!("it has version {}, this weir reads {ORIGIN_VERSION}: use the weir that wrote it", doc.version))
        }
        Ok(doc) if (doc.table.as_str(), &doc.origin, doc.generation) != (table, &name.1, name.2) => {
            Err(format!("it says that it is `{}`", doc.key()))
        }
        Ok(doc) => Ok(doc),
    })
}

/// The footers of `files`, in their order.
fn read_footers(store: &dyn Store, files: &[FileName]) -> Vec<Result<Option<Footer>, StoreError>> {
    let at = AtomicUsize::new(0);
    let read = Mutex::new(Vec::with_capacity(files.len()));
    thread::scope(|scope| {
        for _ in 0..READERS.min(files.len()) {
            scope.spawn(|| {
                loop {
                    let i = at.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(i) else { return };
                    let footer = read_footer(store, &file.chain.key(&file.dt, file.first));
                    read.lock().unwrap_or_else(PoisonError::into_inner).push((i, footer));
                }
            });
        }
    });
    let mut read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    read.sort_unstable_by_key(|(i, _)| *i);
    read.into_iter().map(|(_, footer)| footer).collect()
}

/// Counts each source's rows, and the seqs that none has. Starts of one lane go on where the last one ended, so they are joined.
fn sources(seen: &BTreeMap<String, Intervals>) -> BTreeMap<String, SourceReport> {
    let mut lanes: BTreeMap<&str, Intervals> = BTreeMap::new();
    for (source, seqs) in seen {
        lanes.entry(lane(source)).or_default().insert_all(seqs);
    }
    let mut out: BTreeMap<String, SourceReport> = BTreeMap::new();
    for (source, seqs) in seen {
        let (first, next) =
            (seqs.iter().next().map_or(0, |(from, _)| from), seqs.iter().next_back().map_or(0, |(_, to)| to));
        // A hole is counted with the source that goes on after it.
        let holes = lanes[lane(source)].holes().filter(|&(_, end)| seqs.contains(end));
        let missing = holes.map(|(from, to)| to - from).sum();
        out.insert(source.clone(), SourceReport { rows: seqs.count(), first, next, missing });
    }
    out
}

/// `<log uuid>-<lane>` of weir's own sources, `<log uuid>-<lane>-<epoch>`; the whole text of others'.
fn lane(source: &str) -> &str {
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    match source.rsplit_once('-') {
        Some((lane, epoch)) if is_hex(epoch, 8) => match lane.rsplit_once('-') {
            Some((log, n)) if is_hex(log, 32) && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => lane,
            _ => source,
        },
        _ => source,
    }
}
