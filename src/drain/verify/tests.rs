use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;

use super::*;
use crate::config::{Encodings, Parquet, Partitioning};
use crate::drain::footer::{FOOTER_VERSION, Footer, Sources, Totals};
use crate::drain::names::{ChainId, Dt, ORIGIN_VERSION, OriginDoc};
use crate::drain::store::{Content, Folder};
use crate::source::{ContentType, Message};
use crate::table::{FileWriter, Survey};

const DAY_MS: i64 = 86_400_000;
const SOURCE: &str = "0123456789abcdef0123456789abcdef-0-0000000a";

/// A chain in the making: files of ten rows, two days.
struct Made {
    dir: tempfile::TempDir,
    store: Folder,
    footers: Vec<Footer>,
}

impl Made {
    fn chain(partition: u32, files: u64) -> Made {
        let dir = tempfile::tempdir().unwrap();
        let store = Folder::open(dir.path()).unwrap();
        let mut made = Made { dir, store, footers: Vec::new() };
        made.origin(1, [(0, 100), (1, 0)]);
        made.add_files(partition, if partition == 0 { 100 } else { 0 }, files);
        made
    }

    fn origin<const N: usize>(&self, generation: u32, starts: [(u32, u64); N]) {
        let doc = OriginDoc {
            version: ORIGIN_VERSION,
            table: "churn".into(),
            origin: "churn".into(),
            generation,
            partitioning: Partitioning::Day,
            topic_id: "topic-id".into(),
            starts: starts.into(),
            ended: BTreeMap::new(),
            created_ms: 0,
        };
        let json = serde_json::to_vec(&doc).unwrap();
        self.store.create(&doc.key(), Content::Bytes(json.into())).unwrap();
    }

    fn add_files(&mut self, partition: u32, start: u64, files: u64) {
        let chain = ChainId { table: "churn".into(), origin: "churn".into(), generation: 1, partition };
        let (mut sources, mut totals, mut previous) = (Sources::new(), Totals::default(), None);
        for n in 0..files {
            let first = start + n * 10;
            let dt = Dt::of(if n < files / 2 { 0 } else { DAY_MS }, Partitioning::Day);
            let seqs = first + u64::from(partition) * 1_000;
            sources.insert_range(SOURCE, seqs, seqs + 10, n as i64);
            totals = Totals { consumed: totals.consumed + 11, stored: totals.stored + 10, resent: totals.resent + 1 };
            let footer = Footer {
                version: FOOTER_VERSION,
                chain: chain.clone(),
                topic_id: "topic-id".into(),
                first,
                next: first + 10,
                rows: 10,
                quarantined: 1,
                dt: dt.clone(),
                created_ms: 0,
                min_timestamp_ms: 0,
                max_timestamp_ms: 0,
                schema: 1,
                sources: sources.clone(),
                totals,
                last_hash: String::new(),
                writer: String::new(),
                previous: previous.replace(chain.key(&dt, first)),
                cause: None,
            };
            self.write(&footer);
            self.footers.push(footer);
        }
    }

    fn write(&self, footer: &Footer) {
        let offsets: Vec<i64> = (footer.first as i64..footer.next as i64).collect();
        let ids = offsets.iter().map(|offset| format!("{}-{offset}", footer.chain.partition)).collect();
        self.write_rows(footer, offsets, ids);
    }

