//! Rows in = rows out: when a file closes, and what is in it.

use super::*;

#[test]
fn rows_in_are_rows_out_and_the_totals_say_so() {
    let world = World::new(3);
    world.topic.send(0, 1_000);
    world.topic.send(1, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    assert_eq!(
        drain.status().totals,
        status::TotalsStatus { consumed: 1_010, stored: 1_010, resent: 0, quarantined: 0 }
    );
    world.topic.send(1, 5);
    world.topic.send(2, 7);
    drain.drain_now(PATIENCE).unwrap();
    assert_eq!(world.topic.committed(), BTreeMap::from([(0, 1_000), (1, 15), (2, 7)]));
    assert!(drain.stop(PATIENCE).all_stored());
    let files = world.whole();
    assert_eq!(files.len(), 4);
    assert!(std::fs::read_dir(world.dir.path().join("data/tmp")).unwrap().next().is_none(), "nothing is left over");
}

#[test]
fn a_store_that_has_passed_its_self_test_is_not_tested_again() {
    for tested in [true, false] {
        let world = World::new(1);
        world.topic.send(0, 3);
        let config = DrainConfig { store_tested: tested, ..world.config(&world.dir.path().join("data")) };
        let drain = Drain::start(config, world.store.clone(), MemorySource::boxed(&world.topic)).unwrap();
        drain.drain_now(PATIENCE).unwrap();
        assert_eq!(world.store.get(store::SELF_TEST).unwrap().is_none(), tested);
    }
}

#[test]
fn a_range_closes_by_age_without_anybody_asking() {
    let world = World::new(1);
    world.topic.send(0, 3);
    let drain = world.start();
    let status = until(&drain, "stored by age", |status| status.totals.stored == 3);
    assert_eq!(status.partitions[0].last_file.as_ref().unwrap().cause, Some(Cause::Age));
    world.topic.send(0, 3);
    until(&drain, "and again", |status| status.totals.stored == 6);
    drop(drain);
    world.whole();
}

#[test]
fn a_later_date_begins_a_new_file() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(1) };
    world.topic.send_at(0, 10, 1_795_564_800_000);
    world.topic.send_at(0, 10, 1_795_564_800_000 + 86_400_000);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    let dates: Vec<_> = world.whole().into_iter().map(|(_, footer)| footer.dt.to_string()).collect();
    assert_eq!(dates, ["2026-11-25", "2026-11-26"]);
}

#[test]
fn a_large_backlog_becomes_files_of_the_size_that_was_asked_for() {
    let world = World { roll_bytes: 16 * 1024, roll_every: Duration::from_secs(3_600), ..World::new(1) };
    world.topic.send(0, 20_000);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    let files = world.whole();
    assert!(files.len() > 3, "{} files", files.len());
}

#[test]
fn rows_that_were_sent_again_are_stored_once() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    world.topic.with(|inner| {
        let log = &mut inner.partitions[0];
        let again: Vec<_> = (0..5).map(|at| Message { offset: 10 + at as u64, ..log[at].clone() }).collect();
        log.extend(again);
    });
    drain.drain_now(PATIENCE).unwrap();
    assert_eq!(drain.status().totals, status::TotalsStatus { consumed: 15, stored: 10, resent: 5, quarantined: 0 });
    drop(drain);
    world.whole();
}

#[test]
fn many_partitions_of_one_table_share_origin_and_schema() {
    let world = World::new(16);
    (0..16).for_each(|partition| world.topic.send(partition, 20));
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    assert!(drain.stop(PATIENCE).all_stored());
    assert_eq!(world.whole().len(), 16);
    assert_eq!(world.store.list("churn/_weir/origins/", None).unwrap().len(), 1);
    assert_eq!(world.store.list("churn/_weir/schema/", None).unwrap().len(), 1);
}

#[test]
fn partitions_that_are_told_of_one_by_one_are_all_in_the_origin_document() {
    let world = World::new(4);
    (0..4).for_each(|partition| world.topic.send(partition, 10));
    world.topic.with(|inner| {
        inner.partitions[3].drain(..4);
        inner.starts[3] = 4;
        inner.slowly = Some(Duration::from_millis(400));
    });
    let drain = world.start();
    until(&drain, "stored", |status| status.totals.stored == 36);
    drop(drain);
    let json = world.store.get("churn/_weir/origins/churn.g01.json").unwrap().unwrap();
    let doc: names::OriginDoc = serde_json::from_slice(&json).unwrap();
    assert_eq!(doc.starts, BTreeMap::from([(0, 0), (1, 0), (2, 0), (3, 4)]));
}

#[test]
fn a_source_that_is_full_is_pressure() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(1) };
    world.topic.send(0, 5);
    world.topic.with(|inner| inner.full = true);
    let drain = world.start();
    let status = until(&drain, "stored", |status| status.totals.stored == 5);
    assert_eq!(status.partitions[0].last_file.as_ref().unwrap().cause, Some(Cause::Pressure));
}
