//! One chain, footer by footer. Pure.

use std::collections::BTreeMap;

use super::{PartitionReport, Range, TableReport};
use crate::config::Partitioning;
use crate::drain::footer::{Footer, Intervals, Sources, Totals};
use crate::drain::names::{ChainId, Dt, FileName, OriginDoc};

/// What is known of a chain up to the last file that was added.
pub(super) struct Chain {
    id: ChainId,
    partitioning: Partitioning,
    topic_id: String,
    report: PartitionReport,
    /// The seqs of each source that this chain brought, without what an older generation had.
    pub(super) added: BTreeMap<String, Intervals>,
    /// What the older generations of this partition had, which this one may carry on in its footers.
    inherited: BTreeMap<String, Intervals>,
    /// The last file's footer, as far as the next one is compared with it; `None`: it could not be read.
    last: Option<Last>,
    /// Key of the last file, readable or not.
    previous: Option<String>,
}

struct Last {
    next: u64,
    dt: Dt,
    totals: Totals,
    sources: Sources,
    /// No file was added yet: `next` is the origin's start.
    is_start: bool,
}

impl Chain {
    /// Before its first file. `older`: the chain of the same partition in the generation before it.
    pub(super) fn new(doc: &OriginDoc, partition: u32, older: Option<&Chain>, report: &mut TableReport) -> Chain {
        let start = doc.start(partition);
        let mut inherited = BTreeMap::new();
        let id =
            ChainId { table: doc.table.clone(), origin: doc.origin.clone(), generation: doc.generation, partition };
        if let Some(older) = older {
            let is_same_topic = !doc.topic_id.is_empty() && doc.topic_id == older.topic_id;
            let (end, from) = (older.report.next, older.id.to_string());
            // A generation begins below the end of the one before it only where the source holds other records there: a log that was copied or
            // restored, a topic that was made again under its name. Which rows these are their sources tell, and rows that are stored twice show
            // there. But a file that came late, when the generation had begun, may hold rows that the generation has too.
            let is_log = doc.topic_id == doc.origin;
            let came_late = doc.ended.get(&partition).is_none_or(|seen| end > *seen);
            if is_same_topic && start < end && older.report.files > 0 && came_late && !is_log {
                report.overlaps.push(Range::new(&id, start.max(older.report.first), end));
            } else if is_same_topic && start < end && older.report.files > 0 {
                report.notes.push(format!(
                    "{id} starts at offset {start}, {from} ended at {end}: the topic was made again, or the data_dir was copied or restored"
                ));
            } else if is_same_topic && start > end {
                report.notes.push(format!(
                    "{id} starts at offset {start}, {from} ended at {end}: what lies between was given up"
                ));
            }
            inherited.clone_from(&older.inherited);
            for (source, seqs) in &older.added {
                inherited.entry(source.clone()).or_default().insert_all(seqs);
            }
        }
        Chain {
            id,
            partitioning: doc.partitioning,
            topic_id: doc.topic_id.clone(),
            report: PartitionReport { first: start, next: start, ..PartitionReport::default() },
            added: BTreeMap::new(),
            inherited,
            last: Some(Last {
                next: start,
                dt: Dt::default(),
                totals: Totals::default(),
                sources: Sources::new(),
                is_start: true,
            }),
            previous: None,
        }
    }

