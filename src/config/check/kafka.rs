//! Kafka and the drain's side of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Rules;
use crate::config::file::{self, File, Start};
use crate::config::report::ConfigError;
use crate::config::units::Span;
use crate::config::{CreateTopics, Drain, Kafka, KeyField, Roles, topic_pattern};

const LANES_MAX: u32 = 64;
const RECORD_BYTES_MIN: u64 = 1_000;
const RECORD_BYTES_MAX: u64 = 100_000_000;
const PARTITIONS_MAX: i32 = 10_000;
const REPLICATION_MAX: i32 = 32;
const SPOOL_BYTES_MIN: u64 = 1 << 20;
const SPOOL_BYTES_MAX: u64 = 1 << 50;

/// Properties that the promises rest on, each with what sets it instead.
const PRODUCER_PROTECTED: &[(&str, &str)] = &[
    ("bootstrap.servers", "write `kafka.brokers`"),
    ("metadata.broker.list", "write `kafka.brokers`"),
    ("enable.idempotence", "remove it: it is always true, so that a retry is not a second record"),
    ("enable.gapless.guarantee", "remove it: order is kept by weir's log"),
    ("acks", "remove it: it is always `all`, so that an acknowledged record is safe"),
    ("request.required.acks", "remove it: it is always `all`, so that an acknowledged record is safe"),
    ("message.timeout.ms", "remove it: records wait in the log, they never time out"),
    ("delivery.timeout.ms", "remove it: records wait in the log, they never time out"),
    ("retries", "remove it: records are sent until they are acknowledged"),
    ("message.send.max.retries", "remove it: records are sent until they are acknowledged"),
    ("max.in.flight", "remove it: it is set for idempotence"),
    ("max.in.flight.requests.per.connection", "remove it: it is set for idempotence"),
    ("transactional.id", "remove it: weir uses no transactions"),
    ("queue.buffering.max.kbytes", "write `memory.producer`"),
    ("queue.buffering.max.messages", "write `memory.producer`"),
    ("message.max.bytes", "write `kafka.max_record`"),
    ("partitioner", "remove it: every lane has its own partition"),
    ("delivery.report.only.error", "remove it: the log moves on by delivery reports"),
];
const CONSUMER_PROTECTED: &[(&str, &str)] = &[
    ("bootstrap.servers", "write `kafka.brokers`"),
    ("metadata.broker.list", "write `kafka.brokers`"),
    ("group.id", "write `drain.group`"),
    ("enable.auto.commit", "remove it: the stored file is the commit"),
    ("enable.auto.offset.store", "remove it: the stored file is the commit"),
    ("auto.offset.reset", "write `drain.start`"),
    ("isolation.level", "remove it: it is set so that aborted records are not drained"),
    ("enable.partition.eof", "remove it: the drain needs it as it is"),
    ("allow.auto.create.topics", "write `kafka.create_topics`"),
];

pub(super) fn kafka(at: &Rules<'_>, file: &file::Kafka, resend_window: Duration) -> Result<Kafka, ConfigError> {
    let key = |key| ["kafka", key];
    if file.brokers.is_empty() {
        return Err(at.wrong(
            &key("brokers"),
            "`kafka.brokers` names no broker",
            "write for example `brokers: [127.0.0.1:9092]`",
        ));
    }
    let brokers = file.brokers.iter().map(|broker| self::broker(at, broker)).collect::<Result<_, _>>()?;
    topic_template(at, &key("topic"), &file.topic)?;
    let record_bytes_max = at.size(&key("max_record"), file.max_record, RECORD_BYTES_MIN, RECORD_BYTES_MAX)?;
    properties(at, "producer", &file.producer, PRODUCER_PROTECTED)?;
    properties(at, "consumer", &file.consumer, CONSUMER_PROTECTED)?;
    let create_topics = match &file.create_topics {
        None => None,
        Some(create) => {
            let key = |key| ["kafka", "create_topics", key];
            Some(CreateTopics {
                partitions: at.range(&key("partitions"), create.partitions, 1, PARTITIONS_MAX)?,
                replication: at.range(&key("replication"), create.replication, 1, REPLICATION_MAX)?,
            })
        }
    };
    Ok(Kafka {
        brokers,
        topic: file.topic.clone(),
        format: file.format,
        lanes: at.range(&key("lanes"), file.lanes, 1, LANES_MAX)?,
        key: file.key.as_ref().map(|field| message_key(at, field)).transpose()?,
        record_bytes_max: usize::try_from(record_bytes_max).unwrap_or(usize::MAX),
        producer: file.producer.clone(),
        consumer: file.consumer.clone(),
        create_topics,
        resend_window,
    })
}

