//! What lives in `_raw`: the newest files' rows that did not fit their columns, surveyed again, so that a field of them can be made a column.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use bytes::buf::Reader;
use bytes::{Buf as _, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};

use super::names::{ChainId, FileName, parse_key};
use super::store::{self, Store, StoreError};
use crate::source::{ContentType, Message};
use crate::table::Survey;

/// Files that are looked through, the newest of each chain first.
const FILES_MAX: usize = 16;

/// Rows decoded at once.
const BATCH_ROWS: usize = 1_024;

/// What was found.
pub struct Leftover {
    /// Of the rows that have a `_raw`.
    pub survey: Survey,
    /// Files that were read.
    pub files: usize,
}

/// Why the files cannot be looked through.
#[derive(Debug, thiserror::Error)]
pub enum LeftoverError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read `{key}`; `weir verify --deep` says more")]
    Parquet {
        key: String,
        #[source]
        source: ParquetError,
    },
}

/// Looks through the newest files of a table: of one row group after the other the column, where it has anything.
pub fn leftover(store: &dyn Store, table: &str) -> Result<Leftover, LeftoverError> {
    let mut survey = Survey::default();
    let mut files = 0;
    for key in newest(store, table)? {
        // A file that is gone since it was listed says nothing.
        let Some((metadata, size)) = store::read_metadata(store, &key)? else { continue };
        files += 1;
        let damaged = |source: ParquetError| LeftoverError::Parquet { key: key.clone(), source };
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new()).map_err(damaged)?;
        let columns = metadata.parquet_schema().columns();
        let Some(column) = columns.iter().position(|column| column.path().string() == "_raw") else { continue };
        for group in 0..metadata.metadata().num_row_groups() {
            let chunk = metadata.metadata().row_group(group).column(column);
            if is_null(chunk) {
                continue;
            }
            let (start, length) = chunk.byte_range();
            let Some(bytes) = store.range(&key, start..start.saturating_add(length))? else { break };
            let builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(Part { size, start, bytes }, metadata.clone());
            let only_raw = ProjectionMask::leaves(builder.parquet_schema(), [column]);
            let builder = builder.with_row_groups(vec![group]).with_projection(only_raw).with_batch_size(BATCH_ROWS);
            for batch in builder.build().map_err(damaged)? {
                let batch = batch.map_err(|error| damaged(error.into()))?;
                let Some(column) = batch.column_by_name("_raw") else { continue };
                for raw in column.as_string_opt::<i32>().into_iter().flatten().flatten() {
                    // What a quarantine row keeps is no record: the survey does not count it.
                    survey.add(&record(raw));
                }
            }
        }
    }
    Ok(Leftover { survey, files })
}

/// Whether a column has no value in a row group, as far as the file says.
fn is_null(chunk: &ColumnChunkMetaData) -> bool {
    let nulls = chunk.statistics().and_then(|statistics| statistics.null_count_opt());
    nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(chunk.num_values()))
}

/// A part of a file, which is read as if it were the file.
struct Part {
    size: u64,
    start: u64,
    bytes: Bytes,
}

impl Part {
    fn from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        at.filter(|at| *at <= self.bytes.len())
            .map(|at| self.bytes.slice(at..))
            .ok_or_else(|| ParquetError::EOF(format!("byte {start} is outside of the column")))
    }
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Part {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Reader<Bytes>> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let rest = self.from(start)?;
        if length > rest.len() {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} on are more than the column has")));
        }
        Ok(rest.slice(..length))
    }
}

fn record(text: &str) -> Message {
    Message {
        offset: 0,
        timestamp_ms: 0,
        create_time: false,
        key: None,
        value: Some(text.to_owned().into()),
        content_type: ContentType::Json,
        source: None,
        seq: None,
        damaged: None,
    }
}

