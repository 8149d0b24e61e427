//! What was lost is said aloud (K21, K26), with a real broker: nothing is stored beside a loss, and the command that the refusal prints is the way on.

use rdkafka::admin::AdminOptions;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::copies::{obey, refusal};
use crate::group::SESSION;
use crate::support::clock::Clock;
use crate::support::kafka::{self, admin, block_on, brokers, client};
use crate::support::s3::{Bucket, bucket};
use crate::support::until;
use crate::support::weir::{Weir, number, rows};

const HOUR: i64 = 3_600;

/// A drain whose files are an hour old at once: a new generation need not be waited for.
pub struct Lost {
    pub topic: String,
    clock: Clock,
    pub weir: Weir,
}

impl Lost {
    /// One topic of one partition with `count` messages, all of them stored; the drain has stopped.
    fn after(count: u64) -> Lost {
        Lost::with(count, "", -HOUR, Vec::new())
    }

    pub fn with(count: u64, more: &str, clock: i64, env: Vec<(&'static str, String)>) -> Lost {
        let topic = kafka::topic(&brokers(), "loud", 1);
        let clock = Clock::ahead(clock);
        let mut weir = Weir::new(&format!(
            "roles: [drain]\nkafka: {{ brokers: [\"{}\"], consumer: {{ {SESSION} }} }}\n\
             drain: {{ topics: [{topic}], group: {topic} }}\n{more}",
            brokers()
        ));
        for (name, value) in env.into_iter().chain(clock.env()) {
            weir = weir.env(name, &value);
        }
        let mut lost = Lost { topic, clock, weir };
        lost.send(count);
        lost.weir.up();
        lost.settled(count);
        lost.weir.term();
        lost
    }

    /// The same in a bucket.
    pub fn in_bucket(bucket: &Bucket, clock: i64) -> Lost {
        let store = format!(
            "store: {{ to: \"s3://{}/rows\", endpoint: \"{}\", region: us-east-1 }}\n",
            bucket.name, bucket.account.endpoint
        );
        Lost::with(30, &store, clock, bucket.account.env())
    }

    /// Ten more messages are stored, in a file of their own; the drain has stopped again.
    pub fn and_a_second_file(mut self) -> Lost {
        self.weir.up();
        self.send(10);
        until("a second file is stored", || {
            self.weir.drain_running();
            self.files() == 2
        });
        self.weir.term();
        self
    }

    /// The newest file is gone, and more has come: it is refused, and what is missing need not come back.
    fn refused_without_its_newest_file(mut self) {
        self.send(4);
        self.refused_until_told(1, &["before offset 40", "ends at 30", "deleted or moved"], 34);
    }

    pub fn send(&self, count: u64) {
        let producer: BaseProducer = client(&brokers()).create().unwrap();
        for n in 0..count {
            // No two topics hold the same records.
            let value = format!(r#"{{"id":"{}-{n}","inputs":{{"x":{n}}},"outputs":{{"y":1}}}}"#, uuid::Uuid::new_v4());
            let record = BaseRecord::<(), str>::to(&self.topic).partition(0).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(std::time::Duration::from_secs(60)).unwrap();
    }

    /// So many rows are stored, and nothing is wrong.
    pub fn settled(&self, wanted: u64) {
        until("everything is stored", || number(&self.weir.status(), "/rows/stored") > 0 || wanted == 0);
        let (_, report) = self.weir.settle();
        assert_eq!(rows(&report), wanted, "{report:#}");
        self.weir.is_well();
    }

    /// It is refused with these words, nothing more is stored, and what the message says brings `wanted` rows and the way on.
    pub fn refused_until_told(&mut self, before: u64, said: &[&str], wanted: u64) {
        self.weir.up();
        let refusal = refusal(&self.weir);
        for part in said {
            assert!(refusal.contains(part), "no `{part}` in {refusal}");
        }
        assert_eq!(self.files(), before, "nothing was written: {refusal}");
        self.weir.term();
        self.clock.set(self.clock_of_the_command());
        obey(&self.weir, &refusal);
        self.weir.up();
        self.send(2);
        until("what comes later is stored", || {
            self.weir.drain_running();
            rows(&self.weir.verify()) == wanted + 2
        });
        self.weir.is_well();
        self.weir.term();
    }

    /// S3 does not speak to a program whose clock is 15 min off.
    fn clock_of_the_command(&self) -> i64 {
        120
    }

    /// Files of the table, as `weir verify` counts them, whole or not.
    pub fn files(&self) -> u64 {
        self.weir.cli_json(&["verify"])["tables"][&self.topic]["files"].as_u64().unwrap_or(0)
    }

    fn delete_topic(&self) {
        let deleted = block_on(admin(&brokers()).delete_topics(&[&self.topic], &AdminOptions::new()));
        assert!(deleted.expect("an answer").iter().all(Result::is_ok));
        until("the topic is gone", || {
            let consumer: rdkafka::consumer::BaseConsumer = client(&brokers()).create().unwrap();
            let metadata =
                rdkafka::consumer::Consumer::fetch_metadata(&consumer, None, std::time::Duration::from_secs(5));
            metadata.is_ok_and(|metadata| metadata.topics().iter().all(|topic| topic.name() != self.topic))
        });
    }
}

#[test]
fn retention_that_passed_the_head_is_refused() {
    let mut lost = Lost::after(30);
    lost.send(20);
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(&lost.topic, 0, Offset::Offset(40)).unwrap();
    block_on(admin(&brokers()).delete_records(&before, &AdminOptions::new())).expect("records are deleted");
    lost.refused_until_told(1, &["offset 30", "begins at 40", "retention"], 40);
}

#[test]
fn a_topic_that_was_made_again_is_refused_while_it_is_shorter() {
    let mut lost = Lost::after(30);
    lost.delete_topic();
    kafka::create(&brokers(), &lost.topic, 1);
    lost.send(5);
    lost.refused_until_told(1, &["reach offset 30", "ends at 5", "made again"], 35);
}

#[test]
fn a_topic_that_was_made_again_is_refused_when_it_is_longer_too() {
    let mut lost = Lost::after(30);
    lost.delete_topic();
    kafka::create(&brokers(), &lost.topic, 1);
    lost.send(60);
    lost.refused_until_told(1, &["is not the record", "made again"], 90);
}

/// Between two polls, and longer than where the drain stands: nothing that it reads from there on looks strange.
#[test]
fn a_topic_that_is_made_again_under_a_running_drain_is_refused() {
    let mut lost = Lost::after(30);
    lost.weir.up();
    lost.send(10);
    lost.settled(40);
    lost.delete_topic();
    kafka::create(&brokers(), &lost.topic, 1);
    lost.send(60);
    let refusal = refusal(&lost.weir);
    assert!(refusal.contains("made again"), "{refusal}");
    assert_eq!(rows(&lost.weir.verify()), 40, "nothing was stored beside the loss: {refusal}");
    let files = lost.files();
    lost.weir.term();
    lost.refused_until_told(files, &["made again"], 100);
}

#[test]
fn a_head_that_is_missing_in_a_folder_is_refused() {
    let lost = Lost::after(30).and_a_second_file();
    let newest = crate::support::parquet::files(&lost.weir.parquet().join(&lost.topic)).pop().expect("a file");
    std::fs::remove_file(newest).expect("it goes");
    lost.refused_without_its_newest_file();
}

#[test]
fn a_head_that_is_missing_on_s3_is_refused() {
    let bucket = bucket();
    let lost = Lost::in_bucket(&bucket, -840).and_a_second_file();
    bucket.delete(bucket.files().last().expect("a file"));
    lost.refused_without_its_newest_file();
}

/// Another drain may still be about to create: the command says so and waits, and nothing is changed before.
#[test]
fn a_new_generation_waits_while_the_newest_file_is_young() {
    let mut lost = Lost::with(30, "", 0, Vec::new());
    lost.delete_topic();
    kafka::create(&brokers(), &lost.topic, 1);
    lost.send(5);
    let said = lost.weir.dir.join("said");
    let out = std::fs::File::create(&said).expect("a file");
    let mut command = lost.weir.command(&["drain", "--once", "--new-generation"]);
    crate::support::process::die_with_parent(&mut command);
    let mut child = command.stdout(out.try_clone().expect("a file")).stderr(out).spawn().expect("weir runs");
    until("it says that it waits", || {
        std::fs::read_to_string(&said)
            .is_ok_and(|said| said.contains("min more") && said.contains("nothing was changed"))
    });
    assert_eq!(child.try_wait().expect("wait"), None, "it waits");
    child.kill().expect("kill");
    child.wait().expect("wait");
    let origins = lost.weir.parquet().join(&lost.topic).join("_weir/origins");
    assert_eq!(std::fs::read_dir(origins).expect("a folder").count(), 1, "no generation was begun");
    lost.clock.set(HOUR);
    let done = lost.weir.cli(&["drain", "--once", "--new-generation"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(rows(&lost.weir.verify()), 35);
    lost.weir.up();
    lost.weir.term();
}
