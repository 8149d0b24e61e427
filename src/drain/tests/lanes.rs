//! The drain on real logs in a folder: what a `data_dir` and its store must agree on.

use super::*;
use crate::ledger::Ledger;
use crate::log::{Logs, Options, ReaderKind, Root};
use crate::record::{Encoded, Recorded};
use crate::source::lane::Lanes;

/// A process without Kafka.
struct Process {
    logs: Logs,
    ledger: Ledger,
    drain: Option<Drain>,
}

impl World {
    /// Starts a process on a `data_dir`.
    fn process(&self, data_dir: &str, lanes: u32) -> Process {
        let data_dir = self.dir.path().join(data_dir);
        let log = config::Log {
            sync: Duration::from_millis(5),
            bytes_max: 64 << 20,
            reserve_free_bytes: 0,
            segment_bytes: 1 << 20,
        };
        let options = Options { log, lanes, reader: ReaderKind::Drain, root: Root::folder("parquet") };
        let logs = Logs::open(&data_dir, options).unwrap();
        let ledger = Ledger::open(&data_dir.join("ledger"), logs.totals().logged()).unwrap();
        let drain = Some(self.start_on(&data_dir, Box::new(Lanes::new(logs.clone()))));
        Process { logs, ledger, drain }
    }

    fn empty_the_store(&self) {
        let root = self.dir.path().join("parquet");
        std::fs::remove_dir_all(&root).unwrap();
        std::fs::create_dir_all(root.join(".tmp")).unwrap();
    }
}

impl Process {
    fn append(&self, rows: u32) {
        self.append_to("churn", rows);
    }

    fn append_to(&self, topic: &str, rows: u32) {
        for n in 0..rows {
            let rows = vec![Encoded { key: None, value: row(7, u64::from(n)) }];
            let (ticket, content_type) = (self.ledger.see(), ContentType::Json);
            self.logs.append(Recorded { ticket, topic: topic.into(), content_type, rows });
        }
        self.logs.flush();
    }

    fn drain(&self) -> &Drain {
        self.drain.as_ref().unwrap()
    }

    fn stop(mut self) {
        let report = self.drain.take().unwrap().stop(PATIENCE);
        assert!(report.all_stored(), "{report:?}");
        self.logs.close();
    }
}

fn rows_stored(world: &World) -> u64 {
    world.files().iter().map(|(_, footer)| footer.rows).sum()
}

#[test]
fn an_emptied_store_is_refused_at_the_start() {
    let world = World::new(0);
    let process = world.process("data", 1);
    process.append(3);
    process.stop();
    assert_eq!(rows_stored(&world), 3);
    world.empty_the_store();
    let process = world.process("data", 1);
    process.append(2);
    let error = process.drain().drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("folder emptied")), "{error}");
    assert!(world.files().is_empty());
}

#[test]
fn an_emptied_store_is_refused_by_a_lane_that_never_stored() {
    let world = World::new(0);
    let process = world.process("data", 2);
    process.append(1);
    process.stop();
    world.empty_the_store();
    let process = world.process("data", 2);
    process.append(5);
    let error = process.drain().drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("folder emptied")), "{error}");
    assert!(world.files().is_empty());
}

#[test]
fn a_store_that_is_emptied_under_a_running_drain_takes_no_file_and_goes_on_when_it_is_back() {
    let world = World::new(0);
    let process = world.process("data", 1);
    process.append(3);
    process.drain().drain_now(PATIENCE).unwrap();
    let (table, aside) = (world.dir.path().join("parquet/churn"), world.dir.path().join("aside"));
    std::fs::rename(&table, &aside).unwrap();
    process.append(2);
    let error = process.drain().drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("emptied or unmounted")), "{error}");
    assert!(world.files().is_empty());
    assert_eq!(process.logs.totals().delivered, 3, "the log keeps its rows");
    std::fs::rename(&aside, &table).unwrap();
    process.drain().drain_now(PATIENCE).unwrap();
    assert_eq!(rows_stored(&world), 5);
    process.stop();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)
        } else {
            std::fs::copy(entry.path(), &to).map(drop).unwrap()
        }
    }
}

