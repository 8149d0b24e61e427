//! The data port: requests in, the model's answers out, untouched; beside them one [`Exchange`](exchange::Exchange) for
//! every call, offered once.
//!
//! A request is accepted (`listen`), looked over (`headers`), given a route (`route`), counted as seen if it
//! predicts, admitted (`admit`) and forwarded (`forward`) on a connection of the worker's own (`pool`). Both
//! bodies stream through a tee (`tee`) that keeps a capped copy within one byte budget (`budget`). What is measured
//! on the way meets in a `call::Call`, which becomes the exchange when the last part of it is let go.
//!
//! A request at a route's feedback path goes no further than `feedback`: its body is handed on as it is, and the answer waits
//! for the log, for that is what its client asks.
//!
//! Nothing else here waits for a recorder; nothing parses a body, or knows Kafka.

mod admit;
mod answer;
mod budget;
mod call;
mod clock;
mod connection;
mod copy;
pub mod exchange;
pub mod feedback;
mod forward;
mod headers;
mod ids;
mod listen;
mod pool;
mod route;
mod tee;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::{Listen, Route};
use crate::ledger::Ledger;
use crate::telemetry::Meters;
use budget::Budget;
use exchange::Offer;
use feedback::TakeFeedback;
use forward::Shared;
pub use route::forwarded_path;
use route::{RouteState, Table};

/// What a gateway works with.
pub struct Parts {
    pub ledger: Ledger,
    /// Takes every call's exchange; the handoff.
    pub offer: Arc<dyn Offer>,
    /// Takes what is posted at feedback paths; `None`: no route names one.
    pub feedback: Option<Arc<dyn TakeFeedback>>,
    pub meters: Meters,
    /// Bytes of all body copies together, in flight and waiting (`memory.capture`).
    pub capture_bytes: u64,
    /// Data threads, each with its own runtime; at least one is started.
    pub workers: usize,
}

/// Data threads for a machine: one core is left for everything else.
pub fn workers_for(cores: usize) -> usize {
    cores.saturating_sub(1).max(1)
}

/// A running data port. Dropped, it is stopped at once.
pub struct Gateway {
    address: SocketAddr,
    shared: Arc<Shared>,
    budget: Budget,
    until: watch::Sender<Option<Instant>>,
    threads: Mutex<Option<listen::Threads>>,
}

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Connections whose request was cut because the time was up.
    pub abandoned: usize,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "cannot listen on {address}: another program uses this address; stop it, or set `listen.address` to a free one"
    )]
    InUse { address: SocketAddr },
    #[error("cannot listen on {address}; check `listen.address`")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("cannot start a data thread; check the limits of threads and open files (`ulimit -u -n`)")]
    Thread { source: std::io::Error },
    #[error("route `{route}`: `{authority}` cannot be sent as a host; write the upstream as http://host:port")]
    Route { route: String, authority: String },
}

impl Gateway {
    /// Binds the data port and serves it, on threads of its own. May be called from any thread.
    pub fn start(listen: Listen, routes: Vec<Arc<Route>>, parts: Parts) -> Result<Gateway, StartError> {
        let Parts { ledger, offer, feedback, meters, capture_bytes, workers } = parts;
        let budget = Budget::new(capture_bytes);
        let mut states = Vec::with_capacity(routes.len());
        for (index, route) in routes.into_iter().enumerate() {
            let route_meters = meters.route(&route.name);
            states.push(Arc::new(RouteState::new(index, route, route_meters, offer.clone(), budget.clone())?));
        }
        let listener = listen::bind(listen.address)?;
        let address = listener.local_addr().map_err(|source| StartError::Bind { address: listen.address, source })?;
        let shared = Arc::new(Shared { listen, table: Table::new(states), ledger, feedback, meters, via: ids::via() });
        let (until, stopping) = watch::channel(None);
        let threads = listen::start(listener, &shared, workers.max(1), &stopping)?;
        Ok(Gateway { address, shared, budget, until, threads: Mutex::new(Some(threads)) })
    }

    /// The address that is listened on, with the port that the system chose if none was named.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests on all routes that were admitted and have not ended.
    pub fn in_flight(&self) -> usize {
        self.shared.table.in_flight()
    }

    /// Bytes of `memory.capture` that are free.
    pub fn capture_bytes_left(&self) -> u64 {
        self.budget.left()
    }

    /// Stops accepting, waits up to `within` for open requests, then cuts them. Idle connections are closed at once.
    /// When it returns, every call has been offered. A second call returns at once.
    pub fn stop(&self, within: Duration) -> Stopped {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(threads) = threads else { return Stopped { abandoned: 0 } };
        self.until.send_replace(Some(Instant::now() + within));
        Stopped { abandoned: threads.join() }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::route as test_route;
