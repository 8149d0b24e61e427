//! What `curl -v` prints -> its lines, each known for what it is. Pure.
//!
//! It marks what it sent with `> ` and what it received with `< `, and prints the answer's body as it is. Where both go to one file or pipe
//! its progress meter is among them; with `--trace-time` each of its own lines begins with the time.

/// A line, without its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Line<'a> {
    /// Of the request's head.
    Sent(&'a [u8]),
    /// Of the answer's head.
    Received(&'a [u8]),
    /// Of the answer's body.
    Body(&'a [u8]),
    /// Curl's own words.
    Own,
}

/// Characters of the progress meter, at least so many in a row.
const METER: &[u8] = b"0123456789 -:.kMGTP";
const METER_BYTES_MIN: usize = 40;

/// Whether these are the words of `curl -v`: both heads are there.
pub fn is_verbose(bytes: &[u8]) -> bool {
    let (mut sent, mut received) = (false, false);
    lines(bytes).any(|line| {
        match line {
            Line::Sent(_) => sent = true,
            Line::Received(head) => received |= head.starts_with(b"HTTP/"),
            Line::Body(_) | Line::Own => {}
        }
        sent && received
    })
}

pub fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    bytes.split(|byte| *byte == b'\n').map(line)
}

fn line(line: &[u8]) -> Line<'_> {
    let own = without_time(without_meter(line));
    match own {
        [b'>', b' ' | b'\r', ..] | [b'>'] => Line::Sent(own[1..].trim_ascii()),
        [b'<', b' ' | b'\r', ..] | [b'<'] => Line::Received(own[1..].trim_ascii()),
        [b'*', b' ', ..] | [b'{' | b'}', b' ', b'[', ..] => Line::Own,
        _ if own.is_empty() && !line.is_empty() => Line::Own,
        _ if own.starts_with(b"  % Total ") || own.trim_ascii_start().starts_with(b"Dload  Upload") => Line::Own,
        body => Line::Body(without_last_words(body)),
    }
}

/// What is left when the progress meter is taken out, which begins with a carriage return and has no end of its own.
fn without_meter(line: &[u8]) -> &[u8] {
    let mut rest = line;
    while let Some(at) = memchr::memchr(b'\r', rest) {
        let after = &rest[at + 1..];
        let meter = after.iter().take_while(|byte| METER.contains(byte)).count();
        if at > 0 || meter < METER_BYTES_MIN || !after[..meter].contains(&b':') {
            break;
        }
        rest = &after[meter..];
    }
    rest
}

/// A line of curl's own without the time before it (`15:28:24.286136 `).
fn without_time(line: &[u8]) -> &[u8] {
    let is_time = |time: &[u8]| {
        time.iter().zip(b"00:00:00.000000 ").all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            mark => byte == mark,
        })
    };
    match line.split_at_checked(16) {
        Some((time, own @ [b'>' | b'<' | b'*' | b'{' | b'}', b' ', ..])) if is_time(time) => own,
        _ => line,
    }
}

/// A body that ends without a line's end has curl's last words behind it.
fn without_last_words(body: &[u8]) -> &[u8] {
    let words: [(&[u8], &[u8]); 2] = [(b"* Connection #", b"left intact"), (b"* Closing connection", b"")];
    let last = words.iter().filter(|(_, end)| body.trim_ascii_end().ends_with(end));
    match last.filter_map(|(begin, _)| memchr::memmem::rfind(body, begin)).min() {
        Some(at) => &body[..at],
        None => body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As curl 7.88 wrote it with `2>&1` into a pipe.
    const PIPED: &str = "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current
                                 Dload  Upload   Total   Spent    Left  Speed
\r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0*   Trying 127.0.0.1:18850...
* Connected to 127.0.0.1 (127.0.0.1) port 18850 (#0)
> POST /predict HTTP/1.1\r
> Content-Length: 7\r
> \r
} [7 bytes data]
< HTTP/1.1 200 OK\r
< content-type: application/json\r
< \r
{ [19 bytes data]
\r100    26  100    19  100     7   1236    455 --:--:-- --:--:-- --:--:--  1733\r100    26  100    19  100     7   1236    455 --:--:-- --:--:-- --:--:--  1733
* Connection #0 to host 127.0.0.1 left intact
{\"p\": 1,
 \"q\": \"x\"}";

    fn body(text: &str) -> Vec<&[u8]> {
        let body = |line| if let Line::Body(body) = line { Some(body) } else { None };
        lines(text.as_bytes()).filter_map(body).collect()
    }

    #[test]
    fn the_progress_meter_is_no_body() {
        assert!(is_verbose(PIPED.as_bytes()));
        assert_eq!(body(PIPED), [&b"{\"p\": 1,"[..], b" \"q\": \"x\"}"]);
        let heads = lines(PIPED.as_bytes()).filter(|line| matches!(line, Line::Sent(_) | Line::Received(_))).count();
        assert_eq!(heads, 6);
    }

    #[test]
    fn times_and_last_words_are_taken_off() {
        let text = "15:28:24.286136 > POST / HTTP/2\r\n15:28:24.286137 } [7 bytes data]\n15:28:24.288105 < HTTP/2 200 \r\n\
            15:28:24 is a body\n[1]* Connection #0 to host 127.0.0.1 left intact\n[2]* Closing connection 0\n";
        assert!(is_verbose(text.as_bytes()));
        assert_eq!(body(text), [&b"15:28:24 is a body"[..], b"[1]", b"[2]", b""]);
    }

    #[test]
    fn a_body_keeps_what_only_looks_like_curls() {
        for line in ["a,b\r", "\r1,2", "* Connection #1 of two", "{\"a\": \"> b\"}", "12:00:00.000000 24.5"] {
            let whole = if line.starts_with("* ") { Vec::new() } else { vec![line.as_bytes()] };
            assert_eq!(body(line), whole, "{line:?}");
        }
        assert!(!is_verbose(b"> quoted\n< HTTP is a word\n"));
    }
}
