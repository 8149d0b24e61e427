//! Whether the brokers answer, and if not, why: for `weir check`.

use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};

use super::client::{ClientLog, ProblemSlot};
use super::connect::plain_config;
use crate::config::Kafka;

/// How long one request waits before it is looked whether the client has said why it gets no answer.
const SLICE: Duration = Duration::from_secs(1);

/// How long the client says what it has to say.
const SERVE: Duration = Duration::from_millis(20);

/// A client whose brokers answered.
pub(crate) struct Reached(BaseProducer<Context>);

impl Reached {
    pub(crate) fn client(&self) -> &Client<Context> {
        self.0.client()
    }
}

/// The callbacks: the present problem is all that matters.
pub(crate) struct Context {
    log: ClientLog,
    problem: ProblemSlot,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.log.token()
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.log.line(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason, &self.problem);
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Asks the brokers for what they have; waits at most `wait`.
///
/// # Errors
/// With the reason in words, as the status of a running weir would give it.
pub(crate) fn reach(kafka: &Kafka, wait: Duration) -> Result<(Reached, Metadata), String> {
    let context = Context { log: ClientLog::new("check", kafka), problem: ProblemSlot::default() };
    let client: BaseProducer<Context> =
        BaseProducer::from_config_and_context(&plain_config(kafka), context).map_err(|error| error.to_string())?;
    let deadline = Instant::now() + wait;
    loop {
        client.poll(SERVE);
        let error = match client.client().fetch_metadata(None, SLICE.min(wait)) {
            Ok(metadata) => return Ok((Reached(client), metadata)),
            Err(error) => error,
        };
        client.poll(SERVE);
        let context = client.context();
        if context.log.is_refused() || Instant::now() >= deadline {
            return Err(context.problem.get().map_or_else(|| error.to_string(), |problem| problem.message));
        }
    }
}
