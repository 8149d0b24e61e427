//! Who drains now: the members of the drains' consumer group, and other groups that store in the same place.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::groups::GroupMemberInfo;

use super::{KafkaSourceError, limits};
use crate::config;
use crate::publish::{Quiet, Tokens, client_config};
use crate::source::PartitionId;

/// How long the coordinator is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of a group's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    Count(usize),
    /// The group exists and this client cannot look into it: somebody joined it by the newer protocol (KIP-848). Weir's drains can be members of it
    /// all the same.
    Hidden,
}

/// How many members the group has. One that was stopped or killed counts until its session ends.
///
/// # Errors
/// The client cannot be made, or nobody answers.
pub fn members(kafka: &config::Kafka, group: &str) -> Result<Members, KafkaSourceError> {
    let groups =
        client(kafka, group)?.fetch_group_list(Some(group), ANSWER_TIMEOUT).map_err(KafkaSourceError::Members)?;
    let found = || groups.groups().iter().filter(|found| found.name() == group);
    // A group that is listed and, asked for, does not exist.
    if found().any(|found| found.state() == "Dead") {
        return Ok(Members::Hidden);
    }
    Ok(Members::Count(found().map(|found| found.members().len()).sum()))
}

/// The groups beside `group` that have members and store one of `partitions` in `root`, or have begun to: what they committed says so.
///
/// # Errors
/// The client cannot be made, or nobody answers.
pub fn other_drains(
    kafka: &config::Kafka,
    group: &str,
    partitions: &[PartitionId],
    root: &str,
) -> Result<Vec<String>, KafkaSourceError> {
    let numbered = |id: &PartitionId| Some((id.clone(), i32::try_from(id.partition).ok()?));
    let partitions: Vec<(PartitionId, i32)> = partitions.iter().filter_map(numbered).collect();
    let groups = client(kafka, group)?.fetch_group_list(None, ANSWER_TIMEOUT).map_err(KafkaSourceError::Members)?;
    let mut others = Vec::new();
    for other in groups.groups() {
        // A member says of which topics it wants a share. One that cannot be seen may want any.
        let wants = |member: &GroupMemberInfo| member.metadata().is_none_or(|said| names(said, &partitions));
        if other.name() == group || !(other.state() == "Dead" || other.members().iter().any(wants)) {
            continue;
        }
        let client = client(kafka, other.name())?;
        if limits::stores_in(&client, &partitions, root, ANSWER_TIMEOUT) {
            others.push(other.name().to_owned());
        }
    }
    Ok(others)
}

/// Whether what a member said when it joined names the topic of one of these partitions.
fn names(said: &[u8], partitions: &[(PartitionId, i32)]) -> bool {
    let topics: BTreeSet<&str> = partitions.iter().map(|(id, _)| &*id.topic).collect();
    topics.into_iter().any(|topic| memchr::memmem::find(said, topic.as_bytes()).is_some())
}

/// A client that joins nothing and asks as one of `group`.
fn client(kafka: &config::Kafka, group: &str) -> Result<BaseConsumer<Quiet>, KafkaSourceError> {
    let config = client_config(kafka, &[], &kafka.consumer, &[("group.id", group), ("enable.auto.commit", "false")]);
    let tokens = Tokens::of(kafka);
    let consumer: BaseConsumer<Quiet> =
        BaseConsumer::from_config_and_context(&config, Quiet::new("group", tokens.clone()))
            .map_err(KafkaSourceError::Client)?;
    tokens.give(consumer.client()).map_err(KafkaSourceError::Token)?;
    Ok(consumer)
}
