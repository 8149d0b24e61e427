//! Every byte changed, every length cut: the log opens, loses nothing that is whole, and takes appends.

use std::collections::BTreeSet;

use super::*;
use crate::log::segment::{SegmentFile, Step, Walk};
use crate::log::verify;

const CALLS: usize = 6;

/// A log of several segments, with the values that it holds by seq.
pub(super) struct Small {
    pub rig: Rig,
    pub values: Vec<String>,
    files: Vec<(PathBuf, Vec<u8>)>,
    pub entries: Vec<Span>,
}

/// Where an entry stands.
pub(super) struct Span {
    pub path: PathBuf,
    at: u64,
    pub head_end: u64,
    end: u64,
    pub seqs: std::ops::Range<u64>,
    last: bool,
}

impl Small {
    pub fn new() -> Small {
        let mut rig = Rig::new();
        rig.options.log.segment_bytes = 420;
        let mut values = Vec::new();
        for start in 0..2 {
            let run = rig.open();
            for call in 0..CALLS {
                let call: Vec<String> =
                    (0..1 + call % 3).map(|row| format!("{{\"s\":{start},\"c\":{call},\"r\":{row}}}")).collect();
                run.append("m", &call.iter().map(String::as_str).collect::<Vec<_>>());
                values.extend(call);
            }
            run.logs.flush();
            run.lane("m", 0).advance(2);
            run.logs.close();
        }
        let mut files = Vec::new();
        for folder in [rig.data_dir().to_owned(), rig.data_dir().join("log/m"), rig.lane_folder("m", 0)] {
            for (name, path) in crate::log::recover::list(&folder).unwrap() {
                if path.is_file() && name != "ledger" {
                    files.push((path.clone(), std::fs::read(&path).unwrap()));
                }
            }
        }
        let mut entries = Vec::new();
        let (log, lane) = {
            let run = rig.open();
            (run.lane("m", 0).log(), 0)
        };
        for path in rig.segments("m") {
            let first_seq = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            let mut walk = Walk::new(SegmentFile::open(&path, log, lane).unwrap(), first_seq);
            while let Some(step) = walk.step().unwrap() {
                let Step::Entry { at, head } = step else { panic!("{step:?}") };
                let (head_end, end) = (at + 64, at + head.entry_bytes());
                let seqs = head.first_seq..head.next_seq();
                entries.push(Span { path: path.clone(), at, head_end, end, seqs, last: false });
            }
        }
        entries.last_mut().unwrap().last = true;
        assert_eq!(entries.len(), 2 * CALLS);
        assert!(rig.segments("m").len() > 3);
        Small { rig, values, files, entries }
    }

    /// Every file as it was, and no other segment.
    pub fn restore(&self) {
        for (file, good) in &self.files {
            std::fs::write(file, good).unwrap();
        }
        for segment in self.rig.segments("m") {
            if !self.files.iter().any(|(file, _)| *file == segment) {
                std::fs::remove_file(segment).unwrap();
            }
        }
    }

    /// Opens with one file changed; checks all rows but those that `lost` may lose without a trace.
    fn check(
        &self,
        path: &Path,
        bytes: &[u8],
        touched: impl Fn(&Span) -> bool,
        cut: impl Fn(&Span) -> bool,
        why: &str,
    ) {
        self.restore();
        std::fs::write(path, bytes).unwrap();
        let run = self.rig.open();
        let lane = run.lane("m", 0);
        let items = read(&lane, 0);
        let mut intact = BTreeSet::new();
        for row in rows(&items) {
            assert_eq!(text(row), self.values[usize::try_from(row.seq).unwrap()], "{why}");
            intact.insert(row.seq);
        }
        let end = lane.synced();
        for span in &self.entries {
            for seq in span.seqs.clone() {
                let whole = intact.contains(&seq);
                assert!(whole || touched(span), "{why}: row {seq} was not touched and is lost");
                assert!(whole || seq < end || cut(span), "{why}: row {seq} is gone without a trace");
            }
        }
        // It goes on: after what is known to have been there, with nothing twice.
        run.append("m", &["new", "newer"]);
        run.logs.flush();
        assert_eq!(texts(&lane, end), ["new", "newer"], "{why}");
        assert_eq!(read(&lane, 0)[..items.len()], items[..], "{why}");
        run.calls();
        run.logs.close();
        let report = verify(self.rig.data_dir()).unwrap();
        assert_eq!(report.unfinished_bytes, 0, "{why}");
        // A third start finds the same.
        let run = self.rig.open();
        assert_eq!(read(&run.lane("m", 0), 0)[..items.len()], items[..], "{why}");
        assert_eq!(texts(&run.lane("m", 0), end), ["new", "newer"], "{why}");
        run.calls();
    }
}

