//! A drain that is paused for longer than its session while a file of its is on its way to S3 (K16), and wakes when another drain has its
//! partition: whichever file arrives first stands, the other drain goes on behind it, and each row is stored once.

use rustix::process::Signal;

use crate::group::{SESSION, each_once, owned, produce};
use crate::kafka_s3::store_at;
use crate::support::kafka::{brokers, name, topic};
use crate::support::relay::{Fault, Relay, put_parquet};
use crate::support::s3::{Bucket, bucket};
use crate::support::weir::{Weir, balanced};
use crate::support::{process, until};

const ADOPTED: &str = "which another drain stored: going on at";

/// A drain of a group of two, with its way to S3.
struct Member {
    weir: Weir,
    relay: Relay,
}

impl Member {
    fn of(topic: &str, group: &str, bucket: &Bucket) -> Member {
        let server = bucket.account.endpoint.trim_start_matches("http://").parse().expect("an address");
        let relay = Relay::to(server);
        let mut weir = Weir::new(&format!(
            "roles: [drain]\nkafka: {{ brokers: [{}], consumer: {{ {SESSION} }} }}\n\
             drain: {{ topics: [{topic}], group: {group} }}\n{}",
            brokers(),
            store_at(bucket, &relay.url(), ", roll: { every: 500ms }")
        ));
        for (name, value) in bucket.account.env() {
            weir = weir.env(name, &value);
        }
        Member { weir, relay }
    }

    /// From now on the files that it sends are held on their way.
    fn hold(&self) {
        self.relay.set(Fault::Hold(put_parquet));
    }

    fn has_a_file_on_its_way(&self) {
        until("a file is on its way", || self.relay.hits() > 0);
    }

    fn signal(&self, signal: Signal) {
        process::signal(self.weir.pid(), signal);
    }

    /// How often it found that a file of its was stored by another.
    fn adopted(&self) -> usize {
        self.weir.stderr().matches(ADOPTED).count()
    }

    /// It ends in good order, and took its own absence for nobody else.
    fn ends(&mut self) {
        assert!(!self.weir.stderr().contains("is the data folder a copy"), "{}", self.weir.stderr());
        self.weir.drain_running();
        balanced(&self.weir.status());
        assert!(self.weir.term().success());
    }

    /// The partition is its own.
    fn takes_over(&self) {
        until("it has the partition", || owned(&self.weir).len() == 1);
    }
}

/// Two drains of one partition: the first sleeps while a file of a hundred rows is on its way, the second has not started. No file is in the bucket.
struct Asleep {
    topic: String,
    bucket: Bucket,
    one: Member,
    two: Member,
}

impl Asleep {
    fn over_a_file() -> Asleep {
        let (topic, group, bucket) = (topic(&brokers(), "asleep", 1), name("group"), bucket());
        let (mut one, two) = (Member::of(&topic, &group, &bucket), Member::of(&topic, &group, &bucket));
        one.weir.up();
        one.takes_over();
        one.hold();
        produce(&topic, 1, 0, 100);
        one.has_a_file_on_its_way();
        one.signal(Signal::STOP);
        assert_eq!(bucket.files().len(), 0);
        Asleep { topic, bucket, one, two }
    }
}

/// The one that wakes is too late: its file is refused, it adopts those of the other, three by then (K17), and goes on behind them.
#[test]
fn one_that_wakes_after_another_has_stored_adopts_what_it_finds() {
    let mut at = Asleep::over_a_file();
    // More than the file that is held has: the two cut at different places.
    produce(&at.topic, 1, 100, 50);
    at.two.weir.up();
    for file in 0..3 {
        produce(&at.topic, 1, 150 + file * 50, 50);
        each_once(&at.two.weir, &at.topic, 200 + file * 50);
    }
    let stored = at.bucket.files().len();
    assert!(stored >= 3, "{stored} files");

    // The held file arrives, then its sender wakes and is told.
    at.one.relay.heal();
    at.one.signal(Signal::CONT);
    until("it has found the other's file", || at.one.adopted() > 0);
    assert!(at.two.weir.term().success());
    assert_eq!(at.two.adopted(), 0, "nothing stood in the other's way");
    at.one.takes_over();
    produce(&at.topic, 1, 300, 100);
    each_once(&at.one.weir, &at.topic, 400);
    at.one.ends();
}

/// The file of the one that sleeps arrives after another has its partition and before that one has stored anything.
#[test]
fn one_that_has_taken_over_goes_on_behind_a_file_that_arrives_late() {
    let mut at = Asleep::over_a_file();
    produce(&at.topic, 1, 100, 50);
    at.two.hold();
    at.two.weir.up();
    at.two.takes_over();
    at.two.has_a_file_on_its_way();
    assert_eq!(at.bucket.files().len(), 0, "neither has arrived");

    at.one.relay.heal();
    until("the sleeper's file has arrived", || at.bucket.files().len() == 1);
    at.two.relay.heal();
    until("the other has found it", || at.two.adopted() == 1);
    each_once(&at.two.weir, &at.topic, 150);
    at.one.signal(Signal::CONT);
    // The sleeper reads on until it is told whose the partition is, so from here on either of the two may store a file and the other adopt it.
    produce(&at.topic, 1, 150, 150);
    each_once(&at.two.weir, &at.topic, 300);
    at.one.ends();
    at.two.ends();
}
