//! Where a partition begins and ends, and of which topic it is.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consume::Context;
use crate::source::Bounds;

/// Asks for a partition's bounds; waits at most `timeout` for each of two answers.
pub(super) fn bounds(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    number: i32,
    timeout: Duration,
) -> Result<Bounds, KafkaError> {
    let (low, high) = consumer.fetch_watermarks(topic, number, timeout)?;
    let offset =
        |raw: i64| u64::try_from(raw).map_err(|_| KafkaError::MetadataFetch(RDKafkaErrorCode::InvalidArgument));
    // The safe interface gives no topic ids: a topic made anew in the same cluster is known by its records.
    let topic_id = Context::cluster(consumer, timeout).map(|cluster| format!("{cluster}/{topic}"));
    Ok(Bounds { start: offset(low)?, end: offset(high)?, topic_id: topic_id.unwrap_or_default(), hint: None })
}
