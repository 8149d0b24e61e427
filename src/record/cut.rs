//! Rows that fit a message: bodies are shortened first, then outputs lose their largest values, then inputs, and at last
//! the long texts of the envelope go. A cut row says `truncated`.

use std::borrow::Cow;

use super::assemble::shorten;
use super::prediction::{Envelope, Prediction, Predictions};
use super::wire::{Encoder, Form};
use crate::protocol::Object;

/// A body shorter than this is not worth keeping.
const BODY_BYTES_MIN: usize = 64;

/// Bytes of the texts that stay in an envelope which had to be cut.
const TEXT_BYTES_MAX: usize = 64;

/// Bytes of a method that stays there.
const METHOD_BYTES_MAX: usize = 16;

/// Encodes every row in at most `bytes_max` bytes.
pub fn encode(mut predictions: Predictions<'_>, form: &'static dyn Form, bytes_max: Option<usize>) -> Vec<Vec<u8>> {
    let encoder = Encoder::new(form, &predictions.envelope);
    let mut stripped = None;
    let mut messages = Vec::with_capacity(predictions.rows.len());
    for row in &mut predictions.rows {
        let message = encoder.encode(row);
        messages.push(match bytes_max {
            Some(bytes_max) if message.len() > bytes_max => fit(&encoder, row, message.len(), bytes_max)
                .unwrap_or_else(|| {
                    let [short, bare] = stripped.get_or_insert_with(|| {
                        [TEXT_BYTES_MAX, 0].map(|max| Encoder::new(form, &strip(&predictions.envelope, max)))
                    });
                    let message = short.encode(row);
                    if message.len() <= bytes_max { message } else { bare.encode(row) }
                }),
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
    shorten_bodies(encoder.form(), row, excess);
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
        side.fields(row, |fields| drop_largest(encoder.form(), fields, excess));
    }
    let message = encoder.encode(row);
    (message.len() <= bytes_max).then_some(message)
}

/// The answer's body first: the request's says more.
fn shorten_bodies(form: &dyn Form, row: &mut Prediction<'_>, excess: usize) {
    let Some(bodies) = &mut row.bodies else { return };
    let base64 = bodies.encoding == "base64";
    let mut left = excess;
    for body in [&mut bodies.response, &mut bodies.request] {
        let Some(text) = body else { continue };
        let cost = form.empty_bytes() + text.chars().map(|c| form.char_bytes(c)).sum::<usize>();
        if left == 0 {
            continue;
        }
        let kept = keep_within(form, text, cost.saturating_sub(left), base64);
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

/// Bytes of `text` that can stay so that it takes at most `budget` when written.
fn keep_within(form: &dyn Form, text: &str, budget: usize, base64: bool) -> usize {
    let mut cost = form.empty_bytes();
    let mut kept = 0;
    for c in text.chars() {
        cost += form.char_bytes(c);
        if cost > budget {
            break;
        }
        kept += c.len_utf8();
    }
    if base64 { kept / 4 * 4 } else { kept }
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
fn drop_largest(form: &dyn Form, fields: &mut Object<'_>, excess: usize) {
    let mut sizes: Vec<(usize, usize)> = fields
        .iter()
        .enumerate()
        .map(|(at, (key, value))| {
            let mut out = Vec::new();
            form.entry(&mut out, key, value);
            (out.len(), at)
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

/// The envelope without what can be long: texts of others are cut to `text_bytes_max`, and left out if that is 0.
fn strip<'a>(envelope: &Envelope<'a>, text_bytes_max: usize) -> Envelope<'a> {
    let short = |text: &str| (text_bytes_max > 0).then(|| shorten(text.to_owned(), text_bytes_max));
    Envelope {
        model_version: envelope.model_version.as_deref().and_then(short).map(Cow::Owned),
        client_request_id: envelope.client_request_id.as_deref().and_then(short),
        upstream: envelope.upstream.filter(|upstream| upstream.len() <= text_bytes_max),
        // A method that is longer is none that anybody knows.
        method: if envelope.method.len() <= METHOD_BYTES_MAX { envelope.method } else { "" },
        path: Cow::Owned(short(&envelope.path).unwrap_or_default()),
        parse_error: envelope.parse_error.as_deref().and_then(short),
        error: envelope.error.as_deref().and_then(short),
        metadata: Vec::new(),
        types: Vec::new(),
        ..envelope.clone()
    }
}
