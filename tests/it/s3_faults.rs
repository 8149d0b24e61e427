//! The real binary before an S3 server that refuses, is slow or overwrites; and what `weir verify` reads of a bucket.

use serde_json::Value;

use crate::kafka_s3::download;
use crate::kill::{Death, die_and_account, once_stored};
use crate::outage::waiting;
use crate::support::front::{Front, Rule};
use crate::support::model::Model;
use crate::support::parquet::column;
use crate::support::s3::{self, Bucket};
use crate::support::weir::{Weir, number, rows};
use crate::support::{moto, until};

/// A deployment without Kafka whose files go through the front door to the bucket.
fn deployment(model: &Model, front: &Front, bucket: &Bucket, roll: &str) -> Weir {
    let mut weir = Weir::new(&format!(
        "routes: {{ m: {{ upstream: {} }} }}\nstore: {{ to: \"s3://{}/rows\", endpoint: \"{}\", roll: {{ {roll} }} }}\n",
        model.url(),
        bucket.name,
        front.url()
    ));
    for (name, value) in bucket.account.env() {
        weir = weir.env(name, &value);
    }
    weir
}

/// K14 (409), K15 (503).
#[test]
fn whatever_s3_answers_rows_wait_in_the_log_the_cause_is_named_and_all_are_stored_after_the_heal() {
    let (model, bucket) = (Model::start(), s3::bucket());
    let front = Front::to(&bucket.account.endpoint);
    let weir = deployment(&model, &front, &bucket, "every: 1s").start();
    weir.post(5);
    until("the first rows are stored", || number(&weir.status(), "/rows/stored") == 5);
    let mut sent = 5;
    for (status, code, fix) in [
        (503, "SlowDown", ""),
        (500, "InternalError", ""),
        (409, "ConditionalRequestConflict", ""),
        // Rights taken away, a bucket deleted: as S3 says it.
        (403, "AccessDenied", "allow these credentials s3:PutObject"),
        (404, "NoSuchBucket", "create the bucket"),
    ] {
        front.set(Rule::Answer(status, code));
        weir.post(7);
        until("the cause is named", || {
            let trouble = weir.status()["trouble"].to_string();
            trouble.contains(&format!("S3 answered {status} {code}"))
                && trouble.contains(&format!("s3://{}/rows", bucket.name))
                && trouble.contains(fix)
        });
        waiting(&weir, 7);
        assert_eq!(number(&weir.status(), "/rows/stored"), sent);
        front.set(Rule::Pass);
        sent += 7;
        until("the rows are stored", || number(&weir.status(), "/rows/stored") == sent);
        weir.is_well();
    }
    front.set(Rule::Late(std::time::Duration::from_millis(700)));
    weir.post(7);
    until("a slow server stores as well", || number(&weir.status(), "/rows/stored") == sent + 7);
    // Of three requests one is told to come back later.
    front.set(Rule::Sometimes(3, 503, "SlowDown"));
    for round in 2..5 {
        weir.post(7);
        until("an overloaded server stores as well", || number(&weir.status(), "/rows/stored") == sent + 7 * round);
    }
    front.set(Rule::Pass);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), sent + 28, "{report:#}");
}

/// K13: everything goes in parts, and the process dies between them.
#[test]
fn deaths_during_an_upload_in_parts_leave_one_whole_object_or_none() {
    let (model, bucket) = (Model::start(), s3::bucket());
    let mut weir = Weir::new(&format!(
        "routes: {{ m: {{ upstream: {} }} }}\nstore: {{ to: \"s3://{}/rows\", endpoint: \"{}\", \
         multipart_threshold: 1KiB, roll: {{ size: 64KiB, every: 1s }} }}\n",
        model.url(),
        bucket.name,
        bucket.account.endpoint
    ));
    for (name, value) in bucket.account.env() {
        weir = weir.env(name, &value);
    }
    let points = [
        "s3_upload_begun=2*off->panic", // the first are those of the self-tests
        "s3_part_sent=2*off->panic",
        "s3_parts_sent=2*off->panic",
        "s3_completed=2*off->panic",
    ];
    let deaths = std::iter::once(once_stored()).chain(points.into_iter().map(Death::At));
    let heal = |weir: &Weir| {
        let status = weir.drain_alone();
        assert_eq!(number(&status, "/rows/backlog"), 0, "{status:#}");
        assert_eq!(rows(&weir.verify()), number(&status, "/rows/appended"), "{status:#}");
    };
    die_and_account(&mut weir, deaths, heal, |weir| {
        let local = weir.dir.join("downloaded");
        download(&bucket, &local);
        column(&local.join("rows/m"), "id")
    });
    let files = bucket.files();
    assert!(files.len() > 1, "{files:?}");
    assert!(files.iter().all(|key| bucket.etag(key).ends_with("-1\"")), "they went in parts");
    // Of the deaths before the completion: nobody sees them but who asks for them, and the rule of the bucket.
    assert!(bucket.unfinished_uploads() >= 3);
}

