//! What a topic's settings mean for records: pure, from what the brokers describe to what an operator is told. Looked at once per start, and by `weir check`.

use std::time::Duration;

/// The brokers' own default of `max.message.bytes`.
pub(super) const MESSAGE_BYTES_BROKER: u64 = 1_048_588;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A topic as the brokers describe it. `None`: they did not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub cleanup_policy: Option<String>,
    pub max_message_bytes: Option<u64>,
    pub min_insync_replicas: Option<u32>,
    /// Negative: without end.
    pub retention_bytes: Option<i64>,
    /// Negative: for ever.
    pub retention_ms: Option<i64>,
    pub timestamp_type: Option<String>,
}

impl Settings {
    /// Reads them by their names.
    pub(super) fn from(value: impl Fn(&str) -> Option<String>) -> Settings {
        let number = |name| value(name).and_then(|text| text.parse::<i64>().ok());
        Settings {
            cleanup_policy: value("cleanup.policy"),
            max_message_bytes: number("max.message.bytes").and_then(|n| u64::try_from(n).ok()),
            min_insync_replicas: number("min.insync.replicas").and_then(|n| u32::try_from(n).ok()),
            retention_bytes: number("retention.bytes"),
            retention_ms: number("retention.ms"),
            timestamp_type: value("message.timestamp.type"),
        }
    }
}

/// What the configuration asks of every topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// For the commands in the messages.
    pub broker: String,
    pub lanes: u32,
    /// The largest batch that the producer sends.
    pub message_bytes: u64,
    pub resend_window: Duration,
}

/// Something about a topic that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Rows would be lost without a word: nothing is published until it is put right.
    pub refuse: bool,
    pub what: String,
    pub fix: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.fix)
    }
}

/// What is to be said of a topic, the reasons to refuse it first.
pub(crate) fn findings(
    topic: &str,
    partitions: u32,
    replicas: u32,
    settings: &Settings,
    wanted: &Wanted,
) -> Vec<Finding> {
    let broker = &wanted.broker;
    let alter = |setting: &str| {
        format!(
            "kafka-configs.sh --bootstrap-server {broker} --alter --entity-type topics --entity-name {topic} --add-config {setting}"
        )
    };
    let mut found = Vec::new();
    let mut say = |refuse, what: String, fix: String| found.push(Finding { refuse, what, fix });
    if let Some(policy) = settings.cleanup_policy.as_deref().filter(|policy| policy.contains("compact")) {
        let what = format!(
            "topic `{topic}` is compacted (cleanup.policy={policy}): Kafka would delete every row but the last of each key, and refuse \
             those without a key"
        );
        say(true, what, alter("cleanup.policy=delete"));
    }
    if let Some(bytes) = settings.max_message_bytes.filter(|&bytes| bytes < wanted.message_bytes) {
        let what = format!(
            "topic `{topic}` takes messages of {bytes} bytes (max.message.bytes), and `kafka.max_record` asks for {}: what it refuses is \
             shortened",
            wanted.message_bytes
        );
        say(false, what, alter(&format!("max.message.bytes={}", wanted.message_bytes)));
    }
    if let Some(kept) = settings.retention_ms.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis) {
        let least = wanted.resend_window.max(DAY);
        if kept < least {
            let what = format!(
                "topic `{topic}` keeps messages for {} (retention.ms), less than {}: a drain that is away for longer loses rows, and what a \
                 gateway sends again after that cannot be told from new rows",
                span(kept),
                if least == DAY { "a day".to_owned() } else { format!("`drain.resend_window` ({})", span(least)) },
            );
            say(false, what, alter(&format!("retention.ms={}", least.as_millis())));
        }
    }
    if let Some(bytes) = settings.retention_bytes.filter(|bytes| *bytes >= 0) {
        let what = format!(
            "topic `{topic}` keeps {bytes} bytes of each partition (retention.bytes), however young the rest is: a drain that is further behind \
             loses rows"
        );
        say(false, what, alter("retention.bytes=-1"));
    }
    if let Some(least) = settings.min_insync_replicas {
        if least > replicas {
            let what = format!(
                "topic `{topic}` has {replicas} replicas and takes messages only with {least} in sync (min.insync.replicas): it takes none"
            );
            say(false, what, alter(&format!("min.insync.replicas={}", (replicas / 2 + 1).min(replicas))));
        } else if replicas == 1 {
            let what =
                format!("topic `{topic}` has one replica: what its broker loses is lost after Kafka acknowledged it");
            say(false, what, "make it anew with --replication-factor 3 where rows must survive a broker".to_owned());
        } else if least == 1 {
            let what = format!(
                "topic `{topic}` acknowledges messages that only one of its {replicas} replicas has (min.insync.replicas=1): that broker's end loses them"
            );
            say(false, what, alter("min.insync.replicas=2"));
        } else if least == replicas {
            let what = format!(
                "topic `{topic}` takes messages only while all its {replicas} replicas are in sync (min.insync.replicas={least}): one broker \
                 that is down stops publishing, rows wait in the log"
            );
            say(false, what, alter(&format!("min.insync.replicas={}", least - 1)));
        }
    }
    if let Some(kind) = settings.timestamp_type.as_deref().filter(|kind| *kind != "LogAppendTime") {
        let what = format!(
            "topic `{topic}` has timestamps of its producers (message.timestamp.type={kind}): `dt=` follows their clocks"
        );
        say(false, what, alter("message.timestamp.type=LogAppendTime"));
    }
    if partitions < wanted.lanes {
        let what = format!(
            "topic `{topic}` has {partitions} partitions for {} lanes (`kafka.lanes`): lanes share them",
            wanted.lanes
        );
        let fix = format!(
            "kafka-topics.sh --bootstrap-server {broker} --alter --topic {topic} --partitions {} before anything is published; lanes that have \
             their partition keep it",
            wanted.lanes
        );
        say(false, what, fix);
    }
    found
}

