//! A deployment that grows onto S3 and Kafka: what was logged before goes where it would have gone, what comes after goes on, each row once.

use rdkafka::admin::{AdminOptions, NewPartitions};

use crate::growth::{moves_and_dies, rows_in, store_to, words};
use crate::support::model::Model;
use crate::support::s3::{Bucket, Gateway, bucket};
use crate::support::until;
use crate::support::weir::{Weir, number, rows};
use crate::support::{kafka, python};

fn s3(bucket: &Bucket, prefix: &str) -> String {
    let endpoint = &bucket.account.endpoint;
    format!("{{ to: \"s3://{}/{prefix}\", endpoint: \"{endpoint}\", region: us-east-1 }}", bucket.name)
}

#[test]
fn from_a_folder_to_s3_to_another_prefix_and_away_from_a_server_that_is_down() {
    let model = Model::start();
    let mut server = Gateway::start();
    let bucket = Bucket::create(&server.account);
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\n", model.url()));
    for (name, value) in bucket.account.env() {
        weir = weir.env(name, &value);
    }
    weir.up();
    weir.post(10);
    weir.settle();
    weir.post(3);
    weir.has_logged(13);
    weir.kill();
    store_to(&weir, &s3(&bucket, "rows"));
    weir.up();
    assert_eq!(rows_in(&weir, "weir-data/parquet"), 13, "stored in the folder before anything else");
    weir.post(5);
    weir.settle();
    weir.post(2);
    weir.has_logged(20);
    weir.kill();
    store_to(&weir, &s3(&bucket, "more"));
    weir.up();
    weir.post(4);
    weir.settle();
    let place = |prefix: &str| format!("s3://{}/{prefix}", bucket.name);
    assert_eq!((rows_in(&weir, &place("rows")), rows_in(&weir, &place("more"))), (7, 4));

    // Away from S3, which does not answer: the next configuration names no endpoint, the log knows it.
    weir.post(1);
    weir.has_logged(25);
    weir.kill();
    server.kill();
    store_to(&weir, "{ to: ./elsewhere }");
    let refused = weir.cli(&["run"]);
    assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
    for part in
        [&bucket.account.endpoint, "/more", "has to be stored there first", "take the change of the configuration back"]
    {
        assert!(words(&refused).contains(part), "{}", words(&refused));
    }
    server.start_again();
    weir.up();
    weir.post(6);
    weir.settle();
    assert_eq!(rows_in(&weir, "elsewhere"), 6);
    store_to(&weir, &s3(&bucket, "more"));
    assert_eq!((rows_in(&weir, &place("rows")), rows_in(&weir, &place("more"))), (7, 5));
}

/// Between folders and prefixes of a bucket, there and back.
#[test]
fn a_move_between_folders_and_buckets_that_dies_at_any_step_is_taken_again() {
    let model = Model::start();
    let (bucket, folders) = (bucket(), tempfile::tempdir().expect("a folder"));
    let root = |n: usize| match n % 4 {
        1 | 2 => format!("s3://{}/{n}", bucket.name),
        _ => folders.path().join(n.to_string()).display().to_string(),
    };
    let stores: [String; 8] = std::array::from_fn(|n| match n % 4 {
        1 | 2 => s3(&bucket, &n.to_string()),
        _ => format!("{{ to: {} }}", root(n)),
    });
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\nstore: {}\n", model.url(), stores[0]));
    // `weir verify` is told of the server by no configuration when the last place is a folder.
    let account = bucket.account.env().into_iter().chain([("AWS_ENDPOINT_URL", bucket.account.endpoint.clone())]);
    for (name, value) in account {
        weir = weir.env(name, &value);
    }
    weir.up();
    moves_and_dies(&mut weir, &stores, root);
}

/// Puts another text for Kafka's part of the configuration; empty: none.
fn kafka_is(weir: &Weir, kafka: &str) {
    let path = weir.dir.join("weir.yaml");
    let before = std::fs::read_to_string(&path).expect("weir.yaml");
    let kept: Vec<&str> = before.lines().filter(|line| !line.starts_with("kafka:")).collect();
    let line = if kafka.is_empty() { String::new() } else { format!("kafka: {kafka}\n") };
    std::fs::write(path, format!("{}\n{line}", kept.join("\n"))).expect("weir.yaml");
}

fn lanes(weir: &Weir) -> usize {
    weir.cli_json(&["log", "ls"])[0]["lanes"].as_array().expect("lanes").len()
}

/// All is stored, and nothing is wrong.
fn stored(weir: &Weir, wanted: u64) {
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), wanted, "{report:#}");
    weir.is_well();
}

