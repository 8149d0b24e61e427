//! An S3 server that says what the test tells it to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::super::create::crc32;
use super::super::*;

/// What the server does with one request.
#[derive(Clone)]
pub(super) enum Say {
    /// Status, headers after the first ones, body.
    Answer(u16, &'static str, String),
    /// Reads the whole request and closes.
    Nothing,
    /// Sends half of what it announced.
    Half,
    /// Keeps the connection and says nothing.
    Silence,
}

/// A request's first line and headers in lower case, and its body.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

pub(super) struct Scripted {
    pub store: S3Store,
    pub endpoint: String,
    pub requests: Arc<Mutex<Vec<Request>>>,
    _runtime: tokio::runtime::Runtime,
}

type Answers = Arc<Mutex<dyn FnMut(&Request) -> Say + Send>>;

/// Plays `script`, one step per request; the last step is repeated.
pub(super) fn scripted<const N: usize>(script: [Say; N]) -> Scripted {
    let mut script = VecDeque::from(script);
    scripted_by(|_| {}, move |_| if script.len() > 1 { script.pop_front() } else { script.front().cloned() }.unwrap())
}

/// Answers each request as `say` says, to a store that is configured as `change` changes it.
pub(super) fn scripted_by(
    change: impl FnOnce(&mut config::S3),
    say: impl FnMut(&Request) -> Say + Send + 'static,
) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let answers: Answers = Arc::new(Mutex::new(say));
    let seen = requests.clone();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let (seen, answers) = (seen.clone(), answers.clone());
            thread::spawn(move || serve(&connection.unwrap(), &seen, &answers));
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut s3 = config::S3 {
        bucket: "bucket".to_owned(),
        prefix: "p".to_owned(),
        endpoint: Some(endpoint.clone()),
        region: Some("us-east-1".to_owned()),
        path_style: true,
        sse_kms: None,
        multipart_bytes: config::MULTIPART_BYTES,
    };
    change(&mut s3);
    let key = Credentials::new("key-id", "the-secret", None, None, "test");
    let store = S3Store::build(&s3, runtime.handle(), Some(key), LIMITS).unwrap();
    Scripted { store, endpoint, requests, _runtime: runtime }
}

fn serve(mut connection: &TcpStream, seen: &Mutex<Vec<Request>>, answers: &Mutex<dyn FnMut(&Request) -> Say + Send>) {
    let mut reader = BufReader::new(connection);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request = Request { head, body };
        let step = answers.lock().unwrap()(&request);
        seen.lock().unwrap().push(request);
        match step {
            Say::Answer(status, headers, body) => {
                let length = body.len();
                write!(connection, "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}").unwrap();
            }
            Say::Nothing => return,
            Say::Half => {
                write!(connection, "HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
                return;
            }
            Say::Silence => {
                // Until the other side gives up.
                let _ended = reader.read_to_end(&mut Vec::new());
                return;
            }
        }
    }
}

pub(super) fn error(status: u16, code: &str) -> Say {
    Say::Answer(
        status,
        "content-type: application/xml\r\n",
        format!("<Error><Code>{code}</Code><Message>m</Message></Error>"),
    )
}

pub(super) fn ok() -> Say {
    Say::Answer(200, "", String::new())
}

/// To an upload: it is stored, by the checksum.
pub(super) fn stored(content: &[u8]) -> Say {
    Say::Answer(200, format!("x-amz-checksum-crc32: {}\r\n", crc32(content)).leak(), String::new())
}

impl Scripted {
    pub fn create(&self) -> Result<Created, StoreError> {
        self.store.create("t/a.parquet", Content::Bytes(Bytes::from_static(b"content")))
    }

    pub fn methods(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|request| request.head.split(' ').next().unwrap().to_owned()).collect()
    }
}
