//! What the producer and the consumer have in common: where their complaints go.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::token::Tokens;
use super::trouble::Explain;
use crate::config::Kafka;

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

/// What the callbacks of the producer and the consumer share: librdkafka's log lines go to `tracing`, each kind at most once in
/// ten seconds, its errors become problems in words, and it gets its tokens.
#[derive(Debug)]
pub(crate) struct ClientLog {
    role: &'static str,
    brokers: String,
    explain: Explain,
    tokens: Tokens,
    /// The last error of a single broker: why it cannot be reached.
    broker_error: Mutex<BrokerError>,
    kinds: Mutex<HashMap<String, Kind>>,
}

#[derive(Debug, Default)]
struct BrokerError {
    text: String,
    /// It answered, and TLS or the log-in failed.
    refused: bool,
}

#[derive(Debug)]
struct Kind {
    last: Instant,
    suppressed: u64,
}

impl ClientLog {
    pub(crate) fn new(role: &'static str, kafka: &Kafka) -> Self {
        ClientLog {
            role,
            brokers: kafka.brokers.join(","),
            explain: Explain::new(kafka),
            tokens: Tokens::of(kafka),
            broker_error: Mutex::default(),
            kinds: Mutex::default(),
        }
    }

    /// The token that librdkafka asks for.
    pub(crate) fn token(&self) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.tokens.get()
    }

    /// A line of librdkafka's own log.
    pub(crate) fn line(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        let role = self.role;
        // Connections that a broker closes are logged and are no errors.
        if facility == "FAIL"
            && let Some(reason) =
                text.split_once("]: ").map(|(_, reason)| reason).filter(|r| r.contains(": Disconnected: "))
        {
            let text = self.explain.hint(reason).unwrap_or_else(|| plain(reason));
            *lock(&self.broker_error) = BrokerError { text, refused: false };
        }
        match level {
            // Committed offsets are hints.
            _ if facility == "COMMITFAIL" => tracing::debug!(role, facility, "librdkafka: {text}"),
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
        let explained = self.explain.explain(reason);
        let is_explained = explained.is_some();
        let words = self.problem(code, reason, explained, problem.get().map(|p| p.message));
        // Not for each broker anew while none can be reached, and at once when the reason is another.
        let kind = match &words {
            words if is_explained => words.clone(),
            words if words.starts_with(&self.unreachable()) => "unreachable".to_owned(),
            _ => format!("{code:?}"),
        };
        self.say(&kind, &words);
        problem.set(words);
    }

    /// Whether what was said last is that a broker refuses TLS or the log-in: waiting alone does not help.
    pub(crate) fn is_refused(&self) -> bool {
        lock(&self.broker_error).refused
    }

    /// What an operator is told of an error. librdkafka says once that all brokers are down, in a form that reads as if it were well, and goes on
    /// with the errors of each.
    fn problem(
        &self,
        code: Option<RDKafkaErrorCode>,
        reason: &str,
        explained: Option<String>,
        present: Option<String>,
    ) -> String {
        let all_down = code == Some(RDKafkaErrorCode::AllBrokersDown);
        let one_down = matches!(code, Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve));
        let refused = explained.is_some();
        let text = explained.unwrap_or_else(|| plain(reason));
        let mut last = lock(&self.broker_error);
        if !all_down {
            *last = BrokerError { text: text.clone(), refused };
        }
        if refused || (all_down && last.refused) {
            return last.text.clone();
        }
        let unreachable = self.unreachable();
        let still_down = one_down && present.is_some_and(|p| p.starts_with(&unreachable));
        if !(all_down || still_down) {
            return text;
        }
        if last.text.is_empty() { unreachable } else { format!("{unreachable} ({})", last.text) }
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

    fn log(brokers: &str, more: &str) -> ClientLog {
        let text = format!(
            "version: 1\nroutes: {{ m: {{ upstream: 'http://127.0.0.1:1' }} }}\nkafka: {{ brokers: [{brokers}]{more} }}\n"
        );
        let config = crate::config::Config::from_yaml("weir.yaml", &text, &|_| Some("x".into())).unwrap();
        ClientLog::new("test", &config.kafka.unwrap())
    }

    #[test]
    fn one_kind_of_line_is_logged_once_in_ten_seconds_with_the_count_of_the_others() {
        let log = log("a:1", "");
        let start = Instant::now();
        assert_eq!(log.admit("FAIL", start), Some(0));
        assert_eq!(log.admit("FAIL", start + Duration::from_secs(1)), None);
        assert_eq!(log.admit("FAIL", start + Duration::from_secs(9)), None);
        assert_eq!(log.admit("ERROR", start + Duration::from_secs(9)), Some(0));
        assert_eq!(log.admit("FAIL", start + Duration::from_secs(10)), Some(2));
    }

    #[test]
    fn brokers_that_are_all_down_are_named_with_the_last_error() {
        let log = log("a:1, b:2", "");
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
        assert!(login.contains("a:1 refuses the log-in"), "brokers that answer can be reached: {login}");
        let closed = "[thrd:b:2/bootstrap]: b:2/bootstrap: Disconnected: connection closed by peer (after 1ms in state APIVERSION_QUERY)";
        log.line(RDKafkaLogLevel::Info, "FAIL", closed);
        let all = said(RDKafkaErrorCode::AllBrokersDown, "0/1 brokers are down");
        assert!(
            all.starts_with("no broker of a:1,b:2 can be reached (broker b:2") && all.contains("`kafka.tls"),
            "{all}"
        );
        let login = said(RDKafkaErrorCode::Authentication, "a:1/bootstrap: SASL authentication failed");
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
    fn brokers_that_refuse_the_log_in_are_not_called_down() {
        let log = log("a:1", ", sasl: { mechanism: PLAIN, username: weir, password: '${env:P}' }");
        let slot = ProblemSlot::default();
        let reason = "sasl_plaintext://a:1/bootstrap: SASL authentication error: Authentication failed: Invalid username or password";
        log.error(&KafkaError::Global(RDKafkaErrorCode::Authentication), reason, &slot);
        log.error(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down", &slot);
        let said = slot.get().unwrap().message;
        assert!(said.contains("wrong user name or password") && !said.contains("can be reached"), "{said}");
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
