use std::fs::File;
use std::io;
use std::sync::Mutex;

/// Faults that a test asks the disk for.
#[derive(Debug, Default)]
pub(super) struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct State {
    /// Writes into segments fail, leaving so many bytes behind.
    pub writes: Option<(i32, usize)>,
    pub syncs: bool,
    pub cuts: bool,
    /// Making files fails.
    pub puts: bool,
    pub free_bytes: Option<u64>,
}

impl Faults {
    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn get(&self) -> State {
        *self.state.lock().unwrap()
    }

    pub(super) fn on_write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        match self.get().writes {
            Some((errno, left)) => {
                file.write_all_at(&bytes[..left.min(bytes.len())], at)?;
                Err(io::Error::from_raw_os_error(errno))
            }
            None => Ok(()),
        }
    }

    pub(super) fn on_sync(&self) -> io::Result<()> {
        if self.get().syncs { Err(eio()) } else { Ok(()) }
    }

    pub(super) fn on_cut(&self) -> io::Result<()> {
        if self.get().cuts { Err(eio()) } else { Ok(()) }
    }

    pub(super) fn on_put(&self) -> io::Result<()> {
        if self.get().puts { Err(eio()) } else { Ok(()) }
    }

    pub(super) fn free_bytes(&self) -> Option<u64> {
        self.get().free_bytes
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

mod damage;
mod faults;
mod model;
mod path;
mod repair;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Disk, Ending, Item, Lane, LogError, LogRow, Logs, Options, ReaderKind, Root, S3Access};
use crate::config;
use crate::ledger::{Calls, Ledger, Reason};
use crate::record::{ContentType, Encoded, Recorded};

/// A `data_dir` that outlives the processes that a test plays.
struct Rig {
    folder: tempfile::TempDir,
    faults: Arc<Faults>,
    options: Options,
}

/// One start on it.
struct Run {
    logs: Logs,
    ledger: Ledger,
}

impl Rig {
    fn new() -> Rig {
        // In memory where there is such a place: thousands of opens sync thousands of times.
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        let log = config::Log {
            sync: Duration::from_millis(5),
            bytes_max: 64 << 20,
            reserve_free_bytes: 0,
            segment_bytes: 1 << 20,
        };
        Rig {
            folder: folder.expect("a temporary folder"),
            faults: Arc::default(),
            options: Options { log, lanes: 1, reader: ReaderKind::Drain, root: Root::folder("parquet") },
        }
    }

    fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    fn try_open(&self) -> Result<Run, LogError> {
        let disk = Disk { faults: Arc::clone(&self.faults) };
        let logs = Logs::open_on(disk, self.data_dir(), self.options.clone())?;
        let ledger = Ledger::open(&self.data_dir().join("ledger"), logs.totals().logged()).unwrap();
        Ok(Run { logs, ledger })
    }

    fn open(&self) -> Run {
        self.try_open().unwrap()
    }

    fn lane_folder(&self, topic: &str, lane: u32) -> PathBuf {
        self.data_dir().join("log").join(topic).join(lane.to_string())
    }

    /// Segment files of lane 0, in order.
    fn segments(&self, topic: &str) -> Vec<PathBuf> {
        let listed = super::recover::list(&self.lane_folder(topic, 0)).unwrap();
        listed.into_iter().filter(|(name, _)| name.ends_with(".seg")).map(|(_, path)| path).collect()
    }
}

impl Run {
    fn append(&self, topic: &str, values: &[&str]) {
        let rows = values.iter().map(|value| Encoded { key: None, value: Bytes::from((*value).to_owned()) }).collect();
        let ticket = self.ledger.see();
        self.logs.append(Recorded { ticket, topic: topic.to_owned(), content_type: ContentType::Json, rows });
    }

    fn lane(&self, topic: &str, lane: u32) -> Lane {
        let found = self.logs.lanes().into_iter().find(|found| found.topic() == topic && found.lane() == lane);
        found.expect("the lane exists")
    }

