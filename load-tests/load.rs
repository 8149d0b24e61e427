//! Measurements of weir, as ratios within one run: `cargo bench --bench load -- <what>`; see load-tests/README.md.
//!
//! CPU is user + system time of the measured process from `/proc/<pid>/stat`, so the load generator and the model server,
//! which run in this process, are not counted.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weir::record::ContentType;

use process::{binary, cpu, median, mib};
use traffic::{load, model, runtime};

/// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod call;
mod forms;
mod recorders;
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod process;
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod traffic;

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
        Some("recorders") => recorders::recorders(what.get(1).map_or("", String::as_str)),
        _ => eprintln!(
            "usage: cargo bench --bench load -- proxy | pipeline | memory | drain | forms | recorders [PROTOCOL]"
        ),
    }
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
        let child = Command::new(binary())
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
        mib(self.child.id(), which)
    }

    fn command(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(binary()).args(arguments).current_dir(self.dir.path()).output().expect("weir runs")
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
    let mut child = Command::new(binary())
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
        let now = mib(pid, "VmHWM");
        if now > 0.0 {
            (used, peak) = (cpu(pid), now);
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
    let ledger = Ledger::open(&data.join("ledger"), logs.totals().logged()).expect("the ledger");
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
