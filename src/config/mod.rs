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
mod report;
mod secret;
mod show;
mod starter;
mod topics;
mod tree;
pub mod units;
mod values;

pub use column::{BadColumn, ColumnPath, ColumnType, FixedType, KEY_BYTES_MAX, OWN_COLUMNS, meeting};
pub use connect::{ClientCertificate, KafkaSasl, KafkaTls, Mechanism, Oidc, TokenFrom, Verify};
pub use file::Format;
pub use key::KeyField;
pub use layout::columns_fault;
pub use report::{ConfigError, Place};
pub use secret::{Secret, Setting};
pub use show::json_schema;
pub use starter::init_yaml;
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

/// Requests under one path prefix, forwarded to one model server.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    pub name: String,
    /// Prefix of whole segments; `/` matches everything.
    pub path: String,
    pub upstream: Upstream,
    /// The fixed model name; `None`: the protocol names it, else the route's name.
    pub model: Option<String>,
    pub version: Option<VersionFrom>,
    pub protocol: ProtocolChoice,
    pub timeouts: Timeouts,
    /// Attempts after a failed connect.
    pub retry_connect: u32,
    /// Requests in flight; beyond it 503 with Retry-After.
    pub concurrency_max: usize,
    /// Constant entries of every record's `metadata`.
    pub labels: BTreeMap<String, String>,
    pub capture: Capture,
    /// `None`: what is posted about predictions is the model server's business.
    pub feedback: Option<Feedback>,
    pub record: Record,
    pub redact: Vec<RedactRule>,
}

impl Route {
    /// The model that is known without asking a call: all feedback of a route counts to it.
    pub fn own_model(&self) -> &str {
        self.model.as_deref().unwrap_or(&self.name)
    }
}

/// Where a route takes what became of its predictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// A whole path, without a slash at its end.
    pub path: String,
    /// Rules for `truth`, which has the outputs' names: those of the outputs, then its own. One without keys is for all of it.
    pub redact: Vec<RedactRule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `host:port`, as dialled and as sent in `host`.
    pub authority: String,
    /// Put in place of the matched prefix; `None`: the request's path stays as it is.
    pub path: Option<String>,
}

/// Where a record's `model_version` comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionFrom {
    Fixed(String),
    /// A response header, else a request header, of this (lower-case) name.
    Header(String),
    /// Keys from the root of the response's JSON, e.g. `["meta", "version"]` for `response:$.meta.version`.
    Response(Vec<String>),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolChoice {
    #[default]
    Auto,
    Json,
    V1,
    /// Open Inference Protocol (KServe V2, Triton, MLServer), with the binary tensor extension.
    V2,
    /// MLflow's scoring server, Databricks Model Serving.
    Mlflow,
    Sagemaker,
    Seldon,
    Torchserve,
    /// Triton's `generate` and `generate_stream`.
    TritonGenerate,
    /// Chat, completions, embeddings and responses, as OpenAI and the servers that speak like it.
    Openai,
    /// Messages.
    Anthropic,
    Ollama,
    /// Pipelines and text-generation servers.
    Huggingface,
    /// As `json`: what it serves is read by its media type.
    Bentoml,
    /// As `json`.
    Ray,
    /// As `json`.
    Multipart,
    /// Keep the bodies, parse nothing.
    Raw,
}