    pub(super) fn add(&mut self, file: &FileName, footer: &Footer, report: &mut TableReport) {
        let key = file.chain.key(&file.dt, file.first);
        let mut wrong: Vec<String> = Vec::new();
        if footer.key() != key {
            wrong.push(format!("its footer says that it is `{}`", footer.key()));
        }
        if !self.topic_id.is_empty() && !footer.topic_id.is_empty() && footer.topic_id != self.topic_id {
            wrong.push(format!("it comes from topic id `{}`, its origin is `{}`", footer.topic_id, self.topic_id));
        }
        if !fits(&file.dt, self.partitioning) {
            wrong.push("its folder is not of the table's partitioning".to_owned());
        }
        if footer.next <= footer.first {
            wrong.push(format!("it goes from offset {} to {}", footer.first, footer.next));
        } else if footer.rows > footer.next - footer.first {
            wrong.push(format!("it says {} rows of {} offsets", footer.rows, footer.next - footer.first));
        }
        if footer.quarantined > footer.rows {
            wrong.push(format!("it says {} quarantined rows of {}", footer.quarantined, footer.rows));
        }
        let totals = footer.totals;
        if totals.stored.checked_add(totals.resent) != Some(totals.consumed) {
            wrong.push(format!(
                "consumed {} is not stored {} + resent {}",
                totals.consumed, totals.stored, totals.resent
            ));
        }
        if footer.previous != self.previous {
            let name = |key: &Option<String>| key.clone().unwrap_or_else(|| "none".to_owned());
            wrong.push(format!(
                "it names `{}` as the file before it, and that is `{}`",
                name(&footer.previous),
                name(&self.previous)
            ));
        }
        if let Some(last) = &self.last {
            wrong.extend(self.follows(last, file, footer, report));
        }
        self.join_sources(footer, &mut wrong, report);
        report.problems.extend(wrong.into_iter().map(|what| format!("`{key}`: {what}")));

        report.files += 1;
        report.rows = report.rows.saturating_add(footer.rows);
        report.quarantined = report.quarantined.saturating_add(footer.quarantined);
        self.report.count(footer);
        self.last = Some(Last {
            next: footer.next.max(self.last.as_ref().map_or(0, |last| last.next)),
            dt: footer.dt.clone(),
            totals,
            sources: footer.sources.clone(),
            is_start: false,
        });
        self.previous = Some(key);
    }

    /// A file whose footer cannot be read: it stands for its offsets, whatever they are.
    pub(super) fn skip(&mut self, file: &FileName, why: String, report: &mut TableReport) {
        report.files += 1;
        report.problems.push(why);
        self.report.files += 1;
        self.last = None;
        self.previous = Some(file.chain.key(&file.dt, file.first));
    }

    pub(super) fn end(&self, report: &mut TableReport) {
        report.partitions.insert(self.id.to_string(), self.report.clone());
    }

    /// What is wrong between the last file and this one.
    fn follows(&self, last: &Last, file: &FileName, footer: &Footer, report: &mut TableReport) -> Vec<String> {
        let mut wrong = Vec::new();
        if file.first > last.next {
            report.gaps.push(Range::new(&self.id, last.next, file.first));
        } else if file.first < last.next {
            report.overlaps.push(Range::new(&self.id, file.first, last.next.min(footer.next.max(file.first))));
        }
        if file.dt < last.dt {
            wrong.push(format!("its date {} is before {}, the file's before it", file.dt, last.dt));
        }
        let (before, now) = (last.totals, footer.totals);
        // A later generation may go on counting where the one before it ended.
        let may_start_anywhere = last.is_start && self.id.generation > 1;
        let stored = now.stored.checked_sub(before.stored);
        if stored != Some(footer.rows) && !(may_start_anywhere && stored >= Some(footer.rows)) {
            wrong.push(format!("stored went from {} to {} with {} rows", before.stored, now.stored, footer.rows));
        }
        if now.resent < before.resent {
            wrong.push(format!("resent went back from {} to {}", before.resent, now.resent));
        }
        wrong
    }

    /// Adds the seqs that the footer has and the last one had not; those that the chain had long before are rows stored twice.
    fn join_sources(&mut self, footer: &Footer, wrong: &mut Vec<String>, report: &mut TableReport) {
        for (source, seen) in footer.sources.iter() {
            let mut new = seen.seqs.clone();
            if let Some(had) = self.last.as_ref().and_then(|last| last.sources.get(source)) {
                let lost = had.seqs.difference(&seen.seqs).count();
                if lost > 0 {
                    wrong.push(format!("it forgot {lost} rows of source {source} that the file before it knew"));
                }
                new = new.difference(&had.seqs);
            } else if self.last.is_none() {
                // Behind an unreadable file nobody knows what is new in this one.
                new = self.added.get(source).map_or(new.clone(), |known| new.difference(known));
            } else if let Some(inherited) = self.inherited.get(source) {
                new = new.difference(inherited);
            }
            let known = self.added.entry(source.to_owned()).or_default();
            report.duplicates += known.intersection(&new).count();
            known.insert_all(&new);
        }
    }
}

fn fits(dt: &Dt, partitioning: Partitioning) -> bool {
    match partitioning {
        Partitioning::None => dt.as_str().is_empty(),
        Partitioning::Day => dt.as_str().len() == "2026-11-25".len(),
        Partitioning::Hour => dt.as_str().len() == "2026-11-25/07".len(),
    }
}
