//! Rows that fit a message: bodies are shortened first, then outputs lose their largest values, then inputs, and at last
//! the long texts of the envelope go. A cut row says `truncated`.

use std::borrow::Cow;

use super::assemble::shorten;
use super::json;
use super::prediction::{Envelope, Prediction, Predictions};
use super::wire::Encoder;
use crate::protocol::Object;

/// A body shorter than this is not worth keeping.
const BODY_BYTES_MIN: usize = 64;

/// Bytes of the texts that stay in an envelope which had to be cut.
const TEXT_BYTES_MAX: usize = 64;

/// Encodes every row in at most `bytes_max` bytes.
pub fn encode(mut predictions: Predictions<'_>, bytes_max: Option<usize>) -> Vec<Vec<u8>> {
    let encoder = Encoder::new(&predictions.envelope);
    let mut bare = None;
    let mut messages = Vec::with_capacity(predictions.rows.len());
    for row in &mut predictions.rows {
        let message = encoder.encode(row);
        messages.push(match bytes_max {
            Some(bytes_max) if message.len() > bytes_max => fit(&encoder, row, message.len(), bytes_max)
                .unwrap_or_else(|| bare.get_or_insert_with(|| Encoder::new(&strip(&predictions.envelope))).encode(row)),
            _ => message,
        });
    }
    messages
}

/// Cuts a row step by step; `None` if its envelope alone is too long.
fn fit(encoder: &Encoder, row: &mut Prediction<'_>, bytes: usize, bytes_max: usize) -> Option<Vec<u8>> {
    row.truncated = true;
    // `true` for `false` takes one byte less, but a row that was marked before takes the same.
    let mut excess = bytes - bytes_max;
    shorten_bodies(row, excess);
    let message = encoder.encode(row);
    if message.len() <= bytes_max {
        return Some(message);
    }
    row.bodies = None;
    for side in [Outputs, Inputs] {
        let message = encoder.encode(row);
        if message.len() <= bytes_max {
            return Some(message);
        }
        excess = message.len() - bytes_max;
        side.fields(row, |fields| drop_largest(fields, excess));
    }
    let message = encoder.encode(row);
    (message.len() <= bytes_max).then_some(message)
}

/// The answer's body first: the request's says more.
fn shorten_bodies(row: &mut Prediction<'_>, excess: usize) {
    let Some(bodies) = &mut row.bodies else { return };
    let base64 = bodies.encoding == "base64";
    let mut left = excess;
    for body in [&mut bodies.response, &mut bodies.request] {
        let Some(text) = body else { continue };
        let cost = written(text);
        if left == 0 {
            continue;
        }
        let kept = keep_within(text, cost.saturating_sub(left), base64);
        if kept < BODY_BYTES_MIN {
            *body = None;
            left = left.saturating_sub(cost);
        } else {
            *text = Cow::Owned(shorten(std::mem::take(text).into_owned(), kept));
            left = 0;
        }
    }
    if bodies.request.is_none() && bodies.response.is_none() {
        row.bodies = None;
    }
}

/// Bytes of `text` that can stay so that its JSON takes at most `budget`.
fn keep_within(text: &str, budget: usize, base64: bool) -> usize {
    let mut cost = 2;
    let mut kept = 0;
    for c in text.chars() {
        cost += escaped(c);
        if cost > budget {
            break;
        }
        kept += c.len_utf8();
    }
    if base64 { kept / 4 * 4 } else { kept }
}

fn written(text: &str) -> usize {
    2 + text.chars().map(escaped).sum::<usize>()
}

fn escaped(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

#[derive(Clone, Copy)]
enum Cut {
    Outputs,
    Inputs,
}
use Cut::{Inputs, Outputs};

impl Cut {
    fn fields<'a>(self, row: &mut Prediction<'a>, edit: impl FnOnce(&mut Object<'a>)) {
        match self {
            Outputs => edit(&mut row.outputs),
            Inputs => edit(&mut row.inputs),
        }
    }
}

/// Drops the largest values until at least `excess` bytes are gone.
fn drop_largest(fields: &mut Object<'_>, excess: usize) {
    let mut sizes: Vec<(usize, usize)> = fields
        .iter()
        .enumerate()
        .map(|(at, (key, value))| {
            let mut out = Vec::new();
            json::text(&mut out, key);
            json::value(&mut out, value);
            (out.len() + 1, at)
        })
        .collect();
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    let mut gone = 0;
    let mut dropped: Vec<bool> = vec![false; fields.len()];
    for (size, at) in sizes {
        if gone >= excess {
            break;
        }
        gone += size;
        dropped[at] = true;
    }
    let mut at = 0;
    fields.retain(|_| {
        at += 1;
        !dropped[at - 1]
    });
}

/// The envelope without what can be long.
fn strip<'a>(envelope: &Envelope<'a>) -> Envelope<'a> {
    let short = |text: &str| shorten(text.to_owned(), TEXT_BYTES_MAX);
    Envelope {
        model_version: envelope.model_version.as_deref().map(|version| Cow::Owned(short(version))),
        client_request_id: envelope.client_request_id.as_deref().map(short),
        path: Cow::Owned(short(&envelope.path)),
        parse_error: envelope.parse_error.as_deref().map(short),
        error: envelope.error.as_deref().map(short),
        metadata: Vec::new(),
        types: Vec::new(),
        ..envelope.clone()
    }
}
