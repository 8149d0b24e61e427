//! Measurements of weir, as ratios within one run: `cargo bench --bench load -- <what>`; see load-tests/README.md.
//!
//! CPU is user + system time of the measured process from `/proc/<pid>/stat`, so the load generator and the model server,
//! which run in this process, are not counted.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use weir::record::ContentType;

mod forms;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
const CONNECTIONS: usize = 32;
const TURNS: usize = 6;
const TURN: Duration = Duration::from_secs(2);

fn main() {
    let what: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    match what.first().map(String::as_str) {
        Some("proxy") => proxy(),
        Some("pipeline") => pipeline(),
        Some("memory") => memory(),
        Some("drain") => drain(),
        Some("forms") => forms::forms(),
        _ => eprintln!("usage: cargo bench --bench load -- proxy | pipeline | memory | drain | forms"),
    }
}

/// A 2 KiB request: 20 numbers and a filler.
fn request_body() -> Bytes {
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
fn answer_body() -> Bytes {
    let mut body = String::from("{\"score\":0.8734512,\"label\":\"yes\",\"explanation\":\"");
    while body.len() < 1022 {
        body.push('e');
    }
    body.push_str("\"}");
    Bytes::from(body)
}

/// A model server that answers at once, on threads of this process.
fn model(runtime: &tokio::runtime::Runtime) -> SocketAddr {
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
fn load(runtime: &tokio::runtime::Runtime, target: SocketAddr, path: &'static str, time: Duration) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let body = request_body();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (count, stop, body) = (count.clone(), stop.clone(), body.clone());
            runtime.spawn(async move {
                let stream = tokio::net::TcpStream::connect(target).await.expect("connect");
                stream.set_nodelay(true).expect("nodelay");
                let (mut send, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("handshake");
                tokio::spawn(async move {
                    let _ended = connection.await;
                });
                while !stop.load(Relaxed) {
                    send.ready().await.expect("ready");
                    let request = Request::post(path)
                        .header("host", "bench")
                        .header("content-type", "application/json")
                        .body(Full::new(body.clone()))
                        .expect("a request");
                    let response = send.send_request(request).await.expect("an answer");
                    assert_eq!(response.status(), 200);
                    response.into_body().collect().await.expect("a body");
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

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// A weir with this YAML in a folder of its own.
struct Weir {
    child: Child,
    dir: tempfile::TempDir,
}

impl Weir {
    fn start(yaml: &str) -> Weir {
        let dir = tempfile::tempdir().expect("a folder");
        let head = "version: 1\nlisten: { address: 127.0.0.1:0 }\nadmin: { address: 127.0.0.1:0 }\n";
        std::fs::write(dir.path().join("weir.yaml"), format!("{head}{yaml}")).expect("weir.yaml");
        let child = Command::new(WEIR)
            .arg("run")
            .current_dir(dir.path())
            .env("WEIR_LOG", "warn")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("weir starts");
        let mut weir = Weir { child, dir };
        let begun = Instant::now();
        while !weir.dir.path().join("weir-data/run.json").exists() {
            assert!(begun.elapsed() < Duration::from_secs(30), "weir did not start");
            assert!(weir.child.try_wait().expect("wait").is_none(), "weir ended at once");
            std::thread::sleep(Duration::from_millis(20));
        }
        weir
    }

    fn run_file(&self) -> serde_json::Value {
        let text = std::fs::read(self.dir.path().join("weir-data/run.json")).expect("run.json");
        serde_json::from_slice(&text).expect("JSON")
    }

    fn address(&self) -> SocketAddr {
        self.run_file()["listen"].as_str().expect("listen").parse().expect("an address")
    }

    fn cpu(&self) -> Duration {
        cpu(self.child.id())
    }

    fn rss_mib(&self, which: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("status");
        let line = status.lines().find(|l| l.starts_with(which)).expect("a line");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("KiB") / 1024.0
    }

    fn command(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(WEIR).args(arguments).current_dir(self.dir.path()).output().expect("weir runs")
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.command(&["status", "--json"]).stdout).expect("a status")
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// User + system time of a process.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let after = stat.rsplit_once(')').expect("a name").1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<u64>().expect("ticks");
    // Fields 14 and 15 of proc(5), in units of 1/100 s (USER_HZ).
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// nginx as a plain proxy, if the machine has it.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Nginx {
    fn start(upstream: SocketAddr) -> Option<Nginx> {
        let dir = tempfile::tempdir().ok()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let at = dir.path().display();
        let conf = format!(
            "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/error crit;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; \
             uwsgi_temp_path {at}/u; scgi_temp_path {at}/s; keepalive_requests 100000000;\n\
             upstream m {{ server {upstream}; keepalive 64; keepalive_requests 100000000; }}\n\
             server {{ listen {address}; location / {{ proxy_pass http://m; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; }} }} }}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), conf).ok()?;
        let child =
            Command::new("nginx").arg("-c").arg(dir.path().join("nginx.conf")).stderr(Stdio::null()).spawn().ok()?;
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if begun.elapsed() > Duration::from_secs(5) {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Nginx { child, address, _dir: dir })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

/// CPU per request: capture on, capture off, nginx; all up at once, in turns.
fn proxy() {
    let (serving, loading) = (runtime(), runtime());
    let upstream = model(&serving);
    let on = Weir::start(&format!("routes: {{ m: {{ upstream: http://{upstream} }} }}\n"));
    let off = Weir::start(&format!("routes: {{ m: {{ upstream: http://{upstream}, capture: {{ mode: off }} }} }}\n"));
    let nginx = Nginx::start(upstream);
    let mut columns: Vec<(&str, SocketAddr, u32, Vec<f64>)> = vec![
        ("capture on (whole pipeline to Parquet)", on.address(), on.child.id(), Vec::new()),
        ("capture off", off.address(), off.child.id(), Vec::new()),
    ];
    match &nginx {
        Some(nginx) => columns.push(("nginx proxy_pass", nginx.address, nginx.child.id(), Vec::new())),
        None => eprintln!("nginx is not installed: no row for it"),
    }
    for turn in 0..=TURNS {
        for (name, address, pid, micros) in &mut columns {
            let before = cpu(*pid);
            let requests = load(&loading, *address, "/predict", TURN);
            let used = cpu(*pid) - before;
            let each = used.as_secs_f64() * 1e6 / requests as f64;
            if turn > 0 {
                micros.push(each);
                println!("turn {turn}  {name:40} {each:6.1} us  {:6.0} req/s", requests as f64 / TURN.as_secs_f64());
            }
        }
    }
    let base = median(columns[1].3.clone());
    for (name, _, _, micros) in columns {
        let each = median(micros);
        println!("median  {name:40} {each:6.1} us a request  {:.2} x capture off", each / base);
    }
    println!("{}", on.status()["calls"]);
}

/// CPU per prediction of the whole pipeline, everything stored at the end.
fn pipeline() {
    let (serving, loading) = (runtime(), runtime());
    let upstream = model(&serving);
    let weir = Weir::start(&format!("routes: {{ m: {{ upstream: http://{upstream} }} }}\n"));
    load(&loading, weir.address(), "/predict", Duration::from_secs(1));
    let (cpu_before, calls_before) = (weir.cpu(), weir.status()["calls"]["seen"].as_u64().expect("seen"));
    load(&loading, weir.address(), "/predict", Duration::from_secs(15));
    let output = weir.command(&["drain", "--once"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let calls = weir.status()["calls"]["seen"].as_u64().expect("seen") - calls_before;
    let used = weir.cpu() - cpu_before;
    println!(
        "whole pipeline: {calls} predictions, {:.1} us of CPU each (gateway, record, log, Parquet); peak RSS {:.0} MiB",
        used.as_secs_f64() * 1e6 / calls as f64,
        weir.rss_mib("VmHWM")
    );
    println!("{}", weir.status()["calls"]);
}

/// RSS at 200 idle connections and under load.
fn memory() {
    let (serving, loading) = (runtime(), runtime());
    let upstream = model(&serving);
    let weir = Weir::start(&format!("routes: {{ m: {{ upstream: http://{upstream} }} }}\n"));
    println!("at start                {:6.1} MiB", weir.rss_mib("VmRSS"));
    let idle: Vec<std::net::TcpStream> = (0..200)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(weir.address()).expect("connect");
            stream.write_all(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n").expect("write");
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    println!("200 idle connections    {:6.1} MiB", weir.rss_mib("VmRSS"));
    drop(idle);
    let mut peak: f64 = 0.0;
    for _ in 0..10 {
        load(&loading, weir.address(), "/predict", Duration::from_secs(2));
        peak = peak.max(weir.rss_mib("VmRSS"));
    }
    println!("under load              {peak:6.1} MiB (peak {:.1})", weir.rss_mib("VmHWM"));
    println!("{}", weir.status()["calls"]);
}

/// Log append and drain: a backlog is laid down with the drain unable to keep up, then drained.
fn drain() {
    let dir = tempfile::tempdir().expect("a folder");
    let rows: u64 = 500_000;
    let value = row();
    let bytes = rows * value.len() as u64;
    let (append_wall, append_cpu) = lay_down(dir.path(), rows, ContentType::Json, &value);
    println!(
        "log append: {rows} rows of {} B, {:.0} MB/s of wall, {:.0} MB/s of CPU",
        value.len(),
        bytes as f64 / 1e6 / append_wall.as_secs_f64(),
        bytes as f64 / 1e6 / append_cpu.as_secs_f64()
    );
    let (used, wall, peak) = drain_of(dir.path());
    println!(
        "drain log -> Parquet: {:.0} MB/s of CPU, {:.0} MB/s of wall, {:.2} us a row, peak RSS {peak:.0} MiB",
        bytes as f64 / 1e6 / used.as_secs_f64(),
        bytes as f64 / 1e6 / wall.as_secs_f64(),
        used.as_secs_f64() * 1e6 / rows as f64,
    );
}

/// Drains what was laid down; CPU and wall of the drain, and its peak RSS in MiB.
fn drain_of(dir: &Path) -> (Duration, Duration, f64) {
    std::fs::write(dir.join("weir.yaml"), "version: 1\nroutes: { m: { upstream: http://127.0.0.1:1 } }\n")
        .expect("weir.yaml");
    let begun = Instant::now();
    let mut child = Command::new(WEIR)
        .args(["drain", "--once"])
        .current_dir(dir)
        .env("WEIR_LOG", "warn")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("weir runs");
    let pid = child.id();
    let (mut used, mut peak) = (Duration::ZERO, 0.0_f64);
    while child.try_wait().expect("wait").is_none() {
        if let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status"))
            && let Some(line) = status.lines().find(|l| l.starts_with("VmHWM"))
        {
            used = cpu(pid);
            peak = line.split_whitespace().nth(1).and_then(|k| k.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    (used, begun.elapsed(), peak)
}

/// One record of about 1 KiB in the form of the topic.
fn row() -> Bytes {
    let inputs: Vec<String> = (0..10).map(|i| format!("\"feature_{i}\":{}.{}", i * 17, i * 7919 % 997)).collect();
    let mut text = format!(
        "{{\"id\":\"0193c1a0-7d3e-7abc-8def-0123456789ab\",\"model_name\":\"m\",\"model_version\":\"v1\",\"inputs\":{{{}}},\
         \"outputs\":{{\"score\":0.8734512,\"label\":true}},\"occurred_at\":\"2026-11-25T02:00:00.123456Z\",\
         \"request_id\":\"0193c1a0-7d3e-7abc-8def-0123456789ab\",\"row_index\":0,\"row_count\":1,\"status_code\":200,\
         \"outcome\":\"complete\",\"origin\":\"model\",\"attempts\":1,\"upstream\":\"127.0.0.1:8000\",\"latency_ms\":3.125,\
         \"route\":\"m\",\"protocol\":\"json\",\"method\":\"POST\",\"path\":\"/predict\",\"request_bytes\":2048,\
         \"response_bytes\":1024,\"parse_status\":\"ok\",\"schema_version\":1,\"metadata\":{{\"content-type\":\"application/json\",\"note\":\"",
        inputs.join(",")
    );
    while text.len() < 1021 {
        text.push('n');
    }
    text.push_str("\"}}");
    Bytes::from(text)
}

/// Appends `rows` rows to the log of topic `m` as a gateway without a drain would; wall and CPU of this process.
fn lay_down(dir: &Path, rows: u64, content_type: ContentType, value: &Bytes) -> (Duration, Duration) {
    use weir::config::Config;
    use weir::ledger::Ledger;
    use weir::log::{Logs, Options, ReaderKind, Root};
    use weir::record::{Encoded, Recorded};
    let mut config = Config::for_upstream("http://127.0.0.1:1", Some("m")).expect("a configuration");
    let data = dir.join("weir-data");
    std::fs::create_dir_all(&data).expect("the folder");
    config.overrides(None, Some(data.clone()));
    let root = std::path::absolute(data.join("parquet")).expect("a path").display().to_string();
    // `weir drain --once` runs in `dir`, so its data folder is this one by another name.
    let options = Options { log: config.log.clone(), lanes: 1, reader: ReaderKind::Drain, root: Root::folder(root) };
    let logs = Logs::open(&data, options).expect("the log");
    let ledger = Ledger::open(&data.join("ledger"), logs.totals().calls).expect("the ledger");
    let (begun, before) = (Instant::now(), cpu(std::process::id()));
    for _ in 0..rows {
        logs.append(Recorded {
            ticket: ledger.see(),
            topic: "m".to_string(),
            content_type,
            rows: vec![Encoded { key: None, value: value.clone() }],
        });
    }
    logs.flush();
    let took = (begun.elapsed(), cpu(std::process::id()) - before);
    logs.close();
    took
}
