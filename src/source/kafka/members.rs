//! Who is in the drains' consumer group now.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::KafkaSourceError;
use crate::config;
use crate::publish::{Quiet, Tokens, client_config};

/// How long the coordinator is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How many members the group has. One that was stopped or killed counts until its session ends.
///
/// # Errors
/// The client cannot be made, or nobody answers.
pub fn members(kafka: &config::Kafka, group: &str) -> Result<usize, KafkaSourceError> {
    let config = client_config(kafka, &[], &kafka.consumer, &[("enable.auto.commit", "false")]);
    let tokens = Tokens::of(kafka);
    let consumer: BaseConsumer<Quiet> =
        BaseConsumer::from_config_and_context(&config, Quiet::new("group", tokens.clone()))
            .map_err(KafkaSourceError::Client)?;
    tokens.give(consumer.client()).map_err(KafkaSourceError::Token)?;
    let groups = consumer.fetch_group_list(Some(group), ANSWER_TIMEOUT).map_err(KafkaSourceError::Members)?;
    Ok(groups.groups().iter().filter(|found| found.name() == group).map(|found| found.members().len()).sum())
}
