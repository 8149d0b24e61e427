//! `weir drain --once` without a running process: what is at hand becomes Parquet, then it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{AppError, drain_config, open_logs, open_store, topics};
use crate::admin::Status;
use crate::admin::status::Partition;
use crate::config::{Config, Kafka};
use crate::drain::store::Store;
use crate::drain::{Drain, DrainNowError};
use crate::log;
use crate::source::kafka::{KafkaSource, Reach, TopicPicker};
use crate::source::lane::Lanes;

/// How long one drain may take in all.
const WAIT: Duration = Duration::from_secs(3600);
/// How long the drain may take to end once everything is stored.
const END: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    #[error("cannot start the drain")]
    Start(#[from] AppError),
    #[error("the drain did not finish: {0}")]
    Drain(String),
    #[error("this configuration has no drain role")]
    NoDrain,
}

/// Drains everything at hand into the store of `config`.
///
/// Without Kafka it takes the log's lock, so no other weir may run on the folder. With Kafka it assigns every partition by
/// hand, up to the end offsets at its start, with a spool of its own; others may drain the same topics meanwhile.
///
/// # Errors
/// The log is locked, the store refuses, or a partition cannot be stored.
pub fn drain(config: &Config) -> Result<Status, OnceError> {
    super::make_data_dir(&config.data_dir)?;
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("weir-control")
        .enable_all()
        .build()
        .map_err(AppError::Thread)?;
    let store = open_store(config, control.handle())?.ok_or(OnceError::NoDrain)?;
    match &config.kafka {
        None => from_log(config, store),
        Some(kafka) => from_kafka(config, kafka, store),
    }
}

fn from_log(config: &Config, store: Arc<dyn Store>) -> Result<Status, OnceError> {
    let logs = open_logs(config)?;
    let drain =
        Drain::start(drain_config(config), store, Box::new(Lanes::new(logs.clone()))).map_err(AppError::Drain)?;
    let done = drain.watch().drain_now(WAIT);
    let mut status = end(drain, done)?;
    let log = logs.totals();
    status.rows.appended = log.rows;
    status.rows.delivered = log.delivered;
    status.rows.backlog = log.rows.saturating_sub(log.delivered);
    status.log_bytes = log.bytes;
    logs.close();
    Ok(status)
}

fn from_kafka(config: &Config, kafka: &Kafka, store: Arc<dyn Store>) -> Result<Status, OnceError> {
    // A spool of its own: a running weir has its own on the same folder.
    let spool = config.data_dir.join(format!("spool-once-{}", std::process::id()));
    let source =
        KafkaSource::start(kafka, &config.drain, picker(config), spool.clone(), &store.address(), Reach::ToEnd)
            .map_err(AppError::Source)?;
    let watch = source.watch();
    let drain = Drain::start(drain_config(config), store, Box::new(source)).map_err(AppError::Drain)?;
    let begun = Instant::now();
    while !watch.at_end() {
        if begun.elapsed() > WAIT {
            return Err(OnceError::Drain("Kafka did not give every message up to the end".to_string()));
        }
        if drain.watch().status().dead {
            return Err(OnceError::Drain("the drain has ended".to_string()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let done = drain.watch().drain_now(WAIT);
    let status = end(drain, done)?;
    if let Err(error) = std::fs::remove_dir_all(&spool) {
        tracing::debug!(%error, "the spool was already gone");
    }
    Ok(status)
}

/// The topics that are named, and those of the routes and of the logs on this folder.
fn picker(config: &Config) -> TopicPicker {
    let logged = log::inspect(&config.data_dir).unwrap_or_default();
    let logged: Vec<String> = logged.into_iter().map(|topic| topic.topic).collect();
    topics(config, move || logged.clone())
}

fn end(drain: Drain, done: Result<(), DrainNowError>) -> Result<Status, OnceError> {
    let watch = drain.watch();
    drain.stop(END);
    done.map_err(|error| OnceError::Drain(error.to_string()))?;
    let drained = watch.status();
    let mut status = Status {
        version: env!("CARGO_PKG_VERSION").to_string(),
        pid: std::process::id(),
        drain: drained.partitions.iter().map(Partition::of).collect(),
        ..Status::default()
    };
    status.rows.drained(&drained.totals);
    Ok(status)
}
