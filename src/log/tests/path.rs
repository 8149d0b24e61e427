//! The healthy path: append, sync, read, deliver, start again.

use super::*;
use crate::log::{Reader, inspect, verify};

#[test]
fn what_is_appended_is_read_in_order_with_its_source_and_key() {
    let rig = Rig::new();
    let run = rig.open();
    let keyed = vec![
        Encoded { key: Some(Bytes::from_static(b"k")), value: Bytes::from_static(b"v0") },
        Encoded { key: Some(Bytes::new()), value: Bytes::new() },
        Encoded { key: None, value: Bytes::from_static(b"v2") },
    ];
    let ticket = run.ledger.see();
    let topic = "churn".to_owned();
    run.logs.append(Recorded { ticket, topic, content_type: ContentType::Protobuf, rows: keyed.clone() });
    run.append("churn", &["next"]);
    run.logs.flush();

    let lane = run.lane("churn", 0);
    let items = read(&lane, 0);
    let read_rows = rows(&items);
    assert_eq!(read_rows.len(), 4);
    for (row, encoded) in read_rows.iter().zip(&keyed) {
        assert_eq!((&row.key, &row.value), (&encoded.key, &encoded.value));
        assert_eq!(row.content_type, ContentType::Protobuf);
        assert_eq!((row.source.log, row.source.lane), (lane.log(), 0));
        assert!(row.appended_at_ms > 1_700_000_000_000);
    }
    assert_eq!(read_rows[3].content_type, ContentType::Json);
    let source = read_rows[0].source.to_string();
    assert!(source.starts_with(&lane.log().simple().to_string()) && source.contains("-0-"), "{source}");

    // A cursor may lie inside an entry.
    assert_eq!(texts(&lane, 2), ["v2", "next"]);
    let calls = run.calls();
    assert_eq!((calls.seen, calls.logged), (2, 2));
    let totals = run.logs.totals();
    assert_eq!((totals.calls, totals.rows, totals.delivered), (2, 4, 0));
    assert!(totals.bytes > 0);
}

#[test]
fn seq_runs_on_without_a_gap_over_segments_and_starts_and_each_start_has_its_epoch() {
    let mut rig = Rig::new();
    rig.options.log.segment_bytes = 500;
    let mut expected = Vec::new();
    let mut epochs = std::collections::BTreeSet::new();
    for start in 0..4 {
        let run = rig.open();
        for call in 0..20 {
            let (a, b) = (format!("{start}-{call}-a"), format!("{start}-{call}-b"));
            run.append("churn", &[&a, &b]);
            expected.extend([a, b]);
        }
        run.logs.flush();
        let lane = run.lane("churn", 0);
        assert_eq!(texts(&lane, 0), expected);
        let items = read(&lane, 0);
        epochs.extend(rows(&items).iter().map(|row| row.source.epoch));
        assert_eq!(epochs.len(), start + 1);
        assert!(items.windows(2).all(|pair| match pair {
            [Item::Row(a), Item::Row(b)] => a.appended_at_ms <= b.appended_at_ms,
            _ => false,
        }));
        if start % 2 == 0 { run.logs.close() } else { run.kill() }
    }
    assert!(rig.segments("churn").len() > 10, "it spans many segments");
    let report = verify(rig.data_dir()).unwrap();
    assert!(report.ok(), "{report:?}");
    assert_eq!((report.rows, report.entries, report.unfinished_bytes), (160, 80, 0));

    let topics = inspect(rig.data_dir()).unwrap();
    let lane = &topics[0].lanes[0];
    assert_eq!((topics.len(), lane.first_seq, lane.next_seq, lane.cursor, lane.calls), (1, 0, 160, 0, 80));
    assert!(epochs.contains(&lane.epoch.unwrap()));
    assert_eq!(lane.segments.len(), rig.segments("churn").len());
}

#[test]
fn delivered_segments_are_unlinked_but_never_the_last() {
    let mut rig = Rig::new();
    rig.options.log.segment_bytes = 500;
    let run = rig.open();
    for call in 0..40 {
        run.append("churn", &[&format!("value {call}")]);
    }
    run.logs.flush();
    let lane = run.lane("churn", 0);
    let before = (rig.segments("churn").len(), run.logs.totals().bytes);
    lane.advance(20);
    assert_eq!(lane.cursor(), 20);
    assert!(rig.segments("churn").len() < before.0 && run.logs.totals().bytes < before.1);
    assert!(lane.first() > 0 && lane.first() <= 20);
    assert_eq!(texts(&lane, 20).len(), 20);
    assert!(matches!(lane.reader(0), Err(LogError::Gone { seq: 0, .. })));
    // Neither back, nor beyond what is synced.
    lane.advance(3);
    assert_eq!(lane.cursor(), 20);
    lane.advance(u64::MAX);
    assert_eq!(lane.cursor(), 40);
    run.logs.close();
    assert_eq!(rig.segments("churn").len(), 1);

    let run = rig.open();
    let lane = run.lane("churn", 0);
    assert_eq!((lane.cursor(), lane.synced(), run.logs.totals().calls), (40, 40, 40));
    run.append("churn", &["after"]);
    run.logs.flush();
    assert_eq!(texts(&lane, 40), ["after"]);
    let sizes: u64 = rig.segments("churn").iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(run.logs.totals().bytes, sizes);
    assert_eq!(run.calls().seen, 41);
}

