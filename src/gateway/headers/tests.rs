use proptest::prelude::*;

use super::*;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn look(fields: &[(&str, &str)]) -> Result<Seen, Refusal> {
    inspect(&Method::POST, Version::HTTP_11, false, &map(fields))
}

fn upstream(fields: &[(&str, &str)]) -> (HeaderMap, Vec<(String, String)>) {
    let mut headers = map(fields);
    let seen = inspect(&Method::POST, Version::HTTP_11, true, &headers).unwrap();
    let add = Additions {
        client: IpAddr::from([10, 0, 0, 9]),
        client_text: &HeaderValue::from_static("10.0.0.9"),
        host: &HeaderValue::from_static("model:8000"),
        request_id: &HeaderValue::from_static("made"),
        via: &HeaderValue::from_static("1.1 weir-1"),
    };
    let tags = to_upstream(&mut headers, seen, &add);
    (headers, tags)
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

#[test]
fn every_connection_line_is_honoured_but_protected_names_stay() {
    let (headers, _) = upstream(&[
        ("host", "weir"),
        ("connection", "keep-alive, x-one"),
        ("connection", "X-Two, authorization, content-type, x-forwarded-for, Host"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("authorization", "Bearer a"),
        ("content-type", "application/json"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic a"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("expect", "100-continue"),
    ]);
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "authorization",
            "content-type",
            "host",
            "traceparent",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id",
            "x-three"
        ]
    );
    assert_eq!(value(&headers, "host"), Some("model:8000"));
    assert_eq!(value(&headers, "x-forwarded-host"), Some("weir"));
    assert_eq!(value(&headers, "x-forwarded-for"), Some("10.0.0.9"));
    assert_eq!(value(&headers, "x-forwarded-proto"), Some("http"));
    assert_eq!(value(&headers, "x-request-id"), Some("made"));
}

#[test]
fn forwarded_lists_grow_and_ids_pass() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (headers, _) = upstream(&[
        ("host", "weir"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-for", "5.6.7.8"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
        ("x-request-id", "abc-1"),
        ("traceparent", trace),
        ("tracestate", "a=b"),
        ("te", "gzip, Trailers"),
    ]);
    assert_eq!(value(&headers, "x-forwarded-for"), Some("1.2.3.4, 5.6.7.8, 10.0.0.9"));
    assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
    assert_eq!(value(&headers, "x-forwarded-proto"), Some("https"));
    assert_eq!(value(&headers, "x-forwarded-host"), Some("shop.example"));
    assert_eq!(value(&headers, "x-request-id"), Some("abc-1"));
    assert_eq!(value(&headers, "traceparent"), Some(trace));
    assert_eq!(value(&headers, "tracestate"), Some("a=b"));
    assert_eq!(value(&headers, "te"), Some("trailers"));
}

#[test]
fn a_gateway_knows_the_requests_that_it_has_sent() {
    let own = HeaderValue::from_static("1.1 weir-1");
    let (headers, _) = upstream(&[("host", "weir"), ("via", "1.0 proxy")]);
    assert_eq!(headers.get_all("via").iter().count(), 2);
    assert!(came_from(&own, &headers));
    assert!(came_from(&own, &map(&[("via", "1.0 proxy, 1.1 weir-1, 1.1 last")])));
    assert!(!came_from(&own, &map(&[("via", "1.1 weir-2, 1.0 proxy")])));
}

#[test]
fn ids_that_cannot_be_passed_are_made_anew() {
    let (headers, _) =
        upstream(&[("host", "weir"), ("x-request-id", "a b"), ("traceparent", "rubbish"), ("tracestate", "a=b")]);
    assert_eq!(value(&headers, "x-request-id"), Some("made"));
    assert!(ids::is_traceparent(headers["traceparent"].as_bytes()));
    assert_eq!(value(&headers, "tracestate"), None);
}

#[test]
fn weir_fields_are_taken_off_and_used() {
    let (headers, tags) =
        upstream(&[("host", "weir"), ("x-weir-capture", "off"), ("X-Weir-Tag-Team", "blue"), ("x-weir-id", "spoofed")]);
    assert!(headers.keys().all(|name| !name.as_str().starts_with("x-weir-")));
    assert_eq!(tags, [("team".to_owned(), "blue".to_owned())]);
    let wish = |value| look(&[("host", "weir"), ("x-weir-capture", value)]).unwrap().wish;
    assert_eq!((wish("off"), wish("metadata"), wish("on")), (Wish::Off, Wish::Metadata, Wish::Nothing));
    assert_eq!((wish(" OFF\t"), wish("Metadata"), wish("metadata, off")), (Wish::Off, Wish::Metadata, Wish::Off));
    for (first, second) in [("off", "metadata"), ("metadata", "off"), ("off", "on"), ("on", "Off")] {
        let seen = look(&[("host", "weir"), ("x-weir-capture", first), ("x-weir-capture", second)]).unwrap();
        assert_eq!(seen.wish, Wish::Off, "{first} {second}");
    }
}

#[test]
fn ambiguous_heads_are_refused() {
    for fields in [
        &[("host", "a"), ("host", "b")][..],
        &[("host", "a"), ("host", "a")],
        &[("host", "a, b")],
        &[("host", "user@a")],
        &[("host", "a/b")],
        &[],
        &[("host", "a"), ("x_forwarded_for", "1.2.3.4")],
        &[("host", "a"), ("Content_Length", "3")],
        &[("host", "a"), ("transfer-encoding", "gzip, chunked")],
        &[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        &[("host", "a"), ("transfer-encoding", "identity")],
        &[("host", "a"), ("transfer-encoding", "")],
    ] {
        assert!(matches!(look(fields), Err(Refusal::Ambiguous(_))), "{fields:?}");
    }
    assert!(look(&[("host", "a"), ("my_field", "1")]).is_ok());
    assert!(look(&[("host", "[::1]:80")]).is_ok());
    assert!(look(&[("host", "a"), ("transfer-encoding", " Chunked\t")]).is_ok());
    assert!(inspect(&Method::POST, Version::HTTP_10, false, &HeaderMap::new()).is_ok());
}

#[test]
fn upgrades_and_tunnels_are_not_forwarded() {
    for method in [Method::CONNECT, Method::TRACE] {
        let refused = inspect(&method, Version::HTTP_11, false, &map(&[("host", "a")]));
        assert!(matches!(refused, Err(Refusal::NotForwarded(_))));
    }
    assert!(matches!(look(&[("host", "a"), ("upgrade", "websocket")]), Err(Refusal::NotForwarded(_))));
    assert!(look(&[("host", "a"), ("upgrade", "h2c"), ("connection", "upgrade, http2-settings")]).is_ok());
}

#[test]
fn an_answer_with_two_framings_keeps_the_chunks_and_ends_the_connection() {
    let mut headers = map(&[("content-length", "3"), ("transfer-encoding", "chunked"), ("content-type", "a/b")]);
    assert!(!to_client(&mut headers));
    assert_eq!(headers.len(), 1);
    let mut plain = map(&[("content-length", "3"), ("connection", "keep-alive"), ("x-weir-id", "spoofed")]);
    assert!(to_client(&mut plain));
    assert_eq!(plain.len(), 1);
    let mut closing = map(&[("connection", "x-a, Close"), ("x-a", "1"), ("trailer", "x-sum")]);
    assert!(!to_client(&mut closing));
    assert_eq!(closing.keys().collect::<Vec<_>>(), ["trailer"]);
}

proptest! {
    /// Whatever the lines say: hop-by-hop fields are gone, protected ones and those nobody named stay.
    #[test]
    fn the_stripper_takes_exactly_what_was_named(
        lines in proptest::collection::vec("[ ,]{0,2}(x-[a-d]|te|content-length|authorization|close|@|)([ ,]{1,2}(x-[a-d]|host|cookie)){0,2}", 0..4)
    ) {
        let mut headers = map(&[("content-length", "1"), ("authorization", "b"), ("host", "h"), ("cookie", "c")]);
        for name in ["x-a", "x-b", "x-c", "x-d", "keep-alive", "transfer-encoding", "upgrade"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("v"));
        }
        for line in &lines {
            headers.append(CONNECTION, HeaderValue::from_str(line).unwrap());
        }
        let named = |name: &str| lines.iter().any(|line| line.split(',').any(|token| token.trim() == name));
        strip_hop_by_hop(&mut headers);
        for gone in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
            prop_assert!(!headers.contains_key(gone));
        }
        for stays in ["content-length", "authorization", "host", "cookie"] {
            prop_assert!(headers.contains_key(stays));
        }
        for name in ["x-a", "x-b", "x-c", "x-d"] {
            prop_assert_eq!(headers.contains_key(name), !named(name));
        }
    }
}
