//! The S3 store against a real S3 server.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Barrier};
use std::thread;

use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use weir::config::{self, Partitioning};
use weir::drain::footer::{FOOTER_VERSION, Footer, Sources, Totals};
use weir::drain::names::{ChainId, Dt, ORIGIN_VERSION, OriginDoc};
use weir::drain::store::{Content, Created, Kind, S3Store, Store, StoreError, open_address};
use weir::drain::verify::verify;

use crate::support::s3::{self, Bucket, Gateway};

fn open(bucket: &Bucket, prefix: &str) -> S3Store {
    let account = &bucket.account;
    S3Store::open_with_key(&bucket.config(prefix), bucket.runtime(), &account.key, &account.secret).unwrap()
}

fn bytes(text: &str) -> Content<'static> {
    Content::Bytes(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn a_key_is_created_once_and_keeps_its_content() {
    let bucket = s3::bucket();
    let store = open(&bucket, "some/prefix");
    assert_eq!(store.address(), format!("s3://{}/some/prefix", bucket.name));
    assert_eq!(store.get("t/a.json").unwrap(), None);
    assert_eq!(store.tail("t/a.json", 8).unwrap(), None);
    assert_eq!(store.create("t/a.json", bytes("first")).unwrap(), Created::New);
    assert_eq!(store.create("t/a.json", bytes("second")).unwrap(), Created::Exists);
    assert_eq!(store.get("t/a.json").unwrap().unwrap(), "first");
    assert_eq!(bucket.keys(), ["some/prefix/t/a.json"]);
    assert_eq!(bucket.get("some/prefix/t/a.json"), b"first");
}

#[test]
fn a_file_is_sent_whole_and_its_end_is_read_alone() {
    let bucket = s3::bucket();
    let store = open(&bucket, "");
    let content: Vec<u8> = (0..5_000_000u32).map(|i| (i % 251) as u8).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    assert_eq!(store.create("t/f.parquet", Content::File(file.path())).unwrap(), Created::New);
    assert_eq!(store.get("t/f.parquet").unwrap().unwrap(), content);
    let (tail, size) = store.tail("t/f.parquet", 1000).unwrap().unwrap();
    assert_eq!((&tail[..], size), (&content[content.len() - 1000..], content.len() as u64));
    let (tail, size) = store.tail("t/f.parquet", u64::from(u32::MAX)).unwrap().unwrap();
    assert_eq!((tail.len() as u64, size), (content.len() as u64, content.len() as u64));

    let empty = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(store.create("t/empty", Content::File(empty.path())).unwrap(), Created::New);
    assert_eq!(store.get("t/empty").unwrap().unwrap(), "");
    assert_eq!(store.tail("t/empty", 8).unwrap().unwrap(), (Bytes::new(), 0));
}

#[test]
fn lists_come_in_pages_in_key_order_from_any_key_on() {
    let bucket = s3::bucket();
    let store = open(&bucket, "p");
    // More than the 1,000 keys of one page, written by several threads.
    thread::scope(|scope| {
        for part in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for i in (0..1_100).filter(|i| i % 8 == part) {
                    store.create(&format!("t/dt=2026-11-25/{i:05}"), bytes("x")).unwrap();
                }
            });
        }
    });
    store.create("t/_weir/origins/t.g01.json", bytes("{}")).unwrap();
    store.create("t2/x", bytes("abc")).unwrap();
    let keys: Vec<_> = store.list("t/dt=", None).unwrap().into_iter().map(|listed| listed.key).collect();
    let wanted: Vec<_> = (0..1_100).map(|i| format!("t/dt=2026-11-25/{i:05}")).collect();
    assert_eq!(keys, wanted);
    let after = store.list("t/dt=2026-11-25/", Some("t/dt=2026-11-25/01097")).unwrap();
    assert_eq!(
        after.iter().map(|listed| listed.key.as_str()).collect::<Vec<_>>(),
        ["t/dt=2026-11-25/01098", "t/dt=2026-11-25/01099"]
    );
    assert_eq!(store.list("", None).unwrap().len(), 1_102);
    assert_eq!(store.list("t2/", None).unwrap()[0].bytes, 3);
    assert_eq!(store.list("nothing/", None).unwrap(), []);
    assert_eq!(store.folders("").unwrap(), ["t", "t2"]);
    assert_eq!(store.folders("t/").unwrap(), ["_weir", "dt=2026-11-25"]);
    assert_eq!(store.folders("nothing/").unwrap(), Vec::<String>::new());
}