#[test]
fn calls_go_to_the_lanes_in_turn_and_lanes_can_be_raised_not_lowered() {
    let mut rig = Rig::new();
    rig.options.lanes = 2;
    let run = rig.open();
    for call in 0..10 {
        run.append("churn", &[&call.to_string()]);
    }
    run.logs.flush();
    assert_eq!(texts(&run.lane("churn", 0), 0), ["0", "2", "4", "6", "8"]);
    assert_eq!(texts(&run.lane("churn", 1), 0), ["1", "3", "5", "7", "9"]);
    let log = run.lane("churn", 0).log();
    run.logs.close();

    rig.options.lanes = 4;
    let run = rig.open();
    assert_eq!(run.logs.lanes().len(), 4);
    for call in 10..18 {
        run.append("churn", &[&call.to_string()]);
    }
    run.logs.flush();
    for lane in 0..4 {
        let lane = run.lane("churn", lane);
        assert_eq!(lane.log(), log);
        assert_eq!(texts(&lane, if lane.lane() < 2 { 5 } else { 0 }).len(), 2);
    }
    assert_eq!(run.calls().logged, 18);
    run.logs.close();

    rig.options = Options { lanes: 3, reader: ReaderKind::Publisher, root: Root::default(), ..rig.options };
    let error = rig.try_open().err().expect("refused").to_string();
    assert!(error.contains("has 4 lanes") && error.contains("kafka.lanes: 4"), "{error}");
}

#[test]
fn a_log_for_another_reader_or_root_stays_what_it_was_until_it_has_moved() {
    let mut rig = Rig::new();
    rig.options.lanes = 2;
    let run = rig.open();
    run.append("churn", &["x"]);
    run.append("other", &["y"]);
    run.logs.close();
    let before = rig.options.clone();

    let s3 = |endpoint: &str, region: &str| Root {
        address: "s3://bucket/p".to_owned(),
        s3: Some(S3Access {
            endpoint: Some(endpoint.to_owned()),
            region: Some(region.to_owned()),
            ..S3Access::default()
        }),
    };
    rig.options = Options { root: s3("http://one", "here"), lanes: 1, ..before.clone() };
    for _ in 0..2 {
        let run = rig.open();
        let moving = run.logs.moving();
        assert_eq!(moving.iter().map(|moving| moving.topic.as_str()).collect::<Vec<_>>(), ["churn", "other"]);
        assert_eq!((&moving[0].root, moving[0].reader), (&before.root, ReaderKind::Drain));
        assert_eq!(moving[0].lanes(&run.logs).len(), 2, "a log that has two lanes keeps them");
        run.logs.close();
    }
    let run = rig.open();
    run.logs.moved(&run.logs.moving()[0]).unwrap();
    run.logs.close();
    let run = rig.open();
    assert_eq!(run.logs.moving().iter().map(|moving| moving.topic.as_str()).collect::<Vec<_>>(), ["other"]);
    run.logs.moved(&run.logs.moving()[0]).unwrap();
    run.logs.close();
    // The region is how it is reached, the endpoint is where it is.
    rig.options.root = s3("http://one", "there");
    assert!(rig.open().logs.moving().is_empty());
    rig.options.root = s3("http://two", "there");
    let run = rig.open();
    assert_eq!(run.logs.moving()[0].root, s3("http://one", "there"), "and how it is reached was kept");
    run.logs.close();
    rig.options = Options { reader: ReaderKind::Publisher, root: Root::default(), lanes: 4, ..before };
    let run = rig.open();
    assert_eq!((run.logs.moving().len(), run.logs.lanes().len()), (2, 8));
    run.logs.close();
}

#[test]
fn a_second_opener_is_told_the_pid_of_the_first() {
    let rig = Rig::new();
    let run = rig.open();
    let error = rig.try_open().err().expect("refused").to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    run.logs.close();
    rig.open();
}

