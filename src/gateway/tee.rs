//! The bodies as they pass: frames go on untouched, a copy is kept, and the end is seen exactly once.
//!
//! A body is whole when its declared length has passed, when its trailers have, or when it said so; hyper does not ask
//! a body of known length for its end. Everything else is a break, and is passed on as one: a client never sees a
//! well-formed answer that is shorter than the model's.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::call::{Call, Fault};
use super::clock::{self, Sleep};
use super::connection::Busy;
use super::copy::BodyCopy;
use super::exchange::Outcome;
use super::pool::Lease;

/// How much of an unwanted upload is read so that its sender sees the answer instead of a reset, and for how long.
const LINGER_BYTES: u64 = 64 * 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(5);
/// How long a call that was answered without its body having been forwarded waits for it, for its record alone: what the
/// client has sent already is there long before.
const LATE_COPY_TIME: Duration = Duration::from_millis(250);

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the request body cannot be forwarded: {0:?}")]
    Request(Fault),
    #[error("the model server broke the answer off")]
    Upstream(#[source] hyper::Error),
    #[error("the model server stopped sending")]
    Idle,
}

/// The request's body on its way to the model.
pub(super) struct RequestTee {
    body: Option<Incoming>,
    call: Arc<Call>,
    copy: BodyCopy,
    idle: Sleep,
    bytes_max: u64,
    /// The client waits for `100 Continue`, and gets it with the first poll: until then it sends nothing.
    waiting: bool,
    over: bool,
}

impl RequestTee {
    pub(super) fn new(body: Incoming, call: Arc<Call>, bytes_max: u64, idle: Duration, waiting: bool) -> RequestTee {
        let copy = BodyCopy::new(call.copies);
        let mut tee =
            RequestTee { body: Some(body), call, copy, idle: Sleep::new(idle), bytes_max, waiting, over: false };
        // A request without a body is over before it is polled.
        if tee.is_end_stream() {
            tee.end(true, None);
        }
        tee
    }

    fn end(&mut self, whole: bool, fault: Option<Fault>) {
        if !std::mem::replace(&mut self.over, true) {
            let (copy, claimed) = self.copy.finish(whole);
            self.call.request_over(copy, claimed, fault);
        }
    }

    fn fail(&mut self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.end(false, Some(fault));
        if fault == Fault::TooLarge
            && let Some(body) = self.body.take()
        {
            linger(body);
        } else {
            self.body = None;
        }
        Poll::Ready(Some(Err(Broken::Request(fault))))
    }
}

