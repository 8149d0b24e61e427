//! The gateway against scripted clients and model servers, byte by byte over real sockets. Every test accounts for all
//! calls at its end ([`Rig::finish`]).

mod answers;
mod clients;
mod limits;
mod stops;
mod upstreams;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::exchange::{Exchange, Offer};
use super::{Gateway, Parts};
use crate::config::{
    Bodies, Capture, CaptureMode, Listen, ProtocolChoice, Route, Rows, Timeouts, Upstream as UpstreamConfig,
};
use crate::ledger::Ledger;
use crate::telemetry::Meters;

/// Long enough that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps what was offered.
#[derive(Default)]
struct Offered {
    exchanges: Mutex<Vec<Exchange>>,
    came: Condvar,
}

impl Offer for Offered {
    fn offer(&self, exchange: Exchange) {
        self.exchanges.lock().unwrap().push(exchange);
        self.came.notify_all();
    }
}

/// A gateway with one route, its ledger and what it offered.
struct Rig {
    gateway: Gateway,
    ledger: Ledger,
    meters: Meters,
    offered: Arc<Offered>,
    taken: AtomicUsize,
    _folder: tempfile::TempDir,
}

/// A route that takes everything to `upstream`.
pub(crate) fn route(upstream: SocketAddr) -> Route {
    Route {
        name: "churn".to_owned(),
        path: "/".to_owned(),
        upstream: UpstreamConfig { authority: upstream.to_string(), path: None },
        model: None,
        version: None,
        protocol: ProtocolChoice::Auto,
        timeouts: Timeouts {
            connect: PATIENCE,
            first_byte: PATIENCE,
            idle: PATIENCE,
            pool_idle: Duration::from_secs(4),
        },
        retry_connect: 1,
        concurrency_max: 64,
        labels: BTreeMap::new(),
        capture: Capture {
            mode: CaptureMode::BestEffort,
            sample: None,
            body_bytes_max: 1 << 20,
            headers: Vec::new(),
            rows: Rows::Split,
            bodies: Bodies::OnError,
            header_allowed: true,
            methods: vec!["POST".to_owned()],
            rows_max: 1000,
            decompressed_bytes_max: 1 << 20,
            depth_max: 64,
        },
        feedback: None,
        record: crate::config::Record::default(),
        redact: Vec::new(),
    }
}

/// What a test may change of the defaults.
struct Setup {
    listen: Listen,
    route: Route,
    capture_bytes: u64,
}

impl Setup {
    fn new(upstream: SocketAddr) -> Setup {
        Setup {
            listen: Listen {
                address: "127.0.0.1:0".parse().unwrap(),
                connections_max: 100,
                headers_max: 100,
                header_bytes_max: 64 * 1024,
                body_bytes_max: 1 << 20,
                header_timeout: PATIENCE,
                body_idle: PATIENCE,
                drain_timeout: PATIENCE,
            },
            route: route(upstream),
            capture_bytes: 64 << 20,
        }
    }

    fn start(self) -> Rig {
        let route = self.route.clone();
        self.start_with(vec![route], 1)
    }

    fn start_with(self, routes: Vec<Route>, workers: usize) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger"), crate::ledger::Logged::default()).unwrap();
        let offered = Arc::new(Offered::default());
        let meters = Meters::new();
        let parts = Parts {
            ledger: ledger.clone(),
            offer: offered.clone(),
            feedback: None,
            meters: meters.clone(),
            capture_bytes: self.capture_bytes,
            workers,
        };
        let gateway = Gateway::start(self.listen, routes.into_iter().map(Arc::new).collect(), parts).unwrap();
        Rig { gateway, ledger, meters, offered, taken: AtomicUsize::new(0), _folder: folder }
    }
}

impl Rig {
    fn client(&self) -> Client {
        Client::new(self.gateway.address())
    }

