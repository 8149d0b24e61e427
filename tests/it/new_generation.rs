//! A new generation of a topic's chains while a drain of the group is at work.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use weir::source::PartitionId;
use weir::source::kafka::{Members, members, other_drains};

use crate::support::kafka::{brokers, client, config as config_of, name, produce_at, topic};
use crate::support::until;
use crate::support::weir::{Weir, number, rows};

fn drain_of(topic: &str, group: &str, to: &str) -> Weir {
    Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{}] }}\n\
         drain: {{ topics: [{topic}], group: {group} }}\nstore: {{ to: \"{to}\", roll: {{ every: 500ms }} }}\n",
        brokers()
    ))
}

/// A member by the newer protocol (KIP-848) cannot be seen by the same request as weir's own.
#[test]
fn it_is_refused_while_nobody_can_tell_who_is_in_the_group() {
    let topic = topic(&brokers(), "hidden", 1);
    let group = name("group");
    let mut config = client(&brokers());
    config.set("group.id", &group).set("group.protocol", "consumer");
    let other: BaseConsumer = config.create().expect("a consumer");
    other.subscribe(&[&topic]).expect("it subscribes");
    until("it is a member", || {
        let (Some(_) | None) = other.poll(Duration::from_millis(50)).map(|polled| polled.is_ok());
        other.assignment().is_ok_and(|partitions| partitions.count() == 1)
    });
    assert_eq!(members(&config_of(&brokers()), &group).expect("an answer"), Members::Hidden);
    assert_eq!(members(&config_of(&brokers()), &name("nobody")).expect("an answer"), Members::Count(0));
}

#[test]
fn it_is_refused_while_the_group_has_a_member_whose_create_is_on_its_way() {
    let topic = topic(&brokers(), "members", 1);
    let (group, root) = (name("group"), tempfile::tempdir().expect("a folder"));
    let to = root.path().display().to_string();
    let mut one = drain_of(&topic, &group, &to);
    one.up_with(Some("drain_before_create=sleep(15000)"));
    until("it owns the partition", || {
        one.status()["drain"].as_array().is_some_and(|d| !d.is_empty())
            && root.path().join(&topic).join("_weir/origins").exists()
    });
    let producer: BaseProducer = client(&brokers()).create().expect("a producer");
    for n in 0..50 {
        let value = format!(r#"{{"id":"{n}","inputs":{{"x":{n}}},"outputs":{{"y":1}}}}"#);
        producer.send(BaseRecord::<(), _>::to(&topic).payload(&value).partition(0)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    until("its create is on its way", || one.stderr().contains("pinned schema"));
    std::thread::sleep(Duration::from_secs(1));
    let other = drain_of(&topic, &group, &to);
    let output = other.cli(&["drain", "--once", "--new-generation"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["has 1 members", "Nothing was changed", "session.timeout.ms"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    until("the member has stored them", || {
        let report = other.verify();
        rows(&report) == 50 && report["ok"] == true
    });
}

#[test]
fn a_drain_of_another_group_is_seen_by_where_it_stores() {
    let topic = topic(&brokers(), "others", 1);
    let (group, root) = (name("group"), tempfile::tempdir().expect("a folder"));
    let to = root.path().display().to_string();
    let mut other = drain_of(&topic, &group, &to).start();
    let partition = PartitionId { topic: topic.as_str().into(), origin: topic.as_str().into(), partition: 0 };
    let seen = |mine: &str, root: &str| {
        other_drains(&config_of(&brokers()), mine, std::slice::from_ref(&partition), root).expect("an answer")
    };
    until("it says where before it has stored anything", || seen("mine", &to) == [group.as_str()]);
    produce_at(&brokers(), &topic, 10, 1_764_037_200_000);
    until("it has stored them", || number(&other.status(), "/rows/stored") == 10);
    until("what it committed says where", || seen("mine", &to) == [group.as_str()]);
    assert!(seen(&group, &to).is_empty(), "one's own is asked for by its name");
    assert!(seen("mine", "s3://elsewhere").is_empty());
    assert!(other.term().success());
    until("its session has ended", || seen("mine", &to).is_empty());
}
