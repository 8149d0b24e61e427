//! A gateway that was away for longer than the drain remembers it: what had arrived without an acknowledgement is neither sent nor stored again.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rustix::fs::OFlags;
use weir::app::once::{self, Once};
use weir::config::Config;

use crate::kafka_path::{self, Gateway, assert_nothing_is_missing, read_topic};
use crate::support::kafka::{Broker, Extra};
use crate::support::model::Model;
use crate::support::relay::{Fault, Relay};
use crate::support::until;
use crate::support::weir::{Weir, number};
use crate::support::{kafka, parquet};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The files that say when each lane of a topic was acknowledged last.
fn marks(data_dir: &Path, topic: &str) -> Vec<PathBuf> {
    let lanes = std::fs::read_dir(data_dir.join("log").join(topic)).expect("the log");
    let paths = lanes.flatten().map(|lane| lane.path().join("acknowledged.json"));
    paths.filter(|path| path.exists()).collect()
}

/// Makes it look as if the lane had been away for eight days.
fn age(path: &Path) {
    let mut mark: serde_json::Value = serde_json::from_slice(&std::fs::read(path).expect("a mark")).expect("JSON");
    let at_ms = mark["at_ms"].as_i64().expect("a time");
    mark["at_ms"] = (at_ms - 8 * DAY_MS).into();
    std::fs::write(path, mark.to_string()).expect("the mark");
}

/// A gateway that logs and publishes to one partition by two lanes.
fn gateway(topic: &str) -> Weir {
    let model = Model::start();
    Weir::new(&format!(
        "roles: [gateway]\nroutes: {{ m: {{ upstream: {}, model: {topic} }} }}\nkafka: {{ brokers: [{}], lanes: 2 }}\n",
        model.url(),
        kafka::brokers()
    ))
}

/// Drains the topic once, with a drain that remembers nobody for longer than a millisecond.
fn drain(folder: &Path, topic: &str) {
    let yaml = format!(
        "version: 1\nroles: [drain]\ndata_dir: {dir}\nstore: {{ to: {dir}/parquet }}\nkafka: {{ brokers: [{}] }}\ndrain: {{ topics: [{topic}] }}\n",
        kafka::brokers(),
        dir = folder.display(),
    );
    let mut config = Config::from_yaml("drain", &yaml, &|_| None).expect("a configuration");
    config.drain.resend_window = Duration::from_millis(1);
    once::drain(Once { config: &config, new_generation: false, progress: &mut |_| {} }).expect("it drains");
}

