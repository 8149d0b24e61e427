//! The consumer group: many drains on the same topics divide the partitions, and each row is stored once whatever happens to one of them.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rustix::process::Signal;
use serde_json::Value;
use weir::config;
use weir::source::kafka::{KafkaSource, Reach, TopicPicker};
use weir::source::{Event, Source};

use crate::support::kafka::{brokers, client, config, name, topic};
use crate::support::weir::{Weir, balanced, number, rows};
use crate::support::{process, until, until_ok};

/// The smallest that brokers take, so that a drain that has died or stopped is noticed soon.
pub const SESSION: &str = "session.timeout.ms: 6000";

/// A drain of `topics`, a member of `group`, that stores in `to`.
fn drain_of(topics: &str, group: &str, to: &str) -> Weir {
    drain_with(topics, group, to, "")
}

/// The same with more properties of a consumer.
fn drain_with(topics: &str, group: &str, to: &str, consumer: &str) -> Weir {
    Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{}], consumer: {{ {SESSION}{consumer} }} }}\n\
         drain: {{ topics: [{topics}], group: {group} }}\nstore: {{ to: \"{to}\", roll: {{ every: 500ms }} }}\n",
        brokers()
    ))
}

/// `count` records over all `partitions` of a topic, `first` being the number of the first.
pub fn produce(topic: &str, partitions: i32, first: u64, count: u64) {
    let producer: BaseProducer = client(&brokers()).set("linger.ms", "5").create().expect("a producer");
    for n in first..first + count {
        let value = format!(r#"{{"id":"{n}","inputs":{{"x":{n}}},"outputs":{{"y":1}}}}"#);
        let partition = i32::try_from(n).expect("few") % partitions;
        let record = BaseRecord::<(), _>::to(topic).payload(&value).partition(partition);
        producer.send(record).map_err(|(error, _)| error).expect("room");
    }
    producer.flush(Duration::from_secs(60)).expect("delivered");
}

/// The partitions that a drain has, by its status.
pub fn owned(weir: &Weir) -> BTreeSet<u64> {
    let status = weir.status();
    let partitions = status["drain"].as_array().expect("the drain's partitions");
    partitions.iter().map(|p| p["partition"].as_u64().expect("a number")).collect()
}

/// Waits until `drains` have all of `partitions`, each of them one at a time and every drain some.
fn until_divided(drains: &[&Weir], partitions: u64) {
    let mut last = Vec::new();
    until(&format!("{} drains have divided {partitions} partitions", drains.len()), || {
        last = drains.iter().map(|weir| owned(weir)).collect::<Vec<_>>();
        let together: BTreeSet<u64> = last.iter().flatten().copied().collect();
        let all: usize = last.iter().map(BTreeSet::len).sum();
        all as u64 == partitions && together.len() as u64 == partitions && last.iter().all(|own| !own.is_empty())
    });
}

fn stored(weir: &Weir, at_least: u64) -> bool {
    let report = weir.cli_json(&["verify"]);
    report["tables"].as_object().is_some_and(|tables| !tables.is_empty()) && rows(&report) >= at_least
}

/// All rows are there, each once.
pub fn each_once(weir: &Weir, topic: &str, count: u64) {
    until(&format!("{count} rows are stored"), || stored(weir, count));
    let table = weir.verify()["tables"][topic].clone();
    assert_eq!(table["rows"], Value::from(count), "{table:#}");
    assert_eq!(table["duplicates"], Value::from(0), "{table:#}");
}

/// K17 with nothing on its way: `zombies.rs` has an upload there.
#[test]
fn drains_divide_the_partitions_and_take_over_from_one_that_is_killed_paused_or_stopped() {
    let topic = topic(&brokers(), "many", 6);
    let (group, root) = (name("group"), tempfile::tempdir().expect("a folder"));
    let to = root.path().display().to_string();
    produce(&topic, 6, 0, 600);
    let mut one = drain_of(&topic, &group, &to).start();
    let mut two = drain_of(&topic, &group, &to).start();
    let mut three = drain_of(&topic, &group, &to).start();
    until_divided(&[&one, &two, &three], 6);
    produce(&topic, 6, 600, 600);
    each_once(&one, &topic, 1_200);

    // Killed: the others have its partitions when its session has ended.
    one.kill();
    produce(&topic, 6, 1_200, 600);
    until_divided(&[&two, &three], 6);
    each_once(&two, &topic, 1_800);

    // Paused for longer than its session: what it does when it wakes is adopted or refused.
    process::signal(two.pid(), Signal::STOP);
    produce(&topic, 6, 1_800, 600);
    until_divided(&[&three], 6);
    each_once(&three, &topic, 2_400);
    produce(&topic, 6, 2_400, 600);
    process::signal(two.pid(), Signal::CONT);
    until_divided(&[&two, &three], 6);
    each_once(&three, &topic, 3_000);

    // Back under its own name: at once, without waiting for a session to end.
    one.up();
    until_divided(&[&one, &two, &three], 6);

    // Stopped, in order.
    assert!(three.term().success());
    produce(&topic, 6, 3_000, 600);
    until_divided(&[&one, &two], 6);
    each_once(&one, &topic, 3_600);

    // What each owns, from the chain's start. A drain that was without a core for a session's time gives its partitions to the other for a while.
    until_ok("the two together have every row", || {
        one.drain_running();
        two.drain_running();
        let (first, second) = (one.status(), two.status());
        balanced(&first);
        balanced(&second);
        let stored = number(&first, "/rows/stored") + number(&second, "/rows/stored");
        if stored == 3_600 { Ok(()) } else { Err(format!("{first:#}\n{second:#}")) }
    });
    assert!(one.term().success() && two.term().success());
}

#[test]
fn a_drain_with_nothing_to_read_waits_without_complaint() {
    let topic = topic(&brokers(), "spare", 1);
    let (group, root) = (name("group"), tempfile::tempdir().expect("a folder"));
    let to = root.path().display().to_string();
    let one = drain_of(&topic, &group, &to).start();
    until("the first has it", || owned(&one).len() == 1);
    let two = drain_of(&topic, &group, &to).start();
    // Everything that is its own, which is nothing.
    two.drain_running();
    produce(&topic, 1, 0, 50);
    each_once(&one, &topic, 50);
    until("one of them has it", || owned(&one).len() + owned(&two).len() == 1);
}

fn source(topic: &str, group: &str, folder: &std::path::Path, more: &[(&str, &str)]) -> KafkaSource {
    let mut kafka = config(&brokers());
    for (name, value) in [("session.timeout.ms", "6000")].iter().chain(more) {
        kafka.consumer.insert((*name).to_owned(), (*value).into());
    }
    let drain = config::Drain {
        topics: Vec::new(),
        group: group.to_owned(),
        start_earliest: true,
        spool_bytes_max: 64 << 20,
        resend_window: Duration::from_secs(3600),
    };
    let picker = TopicPicker::fixed(vec![topic.to_owned()]);
    KafkaSource::start(&kafka, &drain, picker, folder.join("spool"), "here", Reach::Follow).expect("a source")
}

/// Takes what the source says until it has `count` partitions; how often one was taken from it.
fn until_has(source: &mut KafkaSource, has: &mut BTreeSet<u32>, count: usize) -> usize {
    let mut taken = 0;
    until(&format!("{count} partitions"), || {
        for event in source.poll(Duration::from_millis(20)).expect("it goes on") {
            match event {
                Event::Assigned { partition, .. } => drop(has.insert(partition.partition)),
                Event::Revoked { partition } => {
                    has.remove(&partition.partition);
                    taken += 1;
                }
                Event::Message(_) => {}
            }
        }
        has.len() == count && source.announced()
    });
    taken
}

/// `range` is an eager protocol: it takes everything at each rebalance.
#[test]
fn a_rebalance_disturbs_no_partition_that_stays_whatever_the_protocol() {
    for strategy in ["cooperative-sticky", "range"] {
        let topic = topic(&brokers(), "stays", 4);
        let group = name("group");
        let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
        let more = [("partition.assignment.strategy", strategy)];
        let (mut of_one, mut of_two) = (BTreeSet::new(), BTreeSet::new());
        let mut one = source(&topic, &group, folders[0].path(), &more);
        assert_eq!(until_has(&mut one, &mut of_one, 4), 0, "{strategy}");
        let mut two = source(&topic, &group, folders[1].path(), &more);
        assert_eq!(until_has(&mut one, &mut of_one, 2), 2, "{strategy}: half of them, the others were never taken");
        until_has(&mut two, &mut of_two, 2);
        assert!(of_one.is_disjoint(&of_two), "{strategy}: {of_one:?} {of_two:?}");
        // Where the topic's partitions begin is known to each, for the document that holds all of them.
        let id =
            weir::source::PartitionId { topic: topic.as_str().into(), origin: topic.as_str().into(), partition: 0 };
        let bounds = two.origin_bounds(&id).expect("bounds").expect("of a divided topic");
        assert_eq!(bounds.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}

/// A copied data folder: two members of one name. The older one says so and goes on under none, so both have their share.
#[test]
fn two_members_of_one_name_both_go_on() {
    let topic = topic(&brokers(), "names", 2);
    let (group, root) = (name("group"), tempfile::tempdir().expect("a folder"));
    let to = root.path().display().to_string();
    produce(&topic, 2, 0, 100);
    let of_one_name = || drain_with(&topic, &group, &to, ", group.instance.id: the-same").start();
    let one = of_one_name();
    until("the first has both", || owned(&one).len() == 2);
    let two = of_one_name();
    until_divided(&[&one, &two], 2);
    let said = one.stderr();
    assert!(
        said.contains("another drain joined the consumer group as `the-same`: is the data folder a copy"),
        "{said}"
    );
    produce(&topic, 2, 100, 100);
    each_once(&one, &topic, 200);
}
