//! A network that breaks on demand: stands on a loopback port between weir and one service, and does to the bytes what the test says.
//!
//! For S3 the relay's address is the endpoint. A Kafka client goes where the broker sends it, so a broker has to advertise the relay:
//! [`Broker::behind`](super::kafka::Broker::behind).

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// Whether a piece of bytes from the client begins a request that a fault is meant for.
pub type Matches = fn(&[u8]) -> bool;

/// What the network does, to open connections and to new ones, until the test says otherwise.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Everything passes.
    None,
    /// Each piece waits this long, either way.
    Latency(Duration),
    /// Nothing moves and nobody is told. What was sent meanwhile arrives after the heal, as after lost packets.
    BlackHole,
    /// Connections are closed, new ones at once.
    Closed,
    /// The same by a reset.
    Reset,
    /// The service's side of each connection has ended: the client reads an end, what it sends still arrives, no answer comes back.
    HalfClosed,
    /// Requests arrive, answers vanish, the connections stay open until the heal.
    Mute,
    /// A request that matches is on its way until the heal, and arrives then; everything else passes.
    Hold(Matches),
    /// A request that matches arrives; its answer is swallowed and the connection closed in its place.
    DropAnswer(Matches),
    /// An HTTP request that matches is cut in its body, and its connection closed.
    CutRequest(Matches, Cut),
}

/// Where a request's body is cut.
#[derive(Debug, Clone, Copy)]
pub enum Cut {
    /// After its first byte.
    First,
    Half,
    /// Before its last byte.
    Last,
}

/// Every request.
pub fn any(_: &[u8]) -> bool {
    true
}

/// An HTTP PUT: to S3, a create.
pub fn put(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PUT ")
}

/// A PUT of a Parquet file.
pub fn put_parquet(bytes: &[u8]) -> bool {
    put(bytes) && first_line_has(bytes, b".parquet")
}

/// A part of a Parquet file.
pub fn put_part(bytes: &[u8]) -> bool {
    put_parquet(bytes) && first_line_has(bytes, b"partNumber=")
}

/// What makes a Parquet file of its parts.
pub fn complete_parts(bytes: &[u8]) -> bool {
    bytes.starts_with(b"POST ") && first_line_has(bytes, b".parquet?") && first_line_has(bytes, b"uploadId=")
}

fn first_line_has(bytes: &[u8], what: &[u8]) -> bool {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.windows(what.len()).any(|window| window == what)
}

/// A Produce request to Kafka: its key, 0, follows the length.
pub fn produce(bytes: &[u8]) -> bool {
    bytes.get(4..6) == Some(&[0, 0])
}

pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    ended: AtomicBool,
    hits: AtomicU64,
    connections: AtomicU64,
}

struct State {
    fault: Fault,
    /// `None`: not known yet; connections wait for it.
    target: Option<SocketAddr>,
    open: Vec<Arc<Connection>>,
}

struct Connection {
    client: TcpStream,
    service: TcpStream,
    /// Its pumps end at once and pass nothing on, not even the end.
    dead: AtomicBool,
    /// Its next answer is to be swallowed.
    doomed: AtomicBool,
    /// Bytes of it are gone: it ends at the heal, as no connection goes on without them.
    lost: AtomicBool,
}

impl Relay {
    /// A relay to a service that is known.
    pub fn to(target: SocketAddr) -> Relay {
        let relay = Relay::unset();
        relay.target(target);
        relay
    }