/// A message that somebody else's producer sent, after a moment: the drain's clock goes on, and it forgets the others.
fn somebody_else(topic: &str) {
    std::thread::sleep(Duration::from_millis(50));
    let producer: BaseProducer = kafka::client(&kafka::brokers()).create().expect("a producer");
    let record =
        BaseRecord::<(), [u8]>::to(topic).partition(0).payload(&br#"{"id":"else","inputs":{},"outputs":{}}"#[..]);
    producer.send(record).map_err(|(error, _)| error).expect("it is queued");
    producer.flush(Duration::from_secs(60)).expect("it is sent");
}

#[test]
fn rows_that_arrived_before_a_long_absence_are_not_sent_again() {
    let topic = kafka::topic(&kafka::brokers(), "absence", 1);
    let mut weir = gateway(&topic);
    let dies = "publish_acked=panic";
    assert!(weir.up_to_die(dies), "{}", weir.stderr());
    // It dies at the first acknowledgement, before a cursor has moved: what it had sent is on the topic.
    let mut client = weir.client();
    let mut answered = 0;
    while answered < 2_000 && client.post("/predict", format!(r#"{{"x":{answered}}}"#).as_bytes()).is_ok() {
        answered += 1;
    }
    weir.until_dead(dies);
    let data_dir = weir.dir.join("weir-data");
    let marks = marks(&data_dir, &topic);
    assert!(!marks.is_empty(), "a lane leaves a mark before it sends");

    let folder = tempfile::tempdir().expect("a folder");
    drain(folder.path(), &topic);
    let stored = parquet::column(&folder.path().join("parquet"), "id").len();
    assert!(stored > 0, "something had arrived");
    somebody_else(&topic);
    drain(folder.path(), &topic);

    marks.iter().for_each(|path| age(path));
    weir.up();
    let mut client = weir.client();
    for n in 0..20 {
        client.post("/predict", format!(r#"{{"x":{n}}}"#).as_bytes()).expect("an answer");
    }
    until("everything is delivered", || {
        let status = weir.status();
        number(&status, "/calls/pending") == 0 && number(&status, "/rows/backlog") == 0
    });
    assert!(weir.stderr().contains("was not acknowledged for long: looking at offsets"), "{}", weir.stderr());
    let appended = number(&weir.status(), "/rows/appended");
    assert!(weir.term().success());

    drain(folder.path(), &topic);
    let mut ids = parquet::column(&folder.path().join("parquet"), "id");
    ids.retain(|id| id != "else");
    let rows = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), rows as u64), (rows, appended), "each row is stored once");
}

#[test]
fn a_mark_that_cannot_be_read_costs_a_look_and_no_row() {
    let topic = kafka::topic(&kafka::brokers(), "marks", 1);
    let mut weir = gateway(&topic);
    assert!(weir.up_to_die("publish_acked=panic"));
    let mut client = weir.client();
    let mut sent = 0;
    while sent < 2_000 && client.post("/predict", br#"{"x":1}"#).is_ok() {
        sent += 1;
    }
    weir.until_dead("publish_acked=panic");
    for path in marks(&weir.dir.join("weir-data"), &topic) {
        std::fs::write(path, "{").expect("the mark");
    }
    weir.up();
    until("everything is delivered", || number(&weir.status(), "/rows/backlog") == 0);
    let appended = number(&weir.status(), "/rows/appended");
    assert!(weir.term().success());
    let seen = read_topic(&kafka::brokers(), &topic, 1);
    assert_eq!(assert_nothing_is_missing(&seen, appended), 0, "no row is on the topic twice");
}

/// A broker behind a relay that soon forgets its producers, and so does not know their resends.
fn forgetful(relay: &Relay) -> Broker {
    let mut broker = Broker::prepare_with(&Extra {
        listeners: kafka::behind(&[relay]),
        properties: "producer.id.expiration.ms=500\nproducer.id.expiration.check.interval.ms=100\n".to_owned(),
        ..Extra::default()
    });
    broker.up();
    broker
}

/// Requests arrive and answers do not, for longer than the broker remembers its producers; the gateway lives on.
#[test]
fn rows_that_arrived_in_an_outage_that_the_gateway_lived_through_are_not_sent_again() {
    let relay = Relay::unset();
    let broker = forgetful(&relay);
    let topic = kafka::topic(broker.address(), "lived", 1);
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::open(folder.path());
    let mut config = kafka::config(&relay.address().to_string());
    config.resend_window = Duration::from_secs(12);
    let publisher = gateway.publish(&config, folder.path());
    gateway.append(&topic, 0..10, 100);
    gateway.until_delivered(&publisher, 20);

    let (mut calls, mut arrived) = (10, false);
    while !arrived {
        assert!(calls < 100, "a busy machine: each time the producer was replaced before its request had gone out");
        let (rebuilds, rows) = (publisher.status().rebuilds, 2 * calls);
        relay.set(Fault::Mute);
        gateway.append(&topic, calls..calls + 10, 100);
        kafka_path::until(&publisher, "a new producer in place of the one that waits", |status| {
            status.rebuilds > rebuilds
        });
        assert_eq!(gateway.logs.totals().delivered, rows, "nothing was acknowledged");
        arrived = read_topic(broker.address(), &topic, 1).len() as u64 > rows;
        relay.heal();
        calls += 20;
        gateway.append(&topic, calls - 10..calls, 100);
        gateway.until_delivered(&publisher, 2 * calls);
    }
    drop(publisher);
    let seen = read_topic(broker.address(), &topic, 1);
    assert_eq!(assert_nothing_is_missing(&seen, 2 * calls), 0, "no row is on the topic twice");
}

/// A pipe in the place of a file: who writes to it waits for somebody who reads.
struct Pipe(PathBuf);

impl Pipe {
    fn at(path: PathBuf) -> Pipe {
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        Pipe(path)
    }

    /// Whoever waits goes on.
    fn goes_on(&self) -> File {
        let without_waiting = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag");
        File::options().read(true).custom_flags(without_waiting).open(&self.0).expect("a reader")
    }
}

impl Drop for Pipe {
    /// A test that fails is not to wait for ever.
    fn drop(&mut self) {
        if self.0.exists() {
            drop((self.goes_on(), std::fs::remove_file(&self.0)));
        }
    }
}

/// A thread that the system lets wait for longer than the drain remembers, as after a SIGSTOP: librdkafka's own threads come first, and the brokers are
/// there again and have forgotten the producer.
#[test]
fn what_was_under_way_when_the_publisher_was_stopped_for_long_is_not_sent_again() {
    let relay = Relay::unset();
    let broker = forgetful(&relay);
    let topic = kafka::topic(broker.address(), "stopped", 1);
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::open(folder.path());
    let mut config = kafka::config(&relay.address().to_string());
    config.resend_window = Duration::from_secs(8);
    let publisher = gateway.publish(&config, folder.path());
    gateway.append(&topic, 0..4, 100);
    gateway.until_delivered(&publisher, 8);
    relay.set(Fault::Mute);
    gateway.append(&topic, 4..5, 100);
    until("a request has arrived", || read_topic(broker.address(), &topic, 1).len() == 10);

    // The thread renews the marks of idle lanes. In this one it waits until somebody reads what it writes: that is its stop.
    let stopped = Pipe::at(folder.path().join("log").join(&topic).join("1/.acknowledged.json.new"));
    std::thread::sleep(config.resend_window);
    let before = relay.connections();
    relay.heal();
    until("the producer is at its broker again", || relay.connections() > before);
    // Time to send again, for one that would.
    std::thread::sleep(Duration::from_secs(2));
    let reads = stopped.goes_on();
    std::fs::remove_file(&stopped.0).expect("a file");
    gateway.until_delivered(&publisher, 10);
    drop((publisher, reads));
    let seen = read_topic(broker.address(), &topic, 1);
    assert_eq!(assert_nothing_is_missing(&seen, 10), 0, "no row is on the topic twice");
}

/// Nothing would say after a kill that the rows may be on the topic.
#[test]
fn a_lane_that_cannot_leave_its_first_mark_sends_nothing() {
    let topic = kafka::topic(&kafka::brokers(), "unmarked", 1);
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::open(folder.path());
    gateway.append(&topic, 0..8, 100);
    let lanes = folder.path().join("log").join(&topic);
    let in_the_way: Vec<PathBuf> =
        (0..4).map(|lane| lanes.join(lane.to_string()).join(".acknowledged.json.new")).collect();
    in_the_way.iter().for_each(|path| std::fs::create_dir(path).expect("a folder"));
    let publisher = gateway.publish(&kafka::config(&kafka::brokers()), folder.path());
    kafka_path::until(&publisher, "every lane says why it waits", |status| {
        let says = |lane: &weir::publish::LaneStatus| {
            lane.problem.as_ref().is_some_and(|problem| problem.message.contains("acknowledged.json: Is a directory"))
        };
        status.lanes.len() == 4 && status.lanes.iter().all(says)
    });
    assert!(publisher.status().lanes.iter().all(|lane| lane.in_flight == 0));
    assert!(read_topic(&kafka::brokers(), &topic, 1).is_empty());
    in_the_way.iter().for_each(|path| std::fs::remove_dir(path).expect("it is empty"));
    gateway.until_delivered(&publisher, 16);
    assert_eq!(marks(folder.path(), &topic).len(), 4);
}
