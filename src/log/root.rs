//! Where a drain's rows go, as a log's `meta.json` pins it: enough to open the place again when the configuration names another.

use std::fmt;

/// A store. Of a log that a publisher reads it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Root {
    /// A folder's absolute path, or `s3://bucket/prefix`.
    pub address: String,
    /// How S3 is reached; `None` for a folder.
    pub s3: Option<S3Access>,
}

/// What an S3 address does not say. No secret is in it: credentials come from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct S3Access {
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: bool,
    pub sse_kms: Option<String>,
}

impl Root {
    pub fn folder(path: impl Into<String>) -> Root {
        Root { address: path.into(), s3: None }
    }

    /// Whether both are one place. Buckets of one name on two servers are two; by which region or key they are reached makes no difference.
    pub fn is(&self, other: &Root) -> bool {
        let endpoints = || match (&self.s3, &other.s3) {
            (Some(one), Some(other)) => one.endpoint == other.endpoint,
            // A log of before this was kept.
            _ => true,
        };
        self.address == other.address && endpoints()
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)?;
        match self.s3.as_ref().and_then(|s3| s3.endpoint.as_ref()) {
            Some(endpoint) => write!(f, " at {endpoint}"),
            None => Ok(()),
        }
    }
}

impl serde::Serialize for Root {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