    /// Writes a file over whatever is there.
    fn write_rows(&self, footer: &Footer, offsets: Vec<i64>, ids: Vec<String>) {
        let sources: ArrayRef = Arc::new(StringArray::from(vec![SOURCE; ids.len()]));
        let (ids, offsets): (ArrayRef, ArrayRef) =
            (Arc::new(StringArray::from(ids)), Arc::new(Int64Array::from(offsets)));
        let batch = RecordBatch::try_from_iter([("id", ids), ("_source", sources), ("_offset", offsets)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        for (key, value) in footer.to_key_values() {
            writer.append_key_value_metadata(KeyValue::new(key, value));
        }
        let path = self.path(&footer.key());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, writer.into_inner().unwrap()).unwrap();
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.path().join(key)
    }

    /// The table's report, after the whole report's verdict was compared with `ok`.
    fn verify(&self, deep: bool, ok: bool) -> TableReport {
        let report = verify(&self.store, deep);
        assert_eq!(report.ok, ok, "{report}");
        assert!(report.to_string().ends_with(if ok { "exactly one file\n" } else { "NOT OK\n" }));
        report.tables["churn"].clone()
    }
}

fn range(from: u64, to: u64) -> Range {
    Range { partition: "churn.g01-p0000".to_owned(), from, to }
}

#[test]
fn a_whole_chain_is_ok_and_counted() {
    let mut made = Made::chain(0, 6);
    made.add_files(1, 0, 3);
    for deep in [false, true] {
        let table = made.verify(deep, true);
        assert_eq!((table.files, table.rows, table.quarantined, table.duplicates), (9, 90, 9, 0));
        let chain = &table.partitions["churn.g01-p0000"];
        assert_eq!((chain.first, chain.next, chain.files, chain.rows, chain.resent), (100, 160, 6, 60, 6));
        assert_eq!(table.partitions["churn.g01-p0001"].next, 30);
        let source = &table.sources[SOURCE];
        assert_eq!((source.rows, source.first, source.next, source.missing), (90, 100, 1_030, 840));
    }
    let json = serde_json::to_value(verify(&made.store, false)).unwrap();
    let table = &json["tables"]["churn"];
    assert_eq!((&json["ok"], &table["files"], &table["gaps"]), (&true.into(), &9.into(), &serde_json::json!([])));
    assert_eq!(table["partitions"]["churn.g01-p0001"]["rows"], 30);
}

#[test]
fn a_chain_without_files_and_a_root_without_tables_are_ok() {
    let made = Made::chain(0, 0);
    assert_eq!(made.verify(true, true).partitions["churn.g01-p0000"].next, 100);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("pictures")).unwrap();
    fs::write(dir.path().join("pictures/cat.parquet"), "no table, so nobody's stray").unwrap();
    let report = verify(&Folder::open(dir.path()).unwrap(), true);
    assert!(report.ok && report.is_empty() && report.hint.is_none(), "{report}");
    assert_eq!(report.to_string(), format!("no table in {}\n", dir.path().display()));
}

#[test]
fn a_root_one_level_too_high_or_too_low_is_told_so() {
    let made = Made::chain(0, 3);
    let too_low = made.path("churn");
    let report = verify(&Folder::open(&too_low).unwrap(), true);
    let text =
        format!("no table in {0}\n  {0} is itself a table: name the folder that it lies in\n", too_low.display());
    assert_eq!((report.is_empty(), report.ok, report.to_string()), (true, true, text));
    assert_eq!(serde_json::to_value(&report).unwrap(), serde_json::json!({"ok": true, "tables": {}, "problems": []}));

    let above = tempfile::tempdir().unwrap();
    let root = above.path().display();
    fs::create_dir(above.path().join("parquet")).unwrap();
    assert_eq!(verify(&Folder::open(above.path()).unwrap(), false).hint, None);
    fs::rename(&too_low, above.path().join("parquet/churn")).unwrap();
    let report = verify(&Folder::open(above.path()).unwrap(), true);
    let text = format!("no table in {root}\n  there are tables one level below: name {root}/parquet\n");
    assert_eq!((report.is_empty(), report.to_string()), (true, text));
}

#[test]
fn the_text_counts_as_people_do() {
    let made = Made::chain(0, 1);
    let mut footer = made.footers[0].clone();
    footer.next = 1_334;
    footer.rows = 1_234;
    footer.totals = Totals { consumed: 1_235, stored: 1_234, resent: 1 };
    made.write(&footer);
    let text = verify(&made.store, false).to_string();
    assert_eq!(
        text,
        format!(
            "churn: ok\n  1 file, 1,234 rows, 1 of them quarantined\n  \
             churn.g01-p0000  offsets 100..1334, 1 file, 1,234 rows, 1 resend left out\n  \
             churn.g01-p0001  offsets 0..0, 0 files, 0 rows\n  \
             source {SOURCE}  seqs 100..110, 10 rows\n  \
             expected 10 rows by the seqs of all sources, found 1,234 in the files\n\
             ok: every row is in exactly one file\n"
        )
    );
}

