use std::collections::BTreeMap;
use std::fs::{self, File};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use proptest::prelude::*;

use super::*;
use crate::config::Partitioning;
use crate::drain::footer::{FOOTER_VERSION, Sources, Totals};
use crate::drain::names::{ChainId, Dt};

fn bytes(text: &str) -> Content<'static> {
    Content::Bytes(Bytes::copy_from_slice(text.as_bytes()))
}

fn folder() -> (tempfile::TempDir, Folder) {
    let dir = tempfile::tempdir().unwrap();
    let store = Folder::open(&dir.path().join("made/by/weir")).unwrap();
    (dir, store)
}

#[test]
fn of_sixteen_threads_that_create_one_key_one_wins_and_its_content_stands() {
    let (_dir, store) = folder();
    let store = Arc::new(store);
    for round in 0..20 {
        let key = format!("t/dt=2026-11-{round:02}/f.parquet");
        let start = Arc::new(Barrier::new(16));
        let writers = (0..16).map(|writer| {
            let (store, key, start) = (store.clone(), key.clone(), start.clone());
            thread::spawn(move || {
                let body = format!("{writer}-").repeat(10_000);
                start.wait();
                let created = store.create(&key, bytes(&body)).unwrap();
                // Won or not: what stands there is whole from the first moment on.
                (created, body, store.get(&key).unwrap().unwrap())
            })
        });
        let answers: Vec<_> = writers.collect::<Vec<_>>().into_iter().map(|writer| writer.join().unwrap()).collect();
        let won: Vec<_> = answers.iter().filter(|(created, ..)| *created == Created::New).collect();
        assert_eq!(won.len(), 1, "round {round}");
        assert!(answers.iter().all(|(_, _, stands)| *stands == won[0].1.as_bytes()));
    }
    assert_eq!(fs::read_dir(Path::new(&store.address()).join(".tmp")).unwrap().count(), 0);
}

#[test]
fn what_is_published_is_beyond_the_callers_reach() {
    let (dir, store) = folder();
    let own = dir.path().join("own");
    fs::write(&own, "first").unwrap();
    assert_eq!(store.create("t/a", Content::File(&own)).unwrap(), Created::New);
    fs::write(&own, "second").unwrap();
    assert_eq!(store.create("t/a", Content::File(&own)).unwrap(), Created::Exists);
    assert_eq!(store.get("t/a").unwrap().unwrap(), "first");
    assert_eq!(store.tail("t/a", 2).unwrap().unwrap(), (Bytes::from("st"), 5));
    assert_eq!(store.tail("t/a", 99).unwrap().unwrap(), (Bytes::from("first"), 5));
    assert_eq!((store.get("t/b").unwrap(), store.get("t").unwrap()), (None, None));
    assert_eq!(store.tail("t/a/below-a-file", 2).unwrap(), None);
    fs::write(&own, "").unwrap();
    store.create("t/empty", Content::File(&own)).unwrap();
    assert_eq!(store.get("t/empty").unwrap().unwrap(), "");
}

#[test]
fn leftovers_are_never_listed_and_go_when_they_are_old() {
    let (_dir, store) = folder();
    let aside = Path::new(&store.address()).join(".tmp");
    fs::write(aside.join("old.part"), "x").unwrap();
    fs::write(aside.join("young.part"), "x").unwrap();
    fs::write(aside.join("somebody-elses"), "x").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(3700);
    for name in ["old.part", "somebody-elses"] {
        File::options().write(true).open(aside.join(name)).unwrap().set_modified(long_ago).unwrap();
    }
    store.create("t/a", bytes("x")).unwrap();
    assert_eq!(store.list("", None).unwrap(), [Listed { key: "t/a".to_owned(), bytes: 1 }]);
    assert_eq!(store.folders("").unwrap(), ["t"]);
    Folder::open_to_read(Path::new(&store.address())).unwrap();
    assert!(aside.join("old.part").exists(), "reading changes nothing");
    Folder::open(Path::new(&store.address())).unwrap();
    let mut left: Vec<_> = fs::read_dir(&aside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["somebody-elses", "young.part"]);
}

