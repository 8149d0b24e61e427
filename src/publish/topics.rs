//! Does the topic exist, with how many partitions and which settings; and making it where the configuration says so.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::RDKafkaErrorCode;

use super::connect::{Quiet, plain_config};
use super::token::Tokens;
use super::topic_settings::{MESSAGE_BYTES_BROKER, Settings, Wanted};
use crate::config::{CreateTopics, Kafka};

const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(2);
const CREATE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the brokers say of a topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TopicAnswer {
    Partitions {
        count: u32,
        /// Of the partition that has the fewest.
        replicas: u32,
    },
    Missing,
    /// An answer that may change: not authorised, no leader yet.
    Unknown(String),
    /// No answer.
    None(String),
}

/// The rights of who publishes to a topic.
pub(crate) const PUBLISHES: [&str; 2] = ["Describe", "Write"];

/// What an operator is told where the brokers deny one of `rights` on a topic, with the command that gives them. `does`: what weir cannot do.
pub(crate) fn denied(does: &str, topic: &str, rights: &[&str]) -> String {
    let operations: String = rights.iter().map(|right| format!(" --operation {right}")).collect();
    format!(
        "the brokers do not let weir {does} topic `{topic}`: allow its user {} there, with kafka-acls.sh --bootstrap-server HOST:PORT --add \
         --allow-principal User:NAME --topic {topic}{operations}",
        rights.join(" and ")
    )
}

/// Asks for a topic's partitions; waits at most a second.
pub(crate) fn ask<C: ClientContext>(client: &Client<C>, topic: &str) -> TopicAnswer {
    let metadata = match client.fetch_metadata(Some(topic), METADATA_TIMEOUT) {
        Ok(metadata) => metadata,
        Err(error) => return TopicAnswer::None(error.to_string()),
    };
    let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else {
        return TopicAnswer::Unknown(format!("the brokers' answer does not name topic `{topic}`"));
    };
    match found.error().map(RDKafkaErrorCode::from) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => TopicAnswer::Missing,
        Some(RDKafkaErrorCode::TopicAuthorizationFailed) => TopicAnswer::Unknown(denied("see", topic, &PUBLISHES)),
        Some(error) => TopicAnswer::Unknown(format!("topic `{topic}`: {error}")),
        None => {
            let replicas =
                found.partitions().iter().map(|p| u32::try_from(p.replicas().len()).unwrap_or(u32::MAX)).min();
            match (u32::try_from(found.partitions().len()), replicas) {
                (Ok(count), Some(replicas)) => TopicAnswer::Partitions { count, replicas },
                _ => TopicAnswer::Unknown(format!("topic `{topic}` has no partitions yet")),
            }
        }
    }
}

/// Asks for a topic's settings; waits at most two seconds. An error is no reason not to publish: reading settings is a right of its own.
pub(crate) fn describe(kafka: &Kafka, topic: &str) -> Result<Settings, String> {
    let options = AdminOptions::new().request_timeout(Some(DESCRIBE_TIMEOUT));
    let resource = [ResourceSpecifier::Topic(topic)];
    let described = block_on(admin(kafka)?.describe_configs(&resource, &options))?.map_err(|e| e.to_string())?;
    match described.into_iter().next() {
        Some(Ok(found)) => Ok(Settings::from(|name| found.get(name).and_then(|entry| entry.value.clone()))),
        Some(Err(code)) => Err(code.to_string()),
        None => Err("the brokers did not answer for it".into()),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| e.to_string())?;
    Ok(runtime.block_on(future))
}

/// A client for administration with the same brokers and log-in.
fn admin(kafka: &Kafka) -> Result<AdminClient<Quiet>, String> {
    let tokens = Tokens::of(kafka);
    let context = Quiet::new("admin", tokens.clone());
    let admin = AdminClient::from_config_and_context(&plain_config(kafka), context).map_err(|e| e.to_string())?;
    tokens.give(admin.inner())?;
    Ok(admin)
}

/// Makes a topic that takes every message and keeps each: timestamps of the broker, nothing compacted. One that is there already is a success.
pub(crate) fn create(kafka: &Kafka, topic: &str, how: CreateTopics, wanted: &Wanted) -> Result<(), String> {
    let message_bytes = wanted.message_bytes.max(MESSAGE_BYTES_BROKER).to_string();
    let new = NewTopic::new(topic, how.partitions, TopicReplication::Fixed(how.replication))
        .set("message.timestamp.type", "LogAppendTime")
        .set("cleanup.policy", "delete")
        .set("max.message.bytes", &message_bytes);
    let options = AdminOptions::new().request_timeout(Some(CREATE_TIMEOUT)).operation_timeout(Some(CREATE_TIMEOUT));
    let results = block_on(admin(kafka)?.create_topics([&new], &options))?.map_err(|e| e.to_string())?;
    match results.into_iter().next() {
        Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(code.to_string()),
        None => Err("the brokers did not answer for it".into()),
    }
}

/// What an operator types to make a missing topic.
pub(crate) fn create_command(topic: &str, wanted: &Wanted) -> String {
    let Wanted { broker, lanes, message_bytes, .. } = wanted;
    let mut command = format!(
        "kafka-topics.sh --bootstrap-server {broker} --create --topic {topic} --partitions {lanes} --replication-factor 3 \
         --config message.timestamp.type=LogAppendTime --config cleanup.policy=delete"
    );
    if *message_bytes > MESSAGE_BYTES_BROKER {
        command.push_str(&format!(" --config max.message.bytes={message_bytes}"));
    }
    command
}
