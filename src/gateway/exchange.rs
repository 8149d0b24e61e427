//! What leaves the gateway: one [`Exchange`] per call, complete, offered once.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use uuid::Uuid;

use crate::config::Route;
use crate::ledger::Ticket;

/// One HTTP exchange on a capturing route: both heads, copies of both bodies, timings, and how it ended.
pub struct Exchange {
    /// The call's id, sent as `x-weir-id`: a UUIDv7.
    pub id: Uuid,
    pub route: Arc<Route>,
    pub keep: Keep,
    /// Arrival of the request's head, microseconds since the epoch.
    pub arrived_at_us: i64,
    pub method: Method,
    /// As the client sent it, without the query.
    pub path: String,
    /// As the client sent them.
    pub request_headers: HeaderMap,
    pub request: Captured,
    /// `None` if no answer's head was ever sent or received.
    pub status: Option<StatusCode>,
    /// As the model sent them; empty for gateway-made answers.
    pub response_headers: HeaderMap,
    pub response: Captured,
    pub outcome: Outcome,
    pub origin: Origin,
    /// One word of `x-weir-error` and a sentence, for gateway-made answers and broken transfers.
    pub error: Option<String>,
    /// Times the request was sent or tried to be sent.
    pub attempts: u32,
    /// `host:port` last tried.
    pub upstream: Option<Arc<str>>,
    pub timings: Timings,
    /// From `x-weir-tag-<name>`: name (lower case) and value.
    pub tags: Vec<(String, String)>,
    pub ticket: Ticket,
    /// Released when the exchange is dropped.
    pub permit: Permit,
}

/// What the client asked to be kept (`x-weir-capture`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Bodies,
    /// One row, no inputs or outputs.
    Metadata,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Complete,
    UpstreamConnect,
    UpstreamTimeout,
    UpstreamAborted,
    ClientAborted,
    Refused,
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Complete => "complete",
            Outcome::UpstreamConnect => "upstream_connect",
            Outcome::UpstreamTimeout => "upstream_timeout",
            Outcome::UpstreamAborted => "upstream_aborted",
            Outcome::ClientAborted => "client_aborted",
            Outcome::Refused => "refused",
        }
    }
}

/// Who made the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Model,
    Gateway,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    /// Request's head read to answer's last byte handed to the connection (or the end of the call), microseconds.
    pub latency_us: u64,
    /// Request sent to the answer's end from the upstream.
    pub upstream_us: Option<u64>,
    /// Request sent to the answer's head.
    pub ttfb_us: Option<u64>,
}

/// The copy of one body.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    /// The frames kept, in order; together at most `capture.body` bytes.
    pub frames: Vec<Bytes>,
    /// True length of the body as it passed.
    pub seen_bytes: u64,
    pub kept: Kept,
    /// Whether the body's end was seen.
    pub ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kept {
    #[default]
    Whole,
    /// Longer than `capture.body`; the frames are its beginning.
    Cut,
    /// No memory permit, or the client asked: no frames.
    NotKept,
}

impl Captured {
    /// The kept bytes in one piece; copies only if there are several frames.
    pub fn bytes(&self) -> Bytes {
        match self.frames.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => {
                let mut all = Vec::with_capacity(many.iter().map(Bytes::len).sum());
                for frame in many {
                    all.extend_from_slice(frame);
                }
                Bytes::from(all)
            }
        }
    }

    pub fn kept_bytes(&self) -> usize {
        self.frames.iter().map(Bytes::len).sum()
    }
}

/// Bytes claimed from the capture budget; release is drop.
pub struct Permit {
    pub bytes: u64,
    pub release: Option<Arc<dyn Fn(u64) + Send + Sync>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(release) = &self.release {
            release(self.bytes);
        }
    }
}

/// Takes exchanges; the handoff implements it. Never waits: what does not fit is dropped and counted.
pub trait Offer: Send + Sync + 'static {
    fn offer(&self, exchange: Exchange);
}
