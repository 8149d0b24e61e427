//! What became of predictions, told by whoever knows: a request at a route's feedback path is weir's own. Its body is read
//! whole, within the byte budget, and handed to whoever takes feedback; the answer waits for the log.
//!
//! It is never forwarded and no call, takes no slot of its route, and holds up no request but itself.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode, request};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::sync::oneshot;

use super::answer::Failure;
use super::clock;
use super::connection::Busy;
use super::exchange::Permit;
use super::forward::{Shared, made, now_us};
use super::headers;
use super::ids;
use super::route::RouteState;
use super::tee::{AnswerBody, linger};
use crate::config::Route;
use crate::ledger::Reason;

/// Feedback as it was posted, unread.
pub struct Posted {
    pub route: Arc<Route>,
    /// Arrival of the request's head, microseconds since the epoch.
    pub arrived_at_us: i64,
    /// As the client sent them.
    pub headers: HeaderMap,
    /// From `x-weir-tag-<name>`: name (lower case) and value.
    pub tags: Vec<(String, String)>,
    pub body: Bytes,
    /// Released when it is dropped.
    pub permit: Permit,
    pub reply: Reply,
}

/// Where the answer goes. Dropped without one, the client is told that its feedback was lost.
pub struct Reply(oneshot::Sender<Told>);

impl Reply {
    /// One that nobody reads.
    #[cfg(test)]
    pub(crate) fn to_nobody() -> Reply {
        Reply(oneshot::channel().0)
    }

    /// Tells the client, if it is still there.
    pub fn send(self, told: Told) {
        if self.0.send(told).is_err() {
            tracing::debug!("nobody waits for the answer to a feedback any more");
        }
    }
}

/// What the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is in the log.
    Kept {
        status: StatusCode,
        body: String,
    },
    /// It cannot be taken as it is: why, and what to do.
    Bad(String),
    TooLarge(String),
    NotKept(Reason),
}

/// Takes feedback. Never waits: what there is no room for is given back.
pub trait TakeFeedback: Send + Sync + 'static {
    #[expect(clippy::result_large_err, reason = "the error is the feedback itself, moved, not made")]
    fn take(&self, posted: Posted) -> Result<(), Posted>;
}

/// A request at a feedback path.
pub(super) struct Posting {
    pub(super) route: Arc<RouteState>,
    pub(super) head: request::Parts,
    pub(super) body: Incoming,
    pub(super) busy: Busy,
}

pub(super) async fn serve(shared: &Shared, posting: Posting) -> Response<AnswerBody> {
    let arrived_at_us = now_us();
    let Posting { route, head, body, busy } = posting;
    busy.limit_writes(route.config.timeouts.idle);
    match take(shared, &route, arrived_at_us, head, body).await {
        Ok((status, text)) => {
            let mut response = Response::new(AnswerBody::made(Bytes::from(text), None, busy));
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(failure) => {
            // What was seen is in the ledger, whatever became of it.
            if !matches!(failure, Failure::NotKept(_)) {
                shared.meters.refused("feedback");
            }
            made(&failure, ids::call_id(arrived_at_us), None, busy)
        }
    }
}

/// Status and text of the answer.
async fn take(
    shared: &Shared,
    route: &RouteState,
    arrived_at_us: i64,
    head: request::Parts,
    body: Incoming,
) -> Result<(StatusCode, String), Failure> {
    if head.method != Method::POST {
        linger(body);
        return Err(Failure::NoPost);
    }
    let (body, permit) = read(shared, route, body).await?;
    let mut unread = head.headers.clone();
    let tags = headers::take_tags(&mut unread);
    let (reply, told) = oneshot::channel();
    let posted = Posted {
        route: route.config.clone(),
        arrived_at_us,
        headers: head.headers,
        tags,
        body,
        permit,
        reply: Reply(reply),
    };
    let taker = shared.feedback.as_ref().ok_or(Failure::NotKept(Reason::Lost))?;
    taker.take(posted).map_err(|_| Failure::NoRoom)?;
    match told.await {
        Ok(Told::Kept { status, body }) => Ok((status, body)),
        Ok(Told::Bad(why)) => Err(Failure::BadFeedback(why)),
        Ok(Told::TooLarge(why)) => Err(Failure::FeedbackTooLarge(why)),
        Ok(Told::NotKept(reason)) => Err(Failure::NotKept(reason)),
        Err(_) => Err(Failure::NotKept(Reason::Lost)),
    }
}

/// Reads a body whole; what it may take is claimed before any of it is read.
async fn read(shared: &Shared, route: &RouteState, mut body: Incoming) -> Result<(Bytes, Permit), Failure> {
    let bytes_max = shared.listen.body_bytes_max.min(route.config.capture.body_bytes_max);
    let too_large = || {
        let what = format!("the feedback is longer than {bytes_max} bytes (`capture.body` of its route)");
        Failure::FeedbackTooLarge(format!("{what}; send it in several requests"))
    };
    let declared = body.size_hint().exact();
    if declared.is_some_and(|declared| declared > bytes_max) {
        linger(body);
        return Err(too_large());
    }
    let claimed = declared.unwrap_or(bytes_max);
    if !route.budget.claim(claimed) {
        linger(body);
        return Err(Failure::NoRoom);
    }
    let permit = route.budget.permit(claimed);
    let mut kept = Vec::new();
    loop {
        let frame = match clock::within(shared.listen.body_idle, body.frame()).await {
            Err(clock::Elapsed) => return Err(Failure::BodyTimeout),
            Ok(None) => return Ok((Bytes::from(kept), permit)),
            Ok(Some(Err(_))) => return Err(Failure::BadRequest("the framing of the request body is broken")),
            Ok(Some(Ok(frame))) => frame,
        };
        let Some(data) = frame.data_ref() else { continue };
        if (kept.len() + data.len()) as u64 > bytes_max {
            linger(body);
            return Err(too_large());
        }
        kept.extend_from_slice(data);
    }
}
