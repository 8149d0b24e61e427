//! Clients that hang up, at each phase of an exchange, and heads that nobody should serve.

use super::*;
use crate::gateway::exchange::{Origin, Outcome};

#[test]
fn a_client_that_leaves_in_the_middle_of_its_upload() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nhost: w\r\ncontent-length: 10\r\n\r\nabc");
    let mut taken = model.accept();
    taken.head();
    assert_eq!(taken.read(3), b"abc");
    drop(client);
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.status), (Outcome::ClientAborted, None));
    assert_eq!((exchange.request.seen_bytes, exchange.request.ended), (3, false));
    taken.until_closed();
    rig.finish();
}

#[test]
fn a_client_that_leaves_while_the_model_thinks() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.post("/", "{}");
    let mut taken = model.accept();
    taken.head();
    taken.read(2);
    drop(client);
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.status), (Outcome::ClientAborted, None));
    assert!(exchange.request.ended);
    // The model is told: its connection ends.
    taken.until_closed();
    rig.finish();
}

#[test]
fn a_client_that_leaves_in_the_middle_of_the_answer() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.post("/", "{}");
    let mut taken = model.accept();
    taken.head();
    taken.read(2);
    taken.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    client.head().unwrap();
    assert_eq!(client.chunk().unwrap(), b"abc");
    drop(client);
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.origin), (Outcome::ClientAborted, Origin::Model));
    assert_eq!(exchange.status.unwrap(), 200);
    assert_eq!((exchange.response.bytes().as_ref(), exchange.response.ended), (&b"abc"[..], false));
    rig.finish();
}

#[test]
fn a_client_that_leaves_before_its_body() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nhost: w\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n");
    let mut taken = model.accept();
    taken.head();
    drop(client);
    assert_eq!(rig.exchange().outcome, Outcome::ClientAborted);
    rig.finish();
}

#[test]
fn a_client_that_ends_its_side_with_its_request_is_counted() {
    let address = serve(Model::new(), |taken, _| {
        taken.head();
        taken.until_closed();
    });
    let rig = Setup::new(address).start();
    for _ in 0..10 {
        let mut client = rig.client();
        client.post("/", "{}");
        client.stream.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        assert!(client.is_closed());
        assert_eq!(rig.exchange().outcome, Outcome::ClientAborted);
    }
    assert_eq!(rig.ledger.calls().seen, 10);
    rig.finish();
}

#[test]
fn heads_that_two_readers_could_read_differently_are_refused_and_are_no_calls() {
    let model = Model::new();
    model.listener.set_nonblocking(true).unwrap();
    let rig = Setup::new(model.address).start();
    for head in [
        "POST / HTTP/1.1\r\nhost: a\r\nhost: b\r\ncontent-length: 1\r\n\r\n1",
        "POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x1\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n1",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost : a\r\ncontent-length: 1\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost: a\r\n x: b\r\ncontent-length: 1\r\n\r\n1",
        "POST / HTTP/1.1\r\nhost: a\r\nx_forwarded_for: b\r\ncontent-length: 1\r\n\r\n1",
        "POST /a/../b HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1",
        "POST /a%2f..%2fb HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1",
        "POST /a\\..\\b HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1",
        "POST /a/..;x/b HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1",
        "POST /a%00 HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1",
    ] {
        let mut client = rig.client();
        client.send(head);
        let answer = client.head().unwrap_or_else(|error| panic!("{head:?}: {error}"));
        assert_eq!(answer.status, 400, "{head:?}");
    }
    for head in [
        "CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nGET /next HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut client = rig.client();
        client.send(head);
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.header("x-weir-error")), (501, Some("not_forwarded")), "{head:?}");
        assert!(client.is_closed());
    }
    assert!(model.listener.accept().is_err(), "the model has seen nothing");
    assert_eq!(rig.ledger.calls().seen, 0);
    rig.finish();
}

#[test]
fn a_request_with_two_framings_is_taken_by_its_chunks_and_ends_its_connection() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    for fields in ["content-length: 3\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 3"]
    {
        let mut client = rig.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nhost: w\r\n{fields}\r\n\r\n1\r\na\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: w\r\n\r\n"
        ));
        let mut taken = model.accept();
        let (_, head) = taken.head();
        assert!(!head.iter().any(|field| field.starts_with("content-length")));
        assert_eq!(taken.read(11), b"1\r\na\r\n0\r\n\r\n");
        taken.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n2");
        assert_eq!(client.answer().unwrap().status, 200);
        assert!(client.is_closed());
        assert_eq!(rig.exchange().request.bytes(), "a");
    }
    rig.finish();
}

#[test]
fn broken_chunks_are_answered_400_and_are_a_call() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nhost: w\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n");
    let mut taken = model.accept();
    taken.head();
    assert_eq!(client.answer().unwrap().status, 400);
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.origin), (Outcome::Refused, Origin::Gateway));
    rig.finish();
}

#[test]
fn a_path_without_a_route_is_no_call() {
    let mut setup = Setup::new("127.0.0.1:1".parse().unwrap());
    setup.route.path = "/predict".to_owned();
    let rig = setup.start();
    let mut client = rig.client();
    // The connection serves on.
    for _ in 0..2 {
        client.post("/predicts", "{}");
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.header("x-weir-error")), (404, Some("no_route")));
    }
    assert_eq!(rig.ledger.calls().seen, 0);
    rig.finish();
}
