//! `weir drain --once` without a running process: what is at hand becomes Parquet, then it ends.

use std::sync::Arc;
use std::time::Duration;

use super::answers::drained;
use super::{AppError, drain_config, open_logs, open_store, topics};
use crate::admin::Status;
use crate::config::{Config, Kafka};
use crate::drain::Drain;
use crate::drain::store::Store;
use crate::source::kafka::KafkaSource;
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
