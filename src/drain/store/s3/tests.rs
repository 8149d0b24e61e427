//! Answers that a real S3 server does not give on demand, from a server that says what the test tells it to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;

/// What the server does with one request.
#[derive(Clone)]
enum Say {
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
struct Request {
    head: String,
    body: Vec<u8>,
}

struct Scripted {
    store: S3Store,
    requests: Arc<Mutex<Vec<Request>>>,
    _runtime: tokio::runtime::Runtime,
}

/// Plays `script`, one step per request; the last step is repeated.
fn scripted<const N: usize>(script: [Say; N]) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let script = Arc::new(Mutex::new(VecDeque::from(script)));
    let seen = requests.clone();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let (seen, script) = (seen.clone(), script.clone());
            thread::spawn(move || serve(&connection.unwrap(), &seen, &script));
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let s3 = config::S3 {
        bucket: "bucket".to_owned(),
        prefix: "p".to_owned(),
        endpoint: Some(endpoint),
        region: None,
        path_style: true,
    };
    let limits = Limits { read: Duration::from_millis(1500), ..LIMITS };
    let key = Credentials::new("key-id", "the-secret", None, None, "test");
    let store = S3Store::build(&s3, runtime.handle(), Some(key), limits).unwrap();
    Scripted { store, requests, _runtime: runtime }
}

fn serve(mut connection: &TcpStream, seen: &Mutex<Vec<Request>>, script: &Mutex<VecDeque<Say>>) {
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
        seen.lock().unwrap().push(Request { head, body });
        let step = {
            let mut script = script.lock().unwrap();
            if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
        };
        match step.unwrap() {
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

fn error(status: u16, code: &str) -> Say {
    Say::Answer(
        status,
        "content-type: application/xml\r\n",
        format!("<Error><Code>{code}</Code><Message>m</Message></Error>"),
    )
}

fn ok() -> Say {
    Say::Answer(200, "", String::new())
}

impl Scripted {
    fn create(&self) -> Result<Created, StoreError> {
        self.store.create("t/a.parquet", Content::Bytes(Bytes::from_static(b"content")))
    }

    fn methods(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|request| request.head.split(' ').next().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_create_is_one_plain_conditional_put() {
    let s3 = scripted([ok()]);
    assert_eq!(s3.create().unwrap(), Created::New);
    let requests = s3.requests.lock().unwrap();
    let Request { head, body } = &requests[0];
    assert!(head.starts_with("put /bucket/p/t/a.parquet"), "{head}");
    assert!(head.contains("\r\nif-none-match: *\r\n") && head.contains("\r\ncontent-length: 7\r\n"), "{head}");
    // What stores that are not AWS stumble over.
    assert!(!head.contains("aws-chunked") && !head.contains("x-amz-trailer") && !head.contains("crc32"), "{head}");
    assert_eq!((body.as_slice(), requests.len()), (b"content".as_slice(), 1));
}

#[test]
fn every_answer_to_a_create_is_one_the_drain_can_act_on_and_nothing_is_asked_twice() {
    let s3 = scripted([error(412, "PreconditionFailed")]);
    assert_eq!(s3.create().unwrap(), Created::Exists);
    for (say, kind) in [
        (error(503, "SlowDown"), Kind::Retry),
        (error(500, "InternalError"), Kind::Retry),
        (Say::Answer(502, "", "<html>a proxy's page</html>".to_owned()), Kind::Retry),
        (Say::Nothing, Kind::Retry),
        (error(403, "AccessDenied"), Kind::Stop),
        (error(404, "NoSuchBucket"), Kind::Stop),
        (error(400, "InvalidArgument"), Kind::Stop),
        (error(501, "NotImplemented"), Kind::Stop),
        (error(301, "PermanentRedirect"), Kind::Stop),
    ] {
        let s3 = scripted([say]);
        let error = s3.create().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("s3://bucket/p/t/a.parquet"), "{error}");
        assert!(!error.to_string().contains("the-secret"), "{error}");
        assert_eq!(s3.methods(), ["put"], "{error}");
    }
}

#[test]
fn after_a_conflict_the_object_itself_is_asked() {
    let s3 = scripted([error(409, "ConditionalRequestConflict"), ok()]);
    assert_eq!(s3.create().unwrap(), Created::Exists);
    assert_eq!(s3.methods(), ["put", "head"]);
    for second in [error(404, ""), error(403, ""), Say::Nothing] {
        let s3 = scripted([error(409, "ConditionalRequestConflict"), second]);
        assert_eq!(s3.create().unwrap_err().kind(), Kind::Retry);
    }
}

#[test]
fn a_server_that_says_nothing_does_not_hold_a_create_for_ever() {
    let s3 = scripted([Say::Silence]);
    assert_eq!(s3.create().unwrap_err().kind(), Kind::Retry);
    assert_eq!(s3.methods(), ["put"]);
}

#[test]
fn reads_are_asked_again_and_half_an_answer_is_none() {
    let whole = Say::Answer(200, "", "whole".to_owned());
    let s3 = scripted([error(503, "SlowDown"), Say::Half, whole]);
    assert_eq!(s3.store.get("t/a").unwrap().unwrap(), "whole");
    assert_eq!(s3.methods(), ["get", "get", "get"]);
    let s3 = scripted([Say::Half]);
    assert_eq!(s3.store.get("t/a").unwrap_err().kind(), Kind::Retry);
    assert_eq!(s3.methods().len(), READ_ATTEMPTS as usize);
    let s3 = scripted([error(404, "NoSuchKey")]);
    assert_eq!(s3.store.get("t/a").unwrap(), None);
    // A page of another server is no word on whether the head of a chain exists.
    let s3 = scripted([Say::Answer(404, "", "not found".to_owned())]);
    assert_eq!(s3.store.get("t/a").unwrap_err().kind(), Kind::Stop);
}

#[test]
fn a_store_without_ranges_still_gives_the_end() {
    let s3 = scripted([Say::Answer(200, "", "0123456789".to_owned())]);
    assert_eq!(s3.store.tail("t/a", 4).unwrap().unwrap(), (Bytes::from("6789"), 10));
    assert!(s3.requests.lock().unwrap()[0].head.contains("\r\nrange: bytes=-4\r\n"));
    let s3 = scripted([Say::Answer(206, "content-range: bytes 996-999/1000\r\n", "6789".to_owned())]);
    assert_eq!(s3.store.tail("t/a", 4).unwrap().unwrap(), (Bytes::from("6789"), 1000));
}

#[test]
fn a_transfer_has_time_for_its_size_and_an_end() {
    assert_eq!(LIMITS.transfer(0), LIMITS.read);
    assert!(LIMITS.transfer(128 << 20) > LIMITS.transfer(64 << 20));
    assert_eq!(LIMITS.transfer(u64::MAX), LIMITS.transfer_max);
}
