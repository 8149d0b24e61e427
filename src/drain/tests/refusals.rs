//! What is refused because going on would lose or double rows, and going on after somebody has seen to it.

use super::*;

#[test]
fn a_topic_that_was_made_again_is_refused_and_nothing_is_written() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    assert!(drain.stop(PATIENCE).all_stored());
    let before = world.files();
    world.topic.with(|inner| inner.id = "topic-2".into());
    world.topic.send(0, 10);
    let drain = world.start();
    let error = drain.drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("--new-generation")), "{error}");
    let status = drain.status();
    assert_eq!(status.partitions[0].state, status::PartitionState::Refused);
    assert!(status.last_error.is_some());
    assert!(drain.stop(PATIENCE).left.is_empty(), "nothing of it was at hand");
    assert_eq!(world.files(), before);
}

#[test]
fn a_topic_that_is_made_again_under_a_running_drain_is_refused() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    let before = world.files();
    world.topic.make_again(30);
    let status = until(&drain, "refused", |status| status.last_error.is_some());
    assert_eq!(status.partitions[0].state, status::PartitionState::Refused);
    let said = status.last_error.unwrap().what;
    assert!(said.contains("is not the record") && said.contains("--new-generation"), "{said}");
    drop(drain);
    assert_eq!(world.files(), before);
}

#[test]
fn a_topic_that_is_made_again_before_anything_is_stored_is_read_from_its_beginning() {
    let world = World { roll_every: PATIENCE, ..World::new(1) };
    world.topic.send(0, 5);
    let drain = world.start();
    until(&drain, "at hand", |status| status.partitions.iter().any(|partition| partition.rows == 5));
    world.topic.make_again(20);
    until(&drain, "stored", |status| {
        drop(drain.drain_now(PATIENCE));
        status.totals.stored == 20
    });
    drop(drain);
    world.whole();
    let newest = world.files().pop().expect("a file").1;
    assert_eq!(newest.min_timestamp_ms, 1_795_564_900_000, "none of them is of the topic that is gone");
}

#[test]
fn an_emptied_store_is_refused() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    std::fs::remove_dir_all(world.dir.path().join("parquet/churn")).unwrap();
    let drain = world.start();
    let status = until(&drain, "refused", |status| status.last_error.is_some());
    assert!(status.last_error.unwrap().what.contains("churn/_weir/origins/churn.g01.json"));
    drop(drain);
    assert!(world.files().is_empty());
}

#[test]
fn a_missing_head_is_refused_after_it_was_looked_for_again() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    for (key, _) in world.files() {
        std::fs::remove_file(world.dir.path().join("parquet").join(key)).unwrap();
    }
    let drain = world.start();
    let error = drain.drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("files were deleted")), "{error}");
}

#[test]
fn what_somebody_has_fixed_goes_on_when_asked() {
    let world = World::new(1);
    let table = world.dir.path().join("parquet/churn");
    std::fs::write(&table, "in the way").unwrap();
    world.topic.send(0, 4);
    let drain = world.start();
    let error = drain.drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("churn")), "{error}");
    assert_eq!(drain.status().partitions[0].state, status::PartitionState::Refused);
    std::fs::remove_file(&table).unwrap();
    drain.drain_now(PATIENCE).unwrap();
    assert_eq!(drain.status().last_error, None);
    drop(drain);
    world.whole();
}
