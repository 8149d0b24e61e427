//! Exchange -> prediction records: assemble, redact, sample, encode. Pure but for the clock in the exchange. What was posted as
//! [`feedback`] becomes records of its own form.
//!
//! In: an [`Exchange`](crate::gateway::exchange::Exchange). Out: a [`Recorded`], the rows as final message bytes. Whatever a body holds, the call is never
//! lost: what cannot be read is said in `parse_status`, and a panic in a parser costs columns only.

mod assemble;
mod body;
mod call;
mod cut;
pub mod feedback;
mod key;
mod models;
mod prediction;
mod recorder;
mod redact;
mod sample;
mod told;
pub mod wire;

use bytes::Bytes;

use crate::config::Format;
use crate::ledger::Ticket;

pub use call::Call;
pub use models::Models;
pub use prediction::{Bodies, Envelope, Prediction, Predictions};
pub use recorder::Recorder;
pub use told::{Answer, Learned, Question, Told, told};

/// One call, or the feedbacks of one request, ready for the log: the rows as final message bytes.
pub struct Recorded {
    pub ticket: Ticket,
    /// The log it belongs to.
    pub topic: String,
    pub content_type: ContentType,
    pub rows: Vec<Encoded>,
}

/// One row as it will stand on the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub key: Option<Bytes>,
    pub value: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ContentType {
    Json = 1,
    Protobuf = 2,
}

impl From<Format> for ContentType {
    fn from(format: Format) -> ContentType {
        match format {
            Format::Json => ContentType::Json,
            Format::Protobuf => ContentType::Protobuf,
        }
    }
}

impl ContentType {
    pub fn mime(self) -> &'static str {
        match self {
            ContentType::Json => "application/json",
            ContentType::Protobuf => "application/x-protobuf",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
