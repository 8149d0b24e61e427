//! A model server of the tests' own: answers each row with its double, or does what the request's path says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Listens on a free loopback port until the process ends.
pub struct Model {
    pub address: SocketAddr,
    /// Requests that were read to their end.
    pub requests: Arc<AtomicU64>,
    /// What it answers for `/openapi.json`, with this status.
    pub openapi: Arc<Mutex<(u16, String)>>,
}

impl Model {
    pub fn start() -> Model {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicU64::new(0));
        let openapi = Arc::new(Mutex::new((404, "{}".to_owned())));
        let (count, said) = (requests.clone(), openapi.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (count, said) = (count.clone(), said.clone());
                std::thread::spawn(move || {
                    let _ended = serve(stream, &count, &said);
                });
            }
        });
        Model { address, requests, openapi }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(stream: TcpStream, count: &AtomicU64, openapi: &Mutex<(u16, String)>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut path = String::new();
        let mut length = 0;
        let mut first = true;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if first {
                path = line.split(' ').nth(1).unwrap_or("/").to_string();
                first = false;
            } else if line.is_empty() {
                break;
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        count.fetch_add(1, Ordering::SeqCst);
        let (status, answer) = match path.as_str() {
            "/openapi.json" => openapi.lock().expect("no panic").clone(),
            _ => answer(&path, &body),
        };
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
}

/// `/slow/<ms>` waits first; `/status/<code>` answers with that status; `/echo` gives back what was sent; everything else doubles `x`.
fn answer(path: &str, body: &[u8]) -> (u16, String) {
    let mut status = 200;
    let parts: Vec<&str> = path.split('/').collect();
    for pair in parts.windows(2) {
        match pair {
            ["slow", ms] => std::thread::sleep(Duration::from_millis(ms.parse().unwrap_or(0))),
            ["status", code] => status = code.parse().unwrap_or(500),
            _ => {}
        }
    }
    if parts.contains(&"echo") {
        return (status, String::from_utf8_lossy(body).into_owned());
    }
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let double = |v: &serde_json::Value| serde_json::json!({"y": v["x"].as_f64().unwrap_or(0.0) * 2.0});
    let answer = match &value {
        serde_json::Value::Array(rows) => serde_json::Value::Array(rows.iter().map(double).collect()),
        one => double(one),
    };
    (status, answer.to_string())
}
