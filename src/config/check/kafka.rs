//! Kafka and the drain's side of it.

use std::time::Duration;

use super::{Rules, connect, properties};
use crate::config::file::{self, File, Start};
use crate::config::report::ConfigError;
use crate::config::units::Span;
use crate::config::{CreateTopics, Drain, FEEDBACK_SUFFIX, Kafka, KeyField, Roles, is_feedback_topic, topic_pattern};

const LANES_MAX: u32 = 64;
const RECORD_BYTES_MIN: u64 = 1_000;
const RECORD_BYTES_MAX: u64 = 100_000_000;
const PARTITIONS_MAX: i32 = 10_000;
const REPLICATION_MAX: i32 = 32;
const SPOOL_BYTES_MIN: u64 = 1 << 20;
const SPOOL_BYTES_MAX: u64 = 1 << 50;

pub(super) fn kafka(at: &Rules<'_>, file: &file::Kafka, resend_window: Duration) -> Result<Kafka, ConfigError> {
    let key = |key| ["kafka", key];
    if file.brokers.is_empty() {
        return Err(at.wrong(
            &key("brokers"),
            "`kafka.brokers` names no broker",
            "write for example `brokers: [127.0.0.1:9092]`",
        ));
    }
    let tls = file.tls.as_ref().map(|tls| connect::tls(at, tls)).transpose()?;
    let sasl = file.sasl.as_ref().map(|sasl| connect::sasl(at, sasl)).transpose()?;
    let brokers = file.brokers.iter().map(|broker| self::broker(at, broker, file)).collect::<Result<_, _>>()?;
    topic_template(at, &key("topic"), &file.topic)?;
    if is_feedback_topic(&file.topic) {
        let what = format!(
            "`{}` ends like the topic of feedback, which is this name with `{FEEDBACK_SUFFIX}` behind it",
            file.topic
        );
        return Err(at.wrong(&key("topic"), what, "write a name with another end, for example `{model}`"));
    }
    let record_bytes_max = at.size(&key("max_record"), file.max_record, RECORD_BYTES_MIN, RECORD_BYTES_MAX)?;
    let producer = properties::producer(at, &file.producer)?;
    let consumer = properties::consumer(at, &file.consumer)?;
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
        tls,
        sasl,
        producer,
        consumer,
        create_topics,
        resend_window,
    })
}

fn broker(at: &Rules<'_>, broker: &str, file: &file::Kafka) -> Result<String, ConfigError> {
    let key = ["kafka", "brokers"];
    if let Some((scheme, rest)) = broker.split_once("://") {
        let scheme = scheme.to_ascii_lowercase();
        let tls = scheme.ends_with("ssl") && file.tls.is_none();
        let sasl = scheme.starts_with("sasl") && file.sasl.is_none();
        let fix = match (tls, sasl) {
            (false, false) => format!("write `{rest}`"),
            (true, false) => format!("write `{rest}`, and `kafka.tls: {{}}` beside `brokers`"),
            (false, true) => format!("write `{rest}`, and `kafka.sasl` beside `brokers`"),
            (true, true) => format!("write `{rest}`, and `kafka.tls: {{}}` and `kafka.sasl` beside `brokers`"),
        };
        return Err(at.wrong(&key, format!("the broker `{broker}` has a scheme"), fix));
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
    // A model's name has up to 64 characters, a topic's up to 249, that of its feedback a few more.
    if name.is_empty()
        || name.len() > 249 - 64 - FEEDBACK_SUFFIX.len()
        || !name.chars().all(allowed)
        || name.starts_with(['.', '_'])
    {
        let what = format!("`{topic}` cannot be a topic that becomes a folder of files");
        let fix = "write letters, digits, `.`, `_` and `-`, beginning with a letter or digit, for example `{model}`";
        return Err(at.wrong(key, what, fix));
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
