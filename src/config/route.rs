//! A route, checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{RedactRule, Side};

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
