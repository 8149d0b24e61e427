//! The other side of a measurement: a model server and the clients of it, on threads of the benchmark's own process.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

/// Connections of the closed loop.
pub const CONNECTIONS: usize = 32;

/// A 2 KiB request: 20 numbers and a filler.
pub fn request_body() -> Bytes {
    let mut body = String::from("{");
    for i in 0..20 {
        body.push_str(&format!("\"feature_{i}\":{}.{:04},", i * 37 % 101, i * 7919 % 10_000));
    }
    body.push_str("\"text\":\"");
    while body.len() < 2046 {
        body.push('t');
    }
    body.push_str("\"}");
    Bytes::from(body)
}

/// A 1 KiB answer.
pub fn answer_body() -> Bytes {
    let mut body = String::from("{\"score\":0.8734512,\"label\":\"yes\",\"explanation\":\"");
    while body.len() < 1022 {
        body.push('e');
    }
    body.push_str("\"}");
    Bytes::from(body)
}

/// A model server that answers at once, on threads of this process.
pub fn model(runtime: &tokio::runtime::Runtime) -> SocketAddr {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = answer_body();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _nodelay = stream.set_nodelay(true);
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let _read = request.into_body().collect().await;
                        let mut response = Response::new(Full::new(answer));
                        let json = http::HeaderValue::from_static("application/json");
                        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
                        Ok::<_, Infallible>(response)
                    }
                });
                let _ended =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// Closed loop on `CONNECTIONS` keep-alive connections for `time`; requests answered.
pub fn load(runtime: &tokio::runtime::Runtime, target: SocketAddr, path: &'static str, time: Duration) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let body = request_body();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (count, stop, body) = (count.clone(), stop.clone(), body.clone());
            runtime.spawn(async move {
                let mut send = connect(target).await;
                while !stop.load(Relaxed) {
                    ask(&mut send, path, &body).await;
                    count.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    std::thread::sleep(time);
    stop.store(true, Relaxed);
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("a client");
        }
    });
    count.load(Relaxed)
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn connect(target: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(target).await.expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("handshake");
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    send
}

/// One prediction, to the end of its answer.
async fn ask(send: &mut SendRequest<Full<Bytes>>, path: &'static str, body: &Bytes) {
    send.ready().await.expect("ready");
    let request = Request::post(path)
        .header("host", "bench")
        .header("content-type", "application/json")
        .body(Full::new(body.clone()))
        .expect("a request");
    let response = send.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.expect("a body");
}

/// Open loop: `rate` predictions a second for `time`, each at its own time whatever became of those before it. How long each took from when it was
/// due to the end of its answer, in microseconds, sorted: a server that stalls is charged for all who waited meanwhile.
pub fn paced(runtime: &tokio::runtime::Runtime, target: SocketAddr, rate: u32, time: Duration) -> Vec<f64> {
    let (body, each) = (request_body(), Duration::from_secs(CONNECTIONS as u64) / rate);
    let begun = Instant::now() + Duration::from_millis(50);
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            let body = body.clone();
            runtime.spawn(async move {
                let mut send = connect(target).await;
                let mut due = begun + each * n as u32 / CONNECTIONS as u32;
                let mut took = Vec::new();
                while due < begun + time {
                    sleep_until(due).await;
                    ask(&mut send, "/predict", &body).await;
                    took.push(due.elapsed().as_secs_f64() * 1e6);
                    due += each;
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    runtime.block_on(async {
        for task in tasks {
            took.extend(task.await.expect("a client"));
        }
    });
    took.sort_by(f64::total_cmp);
    took
}

/// tokio's timer has a grain of 1 ms; the rest is spun away, so that what is measured begins when it is due.
async fn sleep_until(due: Instant) {
    if let Some(most) = due.saturating_duration_since(Instant::now()).checked_sub(Duration::from_millis(2)) {
        tokio::time::sleep(most).await;
    }
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}

/// The value below which a share of sorted values lies.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}
