//! What the producer and the consumer have in common: how a client is configured, and where its complaints go.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Lines of one kind (librdkafka's facility) are logged at most this often; an unreachable broker says the same several times a second.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Something that does not work at present, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub since: SystemTime,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.since.elapsed().unwrap_or_default().as_secs();
        write!(f, "{} (for {seconds} s)", self.message)
    }
}

/// A place for the present problem: it keeps the time at which the trouble began while its wording changes.
#[derive(Debug, Default)]
pub(crate) struct ProblemSlot(Mutex<Option<Problem>>);

impl ProblemSlot {
    pub(crate) fn set(&self, message: impl Into<String>) {
        let mut slot = lock(&self.0);
        let since = slot.as_ref().map_or_else(SystemTime::now, |p| p.since);
        *slot = Some(Problem { message: message.into(), since });
    }

    /// For what only follows from a problem that may be known more exactly already.
    pub(crate) fn set_if_none(&self, message: impl Into<String>) {
        lock(&self.0).get_or_insert_with(|| Problem { message: message.into(), since: SystemTime::now() });
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).take();
    }

    pub(crate) fn get(&self) -> Option<Problem> {
        lock(&self.0).clone()
    }
}

/// A mutex whose holder panicked still guards plain data that is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Builds a client's properties: weir's defaults, then what the configuration says, then what the guarantees rest on.
pub(crate) fn client_config(
    brokers: &[String],
    defaults: &[(&str, &str)],
    configured: &BTreeMap<String, String>,
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
    for (name, value) in configured {
        config.set(name.as_str(), value.as_str());
    }
    for (name, value) in fixed {
        config.set(*name, *value);
    }
    config.set("bootstrap.servers", brokers.join(","));
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

/// Sends librdkafka's log lines to `tracing`, each kind at most once in ten seconds.
#[derive(Debug)]
pub(crate) struct ClientLog {
    role: &'static str,
    brokers: String,
    /// The last error of a single broker: why it cannot be reached.
    broker_error: Mutex<String>,
    kinds: Mutex<HashMap<String, Kind>>,
}

#[derive(Debug)]
struct Kind {
    last: Instant,
    suppressed: u64,
}

impl ClientLog {
    pub(crate) fn new(role: &'static str, brokers: &[String]) -> Self {
        ClientLog { role, brokers: brokers.join(","), broker_error: Mutex::default(), kinds: Mutex::default() }
    }

    /// A line of librdkafka's own log.
    pub(crate) fn line(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        let role = self.role;
        match level {
            RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
                tracing::debug!(role, facility, "librdkafka: {text}");
            }
            _ => {
                tracing::debug!(role, facility, "librdkafka: {text}");
                self.say(facility, &plain(text));
            }
        }
    }

    /// A line for people, each kind at most once in ten seconds.
    fn say(&self, kind: &str, words: &str) {
        let role = self.role;
        match self.admit(kind, Instant::now()) {
            Some(0) => tracing::warn!("kafka {role}: {words}"),
            Some(suppressed) => tracing::warn!(suppressed, "kafka {role}: {words}"),
            None => {}
        }
    }

    /// An error event of the client: brokers that cannot be reached, refused logins. It is the present problem from now on.
    pub(crate) fn error(&self, error: &KafkaError, reason: &str, problem: &ProblemSlot) {
        let code = error.rdkafka_error_code();
        let role = self.role;
        tracing::debug!(role, ?code, "librdkafka: {reason}");
        let words = self.problem(code, reason, problem.get().map(|p| p.message));
        // Not for each broker anew while none can be reached.
        let kind = if words.starts_with(&self.unreachable()) { "unreachable".to_owned() } else { format!("{code:?}") };
        self.say(&kind, &words);
        problem.set(words);
    }

    /// What an operator is told of an error. librdkafka says once that all brokers are down, in a form that reads as if it were well, and goes on
    /// with the errors of each.
    fn problem(&self, code: Option<RDKafkaErrorCode>, reason: &str, present: Option<String>) -> String {
        let all_down = code == Some(RDKafkaErrorCode::AllBrokersDown);
        let one_down = matches!(code, Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve));
        let reason = plain(reason);
        let mut last = lock(&self.broker_error);
        if !all_down {
            reason.clone_into(&mut last);
        }
        let unreachable = self.unreachable();
        let still_down = one_down && present.is_some_and(|p| p.starts_with(&unreachable));
        if !(all_down || still_down) {
            return reason;
        }
        if last.is_empty() { unreachable } else { format!("{unreachable} ({last})") }
    }

    fn unreachable(&self) -> String {
        format!("no broker of {} can be reached", self.brokers)
    }

    /// `Some(lines suppressed since the last one)` if a line of this kind is due.
    fn admit(&self, facility: &str, now: Instant) -> Option<u64> {
        let mut kinds = lock(&self.kinds);
        match kinds.get_mut(facility) {
            Some(kind) if now.duration_since(kind.last) < LOG_EVERY => {
                kind.suppressed += 1;
                None
            }
            Some(kind) => {
                kind.last = now;
                Some(std::mem::take(&mut kind.suppressed))
            }
            None => {
                kinds.insert(facility.to_owned(), Kind { last: now, suppressed: 0 });
                Some(0)
            }
        }
    }
}

