//! Kafka loses records that it had acknowledged (K21): a replica that was not in sync becomes the leader. What is stored stays, nothing is stored
//! beside the loss until somebody says how to go on, and then each row is there once.

use crate::copies::{obey, refusal};
use crate::group::SESSION;
use crate::support::clock::Clock;
use crate::support::cluster::Cluster;
use crate::support::kafka;
use crate::support::model::Model;
use crate::support::until;
use crate::support::weir::{Weir, number, rows};

const HOUR: i64 = 3_600;

#[test]
fn records_that_an_unclean_election_lost_are_told_and_the_way_on_stores_each_row_once() {
    let model = Model::start();
    let mut cluster = Cluster::start(kafka::VERSION, 3);
    let brokers = cluster.brokers();
    let topic = kafka::name("unclean");
    cluster.create_careless(&topic);
    // Its files are an hour old at once: a new generation need not be waited for.
    let clock = Clock::ahead(-HOUR);
    let mut weir = Weir::new(&format!(
        "routes: {{ m: {{ upstream: {}, model: {topic} }} }}\nkafka: {{ brokers: [{brokers}], lanes: 1, consumer: {{ {SESSION} }} }}\n",
        model.url()
    ));
    for (name, value) in clock.env() {
        weir = weir.env(name, &value);
    }
    weir.up();
    stores(&weir, 40, 40);

    // The one that stays behind, the one that goes on alone, and dies.
    let (leader, behind) = cluster.pair(&topic);
    cluster.kill(behind);
    cluster.in_sync(&topic, 1);
    stores(&weir, 30, 70);
    weir.term();
    cluster.kill(leader);
    cluster.up(behind);
    assert_eq!(cluster.leader(&topic, 0), behind);

    // Shorter than what is stored.
    weir.up();
    weir.post(5);
    let said = refusal(&weir);
    for part in ["reach offset 70", "the broker lost records"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    // Longer again, with other records where the lost ones were.
    weir.post(40);
    until("they are on the topic", || number(&weir.status(), "/rows/backlog") == 0);
    weir.term();
    weir.up();
    let said = refusal(&weir);
    assert!(said.contains("is not the record that the source holds there"), "{said}");
    assert_eq!(rows(&weir.verify()), 70, "nothing was stored beside the loss");
    weir.term();

    clock.set(0);
    obey(&weir, &said);
    weir.up();
    stores(&weir, 3, 118);
    weir.is_well();
    let mut ids = crate::support::parquet::column(&weir.parquet(), "id");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 118);
}

/// `count` more predictions make `wanted` rows.
fn stores(weir: &Weir, count: u64, wanted: u64) {
    weir.post(count);
    let (_, report) = weir.settle();
    assert_eq!(rows(&report), wanted, "{report:#}");
}
