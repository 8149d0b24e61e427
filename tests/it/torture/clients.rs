//! Clients that go on whatever becomes of their gateway, and note what they sent and what they were answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::http::Client;

/// Where a gateway listens; another port after each start.
pub type Address = Arc<Mutex<SocketAddr>>;

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
    let mut connected: Option<(SocketAddr, Client)> = None;
    while !stop.load(Ordering::SeqCst) {
        let now = *address.lock().expect("an address");
        let (_, client) = match &mut connected {
            Some(connected) if connected.0 == now => connected,
            _ => connected.insert((now, Client::new(now))),
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
            // The gateway is dead, or stopping.
            Err(_) => {
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
