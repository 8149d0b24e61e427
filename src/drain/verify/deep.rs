//! The rows themselves: as many as the footers say, each at an offset of its file's range, no row of weir's twice. Every
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
use crate::config::is_feedback_topic;
use crate::drain::footer::Footer;
use crate::drain::store::{Store, StoreError, read_footer};
use crate::table::check_data;

/// Ids compared at once, of 16 bytes each: a table of more rows is read several times.
const IDS_MAX: usize = 4_000_000;

/// Reads every file that has a readable footer, one at a time.
pub(super) fn check(
    store: &dyn Store,
    table: &str,
    contents: &Contents,
    report: &mut TableReport,
) -> Result<(), StoreError> {
    let identity = if is_feedback_topic(table) { Identity::Seq } else { Identity::Id };
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
                collect_ids(identity, batch, pass, passes, &mut ids);
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
const COLUMNS: [&str; 4] = ["id", "_source", "_seq", "_offset"];

/// What two rows of a table do not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// Each prediction has an id of its own.
    Id,
    /// Of one prediction as much can be told as there is to tell: its rows share the id.
    Seq,
}

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
            "_seq" | "_offset" => ColumnOf::Number(cast_with_options(column, &DataType::UInt64, &strict)?),
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
fn collect_ids(
    identity: Identity,
    columns: &BTreeMap<&'static str, ColumnOf>,
    pass: u128,
    passes: u128,
    ids: &mut Vec<u128>,
) {
    let text = |name| match columns.get(name) {
        Some(ColumnOf::Text(texts)) => Some(texts.as_string::<i32>()),
        _ => None,
    };
    let sources = text("_source");
    let mut add = |hash: u128, is_weirs: bool| {
        if (hash >> 64) % passes == pass {
            ids.push(hash & !1 | u128::from(is_weirs));
        }
    };
    match identity {
        Identity::Id => {
            for (row, id) in text("id").into_iter().flatten().enumerate() {
                let Some(id) = id else { continue };
                add(xxh3_128(id.as_bytes()), sources.is_some_and(|sources| sources.is_valid(row)));
            }
        }
        Identity::Seq => {
            let (Some(sources), Some(ColumnOf::Number(seqs))) = (sources, columns.get("_seq")) else { return };
            for (source, seq) in sources.iter().zip(seqs.as_primitive::<UInt64Type>()) {
                let (Some(source), Some(seq)) = (source, seq) else { continue };
                add(xxh3_128(format!("{source} {seq}").as_bytes()), true);
            }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    /// Repeated rows of weir's and of others, of rows `(id, source, seq)`.
    fn repeated(identity: Identity, rows: &[(&str, Option<&str>, i64)]) -> (u64, u64) {
        let ids: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
        let sources: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1)));
        let seqs: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)));
        let batch = RecordBatch::try_from_iter([("id", ids), ("_source", sources), ("_seq", seqs)]).unwrap();
        let mut ids = Vec::new();
        collect_ids(identity, &columns(&batch).unwrap(), 0, 1, &mut ids);
        count_repeated(ids)
    }

    #[test]
    fn two_feedbacks_may_share_an_id_and_one_is_stored_once() {
        let twice_told = [("a", Some("s"), 0), ("a", Some("s"), 1), ("a", None, 0)];
        assert_eq!(repeated(Identity::Seq, &twice_told), (0, 0));
        assert_eq!(repeated(Identity::Id, &twice_told), (1, 1));
        let twice_stored = [("a", Some("s"), 7), ("a", Some("s"), 7), ("a", Some("t"), 7)];
        assert_eq!(repeated(Identity::Seq, &twice_stored), (1, 0));
    }
}
