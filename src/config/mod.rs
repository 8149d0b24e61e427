//! What was written in YAML, checked: one struct per stage, every value resolved, no stage sees another's.
//!
//! The text becomes a `tree` that knows every line and column, `later` refuses what this version does not build and
//! secrets that stand in the file, `read` fills the structs of [`mod@file`] (the YAML as written, with the defaults), and
//! `check` turns them into [`Config`]. Whatever is wrong is one [`ConfigError`]: place, what, and the fix.

mod check;
mod column;
mod connect;
pub mod file;
mod key;
mod later;
mod layout;
mod load;
mod read;
mod redact;
mod report;
mod route;
mod secret;
mod show;
mod starter;
mod store;
mod topics;
mod tree;
pub mod units;
mod values;

pub use column::{BadColumn, ColumnPath, ColumnType, FixedType, KEY_BYTES_MAX, OWN_COLUMNS, meeting};
pub use connect::{ClientCertificate, KafkaSasl, KafkaTls, Mechanism, Oidc, TokenFrom, Verify};
pub use file::Format;
pub use key::KeyField;
pub use layout::columns_fault;
pub use redact::{MaskKind, RedactAction, RedactRule, Side};
pub use report::{ConfigError, Place};
pub use route::{
    Bodies, Capture, CaptureMode, Feedback, LIST_COLUMNS_MAX, Layout, ProtocolChoice, Record, Route, Rows, Sample,
    Timeouts, Upstream, VersionFrom,
};
pub use secret::{Secret, Setting};
pub use show::json_schema;
pub use starter::init_yaml;
pub use store::{Encodings, MULTIPART_BYTES, PUT_BYTES_MAX, Parquet, Partitioning, S3, Store, StoreTo};
pub use topics::{BadPattern, FEEDBACK_SUFFIX, feedback_topic, is_feedback_topic, topic_pattern};
pub use units::Span;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The checked configuration of one process.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Folder of the log, the ledger, the local Parquet and `run.json`.
    pub data_dir: PathBuf,
    pub listen: Listen,
    pub admin: Admin,
    /// In the order of the file; the longest matching `path` wins.
    pub routes: Vec<Route>,
    /// Distinct model names taken from clients before the route's own name is used.
    pub models_max: usize,
    /// Recorder threads, at least one.
    pub recorders: usize,
    pub log: Log,
    pub stop: Stop,
    pub memory: Memory,
    pub kafka: Option<Kafka>,
    pub drain: Drain,
    pub store: Store,
    pub roles: Roles,
}

impl Config {
    /// The topic of a model's predictions, with `{model}` in the name's place: also the name of its log, without Kafka.
    pub fn topic_template(&self) -> &str {
        self.kafka.as_ref().map_or("{model}", |kafka| &kafka.topic)
    }

    /// The topics of the routes: of each its predictions', and its feedback's if it takes any.
    pub fn route_topics(&self) -> Vec<String> {
        let of = |route: &Route| {
            let topic = self.topic_template().replace("{model}", route.own_model());
            let feedback = route.feedback.as_ref().map(|_| feedback_topic(&topic));
            std::iter::once(topic).chain(feedback)
        };
        self.routes.iter().flat_map(of).collect()
    }
}

/// The data port.
#[derive(Debug, Clone, PartialEq)]
pub struct Listen {
    pub address: SocketAddr,
    /// Connections open at once; further ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// Header lines per request.
    pub headers_max: usize,
    /// Bytes of a request head.
    pub header_bytes_max: u64,
    /// Bytes of a request body.
    pub body_bytes_max: u64,
    /// From the first byte expected to the end of the head.
    pub header_timeout: Duration,
    /// Between two reads of a request body.
    pub body_idle: Duration,
    /// How long open requests may take to finish after SIGTERM.
    pub drain_timeout: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Loopback only, until tokens come.
    pub address: SocketAddr,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// What a power cut can take.
    pub sync: Duration,
    pub bytes_max: u64,
    /// Free bytes of the file system below which nothing is appended.
    pub reserve_free_bytes: u64,
    pub segment_bytes: u64,
}

/// Deadlines of the phases after the gateway's `drain_timeout`.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    pub recorders: Duration,
    pub publish: Duration,
    pub store: Duration,
}

/// Ceilings in bytes; the sum is printed at start.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    pub capture_bytes: u64,
    pub queue_bytes: u64,
    pub producer_bytes: u64,
    pub drain_bytes: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Kafka {
    pub brokers: Vec<String>,
    /// Template; `{model}` is replaced.
    pub topic: String,
    /// Form of the messages.
    pub format: Format,
    pub lanes: u32,
    /// The field whose value is a message's key.
    pub key: Option<KeyField>,
    /// Bytes of one message; a longer row is cut before the append.
    pub record_bytes_max: usize,
    pub tls: Option<KafkaTls>,
    pub sasl: Option<KafkaSasl>,
    /// Properties of librdkafka's clients.
    pub producer: BTreeMap<String, Setting>,
    pub consumer: BTreeMap<String, Setting>,
    pub create_topics: Option<CreateTopics>,
    /// `drain.resend_window`: how long a drain remembers what a gateway sent.
    pub resend_window: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreateTopics {
    pub partitions: i32,
    pub replication: i32,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Drain {
    /// Names and patterns ([`topic_pattern`]); `{model}` stands for the topics of this process's routes and logs.
    pub topics: Vec<String>,
    pub group: String,
    /// `true`: from the earliest offset of a new origin, `false`: from its end.
    pub start_earliest: bool,
    pub spool_bytes_max: u64,
    /// How long a source that was not seen keeps its interval set (broker time).
    pub resend_window: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    pub gateway: bool,
    pub drain: bool,
}

#[cfg(test)]
mod tests;
