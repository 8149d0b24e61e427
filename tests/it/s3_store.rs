//! The S3 store against real S3 servers: VersityGW (or the one that `WEIR_TEST_S3` names), and moto.

use std::io::Write;
use std::process::Command;
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

use crate::support::moto;
use crate::support::s3::{self, Bucket, Gateway};

/// A new bucket on each server.
fn buckets() -> [Bucket; 2] {
    [s3::bucket(), moto::bucket()]
}

fn open(bucket: &Bucket, prefix: &str) -> S3Store {
    let account = &bucket.account;
    S3Store::open_with_key(&bucket.config(prefix), bucket.runtime(), &account.key, &account.secret).unwrap()
}

/// The same for a store that sends everything in parts.
fn open_in_parts(bucket: &Bucket, prefix: &str) -> S3Store {
    let account = &bucket.account;
    let config = config::S3 { multipart_bytes: 0, ..bucket.config(prefix) };
    S3Store::open_with_key(&config, bucket.runtime(), &account.key, &account.secret).unwrap()
}

fn bytes(text: &str) -> Content<'static> {
    Content::Bytes(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn a_key_is_created_once_and_keeps_its_content() {
    for bucket in buckets() {
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
}

#[test]
fn a_file_is_sent_whole_and_its_end_is_read_alone() {
    for bucket in buckets() {
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
}

/// What is larger than the threshold goes in parts, and looks the same afterwards.
#[test]
fn a_large_file_is_created_once_in_parts() {
    for bucket in buckets() {
        let store = open_in_parts(&bucket, "p");
        store.self_test().unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let block: Vec<u8> = (0..1_048_573u32).map(|i| (i % 251) as u8).collect();
        (0..40).for_each(|_| file.write_all(&block).unwrap());
        assert_eq!(store.create("t/f.parquet", Content::File(file.path())).unwrap(), Created::New);
        assert!(store.get("t/f.parquet").unwrap().unwrap() == std::fs::read(file.path()).unwrap());
        // An ETag says how many parts an object had.
        assert!(bucket.etag("p/t/f.parquet").ends_with("-3\""), "{}", bucket.etag("p/t/f.parquet"));
        assert_eq!(store.create("t/f.parquet", Content::File(file.path())).unwrap(), Created::Exists);
        assert_eq!(store.create("t/f.parquet", bytes("small")).unwrap(), Created::Exists);
        assert_eq!(bucket.unfinished_uploads(), 0);
    }
}

const LARGE_BYTES: u64 = 192 << 20;
/// Four parts of 16 MiB on their way, had they been copied, would be 64 MiB.
const MEMORY_BYTES_MAX: u64 = 32 << 20;

/// Run by the test below, so that the memory is its own.
#[test]
#[ignore = "a part of another test"]
fn sending_a_large_file() {
    let bucket = s3::bucket();
    let store = open(&bucket, "");
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(LARGE_BYTES).unwrap();
    store.create("t/small", bytes("x")).unwrap();
    let heap = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    };
    let before = heap();
    let (most, rounds) = thread::scope(|scope| {
        let sending = scope.spawn(|| store.create("t/large.parquet", Content::File(file.path())).unwrap());
        let (mut most, mut rounds) = (0, 0);
        while !sending.is_finished() {
            most = most.max(heap());
            rounds += 1;
            thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(sending.join().unwrap(), Created::New);
        (most, rounds)
    });
    println!("memory: {} in {rounds} looks", most.saturating_sub(before));
}

#[test]
fn a_large_file_takes_its_parts_from_the_page_cache_not_from_the_heap() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "s3_store::sending_a_large_file", "--ignored", "--nocapture"]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let memory = said.lines().find_map(|line| line.split_once("memory: ")?.1.split(' ').next()?.parse::<u64>().ok());
    let memory = memory.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    assert!(memory < MEMORY_BYTES_MAX, "{said}");
    println!("{said}");
}

#[test]
fn of_writers_of_one_key_in_parts_and_at_once_one_wins() {
    let bucket = s3::bucket();
    let (parts, whole) = (open_in_parts(&bucket, "race"), open(&bucket, "race"));
    for round in 0..10 {
        let key = format!("t/{round}");
        let start = Barrier::new(8);
        let answers: Vec<_> = thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    let store = if writer % 2 == 0 { &parts } else { &whole };
                    let (key, start) = (&key, &start);
                    scope.spawn(move || {
                        let body = format!("{writer}-").repeat(1_000);
                        start.wait();
                        loop {
                            match store.create(key, bytes(&body)) {
                                Ok(created) => return (created, body),
                                Err(error) => assert_eq!(error.kind(), Kind::Retry, "{error}"),
                            }
                        }
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let won: Vec<_> = answers.iter().filter(|(created, _)| *created == Created::New).collect();
        assert_eq!(won.len(), 1, "round {round}");
        assert!(whole.get(&key).unwrap().unwrap() == won[0].1.as_bytes());
    }
    assert_eq!(bucket.unfinished_uploads(), 0);
}

#[test]
fn lists_come_in_pages_in_key_order_from_any_key_on() {
    // More than the 1,000 keys of one page where that is quick.
    for (bucket, count) in buckets().into_iter().zip([1_100, 110usize]) {
        let store = open(&bucket, "p");
        thread::scope(|scope| {
            for part in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for i in (0..count).filter(|i| i % 8 == part) {
                        store.create(&format!("t/dt=2026-11-25/{i:05}"), bytes("x")).unwrap();
                    }
                });
            }
        });
        store.create("t/_weir/origins/t.g01.json", bytes("{}")).unwrap();
        store.create("t2/x", bytes("abc")).unwrap();
        let keys: Vec<_> = store.list("t/dt=", None).unwrap().into_iter().map(|listed| listed.key).collect();
        let wanted: Vec<_> = (0..count).map(|i| format!("t/dt=2026-11-25/{i:05}")).collect();
        assert_eq!(keys, wanted);
        let after = store.list("t/dt=2026-11-25/", Some(&wanted[count - 3])).unwrap();
        assert_eq!(after.iter().map(|listed| listed.key.clone()).collect::<Vec<_>>(), wanted[count - 2..]);
        assert_eq!(store.list("", None).unwrap().len(), count + 2);
        assert_eq!(store.list("t2/", None).unwrap()[0].bytes, 3);
        assert_eq!(store.list("nothing/", None).unwrap(), []);
        assert_eq!(store.folders("").unwrap(), ["t", "t2"]);
        assert_eq!(store.folders("t/").unwrap(), ["_weir", "dt=2026-11-25"]);
        assert_eq!(store.folders("nothing/").unwrap(), Vec::<String>::new());
    }
}

