//! Does the topic exist, with how many partitions; and making it where the configuration says so.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use crate::config::CreateTopics;

const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
const CREATE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the brokers say of a topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TopicAnswer {
    Partitions(u32),
    Missing,
    /// An answer that may change: not authorised, no leader yet.
    Unknown(String),
    /// No answer.
    None(String),
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
        Some(error) => TopicAnswer::Unknown(format!("topic `{topic}`: {error}")),
        None => match u32::try_from(found.partitions().len()) {
            Ok(count) if count > 0 => TopicAnswer::Partitions(count),
            _ => TopicAnswer::Unknown(format!("topic `{topic}` has no partitions yet")),
        },
    }
}

/// Makes a topic whose timestamps are the broker's. One that is there already is a success.
pub(crate) fn create(config: &ClientConfig, topic: &str, how: CreateTopics) -> Result<(), String> {
    let mut admin_config = ClientConfig::new();
    for (name, value) in config.config_map() {
        // Properties of producers only would be complained about.
        let shared =
            ["bootstrap.servers", "client.id", "security.", "ssl.", "sasl.", "socket.", "reconnect.", "broker."];
        if shared.iter().any(|prefix| name.starts_with(prefix)) {
            admin_config.set(name, value);
        }
    }
    let admin: AdminClient<DefaultClientContext> = admin_config.create().map_err(|e| e.to_string())?;
    let new = NewTopic::new(topic, how.partitions, TopicReplication::Fixed(how.replication))
        .set("message.timestamp.type", "LogAppendTime");
    let options = AdminOptions::new().request_timeout(Some(CREATE_TIMEOUT)).operation_timeout(Some(CREATE_TIMEOUT));
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| e.to_string())?;
    let results = runtime.block_on(admin.create_topics([&new], &options)).map_err(|e| e.to_string())?;
    match results.into_iter().next() {
        Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(code.to_string()),
        None => Err("the brokers did not answer for it".into()),
    }
}

/// What an operator types to make a missing topic.
pub(crate) fn create_hint(brokers: &[String], topic: &str, lanes: u32) -> String {
    let broker = brokers.first().map_or("localhost:9092", String::as_str);
    format!(
        "topic `{topic}` does not exist; set `kafka.create_topics`, or create it: kafka-topics.sh --bootstrap-server {broker} --create \
         --topic {topic} --partitions {lanes} --replication-factor 3 --config message.timestamp.type=LogAppendTime"
    )
}
