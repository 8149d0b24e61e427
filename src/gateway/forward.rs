//! The life of one request: seen, admitted, forwarded, answered. Bodies stream; nothing here waits for a recorder.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Request, Response, StatusCode, Uri, Version, request};
use hyper::body::{Body, Incoming};
use uuid::Uuid;

use super::answer::Failure;
use super::call::{Call, Fault, Record};
use super::clock::{self, Sleep};
use super::connection::Busy;
use super::exchange::Keep;
use super::feedback::{self, Posting, TakeFeedback};
use super::headers::{self, Additions, Seen, WEIR_ID, Wish};
use super::ids;
use super::pool::{self, Lease};
use super::route::{RouteState, Table, can_escape};
use super::tee::{AnswerBody, RequestTee, ResponseTee, linger};
use crate::config::Listen;
use crate::ledger::Ledger;
use crate::telemetry::Meters;

/// Requests that come back unsent are sent again at most this often: each time a pooled connection had just died.
const RESENDS_MAX: u32 = 8;

/// What all connections of a gateway share.
pub(super) struct Shared {
    pub(super) listen: Listen,
    pub(super) table: Table,
    pub(super) ledger: Ledger,
    pub(super) feedback: Option<Arc<dyn TakeFeedback>>,
    pub(super) meters: Meters,
    /// What this gateway says in `via`; nobody else's.
    pub(super) via: HeaderValue,
}

/// One client's connection, as far as a request needs to know it.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) shared: Arc<Shared>,
    pub(super) address: IpAddr,
    pub(super) address_text: HeaderValue,
}

/// The client is gone: there is nobody to answer. hyper closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the client left")]
pub(super) struct Left;

/// Serves one request. What has arrived is counted before the future is polled: if the client's side ends in the same
/// moment, hyper drops the future unpolled.
///
/// (A client that only shuts its sending side down looks exactly like one that has left, so it is taken for that.)
pub(super) fn serve(
    client: Client,
    request: Request<Incoming>,
    busy: Busy,
) -> impl Future<Output = Result<Response<AnswerBody>, Left>> {
    let begun = begin(&client.shared, request, busy);
    async move {
        match begun {
            Ok(begun) => proceed(&client, begun).await,
            Err(instead) => match *instead {
                Instead::Refused(answer) => Ok(answer),
                Instead::Feedback(posting) => Ok(Box::pin(feedback::serve(&client.shared, posting)).await),
            },
        }
    }
}

/// A request that has found its route.
struct Begun {
    head: request::Parts,
    body: Incoming,
    seen: Seen,
    id: Uuid,
    call: Arc<Call>,
    busy: Busy,
}

/// What becomes of a request that is not forwarded.
enum Instead {
    Refused(Response<AnswerBody>),
    Feedback(Posting),
}

/// Looks over the head and, if a route takes it, counts it; else what happens instead.
fn begin(shared: &Shared, request: Request<Incoming>, busy: Busy) -> Result<Begun, Box<Instead>> {
    let started = Instant::now();
    let (head, body) = request.into_parts();
    let absolute = head.uri.authority().is_some();
    let refused = |failure, body, busy| Err(Box::new(Instead::Refused(refuse(shared, failure, body, busy))));
    let seen = match headers::inspect(&head.method, head.version, absolute, &head.headers) {
        Ok(_) if can_escape(head.uri.path()) => {
            let why = "the path has `.` or `..` segments, or a zero byte";
            return refused(Failure::BadRequest(why), body, busy);
        }
        Ok(seen) if seen.via && headers::came_from(&shared.via, &head.headers) => {
            return refused(Failure::Loop, body, busy);
        }
        Ok(seen) => seen,
        Err(refusal) => return refused(refusal.into(), body, busy),
    };
    if let Some(route) = shared.table.feedback(head.uri.path()) {
        return Err(Box::new(Instead::Feedback(Posting { route: route.clone(), head, body, busy })));
    }
    let Some(route) = shared.table.find(head.uri.path()) else {
        return refused(Failure::NoRoute, body, busy);
    };
    busy.limit_writes(route.config.timeouts.idle);
    let predicts = route.predicts(&head.method, head.uri.path());
    // First of all, before anything can fail.
    let ticket = (predicts && route.captures).then(|| shared.ledger.see());
    let arrived_at_us = now_us();
    let id = ids::call_id(arrived_at_us);
    let wish = if route.config.capture.header_allowed { seen.wish } else { Wish::Nothing };
    let record = match (ticket, wish) {
        (None, _) => None,
        (Some(ticket), Wish::Off) => {
            ticket.unsampled();
            None
        }
        (Some(ticket), wish) => Some(Record {
            id,
            ticket,
            keep: if wish == Wish::Metadata { Keep::Metadata } else { Keep::Bodies },
            arrived_at_us,
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            request_headers: head.headers.clone(),
            tags: Vec::new(),
        }),
    };
    let call = Arc::new(Call::new(route.clone(), started, predicts, record));
    Ok(Begun { head, body, seen, id, call, busy })
}