#[test]
fn a_range_is_all_of_it_or_damage() {
    let (_dir, store) = folder();
    store.create("t/a", bytes("0123456789")).unwrap();
    assert_eq!(store.range("t/a", 2..6).unwrap().unwrap(), "2345");
    assert_eq!(store.range("t/a", 10..10).unwrap().unwrap(), "");
    assert_eq!(store.range("t/none", 0..1).unwrap(), None);
    let short = store.range("t/a", 8..12).unwrap_err();
    assert!(short.to_string().contains("it has no bytes 8 to 12"), "{short}");
}

#[test]
fn keys_that_lead_out_of_the_folder_are_refused() {
    let (_dir, store) = folder();
    for key in ["", "/etc/x", "../x", "a/../../x", "a//b", "a/", ".tmp/x", "a/\0"] {
        let error = store.create(key, bytes("x")).unwrap_err();
        assert_eq!(error.kind(), Kind::Stop, "{key}");
        assert!(store.get(key).is_err(), "{key}");
    }
    assert_eq!(store.list("", None).unwrap(), []);
    let missing = Folder::open_to_read(Path::new("/no/such/folder")).unwrap_err();
    assert!(missing.to_string().contains("no such folder"), "{missing}");
}

#[test]
fn a_folder_that_cannot_be_made_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = Folder::open(&file.join("below")).unwrap_err();
    assert_eq!(error.kind(), Kind::Stop);
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

fn keys() -> impl Strategy<Value = Vec<String>> {
    // Names around the slash in the order of bytes, where an order by folders differs from one by keys.
    let part = "[ab.-]{1,3}".prop_filter("a dot folder is no key", |part| part != "." && part != "..");
    let key = (prop::collection::vec(part, 0..3), "[ab.-]{0,2}f").prop_map(|(mut parts, leaf)| {
        parts.push(leaf);
        parts.join("/")
    });
    prop::collection::vec(key, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_folder_lists_as_s3_does(keys in keys(), prefix in "[ab./-]{0,4}", after in prop::option::of("[abf./-]{0,5}")) {
        let (_dir, store) = folder();
        for key in &keys {
            store.create(key, bytes("x")).unwrap();
        }
        prop_assume!(!prefix.starts_with('/') && !prefix.contains("//"));
        prop_assume!(!prefix.split('/').rev().skip(1).any(|part| part == "." || part == ".."));
        let mut wanted: Vec<_> = keys.iter().filter(|key| key.starts_with(&prefix)).collect();
        wanted.retain(|key| after.as_ref().is_none_or(|after| *key > after));
        wanted.sort();
        wanted.dedup();
        let listed = store.list(&prefix, after.as_deref()).unwrap();
        prop_assert_eq!(listed.iter().map(|listed| &listed.key).collect::<Vec<_>>(), wanted);
    }
}

/// A store of one map that keeps its promise, or breaks it in one way.
#[derive(Default)]
struct Fake {
    objects: Mutex<BTreeMap<String, Bytes>>,
    overwrites: bool,
    says_new: bool,
}

impl Store for Fake {
    fn create(&self, key: &str, content: Content<'_>) -> Result<Created, StoreError> {
        let Content::Bytes(body) = content else { panic!("bytes only") };
        let mut objects = self.objects.lock().unwrap();
        let exists = objects.contains_key(key);
        if !exists || self.overwrites {
            objects.insert(key.to_owned(), body);
        }
        Ok(if exists && !self.says_new { Created::Exists } else { Created::New })
    }
    fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.objects.lock().unwrap().get(key).cloned())
    }
    fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        let object = self.objects.lock().unwrap().get(key).cloned();
        Ok(object.map(|object| (object.slice(object.len().saturating_sub(bytes as usize)..), object.len() as u64)))
    }
    fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        unreachable!()
    }
    fn folders(&self, _: &str) -> Result<Vec<String>, StoreError> {
        unreachable!()
    }
    fn address(&self) -> String {
        "s3://fake".to_owned()
    }
}