    /// The next exchange.
    fn exchange(&self) -> Exchange {
        let mut exchanges = self.offered.exchanges.lock().unwrap();
        let until = Instant::now() + PATIENCE;
        while exchanges.is_empty() {
            assert!(Instant::now() < until, "no exchange was offered");
            exchanges = self.offered.came.wait_timeout(exchanges, Duration::from_millis(100)).unwrap().0;
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        exchanges.remove(0)
    }

    /// Waits for a state.
    fn until(&self, what: &str, reached: impl Fn(&Rig) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !reached(self) {
            assert!(Instant::now() < until, "never reached: {what}");
            std::thread::yield_now();
        }
    }

    /// Stops; every call must have been offered once or been unsampled, and all memory given back.
    fn finish(self) {
        self.gateway.stop(PATIENCE);
        let left = std::mem::take(&mut *self.offered.exchanges.lock().unwrap()).len();
        let calls = self.ledger.calls();
        let offered = (self.taken.load(Ordering::Relaxed) + left) as u64;
        assert_eq!(calls.seen, offered + calls.unsampled, "each call ends in one exchange");
        assert_eq!(left, 0, "the test has looked at every exchange");
        assert_eq!(self.gateway.in_flight(), 0);
    }
}

/// A client that writes and reads raw HTTP/1.1.
struct Client {
    stream: BufReader<TcpStream>,
}

/// An answer as read off the wire.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// Lower-case names.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Client {
    fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    fn post(&mut self, path: &str, body: &str) -> &mut Client {
        let head = format!("POST {path} HTTP/1.1\r\nhost: weir\r\ncontent-length: {}\r\n", body.len());
        self.send(format!("{head}content-type: application/json\r\n\r\n{body}"))
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn fields(&mut self) -> std::io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Ok(fields) };
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// An answer's head.
    fn head(&mut self) -> std::io::Result<Answer> {
        loop {
            let line = self.line()?;
            let status = line.split(' ').nth(1).unwrap().parse().unwrap();
            let headers = self.fields()?;
            if status != 100 {
                return Ok(Answer { status, headers, body: Vec::new(), trailers: Vec::new() });
            }
        }
    }

    /// One chunk of a chunked body; empty at its end.
    fn chunk(&mut self) -> std::io::Result<Vec<u8>> {
        let line = self.line()?;
        let length = usize::from_str_radix(&line, 16).map_err(|_| std::io::ErrorKind::InvalidData)?;
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk)?;
        if length > 0 {
            self.line()?;
        }
        Ok(chunk)
    }

    /// A whole answer to a request that is not HEAD; an error if the transfer is broken.
    fn answer(&mut self) -> std::io::Result<Answer> {
        let mut answer = self.head()?;
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk()?;
                if chunk.is_empty() {
                    break;
                }
                answer.body.extend_from_slice(&chunk);
            }
            answer.trailers = self.fields()?;
        } else if let Some(length) = answer.header("content-length") {
            answer.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Whether the gateway ends the connection without another byte.
    fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }
}

/// A connection that a model server's script got, its request's head read.
struct Taken {
    stream: BufReader<TcpStream>,
}

/// A model server whose connections the test serves by hand.
struct Model {
    address: SocketAddr,
    listener: TcpListener,
}

impl Model {
    fn new() -> Model {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Model { address: listener.local_addr().unwrap(), listener }
    }

    fn accept(&self) -> Taken {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Taken { stream: BufReader::new(stream) }
    }
}

impl Taken {
    /// Reads a head: its first line and its fields, lower-case.
    fn head(&mut self) -> (String, Vec<String>) {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).unwrap_or(0) == 0 {
                break;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        if lines.is_empty() {
            return (String::new(), lines);
        }
        let first = lines.remove(0);
        (first, lines)
    }

    fn read(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        body
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Taken {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    fn answer(&mut self, body: &str) -> &mut Taken {
        self.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Ends the connection with a reset.
    fn reset(self) {
        let stream = self.stream.into_inner();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Waits until the gateway ends the connection; what it still sends is read and forgotten.
    fn until_closed(&mut self) {
        if let Err(error) = std::io::copy(&mut self.stream, &mut std::io::sink()) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
}

/// Serves a model on a thread of its own, one connection after the other, until the test ends its last request.
fn serve(model: Model, script: impl Fn(&mut Taken, usize) + Send + 'static) -> SocketAddr {
    let address = model.address;
    std::thread::spawn(move || {
        for number in 0.. {
            script(&mut model.accept(), number);
        }
    });
    address
}
