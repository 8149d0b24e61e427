//! The rules of `redact:`, checked.

use super::Secret;

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

impl Side {
    /// The record's field.
    pub fn word(self) -> &'static str {
        match self {
            Side::Inputs => "inputs",
            Side::Outputs => "outputs",
        }
    }
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
