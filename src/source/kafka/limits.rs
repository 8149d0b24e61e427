//! Where a partition begins and ends, of which topic it is, and how far it was committed.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::source::{Bounds, PartitionId};

/// Asks for a partition's bounds in the cluster of this id; waits at most `timeout`.
pub(super) fn bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    cluster: Option<&str>,
    topic: &str,
    number: i32,
    timeout: Duration,
) -> Result<Bounds, KafkaError> {
    let (low, high) = consumer.fetch_watermarks(topic, number, timeout)?;
    let offset =
        |raw: i64| u64::try_from(raw).map_err(|_| KafkaError::MetadataFetch(RDKafkaErrorCode::InvalidArgument));
    // The safe interface gives no topic ids: a topic made anew in the same cluster is known by its records.
    let topic_id = cluster.map(|cluster| format!("{cluster}/{topic}"));
    Ok(Bounds { start: offset(low)?, end: offset(high)?, topic_id: topic_id.unwrap_or_default(), hint: None })
}

/// The metadata that stands beside a committed offset.
pub(super) fn hint_metadata(root: &str) -> String {
    format!("weir:{root}")
}

/// The same beside the offset at which a drain has begun: it stores there, and nothing is stored yet.
pub(super) fn begun_metadata(root: &str) -> String {
    format!("weir-begun:{root}")
}

/// Offsets committed by a drain with the same root. They are hints, so an error only costs them.
pub(super) fn hints<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(PartitionId, i32)],
    root: &str,
    timeout: Duration,
) -> HashMap<PartitionId, u64> {
    committed(consumer, partitions, &[hint_metadata(root)], timeout)
}

/// Whether a drain of the group stores one of these partitions in this root, or has begun to.
pub(super) fn stores_in<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(PartitionId, i32)],
    root: &str,
    timeout: Duration,
) -> bool {
    !committed(consumer, partitions, &[hint_metadata(root), begun_metadata(root)], timeout).is_empty()
}

/// The offsets that the group has committed with one of these metadata.
fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(PartitionId, i32)],
    metadata: &[String],
    timeout: Duration,
) -> HashMap<PartitionId, u64> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (id, number) in partitions {
        list.add_partition(&id.topic, *number);
    }
    let committed = match consumer.committed_offsets(list, timeout) {
        Ok(committed) => committed,
        Err(error) => {
            tracing::debug!(%error, "no committed offsets to be had");
            return HashMap::new();
        }
    };
    let of = |topic: &str, number: i32| {
        partitions.iter().find(|(id, n)| *n == number && &*id.topic == topic).map(|(id, _)| id.clone())
    };
    committed
        .elements()
        .iter()
        .filter(|e| e.error().is_ok() && metadata.iter().any(|mine| e.metadata() == mine))
        .filter_map(|e| match e.offset() {
            Offset::Offset(offset) => Some((of(e.topic(), e.partition())?, u64::try_from(offset).ok()?)),
            _ => None,
        })
        .collect()
}
