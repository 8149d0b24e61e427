//! The demo's client: requests at fixed times (an open loop), so that a slow answer does not lower the rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;

/// Connections, and so the requests in flight at once.
const CONNECTIONS: u64 = 64;
/// One request in this many carries a list.
const BATCH_EVERY: u64 = 10;
/// One request in this many asks for something the model refuses.
const WRONG_EVERY: u64 = 151;

/// What the client did and got.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Counts {
    pub sent: u64,
    /// Complete answers of any status.
    pub answered: u64,
    /// Answers of 400 and above.
    pub model_errors: u64,
    /// No complete answer.
    pub failed: u64,
    /// Customers in answers of 200.
    pub rows: u64,
}

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    sent: AtomicU64,
    answered: AtomicU64,
    model_errors: AtomicU64,
    failed: AtomicU64,
    rows: AtomicU64,
    stop: AtomicBool,
}

/// Running traffic.
pub struct Traffic {
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Traffic {
    pub fn start(gateway: SocketAddr, rate: u32) -> std::io::Result<Traffic> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("demo-client")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared::default());
        let begun = Instant::now();
        let tasks =
            (0..CONNECTIONS).map(|_| runtime.spawn(client(gateway, f64::from(rate), begun, shared.clone()))).collect();
        Ok(Traffic { shared, runtime: Some(runtime), tasks })
    }

    pub fn counts(&self) -> Counts {
        let s = &self.shared;
        Counts {
            sent: s.sent.load(Relaxed),
            answered: s.answered.load(Relaxed),
            model_errors: s.model_errors.load(Relaxed),
            failed: s.failed.load(Relaxed),
            rows: s.rows.load(Relaxed),
        }
    }

    /// Sends nothing more and waits for the answers under way.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        let tasks = std::mem::take(&mut self.tasks);
        if let Some(runtime) = self.runtime.take() {
            runtime.block_on(async {
                for task in tasks {
                    if task.await.is_err() {
                        tracing::error!("a demo client panicked");
                    }
                }
            });
        }
    }
}

async fn client(gateway: SocketAddr, rate: f64, begun: Instant, shared: Arc<Shared>) {
    let mut connection: Option<SendRequest<Full<Bytes>>> = None;
    while !shared.stop.load(Relaxed) {
        let n = shared.next.fetch_add(1, Relaxed);
        let due = begun + Duration::from_secs_f64(n as f64 / rate);
        // A stop must not wait for a turn that is far away.
        while Instant::now() < due {
            if shared.stop.load(Relaxed) {
                return;
            }
            let left = due.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(Duration::from_millis(100))).await;
        }
        let (body, customers) = body(n);
        shared.sent.fetch_add(1, Relaxed);
        match exchange(gateway, &mut connection, body).await {
            Ok(status) => {
                shared.answered.fetch_add(1, Relaxed);
                if status.is_success() {
                    shared.rows.fetch_add(customers, Relaxed);
                } else {
                    shared.model_errors.fetch_add(1, Relaxed);
                }
            }
            Err(error) => {
                tracing::debug!(error, "demo request failed");
                connection = None;
                shared.failed.fetch_add(1, Relaxed);
            }
        }
    }
}

async fn exchange(
    gateway: SocketAddr,
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    body: String,
) -> Result<http::StatusCode, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let mut send = match connection.take() {
        Some(send) if !send.is_closed() => send,
        _ => {
            let stream = tokio::net::TcpStream::connect(gateway).await.map_err(|e| words(&e))?;
            stream.set_nodelay(true).map_err(|e| words(&e))?;
            let (send, driver) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| words(&e))?;
            tokio::spawn(async move {
                if let Err(error) = driver.await {
                    tracing::debug!(%error, "demo connection ended");
                }
            });
            send
        }
    };
    send.ready().await.map_err(|e| words(&e))?;
    let request = Request::post("/predict")
        .header(http::header::HOST, "demo")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| words(&e))?;
    let response = send.send_request(request).await.map_err(|e| words(&e))?;
    let status = response.status();
    response.into_body().collect().await.map_err(|e| words(&e))?;
    *connection = Some(send);
    Ok(status)
}

/// Request `n`: the body, and how many customers it carries.
fn body(n: u64) -> (String, u64) {
    let mut dice = Dice(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03);
    if n % BATCH_EVERY == BATCH_EVERY - 1 {
        let customers = 2 + dice.below(7);
        let list: Vec<String> = (0..customers).map(|_| customer(&mut dice, false)).collect();
        return (format!("[{}]", list.join(",")), customers);
    }
    (customer(&mut dice, n % WRONG_EVERY == WRONG_EVERY - 1), 1)
}

fn customer(dice: &mut Dice, wrong: bool) -> String {
    let plan = if wrong { "gold" } else { ["basic", "basic", "plus", "pro"][dice.below(4) as usize] };
    format!(
        r#"{{"customer_id":"c{:06}","age":{},"plan":"{plan}","tenure_months":{},"monthly_charge":{:.2},"support_calls":{},"has_partner":{}}}"#,
        dice.below(1_000_000),
        18 + dice.below(60),
        dice.below(72),
        10.0 + dice.below(9_000) as f64 / 100.0,
        dice.below(6),
        dice.below(2) == 1,
    )
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same traffic on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_in_ten_is_a_batch_and_all_are_json() {
        let batches = (0..1_000)
            .filter(|n| {
                let (body, customers) = body(*n);
                let value: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_eq!(value.as_array().map_or(1, Vec::len) as u64, customers);
                value.is_array()
            })
            .count();
        assert_eq!(batches, 100);
    }
}
