//! One client connection: hyper's HTTP/1.1 server with the deadlines and the stop that it does not have.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::clock;
use super::forward::{self, Client};
use crate::config::Listen;

/// How long a connection may be idle between two requests: longer than load balancers keep theirs, so that they close
/// first.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take nothing of an answer that waits for it, where no route says otherwise (`timeouts.idle`).
const WRITE_IDLE: Duration = Duration::from_secs(60);

/// What a worker's connections are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serve,
    /// Finish what is in flight, take nothing new.
    Drain,
    /// End now.
    Cut,
}

thread_local! {
    static OPEN: Open = const { Open {
        phase: Cell::new(Phase::Serve),
        places: RefCell::new(Vec::new()),
        free: RefCell::new(Vec::new()),
    } };
}

/// An open connection and how its task is woken; `None` where a place is free.
type Watched = Option<(Waker, Arc<State>)>;

/// The open connections of this worker.
struct Open {
    phase: Cell<Phase>,
    places: RefCell<Vec<Watched>>,
    free: RefCell<Vec<usize>>,
}

/// Tells all connections of this worker. Returns how many are open and how many of them have a request in flight.
pub(super) fn enter(phase: Phase) -> (usize, usize) {
    OPEN.with(|open| {
        open.phase.set(phase);
        let wakers: Vec<Waker> = open.places.borrow().iter().flatten().map(|(waker, _)| waker.clone()).collect();
        wakers.into_iter().for_each(Waker::wake);
        let places = open.places.borrow();
        let busy = places.iter().flatten().filter(|(_, state)| state.is_busy()).count();
        (places.iter().flatten().count(), busy)
    })
}

/// Wakes the connections whose deadline has passed.
pub(super) fn wake_overdue(now: Instant) {
    let overdue: Vec<Waker> = OPEN.with(|open| {
        let places = open.places.borrow();
        places.iter().flatten().filter(|(_, state)| state.is_overdue(now)).map(|(waker, _)| waker.clone()).collect()
    });
    overdue.into_iter().for_each(Waker::wake);
}

/// What one connection is doing. Touched by its worker only.
pub(super) struct State {
    busy: AtomicUsize,
    /// A head has begun to arrive.
    reading: AtomicBool,
    /// The last read found nothing. hyper reads ahead of a request in flight only while its buffer is empty: so at the
    /// end of an answer this says whether the next head has begun in the buffer already.
    drained: AtomicBool,
    /// The last write did not go through: the client has not read everything yet.
    unwritten: AtomicBool,
    /// The client speaks HTTP/1.0: to it, the end of the connection is the end of an answer.
    ends_by_close: AtomicBool,
    deadline: Deadline,
    /// Set while a write waits for the client: hyper asks the answer's body for nothing meanwhile, so that none of its
    /// own deadlines runs.
    write_deadline: Deadline,
    write_limit: Mutex<Duration>,
    header_timeout: Duration,
}

/// A moment at which a connection is looked at, or none.
struct Deadline(Mutex<Option<Instant>>);

impl Deadline {
    fn new(at: Option<Instant>) -> Deadline {
        Deadline(Mutex::new(at))
    }

    fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Sets it if it is not set: what it bounds began earlier.
    fn start(&self, limit: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| clock::deadline(limit));
    }

    fn is_over(&self, now: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|at| at <= now)
    }
}