/// What librdkafka says, without its threads, its states, and what changes with each line: how long it took and how often it was so.
fn plain(text: &str) -> String {
    let mut text = text;
    while let Some((_, rest)) = text.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        text = rest;
    }
    let text = text.split(" (after ").next().unwrap_or(text);
    text.replace("/bootstrap: ", ": ").replace("ipv4#", "").replace("ipv6#", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guarantees_rest_on_is_set_last() {
        let configured =
            BTreeMap::from([("acks".to_owned(), "1".to_owned()), ("linger.ms".to_owned(), "5".to_owned())]);
        let config =
            client_config(&["a:1".into(), "b:2".into()], &[("linger.ms", "20")], &configured, &[("acks", "all")]);
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("linger.ms"), Some("5"));
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
    }

    #[test]
    fn one_kind_of_line_is_logged_once_in_ten_seconds_with_the_count_of_the_others() {
        let log = ClientLog::new("test", &[]);
        let start = Instant::now();
        assert_eq!(log.admit("FAIL", start), Some(0));
        assert_eq!(log.admit("FAIL", start + Duration::from_secs(1)), None);
        assert_eq!(log.admit("FAIL", start + Duration::from_secs(9)), None);
        assert_eq!(log.admit("ERROR", start + Duration::from_secs(9)), Some(0));
        assert_eq!(log.admit("FAIL", start + Duration::from_secs(10)), Some(2));
    }

    #[test]
    fn brokers_that_are_all_down_are_named_with_the_last_error() {
        let log = ClientLog::new("test", &["a:1".into(), "b:2".into()]);
        let slot = ProblemSlot::default();
        let said = |code, reason: &str| {
            log.error(&KafkaError::Global(code), reason, &slot);
            slot.get().unwrap().message
        };
        let refused = "b:2: Connect to 10.0.0.2:2 failed: Connection refused";
        let raw = "b:2/bootstrap: Connect to ipv4#10.0.0.2:2 failed: Connection refused (after 3ms in state CONNECT)";
        let first = said(RDKafkaErrorCode::BrokerTransportFailure, raw);
        assert_eq!(first, refused, "one of them is no outage");
        let all = said(RDKafkaErrorCode::AllBrokersDown, "0/1 brokers are down");
        assert_eq!(all, format!("no broker of a:1,b:2 can be reached ({refused})"));
        let later = said(RDKafkaErrorCode::Resolve, "a:1/bootstrap: Failed to resolve 'a:1'");
        assert_eq!(later, "no broker of a:1,b:2 can be reached (a:1: Failed to resolve 'a:1')");
        let login = said(RDKafkaErrorCode::Authentication, "a:1/bootstrap: SASL authentication failed");
        assert_eq!(login, "a:1: SASL authentication failed", "brokers that answer can be reached");
        slot.set_if_none("an effect");
        assert_eq!(slot.get().unwrap().message, login);
    }

    #[test]
    fn what_librdkafka_says_is_said_without_its_internals() {
        let raw = "[thrd:a:1/bootstrap]: a:1/bootstrap: Disconnected while requesting ApiVersion (after 1ms in state APIVERSION_QUERY, 3 identical error(s) suppressed)";
        assert_eq!(plain(raw), "a:1: Disconnected while requesting ApiVersion");
        assert_eq!(plain("[thrd:app]: no topic"), "no topic");
        assert_eq!(plain("as it is"), "as it is");
    }

    #[test]
    fn a_problem_keeps_the_time_at_which_it_began() {
        let slot = ProblemSlot::default();
        slot.set("first");
        let began = slot.get().map(|p| p.since);
        slot.set("second");
        assert_eq!(slot.get().map(|p| p.since), began);
        assert_eq!(slot.get().map(|p| p.message).as_deref(), Some("second"));
        slot.clear();
        assert_eq!(slot.get(), None);
    }
}
