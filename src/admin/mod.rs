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
        .route("/api/v1/status", get(status))
        .route("/api/v1/drain", post(drain))
        .fallback(|| async { (StatusCode::NOT_FOUND, Json(json!({"error": {"code": "no_such_page"}}))) })
        .with_state(answers)
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