/// K25: a server that takes each create for an overwrite, as older ones do.
#[test]
fn a_server_that_overwrites_is_refused_at_the_start_and_by_the_check() {
    let (model, bucket) = (Model::start(), moto::bucket());
    let front = Front::to(&bucket.account.endpoint);
    front.set(Rule::Without("if-none-match"));
    let weir = deployment(&model, &front, &bucket, "every: 5m");
    let run = weir.cli(&["run"]);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(78), "{said}");
    assert!(said.contains(&format!("s3://{}/rows", bucket.name)) && said.contains("If-None-Match"), "{said}");
    let check = weir.cli(&["check"]);
    assert!(!check.status.success());
    assert_eq!(bucket.keys(), ["rows/_weir/self-test"]);

    // The same server with the header is good enough for a whole deployment.
    front.set(Rule::Pass);
    let weir = weir.start();
    weir.post(9);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), 9, "{report:#}");
}

#[test]
fn verify_reads_the_footers_of_a_bucket_alone_and_deep_reads_everything() {
    let (model, bucket) = (Model::start(), s3::bucket());
    let front = Front::to(&bucket.account.endpoint);
    let weir = deployment(&model, &front, &bucket, "every: 5m").start();
    let mut client = weir.client();
    for file in 0..4 {
        for n in 0..20 {
            // Ids of random bits: what a compressor cannot shorten by more than half.
            let noise: String = (0..1_000).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
            let body = format!(r#"{{"x":{n},"text":"{noise}"}}"#);
            assert_eq!(client.post("/predict", body.as_bytes()).expect("an answer").status, 200);
        }
        until("the rows are in the log", || number(&weir.status(), "/rows/appended") == (file + 1) * 20);
        weir.drain_running();
    }
    weir.settle();
    let files = bucket.files();
    let size: u64 = files.iter().map(|key| bucket.get(key).len() as u64).sum();
    assert!(files.len() == 4 && size > 1_000_000, "{files:?}, {size}");

    let read = |arguments: &[&str]| {
        front.asked();
        let report = weir.cli_json(arguments);
        let asked = front.asked();
        let (gets, others): (Vec<_>, Vec<_>) = asked.into_iter().partition(|asked| asked.line.contains(".parquet"));
        assert!(others.iter().all(|asked| asked.line.starts_with("GET ")), "{others:?}");
        (report, gets)
    };
    let (report, gets) = read(&["verify"]);
    assert_eq!((&report["ok"], rows(&report)), (&Value::Bool(true), 80));
    assert!(gets.iter().all(|get| get.ranged) && gets.len() >= 4, "{gets:?}");
    let bytes: u64 = gets.iter().map(|get| get.bytes).sum();
    assert!(bytes < size / 3, "{bytes} of {size}");
    let (report, gets) = read(&["verify", "--deep"]);
    assert_eq!(report["ok"], Value::Bool(true));
    assert!(gets.iter().map(|get| get.bytes).sum::<u64>() > size);

    // Damage that no footer shows.
    let mut content = bucket.get(&files[1]);
    let middle = content.len() / 2;
    content[middle] ^= 1;
    bucket.put(&files[1], content);
    assert_eq!(read(&["verify"]).0["ok"], Value::Bool(true));
    let (report, _) = read(&["verify", "--deep"]);
    assert_eq!(report["ok"], Value::Bool(false));
    assert!(report.to_string().contains(files[1].rsplit('/').next().unwrap()), "{report:#}");
}
