//! Bytes of a file -> one side of a call, or both: a bare body, an HTTP/1.1 message, a request and its answer one after the other, or
//! what `curl -v` printed. Pure.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::curl::{self, Line};

/// One side, as far as the file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// Of a request.
    pub path: Option<String>,
    /// Of an answer.
    pub status: Option<u16>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A request, and its answer if the file holds it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pair {
    pub request: Message,
    pub response: Option<Message>,
}

impl Pair {
    /// # Errors
    /// What is wrong with a head.
    pub fn read(bytes: &[u8]) -> Result<Pair, String> {
        if curl::is_verbose(bytes) {
            return verbose(bytes);
        }
        let mut request = Message::read(bytes)?;
        let answer = request.path.as_ref().and_then(|_| answer_within(&request.body));
        let response = answer.map(|at| Message::read(&request.body[at..])).transpose()?;
        if let Some(at) = answer {
            request.body.truncate(request.body[..at].trim_ascii_end().len());
        }
        Ok(Pair { request, response })
    }
}

impl Message {
    /// A body as it is, or a message with its head.
    ///
    /// # Errors
    /// What is wrong with its head.
    pub fn read(bytes: &[u8]) -> Result<Message, String> {
        let Some(first) = bytes.split(|byte| *byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok())
        else {
            return Ok(Message { body: bytes.to_vec(), ..Message::default() });
        };
        if !is_first_line(first.trim_end()) {
            return Ok(Message { body: bytes.to_vec(), ..Message::default() });
        }
        let (head, body) = match (memchr::memmem::find(bytes, b"\r\n\r\n"), memchr::memmem::find(bytes, b"\n\n")) {
            (Some(at), other) if other.is_none_or(|other| at < other) => (&bytes[..at], &bytes[at + 4..]),
            (_, Some(at)) => (&bytes[..at], &bytes[at + 2..]),
            _ => (bytes, &[][..]),
        };
        let head = std::str::from_utf8(head).map_err(|_| "its head is no text".to_owned())?;
        let mut message = Message { body: body.to_vec(), ..Message::default() };
        for line in head.lines() {
            message.head_line(line)?;
        }
        Ok(message)
    }

    /// Takes the first line or a header line.
    fn head_line(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim_end();
        if is_first_line(line) {
            let mut words = line.split(' ');
            let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if first.starts_with("HTTP/") {
                // An interim answer (100) stands before the final one.
                *self = Message { body: std::mem::take(&mut self.body), ..Message::default() };
                self.status = Some(second.parse().map_err(|_| format!("`{line}` has no status"))?);
            } else {
                self.headers.clear();
                self.path = Some(second.split('?').next().unwrap_or_default().to_owned());
            }
            return Ok(());
        }
        if line.is_empty() {
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("`{line}` is no header line"))?;
        let name =
            HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| format!("`{name}` is no header's name"))?;
        let value = HeaderValue::from_str(value.trim()).map_err(|_| format!("the value of `{name}` is none"))?;
        self.headers.append(name, value);
        Ok(())
    }
}

fn is_first_line(line: &str) -> bool {
    let mut words = line.split(' ');
    let (first, second, third) = (words.next().unwrap_or_default(), words.next(), words.next());
    let is_answer = first.starts_with("HTTP/") && second.is_some_and(|status| status.parse::<u16>().is_ok());
    let is_method = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_uppercase());
    is_answer
        || (is_method
            && second.is_some_and(|path| path.starts_with('/'))
            && third.is_some_and(|v| v.starts_with("HTTP/")))
}

