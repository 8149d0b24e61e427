//! Numbers that other modules keep, read once per scrape and shown as metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::declared;

/// The three equations and what stands behind them, as they are at one moment. Totals only ever grow within a process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Calls that were seen.
    pub seen: u64,
    /// Calls that are in the log.
    pub logged: u64,
    /// Calls without a record because the client or the sampling rate said so.
    pub unsampled: u64,
    /// Calls without a record, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Calls seen and not yet settled.
    pub pending: u64,
    /// Feedbacks that were seen.
    pub feedback_seen: u64,
    /// Feedbacks that are in the log.
    pub feedback_logged: u64,
    /// Feedbacks that are not kept, by reason.
    pub feedback_dropped: Vec<(&'static str, u64)>,
    /// Feedbacks seen and not yet settled.
    pub feedback_pending: u64,
    /// Rows appended to the log.
    pub appended: u64,
    /// Rows acknowledged by Kafka, or stored when there is no Kafka.
    pub delivered: u64,
    /// Delivered rows that their topic refused for their size and took with less in them.
    pub shortened: u64,
    /// Rows appended and not yet delivered.
    pub backlog: u64,
    /// Rows that the drain has taken from its source.
    pub consumed: u64,
    /// Rows in the store, quarantined ones included.
    pub stored: u64,
    /// Rows that the drain recognised as sent before.
    pub resent: u64,
    /// Stored rows that could not be read as records.
    pub quarantined: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Age of the oldest row that is not in the store, 0 if there is none.
    pub oldest_unstored_seconds: f64,
    /// Where the drain stands in each partition.
    pub partitions: Vec<PartitionSample>,
}

/// Partitions that are shown one by one; with more of them each topic is one series, its partition `all`.
pub(super) const SERIES_MAX: usize = 1_000;

/// Where the drain stands in one partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PartitionSample {
    pub topic: String,
    pub partition: String,
    /// First offset that is not stored; `None`: not known yet.
    pub head: Option<u64>,
    pub lag: Option<u64>,
    pub oldest_seconds: f64,
    pub open_rows: u64,
    pub open_bytes: u64,
    /// Seconds since the epoch; `None`: the chain has no file yet.
    pub last_file_seconds: Option<f64>,
}

/// One sample per topic where there are too many partitions: sums, the greatest age, the newest file, and no head, which is of a partition.
pub(super) fn bounded(partitions: Vec<PartitionSample>, series_max: usize) -> Vec<PartitionSample> {
    if partitions.len() <= series_max {
        return partitions;
    }
    let mut topics: BTreeMap<String, PartitionSample> = BTreeMap::new();
    for partition in partitions {
        let fresh =
            || PartitionSample { partition: "all".to_owned(), topic: partition.topic.clone(), ..Default::default() };
        let topic = topics.entry(partition.topic.clone()).or_insert_with(fresh);
        topic.lag = topic.lag.map_or(partition.lag, |sum| Some(sum + partition.lag.unwrap_or(0)));
        topic.oldest_seconds = topic.oldest_seconds.max(partition.oldest_seconds);
        topic.open_rows += partition.open_rows;
        topic.open_bytes += partition.open_bytes;
        topic.last_file_seconds = match (topic.last_file_seconds, partition.last_file_seconds) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }
    topics.into_values().collect()
}

