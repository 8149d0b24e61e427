//! Model servers that refuse, hang, trickle, break off or answer early. The client never sees a well-formed answer that
//! is shorter than the model's.

use super::*;
use crate::gateway::exchange::{Kept, Origin, Outcome};

#[test]
fn a_model_that_refuses_connections() {
    let address = Model::new().address;
    let rig = Setup::new(address).start();
    let mut client = rig.client();
    client.post("/", "{}");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("x-weir-error")), (502, Some("upstream_connect")));
    let exchange = rig.exchange();
    assert_eq!(answer.header("x-weir-id"), Some(exchange.id.to_string().as_str()));
    assert_eq!((exchange.outcome, exchange.origin), (Outcome::UpstreamConnect, Origin::Gateway));
    assert_eq!((exchange.attempts, exchange.status.unwrap().as_u16()), (2, 502));
    assert_eq!((exchange.request.bytes().as_ref(), exchange.request.ended), (&b"{}"[..], true));
    assert_eq!(exchange.upstream.as_deref(), Some(address.to_string().as_str()));
    rig.finish();
}

#[test]
fn a_model_that_never_answers() {
    let model = Model::new();
    let mut setup = Setup::new(model.address);
    setup.route.timeouts.first_byte = Duration::from_millis(100);
    let rig = setup.start();
    let mut client = rig.client();
    client.post("/", "{}");
    let mut taken = model.accept();
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("x-weir-error")), (504, Some("upstream_timeout")));
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.origin), (Outcome::UpstreamTimeout, Origin::Gateway));
    // The connection is not used again.
    taken.until_closed();
    rig.finish();
}

#[test]
fn a_model_that_stops_in_the_middle_of_its_answer() {
    let model = Model::new();
    let mut setup = Setup::new(model.address);
    setup.route.timeouts.idle = Duration::from_millis(100);
    let rig = setup.start();
    let mut client = rig.client();
    client.post("/", "{}");
    let mut taken = model.accept();
    taken.head();
    taken.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
    assert!(client.answer().is_err());
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.response.seen_bytes), (Outcome::UpstreamTimeout, 3));
    assert_eq!((exchange.origin, exchange.response.ended), (Origin::Model, false));
    rig.finish();
}

#[test]
fn a_model_that_breaks_off_in_the_middle_of_its_answer() {
    for (fields, start) in [
        ("content-length: 10", "abc"),
        ("transfer-encoding: chunked", "3\r\nabc\r\n"),
        ("transfer-encoding: chunked", "8\r\nabc"),
    ] {
        for reset in [true, false] {
            let model = Model::new();
            let rig = Setup::new(model.address).start();
            let mut client = rig.client();
            client.post("/", "{}");
            let mut taken = model.accept();
            taken.head();
            taken.read(2);
            taken.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{start}"));
            // The head is through before the break, so that it cannot be told in a status.
            let head = client.head().unwrap();
            assert_eq!(head.status, 200);
            if reset {
                taken.reset();
            } else {
                drop(taken);
            }
            let mut rest = Vec::new();
            let _broken = client.stream.read_to_end(&mut rest);
            assert!(!rest.ends_with(b"0\r\n\r\n") && rest.len() < 10, "{fields} {rest:?}");
            let exchange = rig.exchange();
            assert_eq!(exchange.outcome, Outcome::UpstreamAborted, "{fields} {reset}");
            assert!(!exchange.response.ended);
            assert!(exchange.error.is_some());
            rig.finish();
        }
    }
}

#[test]
fn a_model_that_closes_before_its_answer_or_says_what_is_no_http() {
    for (said, reset) in [
        ("", false),
        ("", true),
        ("HTTP/1.1 2", false),
        ("SSH-2.0-x\r\n\r\n", false),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", false),
    ] {
        let model = Model::new();
        let rig = Setup::new(model.address).start();
        let mut client = rig.client();
        client.post("/", "{}");
        let mut taken = model.accept();
        taken.head();
        taken.read(2);
        taken.send(said);
        if reset {
            taken.reset();
        } else {
            drop(taken);
        }
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.header("x-weir-error")), (502, Some("upstream_aborted")), "{said:?}");
        let exchange = rig.exchange();
        assert_eq!((exchange.outcome, exchange.attempts), (Outcome::UpstreamAborted, 1), "{said:?}");
        let closed = "upstream_aborted: the model server closed the connection before it answered";
        assert_eq!(exchange.error.as_deref() == Some(closed), !said.contains("\r\n"), "{:?}", exchange.error);
        rig.finish();
    }
}