async fn proceed(client: &Client, begun: Begun) -> Result<Response<AnswerBody>, Left> {
    let Begun { mut head, body, seen, id, call, busy } = begun;
    let route = call.route.clone();
    let id_text = ids::header(id);
    let add = Additions {
        client: client.address,
        client_text: &client.address_text,
        host: &route.host,
        request_id: &id_text,
        via: &client.shared.via,
    };
    let tags = headers::to_upstream(&mut head.headers, seen, &add);
    if !tags.is_empty() {
        call.tagged(tags);
    }
    let answered = forward(&client.shared, &call, head, body, seen).await;
    let mut response = match answered {
        Ok((response, lease, reusable)) => {
            response.map(|body| AnswerBody::model(ResponseTee::new(body, call, lease, reusable), busy))
        }
        Err(Stop::Left) => return Err(Left),
        Err(Stop::Answer(failure)) => {
            call.refused(&failure);
            made(&failure, id, Some(call), busy)
        }
    };
    if route.captures {
        response.headers_mut().insert(WEIR_ID, id_text);
    }
    Ok(response)
}

/// Why a request was not answered by the model.
enum Stop {
    /// By the client's doing; nobody is there to answer.
    Left,
    Answer(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Answer(failure)
    }
}

/// Refuses before a route: counted, and not a call.
fn refuse(shared: &Shared, failure: Failure, body: Incoming, busy: Busy) -> Response<AnswerBody> {
    shared.meters.refused(match &failure {
        Failure::NoRoute => "no_route",
        Failure::Loop => "loop",
        Failure::NotForwarded(_) => "upgrade",
        _ => "bad_request",
    });
    if !matches!(failure, Failure::NotForwarded(_)) {
        linger(body);
    }
    made(&failure, ids::call_id(now_us()), None, busy)
}

/// The wall clock, microseconds since the epoch.
pub(super) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_micros() as i64)
}

pub(super) fn made(failure: &Failure, id: Uuid, call: Option<Arc<Call>>, busy: Busy) -> Response<AnswerBody> {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    let text: &str = id.hyphenated().encode_lower(&mut text);
    failure.response(text).map(|body: Bytes| AnswerBody::made(body, call, busy))
}

/// Admits and forwards; the answer's head, with the connection that its body comes on and whether that may be kept.
async fn forward(
    shared: &Shared,
    call: &Arc<Call>,
    head: request::Parts,
    body: Incoming,
    seen: Seen,
) -> Result<(Response<Incoming>, Lease, bool), Stop> {
    let route = &call.route;
    let bytes_max = shared.listen.body_bytes_max;
    let declared = body.size_hint().exact().unwrap_or(0);
    // From here on the tee holds the body, and reads it out for the client's sake if it is refused.
    let tee = RequestTee::new(body, call.clone(), bytes_max, shared.listen.body_idle, seen.expect);
    if declared > bytes_max {
        return Err(Failure::BodyTooLarge { bytes_max }.into());
    }
    let slot = route.gate.admit().ok_or(Failure::Overloaded)?;
    call.admitted(slot);
    let mut request = Request::new(tee);
    *request.uri_mut() = upstream_uri(route, &head.uri)?;
    *request.method_mut() = head.method;
    *request.headers_mut() = head.headers;

    let mut resends = 0;
    loop {
        let mut lease = match pool::take(route) {
            Some(lease) => lease,
            None => connect(call).await?,
        };
        call.attempted();
        let (mut parts, response) = match send(call, &mut lease, request).await {
            Sent::Answer(response) => response.into_parts(),
            Sent::Back(back) if resends < RESENDS_MAX => {
                resends += 1;
                request = back;
                continue;
            }
            Sent::Back(_) => return Err(Failure::UpstreamAborted("closes connections at once".to_owned()).into()),
            Sent::Failed(error) => return Err(stopped(call, bytes_max, &error)),
            Sent::Late => return Err(Failure::UpstreamTimeout.into()),
        };
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::UpstreamAborted("switched protocols unasked".to_owned()).into());
        }
        if !headers::is_framing_known(&parts.headers) {
            let why = "answered in a transfer coding that is not `chunked` alone";
            return Err(Failure::UpstreamAborted(why.to_owned()).into());
        }
        call.answered(parts.status, &parts.headers);
        // After an error of its own a server may close without saying so (uvicorn does): the next request would meet it.
        let reusable = headers::to_client(&mut parts.headers) && !parts.status.is_server_error();
        parts.version = Version::HTTP_11;
        // A refusal before the end of the upload: what is still to come would only meet a closed door.
        if !call.upload_ended() && parts.status.as_u16() >= 400 {
            call.stop_upload();
        }
        return Ok((Response::from_parts(parts, response), lease, reusable));
    }
}

