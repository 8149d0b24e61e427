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
    assert!(Trail::new(Some(damaged)).is_forgotten(1_764_037_200_000, WINDOW));
    assert_eq!(damaged.offset_for(10), 0);
}

#[test]
fn what_was_sent_is_forgotten_after_half_the_window_and_when_the_clock_went_back() {
    let mark = Mark { seq: 5, offset: 40, at_ms: 1_000_000_000_000 };
    let is_forgotten = |hours: i64| Trail::new(Some(mark)).is_forgotten(mark.at_ms + hours * HOUR_MS, WINDOW);
    assert!(!is_forgotten(83) && is_forgotten(85));
    assert!(!is_forgotten(-1), "a clock that was set right");
    assert!(is_forgotten(-200));
    assert!(!Trail::new(None).is_forgotten(mark.at_ms, WINDOW), "nothing was ever sent");
    assert_eq!((mark.offset_for(5), mark.offset_for(4)), (40, 0), "a cursor behind the mark knows nothing");
}

#[test]
fn only_an_offset_that_is_new_says_that_the_drain_has_seen_the_source() {
    let mut trail = Trail::new(Some(Mark { seq: 0, offset: 0, at_ms: 0 }));
    let mut forgotten_at = |hours: i64, seq, offset| {
        trail.note(Mark { seq, offset, at_ms: hours * HOUR_MS }, 0, WINDOW);
        trail.is_forgotten((hours + 80) * HOUR_MS, WINDOW)
    };
    assert!(!forgotten_at(80, 1, 10));
    assert!(forgotten_at(90, 2, 10), "acknowledged as what the broker had already");
    assert!(!forgotten_at(90, 3, 11));
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
    /// A refused message: everything from the cursor on again, after so many hours.
    Refused {
        hours: i64,
    },
    /// No answers for so many hours, through which the process lives. Then the producer sends again by itself what was under way; a broker that
    /// has forgotten it takes it once more.
    Outage {
        hours: i64,
        broker_knows: bool,
    },
    /// The process is stopped for so many hours. Then it hears of the oldest messages under way what was answered before, and marks are taken, before
    /// its thread looks at the clock. Its producer gives up what is older than it may be, and sends the rest again; the broker has forgotten it.
    Stopped {
        hours: i64,
        reports: usize,
    },
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
        1 => hours.clone().prop_map(|hours| Step::Refused { hours }),
        2 => (hours.clone(), any::<bool>()).prop_map(|(hours, broker_knows)| Step::Outage { hours, broker_knows }),
        2 => (hours.clone(), 0..9_usize).prop_map(|(hours, reports)| Step::Stopped { hours, reports }),
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
    /// Sent and not reported, in order: slot, and the offset that the report will have.
    under_way: Vec<(u64, Option<u64>)>,
    window: Window,
    next: u64,
    persisted: u64,
    disk: Option<Mark>,
    trail: Trail,
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
            Step::Report(count) => self.report(*count),
            Step::Advance { persist } => self.advance(*persist),
            Step::Refused { hours } => {
                // The first under way is refused, those behind it arrived.
                if self.under_way.len() > 1
                    && let (slot, Some(offset)) = self.under_way[0]
                {
                    self.under_way.remove(0);
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
                        self.window.settle(slot, Ok(offset));
                    }
                    self.window.rewind();
                    self.now_ms += hours * HOUR_MS;
                    self.next = self.window.cursor();
                }
            }
            Step::Outage { hours, broker_knows } => {
                self.now_ms += hours * HOUR_MS;
                if self.window.unsettled() > 0 && self.looks && self.trail.is_forgotten(self.now_ms, WINDOW) {
                    self.new_producer();
                }
                self.producer_sends_again(*broker_knows);
            }
            Step::Stopped { hours, reports } => {
                self.now_ms += hours * HOUR_MS;
                self.report(*reports);
                self.advance(true);
                let gives_up_ms = i64::try_from(crate::publish::gives_up_after(WINDOW).as_millis()).unwrap();
                if hours * HOUR_MS <= gives_up_ms {
                    return self.producer_sends_again(false);
                }
                if !self.under_way.is_empty() {
                    for (slot, _) in std::mem::take(&mut self.under_way) {
                        self.window.settle(slot, Err(Refusal { why: "too old".into(), too_large: false }));
                    }
                    self.window.rewind();
                    self.next = self.window.cursor();
                }
            }
            Step::Fatal { hours } => {
                self.now_ms += hours * HOUR_MS;
                self.new_producer();
            }
            Step::Kill { hours } => {
                self.now_ms += hours * HOUR_MS;
                self.epoch += 1;
                self.under_way.clear();
                self.window = Window::new(self.persisted, self.rows.len() as u64);
                self.next = self.persisted;
                self.trail = Trail::new(self.disk);
                self.already = Already::default();
            }
        }
    }

    fn report(&mut self, count: usize) {
        for (slot, offset) in self.under_way.drain(..count.min(self.under_way.len())) {
            self.window.settle(slot, Ok(offset));
        }
    }

    /// What is under way once more, by the producer itself.
    fn producer_sends_again(&mut self, broker_knows: bool) {
        for at in 0..self.under_way.len() {
            let Some(offset) = self.under_way[at].1.filter(|_| !broker_knows) else {
                self.under_way[at].1 = None;
                continue;
            };
            let (epoch, seq) = self.topic[usize::try_from(offset).unwrap()].expect("a row of the lane");
            self.under_way[at].1 = Some(self.topic.len() as u64);
            self.topic.push(Some((epoch, seq)));
            self.drain(epoch, seq);
        }
    }

    fn new_producer(&mut self) {
        self.under_way.clear();
        self.window = Window::new(self.window.cursor(), self.window.sent_until());
        self.next = self.window.cursor();
    }

    fn look(&mut self) {
        let cursor = self.window.cursor();
        let Some(mark) = self.trail.written().filter(|_| self.trail.is_forgotten(self.now_ms, WINDOW)) else { return };
        if self.window.unsettled() > 0 || cursor >= self.window.sent_until() || !self.looks {
            return;
        }
        self.trail.knows(self.now_ms);
        self.already = Already::default();
        let from = usize::try_from(mark.offset_for(cursor)).unwrap();
        for (epoch, seq) in self.topic[from..].iter().flatten() {
            self.already.insert(*epoch, *seq, seq + 1);
        }
    }

    fn send(&mut self, count: u64) {
        self.look();
        let cursor = self.window.cursor();
        let nothing_sent = self.window.is_empty() && cursor >= self.window.sent_until();
        if nothing_sent {
            self.trail.knows(self.now_ms);
        }
        let clean = nothing_sent && self.persisted >= cursor;
        if let Some(mark) = self.trail.before_sending(cursor, clean, self.now_ms, WINDOW) {
            self.write(mark);
        }
        for _ in 0..count {
            let Some(&epoch) = self.rows.get(usize::try_from(self.next).unwrap()) else { break };
            let slot = self.window.push(self.next + 1, 1);
            if self.already.holds(epoch, self.next, self.next + 1) {
                self.window.settle(slot, Ok(None));
            } else {
                self.under_way.push((slot, Some(self.topic.len() as u64)));
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
        *last = now;
        if seqs.insert(seq) && !self.stored.insert(seq) {
            self.doubled.push(seq);
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

#[test]
fn an_outage_that_a_gateway_lives_through_is_no_other() {
    let steps = [
        Step::Append(5),
        Step::Send(5),
        Step::Report(2),
        Step::Advance { persist: true },
        Step::Outage { hours: 200, broker_knows: false },
        Step::Send(5),
    ];
    assert_eq!(doubled(&steps, false), [2, 3, 4]);
    assert!(doubled(&steps, true).is_empty());
}

#[test]
fn a_process_that_was_stopped_hears_of_old_answers_first() {
    let steps = [
        Step::Append(5),
        Step::Send(5),
        Step::Report(1),
        Step::Advance { persist: true },
        Step::Stopped { hours: 200, reports: 1 },
        Step::Send(5),
    ];
    assert_eq!(doubled(&steps, false), [2, 3, 4]);
    assert!(doubled(&steps, true).is_empty());
}

#[test]
fn rows_behind_one_that_was_refused_for_long_are_looked_for() {
    let steps =
        [Step::Append(5), Step::Send(5), Step::Advance { persist: true }, Step::Refused { hours: 200 }, Step::Send(5)];
    assert_eq!(doubled(&steps, false), [1, 2, 3, 4]);
    assert!(doubled(&steps, true).is_empty());
}

/// Each of them went wrong once.
#[test]
fn no_row_is_stored_twice_in_what_was_found_by_chance() {
    use Step::*;
    let outage = |hours| Outage { hours, broker_knows: false };
    for steps in [
        vec![Append(1), Report(1), Append(1), Append(1), Kill { hours: 0 }, Send(1), Fatal { hours: 169 }, Send(1)],
        vec![Append(2), Send(2), Kill { hours: 166 }, Foreign(1), Send(3), Kill { hours: 3 }, Send(1)],
        // What was sent before the fatal error is not under way any more, and was not sent again yet.
        vec![Append(6), Send(6), Fatal { hours: 0 }, Send(1), Report(1), outage(169), Send(1)],
    ] {
        assert_eq!(doubled(&steps, true), Vec::<u64>::new(), "{steps:?}");
    }
}
