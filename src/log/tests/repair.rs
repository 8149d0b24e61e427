//! `weir log repair`: wherever an entry is damaged, also where a segment or the lane ends with it.

use super::damage::Small;
use super::*;
use crate::log::{Fix, Mode, repair, verify};

fn repaired(small: &Small, aside: &str, mode: Mode) -> Vec<Fix> {
    repair(small.rig.data_dir(), &small.rig.options, &small.rig.data_dir().join(aside), mode).unwrap()
}

#[test]
fn any_damaged_body_is_taken_out_and_its_rows_and_calls_stay_counted() {
    let small = Small::new();
    for (n, span) in small.entries.iter().enumerate() {
        let lost = &span.seqs;
        let why = format!("entry {n}, rows {lost:?} of {}", span.path.display());
        small.restore();
        let run = small.rig.open();
        let (end, calls) = (run.lane("m", 0).synced(), run.logs.totals().calls);
        run.logs.close();
        drop(run);
        small.restore();
        let mut bytes = std::fs::read(&span.path).unwrap();
        bytes[usize::try_from(span.head_end).unwrap()] ^= 0xff;
        std::fs::write(&span.path, &bytes).unwrap();

        let aside = format!("aside-{n}");
        let plan = repaired(&small, &aside, Mode::Plan);
        assert_eq!(std::fs::read(&span.path).unwrap(), bytes, "{why}: a plan writes nothing");
        assert_eq!(repaired(&small, &aside, Mode::Write), plan, "{why}");
        assert_eq!(plan.len(), 1, "{why}: {plan:?}");
        assert_eq!(std::fs::read(plan[0].kept.as_ref().unwrap()).unwrap(), bytes, "{why}: it is kept as it was");
        assert_eq!(repaired(&small, "not-made", Mode::Write), [], "{why}: nothing is left for a second run");
        let damage = verify(small.rig.data_dir()).unwrap().damage;
        assert_eq!(damage.iter().map(|range| range.next - range.seq).sum::<u64>(), lost.end - lost.start, "{why}");

        let run = small.rig.open();
        let lane = run.lane("m", 0);
        assert_eq!((lane.synced(), run.logs.totals().calls), (end, calls), "{why}");
        let items = read(&lane, 0);
        for item in &items {
            match item {
                Item::Row(row) => assert_eq!(text(row), small.values[usize::try_from(row.seq).unwrap()], "{why}"),
                Item::Damaged { seq, next, .. } => assert_eq!(*seq..*next, *lost, "{why}"),
            }
        }
        let whole = small.values.len() as u64 - (lost.end - lost.start);
        assert_eq!(rows(&items).len() as u64, whole, "{why}");
        run.append("m", &["new"]);
        run.logs.flush();
        assert_eq!(texts(&lane, end), ["new"], "{why}");
        run.calls();
    }
}
