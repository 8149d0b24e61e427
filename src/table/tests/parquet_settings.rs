//! Design T2, read from the footer.

use parquet::basic::{Compression, Encoding};

use super::*;

fn rows(count: usize) -> Vec<Message> {
    let values: Vec<String> = (0..count)
        .map(|row| {
            format!(
                r#"{{"id":"{row:032x}","model_name":"m","model_version":"1","inputs":{{"few":{},"many":{row}.5,"word":"w{}"}},"outputs":{{"y":0.5}},"occurred_at":"2026-11-25T12:00:00.{row:06}Z"}}"#,
                row % 10,
                row % 1_000
            )
        })
        .collect();
    messages(&values)
}

fn column<'f>(file: &'f File, path: &str) -> &'f parquet::file::metadata::ColumnChunkMetaData {
    let group = file.metadata.row_group(0);
    group.columns().iter().find(|column| column.column_path().string() == path).unwrap_or_else(|| panic!("no {path}"))
}

fn has_dictionary(file: &File, path: &str) -> bool {
    column(file, path).dictionary_page_offset().is_some()
}

#[test]
fn the_footer_says_what_the_design_says() {
    let messages = rows(6_000);
    let schema = Arc::new(surveyed(&messages).propose(None).expect("a schema"));
    let settings = Parquet { row_group_rows: 5_000, ..SETTINGS };
    let file = write_with(&schema, &messages, settings);
    assert_eq!(file.metadata.num_row_groups(), 2);
    assert_eq!(file.metadata.row_group(0).num_rows(), 5_000);
    let meta = file.metadata.file_metadata();
    let created_by = meta.created_by().expect("a name");
    assert!(created_by.starts_with("weir version ") && created_by.contains(" (build "), "{created_by}");
    let kept = meta.key_value_metadata().expect("keys").iter().find(|pair| pair.key == "weir.first");
    assert_eq!(kept.and_then(|pair| pair.value.as_deref()), Some("0"));
    for path in ["inputs.few", "inputs.word", "outputs.y", "model_name", "_topic", "_partition"] {
        assert!(has_dictionary(&file, path), "{path}");
    }
    for path in ["id", "inputs.many", "occurred_at", "_offset", "_quarantined"] {
        assert!(!has_dictionary(&file, path), "{path}");
    }
    for chunk in file.metadata.row_group(0).columns() {
        let path = chunk.column_path().string();
        assert!(matches!(chunk.compression(), Compression::ZSTD(_)), "{path}");
        assert_eq!(chunk.bloom_filter_offset().is_some(), path == "id", "{path}");
        assert!(chunk.column_index_offset().is_some() && chunk.offset_index_offset().is_some(), "{path}");
        assert!(chunk.statistics().is_some(), "{path}");
        for encoding in chunk.encodings() {
            assert!(
                matches!(encoding, Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY),
                "{path}: {encoding}"
            );
        }
    }
    let many = column(&file, "inputs.many").column_descr().self_type().get_basic_info();
    assert!(many.has_id() && many.id() >= 1_000);
}

#[test]
fn a_dictionary_is_for_columns_of_which_at_most_three_in_ten_values_differ() {
    let file_of = |distinct: usize| {
        let row = |row: usize| format!(r#"{{"inputs":{{"x":{}.5,"y":"{}"}}}}"#, row % distinct, row % distinct);
        table(&(0..1_000).map(row).collect::<Vec<_>>()).1
    };
    let (few, many) = (file_of(300), file_of(301));
    for path in ["inputs.x", "inputs.y"] {
        assert!(has_dictionary(&few, path) && !has_dictionary(&many, path), "{path}");
    }
}

/// Most columns of most files have no value, and small files are many: a compressor for each of them is most of such a file's cost.
#[test]
fn columns_that_a_small_file_leaves_empty_are_not_compressed() {
    let messages = rows(2_000);
    let schema = Arc::new(surveyed(&messages).propose(None).expect("a schema"));
    let file = write_with(&schema, &messages, SETTINGS);
    for (path, empty) in [("request_body", true), ("metadata.key_value.value", true), ("_raw", true), ("id", false)] {
        assert_eq!(column(&file, path).compression() == Compression::UNCOMPRESSED, empty, "{path}");
    }
    assert!(file.texts("request_body").iter().all(Option::is_none));
    assert!(column(&file, "request_body").statistics().is_some_and(|s| s.null_count_opt() == Some(2_000)));
}

#[test]
fn compact_asks_for_delta_encodings() {
    let messages = rows(2_000);
    let schema = Arc::new(surveyed(&messages).propose(None).expect("a schema"));
    let file = write_with(&schema, &messages, Parquet { encodings: Encodings::Compact, ..SETTINGS });
    let uses = |path: &str, encoding: Encoding| column(&file, path).encodings().any(|used| used == encoding);
    assert!(uses("id", Encoding::DELTA_BYTE_ARRAY));
    assert!(uses("occurred_at", Encoding::DELTA_BINARY_PACKED) && uses("_offset", Encoding::DELTA_BINARY_PACKED));
    assert!(uses("inputs.many", Encoding::PLAIN));
    assert_eq!(file.text("id", 1_999), Some(format!("{:032x}", 1_999)));
}

#[test]
fn a_file_without_rows_is_a_file() {
    let file = write_with(&Arc::new(Schema::default()), &[], SETTINGS);
    assert_eq!(file.batch.num_columns(), 46);
}

#[test]
fn large_records_close_batches_early() {
    let body = "x".repeat(700_000);
    let values: Vec<String> = (0..60).map(|row| format!(r#"{{"id":"{row}","request_body":"{body}"}}"#)).collect();
    let (_, file) = table(&values);
    assert_eq!(file.text("id", 59).as_deref(), Some("59"));
    assert!(file.texts("request_body").iter().all(|text| text.as_ref().is_some_and(|text| text.len() == body.len())));
}

#[test]
fn a_writer_that_fails_says_so() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = FileWriter::new(Arc::new(Schema::default()), "churn", 0, Full, SETTINGS).expect("settings");
    writer.push(&message(0, "{}")).expect("it waits");
    let error = writer.finish(Vec::new()).map(|written| written.rows).expect_err("nothing can be written");
    assert!(error.to_string().contains("churn"));
    let bad = Parquet { zstd_level: 99, ..SETTINGS };
    assert!(FileWriter::new(Arc::new(Schema::default()), "churn", 0, Vec::new(), bad).is_err());
}
