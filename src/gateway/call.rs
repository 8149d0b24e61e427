//! One request on a route, from its head to its end: what is measured about it and, if it is a call, its record.
//!
//! The handler, the request's body and the answer's body share a [`Call`]; whoever lets go of it last ends it. So it
//! ends exactly once however the exchange went: answered, refused, cut by the upstream, or left by the client at any
//! moment (hyper then drops the handler or the bodies).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::{HeaderMap, Method, StatusCode};
use uuid::Uuid;

use super::admit::Slot;
use super::answer::Failure;
use super::clock;
use super::exchange::{Captured, Exchange, Keep, Kept, Origin, Outcome, Timings};
use super::route::RouteState;
use crate::ledger::Ticket;

/// What only a recorded call keeps.
pub(super) struct Record {
    pub(super) id: Uuid,
    pub(super) ticket: Ticket,
    pub(super) keep: Keep,
    pub(super) arrived_at_us: i64,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) request_headers: HeaderMap,
    pub(super) tags: Vec<(String, String)>,
}

/// What went wrong with the request's body while it was forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Longer than `listen.limits.body`.
    TooLarge,
    /// Nothing came for `listen.limits.body_idle`.
    Idle,
    /// Its framing is broken.
    Malformed,
    /// The client left in the middle of it.
    Left,
}

pub(super) struct Call {
    pub(super) route: Arc<RouteState>,
    pub(super) started: Instant,
    predicts: bool,
    /// What is copied of the bodies: nothing, if this is no call or the client asked.
    pub(super) copies: bool,
    upload_ended: AtomicBool,
    upload_unwanted: AtomicBool,
    connection_spent: AtomicBool,
    /// Milliseconds from `started` to the last piece of the request's body.
    upload_moved_ms: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    record: Option<Record>,
    slot: Option<Slot>,
    request: Captured,
    response: Captured,
    claimed_bytes: u64,
    response_headers: HeaderMap,
    status: Option<StatusCode>,
    outcome: Option<Outcome>,
    made: bool,
    error: Option<String>,
    attempts: u32,
    fault: Option<Fault>,
    sent_at: Option<Instant>,
    timings: Timings,
    measured: bool,
}

