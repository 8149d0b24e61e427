//! Who is in the drains' consumer group now.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::KafkaSourceError;
use crate::config;
use crate::publish::{Quiet, Tokens, client_config};

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
    let config = client_config(kafka, &[], &kafka.consumer, &[("enable.auto.commit", "false")]);
    let tokens = Tokens::of(kafka);
    let consumer: BaseConsumer<Quiet> =
        BaseConsumer::from_config_and_context(&config, Quiet::new("group", tokens.clone()))
            .map_err(KafkaSourceError::Client)?;
    tokens.give(consumer.client()).map_err(KafkaSourceError::Token)?;
    let groups = consumer.fetch_group_list(Some(group), ANSWER_TIMEOUT).map_err(KafkaSourceError::Members)?;
    let found = || groups.groups().iter().filter(|found| found.name() == group);
    // A group that is listed and, asked for, does not exist.
    if found().any(|found| found.state() == "Dead") {
        return Ok(Members::Hidden);
    }
    Ok(Members::Count(found().map(|found| found.members().len()).sum()))
}
