//! The admin port: health, metrics, status and the drain request. Loopback only, so no token yet.
//!
//! In: questions over HTTP. Out: what the stages say, through [`Answers`]. It owns no state.

pub mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

pub use status::Status;

/// How long `POST /api/v1/drain` waits for the rows at hand to be stored.
pub const DRAIN_WAIT: Duration = Duration::from_secs(120);

/// What the admin port asks the stages.
pub trait Answers: Send + Sync + 'static {
    /// The text of `/metrics`.
    fn metrics(&self) -> String;
    /// Whether new requests should be sent here; the reason if not.
    fn ready(&self) -> Result<(), String>;
    fn status(&self) -> Status;
    /// Stores every row at hand; waits at most `wait`. Blocks: called off the runtime's workers.
    fn drain(&self, wait: Duration) -> Result<(), String>;
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on the admin address {address}; is another weir running? set `admin.address` to a free port")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// The running admin port; it closes when dropped.
pub struct Admin {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Admin {
    /// Binds `address` and serves on `runtime`.
    ///
    /// # Errors
    /// The address is taken or not allowed.
    pub fn start(
        runtime: &tokio::runtime::Handle,
        address: SocketAddr,
        answers: Arc<dyn Answers>,
    ) -> Result<Admin, BindError> {
        let fail = |source| BindError { address, source };
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let app = router(answers);
        let task = runtime.spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "admin port ended");
            }
        });
        Ok(Admin { address, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Shared = State<Arc<dyn Answers>>;

fn router(answers: Arc<dyn Answers>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .merge(api())
        .fallback(|| async { (StatusCode::NOT_FOUND, Json(json!({"error": {"code": "no_such_page"}}))) })
        .with_state(answers)
}

/// What is not for probes: only under a loopback name, so that no page of another site can ask through DNS rebinding.
fn api() -> Router<Arc<dyn Answers>> {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/drain", post(drain))
        .layer(axum::middleware::from_fn(loopback_host))
}

async fn loopback_host(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(is_loopback) {
        return next.run(request).await;
    }
    let message = "ask under 127.0.0.1, [::1] or localhost: other names are refused against DNS rebinding";
    (StatusCode::FORBIDDEN, Json(json!({"error": {"code": "host_not_allowed", "message": message}}))).into_response()
}

/// Whether a `host` header names this machine: `localhost`, `127.0.0.1:7601`, `[::1]:7601`.
fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn readyz(State(answers): Shared) -> Response {
    match answers.ready() {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(answers): Shared) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], answers.metrics()).into_response()
}

async fn status(State(answers): Shared) -> Json<Status> {
    Json(answers.status())
}

async fn drain(State(answers): Shared) -> Response {
    let done = tokio::task::spawn_blocking(move || {
        answers.drain(DRAIN_WAIT)?;
        Ok::<Status, String>(answers.status())
    });
    match done.await {
        Ok(Ok(status)) => Json(status).into_response(),
        Ok(Err(message)) => failed("drain_failed", message),
        Err(_) => failed("drain_failed", "the drain request ended early".to_string()),
    }
}

fn failed(code: &str, message: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": {"code": code, "message": message}}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_names_of_this_machine_may_ask() {
        for host in ["localhost", "LOCALHOST:7601", "127.0.0.1", "127.0.0.1:7601", "[::1]:7601", "[::1]", "127.9.9.9:1"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7601",
            "10.0.0.1:7601",
            "localhost.evil.example",
            "",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
