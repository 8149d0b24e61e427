//! A lane, its partition and a drain that forgets, through any order of sending, acknowledging, killing and waiting.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::log::Intervals;
use crate::publish::read_back::Already;
use crate::publish::window::{Refusal, Window};

const WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
const HOUR_MS: i64 = 3600 * 1000;

#[test]
fn a_mark_is_read_back_and_a_damaged_one_makes_the_lane_look_at_everything() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Mark::load(folder.path()).unwrap(), None);
    let mark = Mark { seq: 3, offset: 9, at_ms: 77 };
    mark.save(folder.path()).unwrap();
    assert_eq!(Mark::load(folder.path()).unwrap(), Some(mark));
    std::fs::write(folder.path().join(FILE), b"{\"seq\":3").unwrap();
    let damaged = Mark::load(folder.path()).unwrap().unwrap();
    assert!(damaged.is_old(1_764_037_200_000, WINDOW));
    assert_eq!(damaged.offset_for(10), 0);
}

#[test]
fn a_mark_is_old_after_half_the_window_and_when_the_clock_went_back() {
    let mark = Mark { seq: 5, offset: 40, at_ms: 1_000_000_000_000 };
    assert!(!mark.is_old(mark.at_ms + 83 * HOUR_MS, WINDOW));
    assert!(mark.is_old(mark.at_ms + 85 * HOUR_MS, WINDOW));
    assert!(!mark.is_old(mark.at_ms - HOUR_MS, WINDOW), "a clock that was set right");
    assert!(mark.is_old(mark.at_ms - 200 * HOUR_MS, WINDOW));
    assert_eq!((mark.offset_for(5), mark.offset_for(4)), (40, 0), "a cursor behind the mark knows nothing");
}

