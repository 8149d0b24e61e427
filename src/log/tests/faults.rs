//! A disk that fails: serving goes on, every call is counted once, what was logged is delivered.

use rustix::io::Errno;

use super::*;

fn append_some(run: &Run, from: usize, to: usize) {
    for call in from..to {
        run.append("m", &[&call.to_string()]);
    }
    run.logs.flush();
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn a_full_disk_drops_and_counts_and_resumes_by_itself() {
    for (errno, reason) in [(Errno::NOSPC, Reason::DiskFull), (Errno::IO, Reason::LogError)] {
        let rig = Rig::new();
        let run = rig.open();
        append_some(&run, 0, 3);
        for left in [0, 10, 70, 150] {
            rig.faults.set(|state| state.writes = Some((errno.raw_os_error(), left)));
            append_some(&run, 100, 102);
        }
        let said = run.logs.troubles();
        assert!(
            said.len() == 1 && said[0].contains("m/0 cannot be written") && said[0].contains(reason.word()),
            "{said:?}"
        );
        rig.faults.set(|state| state.writes = None);
        append_some(&run, 3, 6);
        assert!(run.logs.troubles().is_empty(), "{:?}", run.logs.troubles());
        let calls = run.calls();
        assert_eq!((calls.seen, calls.logged, dropped(&calls, reason)), (14, 6, 8));
        assert_eq!(texts(&run.lane("m", 0), 0), numbers(0..6));
        run.kill();
        let run = rig.open();
        assert_eq!(run.calls(), calls, "nothing of the dropped calls is found again");
        assert_eq!(texts(&run.lane("m", 0), 0), numbers(0..6));
    }
}

#[test]
fn a_write_that_cannot_be_cut_back_ends_its_segment() {
    let rig = Rig::new();
    let run = rig.open();
    append_some(&run, 0, 3);
    // Written and, at a long interval, not synced yet.
    rig.faults.set(|state| (state.writes, state.cuts) = (Some((Errno::IO.raw_os_error(), 80)), true));
    append_some(&run, 100, 103);
    rig.faults.set(|state| *state = State::default());
    append_some(&run, 3, 6);
    let lane = run.lane("m", 0);
    assert_eq!(texts(&lane, 0), numbers(0..6));
    let calls = run.calls();
    assert_eq!((calls.logged, calls.dropped_total()), (6, 3));
    run.kill();
    assert_eq!(texts(&rig.open().lane("m", 0), 0), numbers(0..6));
}

#[test]
fn what_cannot_be_synced_moves_to_the_next_segment_and_is_not_counted_again() {
    let mut rig = Rig::new();
    rig.options.log.sync = Duration::from_secs(3600);
    let run = rig.open();
    append_some(&run, 0, 3);
    rig.faults.set(|state| state.syncs = true);
    append_some(&run, 3, 6);
    // Each failed sync ended a segment, and the rewritten one was synced as it was made.
    let lane = run.lane("m", 0);
    assert_eq!(lane.synced(), 6);
    assert_eq!(texts(&lane, 0), numbers(0..6));
    rig.faults.set(|state| state.syncs = false);
    append_some(&run, 6, 9);
    assert_eq!(texts(&lane, 0), numbers(0..9));
    let calls = run.calls();
    assert_eq!((calls.logged, calls.dropped_total()), (9, 0));
    assert_eq!(rig.segments("m").len(), 2);
    let sizes: u64 = rig.segments("m").iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!(run.logs.totals().bytes, sizes);
    run.kill();
    assert!(crate::log::verify(rig.data_dir()).unwrap().ok());
    let run = rig.open();
    assert_eq!(run.calls(), calls);
    assert_eq!(texts(&run.lane("m", 0), 0), numbers(0..9));
}

#[test]
fn a_disk_that_syncs_nothing_keeps_what_was_logged_and_drops_what_comes() {
    let mut rig = Rig::new();
    rig.options.log.sync = Duration::from_secs(3600);
    for end in ["heals", "killed"] {
        let run = rig.open();
        let before = run.logs.totals().rows;
        append_some(&run, 0, 3);
        rig.faults.set(|state| (state.syncs, state.puts, state.cuts) = (true, true, true));
        append_some(&run, 3, 6);
        let lane = run.lane("m", 0);
        assert_eq!((lane.synced() - before, lane.appended() - before), (3, 6));
        assert_eq!(texts(&lane, before), numbers(0..3), "nothing that is not synced is read");
        append_some(&run, 100, 105);
        let calls = run.calls();
        assert_eq!(dropped(&calls, Reason::Fsync), 5, "{calls:?}");
        if end == "heals" {
            rig.faults.set(|state| *state = State::default());
            run.logs.flush();
            append_some(&run, 6, 9);
            assert_eq!(texts(&lane, before), numbers(0..9));
            assert_eq!(dropped(&run.calls(), Reason::Fsync), 5);
            // Another start, with a ledger of its own to count from zero.
            run.logs.close();
            std::fs::remove_file(rig.data_dir().join("ledger")).unwrap();
        } else {
            run.kill();
            rig.faults.set(|state| *state = State::default());
            // The page cache still has what could not be synced: it was logged, and it is found.
            let run = rig.open();
            assert_eq!(run.calls(), calls);
            assert_eq!(texts(&run.lane("m", 0), before), numbers(0..6));
        }
    }
}

#[test]
fn a_folder_that_takes_no_files_drops_and_counts() {
    let rig = Rig::new();
    let run = rig.open();
    rig.faults.set(|state| state.puts = true);
    append_some(&run, 100, 103);
    assert!(run.logs.lanes().is_empty());
    rig.faults.set(|state| state.puts = false);
    append_some(&run, 0, 3);
    let calls = run.calls();
    assert_eq!((calls.logged, dropped(&calls, Reason::LogError)), (3, 3));
    assert_eq!(texts(&run.lane("m", 0), 0), numbers(0..3));
}

#[test]
fn below_the_reserve_nothing_is_appended() {
    let mut rig = Rig::new();
    rig.options.log.reserve_free_bytes = 1000;
    rig.faults.set(|state| state.free_bytes = Some(999));
    let run = rig.open();
    append_some(&run, 100, 103);
    rig.faults.set(|state| state.free_bytes = Some(1000));
    // The flush looks again.
    run.logs.flush();
    append_some(&run, 0, 3);
    let calls = run.calls();
    assert_eq!((calls.logged, dropped(&calls, Reason::DiskFull)), (3, 3));
}

#[test]
fn a_full_log_drops_the_newest_and_goes_on_when_rows_are_delivered() {
    let mut rig = Rig::new();
    rig.options.log.bytes_max = 16_000;
    let run = rig.open();
    let value = "x".repeat(1000);
    for _ in 0..50 {
        run.append("m", &[&value]);
    }
    run.logs.flush();
    let lane = run.lane("m", 0);
    let calls = run.calls();
    let full = dropped(&calls, Reason::LogFull);
    assert!(full > 20 && calls.logged == 50 - full, "{calls:?}");
    assert!(run.logs.troubles()[0].contains("the log is full"), "{:?}", run.logs.troubles());
    assert!(run.logs.totals().bytes <= 16_000);
    // The last segment holds nearly everything and is never unlinked, but it need not stay the last.
    lane.advance(lane.synced());
    // One more finds it full, and makes the writer look for room.
    run.append("m", &[&value]);
    run.logs.flush();
    run.append("m", &["after"]);
    run.logs.flush();
    assert_eq!(texts(&lane, lane.synced() - 1), ["after"]);
    assert!(run.logs.totals().bytes < 3_000);
    run.calls();
    run.logs.close();
    assert_eq!(texts(&rig.open().lane("m", 0), lane.synced() - 1), ["after"]);
}

#[test]
fn only_the_topic_above_its_share_drops() {
    let mut rig = Rig::new();
    rig.options.log.bytes_max = 100_000;
    let run = rig.open();
    run.append("small", &["first"]);
    let value = "x".repeat(1000);
    for _ in 0..200 {
        run.append("hog", &[&value]);
    }
    for _ in 0..20 {
        run.append("small", &[&value]);
    }
    run.logs.flush();
    assert_eq!(texts(&run.lane("small", 0), 0).len(), 21);
    let calls = run.calls();
    assert!(dropped(&calls, Reason::LogFull) >= 100, "{calls:?}");
    assert!(run.logs.totals().bytes <= 100_000);
}