#[test]
fn the_self_test_refuses_stores_that_overwrite_whatever_they_say() {
    let (_dir, folder) = folder();
    folder.self_test().unwrap();
    folder.self_test().unwrap();
    assert_eq!(folder.list("", None).unwrap().len(), 1);
    for (overwrites, says_new, is_fit) in
        [(false, false, true), (true, true, false), (true, false, false), (false, true, false)]
    {
        let store = Fake { overwrites, says_new, ..Fake::default() };
        // The first process finds the root empty, the next one does not.
        for process in 0..2 {
            let passed = store.self_test();
            assert_eq!(passed.is_ok(), is_fit, "overwrites {overwrites}, says new {says_new}, process {process}");
            if let Err(error) = passed {
                assert_eq!(error.kind(), Kind::Stop);
                assert!(
                    error.to_string().contains("s3://fake") && error.to_string().contains("If-None-Match"),
                    "{error}"
                );
            }
        }
    }
}

fn footer() -> Footer {
    Footer {
        version: FOOTER_VERSION,
        chain: ChainId { table: "t".into(), origin: "t".into(), generation: 1, partition: 0 },
        topic_id: String::new(),
        first: 0,
        next: 3,
        rows: 3,
        quarantined: 0,
        dt: Dt::of(0, Partitioning::Day),
        created_ms: 0,
        min_timestamp_ms: 0,
        max_timestamp_ms: 0,
        schema: 1,
        sources: Sources::new(),
        totals: Totals { consumed: 3, stored: 3, resent: 0 },
        last_hash: String::new(),
        writer: String::new(),
        previous: None,
        cause: None,
    }
}

fn parquet(footer: &Footer, more: &[(String, String)]) -> Vec<u8> {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 2]));
    let batch = RecordBatch::try_from_iter([("_offset", column)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    for (key, value) in footer.to_key_values().into_iter().chain(more.iter().cloned()) {
        writer.append_key_value_metadata(KeyValue::new(key, value));
    }
    writer.into_inner().unwrap()
}

#[test]
fn a_footer_is_read_however_long_it_is() {
    let (_dir, store) = folder();
    for (key, padding) in [("short", 0), ("long", 200_000)] {
        let file = parquet(&footer(), &[("padding".to_owned(), "x".repeat(padding))]);
        store.create(key, Content::Bytes(file.into())).unwrap();
        assert_eq!(read_footer(&store, key).unwrap().unwrap(), footer(), "{key}");
    }
    assert!(read_footer(&store, "missing").unwrap().is_none());
}

#[test]
fn a_file_cut_or_changed_anywhere_is_an_error_or_the_same_footer() {
    let store = Fake::default();
    let whole = parquet(&footer(), &[]);
    for length in 0..whole.len() {
        let key = format!("cut/{length}");
        store.create(&key, Content::Bytes(whole[..length].to_vec().into())).unwrap();
        assert_eq!(read_footer(&store, &key).unwrap_err().kind(), Kind::Stop, "{length}");
    }
    for at in whole.len() - 60..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        let key = format!("changed/{at}");
        store.create(&key, Content::Bytes(changed.into())).unwrap();
        // The end of a file is lengths and magic numbers: none of it may be believed unread.
        let read = read_footer(&store, &key);
        assert!(matches!(read, Ok(Some(_)) | Err(StoreError::Damaged { .. } | StoreError::Footer { .. })), "{at}");
    }
    let newer = Footer { version: FOOTER_VERSION + 1, ..footer() };
    store.create("newer", Content::Bytes(parquet(&newer, &[]).into())).unwrap();
    assert!(matches!(read_footer(&store, "newer"), Err(StoreError::Footer { source: FooterError::Version(_), .. })));
}
