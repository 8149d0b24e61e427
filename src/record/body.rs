//! The copies of a call's bodies: as plain bytes for the parsers, as text for the record.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::call::Call;
use super::prediction::Bodies;
use crate::gateway::exchange::{Captured, Keep, Kept};
use crate::protocol::{MadeNames, ParseStatus, Problem, Side, encoding};

/// Bytes of an answer that become `error`.
const ERROR_BYTES_MAX: usize = 4096;

/// One captured body: the bytes as they passed, and without their content encoding.
pub struct Copy {
    pub passed: Bytes,
    /// `None`: no coding was undone, the plain bytes are `passed`.
    plain: Option<Vec<u8>>,
    problem: Option<Problem>,
    cut: bool,
}

impl Copy {
    pub fn of(captured: &Captured, head: &HeaderMap, keep: Keep, bytes_max: u64) -> Copy {
        let passed = if keep == Keep::Metadata { Bytes::new() } else { captured.bytes() };
        let cut = captured.kept == Kept::Cut || !captured.ended;
        let hindrance = hindrance(captured, keep, passed.len());
        if hindrance.is_some() {
            return Copy { passed, plain: None, problem: hindrance, cut };
        }
        match encoding::decode(head, &passed, bytes_max) {
            Ok(Cow::Borrowed(_)) => Copy { passed, plain: None, problem: None, cut },
            Ok(Cow::Owned(plain)) => Copy { passed, plain: Some(plain), problem: None, cut },
            Err(problem) => Copy { passed, plain: None, problem: Some(problem), cut },
        }
    }

    /// A copy that no parser may touch.
    pub fn sealed(captured: &Captured, keep: Keep, problem: Problem) -> Copy {
        let passed = if keep == Keep::Metadata { Bytes::new() } else { captured.bytes() };
        Copy { passed, plain: None, problem: Some(problem), cut: captured.kept == Kept::Cut || !captured.ended }
    }

    /// The bytes as stored: plain if they could be decoded, else as they passed.
    pub fn stored(&self) -> &[u8] {
        self.plain.as_deref().unwrap_or(&self.passed)
    }

    pub fn side<'a>(&'a self, head: &'a HeaderMap, read: bool, depth_max: usize) -> Side<'a> {
        match &self.problem {
            // A stream is read as far as it came; what is coded cannot be.
            Some(problem)
                if read && problem.status == ParseStatus::Truncated && !head.contains_key(CONTENT_ENCODING) =>
            {
                Side::part(head, self.stored(), problem.clone(), depth_max)
            }
            Some(problem) => Side::unread(head, Err(problem.clone()), problem.clone()),
            None if read => Side::read(head, self.stored(), depth_max),
            None => {
                let problem = Problem::new(ParseStatus::Unsupported, "the route keeps bodies raw");
                Side::unread(head, Ok(self.stored()), problem)
            }
        }
    }

    /// An error answer as text, up to a cap.
    pub fn error_text(&self) -> Option<String> {
        let stored = self.stored();
        let text = String::from_utf8_lossy(&stored[..stored.len().min(ERROR_BYTES_MAX)]);
        // The cap may have cut a character.
        let text = if stored.len() > ERROR_BYTES_MAX { text.trim_end_matches('\u{fffd}') } else { text.as_ref() };
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The stored bytes as text; of a cut copy, without the character that the cut went through.
    fn text(&self) -> Option<&str> {
        let stored = self.stored();
        match std::str::from_utf8(stored) {
            Ok(text) => Some(text),
            Err(error) if self.cut && error.error_len().is_none() => {
                std::str::from_utf8(stored.get(..error.valid_up_to())?).ok()
            }
            Err(_) => None,
        }
    }
}

fn hindrance(captured: &Captured, keep: Keep, kept_bytes: usize) -> Option<Problem> {
    if keep == Keep::Metadata {
        return Some(Problem::new(ParseStatus::NotKept, "the client asked for metadata only"));
    }
    match captured.kept {
        Kept::NotKept => Some(Problem::new(ParseStatus::NotKept, "no copy was kept")),
        Kept::Cut => {
            let what = format!("copy cut at {kept_bytes} of {} bytes", captured.seen_bytes);
            Some(Problem::new(ParseStatus::Truncated, what))
        }
        Kept::Whole if !captured.ended => {
            let what = format!("transfer broke off after {} bytes", captured.seen_bytes);
            Some(Problem::new(ParseStatus::Truncated, what))
        }
        Kept::Whole if kept_bytes == 0 => Some(Problem::new(ParseStatus::Empty, "no body")),
        Kept::Whole => None,
    }
}

/// Both copies as the record stores them; `None` if there is nothing to store.
pub fn bodies<'a>(request: &'a Copy, response: &'a Copy) -> Option<Bodies<'a>> {
    let kept = |copy: &Copy| !copy.passed.is_empty();
    if !kept(request) && !kept(response) {
        return None;
    }
    let (texts, encoding) = match (request.text(), response.text()) {
        (Some(request), Some(response)) => ((Cow::Borrowed(request), Cow::Borrowed(response)), "utf-8"),
        _ => {
            let encode = |copy: &Copy| Cow::Owned(STANDARD.encode(copy.stored()));
            ((encode(request), encode(response)), "base64")
        }
    };
    Some(Bodies { request: kept(request).then_some(texts.0), response: kept(response).then_some(texts.1), encoding })
}

/// Both copies of a call, and the names that a protocol makes for what is in them.
pub struct Copies {
    pub request: Copy,
    pub response: Copy,
    pub names: MadeNames,
}

impl Copies {
    /// Decodes both bodies, within the route's cap.
    pub fn of(call: &Call) -> Copies {
        let bytes_max = call.route.capture.decompressed_bytes_max;
        Copies {
            request: Copy::of(&call.request, &call.request_headers, call.keep, bytes_max),
            response: Copy::of(&call.response, &call.response_headers, call.keep, bytes_max),
            names: MadeNames::default(),
        }
    }

    /// Both bodies untouched: for a call whose parsing failed inside weir.
    pub fn sealed(call: &Call) -> Copies {
        let problem = || Problem::new(ParseStatus::Invalid, "internal error");
        Copies {
            request: Copy::sealed(&call.request, call.keep, problem()),
            response: Copy::sealed(&call.response, call.keep, problem()),
            names: MadeNames::default(),
        }
    }
}
