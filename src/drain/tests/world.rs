//! A folder, a topic and the drains on them; what must hold at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{MemorySource, Moody, Topic};
use crate::config;
use crate::drain::footer::Footer;
use crate::drain::status::Status;
use crate::drain::store::{Folder, Listed, Store, read_footer};
use crate::drain::{Drain, DrainConfig};
use crate::source::Source;

pub const PATIENCE: Duration = Duration::from_secs(180);

pub struct World {
    pub dir: tempfile::TempDir,
    pub store: Arc<dyn Store>,
    pub topic: Topic,
    pub roll_every: Duration,
    pub roll_bytes: u64,
    pub earliest: bool,
}

impl World {
    pub fn new(partitions: usize) -> World {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Folder::open(&dir.path().join("parquet")).unwrap());
        World {
            dir,
            store,
            topic: Topic::new(partitions),
            roll_every: Duration::from_millis(20),
            roll_bytes: 128 << 20,
            earliest: true,
        }
    }

    /// The same on a store that can be told to fail.
    pub fn moody(self) -> (World, Arc<Moody>) {
        let moody = Moody::calm(&self.dir.path().join("parquet"));
        (World { store: moody.clone(), ..self }, moody)
    }

    pub fn start_in(&self, data_dir: &Path) -> Drain {
        self.start_on(data_dir, MemorySource::boxed(&self.topic))
    }

    pub fn start_on(&self, data_dir: &Path, source: Box<dyn Source>) -> Drain {
        Drain::start(self.config(data_dir), self.store.clone(), source).unwrap()
    }

    pub fn config(&self, data_dir: &Path) -> DrainConfig {
        DrainConfig {
            drain: config::Drain {
                topics: Vec::new(),
                group: "weir-drain".into(),
                start_earliest: self.earliest,
                spool_bytes_max: 4 << 30,
                resend_window: Duration::from_secs(7 * 86_400),
            },
            store: config::Store {
                to: config::StoreTo::Folder(self.dir.path().join("parquet")),
                roll_bytes: self.roll_bytes,
                roll_every: self.roll_every,
                partition: config::Partitioning::Day,
                parquet: config::Parquet {
                    zstd_level: 1,
                    row_group_rows: 131_072,
                    encodings: config::Encodings::Compatible,
                },
                columns_max: 1_000,
                tables: BTreeMap::new(),
            },
            data_dir: data_dir.to_owned(),
            waiting_bytes_max: 1 << 30,
            store_tested: false,
            meters: crate::telemetry::Meters::new().drain(),
        }
    }

    pub fn start(&self) -> Drain {
        self.start_in(&self.dir.path().join("data"))
    }

    pub fn files(&self) -> Vec<(String, Footer)> {
        let listed = self.store.list("churn/dt=", None).unwrap();
        let read = |object: Listed| {
            let footer = read_footer(&*self.store, &object.key).unwrap().unwrap();
            (object.key, footer)
        };
        listed.into_iter().map(read).collect()
    }

    /// Every row of the topic is in exactly one file, the chains are whole, and the equation holds.
    pub fn whole(&self) -> Vec<(String, Footer)> {
        let files = self.files();
        let mut stored: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let mut next: BTreeMap<u32, u64> = BTreeMap::new();
        for (key, footer) in &files {
            let partition = footer.chain.partition;
            assert_eq!(footer.first, next.get(&partition).copied().unwrap_or(0), "{key} follows its predecessor");
            next.insert(partition, footer.next);
            let offsets = offsets(&*self.store, key);
            assert_eq!(offsets.len() as u64, footer.rows, "{key}");
            let totals = footer.totals;
            assert_eq!(totals.consumed, totals.stored + totals.resent);
            stored.entry(partition).or_default().extend(offsets);
        }
        for (partition, log) in (0u32..).zip(self.topic.with(|inner| inner.partitions.clone())) {
            let mut seqs = BTreeSet::new();
            let sent: Vec<u64> = log.iter().filter(|m| seqs.insert(m.seq.unwrap())).map(|m| m.offset).collect();
            assert_eq!(stored.remove(&partition).unwrap_or_default(), sent, "partition {partition}");
        }
        files
    }
}

/// The `_offset` column of a file.
pub fn offsets(store: &dyn Store, key: &str) -> Vec<u64> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::UInt64Type;
    let bytes = store.get(key).unwrap().unwrap();
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    let mut offsets = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column =
            arrow_cast::cast(batch.column_by_name("_offset").unwrap(), &arrow_schema::DataType::UInt64).unwrap();
        offsets.extend(column.as_primitive::<UInt64Type>().values());
    }
    offsets
}

pub fn until(drain: &Drain, what: &str, met: impl Fn(&Status) -> bool) -> Status {
    let by = Instant::now() + PATIENCE;
    loop {
        let status = drain.status();
        if met(&status) {
            return status;
        }
        assert!(Instant::now() < by, "{what}: {status:#?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