#[test]
fn of_sixteen_writers_of_one_key_one_wins_and_its_content_stands() {
    let bucket = s3::bucket();
    let store = Arc::new(open(&bucket, "race"));
    for round in 0..10 {
        let key = format!("t/{round}");
        let start = Arc::new(Barrier::new(16));
        let writers = (0..16).map(|writer| {
            let (store, key, start) = (store.clone(), key.clone(), start.clone());
            thread::spawn(move || {
                let body = format!("{writer}-").repeat(1_000);
                start.wait();
                // A conflict of two is no answer yet: as the drain does, ask again.
                loop {
                    match store.create(&key, bytes(&body)) {
                        Ok(created) => return (created, body),
                        Err(error) => assert_eq!(error.kind(), Kind::Retry, "{error}"),
                    }
                }
            })
        });
        let answers: Vec<_> = writers.collect::<Vec<_>>().into_iter().map(|writer| writer.join().unwrap()).collect();
        let won: Vec<_> = answers.iter().filter(|(created, _)| *created == Created::New).collect();
        assert_eq!(won.len(), 1, "round {round}");
        assert_eq!(store.get(&key).unwrap().unwrap(), won[0].1.as_bytes());
    }
}

#[test]
fn the_self_test_passes_again_and_again_on_one_object() {
    let bucket = s3::bucket();
    let store = open(&bucket, "p");
    store.self_test().unwrap();
    store.self_test().unwrap();
    open(&bucket, "p").self_test().unwrap();
    assert_eq!(bucket.keys(), ["p/_weir/self-test"]);
}

#[test]
fn refusals_name_the_bucket_the_key_and_the_fix_but_no_secret() {
    let bucket = s3::bucket();
    let account = &bucket.account;
    let no_bucket = config::S3 { bucket: "weir-no-such-bucket".to_owned(), ..bucket.config("p") };
    let missing = S3Store::open_with_key(&no_bucket, bucket.runtime(), &account.key, &account.secret).unwrap();
    let wrong = S3Store::open_with_key(&bucket.config("p"), bucket.runtime(), &account.key, "wrong-secret").unwrap();
    let unknown = S3Store::open_with_key(&bucket.config("p"), bucket.runtime(), "nobody", "wrong-secret").unwrap();
    let cases: [(&S3Store, &str, &str); 3] = [
        (&missing, "s3://weir-no-such-bucket/p/t/a", "create the bucket"),
        (&wrong, "/p/t/a", "AWS_SECRET_ACCESS_KEY"),
        (&unknown, "/p/t/a", "AWS_ACCESS_KEY_ID"),
    ];
    for (store, object, fix) in cases {
        let mut errors: Vec<StoreError> =
            vec![store.create("t/a", bytes("x")).unwrap_err(), store.list("t/a", None).unwrap_err()];
        // VersityGW says of an object in a missing bucket that the object is missing.
        errors.extend(store.get("t/a").err());
        errors.extend(store.tail("t/a", 8).err());
        assert!(errors.len() == 4 || object.contains("no-such-bucket"));
        for error in errors {
            let text = error.to_string();
            assert_eq!(error.kind(), Kind::Stop, "{text}");
            assert!(text.contains(object) && text.contains(fix), "{text}");
            assert!(!text.contains("wrong-secret") && !text.contains(&account.secret), "{text}");
        }
    }
    assert_eq!(bucket.keys(), Vec::<String>::new());
}