#[test]
fn any_byte_may_change() {
    let small = Small::new();
    let mut cases = 0;
    for (path, good) in &small.files {
        for at in 0..good.len() {
            let mut seen = BTreeSet::from([good[at]]);
            for value in [!good[at], 0, 0xff] {
                if !seen.insert(value) {
                    continue;
                }
                let mut bytes = good.clone();
                bytes[at] = value;
                let hit = |span: &Span| span.path == *path && (span.at..span.end).contains(&(at as u64));
                // Of the very last entry nobody can tell a damaged head from a torn write.
                let cut = |span: &Span| hit(span) && span.last && (at as u64) < span.head_end;
                small.check(path, &bytes, hit, cut, &format!("{} byte {at} = {value}", path.display()));
                cases += 1;
            }
        }
    }
    assert!(cases > 2000, "{cases}");
}

#[test]
fn any_file_may_be_cut_anywhere() {
    let small = Small::new();
    let last = small.entries.last().unwrap().path.clone();
    for (path, good) in &small.files {
        for length in 0..good.len() {
            let hit = |span: &Span| span.path == *path && span.end > length as u64;
            let cut = |span: &Span| hit(span) && *path == last;
            small.check(path, &good[..length], hit, cut, &format!("{} cut to {length}", path.display()));
        }
    }
}

#[test]
fn any_file_but_the_identity_may_be_missing() {
    let small = Small::new();
    for (path, _) in &small.files {
        small.restore();
        std::fs::remove_file(path).unwrap();
        let run = small.rig.open();
        let lane = run.lane("m", 0);
        let items = match lane.reader(0) {
            Err(LogError::Gone { first, .. }) => read(&lane, first),
            Err(error) => panic!("{error}"),
            Ok(_) => read(&lane, 0),
        };
        for row in rows(&items) {
            assert_eq!(text(row), small.values[usize::try_from(row.seq).unwrap()]);
        }
        let lost =
            small.entries.iter().filter(|span| span.path == *path).map(|span| span.seqs.clone().count()).sum::<usize>();
        assert!(rows(&items).len() >= small.values.len() - lost, "{}", path.display());
        run.append("m", &["new"]);
        run.logs.flush();
        assert_eq!(texts(&lane, lane.synced() - 1), ["new"]);
        run.calls();
    }
}

#[test]
fn both_identities_damaged_is_an_error_that_names_the_folder() {
    let small = Small::new();
    let folder = small.rig.data_dir().join("log/m");
    for name in ["meta.json", "meta.bak"] {
        std::fs::write(folder.join(name), "{}").unwrap();
    }
    let error = small.rig.try_open().err().expect("refused").to_string();
    assert!(error.contains("log/m") && error.contains("restore"), "{error}");
}

#[test]
fn entries_of_another_lane_or_made_up_by_a_client_are_not_taken_for_ones_own() {
    let mut rig = Rig::new();
    rig.options.lanes = 2;
    let run = rig.open();
    for call in 0..6 {
        run.append("m", &[&format!("call {call}")]);
    }
    run.logs.close();
    let path = |lane| rig.lane_folder("m", lane).join("00000000000000000000.seg");
    let other = std::fs::read(path(1)).unwrap();
    let mut bytes = std::fs::read(path(0)).unwrap();
    // The first entry is overwritten by one of the other lane.
    bytes[80..160].copy_from_slice(&other[80..160]);
    std::fs::write(path(0), bytes).unwrap();
    let run = rig.open();
    let items = read(&run.lane("m", 0), 0);
    assert!(matches!(items[0], Item::Damaged { seq: 0, next: 1, .. }), "{items:?}");
    assert_eq!(rows(&items).into_iter().map(text).collect::<Vec<_>>(), ["call 2", "call 4"]);
}

#[test]
fn a_newer_format_is_refused() {
    let rig = Rig::new();
    let run = rig.open();
    run.append("m", &["x"]);
    run.logs.close();
    let path = &rig.segments("m")[0];
    let mut bytes = std::fs::read(path).unwrap();
    bytes[8] = 2;
    let crc = crate::log::format::crc32c(&bytes[..76]);
    bytes[76..80].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
    let error = rig.try_open().err().expect("refused").to_string();
    assert!(error.contains("format 2"), "{error}");
}
