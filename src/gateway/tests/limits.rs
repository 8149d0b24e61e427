//! The limits: each answers in words, leaves its record, and leaves the connection as it should be.

use super::*;
use crate::gateway::exchange::{Kept, Origin, Outcome};

#[test]
fn a_declared_body_that_is_too_long_never_reaches_the_model() {
    let model = Model::new();
    model.listener.set_nonblocking(true).unwrap();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nhost: w\r\ncontent-length: 8388608\r\n\r\n");
    let piece = vec![b'a'; 1 << 20];
    for _ in 0..8 {
        client.send(&piece);
    }
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("x-weir-error")), (413, Some("body_too_large")));
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.origin, exchange.attempts), (Outcome::Refused, Origin::Gateway, 0));
    assert!(model.listener.accept().is_err());
    rig.finish();
}

#[test]
fn a_client_that_asks_first_is_told_413_and_not_to_continue() {
    let rig = Setup::new("127.0.0.1:1".parse().unwrap()).start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nhost: w\r\nexpect: 100-continue\r\ncontent-length: 8388608\r\n\r\n");
    assert!(client.line().unwrap().starts_with("HTTP/1.1 413"));
    assert_eq!(rig.exchange().outcome, Outcome::Refused);
    rig.finish();
}

#[test]
fn a_chunked_body_that_becomes_too_long_is_cut_and_the_client_sees_413() {
    let address = serve(Model::new(), |taken, _| {
        taken.head();
        taken.until_closed();
    });
    let rig = Setup::new(address).start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nhost: w\r\ntransfer-encoding: chunked\r\n\r\n");
    let piece = [&b"100000\r\n"[..], &vec![b'a'; 1 << 20], b"\r\n"].concat();
    for _ in 0..8 {
        client.send(&piece);
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 413);
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.origin), (Outcome::Refused, Origin::Gateway));
    assert!(exchange.request.seen_bytes > 1 << 20);
    rig.finish();
}

#[test]
fn an_upload_that_stands_still_is_answered_408() {
    let address = serve(Model::new(), |taken, _| {
        taken.head();
        taken.until_closed();
    });
    let mut setup = Setup::new(address);
    setup.listen.body_idle = Duration::from_millis(100);
    let rig = setup.start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nhost: w\r\ncontent-length: 10\r\n\r\nabc");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("x-weir-error")), (408, Some("body_timeout")));
    assert_eq!(rig.exchange().outcome, Outcome::Refused);
    rig.finish();
}

#[test]
fn more_than_the_route_takes_at_once_is_answered_503() {
    let model = Model::new();
    let mut setup = Setup::new(model.address);
    setup.route.concurrency_max = 1;
    let rig = setup.start();
    let (mut first, mut second) = (rig.client(), rig.client());
    first.post("/", "{}");
    let mut taken = model.accept();
    second.post("/", "{}");
    let answer = second.answer().unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.origin), (Outcome::Refused, Origin::Gateway));
    assert_eq!(exchange.request.bytes(), "{}");
    taken.head();
    taken.read(2);
    taken.answer("1");
    assert_eq!(first.answer().unwrap().status, 200);
    assert_eq!(rig.exchange().outcome, Outcome::Complete);
    // The place is free again.
    second.post("/", "{}");
    taken.head();
    taken.read(2);
    taken.answer("1");
    assert_eq!(second.answer().unwrap().status, 200);
    assert_eq!(rig.exchange().outcome, Outcome::Complete);
    rig.finish();
}

#[test]
fn heads_that_are_too_big_are_answered_431() {
    let mut setup = Setup::new("127.0.0.1:1".parse().unwrap());
    setup.listen.header_bytes_max = 16 * 1024;
    let rig = setup.start();
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x: {}\r\n", "a".repeat(17 * 1024));
    for fields in [many, long] {
        let mut client = rig.client();
        client.send(format!("GET / HTTP/1.1\r\nhost: w\r\n{fields}\r\n"));
        assert_eq!(client.head().unwrap().status, 431);
    }
    assert_eq!(rig.ledger.calls().seen, 0);
    rig.until("both counted", |rig| rig.meters.render().contains("header_too_large\"} 2"));
    rig.finish();
}

#[test]
fn a_head_that_does_not_end_is_not_waited_for() {
    let mut setup = Setup::new("127.0.0.1:1".parse().unwrap());
    setup.listen.header_timeout = Duration::from_millis(100);
    let rig = setup.start();
    let mut silent = rig.client();
    let mut slow = rig.client();
    slow.send("GET / HTTP/1.1\r\nho");
    assert!(silent.is_closed());
    assert!(slow.is_closed());
    rig.finish();
}