impl Call {
    pub(super) fn new(route: Arc<RouteState>, started: Instant, predicts: bool, record: Option<Record>) -> Call {
        Call {
            copies: record.as_ref().is_some_and(|record| record.keep == Keep::Bodies),
            route,
            started,
            predicts,
            upload_ended: AtomicBool::new(false),
            upload_unwanted: AtomicBool::new(false),
            connection_spent: AtomicBool::new(false),
            upload_moved_ms: AtomicU64::new(0),
            state: Mutex::new(State { record, ..State::default() }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tags, known only once the head has been stripped.
    pub(super) fn tagged(&self, tags: Vec<(String, String)>) {
        if let Some(record) = &mut self.state().record {
            record.tags = tags;
        }
    }

    pub(super) fn admitted(&self, slot: Slot) {
        self.state().slot = Some(slot);
    }

    /// A connect failed, or the request is about to be sent.
    pub(super) fn attempted(&self) {
        let mut state = self.state();
        state.attempts += 1;
        state.sent_at = Some(Instant::now());
    }

    /// weir answers (or would, were the client still there).
    pub(super) fn refused(&self, failure: &Failure) {
        let mut state = self.state();
        // The answer is ready and the model has no part in it any more; the record may still wait for its inputs.
        state.slot = None;
        state.timings.latency_us = micros_since(self.started);
        state.measured = true;
        state.outcome = Some(failure.outcome());
        state.error = Some(format!("{}: {}", failure.code(), failure.message()));
        if state.status.is_none() {
            state.status = Some(failure.status());
            state.made = true;
        }
    }

    /// The model's head came. Headers are kept as the model sent them, if this is recorded.
    pub(super) fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        let mut state = self.state();
        state.status = Some(status);
        state.timings.ttfb_us = state.sent_at.map(micros_since);
        if state.record.is_some() {
            state.response_headers = headers.clone();
        }
    }

    pub(super) fn upload_moved(&self) {
        let millis =
            u64::try_from(clock::now().saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX);
        self.upload_moved_ms.store(millis, Ordering::Relaxed);
    }

    /// When the last piece of the request's body was forwarded.
    pub(super) fn upload_moved_at(&self) -> Instant {
        self.started + std::time::Duration::from_millis(self.upload_moved_ms.load(Ordering::Relaxed))
    }

    pub(super) fn upload_ended(&self) -> bool {
        self.upload_ended.load(Ordering::Relaxed)
    }

    /// The model has refused early: the rest of the upload is not forwarded.
    pub(super) fn stop_upload(&self) {
        self.upload_unwanted.store(true, Ordering::Relaxed);
    }

    pub(super) fn upload_unwanted(&self) -> bool {
        self.upload_unwanted.load(Ordering::Relaxed)
    }

    /// The upstream connection carries no further request.
    pub(super) fn stop_reuse(&self) {
        self.connection_spent.store(true, Ordering::Relaxed);
    }

    /// Whether the upstream connection can carry another request: the whole of this one has gone over it.
    pub(super) fn may_reuse(&self) -> bool {
        self.upload_ended() && !self.connection_spent.load(Ordering::Relaxed)
    }

    /// The request's body is over, whole or not.
    pub(super) fn request_over(&self, copy: Captured, claimed_bytes: u64, fault: Option<Fault>) {
        self.upload_ended.store(copy.ended, Ordering::Relaxed);
        let mut state = self.state();
        state.request = copy;
        state.claimed_bytes += claimed_bytes;
        state.fault = fault;
        match fault {
            Some(Fault::Left) => {
                state.outcome.get_or_insert(Outcome::ClientAborted);
            }
            Some(fault) => {
                state.outcome.get_or_insert(Outcome::Refused);
                state.error.get_or_insert_with(|| format!("request body: {fault:?}"));
            }
            None => {}
        }
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.state().fault
    }

    /// The answer's body is over. `broken` says how, if it was not whole; `None` with an open end is the client's doing.
    pub(super) fn response_over(&self, copy: Captured, claimed_bytes: u64, broken: Option<(Outcome, String)>) {
        let mut state = self.state();
        state.timings.latency_us = micros_since(self.started);
        state.timings.upstream_us = state.sent_at.map(micros_since);
        state.measured = true;
        state.claimed_bytes += claimed_bytes;
        match broken {
            Some((outcome, error)) => {
                state.outcome.get_or_insert(outcome);
                state.error.get_or_insert(error);
            }
            None if copy.ended => {
                state.outcome.get_or_insert(Outcome::Complete);
            }
            None => {}
        }
        state.response = copy;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut timings = state.timings;
        if !state.measured {
            timings.latency_us = micros_since(self.started);
        }
        let status = state.status.map_or(0, |status| status.as_u16());
        // Exact enough: a request of 2^52 microseconds takes 140 years.
        self.route.meters.finished(status, timings.latency_us as f64 / 1e6, self.predicts);
        let permit = self.route.budget.permit(state.claimed_bytes);
        let Some(record) = state.record else { return };
        let (mut request, mut response) = (state.request, state.response);
        if record.keep == Keep::Metadata {
            (request.kept, response.kept) = (Kept::NotKept, Kept::NotKept);
        }
        self.route.offer.offer(Exchange {
            id: record.id,
            route: self.route.config.clone(),
            keep: record.keep,
            arrived_at_us: record.arrived_at_us,
            method: record.method,
            path: record.path,
            request_headers: record.request_headers,
            request,
            status: state.status,
            response_headers: state.response_headers,
            response,
            outcome: state.outcome.unwrap_or(Outcome::ClientAborted),
            origin: if state.made { Origin::Gateway } else { Origin::Model },
            error: state.error,
            attempts: state.attempts,
            upstream: (state.attempts > 0).then(|| self.route.authority.clone()),
            timings,
            tags: record.tags,
            ticket: record.ticket,
            permit,
        });
    }
}

fn micros_since(then: Instant) -> u64 {
    u64::try_from(then.elapsed().as_micros()).unwrap_or(u64::MAX)
}