    /// The process dies: nothing more is written, nothing is settled.
    fn kill(self) {
        self.logs.inner.end(Ending::Killed);
        std::mem::forget(self.ledger);
    }

    /// Checks the first equation at a quiescent point.
    fn calls(&self) -> Calls {
        let calls = self.ledger.calls();
        assert_eq!(calls.pending(), 0, "{calls:?}");
        assert_eq!(calls.logged, self.logs.totals().calls, "the ledger and the log agree");
        calls
    }
}

fn dropped(calls: &Calls, reason: Reason) -> u64 {
    calls.dropped[reason as usize]
}

/// Everything a reader yields from `from` on; fails if it does not come to an end.
fn read(lane: &Lane, from: u64) -> Vec<Item> {
    let mut reader = lane.reader(from).unwrap();
    let mut items = Vec::new();
    let mut expected = from;
    while let Some(item) = reader.next().unwrap() {
        let (seq, next) = range(&item);
        assert_eq!(seq, expected, "no gap and no repetition: {item:?}");
        assert!(next > seq, "{item:?}");
        expected = next;
        items.push(item);
        assert!(items.len() < 1_000_000, "the reader loops");
    }
    assert_eq!(expected.max(lane.synced()), expected, "it reads up to the synced end");
    items
}

fn range(item: &Item) -> (u64, u64) {
    match item {
        Item::Row(row) => (row.seq, row.seq + 1),
        Item::Damaged { seq, next, .. } => (*seq, *next),
    }
}

fn rows(items: &[Item]) -> Vec<&LogRow> {
    let mut rows = Vec::new();
    for item in items {
        if let Item::Row(row) = item {
            rows.push(row);
        }
    }
    rows
}

fn text(row: &LogRow) -> &str {
    std::str::from_utf8(&row.value).unwrap()
}

fn texts(lane: &Lane, from: u64) -> Vec<String> {
    let items = read(lane, from);
    assert_eq!(rows(&items).len(), items.len(), "nothing is damaged: {items:?}");
    rows(&items).into_iter().map(|row| text(row).to_owned()).collect()
}

#[test]
fn a_source_is_read_back_and_nothing_else_is_one() {
    let source = super::Source { log: uuid::Uuid::from_u128(u128::MAX / 3), lane: 12, epoch: 0xab };
    let text = source.to_string();
    assert_eq!(text.parse(), Ok(source));
    let zeros = format!("{}-012-000000ab", source.log.simple());
    let hyphens = format!("{}-12-000000ab", source.log);
    let long = format!("{text}-0");
    for other in ["", "orders", "orders-0-1", &text.to_uppercase(), &zeros, &hyphens, &long, &text[1..]] {
        assert!(other.parse::<super::Source>().is_err(), "{other}");
    }
}

#[test]
fn the_oldest_undelivered_row_is_the_one_at_the_cursor() {
    let rig = Rig::new();
    let run = rig.open();
    run.append("churn", &["a", "b"]);
    run.logs.flush();
    let lane = run.lane("churn", 0);
    let first = rows(&read(&lane, 0))[0].appended_at_ms;
    assert_eq!(lane.oldest_undelivered_ms(), Some(first));
    std::thread::sleep(Duration::from_millis(5));
    run.append("churn", &["c"]);
    run.logs.flush();
    assert_eq!(lane.oldest_undelivered_ms(), Some(first));
    lane.advance(2);
    let second = lane.oldest_undelivered_ms().unwrap();
    assert!(second >= first + 5, "{first} {second}");
    lane.advance(3);
    assert_eq!(lane.oldest_undelivered_ms(), None);
}

#[test]
fn nobody_else_may_look_into_the_log() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::new();
    let run = rig.open();
    run.append("churn", &["a"]);
    run.logs.flush();
    let log = rig.data_dir().join("log");
    for folder in [log.clone(), log.join("churn"), log.join("churn/0")] {
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}: {mode:o}", folder.display());
    }
}
