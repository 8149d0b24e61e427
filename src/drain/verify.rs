//! Proves from the footers alone that every row is in exactly one file: each chain starts where its origin does, its files
//! are adjacent, their totals add up, and no producer's row is in two of them. In: a [`Store`]. Out: a [`Report`].
//! Reads only. `deep` opens every file as well and looks at the rows themselves.
//!
//! Its limit: a chain names the file before, never the one after. The newest file of a chain cannot be missed by this proof
//! if somebody deleted it.

mod chain;
mod deep;
mod table;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::drain::names::{origins_prefix, parse_key};
use crate::drain::store::{Store, StoreError};
use crate::telemetry::with_causes;

/// What `weir verify --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// No gap, overlap, duplicate, stray or problem anywhere.
    pub ok: bool,
    pub tables: BTreeMap<String, TableReport>,
    /// What could not be looked at.
    pub problems: Vec<String>,
    /// Where it was looked: a folder, or `s3://bucket/prefix`.
    #[serde(skip)]
    pub root: String,
    /// Where the tables may be, if none is there.
    #[serde(skip)]
    pub hint: Option<String>,
}

impl Report {
    /// Nothing was proved: there is no table.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

/// One table: all chains of all origins in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    pub files: u64,
    pub rows: u64,
    /// Of `rows`.
    pub quarantined: u64,
    /// By chain: `<origin>.g01-p0000`.
    pub partitions: BTreeMap<String, PartitionReport>,
    /// By the text of the message header `source`, joined over all partitions.
    pub sources: BTreeMap<String, SourceReport>,
    pub gaps: Vec<Range>,
    pub overlaps: Vec<Range>,
    /// Rows that are there a second time.
    pub duplicates: u64,
    /// Parquet files that belong to no chain.
    pub strays: Vec<String>,
    /// Files that cannot be read, or that contradict themselves or their chain.
    pub problems: Vec<String>,
    /// Worth knowing, and no failure.
    pub notes: Vec<String>,
}

impl TableReport {
    pub fn is_ok(&self) -> bool {
        let nothing_wrong = self.gaps.is_empty() && self.overlaps.is_empty() && self.strays.is_empty();
        nothing_wrong && self.problems.is_empty() && self.duplicates == 0
    }
}

/// One chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PartitionReport {
    pub files: u64,
    pub rows: u64,
    pub quarantined: u64,
    /// Rows that were dropped because the chain held them already.
    pub resent: u64,
    /// First offset of the chain.
    pub first: u64,
    /// The offset after its last file.
    pub next: u64,
}

/// One producer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SourceReport {
    /// Its rows.
    pub rows: u64,
    /// Its lowest seq, and the one after its highest.
    pub first: u64,
    pub next: u64,
    /// Seqs that came from nowhere: not stored, or not yet.
    pub missing: u64,
}

/// Offsets of one chain, `to` not included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Range {
    pub partition: String,
    pub from: u64,
    pub to: u64,
}

/// Verifies everything below the store's root. `deep` reads every file whole, one at a time.
pub fn verify(store: &dyn Store, deep: bool) -> Report {
    let mut report =
        Report { ok: true, tables: BTreeMap::new(), problems: Vec::new(), root: store.address(), hint: None };
    if let Err(error) = verify_root(store, deep, &mut report) {
        report.problems.push(with_causes(&error));
    }
    report.ok = report.problems.is_empty() && report.tables.values().all(TableReport::is_ok);
    report
}

fn verify_root(store: &dyn Store, deep: bool, report: &mut Report) -> Result<(), StoreError> {
    let root = &report.root;
    // Below a table there are folders of files, which would all be strays.
    if !store.list(origins_prefix("").trim_start_matches('/'), None)?.is_empty() {
        report.hint = Some(format!("{root} is itself a table: name the folder that it lies in"));
        return Ok(());
    }
    let folders = store.folders("")?;
    let has_store = folders.iter().any(|folder| folder == STORE_FOLDER);
    for table in folders {
        match verify_table(store, &table, deep) {
            Ok(None) => {}
            Ok(Some(found)) => drop(report.tables.insert(table, found)),
            Err(error) => report.problems.push(with_causes(&error)),
        }
    }
    if report.tables.is_empty() && has_store {
        let below = format!("{STORE_FOLDER}/");
        for folder in store.folders(&below)? {
            if !store.list(&origins_prefix(&format!("{below}{folder}")), None)?.is_empty() {
                let root = root.trim_end_matches('/');
                report.hint = Some(format!("there are tables one level below: name {root}/{STORE_FOLDER}"));
                break;
            }
        }
    }
    Ok(())
}

/// Below a data folder, where the tables are unless `store.to` says otherwise.
const STORE_FOLDER: &str = "parquet";

/// The tables below the store's root: the folders with an origin document.
pub fn tables(store: &dyn Store) -> Result<Vec<String>, StoreError> {
    let mut tables = Vec::new();
    for folder in store.folders("")? {
        if !store.list(&origins_prefix(&folder), None)?.is_empty() {
            tables.push(folder);
        }
    }
    Ok(tables)
}

/// `None`: the folder is no table, and holds nothing that could be of one.
fn verify_table(store: &dyn Store, table: &str, deep: bool) -> Result<Option<TableReport>, StoreError> {
    // A list is not taken in one moment: a file may be missing in it whose successor is there. A second look settles it.
    const LOOKS: usize = 3;
    for look in 1.. {
        let listed = store.list(&format!("{table}/"), None)?;
        let has_origin = listed.iter().any(|object| object.key.starts_with(&format!("{table}/_weir/origins/")));
        if !has_origin && !listed.iter().any(|object| parse_key(&object.key).is_some()) {
            return Ok(None);
        }
        let mut contents = table::Contents::sort(store, table, &listed)?;
        let mut found = contents.check(store)?;
        if !found.gaps.is_empty() && look < LOOKS {
            continue;
        }
        if deep {
            deep::check(store, table, &contents, &mut found)?;
        }
        return Ok(Some(found));
    }
    unreachable!("the last look returns")
}

#[cfg(test)]
mod tests;
