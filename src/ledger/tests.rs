use std::os::unix::fs::FileExt as _;

use super::*;

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger");
    (folder, path)
}

fn logged(calls: u64) -> Logged {
    Logged { calls, feedback: 0 }
}

fn dropped(calls: &Calls, reason: Reason) -> u64 {
    calls.dropped[reason as usize]
}

#[test]
fn every_call_ends_in_one_outcome() {
    let (_folder, path) = scratch();
    let ledger = Ledger::open(&path, logged(0)).unwrap();
    let first = ledger.see();
    assert_eq!(first.number(), 1);
    first.logged();
    ledger.see().unsampled();
    ledger.see().dropped(Reason::QueueFull);
    drop(ledger.see());
    let held = ledger.see();
    assert_eq!(held.number(), 5);

    let calls = ledger.calls();
    assert_eq!((calls.seen, calls.logged, calls.unsampled, calls.pending()), (5, 1, 1, 1));
    assert_eq!(dropped(&calls, Reason::QueueFull), 1);
    assert_eq!(dropped(&calls, Reason::Lost), 1);
    assert_eq!(calls.dropped_total(), 2);
    held.logged();
    assert_eq!(ledger.calls().pending(), 0);
}

#[test]
fn what_a_dead_process_had_not_logged_is_counted_as_crash() {
    let (_folder, path) = scratch();
    let ledger = Ledger::open(&path, logged(0)).unwrap();
    ledger.see().logged();
    ledger.see().dropped(Reason::LogFull);
    ledger.see().unsampled();
    // A killed process runs no destructors.
    std::mem::forget(ledger.see());
    std::mem::forget(ledger.see());
    std::mem::forget(ledger);

    let ledger = Ledger::open(&path, logged(1)).unwrap();
    let calls = ledger.calls();
    assert_eq!((calls.seen, calls.logged, calls.unsampled, calls.pending()), (5, 1, 1, 0));
    assert_eq!(dropped(&calls, Reason::Crash), 2);
    assert_eq!(ledger.see().number(), 6);
    drop(ledger);

    // Opening again counts nothing twice: the ticket above was dropped unsettled.
    let calls = Ledger::open(&path, logged(1)).unwrap().calls();
    assert_eq!((calls.seen, dropped(&calls, Reason::Crash), dropped(&calls, Reason::Lost)), (6, 2, 1));
}

#[test]
fn after_a_power_cut_seen_is_raised_to_what_the_log_holds() {
    let (_folder, path) = scratch();
    drop(Ledger::open(&path, logged(0)).unwrap());
    let ledger = Ledger::open(&path, logged(7)).unwrap();
    let calls = ledger.calls();
    assert_eq!((calls.seen, calls.logged, calls.pending(), calls.dropped_total()), (7, 7, 0, 0));
    assert_eq!(ledger.see().number(), 8);
}

#[test]
fn an_empty_or_zeroed_file_is_made_anew() {
    for bytes in [vec![], vec![0; 100], vec![0; 4096]] {
        let (_folder, path) = scratch();
        std::fs::write(&path, bytes).unwrap();
        let calls = Ledger::open(&path, logged(3)).unwrap().calls();
        assert_eq!((calls.seen, calls.logged, calls.pending()), (3, 3, 0));
    }
}

