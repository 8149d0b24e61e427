//! The rows themselves: as many as the footers say, each at an offset of its file's range, no id of weir's twice. Every
//! column is decoded, and a file's data are compared with the checksum in its footer.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use xxhash_rust::xxh3::xxh3_128;

use super::table::Contents;
use super::{TableReport, with_causes};
use crate::drain::footer::Footer;
use crate::drain::store::{Store, StoreError, read_footer};
use crate::table::check_data;

/// Ids compared at once, of 16 bytes each: a table of more rows is read several times.
const IDS_MAX: usize = 4_000_000;

/// Reads every file that has a readable footer, one at a time.
pub(super) fn check(store: &dyn Store, contents: &Contents, report: &mut TableReport) -> Result<(), StoreError> {
    let passes = (report.rows / IDS_MAX as u64 + 1) as u128;
    let mut repeated = 0;
    for pass in 0..passes {
        let mut ids: Vec<u128> = Vec::new();
        for file in contents.chains.values().flatten() {
            let key = file.chain.key(&file.dt, file.first);
            // Unreadable footers are reported already, and so are the ids of damaged files at the first pass.
            let Ok(Some(footer)) = read_footer(store, &key) else { continue };
            let Some(bytes) = store.get(&key)? else { continue };
            let mut rows = Rows::new(&footer);
            let read = read(bytes, |batch| {
                rows.check(batch);
                collect_ids(batch, pass, passes, &mut ids);
            });
            if pass == 0 {
                let wrong = read.err().or_else(|| rows.wrong());
                report.problems.extend(wrong.map(|what| format!("`{key}`: {what}")));
            }
        }
        let (duplicates, others) = count_repeated(ids);
        report.duplicates += duplicates;
        repeated += others;
    }
    if repeated > 0 {
        report.notes.push(format!("{repeated} rows of other producers carry an id that another row has"));
    }
    Ok(())
}

/// What is looked at; the other columns are only decoded.
const COLUMNS: [&str; 3] = ["id", "_source", "_offset"];

/// Rows decoded at once, and about how many bytes of them.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: u64 = 16 << 20;

/// Reads all rows of a file, a batch at a time.
///
/// # Errors
/// Why it cannot be read to its end.
fn read(bytes: Bytes, mut each: impl FnMut(&BTreeMap<&'static str, ColumnOf>)) -> Result<(), String> {
    // The decoder has assertions about what encoded pages hold; a damaged file must not end the proof of the others.
    let read = catch_unwind(AssertUnwindSafe(|| -> Result<(), Unreadable> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
        check_data(builder.metadata().file_metadata().key_value_metadata(), &bytes).map_err(Unreadable::Changed)?;
        let rows = batch_rows(builder.metadata());
        for batch in builder.with_batch_size(rows).build()? {
            each(&columns(&batch?)?);
        }
        Ok(())
    }));
    match read {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Unreadable::Changed(why))) => Err(why),
        Ok(Err(Unreadable::Parquet(error))) => Err(format!("it cannot be read: {}", with_causes(&error))),
        Err(_) => Err("it cannot be read: it is damaged in a way that the decoder does not survive".to_owned()),
    }
}

enum Unreadable {
    /// Its data are not what was written.
    Changed(String),
    Parquet(ParquetError),
}

impl<E: Into<ParquetError>> From<E> for Unreadable {
    fn from(error: E) -> Unreadable {
        Unreadable::Parquet(error.into())
    }
}

/// As many rows of the widest row group as fit into a batch.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let widths = metadata.row_groups().iter().map(|group| {
        let [bytes, rows] = [group.total_byte_size(), group.num_rows()].map(|n| u64::try_from(n).unwrap_or(0).max(1));
        bytes.div_ceil(rows)
    });
    let widest = widths.max().unwrap_or(1);
    usize::try_from(BATCH_BYTES / widest).unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS)
}

/// A column in the one form it is looked at.
enum ColumnOf {
    Text(arrow_array::ArrayRef),
    Number(arrow_array::ArrayRef),
}

fn columns(batch: &RecordBatch) -> Result<BTreeMap<&'static str, ColumnOf>, ParquetError> {
    // A negative offset has no other form: an error, not a null.
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let mut out = BTreeMap::new();
    for name in COLUMNS {
        let Some(column) = batch.column_by_name(name) else { continue };
        let column = match name {
            "_offset" => ColumnOf::Number(cast_with_options(column, &DataType::UInt64, &strict)?),
            _ => ColumnOf::Text(cast_with_options(column, &DataType::Utf8, &strict)?),
        };
        out.insert(name, column);
    }
    Ok(out)
}

/// Counts a file's rows and follows their offsets.
struct Rows<'a> {
    footer: &'a Footer,
    rows: u64,
    last: Option<u64>,
    wrong: Option<String>,
}

impl<'a> Rows<'a> {
    fn new(footer: &'a Footer) -> Rows<'a> {
        Rows { footer, rows: 0, last: None, wrong: None }
    }

    fn check(&mut self, columns: &BTreeMap<&'static str, ColumnOf>) {
        let Some(ColumnOf::Number(offsets)) = columns.get("_offset") else {
            self.wrong.get_or_insert_with(|| "it has no column `_offset`".to_owned());
            return;
        };
        self.rows += offsets.len() as u64;
        for offset in offsets.as_primitive::<UInt64Type>() {
            let Some(offset) = offset else {
                self.wrong.get_or_insert_with(|| "a row has no offset".to_owned());
                continue;
            };
            if !(self.footer.first..self.footer.next).contains(&offset) {
                let (first, next) = (self.footer.first, self.footer.next);
                self.wrong.get_or_insert_with(|| format!("it holds offset {offset}, which is not in {first}..{next}"));
            } else if self.last.is_some_and(|last| offset <= last) {
                self.wrong.get_or_insert_with(|| format!("its offsets do not rise at {offset}"));
            }
            self.last = Some(offset);
        }
    }

    fn wrong(self) -> Option<String> {
        let says = self.footer.rows;
        self.wrong
            .or_else(|| (self.rows != says).then(|| format!("it holds {} rows, its footer says {says}", self.rows)))
    }
}

/// The ids of one pass, hashed; the lowest bit tells weir's own rows from other producers'.
fn collect_ids(columns: &BTreeMap<&'static str, ColumnOf>, pass: u128, passes: u128, ids: &mut Vec<u128>) {
    let Some(ColumnOf::Text(texts)) = columns.get("id") else { return };
    let sources = match columns.get("_source") {
        Some(ColumnOf::Text(sources)) => Some(sources),
        _ => None,
    };
    for (row, id) in texts.as_string::<i32>().iter().enumerate() {
        let Some(id) = id else { continue };
        let hash = xxh3_128(id.as_bytes());
        if (hash >> 64) % passes == pass {
            let is_weirs = sources.is_some_and(|sources| sources.is_valid(row));
            ids.push(hash & !1 | u128::from(is_weirs));
        }
    }
}

/// Of each id's rows all but one are too many: of weir's (whose ids are unique by construction), and of others'.
fn count_repeated(mut ids: Vec<u128>) -> (u64, u64) {
    ids.sort_unstable();
    let (mut weirs, mut others) = (0, 0);
    for pair in ids.windows(2) {
        match (pair[0] == pair[1], pair[0] | 1 == pair[1] | 1, pair[1] & 1) {
            (true, _, 1) => weirs += 1,
            (_, true, _) => others += 1,
            _ => {}
        }
    }
    (weirs, others)
}
