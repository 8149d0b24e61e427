//! Random histories against a list: what was flushed is there, what is there was appended, in order, once.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    /// So many rows, so long.
    Append {
        rows: usize,
        bytes: usize,
    },
    Flush,
    /// Delivers a share of what is readable, in 1/8.
    Advance(u64),
    Read,
    Close,
    Kill,
    /// The disk refuses writes, or syncs, for the next appends.
    Fault(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0usize..5, 0usize..200).prop_map(|(rows, bytes)| Step::Append { rows, bytes }),
        2 => Just(Step::Flush),
        2 => (0u64..=8).prop_map(Step::Advance),
        2 => Just(Step::Read),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
        1 => (0u8..4).prop_map(Step::Fault),
    ];
    prop::collection::vec(step, 1..60)
}

/// What must hold of lane 0.
#[derive(Default)]
struct Model {
    /// Calls handed over, in order: their rows' texts.
    handed: Vec<Vec<String>>,
    /// What the log held when it was last looked at.
    held: Vec<String>,
    delivered: u64,
}

impl Model {
    /// Reads what the log has synced by itself since it was last looked at: once it is delivered it may be gone.
    fn learn(&mut self, lane: &Lane) {
        let read = texts(lane, self.held.len() as u64);
        self.held.extend(read);
    }

    /// At a quiescent point: reads everything that is not delivered.
    fn check(&mut self, run: &Run) {
        let Some(lane) = run.logs.lanes().into_iter().next() else { return };
        assert!(lane.cursor() <= self.delivered, "the cursor is never ahead of what was delivered");
        let from = lane.cursor().max(lane.first());
        let read = texts(&lane, from);
        assert_eq!(lane.synced(), from + read.len() as u64);
        let known = &self.held[usize::try_from(from).unwrap()..];
        assert!(read.len() >= known.len() && read[..known.len()] == *known, "what was there stays there");
        self.held.truncate(usize::try_from(from).unwrap());
        self.held.extend(read);
        // The log is what was handed over, in order, less whole calls that were dropped.
        let mut at = 0;
        let mut calls = 0;
        for rows in &self.handed {
            if self.held[at..].starts_with(rows) && !rows.is_empty() {
                at += rows.len();
                calls += 1;
            }
        }
        assert_eq!(at, self.held.len(), "every row is one that was handed over, at its place");
        assert!(run.logs.totals().calls >= calls);
        let sizes: u64 = run.logs.lanes().iter().map(|lane| sizes(&lane.inner.folder)).sum();
        assert_eq!(run.logs.totals().bytes, sizes);
    }
}

fn sizes(folder: &Path) -> u64 {
    let listed = crate::log::recover::list(folder).unwrap();
    listed.iter().filter(|(name, _)| name.ends_with(".seg")).map(|(_, path)| path.metadata().unwrap().len()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_what_was_flushed(history in steps(), segment_bytes in 200u64..2000) {
        let mut rig = Rig::new();
        rig.options.log.segment_bytes = segment_bytes;
        let mut model = Model::default();
        let mut run = rig.open();
        let mut number = 0;
        for step in history {
            match step {
                Step::Append { rows, bytes } => {
                    let rows: Vec<String> = (0..rows).map(|row| format!("{number}-{row}{}", "x".repeat(bytes))).collect();
                    number += 1;
                    run.append("m", &rows.iter().map(String::as_str).collect::<Vec<_>>());
                    model.handed.push(rows);
                }
                Step::Flush => {
                    run.logs.flush();
                    run.calls();
                    model.check(&run);
                }
                Step::Advance(share) => if let Some(lane) = run.logs.lanes().first() {
                    let to = lane.cursor() + (lane.synced() - lane.cursor()) * share / 8;
                    model.learn(lane);
                    model.delivered = model.delivered.max(to);
                    lane.advance(to);
                },
                Step::Read => if let Some(lane) = run.logs.lanes().first() {
                    texts(lane, lane.cursor());
                },
                Step::Close => {
                    rig.faults.set(|state| *state = State::default());
                    run.logs.close();
                    run.calls();
                    let cursor = run.logs.lanes().first().map(Lane::cursor);
                    run = rig.open();
                    model.check(&run);
                    let persisted = run.logs.lanes().first().map(Lane::cursor);
                    prop_assert_eq!(persisted, cursor, "closing persists the cursor");
                }
                Step::Kill => {
                    rig.faults.set(|state| *state = State::default());
                    run.kill();
                    run = rig.open();
                    run.calls();
                    model.check(&run);
                }
                Step::Fault(kind) => rig.faults.set(|state| *state = match kind {
                    0 => State { writes: Some((rustix::io::Errno::NOSPC.raw_os_error(), 100)), ..State::default() },
                    1 => State { syncs: true, ..State::default() },
                    2 => State { syncs: true, puts: true, ..State::default() },
                    _ => State::default(),
                }),
            }
        }
        rig.faults.set(|state| *state = State::default());
        run.logs.flush();
        run.calls();
        model.check(&run);
        run.logs.close();
        prop_assert!(crate::log::verify(rig.data_dir()).unwrap().ok());
    }
}
