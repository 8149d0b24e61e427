//! The data port: one thread accepts and hands each connection to the worker with the fewest.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::HeaderValue;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::clock::{self, TICK};
use super::connection::{self, Phase};
use super::forward::{Client, Shared};
use super::{StartError, pool};

/// Connections that the kernel has taken and weir not yet.
const BACKLOG: i32 = 1024;
/// Accepted connections on their way to a worker.
const HANDED_MAX: usize = 256;
/// Pause after a failed accept (no file descriptors left, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Ticks between two looks at idle upstream connections.
const SWEEP_TICKS: u32 = 20;
/// How long a worker waits for tasks that were told to end.
const CUT_TIME: Duration = Duration::from_secs(1);

/// A connection on its way from the acceptor to a worker.
struct Handed {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    open: Counted,
}

/// One open connection: its place under the cap, and one of its worker's count.
struct Counted {
    shared: Arc<Shared>,
    worker: Arc<AtomicUsize>,
    gone: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Counted {
    fn new(shared: &Arc<Shared>, worker: &Worker, permit: OwnedSemaphorePermit) -> Counted {
        worker.open.fetch_add(1, Ordering::Relaxed);
        shared.meters.connections(1);
        Counted { shared: shared.clone(), worker: worker.open.clone(), gone: worker.gone.clone(), _permit: permit }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.fetch_sub(1, Ordering::Relaxed);
        self.shared.meters.connections(-1);
        self.gone.notify_one();
    }
}

/// The acceptor's view of a worker.
struct Worker {
    open: Arc<AtomicUsize>,
    gone: Arc<Notify>,
    connections: mpsc::Sender<Handed>,
}

/// The threads of a gateway. Told to stop by `until`: open requests may run to that moment.
pub(super) struct Threads {
    acceptor: JoinHandle<()>,
    workers: Vec<JoinHandle<usize>>,
}

impl Threads {
    /// Waits for all threads to end. Returns how many requests were cut.
    pub(super) fn join(self) -> usize {
        let mut abandoned = 0;
        if self.acceptor.join().is_err() {
            tracing::error!("the thread weir-accept panicked");
        }
        for worker in self.workers {
            match worker.join() {
                Ok(cut) => abandoned += cut,
                Err(_) => tracing::error!("a data thread panicked"),
            }
        }
        abandoned
    }
}

/// Binds the data port.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = || -> std::io::Result<TcpListener> {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM.cloexec(),
            Some(socket2::Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bound().map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => StartError::InUse { address },
        _ => StartError::Bind { address, source },
    })
}

/// Starts the acceptor and `count` workers.
pub(super) fn start(
    listener: TcpListener,
    shared: &Arc<Shared>,
    count: usize,
    until: &watch::Receiver<Option<Instant>>,
) -> Result<Threads, StartError> {
    let mut workers = Vec::with_capacity(count);
    let mut handles = Vec::with_capacity(count);
    for number in 0..count {
        let runtime = runtime()?;
        let (connections, handed) = mpsc::channel(HANDED_MAX);
        let worker = Worker { open: Arc::new(AtomicUsize::new(0)), gone: Arc::new(Notify::new()), connections };
        let (open, gone, until) = (worker.open.clone(), worker.gone.clone(), until.clone());
        let shared = shared.clone();
        handles.push(spawn(format!("weir-data-{number}"), move || {
            let abandoned = runtime.block_on(work(&shared, handed, &open, &gone, &until));
            // A name look-up that hangs must not hold the stop.
            runtime.shutdown_timeout(CUT_TIME);
            abandoned
        })?);
        workers.push(worker);
    }
    let runtime = runtime()?;
    let (shared, until) = (shared.clone(), until.clone());
    let acceptor =
        spawn("weir-accept".to_owned(), move || runtime.block_on(accept(listener, &shared, &workers, until)))?;
    Ok(Threads { acceptor, workers: handles })
}

fn runtime() -> Result<Runtime, StartError> {
    Builder::new_current_thread().enable_all().build().map_err(|source| StartError::Thread { source })
}

fn spawn<T: Send + 'static>(
    name: String,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, StartError> {
    std::thread::Builder::new().name(name).spawn(run).map_err(|source| StartError::Thread { source })
}

async fn accept(
    listener: TcpListener,
    shared: &Arc<Shared>,
    workers: &[Worker],
    mut until: watch::Receiver<Option<Instant>>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "cannot watch the data port");
            return;
        }
    };
    let room = Arc::new(Semaphore::new(shared.listen.connections_max));
    loop {
        let permit = tokio::select! {
            biased;
            _ = until.changed() => break,
            permit = room.clone().acquire_owned() => permit.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            biased;
            _ = until.changed() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => hand(stream, peer, permit, shared, workers).await,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Who has connected already may have sent a request: closed unread, it would see a reset.
    while let (Ok(permit), Some(Ok((stream, peer)))) =
        (room.clone().try_acquire_owned(), listener.accept().now_or_never())
    {
        hand(stream, peer, permit, shared, workers).await;
    }
}

async fn hand(
    stream: TcpStream,
    peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    shared: &Arc<Shared>,
    workers: &[Worker],
) {
    let worker = workers.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed)).expect("there is a worker");
    let open = Counted::new(shared, worker, permit);
    let stream = stream.set_nodelay(true).and_then(|()| stream.into_std());
    match stream {
        // It fails only if the worker has panicked; the connection is closed then.
        Ok(stream) => drop(worker.connections.send(Handed { stream, peer, open }).await),
        Err(error) => tracing::debug!(%error, "a connection broke before it was served"),
    }
}

/// A worker's life. Returns how many requests were in flight when the time was up.
async fn work(
    shared: &Arc<Shared>,
    mut handed: mpsc::Receiver<Handed>,
    open: &AtomicUsize,
    gone: &Notify,
    until: &watch::Receiver<Option<Instant>>,
) -> usize {
    let http = connection::builder(&shared.listen);
    // Ends with the runtime.
    let _ticker = tokio::spawn(tick());
    while let Some(Handed { stream, peer, open }) = handed.recv().await {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot watch a connection");
                continue;
            }
        };
        let address = peer.ip().to_canonical();
        let address_text = HeaderValue::from_str(&address.to_string()).expect("an address is a header value");
        let client = Client { shared: shared.clone(), address, address_text };
        let http = http.clone();
        tokio::spawn(async move {
            connection::serve(http, stream, client).await;
            drop(open);
        });
    }
    // The acceptor is gone: this is the stop.
    let deadline = until.borrow().unwrap_or_else(Instant::now);
    connection::enter(Phase::Drain);
    let drained = async {
        while open.load(Ordering::Relaxed) > 0 {
            gone.notified().await;
        }
    };
    if tokio::time::timeout_at(deadline.into(), drained).await.is_ok() {
        return 0;
    }
    let (_, busy) = connection::enter(Phase::Cut);
    let ended = async {
        while open.load(Ordering::Relaxed) > 0 {
            gone.notified().await;
        }
    };
    if tokio::time::timeout(CUT_TIME, ended).await.is_err() {
        tracing::warn!("connections did not end when they were cut");
    }
    busy
}

/// Keeps a worker's clock, and closes what is overdue.
async fn tick() {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0_u32;
    loop {
        interval.tick().await;
        let now = clock::tick();
        connection::wake_overdue(now);
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(SWEEP_TICKS) {
            pool::sweep(now);
        }
    }
}