#[test]
fn a_head_that_begins_behind_a_request_is_not_waited_for_either() {
    let address = serve(Model::new(), |taken, _| {
        while !taken.head().0.is_empty() {
            taken.read(2);
            taken.answer("1");
        }
    });
    let mut setup = Setup::new(address);
    // Long enough for a client that waits for a core between two of its steps.
    setup.listen.header_timeout = Duration::from_secs(2);
    let rig = setup.start();
    let request = "POST / HTTP/1.1\r\nhost: w\r\ncontent-length: 2\r\n\r\n{}";
    let mut slow = rig.client();
    slow.send(format!("{request}{request}GET / HTTP/1.1\r\nho"));
    let mut idle = rig.client();
    idle.send(request);
    assert_eq!(idle.answer().unwrap().status, 200);
    assert_eq!((slow.answer().unwrap().status, slow.answer().unwrap().status), (200, 200));
    assert!(slow.is_closed());
    // Between two requests a connection may wait for longer.
    std::thread::sleep(Duration::from_millis(2_500));
    idle.send(request);
    assert_eq!(idle.answer().unwrap().status, 200);
    rig.until("one counted", |rig| rig.meters.render().contains("header_timeout\"} 1"));
    drop([(); 4].map(|()| rig.exchange()));
    rig.finish();
}

#[test]
fn without_memory_the_call_is_recorded_without_bodies() {
    let address = serve(Model::new(), |taken, _| {
        taken.head();
        taken.read(100);
        taken.answer("2");
    });
    let mut setup = Setup::new(address);
    setup.capture_bytes = 50;
    let rig = setup.start();
    let mut client = rig.client();
    client.post("/", &"a".repeat(100));
    assert_eq!(client.answer().unwrap().status, 200);
    let exchange = rig.exchange();
    assert_eq!((exchange.request.kept, exchange.request.seen_bytes), (Kept::NotKept, 100));
    assert_eq!((exchange.response.kept, exchange.response.bytes().as_ref()), (Kept::Whole, &b"2"[..]));
    drop(exchange);
    assert_eq!(rig.gateway.capture_bytes_left(), 50);
    rig.finish();
}

#[test]
fn connections_beyond_the_cap_wait_their_turn() {
    let address = serve(Model::new(), |taken, _| {
        loop {
            if taken.head().0.is_empty() {
                return;
            }
            taken.read(2);
            taken.answer("1");
        }
    });
    let mut setup = Setup::new(address);
    setup.listen.connections_max = 1;
    let rig = setup.start();
    let (mut first, mut second) = (rig.client(), rig.client());
    first.post("/", "{}");
    assert_eq!(first.answer().unwrap().status, 200);
    second.post("/", "{}");
    drop(first);
    assert_eq!(second.answer().unwrap().status, 200);
    drop((rig.exchange(), rig.exchange()));
    rig.finish();
}

/// More than the kernel buffers of both sockets together.
const LONG: usize = 64 << 20;

fn long_answer() -> SocketAddr {
    serve(Model::new(), |taken, _| {
        taken.head();
        taken.read(2);
        taken.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n"));
        let piece = vec![b'a'; 64 * 1024];
        for _ in 0..LONG / piece.len() {
            if taken.stream.get_mut().write_all(&piece).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_client_that_does_not_read_its_answer_does_not_hold_its_place() {
    let mut setup = Setup::new(long_answer());
    // Long enough for a model that waits for a core in the middle of its answer.
    setup.route.timeouts.idle = Duration::from_secs(2);
    setup.route.concurrency_max = 1;
    let rig = setup.start();
    let mut client = rig.client();
    client.post("/", "{}");
    client.head().unwrap();
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.origin), (Outcome::ClientAborted, Origin::Model));
    assert!(!exchange.response.ended);
    rig.until("its place is free", |rig| rig.gateway.in_flight() == 0);
    // What is cut is not taken for the whole.
    assert!(std::io::copy(&mut client.stream, &mut std::io::sink()).map_or(true, |read| read < LONG as u64));
    rig.finish();
}

#[test]
fn a_client_that_pauses_for_less_gets_its_whole_answer() {
    let mut setup = Setup::new(long_answer());
    setup.route.timeouts.idle = Duration::from_secs(5);
    let rig = setup.start();
    let mut client = rig.client();
    client.post("/", "{}");
    client.head().unwrap();
    // Together longer than the limit.
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(1_400));
        client.stream.read_exact(&mut vec![0; LONG / 4]).unwrap();
    }
    assert_eq!(rig.exchange().outcome, Outcome::Complete);
    rig.finish();
}
