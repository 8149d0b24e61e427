//! `record:` of a route as it is written: where rows are, what their columns are called, and samples.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the bodies of a route cannot say of themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// Of the request.
    #[serde(skip_serializing_if = "Layout::is_empty")]
    pub inputs: Layout,
    /// Of the answer.
    #[serde(skip_serializing_if = "Layout::is_empty")]
    pub outputs: Layout,
    /// Whether the model server is asked, in the background, what values without names are called: `/v2/models/{model}` and
    /// `/openapi.json`, by GET, once for each path on which such values were seen.
    pub discover: bool,
    /// Files that each hold a request and its answer, one after the other, as `weir map` reads them: `weir check` shows what becomes of
    /// them, and fails if they do not become rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
}

/// Rows and columns of one side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Layout {
    /// Where the rows are in a body of JSON: `$.payload.items`, or `$` for the whole body. Default: found by its shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// Names of the values of a row that has no keys, in their order. Default: what the protocol says, else `x0..`, `y0..`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

impl Default for Record {
    fn default() -> Record {
        Record { inputs: Layout::default(), outputs: Layout::default(), discover: true, samples: Vec::new() }
    }
}

impl Record {
    pub fn is_empty(&self) -> bool {
        *self == Record::default()
    }
}

impl Layout {
    fn is_empty(&self) -> bool {
        *self == Layout::default()
    }
}
