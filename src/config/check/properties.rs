//! `kafka.producer` and `kafka.consumer`: any property of librdkafka, but for those that the promises rest on.

use std::collections::BTreeMap;

use super::Rules;
use crate::config::Setting;
use crate::config::report::ConfigError;
use crate::config::secret::Lookup;

/// Properties that the promises rest on, each with what sets it instead.
const BOTH_PROTECTED: &[(&str, &str)] = &[
    ("bootstrap.servers", "write `kafka.brokers`"),
    ("metadata.broker.list", "write `kafka.brokers`"),
    ("allow.auto.create.topics", "write `kafka.create_topics`"),
    ("enabled_events", "remove it: weir takes the events that it needs"),
    ("log.queue", "remove it: the lines go to weir's log"),
    ("log_level", "remove it: the environment variable WEIR_LOG says what is logged"),
];
const PRODUCER_PROTECTED: &[(&str, &str)] = &[
    ("enable.idempotence", "remove it: it is always true, so that a retry is not a second record"),
    ("enable.gapless.guarantee", "remove it: order is kept by weir's log"),
    ("queuing.strategy", "remove it: order is kept by weir's log"),
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
    ("group.id", "write `drain.group`"),
    ("group.protocol", "remove it: a new generation has to see who is in the group, which only `classic` shows"),
    ("enable.auto.commit", "remove it: the stored file is the commit"),
    ("auto.commit.enable", "remove it: the stored file is the commit"),
    ("enable.auto.offset.store", "remove it: the stored file is the commit"),
    ("auto.offset.reset", "write `drain.start`"),
    ("isolation.level", "remove it: it is set so that aborted records are not drained"),
    ("check.crcs", "remove it: it is always true, so that a damaged message becomes no row"),
    ("enable.partition.eof", "remove it: the drain needs it as it is"),
];

pub(super) fn producer(
    at: &Rules<'_>,
    written: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Setting>, ConfigError> {
    properties(at, "producer", written, PRODUCER_PROTECTED)
}

pub(super) fn consumer(
    at: &Rules<'_>,
    written: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Setting>, ConfigError> {
    properties(at, "consumer", written, CONSUMER_PROTECTED)
}

fn properties(
    at: &Rules<'_>,
    side: &str,
    written: &BTreeMap<String, String>,
    protected: &[(&str, &str)],
) -> Result<BTreeMap<String, Setting>, ConfigError> {
    let mut properties = BTreeMap::new();
    for (property, text) in written {
        let key = ["kafka", side, property];
        if let Some((_, fix)) = BOTH_PROTECTED.iter().chain(protected).find(|(name, _)| name == property) {
            let what = format!("`{property}` cannot be set: weir's promises rest on it");
            return Err(at.tree.key_error(&key, what, *fix));
        }
        if let Some((what, fix)) = other_way(property, text) {
            return Err(at.tree.key_error(&key, format!("`{property}` {what}"), fix));
        }
        let value = at.setting(&key, text)?;
        if !matches!((&value, at.lookup), (Setting::Secret(_), Lookup::Nowhere)) {
            accepted(at, &key, property, &value)?;
        }
        properties.insert(property.clone(), value);
    }
    Ok(properties)
}

/// What librdkafka would take and this weir does in another way, or cannot do.
fn other_way(property: &str, value: &str) -> Option<(&'static str, &'static str)> {
    let is = |name: &str| value.eq_ignore_ascii_case(name);
    if property.ends_with("_cb") {
        return Some(("is a callback, which a file cannot set", "remove it"));
    }
    if property == "security.protocol" {
        return Some((
            "is set by what `kafka` has: TLS by `tls`, a log-in by `sasl`",
            "write `kafka.tls: {}` for SSL, `kafka.sasl` for SASL_PLAINTEXT, both for SASL_SSL",
        ));
    }
    let mechanism = matches!(property, "sasl.mechanism" | "sasl.mechanisms");
    if property.starts_with("sasl.kerberos.") || (mechanism && is("GSSAPI")) {
        return Some((
            "is for Kerberos, which is not in this version",
            "remove it; use SCRAM, PLAIN or OAUTHBEARER in `kafka.sasl`",
        ));
    }
    if mechanism {
        return Some(("is set by `kafka.sasl`", "write `kafka.sasl: { mechanism: .. }`"));
    }
    if property.starts_with("sasl.oauthbearer.") || property == "enable.sasl.oauthbearer.unsecure.jwt" {
        return Some((
            "is for librdkafka's own way to get tokens",
            "write `kafka.sasl: { mechanism: OAUTHBEARER, oidc: .. }`",
        ));
    }
    None
}

/// librdkafka knows its properties and their ranges best.
fn accepted(at: &Rules<'_>, key: &[&str], property: &str, value: &Setting) -> Result<(), ConfigError> {
    let mut native = rdkafka::ClientConfig::new();
    native.set(property, value.expose());
    let Err(error) = native.create_native_config() else { return Ok(()) };
    let said = match error {
        rdkafka::error::KafkaError::ClientConfig(_, said, _, _) => said,
        other => other.to_string(),
    };
    if said.contains("No such") {
        let what = format!("librdkafka has no property `{property}`");
        return Err(at.tree.key_error(key, what, "look it up in librdkafka's CONFIGURATION.md"));
    }
    // What it says may hold the value.
    let what = match value {
        Setting::Plain(_) => format!("librdkafka refuses this value of `{property}`: {}", said.trim_end_matches('.')),
        Setting::Secret(_) => format!("librdkafka refuses this value of `{property}`"),
    };
    Err(at.wrong(key, what, "look up what it takes in librdkafka's CONFIGURATION.md"))
}