fn broker(at: &Rules<'_>, broker: &str) -> Result<String, ConfigError> {
    let key = ["kafka", "brokers"];
    if let Some((scheme, rest)) = broker.split_once("://") {
        let what = if scheme.eq_ignore_ascii_case("plaintext") {
            format!("`{broker}` has a scheme")
        } else {
            format!("the broker `{broker}` asks for more than clear text, which is not in this version")
        };
        return Err(at.wrong(&key, what, format!("write `{rest}`")));
    }
    let parsed = broker.parse::<http::uri::Authority>().ok();
    match parsed.as_ref().map(|authority| (authority.host(), authority.port_u16())) {
        Some((host, Some(port))) if !host.is_empty() && port > 0 => Ok(broker.to_owned()),
        Some((host, None)) if !host.is_empty() && host == broker => {
            Err(at.wrong(&key, format!("the broker `{broker}` has no port"), format!("write `{broker}:9092`")))
        }
        _ => Err(at.wrong(
            &key,
            format!("`{broker}` is not a broker"),
            "write host and port, for example `127.0.0.1:9092`",
        )),
    }
}

fn message_key(at: &Rules<'_>, field: &str) -> Result<KeyField, ConfigError> {
    KeyField::parse(field).ok_or_else(|| {
        let what = format!("`{field}` is no field of a record that could be a message's key");
        let fix = "write `id`, `request_id`, `client_request_id`, `trace_id`, `model_name`, `model_version`, `route`, or for example \
                   `inputs.customer_id`, `outputs.label`, `metadata.team`";
        at.wrong(&["kafka", "key"], what, fix)
    })
}

fn topic_template(at: &Rules<'_>, key: &[&str], topic: &str) -> Result<(), ConfigError> {
    let name = topic.replacen("{model}", "m", 1);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.contains(['{', '}']) {
        let what = format!("`{topic}` has a placeholder that is not `{{model}}`, or has it twice");
        return Err(at.wrong(key, what, "write `{model}` once, for example `predictions.{model}`"));
    }
    // A model's name has up to 64 characters, a topic's up to 249.
    if name.is_empty() || name.len() > 249 - 64 || !name.chars().all(allowed) || name.starts_with(['.', '_']) {
        let what = format!("`{topic}` cannot be a topic that becomes a folder of files");
        let fix = "write letters, digits, `.`, `_` and `-`, beginning with a letter or digit, for example `{model}`";
        return Err(at.wrong(key, what, fix));
    }
    Ok(())
}

