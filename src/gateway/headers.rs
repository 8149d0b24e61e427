//! The header rules, both ways: one look over the head says what it asks for, then only what was seen is taken off.
//!
//! Hop-by-hop fields end here: those named by any `connection` line (except names that mean something to the server
//! behind, which no client may strip that way), and the fixed list. The framing is ours again on the other side.

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, FORWARDED, HOST,
    HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{Method, Version};

use super::ids;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The call's id, on answers.
pub(super) const WEIR_ID: HeaderName = HeaderName::from_static("x-weir-id");
/// The code of an answer that weir made itself.
pub(super) const WEIR_ERROR: HeaderName = HeaderName::from_static("x-weir-error");
const WEIR_PREFIX: &str = "x-weir-";
const TAG_PREFIX: &str = "x-weir-tag-";

/// Taken off in both directions, whatever `connection` says. (`trailer` stays: it announces what follows the body.)
const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TRANSFER_ENCODING, UPGRADE];

/// Names that a server behind may trust: spelled with `_` they would arrive as the same variable (CGI, WSGI).
const TRUSTED: [&str; 12] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
    "x-real-ip",
    "content-length",
    "content-type",
    "transfer-encoding",
    "x-weir-id",
    "x-weir-capture",
    "host",
    "authorization",
];

/// Why a head is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Two readers could understand it differently.
    Ambiguous(&'static str),
    /// A method or an upgrade that is not forwarded.
    NotForwarded(&'static str),
}

/// What the client asked to be recorded, by `x-weir-capture`; the later, the more private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Wish {
    #[default]
    Nothing,
    Metadata,
    Off,
}

impl Wish {
    fn of(value: &[u8]) -> Wish {
        let word = value.trim_ascii();
        if word.eq_ignore_ascii_case(b"off") {
            Wish::Off
        } else if word.eq_ignore_ascii_case(b"metadata") {
            Wish::Metadata
        } else {
            Wish::Nothing
        }
    }
}

/// What one look over a request's head found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    hop_by_hop: bool,
    te: bool,
    weir: bool,
    forwarded_for: bool,
    forwarded_proto: bool,
    forwarded_host: bool,
    request_id: bool,
    traceparent: bool,
    /// Other proxies have passed the request on.
    pub(super) via: bool,
    /// The client waits for `100 Continue`.
    pub(super) expect: bool,
    pub(super) wish: Wish,
}

/// Looks over a request's head.
///
/// Of `content-length` and `transfer-encoding` in one head, hyper takes the first off before it is seen here, reads the
/// body by its chunks and ends the connection after the answer (RFC 9112, 6.3): nothing that follows is read as a request.
pub(super) fn inspect(method: &Method, version: Version, absolute: bool, headers: &HeaderMap) -> Result<Seen, Refusal> {
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Err(Refusal::NotForwarded("the methods CONNECT and TRACE are not forwarded"));
    }
    let mut seen = Seen::default();
    let (mut hosts, mut codings) = (0, 0);
    for (name, value) in headers {
        match *name {
            HOST => {
                hosts += 1;
                if !is_host(value.as_bytes()) {
                    return Err(Refusal::Ambiguous("the host header is not a host"));
                }
            }
            TRANSFER_ENCODING => {
                seen.hop_by_hop = true;
                codings += 1;
                if codings > 1 || !is_chunked(value) {
                    return Err(Refusal::Ambiguous("the transfer coding is not `chunked` alone"));
                }
            }
            CONNECTION | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION => seen.hop_by_hop = true,
            // A client may offer h2c on every first request and go on in HTTP/1.1 when nobody answers it.
            UPGRADE if value.as_bytes().eq_ignore_ascii_case(b"h2c") => seen.hop_by_hop = true,
            UPGRADE => return Err(Refusal::NotForwarded("upgrades (web sockets) are not forwarded")),
            EXPECT => seen.expect = true,
            VIA => seen.via = true,
            TE => seen.te = true,
            _ => {
                let text = name.as_str();
                match text {
                    "keep-alive" | "proxy-connection" | "http2-settings" => seen.hop_by_hop = true,
                    "x-forwarded-for" => seen.forwarded_for = true,
                    "x-forwarded-proto" => seen.forwarded_proto = true,
                    "x-forwarded-host" => seen.forwarded_host = true,
                    "x-request-id" => seen.request_id = true,
                    "traceparent" => seen.traceparent = true,
                    "x-weir-capture" => {
                        seen.weir = true;
                        // Of several lines or words the most private counts, whatever their order.
                        let asked = value.as_bytes().split(|byte| *byte == b',').map(Wish::of);
                        seen.wish = asked.fold(seen.wish, Wish::max);
                    }
                    _ if text.starts_with(WEIR_PREFIX) => seen.weir = true,
                    _ if text.as_bytes().contains(&b'_') && TRUSTED.contains(&text.replace('_', "-").as_str()) => {
                        return Err(Refusal::Ambiguous("a header name with `_` can be taken for a trusted one"));
                    }
                    _ => {}
                }
            }
        }
    }
    match hosts {
        0 if version >= Version::HTTP_11 && !absolute => Err(Refusal::Ambiguous("there is no host header")),
        0 | 1 => Ok(seen),
        _ => Err(Refusal::Ambiguous("there is more than one host header")),
    }
}

/// Whether the gateway whose entry `via` is has passed the request on before.
pub(super) fn came_from(via: &HeaderValue, headers: &HeaderMap) -> bool {
    headers
        .get_all(VIA)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|entry| entry.trim_ascii() == via)
}

