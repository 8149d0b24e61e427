//! Committed offsets are hints: who drains beside others leaves none, and needs none.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::kafka::{brokers, client, name, produce_at, topic};
use crate::support::until;
use crate::support::weir::{Weir, rows};

fn drain_of(topic: &str, group: &str, to: &str) -> Weir {
    Weir::new(&format!(
        "roles: [drain]\nkafka: {{ brokers: [{}] }}\n\
         drain: {{ topics: [{topic}], group: {group} }}\nstore: {{ to: \"{to}\", roll: {{ every: 1h }} }}\n",
        brokers()
    ))
}

/// What the group has committed for partition 0.
fn committed(topic: &str, group: &str) -> Offset {
    let consumer: BaseConsumer = client(&brokers()).set("group.id", group).create().expect("a consumer");
    let mut ask = TopicPartitionList::new();
    ask.add_partition(topic, 0);
    let answer = consumer.committed_offsets(ask, Duration::from_secs(30)).expect("an answer");
    answer.find_partition(topic, 0).expect("the partition").offset()
}

#[test]
fn a_drain_that_ends_by_itself_commits_or_leaves_it_to_the_one_that_is_at_work() {
    let topic = topic(&brokers(), "hints", 1);
    let (group, root) = (name("group"), tempfile::tempdir().expect("a folder"));
    let to = root.path().display().to_string();
    let once = drain_of(&topic, &group, &to);
    let drain_once = || {
        let output = once.cli(&["drain", "--once"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.to_lowercase().contains("commit"), "{said}");
    };
    produce_at(&brokers(), &topic, 10, 1_764_037_200_000);
    drain_once();
    assert_eq!(committed(&topic, &group), Offset::Offset(10));

    let mut member = drain_of(&topic, &group, &to).start();
    until("it owns the partition", || member.status()["drain"].as_array().is_some_and(|drain| !drain.is_empty()));
    produce_at(&brokers(), &topic, 10, 1_764_037_200_000);
    drain_once();
    assert_eq!(rows(&once.verify()), 20);
    // It adopts what the other one stored, now or when it stops.
    assert!(member.term().success());
    assert_eq!(committed(&topic, &group), Offset::Offset(20));
    assert_eq!(rows(&once.verify()), 20);
}