/// A file as the drain writes it, and where its data end.
fn real_file(footer: &Footer) -> (Vec<u8>, usize) {
    let value = |n: u64| {
        format!(
            r#"{{"id":"a-{n}","model_name":"churn","inputs":{{"age":{n}.25,"city":"c{}","ok":true,"list":[1,2,{n}]}},"outputs":{{"p":0.{n}}},"outcome":"complete","metadata":{{"k":"v{n}"}}}}"#,
            n % 3
        )
    };
    let messages: Vec<Message> = (footer.first..footer.next)
        .map(|offset| Message {
            offset,
            timestamp_ms: 0,
            create_time: false,
            key: None,
            value: Some(value(offset).into()),
            content_type: ContentType::Json,
            source: Some(SOURCE.into()),
            seq: Some(offset),
            damaged: None,
        })
        .collect();
    let mut survey = Survey::new(100);
    messages.iter().for_each(|message| survey.add(message));
    let schema = Arc::new(survey.propose(None).unwrap());
    let settings = Parquet { zstd_level: 1, row_group_rows: 131_072, encodings: Encodings::Compatible };
    let mut writer = FileWriter::new(schema, "churn", 0, Vec::new(), settings).unwrap();
    for message in &messages {
        writer.push(message).unwrap();
    }
    let bytes = writer.finish(footer.to_key_values()).unwrap().out;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes.clone())).unwrap();
    let chunks = reader.metadata().row_groups().iter().flat_map(|group| group.columns());
    let end = chunks.map(|chunk| chunk.byte_range()).map(|(start, length)| start + length).max().unwrap();
    (bytes, usize::try_from(end).unwrap())
}

#[test]
fn deep_sees_every_changed_byte_of_the_data() {
    let made = Made::chain(0, 1);
    let mut footer = made.footers[0].clone();
    footer.next = 400;
    footer.rows = 300;
    footer.totals = Totals { consumed: 300, stored: 300, resent: 0 };
    let (whole, end) = real_file(&footer);
    let path = made.path(&footer.key());
    fs::write(&path, &whole).unwrap();
    made.verify(true, true);
    assert!(end > 5_000, "{end} bytes of data");
    for at in (0..end).step_by(97) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&path, &changed).unwrap();
        let report = verify(&made.store, true);
        assert!(!report.ok, "a changed byte at {at} of {end} is ok");
    }
}

#[test]
fn deep_decodes_columns_that_it_does_not_look_at() {
    // As another program writes a file: without a checksum.
    let made = Made::chain(0, 1);
    let footer = &made.footers[0];
    let texts =
        |of: &str| Arc::new(StringArray::from((0..10).map(|n| format!("{of}-{n}")).collect::<Vec<_>>())) as ArrayRef;
    let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(100..110));
    let batch = RecordBatch::try_from_iter([("id", texts("id")), ("_offset", offsets), ("extra", texts("x"))]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    for (key, value) in footer.to_key_values() {
        writer.append_key_value_metadata(KeyValue::new(key, value));
    }
    let mut bytes = writer.into_inner().unwrap();
    let path = made.path(&footer.key());
    fs::write(&path, &bytes).unwrap();
    made.verify(true, true);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes.clone())).unwrap();
    let (start, length) = reader.metadata().row_group(0).column(2).byte_range();
    for at in start..start + length {
        bytes[usize::try_from(at).unwrap()] = 0xff;
    }
    fs::write(&path, &bytes).unwrap();
    made.verify(false, true);
    assert!(made.verify(true, false).problems[0].contains("it cannot be read"));
}

#[test]
fn a_missing_file_is_a_gap_wherever_it_was() {
    for (missing, gap) in [(0, range(100, 110)), (3, range(130, 140))] {
        let made = Made::chain(0, 6);
        fs::remove_file(made.path(&made.footers[missing].key())).unwrap();
        let table = made.verify(false, false);
        assert_eq!(table.gaps, [gap]);
        assert_eq!((table.overlaps.len(), table.duplicates, table.files), (0, 0, 5));
    }
}

