//! Brokers as they are in production: three with replicas, whose leaders die; and the last line of Kafka before version 4.

use std::cell::RefCell;

use crate::crash_points::heal_from_kafka;
use crate::kafka_s3::{deployed, store, stored_ids};
use crate::kill::{Death, die_and_account, once_stored, stores_more};
use crate::support::cluster::Cluster;
use crate::support::kafka;
use crate::support::model::Model;
use crate::support::s3::bucket;
use crate::support::weir::Weir;

const PARTITIONS: i32 = 3;
const ROLL: &str = ", roll: { size: 64KiB, every: 1s }";
/// The last line before version 4, with the protocols of old.
const OLD: &str = "3.9.1";

#[test]
fn leaders_that_die_cost_no_row() {
    let model = Model::start();
    let (bucket, cluster) = (bucket(), RefCell::new(Cluster::start(kafka::VERSION, 3)));
    let brokers = cluster.borrow().brokers();
    let topic = kafka::name("leaders");
    kafka::create_replicated(&brokers, &topic, PARTITIONS, 3);
    let mut weir = deployed(&model.url(), &brokers, &topic, &bucket, &store(&bucket, ROLL));

    // The leader of one partition dies under load, what is sent from then on is stored; it comes back, the next one's dies.
    let leaders_die = |weir: &mut Weir| {
        let mut cluster = cluster.borrow_mut();
        stores_more(weir);
        for partition in 0..2 {
            let leader = cluster.leader(&topic, partition);
            cluster.kill(leader);
            let other = cluster.leader(&topic, partition);
            assert_ne!(leader, other);
            stores_more(weir);
            cluster.up(leader);
            cluster.is_whole(&topic);
        }
        weir.kill();
    };
    // Leader and weir die at once.
    let both_die = |weir: &mut Weir| {
        let mut cluster = cluster.borrow_mut();
        stores_more(weir);
        let leader = cluster.leader(&topic, 0);
        cluster.kill(leader);
        weir.kill();
        cluster.up(leader);
        cluster.is_whole(&topic);
    };
    let deaths: Vec<Death<'_>> = vec![Death::By(Box::new(leaders_die)), Death::By(Box::new(both_die))];
    die_and_account(
        &mut weir,
        deaths.into_iter(),
        |weir| heal_from_kafka(weir, &brokers, &topic, PARTITIONS),
        |weir| stored_ids(weir, &bucket, &topic),
    );
}

#[test]
fn a_broker_of_the_3_9_line_serves_as_well() {
    let model = Model::start();
    let (bucket, cluster) = (bucket(), Cluster::start(OLD, 1));
    let brokers = cluster.brokers();
    let topic = kafka::topic(&brokers, "old", PARTITIONS);
    let mut weir = deployed(&model.url(), &brokers, &topic, &bucket, &store(&bucket, ROLL));
    let deaths = [
        once_stored(),
        Death::At("publish_sent=5*off->panic"),
        Death::At("publish_acked=panic"),
        Death::At("log.cursor=2*off->panic"),
        Death::At("drain_after_create=panic"),
        once_stored(),
    ];
    die_and_account(
        &mut weir,
        deaths.into_iter(),
        |weir| heal_from_kafka(weir, &brokers, &topic, PARTITIONS),
        |weir| stored_ids(weir, &bucket, &topic),
    );
}