type Read = dyn Fn() -> Snapshot + Send + Sync;
type Value = fn(&Snapshot) -> u64;
type Dropped = fn(&Snapshot) -> &[(&'static str, u64)];
type OfPartition = fn(&PartitionSample) -> Option<f64>;

/// Holds the last [`Snapshot`]; one read serves every instrument of a scrape, so the equations hold within a page.
#[derive(Clone, Default)]
pub(super) struct Observer {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    read: Option<Arc<Read>>,
    /// `None` until something is observed: no series is shown rather than a false zero.
    last: Option<Snapshot>,
}

impl Observer {
    /// Registers the instruments that show snapshots.
    pub(super) fn new(meter: &Meter) -> Observer {
        let observer = Observer::default();
        declared::CALLS.observed(meter, {
            let observer = observer.clone();
            move |counter| {
                observer.with(|now| {
                    labelled(counter, "state", "seen", now.seen);
                    labelled(counter, "state", "logged", now.logged);
                    labelled(counter, "state", "unsampled", now.unsampled);
                });
            }
        });
        declared::FEEDBACK.observed(meter, {
            let observer = observer.clone();
            move |counter| {
                observer.with(|now| {
                    labelled(counter, "state", "seen", now.feedback_seen);
                    labelled(counter, "state", "logged", now.feedback_logged);
                });
            }
        });
        let dropped: [(declared::Declared, Dropped); 2] =
            [(declared::DROPPED, |now| &now.dropped), (declared::FEEDBACK_DROPPED, |now| &now.feedback_dropped)];
        for (counter, of) in dropped {
            let observer = observer.clone();
            counter.observed(meter, move |counter| {
                observer.with(|now| {
                    for (reason, count) in of(now) {
                        labelled(counter, "reason", reason, *count);
                    }
                });
            });
        }
        declared::ROWS.observed(meter, {
            let observer = observer.clone();
            move |counter| {
                observer.with(|now| {
                    for (state, rows) in [
                        ("appended", now.appended),
                        ("delivered", now.delivered),
                        ("shortened", now.shortened),
                        ("consumed", now.consumed),
                        ("stored", now.stored),
                        ("resent", now.resent),
                        ("quarantined", now.quarantined),
                    ] {
                        labelled(counter, "state", state, rows);
                    }
                });
            }
        });
        let gauges: [(declared::Declared, Value); 4] = [
            (declared::PENDING, |now| now.pending),
            (declared::FEEDBACK_PENDING, |now| now.feedback_pending),
            (declared::BACKLOG, |now| now.backlog),
            (declared::LOG_BYTES, |now| now.log_bytes),
        ];
        for (gauge, value) in gauges {
            let observer = observer.clone();
            gauge.gauge(meter, move |instrument| observer.with(|now| instrument.observe(value(now), &[])));
        }
        declared::OLDEST.gauge_f64(meter, {
            let observer = observer.clone();
            move |gauge| observer.with(|now| gauge.observe(now.oldest_unstored_seconds, &[]))
        });
        let of_partition: [(declared::Declared, OfPartition); 6] = [
            (declared::DRAIN_HEAD, |p| p.head.map(|n| n as f64)),
            (declared::DRAIN_LAG, |p| p.lag.map(|n| n as f64)),
            (declared::DRAIN_OLDEST, |p| Some(p.oldest_seconds)),
            (declared::DRAIN_OPEN_ROWS, |p| Some(p.open_rows as f64)),
            (declared::DRAIN_OPEN_BYTES, |p| Some(p.open_bytes as f64)),
            (declared::DRAIN_LAST_FILE, |p| p.last_file_seconds),
        ];
        for (gauge, value) in of_partition {
            let observer = observer.clone();
            gauge.gauge_f64(meter, move |instrument| {
                observer.with(|now| {
                    for partition in &now.partitions {
                        let Some(value) = value(partition) else { continue };
                        let labels = [
                            KeyValue::new("topic", partition.topic.clone()),
                            KeyValue::new("partition", partition.partition.clone()),
                        ];
                        instrument.observe(value, &labels);
                    }
                });
            });
        }
        observer
    }

    pub(super) fn set(&self, read: Arc<Read>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).read = Some(read);
    }

    /// Reads anew. The reader is called without the lock: it may be slow, and it may count.
    pub(super) fn refresh(&self) {
        let read = self.state.lock().unwrap_or_else(PoisonError::into_inner).read.clone();
        if let Some(read) = read {
            let mut now = read();
            now.partitions = bounded(now.partitions, SERIES_MAX);
            self.state.lock().unwrap_or_else(PoisonError::into_inner).last = Some(now);
        }
    }

    fn with(&self, show: impl FnOnce(&Snapshot)) {
        if let Some(last) = &self.state.lock().unwrap_or_else(PoisonError::into_inner).last {
            show(last);
        }
    }
}

fn labelled(counter: &dyn AsyncInstrument<u64>, key: &'static str, value: &'static str, total: u64) {
    counter.observe(total, &[KeyValue::new(key, value)]);
}