fn span(of: Duration) -> String {
    match of.as_secs() {
        seconds if seconds >= 2 * DAY.as_secs() => format!("{} days", seconds / DAY.as_secs()),
        seconds if seconds >= 2 * 3600 => format!("{} hours", seconds / 3600),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Settings {
        let value = |name: &str| {
            let value = match name {
                "cleanup.policy" => "delete",
                "max.message.bytes" => "1048588",
                "min.insync.replicas" => "2",
                "retention.bytes" => "-1",
                "retention.ms" => "604800000",
                "message.timestamp.type" => "LogAppendTime",
                _ => return None,
            };
            Some(value.to_owned())
        };
        Settings::from(value)
    }

    fn wanted() -> Wanted {
        Wanted { broker: "b:1".into(), lanes: 4, message_bytes: 904_096, resend_window: 7 * DAY }
    }

    /// What is said of a topic of three replicas.
    fn said(settings: &Settings) -> Vec<(bool, String)> {
        findings("churn", 6, 3, settings, &wanted()).iter().map(|found| (found.refuse, found.to_string())).collect()
    }

    #[test]
    fn nothing_is_said_of_a_topic_that_fits_or_is_not_described() {
        assert_eq!(said(&good()), []);
        assert_eq!(said(&Settings::default()), []);
        assert_eq!(said(&Settings { retention_ms: Some(-1), ..good() }), [], "for ever");
    }

    #[test]
    fn a_compacted_topic_is_refused_with_the_command() {
        for policy in ["compact", "compact,delete"] {
            let said = said(&Settings { cleanup_policy: Some(policy.into()), ..good() });
            assert_eq!(said.len(), 1);
            assert!(said[0].0, "{said:?}");
            let command = "kafka-configs.sh --bootstrap-server b:1 --alter --entity-type topics --entity-name churn --add-config cleanup.policy=delete";
            assert!(said[0].1.contains(command), "{said:?}");
        }
    }

    #[test]
    fn each_setting_that_does_not_fit_is_named_with_its_fix() {
        let cases = [
            (Settings { max_message_bytes: Some(900_000), ..good() }, "--add-config max.message.bytes=904096"),
            (Settings { retention_ms: Some(3_600_000), ..good() }, "--add-config retention.ms=604800000"),
            (Settings { retention_bytes: Some(1 << 20), ..good() }, "--add-config retention.bytes=-1"),
            (Settings { min_insync_replicas: Some(1), ..good() }, "--add-config min.insync.replicas=2"),
            (Settings { min_insync_replicas: Some(3), ..good() }, "--add-config min.insync.replicas=2"),
            (Settings { min_insync_replicas: Some(4), ..good() }, "--add-config min.insync.replicas=2"),
            (Settings { timestamp_type: Some("CreateTime".into()), ..good() }, "message.timestamp.type=LogAppendTime"),
        ];
        for (settings, fix) in cases {
            let said = said(&settings);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(!said[0].0 && said[0].1.contains(fix), "{said:?}");
        }
    }

    #[test]
    fn too_few_partitions_and_a_single_replica_are_said() {
        let few = findings("churn", 2, 3, &good(), &wanted());
        assert!(few[0].to_string().contains("--partitions 4"), "{few:?}");
        let single = findings("churn", 6, 1, &Settings { min_insync_replicas: Some(1), ..good() }, &wanted());
        assert!(single.len() == 1 && single[0].what.contains("one replica"), "{single:?}");
    }

    #[test]
    fn a_short_window_still_asks_for_a_day() {
        let wanted = Wanted { resend_window: Duration::from_secs(60), ..wanted() };
        let short = Settings { retention_ms: Some(3_600_000), ..good() };
        let said = findings("churn", 6, 3, &short, &wanted);
        assert!(said[0].what.contains("3600 s"), "{said:?}");
        assert!(said[0].what.contains("a day") && said[0].fix.contains("retention.ms=86400000"), "{said:?}");
    }
}
