//! An S3 server's front door that a test keeps: lets requests pass, counts what comes back, answers in the server's place,
//! keeps them waiting, or takes a header out of them. One request per connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is done with a request.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    Pass,
    /// An error of S3: status and code.
    Answer(u16, &'static str),
    /// The same for every so many-th request; the others pass.
    Sometimes(usize, u16, &'static str),
    /// Passes after a while.
    Late(Duration),
    /// Passes without this header, given in lower case. For a server that does not check signatures.
    Without(&'static str),
}

/// A request that came, and what was sent back.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method and path.
    pub line: String,
    pub ranged: bool,
    /// Bytes of the answer, its head included.
    pub bytes: u64,
}

pub struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    rule: Mutex<Rule>,
    asked: Mutex<Vec<Asked>>,
    /// Requests that [`Rule::Sometimes`] has seen.
    count: AtomicUsize,
    ended: AtomicBool,
}

impl Front {
    /// Before the server of an account's endpoint.
    pub fn to(endpoint: &str) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = endpoint.trim_start_matches("http://").parse().expect("an address of loopback");
        let shared = Arc::new(Shared {
            server,
            rule: Mutex::new(Rule::Pass),
            asked: Mutex::default(),
            count: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = serving.clone();
                // A side that goes away ends its connection and nothing else.
                std::thread::spawn(move || drop(shared.serve(&client)));
            }
        });
        Front { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, rule: Rule) {
        *self.shared.rule.lock().expect("no panic") = rule;
    }

    /// Everything asked since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.asked.lock().expect("no panic"))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, mut client: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(client);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            head.push(line);
        }
        let is = |line: &str, name: &str| line.to_lowercase().starts_with(&format!("{name}:"));
        let length = head.iter().find(|line| is(line, "content-length"));
        let length = length.and_then(|line| line.split(':').nth(1)?.trim().parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;

        let rule = match *self.rule.lock().expect("no panic") {
            Rule::Sometimes(every, status, code) => match self.count.fetch_add(1, Ordering::SeqCst) % every {
                0 => Rule::Answer(status, code),
                _ => Rule::Pass,
            },
            rule => rule,
        };
        let mut answer = Vec::new();
        match rule {
            Rule::Answer(status, code) => {
                let body = format!("<Error><Code>{code}</Code><Message>as the test says</Message></Error>");
                let length = body.len();
                write!(
                    answer,
                    "HTTP/1.1 {status} X\r\ncontent-type: application/xml\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                )?;
            }
            Rule::Pass | Rule::Sometimes(..) | Rule::Late(_) | Rule::Without(_) => {
                if let Rule::Late(wait) = rule {
                    std::thread::sleep(wait);
                }
                let mut server = TcpStream::connect(self.server)?;
                let without = if let Rule::Without(header) = rule { header } else { "connection" };
                let kept = head.iter().filter(|line| !is(line, without) && !is(line, "connection"));
                let kept: String = kept.map(String::as_str).collect();
                server.write_all(format!("{kept}Connection: close\r\n\r\n").as_bytes())?;
                server.write_all(&body)?;
                server.read_to_end(&mut answer)?;
            }
        }
        let line = head.first().map(|line| line.trim_end_matches(" HTTP/1.1\r\n").to_owned()).unwrap_or_default();
        let ranged = head.iter().any(|line| is(line, "range"));
        self.asked.lock().expect("no panic").push(Asked { line, ranged, bytes: answer.len() as u64 });
        client.write_all(&answer)?;
        client.shutdown(Shutdown::Write)
    }
}