#[test]
fn kafka_is_added_and_taken_away() {
    let model = Model::start();
    let brokers = kafka::brokers();
    let topic = kafka::topic(&brokers, "grown", 3);
    let with = format!("{{ brokers: [\"{brokers}\"] }}");
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {}, model: {topic} }} }}\n", model.url())).start();
    weir.post(20);
    weir.settle();
    weir.post(5);
    weir.has_logged(25);
    weir.kill();
    // A file is stored that the log does not know of.
    let _served = weir.up_to_die("drain_after_create=panic");
    weir.until_dead("drain_after_create=panic");
    kafka_is(&weir, &with);
    weir.up();
    assert_eq!(lanes(&weir), 4);
    weir.post(10);
    stored(&weir, 35);

    // Without Kafka the log keeps its lanes; their chains begin where Kafka has everything.
    weir.term();
    kafka_is(&weir, "");
    weir.up();
    weir.post(6);
    stored(&weir, 41);
    assert_eq!(lanes(&weir), 4);

    // What waits for Kafka may be in Kafka: only a publisher can bring it to an end.
    weir.term();
    kafka_is(&weir, "{ brokers: [\"127.0.0.1:1\"] }");
    weir.up();
    weir.post(4);
    weir.has_logged(45);
    weir.kill();
    kafka_is(&weir, "");
    let refused = weir.cli(&["run"]);
    assert_eq!(refused.status.code(), Some(78), "{}", words(&refused));
    assert!(words(&refused).contains("wait for Kafka"), "{}", words(&refused));
    kafka_is(&weir, &with);
    weir.up();
    stored(&weir, 45);
    weir.term();
    kafka_is(&weir, "");
    weir.up();
    weir.post(1);
    stored(&weir, 46);
}

/// It dies on the way to Kafka and on the way back, at each step that there is.
#[test]
fn a_move_to_kafka_and_back_that_dies_at_any_step_is_taken_again() {
    let model = Model::start();
    let brokers = kafka::brokers();
    let topic = kafka::topic(&brokers, "steps", 1);
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {}, model: {topic} }} }}\n", model.url())).start();
    let mut sent = 0;
    let dies = |weir: &mut Weir, point: &str| {
        let _died_before_it_served = weir.up_to_die(&format!("{point}=panic"));
        weir.until_dead(point);
        weir.up();
    };
    for (there, back) in [
        ("drain_after_create", "move_after_drain"),
        ("move_after_drain", "move_after_begin"),
        ("move_before_meta", "move_before_meta"),
        ("move_after_meta", "move_after_meta"),
    ] {
        weir.post(6);
        weir.settle();
        weir.post(3);
        weir.has_logged(sent + 9);
        weir.kill();
        kafka_is(&weir, &format!("{{ brokers: [\"{brokers}\"], lanes: 1 }}"));
        dies(&mut weir, there);
        weir.post(4);
        sent += 13;
        stored(&weir, sent);
        weir.term();
        kafka_is(&weir, "");
        dies(&mut weir, back);
        stored(&weir, sent);
    }
}

#[test]
fn lanes_are_raised_and_not_lowered() {
    let model = Model::start();
    let brokers = kafka::brokers();
    let topic = kafka::topic(&brokers, "lanes", 4);
    let with = |lanes: u32| format!("{{ brokers: [\"{brokers}\"], lanes: {lanes} }}");
    let mut weir = Weir::new(&format!("routes: {{ m: {{ upstream: {}, model: {topic} }} }}\n", model.url()));
    kafka_is(&weir, &with(1));
    weir.up();
    weir.post(10);
    weir.settle();
    weir.kill();
    kafka_is(&weir, &with(3));
    weir.up();
    weir.post(12);
    stored(&weir, 22);
    assert_eq!(lanes(&weir), 3);
    weir.kill();
    kafka_is(&weir, &with(2));
    let refused = weir.cli(&["run"]);
    assert_eq!(refused.status.code(), Some(78), "{}", words(&refused));
    let fix = words(&refused).split('`').find(|part| part.starts_with("kafka.lanes:")).map(str::to_owned);
    assert_eq!(fix.as_deref(), Some("kafka.lanes: 3"), "{}", words(&refused));
    kafka_is(&weir, &with(3));
    weir.up();
    stored(&weir, 22);
}

#[test]
fn partitions_that_are_added_are_drained_and_lanes_stay_where_they_are() {
    let model = Model::start();
    let brokers = kafka::brokers();
    let topic = kafka::topic(&brokers, "widened", 2);
    let yaml = format!(
        "routes: {{ m: {{ upstream: {}, model: {topic} }} }}\nkafka: {{ brokers: [\"{brokers}\"] }}\n",
        model.url()
    );
    let mut weir = Weir::new(&yaml).start();
    weir.post(20);
    stored(&weir, 20);
    let added = kafka::block_on(
        kafka::admin(&brokers).create_partitions(&[NewPartitions::new(&topic, 5)], &AdminOptions::new()),
    );
    assert!(added.expect("an answer").iter().all(Result::is_ok), "partitions are added");
    // Another producer, which knows the new partitions, writes to all of them.
    let answers = weir.dir.join("answers.jsonl").display().to_string();
    until("the new partitions are drained", || {
        python::run(&["producer.py", "flask", &brokers, &topic, "40", &answers]);
        let status = weir.status();
        status["drain"].as_array().expect("partitions").len() == 5
    });
    let foreign = std::fs::read_to_string(&answers).expect("answers").lines().count() as u64;
    weir.post(20);
    stored(&weir, 40 + foreign);
    weir.term();
    weir.up();
    weir.post(20);
    stored(&weir, 60 + foreign);
    let report = weir.verify();
    let partitions = report["tables"][&topic]["partitions"].as_object().expect("partitions");
    assert_eq!(partitions.len(), 5, "{report:#}");
    let lanes = weir.status()["publisher"].clone();
    for lane in lanes.as_array().expect("lanes") {
        assert!(number(lane, "/partition") < 2, "{lanes:#}");
    }
}