impl ProtocolChoice {
    /// The choice whose reader is meant.
    pub fn reader(self) -> ProtocolChoice {
        match self {
            ProtocolChoice::Bentoml | ProtocolChoice::Ray | ProtocolChoice::Multipart => ProtocolChoice::Json,
            other => other,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the request's head sent to the answer's head.
    pub first_byte: Duration,
    /// Between two reads of the answer's body.
    pub idle: Duration,
    /// How long an unused upstream connection is kept; below the model server's keep-alive.
    pub pool_idle: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Capture {
    pub mode: CaptureMode,
    /// Bytes kept per side; beyond it the copy is cut.
    pub body_bytes_max: u64,
    /// `None`: every call is recorded.
    pub sample: Option<Sample>,
    /// Header names (lower case) kept in `metadata`; no others are.
    pub headers: Vec<String>,
    pub rows: Rows,
    pub bodies: Bodies,
    /// Whether a client may send `x-weir-capture`.
    pub header_allowed: bool,
    /// Methods that predict (upper case).
    pub methods: Vec<String>,
    /// Rows of one call that are split; a larger batch stays one row (`parse_status: limit`).
    pub rows_max: usize,
    /// Bytes that a compressed body may become.
    pub decompressed_bytes_max: u64,
    /// Nesting of JSON.
    pub depth_max: usize,
}

/// What the bodies of a route cannot say of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub inputs: Layout,
    pub outputs: Layout,
    /// Whether the model server is asked what values without names are called.
    pub discover: bool,
    /// Files with a request and its answer, for `weir check`.
    pub samples: Vec<PathBuf>,
}

impl Default for Record {
    fn default() -> Record {
        Record { inputs: Layout::default(), outputs: Layout::default(), discover: true, samples: Vec::new() }
    }
}

impl Record {
    pub fn side(&self, side: Side) -> &Layout {
        match side {
            Side::Inputs => &self.inputs,
            Side::Outputs => &self.outputs,
        }
    }
}

/// Rows and columns of one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The keys that lead to the rows in a body of JSON; none for the whole body. `None`: found by its shape.
    pub rows: Option<Vec<String>>,
    /// Names of the values of a row that has no keys; empty if the route names none.
    pub columns: Vec<String>,
}

/// A row of so many values has a column for each; a longer one stays a list in one column.
pub const LIST_COLUMNS_MAX: usize = 256;

/// Which calls are recorded, where not all are.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The share, from 0 to below 1.
    pub rate: f64,
    /// The request header (lower case) whose value decides; without it, or where it is missing, the call's id does.
    pub by: Option<String>,
    /// Calls without a good and complete answer are recorded all.
    pub keep_errors: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaptureMode {
    #[default]
    BestEffort,
    Off,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    #[default]
    Split,
    Keep,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bodies {
    #[default]
    OnError,
    Always,
    Never,
}

/// One line of `redact:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactRule {
    pub side: Side,
    /// Keys below the side; `["address", "street"]` for `inputs.address.street`. Applies to every element of arrays on the way.
    pub keys: Vec<String>,
    pub action: RedactAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Inputs,
    Outputs,
}

/// What happens to the value that a rule finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedactAction {
    Drop,
    /// Its HMAC-SHA256 under this key takes its place.
    Hash(Secret),
    /// Its first characters stay.
    Truncate(usize),
    /// What looks like one of these goes out of its texts.
    Mask(Vec<MaskKind>),
}

/// What is looked for within texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaskKind {
    Email,
    Phone,
    /// A payment card's number, by its length and its check digit.
    Card,
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

#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    pub to: StoreTo,
    pub roll_bytes: u64,
    pub roll_every: Duration,
    pub partition: Partitioning,
    pub parquet: Parquet,
    pub columns_max: usize,
    /// Types that are fixed, by table, in the order of the file.
    pub tables: BTreeMap<String, Vec<FixedType>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreTo {
    Folder(PathBuf),
    S3(S3),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    pub bucket: String,
    /// Without slashes at either end; empty for the bucket's root.
    pub prefix: String,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: bool,
    /// Encrypts the objects; without it the bucket's own default does.
    pub sse_kms: Option<String>,
    /// Larger objects are sent in parts; [`PUT_BYTES_MAX`]: none is.
    pub multipart_bytes: u64,
}

/// What S3 takes by one `PutObject`.
pub const PUT_BYTES_MAX: u64 = 5 << 30;
/// See [`S3::multipart_bytes`].
pub const MULTIPART_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Partitioning {
    Day,
    Hour,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parquet {
    pub zstd_level: i32,
    pub row_group_rows: usize,
    pub encodings: Encodings,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encodings {
    #[default]
    /// PLAIN and dictionary only.
    Compatible,
    /// Delta encodings for timestamps, integers and long text.
    Compact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    pub gateway: bool,
    pub drain: bool,
}

#[cfg(test)]
mod tests;
