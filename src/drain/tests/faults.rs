//! Drains that die, stores that fail, two drains on one root: delays, never a row lost or doubled.

use super::*;

#[test]
fn a_drain_that_dies_anywhere_loses_and_doubles_nothing() {
    let world = World::new(2);
    let mut dice = 7u64;
    for round in 0..40 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        world.topic.send((round % 2) as u32, 50);
        let drain = world.start();
        let stored = world.topic.rows() * (dice >> 60) / 16;
        let by = Instant::now() + Duration::from_millis(60);
        while drain.status().totals.stored < stored && Instant::now() < by {
            std::thread::yield_now();
        }
        // Dropped: it ends where it stands, its uploads run on.
        drop(drain);
    }
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    assert_eq!(drain.status().totals.stored, world.topic.rows());
    drop(drain);
    world.whole();
}

#[test]
fn a_store_that_fails_and_loses_answers_only_delays() {
    let world = World::new(2);
    let (world, moody) = world.moody();
    moody.calm.store(false, Ordering::Relaxed);
    let drain = world.start();
    for _ in 0..10 {
        world.topic.send(0, 20);
        world.topic.send(1, 20);
        drain.drain_now(PATIENCE).unwrap();
    }
    assert_eq!(drain.status().last_error, None, "what works again is no error any more");
    drop(drain);
    world.whole();
}

#[test]
fn two_drains_on_one_root_share_one_chain() {
    let world = World::new(2);
    let drains = [world.start_in(&world.dir.path().join("a")), world.start_in(&world.dir.path().join("b"))];
    for round in 0..30 {
        world.topic.send(round % 2, 30);
        std::thread::sleep(Duration::from_millis(3));
    }
    for drain in &drains {
        drain.drain_now(PATIENCE).unwrap();
        assert_eq!(drain.status().totals.stored, world.topic.rows());
    }
    drop(drains);
    world.whole();
}

#[test]
fn a_file_that_is_lost_before_it_was_stored_is_made_anew() {
    let world = World::new(1);
    let (world, moody) = world.moody();
    let drain = world.start();
    world.topic.send(0, 2);
    drain.drain_now(PATIENCE).unwrap();
    moody.deaf.store(true, Ordering::Relaxed);
    world.topic.send(0, 4);
    until(&drain, "on its way", |status| status.partitions[0].state == status::PartitionState::Storing);
    for folder in std::fs::read_dir(world.dir.path().join("data/tmp")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
    moody.deaf.store(false, Ordering::Relaxed);
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    world.whole();
}

#[test]
fn a_head_that_is_newer_than_the_assignment_is_not_beyond_the_end() {
    let world = World::new(1);
    world.topic.send(0, 10);
    // One drain was told of the partition long ago, and its store answers only now; another stored more meanwhile.
    let moody = Moody::calm(&world.dir.path().join("parquet"));
    moody.deaf.store(true, Ordering::Relaxed);
    let late =
        World { store: moody.clone(), dir: tempfile::tempdir().unwrap(), topic: world.topic.clone(), ..World::new(0) };
    let slow = late.start();
    until(&slow, "not answered", |status| status.last_error.is_some());
    let drain = world.start();
    world.topic.send(0, 10);
    drain.drain_now(PATIENCE).unwrap();
    moody.deaf.store(false, Ordering::Relaxed);
    world.topic.send(0, 10);
    slow.drain_now(PATIENCE).unwrap();
    assert_eq!(slow.status().totals.stored, 30);
    drop((drain, slow));
    world.whole();
}

#[test]
fn a_record_that_panics_stops_its_partition_only_and_says_so() {
    let world = World::new(2);
    world.topic.with(|inner| inner.panics = true);
    world.topic.send(0, 3);
    world.topic.send(1, 3);
    let drain = world.start();
    let status = until(&drain, "stored and refused", |status| {
        status.partitions.len() == 2
            && status.totals.stored == 3
            && status.partitions[0].state == status::PartitionState::Refused
    });
    let what = &status.partitions[0].last_error.as_ref().unwrap().what;
    assert!(what.contains("0..3") && what.contains("the record's fault"), "{what}");
    assert!(!status.dead);
    world.topic.with(|inner| inner.panics = false);
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    world.whole();
}

#[test]
fn a_store_that_panics_is_a_failure_of_its_partition() {
    let world = World::new(1);
    let folder = Folder::open(&world.dir.path().join("parquet")).unwrap();
    // More often than there are threads to ask it.
    let left = AtomicU32::new(6);
    let panics = move |call: &str, _: &str| {
        let taken = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(call != "create" || taken().is_err(), "the store's fault");
    };
    let world = World { store: Arc::new(Hooked(folder, Box::new(panics))), ..world };
    let drain = world.start();
    world.topic.send(0, 3);
    let status = until(&drain, "failed", |status| status.last_error.is_some());
    assert!(status.last_error.unwrap().what.contains("the store's fault"));
    while drain.drain_now(PATIENCE).is_err() {}
    drop(drain);
    world.whole();
}
