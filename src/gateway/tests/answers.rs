//! What passes, and what is recorded of it.

use super::*;
use crate::gateway::exchange::{Keep, Kept, Origin, Outcome};

#[test]
fn a_call_passes_unchanged_and_is_recorded() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.send(
        "POST /predict?x=1 HTTP/1.1\r\nHost: weir\r\nX-Own: a\r\nX-Weir-Tag-Team: blue\r\nConnection: x-hop\r\nX-Hop: b\r\n\
         content-length: 9\r\n\r\n{\"a\":1.5}",
    );
    let mut taken = model.accept();
    let (line, fields) = taken.head();
    assert_eq!(line, "POST /predict?x=1 HTTP/1.1");
    assert!(fields.contains(&format!("host: {}", model.address)));
    assert!(fields.contains(&"x-own: a".to_owned()));
    assert!(fields.contains(&"x-forwarded-for: 127.0.0.1".to_owned()));
    assert!(!fields.iter().any(|field| field.starts_with("x-hop") || field.starts_with("x-weir")));
    assert_eq!(taken.read(9), b"{\"a\":1.5}");
    taken.send("HTTP/1.1 201 Created\r\nx-model-version: 7\r\ncontent-length: 11\r\n\r\n[0.25,0.75]");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (201, &b"[0.25,0.75]"[..]));
    let exchange = rig.exchange();
    assert_eq!(answer.header("x-weir-id"), Some(exchange.id.to_string().as_str()));
    assert_eq!(exchange.id.get_version_num(), 7);
    assert_eq!((exchange.outcome, exchange.origin), (Outcome::Complete, Origin::Model));
    assert_eq!(exchange.path, "/predict");
    assert_eq!(exchange.request_headers["x-own"], "a");
    assert_eq!(exchange.response_headers["x-model-version"], "7");
    assert_eq!(exchange.request.bytes(), "{\"a\":1.5}");
    assert_eq!(exchange.response.bytes(), "[0.25,0.75]");
    assert!(exchange.request.ended && exchange.response.ended);
    assert_eq!((exchange.attempts, exchange.status.unwrap().as_u16()), (1, 201));
    assert_eq!(exchange.tags, [("team".to_owned(), "blue".to_owned())]);
    assert!(exchange.timings.ttfb_us.unwrap() <= exchange.timings.upstream_us.unwrap());
    assert!(exchange.timings.upstream_us.unwrap() <= exchange.timings.latency_us);
    drop(exchange);
    assert_eq!(rig.gateway.capture_bytes_left(), 64 << 20);
    rig.finish();
}

#[test]
fn a_connection_is_used_again_and_a_dead_one_is_not() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.post("/predict", "1");
    let mut first = model.accept();
    for round in 0..2 {
        if round > 0 {
            client.post("/predict", "1");
        }
        first.head();
        first.read(1);
        first.answer("2");
        assert_eq!(client.answer().unwrap().status, 200);
        assert_eq!(rig.exchange().outcome, Outcome::Complete);
    }
    drop(first);
    // Whether the death is noticed before or while the request is sent: unsent, it goes to a new connection.
    std::thread::sleep(Duration::from_millis(50));
    client.post("/predict", "1");
    let mut second = model.accept();
    second.head();
    second.read(1);
    second.answer("3");
    assert_eq!(client.answer().unwrap().body, b"3");
    assert_eq!(rig.exchange().outcome, Outcome::Complete);
    rig.finish();
}

#[test]
fn heads_without_bodies_and_trailers_pass() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.send("HEAD /x HTTP/1.1\r\nhost: weir\r\n\r\n");
    let mut taken = model.accept();
    taken.head();
    taken.send("HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n");
    let head = client.head().unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("77")));
    for (status, fields) in
        [("204 No Content", ""), ("304 Not Modified", "etag: \"a\"\r\n"), ("200 OK", "content-length: 0\r\n")]
    {
        client.send("GET /x HTTP/1.1\r\nhost: weir\r\n\r\n");
        taken.head();
        taken.send(format!("HTTP/1.1 {status}\r\n{fields}\r\n"));
        let answer = client.answer().unwrap();
        assert!(status.starts_with(&answer.status.to_string()));
        assert!(answer.body.is_empty());
    }
    // 1xx heads before the answer are not the answer.
    client.send("POST /x HTTP/1.1\r\nhost: weir\r\nte: trailers\r\ncontent-length: 1\r\n\r\n1");
    assert!(taken.head().1.contains(&"te: trailers".to_owned()));
    taken.read(1);
    taken.send("HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n");
    taken.send("3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(answer.body, b"abc");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "9".to_owned())]);
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.response.ended), (Outcome::Complete, true));
    rig.finish();
}