    /// A relay to a service that does not listen yet; see [`Relay::target`].
    pub fn unset() -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            state: Mutex::new(State { fault: Fault::None, target: None, open: Vec::new() }),
            changed: Condvar::new(),
            ended: AtomicBool::new(false),
            hits: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = accepting.clone();
                std::thread::spawn(move || shared.carry(client));
            }
        });
        Relay { address, shared }
    }

    pub fn target(&self, target: SocketAddr) {
        self.shared.state().target = Some(target);
        self.shared.changed.notify_all();
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As an endpoint of S3.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on the network does this.
    pub fn set(&self, fault: Fault) {
        let mut state = self.shared.state();
        state.fault = fault;
        let open = match fault {
            Fault::Closed | Fault::Reset => std::mem::take(&mut state.open),
            Fault::HalfClosed => state.open.clone(),
            _ => Vec::new(),
        };
        let (torn, whole) = std::mem::take(&mut state.open).into_iter().partition(|c| c.lost.load(Ordering::SeqCst));
        state.open = whole;
        drop(state);
        for connection in open {
            connection.suffer(fault);
            self.shared.hits.fetch_add(1, Ordering::SeqCst);
        }
        let torn: Vec<Arc<Connection>> = torn;
        torn.iter().for_each(|connection| connection.suffer(Fault::Closed));
        self.shared.changed.notify_all();
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.set(Fault::None);
    }

    /// Closes what is open; new connections live.
    pub fn cut(&self) {
        self.set(Fault::Closed);
        self.heal();
    }

    /// The same by resets.
    pub fn reset(&self) {
        self.set(Fault::Reset);
        self.heal();
    }

    /// Connections closed, answers swallowed, requests held and cut so far.
    pub fn hits(&self) -> u64 {
        self.shared.hits.load(Ordering::SeqCst)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.state().open.len()
    }

    /// Connections that came so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.set(Fault::Closed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Connection {
    /// What happens to it as a whole.
    fn suffer(&self, fault: Fault) {
        match fault {
            Fault::Closed => {
                self.dead.store(true, Ordering::SeqCst);
                for end in [&self.client, &self.service] {
                    drop(end.shutdown(Shutdown::Both));
                }
            }
            Fault::Reset => {
                for end in [&self.client, &self.service] {
                    drop(SockRef::from(end).set_linger(Some(Duration::ZERO)));
                }
                self.dead.store(true, Ordering::SeqCst);
                // Wakes the pumps without a word to the other end; the reset goes out when both have let go of the sockets.
                for end in [&self.client, &self.service] {
                    drop(end.shutdown(Shutdown::Read));
                }
            }
            Fault::HalfClosed => drop(self.client.shutdown(Shutdown::Write)),
            _ => {}
        }
    }
}