#[test]
fn what_came_after_a_new_generation_had_begun_is_an_overlap_whatever_the_clocks_say() {
    for (seen, overlaps) in [(Some(150), 0), (Some(140), 1), (None, 1)] {
        let made = Made::chain(0, 5);
        let doc = OriginDoc {
            version: ORIGIN_VERSION,
            table: "churn".into(),
            origin: "churn".into(),
            generation: 2,
            partitioning: Partitioning::Day,
            topic_id: "topic-id".into(),
            starts: [(0, 100)].into(),
            ended: seen.map(|seen| (0, seen)).into_iter().collect(),
            // Long after every file.
            created_ms: 100 * DAY_MS,
        };
        made.store.create(&doc.key(), Content::Bytes(serde_json::to_vec(&doc).unwrap().into())).unwrap();
        let table = made.verify(false, overlaps == 0);
        assert_eq!((table.overlaps.len(), table.notes.len()), (overlaps, 1 - overlaps), "{seen:?}");
    }
}

#[test]
fn a_file_that_reaches_into_the_next_one_is_an_overlap() {
    let made = Made::chain(0, 6);
    let mut longer = made.footers[2].clone();
    longer.next += 4;
    made.write(&longer);
    let table = made.verify(false, false);
    assert_eq!(table.overlaps, [range(130, 134)]);
    assert_eq!(table.gaps, []);
}

#[test]
fn the_same_range_under_two_dates_is_an_overlap_and_its_date_a_problem() {
    let made = Made::chain(0, 6);
    let mut again = made.footers[4].clone();
    again.dt = Dt::of(0, Partitioning::Day);
    made.write(&again);
    let table = made.verify(false, false);
    assert_eq!(table.overlaps, [range(140, 150)]);
    assert!(
        table.problems.iter().any(|problem| problem.contains("its date 1970-01-01 is before")),
        "{:?}",
        table.problems
    );
}

#[test]
fn rows_of_one_source_in_two_partitions_are_duplicates() {
    let mut made = Made::chain(0, 2);
    made.add_files(1, 0, 1);
    let mut doubled = made.footers[2].clone();
    doubled.sources = Sources::new();
    doubled.sources.insert_range(SOURCE, 117, 127, 0);
    made.write(&doubled);
    assert_eq!(made.verify(false, false).duplicates, 3);
}

#[test]
fn a_source_that_was_forgotten_and_came_again_is_a_duplicate() {
    let made = Made::chain(0, 3);
    let mut silent = made.footers[1].clone();
    silent.sources = Sources::new();
    made.write(&silent);
    let mut again = made.footers[2].clone();
    again.sources = Sources::new();
    again.sources.insert_range(SOURCE, 105, 115, 0);
    made.write(&again);
    assert_eq!(made.verify(false, false).duplicates, 5);
}

#[test]
fn a_stray_is_named_but_not_a_table_formats_own_file() {
    let made = Made::chain(0, 2);
    fs::create_dir_all(made.path("churn/_delta_log")).unwrap();
    fs::write(made.path("churn/_delta_log/0001.checkpoint.parquet"), "x").unwrap();
    made.verify(true, true);
    fs::write(made.path("churn/dt=1970-01-01/copy of a file.parquet"), "x").unwrap();
    fs::write(made.path("churn/dt=1970-01-01/churn.g02-p0000-00000000000000000000.parquet"), "x").unwrap();
    let table = made.verify(false, false);
    let strays = ["churn.g02-p0000-00000000000000000000.parquet", "copy of a file.parquet"];
    assert_eq!(table.strays, strays.map(|name| format!("churn/dt=1970-01-01/{name}")));
    assert_eq!(table.files, 2);
}

#[test]
fn without_its_origin_document_every_file_is_a_stray() {
    let made = Made::chain(0, 3);
    fs::remove_file(made.path("churn/_weir/origins/churn.g01.json")).unwrap();
    assert_eq!(made.verify(false, false).strays.len(), 3);
    fs::write(made.path("churn/_weir/origins/churn.g01.json"), "{}").unwrap();
    let table = made.verify(false, false);
    assert!(table.problems[0].contains("no origin document"), "{:?}", table.problems);
}

#[test]
fn a_truncated_file_is_named_and_hides_nothing_else() {
    let made = Made::chain(0, 6);
    let path = made.path(&made.footers[2].key());
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    for deep in [false, true] {
        let table = made.verify(deep, false);
        assert_eq!(table.problems.len(), 1, "{:?}", table.problems);
        assert!(table.problems[0].contains("churn.g01-p0000-00000000000000000120.parquet"), "{:?}", table.problems);
        assert_eq!((table.files, table.rows, table.duplicates), (6, 50, 0));
        assert_eq!((table.gaps.len(), table.overlaps.len()), (0, 0));
    }
}