#[test]
fn a_connection_is_not_used_again_after_an_error_of_the_server() {
    let model = Model::new();
    let rig = Setup::new(model.address).start();
    let mut client = rig.client();
    client.post("/", "{}");
    let mut failing = model.accept();
    failing.head();
    failing.read(2);
    failing.send("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\nfail");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (500, &b"fail"[..]));
    assert_eq!(rig.exchange().outcome, Outcome::Complete);
    // Still open on the server's side.
    failing.until_closed();
    client.post("/", "{}");
    let mut fresh = model.accept();
    fresh.head();
    fresh.read(2);
    fresh.answer("1");
    assert_eq!(client.answer().unwrap().status, 200);
    assert_eq!(rig.exchange().attempts, 1);
    rig.finish();
}

#[test]
fn an_answer_in_another_transfer_coding_is_not_passed_on_without_its_name() {
    for fields in [
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "transfer-encoding: gzip",
    ] {
        let model = Model::new();
        let rig = Setup::new(model.address).start();
        let mut client = rig.client();
        client.post("/", "{}");
        let mut taken = model.accept();
        taken.head();
        taken.read(2);
        taken.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.header("x-weir-error")), (502, Some("upstream_aborted")), "{fields}");
        taken.until_closed();
        assert_eq!(rig.exchange().outcome, Outcome::UpstreamAborted);
        rig.finish();
    }
}

#[test]
fn a_long_head_passes_and_one_that_is_too_long_is_named() {
    for (count, length, passes) in [(400, 1, true), (600, 1, false), (30, 10_000, false)] {
        let model = Model::new();
        let rig = Setup::new(model.address).start();
        let mut client = rig.client();
        client.post("/", "{}");
        let mut taken = model.accept();
        taken.head();
        taken.read(2);
        let value = "a".repeat(length);
        let fields: String = (0..count).map(|number| format!("x-{number}: {value}\r\n")).collect();
        taken.send(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 1\r\n\r\n2"));
        let answer = client.answer().unwrap();
        let exchange = rig.exchange();
        if passes {
            assert_eq!((answer.status, answer.header("x-399")), (200, Some("a")));
        } else {
            assert_eq!((answer.status, exchange.outcome), (502, Outcome::UpstreamAborted));
            assert!(exchange.error.as_deref().unwrap().ends_with("its head is too large"), "{:?}", exchange.error);
        }
        rig.finish();
    }
}

#[test]
fn inputs_are_recorded_without_a_model_that_took_them() {
    let refusing = Model::new().address;
    // Accepts and closes at once, before it has read anything.
    let closing = serve(Model::new(), |_, _| {});
    for upstream in [refusing, closing] {
        let rig = Setup::new(upstream).start();
        for request in [
            "content-length: 7\r\n\r\n{\"a\":1}",
            "transfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
        ] {
            let mut client = rig.client();
            client.send(format!("POST / HTTP/1.1\r\nhost: w\r\n{request}"));
            assert_eq!(client.answer().unwrap().status, 502);
            let exchange = rig.exchange();
            assert_eq!((exchange.request.bytes().as_ref(), exchange.request.ended), (&b"{\"a\":1}"[..], true));
        }
        rig.finish();
    }
}

#[test]
fn an_answer_does_not_wait_for_inputs_and_their_wait_ends() {
    let mut setup = Setup::new(Model::new().address);
    setup.route.concurrency_max = 1;
    let rig = setup.start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nhost: w\r\ncontent-length: 7\r\n\r\n{");
    assert_eq!(client.answer().unwrap().status, 502);
    rig.until("its place is free", |rig| rig.gateway.in_flight() == 0);
    let exchange = rig.exchange();
    assert_eq!((exchange.request.bytes().as_ref(), exchange.request.ended), (&b"{"[..], false));
    rig.finish();
}

#[test]
fn a_route_that_leads_back_to_the_gateway_ends_at_the_first_turn() {
    let address = Model::new().address;
    let mut setup = Setup::new(address);
    setup.listen.address = address;
    let rig = setup.start();
    let mut client = rig.client();
    client.post("/", "{}");
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 508);
    assert!(String::from_utf8(answer.body).unwrap().contains("\"loop\""));
    assert_eq!(rig.exchange().status.unwrap(), 508);
    assert_eq!(rig.ledger.calls().seen, 1);
    drop(client);
    rig.finish();
}

#[test]
fn a_refusal_before_the_end_of_the_upload_is_seen() {
    let model = Model::new();
    let mut setup = Setup::new(model.address);
    setup.listen.body_bytes_max = 64 << 20;
    let rig = setup.start();
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nhost: w\r\ncontent-length: 16777216\r\n\r\n");
    let mut taken = model.accept();
    taken.head();
    taken.send("HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlong");
    let piece = vec![b'a'; 1 << 20];
    for _ in 0..16 {
        client.send(&piece);
    }
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (413, &b"long"[..]));
    let exchange = rig.exchange();
    assert_eq!((exchange.outcome, exchange.origin), (Outcome::Complete, Origin::Model));
    assert!(!exchange.request.ended);
    rig.finish();
}