#[test]
fn a_foreign_short_or_newer_file_is_refused_with_its_fix_and_left_alone() {
    let (_folder, path) = scratch();
    drop(Ledger::open(&path, logged(0)).unwrap());
    let good = std::fs::read(&path).unwrap();
    let mut newer = good.clone();
    newer[8] = 9;
    let mut reasons = good.clone();
    reasons[192 + 8 * 63] = 1;
    let mut absurd = good.clone();
    absurd[64..72].fill(0xff);
    let mut long = good.clone();
    long.push(1);
    for bytes in [b"hello".to_vec(), good[..1000].to_vec(), newer, reasons, absurd, long] {
        std::fs::write(&path, &bytes).unwrap();
        let error = Ledger::open(&path, logged(0)).err().expect("refused").to_string();
        assert!(error.contains("move") && error.contains("ledger"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    let missing = path.join("no/such/folder");
    assert!(Ledger::open(&missing, logged(0)).err().expect("refused").to_string().contains("check that its folder"));
}

#[test]
fn any_changed_byte_is_refused_or_still_adds_up() {
    let (_folder, path) = scratch();
    let ledger = Ledger::open(&path, logged(0)).unwrap();
    for _ in 0..300 {
        ledger.see().logged();
    }
    drop(ledger);
    let good = std::fs::read(&path).unwrap();
    for at in 0..800 {
        for value in [!good[at], 0, 0xff] {
            std::fs::write(&path, &good).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().write_at(&[value], at as u64).unwrap();
            if let Ok(ledger) = Ledger::open(&path, logged(300)) {
                let calls = ledger.calls();
                assert_eq!((calls.logged, calls.pending()), (300, 0), "byte {at} = {value}");
                assert_eq!(calls.seen, calls.logged + calls.dropped_total() + calls.unsampled, "byte {at} = {value}");
            }
        }
    }
}

#[test]
fn a_snapshot_is_never_ahead_of_what_was_seen() {
    let (_folder, path) = scratch();
    let ledger = Ledger::open(&path, logged(0)).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let ledger = ledger.clone();
            scope.spawn(move || {
                for call in 0..50_000u32 {
                    let ticket = ledger.see();
                    match (call + worker) % 3 {
                        0 => ticket.logged(),
                        1 => ticket.unsampled(),
                        _ => ticket.dropped(Reason::QueueFull),
                    }
                }
            });
        }
        for _ in 0..10_000 {
            let calls = ledger.calls();
            assert!(calls.seen >= calls.logged + calls.dropped_total() + calls.unsampled);
        }
    });
    let calls = ledger.calls();
    assert_eq!((calls.seen, calls.pending()), (100_000, 0));
}

#[test]
fn feedback_is_counted_apart_each_one_of_a_list_and_says_what_became_of_it() {
    let (_folder, path) = scratch();
    let ledger = Ledger::open(&path, Logged::default()).unwrap();
    let (tell, told) = std::sync::mpsc::sync_channel(3);
    let hear = |name: &'static str| {
        let tell = tell.clone();
        move |outcome: Result<(), Reason>| tell.send((name, outcome)).unwrap()
    };
    ledger.see().logged();
    let first = ledger.see_feedback(3, hear("logged"));
    let second = ledger.see_feedback(2, hear("full"));
    assert_eq!((first.number(), second.number()), (1, 4));
    first.logged();
    second.dropped(Reason::LogFull);
    drop(ledger.see_feedback(1, hear("lost")));
    let heard: Vec<_> = told.try_iter().collect();
    assert_eq!(heard, [("logged", Ok(())), ("full", Err(Reason::LogFull)), ("lost", Err(Reason::Lost))]);
    let feedback = ledger.feedback();
    assert_eq!((feedback.seen, feedback.logged, feedback.pending()), (6, 3, 0));
    assert_eq!((dropped(&feedback, Reason::LogFull), dropped(&feedback, Reason::Lost)), (2, 1));
    assert_eq!((ledger.calls().seen, ledger.calls().logged, ledger.calls().dropped_total()), (1, 1, 0));
}

#[test]
fn feedback_that_a_dead_process_held_is_a_crash() {
    let (_folder, path) = scratch();
    let ledger = Ledger::open(&path, Logged::default()).unwrap();
    ledger.see().logged();
    std::mem::forget(ledger.see_feedback(5, |_| ()));
    ledger.see_feedback(2, |_| ()).logged();
    drop(ledger);
    let ledger = Ledger::open(&path, Logged { calls: 1, feedback: 2 }).unwrap();
    let (calls, feedback) = (ledger.calls(), ledger.feedback());
    assert_eq!((calls.seen, calls.dropped_total()), (1, 0));
    assert_eq!((feedback.seen, feedback.logged, dropped(&feedback, Reason::Crash)), (7, 2, 5));
    drop(ledger);
    // A power cut takes the file's last state, not the log's.
    let feedback = Ledger::open(&path, Logged { calls: 1, feedback: 9 }).unwrap().feedback();
    assert_eq!((feedback.seen, feedback.logged, feedback.pending()), (14, 9, 0));
}
