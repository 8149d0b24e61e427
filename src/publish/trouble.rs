//! What an operator is told when TLS or the log-in fails: librdkafka's words name neither the reason nor the key to change.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, ClientConnection};

use super::client::lock;
use super::roots;
use crate::config::{Kafka, KafkaSasl, KafkaTls};

/// How long a broker's certificate is looked at: a callback of librdkafka waits for it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long what was found holds; librdkafka connects again several times a second.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A connection that ends younger than this was never of use.
const YOUNG_MS: u64 = 2_000;

/// Explains what librdkafka says of one cluster's connections.
#[derive(Debug)]
pub(super) struct Explain {
    tls: Option<KafkaTls>,
    sasl: Option<KafkaSasl>,
    looked: Mutex<Option<Looked>>,
}

#[derive(Debug)]
struct Looked {
    broker: String,
    at: Instant,
    found: String,
}

impl Explain {
    pub(super) fn new(kafka: &Kafka) -> Explain {
        Explain { tls: kafka.tls.clone(), sasl: kafka.sasl.clone(), looked: Mutex::default() }
    }

    /// The reason and the fix, if this is about TLS or the log-in. `reason` is `protocol://host:port/id: what happened`.
    pub(super) fn explain(&self, reason: &str) -> Option<String> {
        if let Some((_, why)) = reason.split_once("Failed to acquire SASL OAUTHBEARER token: ") {
            return Some(format!("no token for Kafka: {why}"));
        }
        let (broker, what) = broker_of(reason)?;
        let has = |part: &str| what.contains(part);
        if has("certificate could not be verified") || has("certificate verify failed") {
            return Some(self.certificate(broker));
        }
        if let Some((_, theirs)) = what.split_once("broker's supported mechanisms: ") {
            let theirs = theirs.split(" (after ").next().unwrap_or(theirs);
            let mine = self.sasl.as_ref().map_or("it", |sasl| sasl.mechanism().name());
            return Some(format!(
                "broker {broker} does not take {mine} here, but {theirs}: correct `kafka.sasl.mechanism`"
            ));
        }
        let refused =
            ["certificate required", "bad certificate", "unknown ca", "certificate unknown", "handshake failure"];
        if refused.iter().any(|alert| what.to_ascii_lowercase().contains(alert)) {
            let has_one = self.tls.as_ref().is_some_and(|tls| tls.client.is_some());
            return Some(if has_one {
                format!(
                    "broker {broker} refuses weir's certificate: write one that it trusts in `kafka.tls.cert` and `key`, and restart weir"
                )
            } else {
                format!("broker {broker} wants a certificate of its clients: write `kafka.tls.cert` and `key`")
            });
        }
        if has("connecting to a PLAINTEXT broker listener") || has("wrong version number") {
            return Some(format!(
                "broker {broker} does not speak TLS on this port: correct the port in `kafka.brokers`, or remove `kafka.tls`"
            ));
        }
        if has("SASL") && (has("authentication error") || has("authentication failed") || has("Authentication failed"))
        {
            return Some(self.log_in(broker, what));
        }
        None
    }

    /// What a connection that a broker closed without a word may be for; a broker that dies closes them too.
    pub(super) fn hint(&self, reason: &str) -> Option<String> {
        let (broker, what) = broker_of(reason)?;
        let (_, state) = what.strip_prefix("Disconnected: ")?.split_once(" (after ")?;
        let (age, state) = state.split_once("ms in state ")?;
        if self.tls.is_none() && state.starts_with("APIVERSION_QUERY") {
            return Some(format!(
                "broker {broker} ends connections in clear text: if it speaks TLS, add `kafka.tls: {{}}`"
            ));
        }
        if self.sasl.is_none() && state.starts_with("UP") && age.parse::<u64>().is_ok_and(|age| age < YOUNG_MS) {
            return Some(format!(
                "broker {broker} ends connections without a log-in: if it wants one, add `kafka.sasl`"
            ));
        }
        None
    }

    fn log_in(&self, broker: &str, what: &str) -> String {
        let what = what.split(" (after ").next().unwrap_or(what);
        match &self.sasl {
            Some(KafkaSasl::Password { mechanism, username, .. }) => format!(
                "broker {broker} refuses the log-in of user `{}` with {}: wrong user name or password; correct them there, or \
                 correct `kafka.sasl` and restart weir",
                username.written(),
                mechanism.name()
            ),
            Some(KafkaSasl::Token(_)) => {
                format!("broker {broker} refuses the token of `kafka.sasl`: {what}")
            }
            None => format!("broker {broker} refuses the log-in of `kafka.producer` or `kafka.consumer`: {what}"),
        }
    }

    /// Why the certificate is not accepted: OpenSSL's error does not say, so it is looked at once more.
    fn certificate(&self, broker: &str) -> String {
        let mut looked = lock(&self.looked);
        if let Some(looked) = looked.as_ref().filter(|l| l.broker == broker && l.at.elapsed() < LOOK_EVERY) {
            return looked.found.clone();
        }
        let ca = self.tls.as_ref().and_then(|tls| tls.ca.as_deref());
        let found = match look(broker, ca) {
            Ok(error) => said(broker, ca, &error),
            Err(why) => {
                format!("the certificate of broker {broker} cannot be verified ({why}): look at `kafka.tls.ca`")
            }
        };
        *looked = Some(Looked { broker: broker.to_owned(), at: Instant::now(), found: found.clone() });
        found
    }
}

/// `sasl_ssl://host:port/bootstrap: what` in its two parts.
fn broker_of(reason: &str) -> Option<(&str, &str)> {
    let (name, what) = reason.split_once(": ")?;
    let address = name.split_once("://").map_or(name, |(_, address)| address);
    let (broker, _) = address.rsplit_once('/')?;
    Some((broker, what))
}

