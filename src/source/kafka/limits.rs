//! Where a partition begins and ends, and of which topic it is.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::source::Bounds;

/// Asks for a partition's bounds; waits at most `timeout` for each of two answers.
pub(super) fn bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    number: i32,
    timeout: Duration,
) -> Result<Bounds, KafkaError> {
    let (low, high) = consumer.fetch_watermarks(topic, number, timeout)?;
    let offset =
        |raw: i64| u64::try_from(raw).map_err(|_| KafkaError::MetadataFetch(RDKafkaErrorCode::InvalidArgument));
    // The client knows the cluster since its first answer. The safe interface gives no topic ids: a topic made anew in the same cluster is known
    // by its records.
    let cluster = consumer.client().fetch_cluster_id(timeout).filter(|id| !id.is_empty());
    let topic_id = cluster.map_or_else(String::new, |cluster| format!("{cluster}/{topic}"));
    Ok(Bounds { start: offset(low)?, end: offset(high)?, topic_id, hint: None })
}