#[test]
fn long_bodies_stream_both_ways_and_their_copies_are_cut() {
    const LENGTH: usize = 48 << 20;
    let address = serve(Model::new(), |taken, _| {
        taken.head();
        taken.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"));
        let mut piece = vec![0; 64 * 1024];
        // An echo: it answers while it still reads.
        for _ in 0..LENGTH / piece.len() {
            taken.stream.read_exact(&mut piece).unwrap();
            taken.send(&piece);
        }
    });
    let mut setup = Setup::new(address);
    setup.listen.body_bytes_max = 1 << 30;
    setup.capture_bytes = 3 << 20;
    let rig = setup.start();
    let mut client = rig.client();
    client.send(format!("POST / HTTP/1.1\r\nhost: w\r\ncontent-length: {LENGTH}\r\n\r\n"));
    let mut upload = client.stream.get_ref().try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let piece = vec![7; 64 * 1024];
        (0..LENGTH / piece.len()).for_each(|_| upload.write_all(&piece).unwrap());
    });
    client.head().unwrap();
    let copied =
        std::io::copy(&mut Read::by_ref(&mut client.stream).take(LENGTH as u64), &mut std::io::sink()).unwrap();
    assert_eq!(copied, LENGTH as u64);
    sender.join().unwrap();
    let exchange = rig.exchange();
    for side in [&exchange.request, &exchange.response] {
        assert_eq!((side.seen_bytes, side.kept, side.ended), (LENGTH as u64, Kept::Cut, true));
        assert_eq!(side.kept_bytes(), 1 << 20);
    }
    assert_eq!((exchange.outcome, exchange.permit.bytes), (Outcome::Complete, 2 << 20));
    drop(exchange);
    rig.finish();
}

#[test]
fn a_broken_answer_is_not_a_whole_one_for_an_old_client() {
    for whole in [true, false] {
        let model = Model::new();
        let rig = Setup::new(model.address).start();
        let mut client = rig.client();
        client.send("POST / HTTP/1.0\r\nhost: w\r\ncontent-length: 2\r\n\r\n{}");
        let mut taken = model.accept();
        taken.head();
        taken.read(2);
        taken.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
        assert_eq!(client.head().unwrap().header("transfer-encoding"), None);
        let mut start = [0; 3];
        client.stream.read_exact(&mut start).unwrap();
        if whole {
            taken.send("2\r\nde\r\n0\r\n\r\n");
        } else {
            drop(taken);
        }
        // Without a length only a reset says that the answer is broken.
        let mut rest = Vec::new();
        let read = client.stream.read_to_end(&mut rest);
        assert_eq!(read.is_ok(), whole);
        let expected = if whole { Outcome::Complete } else { Outcome::UpstreamAborted };
        assert_eq!(rig.exchange().outcome, expected);
        rig.finish();
    }
}
