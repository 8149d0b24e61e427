//! `kafka.key`: the field of a record whose value becomes the message's key.

use std::fmt;

/// A field by its name in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyField {
    Id,
    RequestId,
    ClientRequestId,
    TraceId,
    ModelName,
    ModelVersion,
    Route,
    /// Keys below `inputs`.
    Inputs(Vec<String>),
    /// Keys below `outputs`.
    Outputs(Vec<String>),
    /// A name in `metadata`; may have dots.
    Metadata(String),
}

/// The fields that have one value.
const PLAIN: [(&str, KeyField); 7] = [
    ("id", KeyField::Id),
    ("request_id", KeyField::RequestId),
    ("client_request_id", KeyField::ClientRequestId),
    ("trace_id", KeyField::TraceId),
    ("model_name", KeyField::ModelName),
    ("model_version", KeyField::ModelVersion),
    ("route", KeyField::Route),
];

impl KeyField {
    /// `None`: no field that could be a key has this name.
    pub(super) fn parse(text: &str) -> Option<KeyField> {
        if let Some((_, field)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Some(field.clone());
        }
        let (parent, below) = text.split_once('.')?;
        if below.is_empty() {
            return None;
        }
        let keys: Vec<String> = below.split('.').map(str::to_owned).collect();
        match parent {
            "metadata" => Some(KeyField::Metadata(below.to_owned())),
            _ if keys.iter().any(String::is_empty) => None,
            "inputs" => Some(KeyField::Inputs(keys)),
            "outputs" => Some(KeyField::Outputs(keys)),
            _ => None,
        }
    }
}

impl fmt::Display for KeyField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyField::Inputs(keys) => write!(f, "inputs.{}", keys.join(".")),
            KeyField::Outputs(keys) => write!(f, "outputs.{}", keys.join(".")),
            KeyField::Metadata(name) => write!(f, "metadata.{name}"),
            plain => f.write_str(PLAIN.iter().find(|(_, field)| field == plain).map_or("", |(name, _)| name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parsed_is_written_the_same() {
        for text in ["id", "client_request_id", "route", "inputs.customer_id", "outputs.a.b", "metadata.x.y"] {
            assert_eq!(KeyField::parse(text).map(|field| field.to_string()).as_deref(), Some(text));
        }
        for text in ["", "Id", "inputs", "inputs.", "inputs.a..b", "occurred_at", "body.id", "metadata."] {
            assert_eq!(KeyField::parse(text), None, "{text}");
        }
    }
}
