//! The YAML as written: one struct per map. Their defaults are in `defaults`. Nothing is checked here but types and units;
//! `check` does the rest. The doc comments are the descriptions in the JSON schema that editors show.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Size, Span};
use super::{Bodies, CaptureMode, Encodings, Partitioning, ProtocolChoice, Rows};

/// The configuration file of weir.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Version of this file's form: 1.
    pub version: Option<u32>,
    /// Folder of the log, the ledger and, unless `store.to` says otherwise, the Parquet files.
    pub data_dir: String,
    /// The data port: where clients send predictions.
    pub listen: Listen,
    /// The admin port: health, metrics, status. Loopback only.
    pub admin: Admin,
    /// Model servers by the name of their route.
    pub routes: Ordered<Route>,
    /// Distinct model names taken from clients before the route's own name is used.
    pub models_max: usize,
    /// Recorder threads: `auto` or a number.
    pub recorders: Recorders,
    /// The durable local log.
    pub log: Log,
    /// Deadlines of the phases of a stop, after `listen.drain_timeout`.
    pub stop: Stop,
    /// Ceilings of the buffers in memory.
    pub memory: Memory,
    /// Kafka between the log and the drain; without it the drain reads the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<Kafka>,
    /// Reads the log or Kafka and writes Parquet.
    pub drain: Drain,
    /// Where the Parquet files go, and how they look.
    pub store: Store,
    /// What this process does: `gateway`, `drain`, or both.
    pub roles: Vec<Role>,
}

/// The data port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Address and port.
    pub address: String,
    /// What one client may ask for.
    pub limits: Limits,
    /// How long open requests may take to finish after SIGTERM; keep it below the orchestrator's grace period.
    pub drain_timeout: Span,
}

/// Limits of the data port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections open at once; further ones wait.
    pub connections: usize,
    /// Header lines of one request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub header_bytes: Size,
    /// Bytes of a request's body; beyond it 413.
    pub body: Size,
    /// From the first byte to the end of a request's head.
    pub header_timeout: Span,
    /// Between two reads of a request's body.
    pub body_idle: Span,
}

/// The admin port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address and port; loopback only in this version.
    pub address: String,
    /// `auto`; tokens come with a later version.
    pub token: String,
}

/// Requests under one path, forwarded to one model server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// Prefix of whole segments. Default: everything if it is the only route, else `/predict/<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The model server's URL; with a path, it is put in place of the matched prefix.
    pub upstream: Option<String>,
    /// Fixed model name. Default: what the protocol says, else the route's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Model version: a constant, `header:<name>`, or `response:$.<key>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How bodies are read: `auto`, `json`, `v1` (TF Serving, KServe) or `raw` (kept, not read).
    pub protocol: ProtocolChoice,
    /// Timeouts towards the model server.
    pub timeouts: Timeouts,
    /// Attempts where nothing was sent yet.
    pub retry: Retry,
    /// Requests in flight; beyond it 503 with Retry-After.
    pub concurrency: Concurrency,
    /// Constant entries of every record's `metadata`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Path on the data port where weir itself takes what became of predictions: `POST {id, truth, reward}`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// What is kept of a prediction.
    pub capture: Capture,
    /// Where the rows of a prediction are and what their columns are called, where bodies do not say it.
    #[serde(skip_serializing_if = "Record::is_empty")]
    pub record: Record,
    /// What is changed before anything is written anywhere: `inputs.<key>`, `outputs.<key>` or `truth.<key>`, and `drop`, `{ hash: KEY }`,
    /// `{ truncate: N }` or `{ mask: [email, phone, card] }`.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub redact: Ordered<Redaction>,
}

/// Timeouts towards the model server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// To open a connection.
    pub connect: Span,
    /// From the request sent to the head of the answer; then 504.
    pub first_byte: Span,
    /// Between two reads of the answer's body.
    pub idle: Span,
    /// How long an unused connection is kept; below the keep-alive of the model server (uvicorn: 5 s).
    pub pool_idle: Span,
}

/// Retries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Attempts after a connection could not be opened.
    pub connect: u32,
    /// Whether a request is sent again after a kept connection turned out to be closed; only `false` in this version.
    pub stale: bool,
}

/// Requests in flight on one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Concurrency(pub usize);

/// What is kept of a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Capture {
    /// `best_effort` (recording never slows or fails a prediction) or `off`.
    pub mode: CaptureMode,
    /// Bytes kept per side; a longer body is cut, with its true size noted.
    pub body: Size,
    /// Share of calls that are recorded: `0.1`, or a map that also says how it is drawn.
    pub sample: Sample,
    /// Headers kept in `metadata`; no others are.
    pub headers: Vec<String>,
    /// `split` (a row per prediction of a batch) or `keep` (a row per call).
    pub rows: Rows,
    /// When a record carries the bodies as they were: `on_error`, `always` or `never`.
    pub bodies: Bodies,
    /// Whether a client may send `x-weir-capture`: `allow` or `forbid`.
    pub header: HeaderChoice,
    /// Methods that predict; requests with others pass through.
    pub methods: Vec<String>,
    /// Rows of one call that are split; a larger batch stays one row.
    pub rows_max: usize,
    /// Bytes that a compressed body may become.
    pub decompressed: Size,
    /// Nesting of JSON.
    pub depth: usize,
}

