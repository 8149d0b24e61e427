//! Connections to the model servers: per worker and route a stack of idle ones, the last used on top. No lock: a
//! worker's pool is its thread's own. HTTP/1.1 for now; nothing outside this file knows.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::clock;
use super::route::RouteState;
use super::tee::RequestTee;

/// Idle connections kept per route and worker.
const IDLE_MAX: usize = 64;
/// Age at which a connection is not reused: addresses behind a name change.
const AGE_MAX: Duration = Duration::from_secs(300);
/// Bytes of an answer's head, and of what is read ahead of the client.
const BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Fields of an answer's head: more than any server sends by design.
const HEADERS_MAX: usize = 500;

thread_local! {
    static IDLE: RefCell<Vec<Vec<Idle>>> = const { RefCell::new(Vec::new()) };
}

struct Link {
    sender: SendRequest<RequestTee>,
    /// Ends the connection's task, whatever it is in the middle of.
    task: AbortHandle,
    born: Instant,
}

struct Idle {
    link: Link,
    since: Instant,
    idle_max: Duration,
}

impl Idle {
    fn is_usable(&self, now: Instant) -> bool {
        !self.link.sender.is_closed()
            && now.saturating_duration_since(self.since) < self.idle_max
            && now.saturating_duration_since(self.link.born) < AGE_MAX
    }
}

/// A connection in use by one exchange. Dropped, it is closed; [`Lease::give_back`] keeps it.
pub(super) struct Lease {
    link: Option<Link>,
    route: Arc<RouteState>,
}

/// Takes the last used connection that is still alive.
pub(super) fn take(route: &Arc<RouteState>) -> Option<Lease> {
    let now = clock::now();
    IDLE.with_borrow_mut(|pools| {
        let stack = pools.get_mut(route.index)?;
        let mut at = stack.len();
        while at > 0 {
            at -= 1;
            if !stack[at].is_usable(now) {
                stack.remove(at);
            } else if stack[at].link.sender.is_ready() {
                let link = stack.remove(at).link;
                return Some(Lease { link: Some(link), route: route.clone() });
            }
        }
        None
    })
}

/// Opens a connection.
pub(super) async fn connect(route: &Arc<RouteState>) -> Result<Lease, String> {
    let limit = route.config.timeouts.connect;
    let stream = clock::within(limit, TcpStream::connect(&*route.authority))
        .await
        .map_err(|clock::Elapsed| format!("no connection to {} within {limit:?}", route.authority))?
        .map_err(|error| format!("{}: {error}", route.authority))?;
    stream.set_nodelay(true).map_err(|error| format!("{}: {error}", route.authority))?;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("{}: {error}", route.authority))?;
    // Owned by the worker's runtime; ends with the lease, with the pool, or by itself when the server closes.
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a model server ended");
        }
    });
    let link = Link { sender, task: task.abort_handle(), born: clock::now() };
    Ok(Lease { link: Some(link), route: route.clone() })
}

/// Closes what has been idle for too long.
pub(super) fn sweep(now: Instant) {
    IDLE.with_borrow_mut(|pools| {
        for stack in pools {
            stack.retain(|idle| idle.is_usable(now));
        }
    });
}

impl Lease {
    /// Sends a request. It comes back in the error if nothing of it was written.
    pub(super) fn send(
        &mut self,
        request: Request<RequestTee>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestTee>>>> + use<> {
        self.link.as_mut().expect("a lease has its connection until it is given back").sender.try_send_request(request)
    }

    /// Keeps the connection for another request.
    pub(super) fn give_back(mut self) {
        let Some(link) = self.link.take() else { return };
        if link.sender.is_closed() {
            return;
        }
        let idle = Idle { link, since: clock::now(), idle_max: self.route.config.timeouts.pool_idle };
        // The last answers may be dropped when the worker's thread is already past its pool.
        let _gone = IDLE.try_with(|pools| {
            let mut pools = pools.borrow_mut();
            let index = self.route.index;
            if pools.len() <= index {
                pools.resize_with(index + 1, Vec::new);
            }
            if pools[index].len() >= IDLE_MAX {
                pools[index].remove(0);
            }
            pools[index].push(idle);
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.task.abort();
        }
    }
}
