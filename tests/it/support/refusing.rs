//! An S3 that refuses: every request gets the same error, as a real one gives it while it is overloaded or forbids.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Listens on a free loopback port until the process ends, and answers `503 SlowDown`, `403 AccessDenied` or what else is said.
pub fn refusing(status: u16, code: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ended = serve(stream, status, code);
            });
        }
    });
    address
}

fn serve(stream: TcpStream, status: u16, code: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut head) = (0, false);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().unwrap_or(0)
                }
                _ if line.starts_with("HEAD ") => head = true,
                _ if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        // To its end: an answer to half a request may be lost by a reset.
        std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink())?;
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>not now</Message></Error>");
        let shown = if head { "" } else { &body };
        let length = body.len();
        write!(
            stream.get_mut(),
            "HTTP/1.1 {status} X\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\r\n{shown}"
        )?;
    }
}