/// Where an answer begins in what follows a request's head.
fn answer_within(body: &[u8]) -> Option<usize> {
    let begins = |at: usize| {
        let line = body[at..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.starts_with(b"HTTP/") && std::str::from_utf8(line).is_ok_and(|line| is_first_line(line.trim_end()))
    };
    let lines = memchr::memchr_iter(b'\n', body).map(|at| at + 1);
    std::iter::once(0).chain(lines).find(|at| begins(*at))
}

/// Of several exchanges (a redirection, a second address) the last one counts.
fn verbose(bytes: &[u8]) -> Result<Pair, String> {
    let mut request = Message::default();
    let mut response = Message::default();
    let mut body: Vec<&[u8]> = Vec::new();
    for line in curl::lines(bytes) {
        match line {
            Line::Sent(head) => request.head_line(&String::from_utf8_lossy(head))?,
            Line::Received(head) => {
                if head.starts_with(b"HTTP/") {
                    body.clear();
                }
                response.head_line(&String::from_utf8_lossy(head))?;
            }
            Line::Body(line) => body.push(line),
            Line::Own => {}
        }
    }
    response.body = body.join(&b'\n').trim_ascii().to_vec();
    // With `-i` the head stands before the body once more.
    if response.body.starts_with(b"HTTP/") {
        response.body = Message::read(&response.body)?.body;
    }
    // With `--compressed` the head tells of a coding that curl has undone.
    if std::str::from_utf8(&response.body).is_ok() {
        response.headers.remove(http::header::CONTENT_ENCODING);
    }
    Ok(Pair { request, response: Some(response) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_taken_as_it_is() {
        for body in [&b"{\"a\":1}"[..], b"a,b\n1,2\n", b"\xff\x00", b"", b"POST it"] {
            assert_eq!(Pair::read(body).expect("a body").request.body, body);
        }
    }

    #[test]
    fn a_message_has_a_head() {
        for newline in ["\n", "\r\n"] {
            let text = ["POST /v2/models/m/infer?x=1 HTTP/1.1", "Content-Type: application/json", "", "{\"a\":\n\n1}"];
            let message = Message::read(text.join(newline).as_bytes()).expect("a message");
            assert_eq!(message.path.as_deref(), Some("/v2/models/m/infer"));
            assert_eq!(message.headers["content-type"], "application/json");
            assert_eq!(message.body, b"{\"a\":\n\n1}");
        }
        let answer = Message::read(b"HTTP/1.1 404 Not Found\r\nx: y\r\n\r\nno").expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (Some(404), &b"no"[..]));
        assert!(Message::read(b"POST / HTTP/1.1\nno colon\n\n{}").is_err());
    }

    #[test]
    fn an_answer_may_follow_its_request() {
        let text = "POST /p HTTP/1.1\ncontent-type: application/json\n\n{\"a\": \"HTTP/1.1 200\"}\n\nHTTP/1.1 422 No\nx: y\n\n{\"p\": 1}\n";
        let pair = Pair::read(text.as_bytes()).expect("a pair");
        assert_eq!(
            (pair.request.path.as_deref(), pair.request.body.as_slice()),
            (Some("/p"), &b"{\"a\": \"HTTP/1.1 200\"}"[..])
        );
        let answer = pair.response.expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (Some(422), &b"{\"p\": 1}\n"[..]));
        assert_eq!(
            Pair::read(b"GET / HTTP/1.1\n\nHTTP/1.1 200 OK\n\n").expect("a pair").response.expect("an answer").status,
            Some(200)
        );
        assert_eq!(Pair::read(b"{}\nHTTP/1.1 200 OK\n\n").expect("a body").response, None);
    }

    #[test]
    fn what_curl_prints_holds_both_sides() {
        let text = "* Connected to 127.0.0.1\n> POST /predict HTTP/1.1\r\n> Host: 127.0.0.1:7600\r\n> content-type: text/csv\r\n> \r\n\
            } [12 bytes data]\n< HTTP/1.1 100 Continue\r\n< \r\n< HTTP/1.1 200 OK\r\n< content-type: application/json\r\n< \r\n\
            { [10 bytes data]\n{\"p\":\n1}\n* Connection #0 left intact\n";
        let pair = Pair::read(text.as_bytes()).expect("a transcript");
        assert_eq!(pair.request.path.as_deref(), Some("/predict"));
        assert_eq!(pair.request.headers["content-type"], "text/csv");
        let answer = pair.response.expect("an answer");
        assert_eq!(answer.status, Some(200));
        assert_eq!(answer.body, b"{\"p\":\n1}");
    }

    #[test]
    fn of_several_exchanges_the_last_one_counts() {
        let text = "> POST /old HTTP/1.1\n> x-old: 1\n> \n< HTTP/1.1 308 Permanent Redirect\n< location: /new\n< \nmoved\n\
            > POST /new HTTP/1.1\n> \n< HTTP/1.1 200 OK\n< content-encoding: gzip\n< \nHTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n[1]\n";
        let pair = Pair::read(text.as_bytes()).expect("a transcript");
        assert_eq!((pair.request.path.as_deref(), pair.request.headers.len()), (Some("/new"), 0));
        let answer = pair.response.expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (Some(200), &b"[1]"[..]));
        assert!(answer.headers.is_empty(), "curl has undone the coding: {:?}", answer.headers);
    }
}