/// Keys of the newest files: of each chain its last ones, later dates first.
fn newest(store: &dyn Store, table: &str) -> Result<Vec<String>, StoreError> {
    let mut chains: BTreeMap<ChainId, Vec<(FileName, String)>> = BTreeMap::new();
    for object in store.list(&format!("{table}/"), None)? {
        if let Some(name) = parse_key(&object.key) {
            chains.entry(name.chain.clone()).or_default().push((name, object.key));
        }
    }
    let mut ranked = Vec::new();
    for mut files in chains.into_values() {
        files.sort_unstable_by(|(a, _), (b, _)| (b.first, &b.dt).cmp(&(a.first, &a.dt)));
        ranked.extend(files.into_iter().take(FILES_MAX).enumerate().map(|(rank, (name, key))| (name.dt, rank, key)));
    }
    ranked.sort_unstable_by(|a, b| (&b.0, a.1).cmp(&(&a.0, b.1)));
    Ok(ranked.into_iter().take(FILES_MAX).map(|(_, _, key)| key).collect())
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Mutex;

    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::super::store::{Content, Created, Folder, Listed};
    use super::*;

    /// A folder of which no file is read whole; the lengths of the parts that are.
    struct InParts(Folder, Mutex<Vec<u64>>);

    impl Store for InParts {
        fn create(&self, key: &str, content: Content<'_>) -> Result<Created, StoreError> {
            self.0.create(key, content)
        }

        fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
            panic!("{key} is read whole");
        }

        fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
            self.0.tail(key, bytes)
        }

        fn range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
            self.1.lock().unwrap().push(range.end - range.start);
            self.0.range(key, range)
        }

        fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
            self.0.list(prefix, after)
        }

        fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
            self.0.folders(prefix)
        }

        fn address(&self) -> String {
            self.0.address()
        }
    }

    /// Row groups of ten rows, of which these have a `_raw`.
    fn file(groups: &[bool]) -> Vec<u8> {
        let raw = groups.iter().enumerate().flat_map(|(group, has_raw)| {
            let text = move |row| format!(r#"{{"inputs":{{"rare_{group}":{row},"all":1}}}}"#);
            (0..10).map(move |row| has_raw.then(|| text(row)))
        });
        let rows = groups.len() * 10;
        let other: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("{row:0>500}"))));
        let raw: ArrayRef = Arc::new(raw.collect::<StringArray>());
        let batch = RecordBatch::try_from_iter_with_nullable([("id", other, true), ("_raw", raw, true)]).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    #[test]
    fn only_row_groups_that_have_something_are_read_and_of_them_the_one_column() {
        let dir = tempfile::tempdir().unwrap();
        let store = InParts(Folder::open(dir.path()).unwrap(), Mutex::default());
        for (first, groups) in [(0, &[true, false, true][..]), (30, &[false][..])] {
            let key = format!("t/dt=2026-11-25/t.g01-p0000-{first:0>20}.parquet");
            store.create(&key, Content::Bytes(file(groups).into())).unwrap();
        }
        let found = leftover(&store, "t").unwrap();
        assert_eq!((found.files, found.survey.rows()), (2, 20));
        let rows = |path: &str| found.survey.at(&path.parse().unwrap()).map(|(rows, _)| rows);
        assert_eq!([rows("inputs.rare_0"), rows("inputs.rare_1"), rows("inputs.rare_2")], [Some(10), None, Some(10)]);
        assert_eq!(rows("inputs.all"), Some(20));
        let parts = store.1.into_inner().unwrap();
        assert!(parts.len() == 2 && parts.iter().all(|bytes| *bytes < 2_000), "{parts:?}");
    }

    #[test]
    fn a_file_that_is_damaged_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Folder::open(dir.path()).unwrap();
        let mut bytes = file(&[true]);
        // The columns' own bytes are gone, the metadata are not.
        let end = bytes.len() - 8;
        let length = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap());
        bytes[4..end - length as usize].fill(0);
        let key = "t/dt=2026-11-25/t.g01-p0000-00000000000000000000.parquet";
        store.create(key, Content::Bytes(bytes.into())).unwrap();
        let error = leftover(&store, "t").err().expect("it cannot be read").to_string();
        assert!(error.contains(key) && error.contains("verify"), "{error}");
    }
}