#[test]
fn a_server_that_is_gone_is_worth_asking_again_and_answers_when_it_is_back() {
    let gateway = Gateway::start();
    let bucket = Bucket::create(&gateway.account);
    let store = open(&bucket, "");
    assert_eq!(store.create("t/a", bytes("x")).unwrap(), Created::New);
    drop(gateway);
    for error in [store.create("t/b", bytes("x")).unwrap_err(), store.get("t/a").unwrap_err()] {
        assert_eq!(error.kind(), Kind::Retry, "{error}");
    }
}

#[test]
fn an_address_opens_what_the_configuration_would() {
    let bucket = s3::bucket();
    open(&bucket, "a/b").create("t/x", bytes("x")).unwrap();
    // The default chain has no credentials here; what is opened is what counts.
    let address = format!("s3://{}/a/b/", bucket.name);
    let opened = open_address(&address, Some(&bucket.config("")), bucket.runtime()).unwrap();
    assert_eq!(opened.address(), format!("s3://{}/a/b", bucket.name));
    assert!(open_address("s3://", None, bucket.runtime()).unwrap_err().to_string().contains("s3://bucket/prefix"));
    let keys: BTreeSet<_> = open(&bucket, "a").list("", None).unwrap().into_iter().map(|listed| listed.key).collect();
    assert_eq!(keys, BTreeSet::from(["b/t/x".to_owned()]));
}

/// One file of a chain, with no rows in it: what the footers say is what counts here.
fn file(first: u64, next: u64, previous: Option<String>) -> (String, Vec<u8>) {
    let footer = Footer {
        version: FOOTER_VERSION,
        chain: ChainId { table: "churn".into(), origin: "churn".into(), generation: 1, partition: 0 },
        topic_id: String::new(),
        first,
        next,
        rows: next - first,
        quarantined: 0,
        dt: Dt::of(0, Partitioning::Day),
        created_ms: 0,
        min_timestamp_ms: 0,
        max_timestamp_ms: 0,
        schema: 1,
        sources: Sources::new(),
        totals: Totals { consumed: next, stored: next, resent: 0 },
        last_hash: String::new(),
        writer: String::new(),
        previous,
    };
    let schema = Schema::new(vec![Field::new("_offset", DataType::Int64, false)]);
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::new(schema), None).unwrap();
    for (key, value) in footer.to_key_values() {
        writer.append_key_value_metadata(KeyValue::new(key, value));
    }
    (footer.key(), writer.into_inner().unwrap())
}

#[test]
fn verify_reads_a_bucket_and_finds_what_was_taken_out_of_it() {
    let bucket = s3::bucket();
    let store = open(&bucket, "p");
    store.self_test().unwrap();
    let doc = OriginDoc {
        version: ORIGIN_VERSION,
        table: "churn".into(),
        origin: "churn".into(),
        generation: 1,
        partitioning: Partitioning::Day,
        topic_id: String::new(),
        starts: [(0, 0)].into(),
        created_ms: 0,
    };
    store.create(&doc.key(), Content::Bytes(serde_json::to_vec(&doc).unwrap().into())).unwrap();
    let mut previous = None;
    for n in 0..40 {
        let (key, content) = file(n * 5, n * 5 + 5, previous.take());
        store.create(&key, Content::Bytes(content.into())).unwrap();
        previous = Some(key);
    }
    let report = verify(&store, false);
    assert!(report.ok, "{report}");
    assert_eq!((report.tables["churn"].files, report.tables["churn"].rows), (40, 200));

    let (taken, _) = file(50, 55, None);
    let (damaged, mut content) = file(100, 105, None);
    bucket.delete(&format!("p/{taken}"));
    content.truncate(content.len() - 9);
    bucket.put(&format!("p/{damaged}"), content);
    let report = verify(&store, true);
    let table = &report.tables["churn"];
    assert!(!report.ok);
    assert_eq!(table.gaps.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(50, 55)], "{report}");
    assert!(table.problems.iter().any(|problem| problem.contains(&damaged)), "{report}");
}
