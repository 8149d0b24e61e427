//! The demo's toy model server: a logistic score over a customer, one at a time or in a list; sometimes slow, sometimes wrong.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

const BODY_BYTES_MAX: usize = 1024 * 1024;
/// One request in this many takes `SLOW` longer.
const SLOW_EVERY: u64 = 200;
const SLOW: Duration = Duration::from_millis(250);
/// One request in this many fails with 500.
const FAIL_EVERY: u64 = 300;

/// The running model server; it ends with the process or when dropped.
pub struct Model {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Model {
    /// Listens on a free loopback port.
    pub fn start() -> std::io::Result<Model> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("demo-model")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(serve(listener));
        Ok(Model { address, _runtime: runtime })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: tokio::net::TcpListener) {
    let mut count: u64 = 0;
    while let Ok((stream, _)) = listener.accept().await {
        let _nodelay = stream.set_nodelay(true);
        // Connections start at different places of the pattern.
        count = count.wrapping_add(37);
        let calls = std::sync::atomic::AtomicU64::new(count);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                async move { Ok::<_, Infallible>(answer(request, call).await) }
            });
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            if let Err(error) = served {
                tracing::debug!(%error, "demo model connection ended");
            }
        });
    }
}

async fn answer(request: Request<Incoming>, call: u64) -> Response<Full<Bytes>> {
    let body = match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return reply(StatusCode::BAD_REQUEST, &json!({"detail": "the body broke off"})),
    };
    if call % SLOW_EVERY == SLOW_EVERY - 1 {
        tokio::time::sleep(SLOW).await;
    }
    if call % FAIL_EVERY == FAIL_EVERY - 1 {
        return reply(StatusCode::INTERNAL_SERVER_ERROR, &json!({"detail": "out of memory on device 0"}));
    }
    match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Array(customers)) => match customers.iter().map(score).collect::<Result<Vec<Value>, &str>>() {
            Ok(scores) => reply(StatusCode::OK, &Value::Array(scores)),
            Err(what) => reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({"detail": what})),
        },
        Ok(customer) => match score(&customer) {
            Ok(score) => reply(StatusCode::OK, &score),
            Err(what) => reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({"detail": what})),
        },
        Err(_) => reply(StatusCode::BAD_REQUEST, &json!({"detail": "the body is not JSON"})),
    }
}

fn score(customer: &Value) -> Result<Value, &'static str> {
    let number = |key: &str| customer.get(key).and_then(Value::as_f64);
    let tenure = number("tenure_months").ok_or("tenure_months is missing")?;
    let charge = number("monthly_charge").ok_or("monthly_charge is missing")?;
    let calls = number("support_calls").ok_or("support_calls is missing")?;
    let plan = match customer.get("plan").and_then(Value::as_str) {
        Some("basic") => 0.6,
        Some("plus") => 0.1,
        Some("pro") => -0.5,
        _ => return Err("plan must be basic, plus or pro"),
    };
    let z = plan - 0.04 * tenure + 0.02 * charge + 0.35 * calls - 1.0;
    let confidence = 1.0 / (1.0 + (-z).exp());
    Ok(json!({"will_churn": confidence > 0.5, "confidence": confidence}))
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_gets_a_score_and_a_wrong_plan_an_error() {
        let good = json!({"plan": "pro", "tenure_months": 40, "monthly_charge": 20.5, "support_calls": 0});
        assert_eq!(score(&good).unwrap()["will_churn"], json!(false));
        assert!(score(&json!({"plan": "gold"})).is_err());
    }
}
