//! New generations: when one may begin, where it does, and what a drain does that runs meanwhile.

use super::generation::GenerationError;
use super::*;

/// All partitions of a source.
fn assigned(source: &mut dyn Source) -> Vec<(PartitionId, Bounds)> {
    let events = source.poll(Duration::ZERO).unwrap().into_iter();
    let assigned = |event| match event {
        Event::Assigned { partition, bounds } => Some((partition, bounds)),
        _ => None,
    };
    events.filter_map(assigned).collect()
}

/// In a store where a create may come late.
#[test]
fn it_waits_for_the_first_file_of_a_chain_that_has_records_and_none() {
    let world = World::new(2);
    world.topic.send(1, 10);
    let store = Moody::calm(&world.dir.path().join("late"));
    let mut source = MemorySource::boxed(&world.topic);
    let partitions = assigned(&mut *source);
    let mut watch = generation::Watch::default();
    let mut begin = |store: &dyn Store, seconds| {
        let now = generation::Now { wall_ms: 1_800_000_000_000, even: Duration::from_secs(seconds) };
        generation::begin(store, &mut *source, &partitions, config::Partitioning::Day, now, &mut watch)
    };
    assert_eq!(begin(&*store, 0).unwrap().unwrap().generation, 1, "nobody drained it yet");
    for seconds in [10, 10 + 14 * 60] {
        let waits = begin(&*store, seconds).unwrap_err();
        assert!(matches!(waits, GenerationError::NoFileYet { partition: 1, .. }), "{waits}");
    }
    assert_eq!(begin(&*store, 10 + 15 * 60).unwrap().unwrap().generation, 2);
    // Nothing comes late in a folder.
    assert_eq!(begin(&*world.store, 0).unwrap().unwrap().generation, 1);
    assert_eq!(begin(&*world.store, 0).unwrap().unwrap().generation, 2);
}

#[test]
fn a_new_generation_is_the_way_on_after_a_refusal() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    world.topic.with(|inner| {
        inner.id = "topic-2".into();
        inner.committed.clear();
    });
    world.topic.send(0, 5);
    let drain = world.start();
    assert!(matches!(drain.drain_now(PATIENCE), Err(DrainNowError::Refused(_))));
    drop(drain);

    let mut source = MemorySource::boxed(&world.topic);
    let partitions = assigned(&mut *source);
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let mut watch = generation::Watch::default();
    let mut begin = |wall_ms| {
        let now = generation::Now { wall_ms, even: Duration::ZERO };
        generation::begin(&*world.store, &mut *source, &partitions, config::Partitioning::Day, now, &mut watch)
    };
    let young = begin(now_ms).unwrap_err();
    assert!(matches!(young, generation::GenerationError::Young { .. }), "{young}");
    let doc = begin(now_ms + 3_600_000).unwrap().unwrap();
    assert_eq!((doc.generation, doc.topic_id.as_str(), doc.starts), (2, "topic-2", BTreeMap::from([(0, 0)])));

    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    let totals = drain.status().totals;
    assert_eq!(
        (totals.consumed, totals.stored),
        (15, 5),
        "over all that the new topic holds; ten rows have a source and seq that are stored"
    );
    assert_eq!(drain.status().partitions[0].chain.as_deref(), Some("churn.g02-p0000"));
    drop(drain);
    assert_eq!(world.files().len(), 2, "the old file stays");
}

#[test]
fn a_generation_that_begins_under_a_running_drain_is_noticed_before_its_next_create() {
    let world = World::new(1);
    world.topic.send(0, 10);
    let drain = world.start();
    drain.drain_now(PATIENCE).unwrap();
    let json = world.store.get("churn/_weir/origins/churn.g01.json").unwrap().unwrap();
    let first: names::OriginDoc = serde_json::from_slice(&json).unwrap();
    let doc = names::OriginDoc { generation: 2, starts: BTreeMap::from([(0, 10)]), ..first };
    pin::create_origin(&*world.store, doc).unwrap();
    world.topic.send(0, 5);
    drain.drain_now(PATIENCE).unwrap();
    drop(drain);
    let files = world.files();
    let chains: Vec<_> = files.iter().map(|(_, footer)| (footer.chain.generation, footer.first, footer.next)).collect();
    assert_eq!(chains, [(1, 0, 10), (2, 10, 15)]);
}
