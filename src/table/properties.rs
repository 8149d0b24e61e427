//! Parquet settings (design T2): readable by DuckDB, Polars, pyarrow, Spark and Athena.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::NullBuffer;
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

/// Settings for a file whose first rows, or (`whole`) all rows, are `sample`.
pub(super) fn for_sample(
    sample: &[RecordBatch],
    whole: bool,
    settings: &Parquet,
) -> Result<WriterProperties, ParquetError> {
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
    let mut distinct = Distinct::default();
    for (column, arrays) in parquet.columns().iter().zip(&leaves) {
        if whole && arrays.iter().all(|array| array.null_count() == array.len()) {
            // A page of nulls is a few bytes: zstd would make more of them, and each column's compressor takes memory and time. Most columns of
            // most files are so.
            properties = properties.set_column_compression(column.path().clone(), Compression::UNCOMPRESSED);
        } else if dictionary_pays(arrays, &mut distinct) {
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
fn dictionary_pays(arrays: &[ArrayRef], distinct: &mut Distinct) -> bool {
    let data_type = arrays[0].data_type();
    if *data_type == DataType::Boolean {
        return false;
    }
    let present: usize = arrays.iter().map(|array| array.len() - array.null_count()).sum();
    let sampled = present.min(SAMPLE_ROWS);
    if sampled == 0 {
        return *data_type == DataType::Utf8;
    }
    distinct.begin(sampled * DISTINCT_PERCENT / 100);
    let mut left = sampled;
    for array in arrays {
        let count = left.min(array.len() - array.null_count());
        left -= count;
        if !hash_values(array, count, distinct) {
            return false;
        }
    }
    true
}

/// Counts different values, up to a limit.
#[derive(Default)]
struct Distinct {
    seen: HashSet<u64, BuildHasherDefault<Hashed>>,
    most: usize,
}

impl Distinct {
    fn begin(&mut self, most: usize) {
        self.seen.clear();
        self.most = most;
    }

    /// Whether there are still at most as many as there may be.
    fn add(&mut self, value: &[u8]) -> bool {
        self.seen.insert(xxh3_64(value));
        self.seen.len() <= self.most
    }
}

/// What is kept are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes are kept");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Hashes the first `count` values that are not null; false as soon as too many differ.
fn hash_values(array: &ArrayRef, count: usize, distinct: &mut Distinct) -> bool {
    fn all<'a>(
        nulls: Option<&NullBuffer>,
        count: usize,
        distinct: &mut Distinct,
        value: impl Fn(usize) -> &'a [u8],
    ) -> bool {
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => (0..count).all(|row| distinct.add(value(row))),
            Some(nulls) => nulls.valid_indices().take(count).all(|row| distinct.add(value(row))),
        }
    }
    let nulls = array.nulls();
    match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            all(nulls, count, distinct, |row| array.value(row).as_bytes())
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            all(nulls, count, distinct, |row| array.value(row))
        }
        flat => {
            let width = flat.primitive_width().expect("numbers and times have a width");
            let data = array.to_data();
            let bytes = &data.buffers()[0].as_slice()[data.offset() * width..];
            all(nulls, count, distinct, |row| &bytes[row * width..][..width])
        }
    }
}