#[test]
fn an_event_stream_passes_event_by_event() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.post("/predict", "1");
    let mut taken = model.accept();
    taken.head();
    taken.read(1);
    taken.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(client.head().unwrap().header("content-type"), Some("text/event-stream"));
    for event in 0..40 {
        // The next event is sent only when this one has arrived.
        let text = format!("data: {event:02}\n\n");
        taken.send(format!("{:x}\r\n{text}\r\n", text.len()));
        assert_eq!(client.chunk().unwrap(), text.as_bytes());
    }
    taken.send("0\r\n\r\n");
    assert!(client.chunk().unwrap().is_empty());
    let exchange = rig.exchange();
    assert_eq!(exchange.response.seen_bytes, 400);
    assert_eq!(exchange.response.bytes().len(), 400);
    assert!(exchange.response.frames.len() < 40, "small frames are gathered");
    rig.finish();
}

#[test]
fn what_the_client_asks_about_capture_is_heard_unless_forbidden() {
    let answered = |allowed: bool, wish: &str| {
        let address = serve(Model::new(), |taken, _| {
            taken.head();
            taken.read(1);
            taken.answer("2");
        });
        let mut setup = Setup::new(address);
        setup.route.capture.header_allowed = allowed;
        let rig = setup.start();
        let mut client = rig.client();
        client.send(format!("POST / HTTP/1.1\r\nhost: w\r\nx-weir-capture: {wish}\r\ncontent-length: 1\r\n\r\n1"));
        assert!(client.answer().unwrap().header("x-weir-id").is_some());
        rig
    };
    let off = answered(true, "off");
    assert_eq!((off.ledger.calls().seen, off.ledger.calls().unsampled), (1, 1));
    off.finish();
    let metadata = answered(true, "metadata");
    let exchange = metadata.exchange();
    assert_eq!(
        (exchange.keep, exchange.request.kept, exchange.response.kept),
        (Keep::Metadata, Kept::NotKept, Kept::NotKept)
    );
    assert_eq!((exchange.request.seen_bytes, exchange.response.seen_bytes), (1, 1));
    drop(exchange);
    metadata.finish();
    let forbidden = answered(false, "off");
    assert_eq!(forbidden.exchange().keep, Keep::Bodies);
    forbidden.finish();
}

#[test]
fn an_answer_with_two_framings_is_taken_by_its_chunks_and_ends_its_connection() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    for _ in 0..2 {
        client.post("/", "1");
        let mut taken = model.accept();
        taken.head();
        taken.read(1);
        taken.send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n");
        let answer = client.answer().unwrap();
        assert_eq!((answer.header("content-length"), answer.body.as_slice()), (None, &b"abcde"[..]));
        assert_eq!(rig.exchange().outcome, Outcome::Complete);
    }
    rig.finish();
}

#[test]
fn a_connection_that_was_idle_for_too_long_is_not_used_again() {
    let model = Model::new();
    let mut setup = Setup::new(model.address);
    setup.route.timeouts.pool_idle = Duration::ZERO;
    let rig = setup.start();
    let mut client = rig.client();
    let mut kept = Vec::new();
    for _ in 0..2 {
        client.post("/", "1");
        let mut taken = model.accept();
        taken.head();
        taken.read(1);
        taken.answer("2");
        assert_eq!(client.answer().unwrap().status, 200);
        kept.push(taken);
        rig.exchange();
    }
    rig.finish();
}

#[test]
fn the_longest_path_takes_a_request_and_its_upstream_path_takes_the_prefix() {
    let (all, churn) = (Model::new(), Model::new());
    let mut whole = route(all.address);
    whole.capture.mode = CaptureMode::Off;
    let mut narrow = route(churn.address);
    narrow.path = "/predict/churn".to_owned();
    narrow.upstream.path = Some("/predict".to_owned());
    let rig = Setup::new(all.address).start_with(vec![whole, narrow], 2);
    let mut client = rig.client();
    for (model, asked, sent, recorded) in [
        (&churn, "/predict/churn?a=1", "/predict?a=1", true),
        (&churn, "http://weir/predict/churn/rows", "/predict/rows", true),
        (&all, "/predict/churns", "/predict/churns", false),
    ] {
        client.post(asked, "1");
        let mut taken = model.accept();
        assert_eq!(taken.head().0, format!("POST {sent} HTTP/1.1"));
        taken.read(1);
        taken.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n2");
        assert_eq!(client.answer().unwrap().header("x-weir-id").is_some(), recorded);
        if recorded {
            rig.exchange();
        }
    }
    rig.finish();
}

#[test]
fn connections_are_spread_over_the_workers() {
    let address = serve(Model::new(), |taken, _| {
        taken.head();
        taken.read(1);
        taken.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n2");
    });
    let rig = Setup::new(address).start_with(vec![route(address)], 3);
    let mut clients: Vec<Client> = (0..9).map(|_| rig.client()).collect();
    for client in &mut clients {
        client.post("/", "1");
        assert_eq!(client.answer().unwrap().status, 200);
        rig.exchange();
    }
    rig.finish();
}