/// How long a pump's write waits before it looks whether its connection has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The longest request head that is waited for.
const HEAD_MAX: usize = 64 * 1024;

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of one connection.
    fn carry(self: Arc<Shared>, client: TcpStream) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let mut state = self.state();
        while (matches!(state.fault, Fault::BlackHole) || state.target.is_none()) && !self.ended.load(Ordering::SeqCst)
        {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (fault, target) = (state.fault, state.target);
        drop(state);
        if matches!(fault, Fault::Closed | Fault::Reset) {
            self.hits.fetch_add(1, Ordering::SeqCst);
        }
        let reset = |client: &TcpStream| drop(SockRef::from(client).set_linger(Some(Duration::ZERO)));
        match fault {
            Fault::Closed => return,
            Fault::Reset => return reset(&client),
            _ => {}
        }
        let Some(Ok(service)) = target.map(TcpStream::connect) else { return reset(&client) };
        for end in [&client, &service] {
            end.set_nodelay(true).expect("an option");
            end.set_write_timeout(Some(LOOK_EVERY)).expect("an option");
        }
        let connection = Arc::new(Connection {
            client,
            service,
            dead: AtomicBool::new(false),
            doomed: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        });
        let mut state = self.state();
        match state.fault {
            // It changed meanwhile.
            Fault::Closed | Fault::Reset => connection.suffer(state.fault),
            Fault::HalfClosed => {
                connection.suffer(state.fault);
                state.open.push(connection.clone());
            }
            _ => state.open.push(connection.clone()),
        }
        drop(state);
        let (shared, back) = (self.clone(), connection.clone());
        let answers = std::thread::spawn(move || shared.answers(&back));
        self.requests(&connection);
        drop(answers.join());
        self.state().open.retain(|other| !Arc::ptr_eq(other, &connection));
    }

    /// Client to service.
    fn requests(&self, connection: &Connection) {
        let mut buffer = vec![0; 64 * 1024];
        while let Some(count) = receive(&connection.client, &mut buffer) {
            let Some(fault) = self.passage(connection) else { return };
            let piece = &buffer[..count];
            match fault {
                Fault::Hold(matches) if matches(piece) => {
                    self.hits.fetch_add(1, Ordering::SeqCst);
                    self.hold(connection);
                }
                Fault::DropAnswer(matches) if matches(piece) => connection.doomed.store(true, Ordering::SeqCst),
                Fault::CutRequest(matches, cut) if matches(piece) => {
                    cut_request(connection, piece.to_vec(), cut);
                    self.hits.fetch_add(1, Ordering::SeqCst);
                    return connection.suffer(Fault::Closed);
                }
                _ => {}
            }
            if !send(connection, &connection.service, piece) {
                return;
            }
        }
        if !connection.dead.load(Ordering::SeqCst) {
            drop(connection.service.shutdown(Shutdown::Write));
        }
    }

    /// Service to client.
    fn answers(&self, connection: &Connection) {
        let mut buffer = vec![0; 64 * 1024];
        while let Some(count) = receive(&connection.service, &mut buffer) {
            if connection.doomed.load(Ordering::SeqCst) {
                self.hits.fetch_add(1, Ordering::SeqCst);
                return connection.suffer(Fault::Closed);
            }
            match self.passage(connection) {
                None => return,
                Some(Fault::Mute | Fault::HalfClosed) => connection.lost.store(true, Ordering::SeqCst),
                Some(_) if !send(connection, &connection.client, &buffer[..count]) => break,
                Some(_) => {}
            }
        }
        if !connection.dead.load(Ordering::SeqCst) {
            drop(connection.client.shutdown(Shutdown::Write));
        }
    }

    /// Waits until no request is held any more, or the connection is dead.
    fn hold(&self, connection: &Connection) {
        let mut state = self.state();
        while matches!(state.fault, Fault::Hold(_))
            && !connection.dead.load(Ordering::SeqCst)
            && !self.ended.load(Ordering::SeqCst)
        {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until a piece may pass; what the network does then. `None`: the connection is dead.
    fn passage(&self, connection: &Connection) -> Option<Fault> {
        let mut state = self.state();
        let mut waited = false;
        loop {
            if connection.dead.load(Ordering::SeqCst) || self.ended.load(Ordering::SeqCst) {
                return None;
            }
            match state.fault {
                Fault::BlackHole => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Fault::Latency(time) if !waited => {
                    waited = true;
                    let until = Instant::now() + time;
                    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                        let woken = self.changed.wait_timeout(state, left);
                        state = woken.unwrap_or_else(PoisonError::into_inner).0;
                        if !matches!(state.fault, Fault::Latency(_)) {
                            break;
                        }
                    }
                }
                fault => return Some(fault),
            }
        }
    }
}

/// The next piece; `None`: the end.
fn receive(mut from: &TcpStream, buffer: &mut [u8]) -> Option<usize> {
    from.read(buffer).ok().filter(|count| *count > 0)
}

/// Sends a piece; false when the connection has ended.
fn send(connection: &Connection, mut to: &TcpStream, mut piece: &[u8]) -> bool {
    while !piece.is_empty() {
        match to.write(piece) {
            Ok(0) => return false,
            Ok(count) => piece = &piece[count..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if connection.dead.load(Ordering::SeqCst) {
                    return false;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

/// Sends a request up to the place in its body where it is cut.
fn cut_request(connection: &Connection, mut request: Vec<u8>, cut: Cut) {
    let mut buffer = vec![0; 64 * 1024];
    let end_of_head = |request: &[u8]| request.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    let body_at = loop {
        match end_of_head(&request) {
            Some(at) => break at,
            None if request.len() > HEAD_MAX => return,
            None => {}
        }
        let Some(count) = receive(&connection.client, &mut buffer) else { return };
        request.extend_from_slice(&buffer[..count]);
    };
    let head = String::from_utf8_lossy(&request[..body_at]).to_ascii_lowercase();
    let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let pass = body_at
        + match cut {
            Cut::First => length.min(1),
            Cut::Half => length / 2,
            Cut::Last => length.saturating_sub(1),
        };
    let mut sent = request.len().min(pass);
    if !send(connection, &connection.service, &request[..sent]) {
        return;
    }
    while sent < pass {
        let Some(count) = receive(&connection.client, &mut buffer) else { return };
        let piece = &buffer[..count.min(pass - sent)];
        if !send(connection, &connection.service, piece) {
            return;
        }
        sent += piece.len();
    }
}

#[cfg(test)]
mod tests;
