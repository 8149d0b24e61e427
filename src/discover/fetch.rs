//! One GET request to a route's upstream, on a connection of its own, within the route's timeouts.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Route;

/// Bytes of a document that are read: a large application's openapi.json has a few hundred KiB.
const DOCUMENT_BYTES_MAX: usize = 2 << 20;

pub enum Fetched {
    Json(Value),
    /// The server answered, and has no such document.
    Nothing,
    /// The server could not be asked, or is in trouble; what a person should know of it.
    Failed(String),
}

/// Asks for a document.
pub async fn get(route: &Route, path: &str) -> Fetched {
    match exchange(route, path).await {
        Ok(fetched) => fetched,
        Err(why) => Fetched::Failed(why),
    }
}

async fn exchange(route: &Route, path: &str) -> Result<Fetched, String> {
    let (authority, timeouts) = (&route.upstream.authority, &route.timeouts);
    let late = |what: &'static str, limit: Duration| move |_| format!("{what} took more than {limit:?}");
    let stream = timeout(timeouts.connect, TcpStream::connect(authority.as_str()))
        .await
        .map_err(late("the connection", timeouts.connect))?
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = http::Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("weir/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answered = async {
        let response = timeout(timeouts.first_byte, sender.send_request(request))
            .await
            .map_err(late("the answer", timeouts.first_byte))?
            .map_err(|error| error.to_string())?;
        let status = response.status();
        if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
            return Err(format!("it answered {status}"));
        }
        if !status.is_success() {
            return Ok(Fetched::Nothing);
        }
        let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect();
        let body = timeout(timeouts.idle, body).await.map_err(late("the document", timeouts.idle))?;
        // Too long, broken off, or no JSON: no document that could be read another time.
        let document = body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
        Ok(document.map_or(Fetched::Nothing, Fetched::Json))
    };
    // The connection is driven here, so that it ends with the question.
    let mut connection = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    let mut is_open = true;
    loop {
        tokio::select! {
            biased;
            fetched = &mut answered => return fetched,
            // What it ended with shows in the answer.
            _ended = &mut connection, if is_open => is_open = false,
        }
    }
}