impl State {
    fn new(header_timeout: Duration) -> State {
        State {
            busy: AtomicUsize::new(0),
            reading: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            unwritten: AtomicBool::new(false),
            ends_by_close: AtomicBool::new(false),
            deadline: Deadline::new(Some(clock::deadline(header_timeout))),
            write_deadline: Deadline::new(None),
            write_limit: Mutex::new(WRITE_IDLE),
            header_timeout,
        }
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Whether the connection is to be looked at: a busy one has only the deadline of its writes.
    fn is_overdue(&self, now: Instant) -> bool {
        self.deadline.is_over(now) || self.is_unread(now)
    }

    /// The client has taken nothing of its answer for too long.
    fn is_unread(&self, now: Instant) -> bool {
        self.write_deadline.is_over(now)
    }

    /// A write has moved, or has to wait for the client.
    fn wrote(&self, waits: bool) {
        if self.unwritten.swap(waits, Ordering::Relaxed) && !waits {
            self.write_deadline.set(None);
        }
        if waits {
            self.write_deadline.start(*self.write_limit.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Nothing in flight and nothing left to write: it can be closed without anybody missing a byte.
    fn is_settled(&self) -> bool {
        !self.is_busy() && !self.unwritten.load(Ordering::Relaxed)
    }
}

/// A request in flight on a connection, from its head to the end of its answer.
pub(super) struct Busy {
    state: Arc<State>,
}

impl Busy {
    fn enter(state: &Arc<State>) -> Busy {
        state.busy.fetch_add(1, Ordering::Relaxed);
        state.reading.store(false, Ordering::Relaxed);
        state.deadline.set(None);
        Busy { state: state.clone() }
    }

    /// How long the client may take nothing of the answer.
    pub(super) fn limit_writes(&self, limit: Duration) {
        *self.state.write_limit.lock().unwrap_or_else(PoisonError::into_inner) = limit;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.state.busy.fetch_sub(1, Ordering::Relaxed);
        let begun = !self.state.drained.load(Ordering::Relaxed);
        self.state.reading.store(begun, Ordering::Relaxed);
        let limit = if begun { self.state.header_timeout } else { KEEP_ALIVE };
        self.state.deadline.set(Some(clock::deadline(limit)));
    }
}

/// The socket, watched: when a head begins, and whether everything is written.
struct Wire {
    inner: TokioIo<TcpStream>,
    state: Arc<State>,
}

impl Wire {
    fn wrote<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.state.wrote(polled.is_pending());
        polled
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.state.drained.store(polled.is_pending(), Ordering::Relaxed);
        if polled.is_ready() && !self.state.is_busy() && !self.state.reading.swap(true, Ordering::Relaxed) {
            self.state.deadline.set(Some(clock::deadline(self.state.header_timeout)));
        }
        polled
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(polled)
    }
}

/// A connection's place in [`OPEN`].
struct Place {
    at: Option<usize>,
    state: Arc<State>,
}

impl Place {
    fn watch(&mut self, waker: &Waker) {
        OPEN.with(|open| {
            let mut places = open.places.borrow_mut();
            match self.at {
                Some(at) => {
                    if let Some(Some((known, _))) = places.get_mut(at) {
                        known.clone_from(waker);
                    }
                }
                None => {
                    let entry = Some((waker.clone(), self.state.clone()));
                    let free = open.free.borrow_mut().pop();
                    let at = free.unwrap_or(places.len());
                    if at == places.len() {
                        places.push(entry);
                    } else {
                        places[at] = entry;
                    }
                    self.at = Some(at);
                }
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(at) = self.at else { return };
        let _gone = OPEN.try_with(|open| {
            open.places.borrow_mut()[at] = None;
            open.free.borrow_mut().push(at);
        });
    }
}

/// hyper's settings for all connections of a gateway.
pub(super) fn builder(listen: &Listen) -> http1::Builder {
    /// The least that hyper takes.
    const BUFFER_BYTES_MIN: u64 = 8 * 1024;
    /// What hyper parses without the heap.
    const HEADERS_INLINE: usize = 100;
    let mut builder = http1::Builder::new();
    let head_bytes = usize::try_from(listen.header_bytes_max).unwrap_or(usize::MAX);
    let buffer_bytes = usize::try_from(listen.header_bytes_max.max(BUFFER_BYTES_MIN)).unwrap_or(usize::MAX);
    builder.max_buf_size(buffer_bytes).max_header_size(head_bytes);
    if listen.headers_max != HEADERS_INLINE {
        builder.max_headers(listen.headers_max);
    }
    // The deadlines of a head are kept here: hyper's would also end a connection that is only idle.
    builder.header_read_timeout(None).timer(hyper_util::rt::TokioTimer::new());
    builder
}

/// Serves one connection to its end.
pub(super) async fn serve(http: http1::Builder, stream: TcpStream, client: Client) {
    let state = Arc::new(State::new(client.shared.listen.header_timeout));
    let meters = client.shared.meters.clone();
    let wire = Wire { inner: TokioIo::new(stream), state: state.clone() };
    let service_state = state.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let busy = Busy::enter(&service_state);
        service_state.ends_by_close.store(request.version() < http::Version::HTTP_11, Ordering::Relaxed);
        forward::serve(client.clone(), request, busy)
    });
    let mut connection = http.serve_connection(wire, service);
    let mut place = Place { at: None, state: state.clone() };
    let (mut draining, mut unread) = (false, false);
    let ended = std::future::poll_fn(|cx| {
        place.watch(cx.waker());
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(Some(ended));
        }
        match OPEN.with(|open| open.phase.get()) {
            Phase::Serve => {}
            Phase::Cut => return Poll::Ready(None),
            Phase::Drain => {
                if !std::mem::replace(&mut draining, true) {
                    Pin::new(&mut connection).graceful_shutdown();
                    if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                        return Poll::Ready(Some(ended));
                    }
                }
                if state.is_settled() {
                    return Poll::Ready(None);
                }
            }
        }
        if state.is_unread(clock::now()) {
            unread = true;
            return Poll::Ready(None);
        }
        if !state.is_busy() && state.is_overdue(clock::now()) {
            if state.reading.load(Ordering::Relaxed) {
                meters.refused("header_timeout");
            }
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await;
    let looks_whole = state.ends_by_close.load(Ordering::Relaxed) && (matches!(ended, Some(Err(_))) || state.is_busy());
    if looks_whole || unread {
        // Closed in the ordinary way, a broken answer would look whole, and an unread one would stay in the kernel.
        let wire = connection.into_parts().io;
        if let Err(error) = socket2::SockRef::from(wire.inner.inner()).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "cannot reset a client's connection");
        }
    }
    if let Some(Err(error)) = ended {
        if error.is_parse_too_large() {
            meters.refused("header_too_large");
        } else if error.is_parse() {
            meters.refused("bad_request");
        }
        tracing::debug!(%error, "a client's connection ended");
    }
}