/// In origin form, whatever form the client used.
fn upstream_uri(route: &RouteState, asked: &Uri) -> Result<Uri, Stop> {
    let path = asked.path_and_query().and_then(|path| route.upstream_path(path));
    path.map(Uri::from).ok_or_else(|| Failure::BadRequest("the path cannot be forwarded").into())
}

async fn connect(call: &Arc<Call>) -> Result<Lease, Stop> {
    let mut tries = 0;
    loop {
        match pool::connect(&call.route).await {
            Ok(lease) => return Ok(lease),
            Err(why) => {
                call.attempted();
                tries += 1;
                if tries > call.route.config.retry_connect {
                    tracing::debug!(route = call.route.config.name, why, "cannot connect to the model server");
                    return Err(Failure::UpstreamConnect(why).into());
                }
            }
        }
    }
}

#[expect(clippy::large_enum_variant, reason = "moved once, at once; a box would be an allocation a request")]
enum Sent {
    Answer(Response<Incoming>),
    /// Nothing was written: it may be sent again.
    Back(Request<RequestTee>),
    Failed(hyper::Error),
    /// No head came in time.
    Late,
}

/// Sends and waits for the answer's head. The clock starts over while the upload moves.
async fn send(call: &Call, lease: &mut Lease, request: Request<RequestTee>) -> Sent {
    let limit = call.route.config.timeouts.first_byte;
    let mut sending = std::pin::pin!(lease.send(request));
    let mut sleep = Sleep::new(limit);
    std::future::poll_fn(|cx| {
        match sending.as_mut().poll(cx) {
            Poll::Ready(Ok(response)) => return Poll::Ready(Sent::Answer(response)),
            Poll::Ready(Err(mut error)) => {
                return Poll::Ready(match error.take_message() {
                    Some(back) => Sent::Back(back),
                    None => Sent::Failed(error.into_error()),
                });
            }
            Poll::Pending => {}
        }
        match sleep.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if clock::now() < call.upload_moved_at() + limit => sleep.poll(cx).map(|()| Sent::Late),
            Poll::Ready(()) => Poll::Ready(Sent::Late),
        }
    })
    .await
}

/// Whose doing it is that the exchange ended without an answer.
fn stopped(call: &Call, bytes_max: u64, error: &hyper::Error) -> Stop {
    match call.fault() {
        Some(Fault::Left) => Stop::Left,
        Some(Fault::TooLarge) => Failure::BodyTooLarge { bytes_max }.into(),
        Some(Fault::Idle) => Failure::BodyTimeout.into(),
        Some(Fault::Malformed) => Failure::BadRequest("the framing of the request body is broken").into(),
        None => Failure::UpstreamAborted(broken_off(error)).into(),
    }
}

/// What the model server did instead of answering.
fn broken_off(error: &hyper::Error) -> String {
    if error.is_parse_too_large() {
        "sent an answer that cannot be taken: its head is too large".to_owned()
    } else if error.is_parse() {
        "did not answer in HTTP/1.1".to_owned()
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() || is_disconnect(error) {
        "closed the connection before it answered".to_owned()
    } else {
        format!("could not be talked to: {error}")
    }
}

/// Whether the connection ended under the exchange, at whichever call it was noticed.
fn is_disconnect(error: &hyper::Error) -> bool {
    let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    kind.is_some_and(|kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
                | io::ErrorKind::UnexpectedEof
        )
    })
}
