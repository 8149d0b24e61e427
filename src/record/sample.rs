//! Which calls are recorded where not all are. In: a finished [`Call`], unread. Out: whether it is kept, and how likely
//! that was.
//!
//! The decision is a hash of the call's id, or of a header's value, so that one user's calls are kept all or none, by
//! every gateway and after every restart.

use uuid::fmt::Hyphenated;
use xxhash_rust::xxh3::xxh3_64;

use super::call::Call;
use crate::gateway::exchange::Outcome;

/// 2^64, the number of hashes.
const HASHES: f64 = 18_446_744_073_709_551_616.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Draw {
    /// With the record's `sampling_rate`: the probability of this record, none where every call is kept anyway.
    Kept(Option<f64>),
    Left,
}

/// Decides on a call. Its bodies are not looked at.
pub fn draw(call: &Call) -> Draw {
    let Some(sample) = &call.route.capture.sample else { return Draw::Kept(None) };
    if sample.keep_errors && failed(call) {
        return Draw::Kept(Some(1.0));
    }
    // An empty header names nobody: those calls are not one user's.
    let value = sample.by.as_ref().and_then(|name| call.request_headers.get(name)).filter(|value| !value.is_empty());
    let hash = match value {
        Some(value) => xxh3_64(value.as_bytes()),
        // As the record's `request_id` is written, so that a reader can draw again.
        None => xxh3_64(call.id.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]).as_bytes()),
    };
    if hash as f64 / HASHES < sample.rate { Draw::Kept(Some(sample.rate)) } else { Draw::Left }
}

/// Whether there is no good and complete answer.
fn failed(call: &Call) -> bool {
    !call.answered() || call.outcome != Outcome::Complete
}
