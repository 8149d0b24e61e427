//! What lives in `_raw`: the newest files' rows that did not fit their columns, surveyed again, so that a field of them can be made a column.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::names::{ChainId, FileName, parse_key};
use super::store::{Store, StoreError};
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

/// Looks through the newest files of a table.
pub fn leftover(store: &dyn Store, table: &str) -> Result<Leftover, LeftoverError> {
    let mut survey = Survey::default();
    let mut files = 0;
    for key in newest(store, table)? {
        // A file that is gone since it was listed says nothing.
        let Some(bytes) = store.get(&key)? else { continue };
        files += 1;
        let damaged = |source: ParquetError| LeftoverError::Parquet { key: key.clone(), source };
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(damaged)?;
        let only_raw = ProjectionMask::columns(builder.parquet_schema(), ["_raw"]);
        let reader = builder.with_projection(only_raw).with_batch_size(BATCH_ROWS).build().map_err(damaged)?;
        for batch in reader {
            let batch = batch.map_err(|error| damaged(error.into()))?;
            let Some(column) = batch.column_by_name("_raw") else { continue };
            for raw in column.as_string_opt::<i32>().into_iter().flatten().flatten() {
                // What a quarantine row keeps is no record: the survey does not count it.
                survey.add(&record(raw));
            }
        }
    }
    Ok(Leftover { survey, files })
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