/// Connects by itself and returns what is wrong with the certificate.
fn look(broker: &str, ca: Option<&Path>) -> Result<CertificateError, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host).trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|error| text(&error))?;
    let config = roots::client(ca)?;
    let address = broker
        .to_socket_addrs()
        .map_err(|error| text(&error))?
        .next()
        .ok_or_else(|| "its name has no address".to_owned())?;
    let mut stream = TcpStream::connect_timeout(&address, LOOK_TIMEOUT).map_err(|error| text(&error))?;
    stream.set_read_timeout(Some(LOOK_TIMEOUT)).map_err(|error| text(&error))?;
    stream.set_write_timeout(Some(LOOK_TIMEOUT)).map_err(|error| text(&error))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| text(&error))?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            return match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::InvalidCertificate(found)) => Ok(found.clone()),
                _ => Err(text(&error)),
            };
        }
    }
    Err("a second look found nothing wrong with it".to_owned())
}

fn said(broker: &str, ca: Option<&Path>, error: &CertificateError) -> String {
    let of = format!("the certificate of broker {broker}");
    match error {
        CertificateError::Expired => format!("{of} has expired: renew it there; weir connects again by itself"),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("{of} expired on {}: renew it there; weir connects again by itself", day(*not_after))
        }
        CertificateError::NotValidYet => format!("{of} is not valid yet: look at the clocks of both machines"),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("{of} is valid from {} on: look at the clocks of both machines", day(*not_before))
        }
        CertificateError::NotValidForName => format!(
            "{of} is for another name: write the name that it is for in `kafka.brokers` and in the broker's \
             `advertised.listeners`, or `kafka.tls.verify: ca`"
        ),
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "{of} is for another name ({}): write that in `kafka.brokers` and in the broker's `advertised.listeners`, or \
             `kafka.tls.verify: ca`",
            presented.join(", ")
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let ca = ca.map_or("that this machine trusts".to_owned(), |path| format!("in {}", path.display()));
            format!(
                "{of} is not trusted, no authority {ca} issued it: write the one that did in `kafka.tls.ca` and restart weir"
            )
        }
        other => format!("{of} is not accepted: {other:?}"),
    }
}

fn day(time: UnixTime) -> String {
    super::at(UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn kafka(more: &str) -> Kafka {
        let text = format!(
            "version: 1\nroutes: {{ m: {{ upstream: 'http://127.0.0.1:1' }} }}\nkafka:\n  brokers: [a:1]\n{more}\n"
        );
        Config::from_yaml("weir.yaml", &text, &|_| Some("hunter2".into())).unwrap().kafka.unwrap()
    }

    fn explain(more: &str, reason: &str) -> Option<String> {
        let said = Explain::new(&kafka(more)).explain(reason);
        assert!(!said.as_ref().is_some_and(|said| said.contains("hunter2")), "{said:?}");
        said
    }

    const SCRAM: &str = "  sasl: { mechanism: SCRAM-SHA-256, username: weir, password: \"${env:P}\" }";

    #[test]
    fn a_refused_log_in_names_the_user_and_the_key() {
        let reason = "sasl_ssl://k1:9093/bootstrap: SASL authentication error: Authentication failed during authentication due \
                      to invalid credentials with SASL mechanism SCRAM-SHA-256 (after 3ms in state AUTH_REQ)";
        let said = explain(SCRAM, reason).unwrap();
        for part in ["k1:9093", "user `weir`", "wrong user name or password", "`kafka.sasl`"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_mechanism_that_the_broker_has_not() {
        let reason = "sasl_plaintext://k1:9093/1: SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Unsupported SASL \
                      mechanism: broker's supported mechanisms: PLAIN,SCRAM-SHA-512 (after 3ms in state AUTH_HANDSHAKE)";
        let said = explain(SCRAM, reason).unwrap();
        assert_eq!(
            said,
            "broker k1:9093 does not take SCRAM-SHA-256 here, but PLAIN,SCRAM-SHA-512: correct `kafka.sasl.mechanism`"
        );
    }

    #[test]
    fn tls_on_one_side_only() {
        let to_plain = "ssl://k1:9092/bootstrap: SSL handshake failed: Disconnected: connection closed by peer: connecting to a \
                        PLAINTEXT broker listener?";
        assert!(explain("  tls: {}", to_plain).unwrap().contains("does not speak TLS"));
        let certificate =
            "ssl://k1:9093/1: Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required";
        assert!(explain("  tls: {}", certificate).unwrap().contains("write `kafka.tls.cert`"));
    }

    #[test]
    fn a_connection_that_is_closed_without_a_word_is_a_hint() {
        let closed =
            |state: &str| format!("k1:9092/bootstrap: Disconnected: connection closed by peer (after {state})");
        let hint = |more: &str, state: &str| Explain::new(&kafka(more)).hint(&closed(state));
        assert!(hint("", "1ms in state APIVERSION_QUERY").unwrap().contains("add `kafka.tls: {}`"));
        assert!(hint("", "1ms in state UP, 3 identical error(s) suppressed").unwrap().contains("add `kafka.sasl`"));
        assert_eq!(hint("", "60000ms in state UP"), None, "a broker that worked until it died");
        assert_eq!(hint(SCRAM, "1ms in state UP"), None);
    }

    #[test]
    fn brokers_that_are_just_down_are_not_explained_away() {
        for reason in [
            "sasl_ssl://k1:9093/bootstrap: Connect to ipv4#127.0.0.1:9093 failed: Connection refused (after 0ms in state CONNECT)",
            "k1:9092/bootstrap: Failed to resolve 'k1:9092': Name or service not known",
            "0/1 brokers are down",
        ] {
            assert_eq!(explain(SCRAM, reason), None, "{reason}");
        }
    }
}