#[test]
fn a_copied_data_dir_adopts_no_file_that_reaches_beyond_its_own_log() {
    let world = World::new(0);
    let process = world.process("data", 1);
    process.append(3);
    process.stop();
    copy(&world.dir.path().join("data"), &world.dir.path().join("copy"));
    let process = world.process("data", 1);
    process.append(10);
    process.stop();
    // The copy starts behind its twin's file, with two rows of its own in the place of the twin's.
    let process = world.process("copy", 1);
    process.append(2);
    let error = process.drain().drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("data_dir was copied")), "{error}");
    assert_eq!(process.logs.totals().delivered, 3, "its own rows stay");
    assert_eq!(rows_stored(&world), 13);
}

#[test]
fn a_running_copy_adopts_no_file_of_its_twin() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(0) };
    let process = world.process("data", 1);
    process.append(3);
    process.stop();
    copy(&world.dir.path().join("data"), &world.dir.path().join("copy"));
    let (process, twin) = (world.process("data", 1), world.process("copy", 1));
    twin.append(1);
    until(twin.drain(), "collected", |status| status.partitions.iter().any(|partition| partition.rows == 1));
    process.append(10);
    process.drain().drain_now(PATIENCE).unwrap();
    let error = twin.drain().drain_now(PATIENCE).unwrap_err();
    assert!(matches!(&error, DrainNowError::Refused(text) if text.contains("data_dir was copied")), "{error}");
    assert_eq!(twin.logs.totals().delivered, 3);
}

#[test]
fn a_backlog_of_the_log_is_stored_whatever_the_start_says() {
    let world = World { earliest: false, ..World::new(0) };
    let mut process = world.process("data", 1);
    drop(process.drain.take());
    process.append(3);
    process.logs.close();
    drop(process);
    let process = world.process("data", 1);
    process.drain().drain_now(PATIENCE).unwrap();
    assert_eq!(rows_stored(&world), 3);
    process.stop();
}

#[test]
fn a_stop_stores_what_a_lane_holds_that_is_still_opening() {
    let world = World { roll_every: Duration::from_secs(3_600), ..World::new(0) };
    let process = world.process("data", 2);
    process.append(6);
    process.stop();
    assert_eq!(rows_stored(&world), 6);
}

#[test]
fn the_clock_of_a_log_is_a_machines_and_may_be_wrong() {
    let world = World::new(0);
    let process = world.process("data", 1);
    process.append(1);
    let mut lanes = Lanes::new(process.logs.clone());
    let Some(Event::Assigned { partition, .. }) = lanes.poll(Duration::ZERO).unwrap().pop() else { panic!("no lane") };
    let message = lanes.read(&partition, 0, 1).unwrap().next().unwrap().unwrap();
    assert!(message.create_time);
}

#[test]
fn a_store_that_hangs_over_one_tables_schema_holds_up_no_other_table() {
    let world = World::new(0);
    let folder = Folder::open(&world.dir.path().join("parquet")).unwrap();
    let hangs = Arc::new(AtomicBool::new(true));
    let hanging = hangs.clone();
    let hook = move |_: &str, key: &str| {
        while key.starts_with("slow/_weir/schema") && hanging.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let world = World { store: Arc::new(Hooked(folder, Box::new(hook))), ..world };
    let process = world.process("data", 1);
    process.append_to("slow", 3);
    process.append_to("churn", 3);
    until(process.drain(), "the other table", |status| status.totals.stored == 3);
    assert_eq!(rows_stored(&world), 3);
    hangs.store(false, Ordering::Relaxed);
    process.drain().drain_now(PATIENCE).unwrap();
    assert_eq!(process.drain().status().totals.stored, 6);
    process.stop();
}

#[test]
fn a_stop_does_not_wait_for_a_partition_that_waits_for_somebody() {
    let world = World::new(0);
    let mut process = world.process("data", 1);
    process.append(3);
    process.drain().drain_now(PATIENCE).unwrap();
    world.empty_the_store();
    process.append(2);
    let begun = Instant::now();
    let report = process.drain.take().unwrap().stop(PATIENCE * 10);
    assert_eq!(report.left.len(), 1, "{report:?}");
    assert!(!report.cut_short && begun.elapsed() < PATIENCE * 5);
}