fn properties(
    at: &Rules<'_>,
    side: &str,
    properties: &BTreeMap<String, String>,
    protected: &[(&str, &str)],
) -> Result<(), ConfigError> {
    for (property, value) in properties {
        let key = ["kafka", side, property];
        if let Some((_, fix)) = protected.iter().find(|(name, _)| name == property) {
            let what = format!("`{property}` cannot be set: weir's promises rest on it");
            return Err(at.tree.key_error(&key, what, *fix));
        }
        let secured = property == "security.protocol" && !value.eq_ignore_ascii_case("plaintext");
        if secured || property.starts_with("sasl.") || property.starts_with("ssl.") || property.ends_with(".sasl") {
            let what = format!("`{property}`: TLS and log-in to Kafka are not in this version");
            return Err(at.tree.key_error(&key, what, "remove it; brokers are reached in clear text"));
        }
        if property.ends_with("_cb") {
            let what = format!("`{property}` is a callback, which a file cannot set");
            return Err(at.tree.key_error(&key, what, "remove it"));
        }
        // librdkafka knows its properties and their ranges best.
        let mut native = rdkafka::ClientConfig::new();
        native.set(property, value);
        if let Err(error) = native.create_native_config() {
            let said = match error {
                rdkafka::error::KafkaError::ClientConfig(_, said, _, _) => said,
                other => other.to_string(),
            };
            if said.contains("No such") {
                let what = format!("librdkafka has no property `{property}`");
                return Err(at.tree.key_error(&key, what, "look it up in librdkafka's CONFIGURATION.md"));
            }
            let what = format!("librdkafka refuses this value of `{property}`: {}", said.trim_end_matches('.'));
            return Err(at.wrong(&key, what, "look up what it takes in librdkafka's CONFIGURATION.md"));
        }
    }
    Ok(())
}

pub(super) fn drain(at: &Rules<'_>, file: &File, roles: Roles) -> Result<Drain, ConfigError> {
    let key = |key| ["drain", key];
    let drain = &file.drain;
    if drain.writers != 1 {
        let what = "`drain.writers` other than 1 is not in this version";
        return Err(at.wrong(&key("writers"), what, "write `writers: 1`, or remove it"));
    }
    for topic in &drain.topics {
        match topic_pattern(topic) {
            Err(error) => {
                // The parser draws the place over several lines; the last says what it is.
                let said = error.source.to_string();
                let said = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let what = format!("`{topic}` is no pattern of topics: {said}");
                return Err(at.wrong(&key("topics"), what, "write for example `\"^fraud-.*\"` or `\"fraud-*\"`"));
            }
            Ok(Some(_)) if topic.contains("{model}") => {
                let what = format!("`{topic}` is a pattern, in which `{{model}}` has no meaning");
                return Err(at.wrong(&key("topics"), what, "write `\"{model}\"` and the pattern as two topics"));
            }
            Ok(Some(_)) => {}
            Ok(None) => topic_template(at, &key("topics"), topic)?,
        }
    }
    if file.kafka.is_none() && at.tree.entry(&key("topics")).is_some() && drain.topics != ["{model}"] {
        let what = "`drain.topics` names topics of Kafka, but there is no `kafka:`";
        return Err(at.wrong(&key("topics"), what, "remove it: the drain reads the log; or add `kafka:`"));
    }
    if roles.drain && file.routes.is_empty() && drain.topics.iter().any(|topic| topic.contains("{model}")) {
        let what = "`{model}` stands for the topics of this process's routes, and it has none";
        return Err(at.wrong(&key("topics"), what, "name them: `topics: [churn, credit]`"));
    }
    if roles.drain && drain.topics.is_empty() {
        return Err(at.wrong(
            &key("topics"),
            "`drain.topics` is empty, so nothing would be drained",
            "write `[\"{model}\"]`",
        ));
    }
    if drain.group.is_empty() || drain.group.len() > 255 || drain.group.contains(char::is_whitespace) {
        return Err(at.wrong(&key("group"), "`drain.group` is not a name", "write for example `weir-drain`"));
    }
    let day = 24 * 60 * 60;
    Ok(Drain {
        topics: drain.topics.clone(),
        group: drain.group.clone(),
        start_earliest: drain.start == Start::Earliest,
        spool_bytes_max: at.size(&key("spool"), drain.spool, SPOOL_BYTES_MIN, SPOOL_BYTES_MAX)?,
        resend_window: at.span(&key("resend_window"), drain.resend_window, Span::secs(60), Span::secs(365 * day))?,
    })
}