/// What weir adds to a request it forwards.
pub(super) struct Additions<'a> {
    pub(super) client: IpAddr,
    /// The client's address as text, made once per connection.
    pub(super) client_text: &'a HeaderValue,
    /// The upstream's `host:port`.
    pub(super) host: &'a HeaderValue,
    /// For `x-request-id`, if the client sent none that can be passed.
    pub(super) request_id: &'a HeaderValue,
    /// This gateway's entry for `via`.
    pub(super) via: &'a HeaderValue,
}

/// Makes a client's head the upstream's. Returns the tags (`x-weir-tag-<name>`) it took off.
pub(super) fn to_upstream(headers: &mut HeaderMap, seen: Seen, add: &Additions<'_>) -> Vec<(String, String)> {
    // A field of the protected names survives its nomination, `host` and the framing are set anew below and by hyper.
    if seen.hop_by_hop {
        strip_hop_by_hop(headers);
    }
    if seen.te {
        let trailers = headers.get_all(TE).iter().any(|value| has_token(value, "trailers"));
        headers.remove(TE);
        if trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
    if seen.expect {
        headers.remove(EXPECT);
    }
    let tags = if seen.weir { take_tags(headers) } else { Vec::new() };
    forward_for(headers, seen, add);
    headers.append(VIA, add.via.clone());
    if !seen.request_id || !single(headers, &REQUEST_ID).is_some_and(|value| ids::is_request_id(value.as_bytes())) {
        headers.insert(REQUEST_ID, add.request_id.clone());
    }
    if !seen.traceparent || !single(headers, &TRACEPARENT).is_some_and(|value| ids::is_traceparent(value.as_bytes())) {
        // A state belongs to the trace that it came with.
        headers.remove(TRACESTATE);
        headers.insert(TRACEPARENT, ids::traceparent());
    }
    tags
}

fn forward_for(headers: &mut HeaderMap, seen: Seen, add: &Additions<'_>) {
    let asked = headers.insert(HOST, add.host.clone());
    if seen.forwarded_for {
        let mut list = Vec::with_capacity(64);
        for value in headers.get_all(FORWARDED_FOR) {
            list.extend_from_slice(value.as_bytes());
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(add.client.to_string().as_bytes());
        // Made of header values and an address: always one itself.
        if let Ok(list) = HeaderValue::from_bytes(&list) {
            headers.insert(FORWARDED_FOR, list);
        }
    } else {
        headers.insert(FORWARDED_FOR, add.client_text.clone());
    }
    if !seen.forwarded_proto {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !seen.forwarded_host
        && let Some(asked) = asked
    {
        headers.insert(FORWARDED_HOST, asked);
    }
}

/// Whether an answer's framing is one that can be passed on: of a coding besides `chunked` the body would lose its name.
pub(super) fn is_framing_known(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.next().is_none_or(is_chunked) && codings.next().is_none()
}

/// Makes the upstream's head the client's. Returns whether the connection may carry another request.
pub(super) fn to_client(headers: &mut HeaderMap) -> bool {
    let mut hop_by_hop = false;
    let mut reusable = true;
    let mut chunked = false;
    let mut weir = false;
    for (name, value) in &*headers {
        match *name {
            CONNECTION => {
                hop_by_hop = true;
                reusable &= !has_token(value, "close");
            }
            TRANSFER_ENCODING => (hop_by_hop, chunked) = (true, true),
            PROXY_AUTHENTICATE | PROXY_AUTHORIZATION | UPGRADE => hop_by_hop = true,
            _ => match name.as_str() {
                "keep-alive" | "proxy-connection" => hop_by_hop = true,
                "x-weir-id" | "x-weir-error" => weir = true,
                _ => {}
            },
        }
    }
    // Two framings in one head: the chunks hold, the length goes before the strip can make it the only one, and what
    // follows on this connection is not trusted.
    if chunked && headers.remove(CONTENT_LENGTH).is_some() {
        reusable = false;
    }
    if hop_by_hop {
        strip_hop_by_hop(headers);
    }
    if weir {
        headers.remove(WEIR_ID);
        headers.remove(WEIR_ERROR);
    }
    reusable
}

/// Takes off the fixed hop-by-hop fields and what any `connection` line names, except the protected names.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let mut named: Vec<HeaderName> = Vec::new();
    for line in headers.get_all(CONNECTION) {
        for token in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close") {
                continue;
            }
            if let Ok(name) = HeaderName::from_bytes(token)
                && !is_protected(&name)
            {
                named.push(name);
            }
        }
    }
    for name in HOP_BY_HOP.iter().chain(&[HTTP2_SETTINGS]).chain(&named) {
        headers.remove(name);
    }
}

/// Whether a `connection` line cannot take the field off.
fn is_protected(name: &HeaderName) -> bool {
    matches!(
        *name,
        HOST | CONTENT_LENGTH
            | CONTENT_TYPE
            | CONTENT_ENCODING
            | AUTHORIZATION
            | COOKIE
            | FORWARDED
            | TE
            | EXPECT
            | VIA
    ) || {
        let text = name.as_str();
        text.starts_with("x-forwarded-")
            || text.starts_with(WEIR_PREFIX)
            || matches!(text, "x-request-id" | "traceparent" | "tracestate" | "x-real-ip")
    }
}

/// Takes every `x-weir-*` field off and returns the tags among them.
pub(super) fn take_tags(headers: &mut HeaderMap) -> Vec<(String, String)> {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(WEIR_PREFIX)).cloned().collect();
    let mut tags = Vec::new();
    for name in names {
        let value = headers.remove(&name);
        if let (Some(tag), Some(value)) = (name.as_str().strip_prefix(TAG_PREFIX), value)
            && !tag.is_empty()
        {
            tags.push((tag.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
    }
    tags
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn is_chunked(value: &HeaderValue) -> bool {
    value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// A host with an optional port; empty is allowed, as RFC 9110 does.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%' | b'~')
    })
}

#[cfg(test)]
mod tests;
