//! A plain blocking HTTP/1.1 client: one keep-alive connection, one request at a time, everything as it stood on the wire.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

pub struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON answer")
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client { address, stream: None }
    }

    /// Sends a request and reads its whole answer; a failure drops the connection.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
        let answer = self.exchange(method, path, headers, body);
        match &answer {
            Ok(answer) if answer.header("connection") == Some("close") => self.stream = None,
            Ok(_) => {}
            Err(_) => self.stream = None,
        }
        answer
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> std::io::Result<Answer> {
        self.send("POST", path, &[("content-type", "application/json")], body)
    }

    pub fn get(&mut self, path: &str) -> std::io::Result<Answer> {
        self.send("GET", path, &[], b"")
    }

    fn exchange(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(super::PATIENCE))?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().expect("connected above");
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n", self.address, body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        stream.get_mut().write_all(&request)?;
        read_answer(stream)
    }
}

fn read_answer(stream: &mut BufReader<TcpStream>) -> std::io::Result<Answer> {
    let status_line = line(stream)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| std::io::Error::other(format!("no status line: {status_line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let text = line(stream)?;
        if text.is_empty() {
            break;
        }
        if let Some((name, value)) = text.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
        }
    }
    let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let mut body = Vec::new();
    if find("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
        loop {
            let size = line(stream)?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16)
                .map_err(|_| std::io::Error::other(format!("no chunk size: {size:?}")))?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk)?;
            body.extend_from_slice(&chunk);
            line(stream)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = find("content-length").and_then(|v| v.parse::<usize>().ok()) {
        body = vec![0; length];
        stream.read_exact(&mut body)?;
    } else {
        stream.read_to_end(&mut body)?;
    }
    Ok(Answer { status, headers, body })
}

fn line(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    if stream.read_line(&mut text)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_string())
}

/// A request as a test's own server reads it.
pub struct Asked {
    head: Vec<String>,
    pub body: Vec<u8>,
}

impl Asked {
    /// The next request of a connection, with a body of the length that it states; `None`: the client has gone.
    pub fn read(stream: &mut impl std::io::BufRead) -> std::io::Result<Option<Asked>> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            if line.trim_end().is_empty() {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let mut asked = Asked { head, body: Vec::new() };
        asked.body = vec![0; asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
        stream.read_exact(&mut asked.body)?;
        Ok(Some(asked))
    }

    /// Method, path and version.
    pub fn line(&self) -> &str {
        &self.head[0]
    }

    pub fn header(&self, name: &str) -> Option<String> {
        self.head.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}