#[test]
fn a_mark_waits_for_the_cursor_on_disk() {
    let mut trail = Trail::new(None);
    let mark = |seq| Mark { seq, offset: seq * 2, at_ms: seq as i64 * HOUR_MS };
    assert_eq!(trail.note(mark(10), 9, WINDOW), None);
    assert_eq!(trail.note(mark(20), 10, WINDOW), Some(mark(10)), "the one that waited");
    trail.wrote(mark(10));
    assert_eq!(trail.note(Mark { at_ms: mark(10).at_ms + 5, ..mark(11) }, 99, WINDOW), None, "not that often");
    assert_eq!(trail.note(mark(20), 99, WINDOW), Some(mark(20)));
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    /// Another gateway writes to the partition.
    Foreign(u64),
    /// Sends as many rows; all arrive, acknowledged or not.
    Send(u64),
    /// Reports on the oldest messages under way.
    Report(usize),
    /// The cursor moves, its file with it or later; marks are taken.
    Advance {
        persist: bool,
    },
    /// A refused message: everything from the cursor on again.
    Refused,
    /// A fatal error, after so many hours of waiting.
    Fatal {
        hours: i64,
    },
    Kill {
        hours: i64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hours = prop_oneof![3 => 0..10_i64, 1 => 70..100_i64, 2 => 150..400_i64];
    let step = prop_oneof![
        4 => (1..20_u64).prop_map(Step::Append),
        1 => (1..9_u64).prop_map(Step::Foreign),
        6 => (1..30_u64).prop_map(Step::Send),
        6 => (1..30_usize).prop_map(Step::Report),
        5 => any::<bool>().prop_map(|persist| Step::Advance { persist }),
        1 => Just(Step::Refused),
        1 => hours.clone().prop_map(|hours| Step::Fatal { hours }),
        3 => hours.prop_map(|hours| Step::Kill { hours }),
    ];
    proptest::collection::vec(step, 1..120)
}

struct Sim {
    now_ms: i64,
    /// Epoch of each row of the log.
    rows: Vec<u32>,
    epoch: u32,
    /// What stands on the partition: of this lane, or of somebody else.
    topic: Vec<Option<(u32, u64)>>,
    /// Sent and not reported, in order: slot and offset.
    under_way: Vec<(u64, u64)>,
    window: Window,
    next: u64,
    persisted: u64,
    disk: Option<Mark>,
    trail: Trail,
    looked: bool,
    already: Already,
    /// The drain: what it remembers of each epoch, when it saw it last, and what it stored.
    seen: BTreeMap<u32, (Intervals, i64)>,
    stored: BTreeSet<u64>,
    doubled: Vec<u64>,
    /// Whether a look is ever taken; without it the test must fail.
    looks: bool,
}

impl Sim {
    fn new(looks: bool) -> Sim {
        Sim {
            now_ms: 1_764_037_200_000,
            rows: Vec::new(),
            epoch: 0,
            topic: Vec::new(),
            under_way: Vec::new(),
            window: Window::new(0, 0),
            next: 0,
            persisted: 0,
            disk: None,
            trail: Trail::new(None),
            looked: false,
            already: Already::default(),
            seen: BTreeMap::new(),
            stored: BTreeSet::new(),
            doubled: Vec::new(),
            looks,
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append(count) => self.rows.extend((0..*count).map(|_| self.epoch)),
            Step::Foreign(count) => self.topic.extend((0..*count).map(|_| None)),
            Step::Send(count) => self.send(*count),
            Step::Report(count) => {
                for _ in 0..(*count).min(self.under_way.len()) {
                    let (slot, offset) = self.under_way.remove(0);
                    self.window.settle(slot, Ok(Some(offset)));
                }
            }
            Step::Advance { persist } => self.advance(*persist),
            Step::Refused => {
                // The first under way is refused, those behind it arrived.
                if self.under_way.len() > 1 {
                    let (slot, offset) = self.under_way.remove(0);
                    let refused = self.topic[usize::try_from(offset).unwrap()].take();
                    if let Some((epoch, seq)) = refused {
                        // It never stood there; the drain has not seen it either.
                        self.stored.remove(&seq);
                        if let Some((seqs, _)) = self.seen.get_mut(&epoch) {
                            *seqs = seqs.difference(&Intervals::from_iter([seq]));
                        }
                    }
                    self.window.settle(slot, Err(Refusal { why: "no".into(), too_large: false }));
                    for (slot, offset) in std::mem::take(&mut self.under_way) {
                        self.window.settle(slot, Ok(Some(offset)));
                    }
                    self.window.rewind();
                    self.next = self.window.cursor();
                }
            }
            Step::Fatal { hours } => {
                self.now_ms += hours * HOUR_MS;
                self.under_way.clear();
                self.window = Window::new(self.window.cursor(), self.window.sent_until());
                self.next = self.window.cursor();
                self.looked = false;
            }
            Step::Kill { hours } => {
                self.now_ms += hours * HOUR_MS;
                self.epoch += 1;
                self.under_way.clear();
                self.window = Window::new(self.persisted, self.rows.len() as u64);
                self.next = self.persisted;
                self.trail = Trail::new(self.disk);
                self.looked = false;
                self.already = Already::default();
            }
        }
    }

    fn look(&mut self) {
        if self.looked {
            return;
        }
        self.looked = true;
        let cursor = self.window.cursor();
        let Some(mark) = self.trail.written().filter(|mark| mark.is_old(self.now_ms, WINDOW)) else { return };
        if cursor >= self.window.sent_until() || !self.looks {
            return;
        }
        self.already = Already::default();
        let from = usize::try_from(mark.offset_for(cursor)).unwrap();
        for (epoch, seq) in self.topic[from..].iter().flatten() {
            self.already.insert(*epoch, *seq, seq + 1);
        }
    }

    fn send(&mut self, count: u64) {
        self.look();
        let cursor = self.window.cursor();
        let clean = self.window.is_empty() && cursor >= self.window.sent_until() && self.persisted >= cursor;
        if let Some(mark) = self.trail.before_sending(cursor, clean, self.now_ms, WINDOW) {
            self.write(mark);
        }
        for _ in 0..count {
            let Some(&epoch) = self.rows.get(usize::try_from(self.next).unwrap()) else { break };
            let slot = self.window.push(self.next + 1, 1);
            if self.already.holds(epoch, self.next, self.next + 1) {
                self.window.settle(slot, Ok(None));
            } else {
                self.under_way.push((slot, self.topic.len() as u64));
                self.topic.push(Some((epoch, self.next)));
                self.drain(epoch, self.next);
            }
            self.next += 1;
        }
    }

    fn write(&mut self, mark: Mark) {
        assert!(mark.offset == 0 || mark.seq <= self.persisted, "never ahead of the cursor on disk");
        self.disk = Some(mark);
        self.trail.wrote(mark);
    }

    fn advance(&mut self, persist: bool) {
        if persist {
            self.persisted = self.window.cursor();
        }
        if let Some((seq, offset)) = self.window.mark()
            && let Some(mark) = self.trail.note(Mark { seq, offset, at_ms: self.now_ms }, self.persisted, WINDOW)
        {
            self.write(mark);
        }
    }

    /// The drain takes a message at once; it forgets whom it did not see for the window.
    fn drain(&mut self, epoch: u32, seq: u64) {
        let now = self.now_ms;
        self.seen.retain(|_, (_, last)| now - *last <= i64::try_from(WINDOW.as_millis()).unwrap());
        let (seqs, last) = self.seen.entry(epoch).or_insert_with(|| (Intervals::new(), now));
        if seqs.insert(seq) {
            // A resend that it knows does not count as seen here: the harder case.
            *last = now;
            if !self.stored.insert(seq) {
                self.doubled.push(seq);
            }
        }
    }
}

fn doubled(steps: &[Step], looks: bool) -> Vec<u64> {
    let mut sim = Sim::new(looks);
    steps.iter().for_each(|step| sim.run(step));
    sim.doubled
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_row_is_stored_twice_however_long_the_gateway_was_away(steps in steps()) {
        prop_assert_eq!(doubled(&steps, true), Vec::<u64>::new());
    }
}

#[test]
fn without_a_look_the_row_is_stored_twice() {
    let steps = [
        Step::Append(5),
        Step::Send(5),
        Step::Report(2),
        Step::Advance { persist: true },
        Step::Kill { hours: 200 },
        Step::Send(5),
    ];
    assert_eq!(doubled(&steps, false), [2, 3, 4]);
    assert!(doubled(&steps, true).is_empty());
}
