//! Clients that go on whatever becomes of their gateway, and note what they sent and what they were answered. An answer may fail to come only
//! while their gateway is being killed, stopped or started: whatever else is broken, a prediction is not disturbed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::http::Client;

/// How to reach a gateway.
#[derive(Clone)]
pub struct Address(Arc<Mutex<State>>);

#[derive(Clone, Copy)]
struct State {
    /// Another port after each start.
    listens: SocketAddr,
    /// Its starts so far.
    life: u64,
    /// It serves; false from before it is killed or stopped.
    serves: bool,
}

impl Address {
    /// Of one that was never up.
    pub fn unknown() -> Address {
        Address(Arc::new(Mutex::new(State { listens: ([0, 0, 0, 0], 0).into(), life: 0, serves: false })))
    }

    pub fn is_up(&self, listens: SocketAddr) {
        let mut state = self.state();
        *state = State { listens, life: state.life + 1, serves: true };
    }

    /// To be said before it is killed or stopped.
    pub fn goes_down(&self) {
        self.state().serves = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }
}

/// Posts at a time, per gateway.
const CLIENTS: usize = 2;
/// Between two posts: the load is there to be accounted for, not to measure.
const PACE: Duration = Duration::from_millis(8);

/// One call.
pub struct Sent {
    /// The id that the client gave it, as `x-request-id`.
    pub request: String,
    pub rows: u64,
    /// `x-weir-id` of a complete answer.
    pub answered: Option<String>,
}

pub struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Sent>>>,
}

impl Clients {
    pub fn start(gateway: &'static str, address: Address) -> Clients {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |n| {
            let (stop, address) = (stop.clone(), address.clone());
            std::thread::spawn(move || post_until(&stop, &format!("{gateway}-{n}"), &address))
        };
        let threads = (0..CLIENTS).map(client).collect();
        Clients { stop, threads }
    }

    pub fn stop(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    }
}

fn post_until(stop: &AtomicBool, name: &str, address: &Address) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut connected: Option<(u64, Client)> = None;
    while !stop.load(Ordering::SeqCst) {
        let before = *address.state();
        let (_, client) = match &mut connected {
            Some(connected) if connected.0 == before.life => connected,
            _ => connected.insert((before.life, Client::new(before.listens))),
        };
        let n = sent.len();
        let request = format!("{name}-{n}");
        let rows = if n % 7 == 6 { 3 } else { 1 };
        let (body, right) = match rows {
            1 => (format!(r#"{{"x":{n}}}"#), format!(r#"{{"y":{:.1}}}"#, n as f64 * 2.0)),
            _ => (format!(r#"[{{"x":{n}}},{{"x":0}},{{"x":0.5}}]"#), String::new()),
        };
        let headers = [("content-type", "application/json"), ("x-request-id", request.as_str())];
        let answer = client.send("POST", "/predict", &headers, body.as_bytes());
        let answered = match answer {
            Ok(answer) => {
                // Whatever is broken behind it, a prediction is not disturbed.
                assert_eq!(answer.status, 200, "{request}: {}", String::from_utf8_lossy(&answer.body));
                assert!(rows == 3 || answer.body == right.as_bytes(), "{request}: another answer");
                Some(answer.header("x-weir-id").expect("x-weir-id").to_owned())
            }
            Err(error) => {
                let after = *address.state();
                let served = before.serves && after.serves && before.life == after.life;
                assert!(!served, "{request}: no answer, although its gateway served all the while: {error}");
                connected = None;
                std::thread::sleep(Duration::from_millis(50));
                None
            }
        };
        sent.push(Sent { request, rows, answered });
        std::thread::sleep(PACE);
    }
    sent
}
