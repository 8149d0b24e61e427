//! One HTTP request to the admin port of a running weir.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;

use super::Failure;
use crate::app::RunFile;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The weir that runs on `data_dir`, if one does.
pub fn running(data_dir: &std::path::Path) -> Option<RunFile> {
    RunFile::read(data_dir)
}

/// Sends `method path` to `address` and reads the JSON answer.
///
/// # Errors
/// No connection, no answer within `wait`, or a status that is not 200 (its message).
pub fn json<T: serde::de::DeserializeOwned>(
    address: SocketAddr,
    method: http::Method,
    path: &str,
    wait: Duration,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        tokio::time::timeout(wait, exchange(address, method, path))
            .await
            .map_err(|_| Failure::Failed(format!("{address} did not answer within {wait:?}")))?
    })?;
    serde_json::from_slice(&answer)
        .map_err(|error| Failure::Failed(format!("{address}{path} answered something else than weir: {error}")))
}

async fn exchange(address: SocketAddr, method: http::Method, path: &str) -> Result<Bytes, Failure> {
    let no = |what: &str, error: &dyn std::fmt::Display| Failure::Failed(format!("{what} {address}: {error}"));
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|e| no("cannot reach the admin port", &e))?;
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| no("cannot talk to", &e))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "admin connection ended");
        }
    });
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|e| no("cannot ask", &e))?;
    let response = send.send_request(request).await.map_err(|e| no("no answer from", &e))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|e| Failure::Failed(format!("the answer of {address} broke off: {e}")))?
        .to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    let message = serde_json::from_slice::<serde_json::Value>(&body)
        .ok()
        .and_then(|v| v.pointer("/error/message").and_then(|m| m.as_str()).map(str::to_string))
        .unwrap_or_else(|| format!("{address}{path} answered {status}"));
    Err(Failure::Failed(message))
}
