//! Parquet settings (design T2): readable by DuckDB, Polars, pyarrow, Spark and Athena.

use std::collections::HashSet;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::{Encodings, Parquet};

/// Values that decide about a column's dictionary.
pub(super) const SAMPLE_ROWS: usize = 4_096;

/// A dictionary pays where at most this share of the sample is distinct.
const DISTINCT_PERCENT: usize = 30;

/// Bytes of an open row group, however few its rows: the writer's memory.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// In the form that parquet-mr parses; other forms make some readers ignore the statistics.
const CREATED_BY: &str = concat!("weir version ", env!("CARGO_PKG_VERSION"), " (build release)");

/// Settings for a file whose first rows are `sample`.
pub(super) fn for_sample(sample: &[RecordBatch], settings: &Parquet) -> Result<WriterProperties, ParquetError> {
    let row_group_rows = settings.row_group_rows.max(1);
    let id = ColumnPath::from("id");
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(settings.zstd_level)?))
        .set_max_row_group_row_count(Some(row_group_rows))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        .set_created_by(CREATED_BY.to_owned())
        .set_column_bloom_filter_enabled(id.clone(), true)
        .set_column_bloom_filter_max_ndv(id, row_group_rows as u64);
    let Some(first) = sample.first() else { return Ok(properties.build()) };
    let parquet = ArrowSchemaConverter::new().convert(&first.schema())?;
    let mut leaves: Vec<Vec<ArrayRef>> = Vec::new();
    for batch in sample {
        let mut of_batch = Vec::new();
        for column in batch.columns() {
            collect_leaves(column, &mut of_batch);
        }
        leaves.resize_with(of_batch.len(), Vec::new);
        for (leaf, array) in leaves.iter_mut().zip(of_batch) {
            leaf.push(array);
        }
    }
    assert_eq!(leaves.len(), parquet.num_columns(), "a leaf of Arrow is a column of Parquet");
    for (column, arrays) in parquet.columns().iter().zip(&leaves) {
        if dictionary_pays(arrays) {
            properties = properties.set_column_dictionary_enabled(column.path().clone(), true);
        } else if settings.encodings == Encodings::Compact
            && let Some(encoding) = compact(column.path(), arrays[0].data_type())
        {
            properties = properties.set_column_encoding(column.path().clone(), encoding);
        }
    }
    Ok(properties.build())
}

/// The delta encoding of a column without a dictionary.
fn compact(path: &ColumnPath, data_type: &DataType) -> Option<Encoding> {
    match data_type {
        // Ids that grow share their beginnings.
        DataType::Utf8 if matches!(path.string().as_str(), "id" | "request_id") => Some(Encoding::DELTA_BYTE_ARRAY),
        DataType::Utf8 | DataType::Binary => Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
        DataType::Timestamp(..) => Some(Encoding::DELTA_BINARY_PACKED),
        integer if integer.is_integer() => Some(Encoding::DELTA_BINARY_PACKED),
        _ => None,
    }
}

/// The flat arrays below a column, in Parquet's order.
fn collect_leaves(array: &ArrayRef, leaves: &mut Vec<ArrayRef>) {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|child| collect_leaves(child, leaves)),
        DataType::List(_) => collect_leaves(array.as_list::<i32>().values(), leaves),
        DataType::Map(..) => {
            let map = array.as_map();
            collect_leaves(map.keys(), leaves);
            collect_leaves(map.values(), leaves);
        }
        _ => leaves.push(array.clone()),
    }
}

/// Whether few of the first values differ. A column without a value so far has a dictionary only if it is text: what comes late repeats.
fn dictionary_pays(arrays: &[ArrayRef]) -> bool {
    let data_type = arrays[0].data_type();
    if *data_type == DataType::Boolean {
        return false;
    }
    let mut distinct = HashSet::new();
    let mut values = 0;
    for array in arrays {
        let left = SAMPLE_ROWS - values;
        values += hash_values(array, left, &mut distinct);
        if values >= SAMPLE_ROWS {
            break;
        }
    }
    match values {
        0 => *data_type == DataType::Utf8,
        _ => distinct.len() * 100 <= values * DISTINCT_PERCENT,
    }
}

/// Hashes at most `most` values that are not null; returns how many.
fn hash_values(array: &ArrayRef, most: usize, distinct: &mut HashSet<u64>) -> usize {
    let data = array.to_data();
    let valid = (0..array.len()).filter(|&row| array.is_valid(row)).take(most);
    let mut count = 0;
    match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            valid.for_each(|row| {
                distinct.insert(xxh3_64(array.value(row).as_bytes()));
                count += 1;
            });
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            valid.for_each(|row| {
                distinct.insert(xxh3_64(array.value(row)));
                count += 1;
            });
        }
        flat => {
            let width = flat.primitive_width().expect("numbers and times have a width");
            let bytes = &data.buffers()[0].as_slice()[data.offset() * width..];
            valid.for_each(|row| {
                distinct.insert(xxh3_64(&bytes[row * width..][..width]));
                count += 1;
            });
        }
    }
    count
}
