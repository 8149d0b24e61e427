//! How every client of Kafka is configured: the producer, the consumers, the one that makes topics and the one of `weir check`.

use std::collections::BTreeMap;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use super::token::Tokens;
use crate::config::{self, KafkaSasl, KafkaTls, Setting, Verify};

/// Builds a client's properties: weir's defaults, TLS and log-in, then what the configuration says under `kafka.producer` or
/// `kafka.consumer`, then what the guarantees rest on.
pub(crate) fn client_config(
    kafka: &config::Kafka,
    defaults: &[(&str, &str)],
    configured: &BTreeMap<String, Setting>,
    fixed: &[(&str, &str)],
) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "weir");
    config.set("socket.keepalive.enable", "true");
    config.set("reconnect.backoff.ms", "100");
    config.set("reconnect.backoff.max.ms", "2000");
    for (name, value) in defaults {
        config.set(*name, *value);
    }
    config.set("security.protocol", protocol(kafka));
    if let Some(tls) = &kafka.tls {
        set_tls(&mut config, tls);
    }
    if let Some(sasl) = &kafka.sasl {
        set_sasl(&mut config, sasl);
    }
    for (name, value) in configured {
        config.set(name.as_str(), value.expose());
    }
    for (name, value) in fixed {
        config.set(*name, *value);
    }
    config.set("bootstrap.servers", kafka.brokers.join(","));
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// For a client that neither produces nor consumes: what is said of the producer's connections, without its other properties,
/// which librdkafka would complain about.
pub(crate) fn plain_config(kafka: &config::Kafka) -> ClientConfig {
    const SHARED: [&str; 9] =
        ["client.", "security.", "ssl.", "sasl.", "enable.ssl.", "socket.", "reconnect.", "broker.", "metadata."];
    let shared = |name: &str| SHARED.iter().any(|prefix| name.starts_with(prefix));
    let configured =
        kafka.producer.iter().filter(|(name, _)| shared(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    client_config(kafka, &[], &configured, &[])
}

fn protocol(kafka: &config::Kafka) -> &'static str {
    match (kafka.tls.is_some(), kafka.sasl.is_some()) {
        (false, false) => "PLAINTEXT",
        (true, false) => "SSL",
        (false, true) => "SASL_PLAINTEXT",
        (true, true) => "SASL_SSL",
    }
}

fn set_tls(config: &mut ClientConfig, tls: &KafkaTls) {
    // The linked OpenSSL knows no folder of its own; `probe` looks at the usual ones.
    config.set("ssl.ca.location", tls.ca.as_ref().map_or("probe".into(), |path| path.display().to_string()));
    if let Some(client) = &tls.client {
        config.set("ssl.certificate.location", client.cert.display().to_string());
        config.set("ssl.key.pem", client.key.expose());
    }
    if tls.verify != Verify::Full {
        config.set("ssl.endpoint.identification.algorithm", "none");
    }
    if tls.verify == Verify::None {
        config.set("enable.ssl.certificate.verification", "false");
    }
}

fn set_sasl(config: &mut ClientConfig, sasl: &KafkaSasl) {
    config.set("sasl.mechanisms", sasl.mechanism().name());
    if let KafkaSasl::Password { username, password, .. } = sasl {
        config.set("sasl.username", username.expose());
        config.set("sasl.password", password.expose());
    }
}

/// The callbacks of a client beside another one that says already what does not work.
pub(crate) struct Quiet {
    role: &'static str,
    tokens: Tokens,
}

impl Quiet {
    pub(crate) fn new(role: &'static str, tokens: Tokens) -> Quiet {
        Quiet { role, tokens }
    }
}

impl ClientContext for Quiet {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.tokens.get()
    }

    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(role = self.role, facility, "librdkafka: {text}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(role = self.role, %error, "librdkafka: {reason}");
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ConsumerContext for Quiet {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn kafka(more: &str) -> config::Kafka {
        let text = format!(
            "version: 1\nroutes: {{ m: {{ upstream: 'http://127.0.0.1:1' }} }}\nkafka:\n  brokers: [a:1, b:2]\n{more}"
        );
        let env = |name: &str| Some(format!("value of {name}"));
        Config::from_yaml("weir.yaml", &text, &env).unwrap_or_else(|error| panic!("{error}")).kafka.unwrap()
    }

    #[test]
    fn what_the_guarantees_rest_on_is_set_last() {
        let mut kafka = kafka("");
        kafka.producer.insert("acks".into(), "1".into());
        kafka.producer.insert("linger.ms".into(), "5".into());
        let config = client_config(&kafka, &[("linger.ms", "20")], &kafka.producer, &[("acks", "all")]);
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("linger.ms"), Some("5"));
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!(config.get("security.protocol"), Some("PLAINTEXT"));
    }

    #[test]
    fn tls_and_a_log_in_become_properties_of_every_client() {
        let kafka = kafka(
            "  tls: { verify: ca }\n  sasl: { mechanism: SCRAM-SHA-512, username: weir, password: \"${env:P}\" }\n  producer: { ssl.cipher.suites: X, linger.ms: 5 }\n",
        );
        for config in [client_config(&kafka, &[], &kafka.consumer, &[]), plain_config(&kafka)] {
            assert_eq!(config.get("security.protocol"), Some("SASL_SSL"));
            assert_eq!(config.get("ssl.ca.location"), Some("probe"));
            assert_eq!(config.get("ssl.endpoint.identification.algorithm"), Some("none"));
            assert_eq!(config.get("enable.ssl.certificate.verification"), None);
            assert_eq!(config.get("sasl.mechanisms"), Some("SCRAM-SHA-512"));
            assert_eq!(config.get("sasl.username"), Some("weir"));
            assert_eq!(config.get("sasl.password"), Some("value of P"));
        }
        let plain = plain_config(&kafka);
        assert_eq!((plain.get("ssl.cipher.suites"), plain.get("linger.ms")), (Some("X"), None));
    }

    #[test]
    fn a_side_may_have_a_log_in_of_its_own() {
        let kafka = kafka(
            "  sasl: { mechanism: PLAIN, username: p, password: \"${env:P}\" }\n  consumer: { sasl.username: c, sasl.password: \"${env:C}\" }\n",
        );
        let consumer = client_config(&kafka, &[], &kafka.consumer, &[]);
        assert_eq!((consumer.get("sasl.username"), consumer.get("sasl.password")), (Some("c"), Some("value of C")));
        let producer = client_config(&kafka, &[], &kafka.producer, &[]);
        assert_eq!((producer.get("sasl.username"), producer.get("sasl.password")), (Some("p"), Some("value of P")));
        assert_eq!(producer.get("security.protocol"), Some("SASL_PLAINTEXT"));
    }
}