#[test]
fn a_footer_that_contradicts_its_name_its_chain_or_itself_is_a_problem() {
    type Damage = fn(&mut Footer);
    let damages: [(Damage, &str); 8] = [
        (|footer| footer.chain.partition = 7, "its footer says"),
        (|footer| footer.topic_id = "another".into(), "topic id `another`"),
        (|footer| footer.rows = 11, "11 rows of 10 offsets"),
        (|footer| footer.rows = 9, "stored went from 10 to 20 with 9 rows"),
        (|footer| footer.quarantined = 12, "12 quarantined rows"),
        (|footer| footer.totals.consumed += 1, "is not stored"),
        (|footer| footer.previous = None, "names `none`"),
        (|footer| footer.sources = Sources([(SOURCE.to_owned(), Default::default())].into()), "it forgot 10 rows"),
    ];
    for (damage, wanted) in damages {
        let made = Made::chain(0, 2);
        let mut footer = made.footers[1].clone();
        let key = footer.key();
        damage(&mut footer);
        made.write(&footer);
        if footer.key() != key {
            fs::rename(made.path(&footer.key()), made.path(&key)).unwrap();
        }
        let table = made.verify(false, false);
        assert!(table.problems.iter().any(|problem| problem.contains(wanted)), "{wanted}: {:?}", table.problems);
    }
}

#[test]
fn deep_finds_what_footers_cannot_know() {
    let made = Made::chain(0, 2);
    let footer = made.footers[1].clone();
    let offsets: Vec<i64> = (110..120).collect();
    let ids = |offsets: &[i64]| offsets.iter().map(|offset| format!("0-{offset}")).collect::<Vec<_>>();
    let (mut outside, mut twice, fewer) = (offsets.clone(), offsets.clone(), offsets[1..].to_vec());
    outside[9] = 120;
    twice[5] = twice[4];
    for (rows, wanted) in [(outside, "offset 120"), (twice, "do not rise at 114"), (fewer, "it holds 9 rows")] {
        // Ids of their own, so that each damage is the only one.
        let fresh = (0..rows.len()).map(|n| format!("fresh-{n}")).collect();
        made.write_rows(&footer, rows, fresh);
        made.verify(false, true);
        let table = made.verify(true, false);
        assert!(table.problems.len() == 1 && table.problems[0].contains(wanted), "{wanted}: {:?}", table.problems);
        assert_eq!(table.duplicates, 0);
    }
    let mut doubled = ids(&offsets);
    doubled[0] = "0-100".to_owned();
    doubled[9] = "0-112".to_owned();
    made.write_rows(&footer, offsets, doubled);
    made.verify(false, true);
    assert_eq!(made.verify(true, false).duplicates, 2);
}

#[test]
fn a_later_generation_is_a_chain_of_its_own_that_may_know_the_older_ones_rows() {
    let made = Made::chain(0, 2);
    made.origin(2, [(0, 120)]);
    let mut next = made.footers[1].clone();
    next.chain.generation = 2;
    (next.first, next.next, next.previous) = (120, 130, None);
    next.sources.insert_range(SOURCE, 120, 130, 0);
    next.totals = Totals { consumed: 33, stored: 30, resent: 3 };
    made.write(&next);
    let table = made.verify(true, true);
    assert_eq!(table.partitions["churn.g02-p0000"].first, 120);
    assert_eq!((table.sources[SOURCE].rows, table.sources[SOURCE].missing), (30, 0));

    // One that starts inside the older one holds its rows again.
    made.origin(3, [(0, 125)]);
    made.verify(true, false);
}

#[test]
fn starts_of_one_lane_are_one_run_of_seqs() {
    let made = Made::chain(0, 2);
    let mut second = made.footers[1].clone();
    let epoch = "0123456789abcdef0123456789abcdef-0-0000000b";
    second.sources = made.footers[0].sources.clone();
    second.sources.insert_range(epoch, 112, 120, 0);
    made.write(&second);
    let table = made.verify(false, true);
    assert_eq!((table.sources[SOURCE].missing, table.sources[epoch].missing), (0, 2));
    assert_eq!(table.notes.len(), 1, "{:?}", table.notes);
}
