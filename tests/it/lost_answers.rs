//! The network between weir and Kafka or S3 breaks at the worst moment: a request arrives and its answer does not, or half of a request arrives.
//! The process lives on (K7), or dies before it could ask again (K6, K8, K28). Each row is stored once.

use crate::crash_points::heal_from_kafka;
use crate::kafka_s3::{deployed, store_at, stored_ids};
use crate::kill::{Death, die_and_account, once_stored, stores_more};
use crate::support::kafka::{self, Broker};
use crate::support::model::Model;
use crate::support::relay::{Cut, Fault, Relay, produce, put_parquet};
use crate::support::s3::bucket;
use crate::support::until;
use crate::support::weir::Weir;

const ROLL: &str = ", roll: { size: 64KiB, every: 1s }";

/// It meets the fault, and goes on after the heal.
fn lives_on(relay: &Relay, fault: Fault) -> Death<'_> {
    Death::By(Box::new(move |weir: &mut Weir| {
        meet(relay, fault);
        relay.heal();
        stores_more(weir);
        weir.kill();
    }))
}

/// It meets the fault, and is dead before the heal.
fn dies(relay: &Relay, fault: Fault) -> Death<'_> {
    Death::By(Box::new(move |weir: &mut Weir| {
        meet(relay, fault);
        weir.kill();
        relay.heal();
    }))
}

fn meet(relay: &Relay, fault: Fault) {
    until("a connection is open, which the fault can meet", || relay.open() > 0);
    let before = relay.hits();
    relay.set(fault);
    until("the fault is met", || relay.hits() > before);
}

/// K6, K7, K8.
#[test]
fn creates_that_are_cut_or_not_answered_store_each_row_once() {
    let model = Model::start();
    let (bucket, brokers) = (bucket(), kafka::brokers());
    let server = bucket.account.endpoint.trim_start_matches("http://").parse().expect("an address");
    let relay = Relay::to(server);
    let topic = kafka::topic(&brokers, "cut", 2);
    let mut weir = deployed(&model.url(), &brokers, &topic, &bucket, &store_at(&bucket, &relay.url(), ROLL));

    let mut deaths = vec![once_stored()];
    for fault in [
        Fault::DropAnswer(put_parquet),
        Fault::CutRequest(put_parquet, Cut::First),
        Fault::CutRequest(put_parquet, Cut::Half),
        Fault::CutRequest(put_parquet, Cut::Last),
    ] {
        deaths.push(lives_on(&relay, fault));
        deaths.push(dies(&relay, fault));
    }
    die_and_account(
        &mut weir,
        deaths.into_iter(),
        |weir| heal_from_kafka(weir, &brokers, &topic, 2),
        |weir| stored_ids(weir, &bucket, &topic),
    );
    let words = weir.stderr();
    assert!(!words.contains("which another drain stored"), "its own file was taken for another's:\n{words}");
}

/// Deaths between a message's arrival on the topic and its acknowledgement (K28), in the test command; `WEIR_K28` sets another number.
fn resends() -> usize {
    std::env::var("WEIR_K28").ok().and_then(|v| v.parse().ok()).unwrap_or(3)
}

/// K28.
#[test]
fn messages_whose_acknowledgement_is_lost_are_stored_once() {
    let model = Model::start();
    let (bucket, relay) = (bucket(), Relay::unset());
    let broker = Broker::behind(&[&relay]);
    let topic = kafka::topic(broker.address(), "unacked", 2);
    let through = relay.address().to_string();
    let mut weir =
        deployed(&model.url(), &through, &topic, &bucket, &store_at(&bucket, &bucket.account.endpoint, ROLL));

    let mut deaths = vec![once_stored(), lives_on(&relay, Fault::DropAnswer(produce))];
    deaths.extend((0..resends()).map(|_| dies(&relay, Fault::DropAnswer(produce))));
    for fault in [Fault::Reset, Fault::Closed, Fault::HalfClosed] {
        let relay = &relay;
        deaths.push(Death::By(Box::new(move |weir: &mut Weir| {
            // So that there are connections to break.
            stores_more(weir);
            meet(relay, fault);
            relay.heal();
            stores_more(weir);
            weir.kill();
        })));
    }
    die_and_account(
        &mut weir,
        deaths.into_iter(),
        |weir| heal_from_kafka(weir, broker.address(), &topic, 2),
        |weir| stored_ids(weir, &bucket, &topic),
    );
    assert!(resent(&weir) > 0, "no message came twice: the acknowledgements were not lost");
}

fn resent(weir: &Weir) -> u64 {
    crate::support::weir::number(&weir.status(), "/rows/resent")
}
