//! The rules of the table, read back from real Parquet files.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;

use super::schema::find;
use super::{FileWriter, RowKind, Schema, Survey, Type};
use crate::config::{Encodings, Parquet};
use crate::source::{ContentType, Damaged, Message};

mod dirty;
mod fixed;
mod floats;
mod growth;
mod own_records;
mod parquet_settings;
mod protobuf;
mod rules;
mod settles;
mod walks;

const SETTINGS: Parquet = Parquet { zstd_level: 1, row_group_rows: 131_072, encodings: Encodings::Compatible };

fn message(offset: u64, value: impl AsRef<[u8]>) -> Message {
    Message {
        offset,
        timestamp_ms: 1_764_000_000_000 + offset as i64,
        create_time: false,
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_ref())),
        content_type: ContentType::Json,
        source: Some("log-0-1".into()),
        seq: Some(offset + 7),
        damaged: None,
    }
}

fn messages<T: AsRef<[u8]>>(values: &[T]) -> Vec<Message> {
    values.iter().enumerate().map(|(offset, value)| message(offset as u64, value)).collect()
}

fn surveyed(messages: &[Message]) -> Survey {
    let mut survey = Survey::new(1_000);
    messages.iter().for_each(|message| survey.add(message));
    survey
}

/// A file, read back as one batch.
struct File {
    batch: RecordBatch,
    metadata: Arc<ParquetMetaData>,
    quarantined: u64,
}

fn write_with(schema: &Arc<Schema>, messages: &[Message], settings: Parquet) -> File {
    let mut writer = FileWriter::new(schema.clone(), "churn", 3, Vec::new(), settings).expect("settings");
    let mut quarantined = 0;
    for message in messages {
        quarantined += u64::from(writer.push(message).expect("a row") == RowKind::Quarantined);
    }
    assert_eq!(writer.rows(), messages.len() as u64);
    let written = writer.finish(vec![("weir.first".to_owned(), "0".to_owned())]).expect("a file");
    assert_eq!((written.rows, written.quarantined), (messages.len() as u64, quarantined));
    assert_eq!(written.bytes, written.out.len() as u64);
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(written.out)).expect("Parquet");
    let metadata = reader.metadata().clone();
    let arrow = reader.schema().clone();
    let reader = reader.with_batch_size(messages.len().max(1)).build().expect("a reader");
    let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().expect("rows");
    let batch = batches.into_iter().next().unwrap_or_else(|| RecordBatch::new_empty(arrow));
    assert_eq!(batch.num_rows(), messages.len());
    File { batch, metadata, quarantined }
}

/// Surveys, then writes: what the drain does with the first file of a table.
fn table<T: AsRef<[u8]>>(values: &[T]) -> (Arc<Schema>, File) {
    let messages = messages(values);
    let schema = Arc::new(surveyed(&messages).propose(None).unwrap_or_default());
    let file = write_with(&schema, &messages, SETTINGS);
    (schema, file)
}

impl File {
    /// The column at a path of STRUCTs, `inputs.age`.
    fn column(&self, path: &str) -> arrow_array::ArrayRef {
        let mut names = path.split('.');
        let first = names.next().expect("a name");
        let mut column = self.batch.column_by_name(first).unwrap_or_else(|| panic!("no column {first}")).clone();
        for name in names {
            let inner = column.as_struct().column_by_name(name).unwrap_or_else(|| panic!("no column {path}")).clone();
            column = inner;
        }
        column
    }

    fn has(&self, name: &str) -> bool {
        self.batch.column_by_name(name).is_some()
    }

    fn texts(&self, path: &str) -> Vec<Option<String>> {
        self.column(path).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    fn text(&self, path: &str, row: usize) -> Option<String> {
        self.texts(path).swap_remove(row)
    }

    fn doubles(&self, path: &str) -> Vec<Option<f64>> {
        self.column(path).as_primitive::<Float64Type>().iter().collect()
    }

    fn bools(&self, path: &str) -> Vec<Option<bool>> {
        self.column(path).as_boolean().iter().collect()
    }

    /// Rows whose text was kept.
    fn raw_rows(&self) -> Vec<usize> {
        self.texts("_raw").iter().enumerate().filter(|(_, raw)| raw.is_some()).map(|(row, _)| row).collect()
    }
}

fn input_type<'s>(schema: &'s Schema, key: &str) -> Option<&'s Type> {
    find(schema.inputs(), key).map(|field| &field.data_type)
}

fn list(element: Type) -> Type {
    Type::List(Box::new(element))
}