impl Body for RequestTee {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if this.call.upload_unwanted() {
            // The answer is on its way and ends the connection with it; until then nothing more goes up.
            if let Some(body) = this.body.take() {
                linger(body);
            }
            return Poll::Pending;
        }
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        this.waiting = false;
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let ended = body.is_end_stream() || frame.is_trailers();
                if let Some(data) = frame.data_ref() {
                    this.copy.frame(data, &this.call.route);
                    if this.copy.seen_bytes() > this.bytes_max {
                        return this.fail(Fault::TooLarge);
                    }
                    this.call.upload_moved();
                    this.idle.reset();
                }
                if ended {
                    this.end(true, None);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.end(true, None);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => this.fail(fault_of(&error)),
            Poll::Pending => match this.idle.poll(cx) {
                Poll::Ready(()) => this.fail(Fault::Idle),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_some_and(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl Drop for RequestTee {
    fn drop(&mut self) {
        if self.over || self.waiting {
            return self.end(false, None);
        }
        // Not forwarded to its end, but a record has its inputs also when the model was not there to take them. The
        // answer does not wait for this; only the end of the call does.
        let Some(body) = self.body.take() else { return self.end(false, None) };
        let copy = std::mem::replace(&mut self.copy, BodyCopy::new(false));
        self.over = true;
        let rest = Rest { body: Some(body), copy, whole: false, call: self.call.clone() };
        self.call.stop_reuse();
        // Without a runtime the worker is ending, and `rest` ends here.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(clock::within(LATE_COPY_TIME, rest.read()));
        }
    }
}

/// What is left of a request's body that nobody forwards. Dropped, at its end or too late, it ends the body.
struct Rest {
    body: Option<Incoming>,
    copy: BodyCopy,
    whole: bool,
    call: Arc<Call>,
}

impl Rest {
    /// Reads as much as is kept of a body.
    async fn read(mut self) {
        let kept_max = self.call.route.config.capture.body_bytes_max;
        while !self.whole && self.call.copies && self.copy.seen_bytes() <= kept_max {
            let Some(body) = &mut self.body else { return };
            match body.frame().await {
                Some(Ok(frame)) => {
                    self.whole = body.is_end_stream() || frame.is_trailers();
                    if let Some(data) = frame.data_ref() {
                        self.copy.frame(data, &self.call.route);
                    }
                }
                Some(Err(_)) => self.body = None,
                None => self.whole = true,
            }
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let (copy, claimed) = self.copy.finish(self.whole);
        self.call.request_over(copy, claimed, None);
        if let Some(body) = self.body.take() {
            linger(body);
        }
    }
}

/// Whether the client left, or sent what is no body.
fn fault_of(error: &hyper::Error) -> Fault {
    let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Fault::Malformed,
        _ => Fault::Left,
    }
}

/// Reads an unwanted upload to its end, within bounds: closed with bytes unread, the connection would be reset, and the
/// client might never see the answer.
pub(super) fn linger(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    // There is none left when the worker is ending.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(clock::within(LINGER_TIME, async move {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    }));
}

/// What the client gets: the model's answer as it comes, or weir's own.
pub(super) struct AnswerBody {
    kind: Kind,
    _busy: Busy,
}

enum Kind {
    Model(ResponseTee),
    Made { body: Full<Bytes>, _call: Option<Arc<Call>> },
}

impl AnswerBody {
    pub(super) fn model(tee: ResponseTee, busy: Busy) -> AnswerBody {
        AnswerBody { kind: Kind::Model(tee), _busy: busy }
    }

    pub(super) fn made(text: Bytes, call: Option<Arc<Call>>, busy: Busy) -> AnswerBody {
        AnswerBody { kind: Kind::Made { body: Full::new(text), _call: call }, _busy: busy }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.kind {
            Kind::Model(tee) => tee.poll_frame(cx),
            Kind::Made { body, .. } => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Model(tee) => tee.body.is_end_stream(),
            Kind::Made { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Model(tee) => tee.body.size_hint(),
            Kind::Made { body, .. } => body.size_hint(),
        }
    }
}

/// The model's answer on its way to the client.
pub(super) struct ResponseTee {
    body: Incoming,
    call: Arc<Call>,
    copy: BodyCopy,
    idle: Sleep,
    /// Given back when the exchange has ended cleanly on both sides, else closed.
    lease: Option<Lease>,
    over: bool,
}

impl ResponseTee {
    /// `lease` is given back at the end only if `reusable`.
    pub(super) fn new(body: Incoming, call: Arc<Call>, lease: Lease, reusable: bool) -> ResponseTee {
        let copy = BodyCopy::new(call.copies);
        let idle = Sleep::new(call.route.config.timeouts.idle);
        let mut tee = ResponseTee { body, call, copy, idle, lease: Some(lease), over: false };
        if !reusable {
            tee.call.stop_reuse();
        }
        // Nothing will be polled of an answer without a body.
        if tee.body.is_end_stream() {
            tee.end(true, None);
        }
        tee
    }

    fn end(&mut self, whole: bool, broken: Option<(Outcome, String)>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let (copy, claimed) = self.copy.finish(whole);
        self.call.response_over(copy, claimed, broken);
        if let Some(lease) = self.lease.take()
            && whole
            && self.call.may_reuse()
        {
            lease.give_back();
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.reset();
                if let Some(data) = frame.data_ref() {
                    self.copy.frame(data, &self.call.route);
                }
                if frame.is_trailers() || self.body.is_end_stream() {
                    self.end(true, None);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.end(true, None);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let why = "upstream_aborted: the model server broke its answer off".to_owned();
                self.end(false, Some((Outcome::UpstreamAborted, why)));
                Poll::Ready(Some(Err(Broken::Upstream(error))))
            }
            Poll::Pending => match self.idle.poll(cx) {
                Poll::Ready(()) => {
                    let why = "upstream_timeout: the model server stopped in the middle of its answer".to_owned();
                    self.end(false, Some((Outcome::UpstreamTimeout, why)));
                    Poll::Ready(Some(Err(Broken::Idle)))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl Drop for ResponseTee {
    fn drop(&mut self) {
        self.end(false, None);
    }
}
