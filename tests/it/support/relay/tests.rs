use super::*;
use crate::support::http::Client;
use crate::support::kafka;
use crate::support::model::Model;
use crate::support::until;

const BODY: &[u8] = br#"{"x":2}"#;

fn relayed() -> (Model, Relay, Client) {
    let model = Model::start();
    let relay = Relay::to(model.address);
    let mut client = Client::new(relay.address());
    assert_eq!(client.post("/", BODY).unwrap().body, br#"{"y":4.0}"#);
    (model, relay, client)
}

fn works(relay: &Relay) {
    relay.heal();
    assert_eq!(Client::new(relay.address()).post("/", BODY).unwrap().status, 200);
}

#[test]
fn closed_and_reset_end_open_connections_and_new_ones() {
    for (fault, kind) in [(Fault::Closed, ErrorKind::UnexpectedEof), (Fault::Reset, ErrorKind::ConnectionReset)] {
        let (_model, relay, mut client) = relayed();
        let mut waiting = TcpStream::connect(relay.address()).unwrap();
        until("it is carried", || relay.connections() == 2 && relay.shared.state().open.len() == 2);
        relay.set(fault);
        let read = waiting.read(&mut [0; 1]);
        match kind {
            ErrorKind::UnexpectedEof => assert_eq!(read.unwrap(), 0),
            kind => assert_eq!(read.unwrap_err().kind(), kind),
        }
        assert!(client.post("/", BODY).is_err());
        assert!(client.post("/", BODY).is_err(), "new ones too");
        works(&relay);
    }
}

#[test]
fn a_black_hole_holds_bytes_and_connections_until_the_heal() {
    let (model, relay, mut client) = relayed();
    relay.set(Fault::BlackHole);
    let held = std::thread::spawn(move || client.post("/", BODY).map(|answer| answer.status));
    let address = relay.address();
    let new = std::thread::spawn(move || Client::new(address).post("/", BODY).map(|answer| answer.status));
    until("both are held", || relay.connections() == 2);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(model.requests.load(Ordering::SeqCst), 1);
    relay.heal();
    assert_eq!((held.join().unwrap().unwrap(), new.join().unwrap().unwrap()), (200, 200));
}

#[test]
fn a_request_is_held_until_the_heal_and_others_pass() {
    let (model, relay, mut client) = relayed();
    relay.set(Fault::Hold(put));
    let address = relay.address();
    let held = std::thread::spawn(move || Client::new(address).send("PUT", "/", &[], BODY).map(|answer| answer.status));
    until("it is held", || relay.hits() == 1);
    assert_eq!(client.post("/", BODY).unwrap().status, 200);
    assert_eq!(model.requests.load(Ordering::SeqCst), 2, "it has not arrived");
    relay.heal();
    assert_eq!(held.join().unwrap().unwrap(), 200);
}

#[test]
fn an_answer_is_dropped_after_its_request_was_served() {
    let (model, relay, mut client) = relayed();
    relay.set(Fault::DropAnswer(any));
    assert!(client.post("/", BODY).is_err());
    assert_eq!((model.requests.load(Ordering::SeqCst), relay.hits()), (2, 1));
    relay.set(Fault::DropAnswer(put));
    assert_eq!(client.post("/", BODY).unwrap().status, 200, "it is no PUT");
    works(&relay);
}

#[test]
fn mute_and_half_closed_pass_requests_and_no_answers() {
    for fault in [Fault::Mute, Fault::HalfClosed] {
        let (model, relay, mut client) = relayed();
        relay.set(fault);
        let waiting = std::thread::spawn(move || client.post("/", BODY).map(|answer| answer.status));
        until("the request has arrived", || model.requests.load(Ordering::SeqCst) == 2);
        relay.cut();
        assert!(waiting.join().unwrap().is_err());
        works(&relay);
    }
}

#[test]
fn a_request_is_cut_in_its_body() {
    for cut in [Cut::First, Cut::Half, Cut::Last] {
        let (model, relay, mut client) = relayed();
        relay.set(Fault::CutRequest(any, cut));
        assert!(client.post("/", BODY).is_err());
        assert_eq!((model.requests.load(Ordering::SeqCst), relay.hits()), (1, 1), "it was never whole");
        works(&relay);
    }
}

#[test]
fn latency_delays_and_delivers() {
    let (_model, relay, mut client) = relayed();
    relay.set(Fault::Latency(Duration::from_millis(50)));
    let begun = Instant::now();
    assert_eq!(client.post("/", BODY).unwrap().status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(100), "once each way");
}

/// What the broker says of itself to a client that comes through the relay leads through the relay.
#[test]
fn a_kafka_client_stays_behind_its_relay() {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    let relay = Relay::unset();
    let broker = kafka::Broker::behind(&[&relay]);
    let client: BaseConsumer = kafka::client(&relay.address().to_string()).create().unwrap();
    let ports = |client: &BaseConsumer| -> Vec<u16> {
        let answer = client.fetch_metadata(None, Duration::from_secs(30)).unwrap();
        answer.brokers().iter().map(|broker| broker.port() as u16).collect()
    };
    assert_eq!(ports(&client), [relay.address().port()]);
    relay.set(Fault::Closed);
    assert!(client.fetch_metadata(None, Duration::from_millis(500)).is_err());
    relay.heal();
    assert_eq!(ports(&client), [relay.address().port()]);
    let direct: BaseConsumer = kafka::client(broker.address()).create().unwrap();
    assert_ne!(ports(&direct), [relay.address().port()]);
}