#[test]
fn a_reader_follows_while_calls_are_appended_and_segments_roll_and_vanish() {
    let mut rig = Rig::new();
    rig.options.log.segment_bytes = 4000;
    rig.options.log.sync = Duration::ZERO;
    let run = rig.open();
    const CALLS: u64 = 5_000;
    std::thread::scope(|scope| {
        let (logs, ledger) = (run.logs.clone(), run.ledger.clone());
        scope.spawn(move || {
            let run = Run { logs, ledger };
            (0..CALLS).for_each(|call| run.append("churn", &[&call.to_string()]));
        });
        let mut generation = 0;
        let mut reader: Option<(Lane, Reader)> = None;
        let mut next = 0;
        while next < CALLS {
            let Some((lane, reader)) = &mut reader else {
                generation = run.logs.wait(generation, Duration::from_secs(60));
                reader = run.logs.lanes().pop().map(|lane| (lane.clone(), lane.reader(0).unwrap()));
                continue;
            };
            match reader.next().unwrap() {
                Some(Item::Row(row)) => {
                    assert_eq!((row.seq, text(&row)), (next, next.to_string().as_str()));
                    next += 1;
                    if next % 500 == 0 {
                        lane.advance(next);
                    }
                }
                Some(damaged) => panic!("{damaged:?}"),
                None => generation = run.logs.wait(generation, Duration::from_secs(60)),
            }
        }
    });
    run.logs.flush();
    assert_eq!(run.calls().logged, CALLS);
    assert!(run.lane("churn", 0).first() > 0, "segments were unlinked on the way");
}

#[test]
fn waiting_ends_with_news_or_with_time() {
    let rig = Rig::new();
    let run = rig.open();
    assert_eq!(run.logs.wait(0, Duration::ZERO), 0);
    run.append("churn", &["x"]);
    let generation = run.logs.wait(0, Duration::from_secs(60));
    assert!(generation > 0);
    run.logs.flush();
    let generation = run.logs.wait(0, Duration::from_secs(60));
    assert_eq!(run.logs.wait(generation, Duration::from_millis(1)), generation);
}

#[test]
fn the_size_of_a_range_is_estimated_from_the_segments() {
    let mut rig = Rig::new();
    rig.options.log.segment_bytes = 700 << 10;
    let run = rig.open();
    let value = "x".repeat(1000);
    for _ in 0..2000 {
        run.append("churn", &[&value]);
    }
    run.logs.flush();
    let lane = run.lane("churn", 0);
    let entry = 1000 + 72;
    for (from, to) in [(0, 2000), (0, 1000), (500, 501), (100, 1900), (1999, 2000), (2000, 2000)] {
        let estimated = lane.bytes_between(from, to);
        let exact = (to - from) * entry;
        assert!(estimated.abs_diff(exact) <= exact / 20 + 100, "{from}..{to}: {estimated}, exactly {exact}");
    }
    // A reader that begins in the middle finds its place.
    for from in [0, 1, 640, 641, 1311, 1999] {
        assert_eq!(read(&lane, from).len() as u64, 2000 - from);
    }
}

#[test]
fn a_topic_that_cannot_be_a_folder_is_dropped_and_counted() {
    let rig = Rig::new();
    let run = rig.open();
    for topic in ["..", ".", "", "a/b", "a b", &"x".repeat(241)] {
        run.append(topic, &["x"]);
    }
    run.append("...", &["x"]);
    run.logs.flush();
    let calls = run.calls();
    assert_eq!((calls.seen, calls.logged, dropped(&calls, Reason::LogError)), (7, 1, 6));
}

#[test]
fn a_call_without_rows_is_a_call() {
    let rig = Rig::new();
    let run = rig.open();
    run.append("churn", &[]);
    run.append("churn", &["x"]);
    run.append("churn", &[]);
    run.logs.flush();
    assert_eq!(texts(&run.lane("churn", 0), 0), ["x"]);
    assert_eq!(run.calls().logged, 3);
    run.logs.close();
    let run = rig.open();
    assert_eq!((run.calls().logged, run.logs.totals().rows), (3, 1));
}

#[test]
fn what_comes_after_the_end_is_counted_as_lost() {
    let rig = Rig::new();
    let run = rig.open();
    run.append("churn", &["x"]);
    run.logs.close();
    run.append("churn", &["y"]);
    run.logs.flush();
    run.logs.close();
    let calls = run.calls();
    assert_eq!((calls.seen, calls.logged, dropped(&calls, Reason::Lost)), (2, 1, 1));
}

#[test]
fn an_unfinished_topic_and_strange_files_are_no_obstacle() {
    let rig = Rig::new();
    let run = rig.open();
    run.append("churn", &["x"]);
    run.logs.close();
    let log = rig.data_dir().join("log");
    std::fs::create_dir_all(log.join("~new-other/0")).unwrap();
    std::fs::create_dir(log.join("empty")).unwrap();
    std::fs::write(log.join("a file"), "x").unwrap();
    std::fs::write(rig.lane_folder("churn", 0).join("notes.txt"), "x").unwrap();
    std::fs::write(rig.lane_folder("churn", 0).join("00000000000000000001.seg.tmp"), "x").unwrap();
    let run = rig.open();
    run.append("other", &["y"]);
    run.append("empty", &["z"]);
    run.logs.flush();
    assert_eq!(texts(&run.lane("churn", 0), 0), ["x"]);
    assert_eq!(texts(&run.lane("other", 0), 0), ["y"]);
    assert_eq!(dropped(&run.calls(), Reason::LogError), 0);
    assert!(!log.join("~new-other").exists());
}
