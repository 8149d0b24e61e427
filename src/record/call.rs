//! The part of an exchange that is recorded, without what must be settled or released.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use uuid::Uuid;

use crate::config::Route;
use crate::gateway::exchange::{Captured, Exchange, Keep, Origin, Outcome, Permit, Timings};
use crate::ledger::Ticket;

/// An [`Exchange`] without its ticket and its permit. The fields are the exchange's.
pub struct Call {
    pub id: Uuid,
    pub route: Arc<Route>,
    pub keep: Keep,
    pub arrived_at_us: i64,
    pub method: Method,
    pub path: String,
    pub request_headers: HeaderMap,
    pub request: Captured,
    pub status: Option<StatusCode>,
    pub response_headers: HeaderMap,
    pub response: Captured,
    pub outcome: Outcome,
    pub origin: Origin,
    pub error: Option<String>,
    pub attempts: u32,
    pub upstream: Option<Arc<str>>,
    pub timings: Timings,
    pub tags: Vec<(String, String)>,
}

impl Call {
    /// Parts an exchange into what is recorded, what is settled, and what is released when the record is made.
    pub fn part(exchange: Exchange) -> (Call, Ticket, Permit) {
        let call = Call {
            id: exchange.id,
            route: exchange.route,
            keep: exchange.keep,
            arrived_at_us: exchange.arrived_at_us,
            method: exchange.method,
            path: exchange.path,
            request_headers: exchange.request_headers,
            request: exchange.request,
            status: exchange.status,
            response_headers: exchange.response_headers,
            response: exchange.response,
            outcome: exchange.outcome,
            origin: exchange.origin,
            error: exchange.error,
            attempts: exchange.attempts,
            upstream: exchange.upstream,
            timings: exchange.timings,
            tags: exchange.tags,
        };
        (call, exchange.ticket, exchange.permit)
    }

    /// Whether the model answered that it did what it was asked for.
    pub fn succeeded(&self) -> bool {
        self.origin == Origin::Model && self.status.is_some_and(|status| status.is_success())
    }

    /// Whether there is an answer that can hold outputs.
    pub fn answered(&self) -> bool {
        self.status.is_some_and(|status| status.as_u16() < 400)
    }
}
