//! Where the Parquet files go and how they look, checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::FixedType;

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
