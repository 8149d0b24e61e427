//! Requests to store now, and the stop.

use super::*;

#[test]
fn stopping_stores_what_is_at_hand() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(2) };
    world.topic.send(0, 100);
    let drain = world.start();
    until(&drain, "collected", |status| status.partitions.iter().any(|partition| partition.rows == 100));
    let report = drain.stop(PATIENCE);
    assert!(report.all_stored(), "{report:?}");
    let files = world.whole();
    assert_eq!(files.len(), 1);
}

#[test]
fn a_stop_stores_what_has_arrived_and_leaves_the_rest_to_the_topic() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(1) };
    world.topic.send(0, 100);
    world.topic.with(|inner| inner.arrived = Some(10));
    let drain = world.start();
    until(&drain, "collected", |status| status.partitions.iter().any(|partition| partition.rows == 10));
    let begun = Instant::now();
    assert!(drain.stop(PATIENCE * 10).all_stored());
    assert!(begun.elapsed() < PATIENCE * 5, "it waited for what had not arrived");
    assert_eq!(world.files().iter().map(|(_, footer)| footer.rows).sum::<u64>(), 10);
}

#[test]
fn asking_in_vain_names_what_waits() {
    let world = World::new(1);
    let (world, moody) = world.moody();
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    moody.deaf.store(true, Ordering::Relaxed);
    world.topic.send(0, 4);
    until(&drain, "the store has failed", |status| status.last_error.is_some());
    let error = drain.drain_now(Duration::from_millis(600)).unwrap_err();
    let named = |error: &DrainNowError| {
        error.to_string().contains("churn p0") && error.to_string().contains("connection reset")
    };
    assert!(matches!(&error, DrainNowError::Timeout { .. }) && named(&error), "{error}");
    let report = drain.stop(Duration::from_millis(100));
    assert!(!report.all_stored());
    assert_eq!(report.left[0].rows, 4);
    moody.deaf.store(false, Ordering::Relaxed);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    world.whole();
}

#[test]
fn a_request_that_nobody_waits_for_any_more_is_forgotten() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(1) };
    let (world, moody) = world.moody();
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    moody.deaf.store(true, Ordering::Relaxed);
    world.topic.send(0, 10);
    assert!(matches!(drain.drain_now(Duration::from_millis(300)), Err(DrainNowError::Timeout { .. })));
    moody.deaf.store(false, Ordering::Relaxed);
    drain.drain_now(PATIENCE).unwrap();
    assert!(drain.watch.shared.lock().answers.is_empty(), "an answer for nobody stays for ever");
    drop(drain);
    world.whole();
}