#[test]
fn of_sixteen_writers_of_one_key_one_wins_and_its_content_stands() {
    for bucket in buckets() {
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
            let answers: Vec<_> =
                writers.collect::<Vec<_>>().into_iter().map(|writer| writer.join().unwrap()).collect();
            let won: Vec<_> = answers.iter().filter(|(created, _)| *created == Created::New).collect();
            assert_eq!(won.len(), 1, "round {round}");
            assert_eq!(store.get(&key).unwrap().unwrap(), won[0].1.as_bytes());
        }
    }
}

#[test]
fn the_self_test_passes_again_and_again_on_one_object() {
    for bucket in buckets() {
        let store = open(&bucket, "p");
        store.self_test().unwrap();
        store.self_test().unwrap();
        open(&bucket, "p").self_test().unwrap();
        assert_eq!(bucket.keys(), ["p/_weir/self-test"]);
    }
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
    let mut gateway = Gateway::start();
    let bucket = Bucket::create(&gateway.account);
    let store = open(&bucket, "");
    assert_eq!(store.create("t/a", bytes("x")).unwrap(), Created::New);
    gateway.kill();
    for error in [store.create("t/b", bytes("x")).unwrap_err(), store.get("t/a").unwrap_err()] {
        assert_eq!(error.kind(), Kind::Retry, "{error}");
    }
    gateway.start_again();
    assert_eq!(store.create("t/a", bytes("y")).unwrap(), Created::Exists);
    assert_eq!(store.create("t/b", bytes("y")).unwrap(), Created::New);
    assert_eq!(store.get("t/a").unwrap().unwrap(), "x");
}

/// The suite itself runs against the server that the variable names: with a dead one it fails, with moto it passes.
#[test]
fn the_servers_of_others_are_used_where_they_are_named() {
    let run = |server: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "s3_store::of_sixteen_writers_of_one_key_one_wins_and_its_content_stands"]);
        let output = command.env("WEIR_TEST_S3", server).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let moto = moto::account();
    let (passed, said) = run(&format!("{},{},{}", moto.endpoint, moto.key, moto.secret));
    assert!(passed && said.contains("1 passed"), "{said}");
    assert!(!run("http://127.0.0.1:9,key,secret").0);
    assert!(!run("http://127.0.0.1:9").0);
}

/// What the store finds in its environment: run by the tests below as a process of its own.
#[test]
#[ignore = "a part of other tests, which set its environment"]
fn in_an_environment() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let s3 = config::S3 {
        bucket: std::env::var("BUCKET").unwrap(),
        prefix: String::new(),
        endpoint: Some(std::env::var("ENDPOINT").unwrap()),
        region: None,
        path_style: true,
        sse_kms: None,
        multipart_bytes: config::MULTIPART_BYTES,
    };
    let opened = open_address(&format!("s3://{}/a/b/", s3.bucket), Some(&s3), runtime.handle()).unwrap();
    println!("address: {}", opened.address());
    match opened.list("", None) {
        Ok(listed) => println!("listed: {listed:?}"),
        Err(error) => println!("{:?}: {error}", error.kind()),
    }
}

fn in_environment(bucket: &Bucket, env: Vec<(&'static str, String)>) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "s3_store::in_an_environment", "--ignored", "--nocapture"]).env_clear();
    command.env("BUCKET", &bucket.name).env("ENDPOINT", &bucket.account.endpoint).envs(env);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn credentials_come_from_the_environment_as_for_every_aws_program() {
    let bucket = s3::bucket();
    open(&bucket, "a/b").create("t/x", bytes("x")).unwrap();
    let said = in_environment(&bucket, bucket.account.env());
    assert!(said.contains(&format!("address: s3://{}/a/b\n", bucket.name)), "{said}");
    assert!(said.contains(r#"listed: [Listed { key: "t/x", bytes: 1 }]"#), "{said}");

    let said = in_environment(&bucket, vec![("AWS_EC2_METADATA_DISABLED", "true".to_owned())]);
    assert!(said.contains("Stop: ") && said.contains("give it credentials: AWS_ACCESS_KEY_ID"), "{said}");

    let error = open_address("s3://", None, bucket.runtime()).unwrap_err();
    assert!(error.to_string().contains("s3://bucket/prefix"), "{error}");
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
        cause: None,
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
    for bucket in buckets() {
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
            ended: Default::default(),
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
}