/// Whether a client may send `x-weir-capture`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeaderChoice {
    Allow,
    Forbid,
}

/// The durable local log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What a power cut can take.
    pub sync: Span,
    /// Hard budget on disk; when it is full, new records are dropped and counted.
    pub max_size: Size,
    /// Free space of the file system below which nothing is appended.
    pub reserve_free: Size,
    /// Size of one segment file.
    pub segment: Size,
}

/// Deadlines of the phases of a stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// For the recorders to work off their queue.
    pub recorders: Span,
    /// For the publisher to get its acknowledgements.
    pub publish: Span,
    /// For the drain to store what it has.
    pub store: Span,
}

/// Ceilings of the buffers in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Copies of bodies of requests in flight.
    pub capture: Size,
    /// Finished calls that wait for a recorder.
    pub queue: Size,
    /// The Kafka producer's queue.
    pub producer: Size,
    /// The drain's working memory.
    pub drain: Size,
}

/// Kafka between the log and the drain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// `host:port` of some brokers.
    pub brokers: Vec<String>,
    /// Topic of a record; `{model}` is replaced by the model's name.
    pub topic: String,
    /// Form of the messages: `json`, or `protobuf` (`proto/weir/v1/prediction.proto`).
    pub format: Format,
    /// Lanes of a topic's log: partitions that one gateway writes to. May be raised, never lowered.
    pub lanes: u32,
    /// Field whose value becomes the message's key: `id`, or another by its name in the record (`inputs.customer_id`). Order per key is not promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Bytes of one message; a longer record is cut before it is appended.
    pub max_record: Size,
    /// TLS to the brokers; without it they are reached in clear text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<KafkaTls>,
    /// The log-in to the brokers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<KafkaSasl>,
    /// Properties of librdkafka's producer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub producer: BTreeMap<String, String>,
    /// Properties of librdkafka's consumer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub consumer: BTreeMap<String, String>,
    /// Makes missing topics; without it a missing topic is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_topics: Option<CreateTopics>,
}

/// Form of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Json,
    Protobuf,
}

/// How missing topics are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreateTopics {
    /// Partitions of a new topic.
    pub partitions: i32,
    /// Replicas of each.
    pub replication: i32,
}

/// Reads the log or Kafka and writes Parquet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Topics to drain; `{model}` stands for the topics of this process's routes and logs, `fraud-*` and `^fraud-(eu|us)$` are patterns.
    pub topics: Vec<String>,
    /// Name under which the position is committed to Kafka.
    pub group: String,
    /// Where a topic that was never drained begins: `earliest` or `latest`.
    pub start: Start,
    /// Writers; only 1 in this version.
    pub writers: usize,
    /// Disk for messages of Kafka that wait for their file.
    pub spool: Size,
    /// How long a gateway that was not seen is remembered, to recognise what it sends twice.
    pub resend_window: Span,
}

/// Where a topic that was never drained begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    Earliest,
    Latest,
}

/// Where the Parquet files go, and how they look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// A folder, or `s3://bucket/prefix`. Default: `<data_dir>/parquet`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// URL of an S3 server that is not AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of the bucket. Default: from the environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the bucket is named in the path rather than in the host. Default: true with `endpoint`, else false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Id or ARN of the KMS key that encrypts the objects. Default: as the bucket's own default says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sse_kms: Option<String>,
    /// Files above this size go to S3 in parts; 5GiB, all that S3 takes at once: none does.
    pub multipart_threshold: Size,
    /// When a file is closed.
    pub roll: Roll,
    /// Folders by ingest time: `day`, `hour` or `none`; pinned per table.
    pub partition: Partitioning,
    /// How the files are written.
    pub parquet: Parquet,
    /// Columns of one table; further fields go to `_raw`.
    pub columns_max: usize,
    /// What holds for single tables, by their name: the model's, with Kafka the topic's.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub tables: Ordered<Table>,
    /// The Delta table that follows the files; only `false` in this version.
    pub delta: bool,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    /// Types of columns, where they shall not be inferred: `inputs.customer_id: int64`. Also boolean, double, float, string, int8 to
    /// uint64, binary (base64 in the record), list<..> and map<string, double>. A column that is there keeps its type.
    #[serde(skip_serializing_if = "Ordered::is_empty")]
    pub types: Ordered<String>,
}

/// When a file is closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Roll {
    /// Bytes of messages in one file.
    pub size: Size,
    /// Age of the first message of a file.
    pub every: Span,
}

/// How Parquet files are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Parquet {
    /// `zstd`.
    pub compression: Compression,
    /// Level of zstd, 1 to 22.
    pub level: i32,
    /// Rows of one row group.
    pub row_group: usize,
    /// `compatible` (every reader) or `compact` (delta encodings).
    pub encodings: Encodings,
}

/// Compression of Parquet pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    Zstd,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Gateway,
    Drain,
}

mod connect;
mod defaults;
mod record;
mod redaction;
mod sample;

pub use super::values::{Ordered, Recorders};
pub use connect::{KafkaSasl, KafkaTls, Mechanism, MskIam, Oidc, SYSTEM_CA, Verify};
pub use record::{Layout, Record};
pub use redaction::Redaction;
pub use sample::{Drawn, Sample};
