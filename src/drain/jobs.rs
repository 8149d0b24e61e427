//! What the drain asks of the store, on threads of its own, so that one slow answer holds up one partition only.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use fail::fail_point;

use super::footer::{Footer, Sources};
use super::names::{self, ChainId, ORIGIN_VERSION, OriginDoc};
use super::pin::{self, PinError};
use super::refusal::Refusal;
use super::store::{self, Content, Created, Kind, Store, StoreError};
use crate::config::Partitioning;
use crate::source::PartitionId;
use crate::table::Schema;
use crate::telemetry::with_causes;

/// Answers that are waited for at once: start-up of many partitions and several uploads.
const THREADS: usize = 4;

/// One question.
pub enum Job {
    /// The origin's document, made if there is none, and the newest file of the partition.
    Open(Open),
    Create(Create),
    Schema(NewestSchema),
}

/// The newest schema of a table, with what is proposed made part of it.
pub struct NewestSchema {
    pub table: String,
    /// The version that need not be told again; 0: none.
    pub known: u32,
    pub proposed: Option<Schema>,
}

pub struct Open {
    pub partition: PartitionId,
    pub partitioning: Partitioning,
    pub topic_id: String,
    /// First offsets of all partitions of this origin that are known, for a new document; `None`: do not make one.
    pub starts: Option<BTreeMap<u32, u64>>,
    /// The furthest that the source remembers to have been stored of any of the origin's partitions.
    pub hint: Option<u64>,
    pub now_ms: i64,
}

pub struct Create {
    pub chain: ChainId,
    pub key: String,
    pub file: PathBuf,
}

/// A chain as the store holds it.
pub struct Opened {
    pub doc: OriginDoc,
    /// Its newest file.
    pub head: Option<(String, Footer)>,
    /// Of a chain without a file: what the generations before it hold.
    pub inherited: Sources,
}

/// One answer.
pub enum Done {
    Opened(Box<Opened>),
    /// `None`: none is pinned that was not known.
    Schema {
        table: String,
        newest: Option<Arc<Schema>>,
        grown: bool,
    },
    /// The origin has no document, and none was to be made.
    NoOrigin,
    Created,
    /// The key was taken, by this file.
    Exists(Box<Footer>),
    /// A newer generation of the origin exists; nothing was created.
    Superseded(u32),
    Refused(Box<Refusal>),
    /// The file that was to be created cannot be read; nothing was created by this call.
    FileLost(String),
    Failed {
        kind: Kind,
        why: String,
    },
}

/// A few threads that ask the store. Dropping it ends them after the question they are at.
pub struct Jobs {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Asked and not yet taken.
    open: usize,
}

struct Shared {
    queues: Mutex<Queues>,
    changed: Condvar,
    /// The store keeps what exists.
    tested: AtomicBool,
}

#[derive(Default)]
struct Queues {
    /// With the partition and its assignment's number.
    asked: VecDeque<(PartitionId, u64, Job)>,
    done: Vec<(PartitionId, u64, Done)>,
    ended: bool,
}

impl Shared {
    /// The store's self-test (D6), before anything else is asked of it; once it has passed, it is not repeated.
    fn test(&self, store: &dyn Store) -> Result<(), StoreError> {
        if !self.tested.load(Ordering::Acquire) {
            store.self_test()?;
            self.tested.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        // A queue is whole at every moment a panic could leave it.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    /// `tested`: the store has passed its self-test already.
    pub fn start(store: &Arc<dyn Store>, tested: bool) -> std::io::Result<Jobs> {
        let shared =
            Arc::new(Shared { queues: Mutex::default(), changed: Condvar::new(), tested: AtomicBool::new(tested) });
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            let (shared, store) = (shared.clone(), store.clone());
            threads.push(std::thread::Builder::new().name("drain.store".into()).spawn(move || work(&shared, &*store))?);
        }
        Ok(Jobs { shared, threads, open: 0 })
    }

    /// Asks; the answer carries the same partition and number.
    pub fn ask(&mut self, partition: PartitionId, number: u64, job: Job) {
        self.open += 1;
        self.shared.queues().asked.push_back((partition, number, job));
        self.shared.changed.notify_all();
    }

    /// The answers that are there.
    pub fn take(&mut self) -> Vec<(PartitionId, u64, Done)> {
        let done = std::mem::take(&mut self.shared.queues().done);
        self.open -= done.len();
        done
    }

    /// Whether an answer is outstanding.
    pub fn busy(&self) -> bool {
        self.open > 0
    }

    /// Waits until an answer is there, or `wait` has passed.
    pub fn wait(&self, wait: Duration) {
        let queues = self.shared.queues();
        let waited = self.shared.changed.wait_timeout_while(queues, wait, |queues| queues.done.is_empty());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        let mut queues = self.shared.queues();
        queues.ended = true;
        queues.asked.clear();
        drop(queues);
        self.shared.changed.notify_all();
        // Not joined: a thread may wait for a store that hangs. What it creates is adopted by the next owner of the chain.
        self.threads.clear();
    }
}

fn work(shared: &Shared, store: &dyn Store) {
    loop {
        let mut queues = shared.queues();
        let (partition, number, job) = loop {
            if queues.ended {
                return;
            }
            match queues.asked.pop_front() {
                Some(asked) => break asked,
                None => queues = shared.changed.wait(queues).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(queues);
        let answer = || match job {
            Job::Open(open) => match shared.test(store) {
                Ok(()) => run_open(store, &open),
                Err(error) => Done::Failed { kind: error.kind(), why: with_causes(&error) },
            },
            Job::Create(create) => run_create(store, &create),
            Job::Schema(wanted) => run_schema(store, wanted),
        };
        // Whoever asked waits for an answer, and the other partitions need the thread.
        let done = std::panic::catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|panic| {
            let why = format!("asking the store panicked: {}; please report it", panic_text(&*panic));
            Done::Failed { kind: Kind::Stop, why }
        });
        shared.queues().done.push((partition, number, done));
        shared.changed.notify_all();
    }
}

fn run_open(store: &dyn Store, open: &Open) -> Done {
    match open_chain(store, open) {
        Ok(Some(opened)) => Done::Opened(Box::new(opened)),
        Ok(None) => Done::NoOrigin,
        Err(PinError::Refused(refusal)) => Done::Refused(refusal),
        Err(error) => Done::Failed { kind: error.kind(), why: with_causes(&error) },
    }
}

fn open_chain(store: &dyn Store, open: &Open) -> Result<Option<Opened>, PinError> {
    fail_point!("drain_before_head");
    let Open { partition: PartitionId { topic, origin, partition }, .. } = open;
    let doc = match (pin::origin(store, topic, origin)?, &open.starts) {
        (Some(doc), _) => doc,
        (None, None) => return Ok(None),
        (None, Some(starts)) => {
            let doc = OriginDoc {
                version: ORIGIN_VERSION,
                table: topic.to_string(),
                origin: origin.to_string(),
                generation: 1,
                partitioning: open.partitioning,
                topic_id: open.topic_id.clone(),
                starts: starts.clone(),
                ended: BTreeMap::new(),
                created_ms: open.now_ms,
            };
            // Whatever the new document would start with: rows of a log are looked for from its cursor on.
            if let Some(hint) = open.hint.filter(|hint| *hint > 0) {
                let refusal = Refusal::OriginMissing { key: doc.key(), hint };
                return Err(PinError::Refused(Box::new(refusal)));
            }
            pin::create_origin(store, doc)?
        }
    };
    let chain = ChainId {
        table: topic.to_string(),
        origin: origin.to_string(),
        generation: doc.generation,
        partition: *partition,
    };
    let Some(key) = newest_file(store, &chain, doc.partitioning)? else {
        let inherited = inherited(store, &chain)?;
        return Ok(Some(Opened { doc, head: None, inherited }));
    };
    let footer = store::read_footer(store, &key)?
        .ok_or_else(|| PinError::Damaged { key: key.clone(), why: "it was listed and is not there".to_owned() })?;
    fail_point!("drain_after_head");
    Ok(Some(Opened { doc, head: Some((key, footer)), inherited: Sources::new() }))
}

/// What the newest file of an earlier generation says is stored. One that cannot be read tells nothing: a new generation is the way on from it.
fn inherited(store: &dyn Store, chain: &ChainId) -> Result<Sources, PinError> {
    for generation in (1..chain.generation).rev() {
        let older = ChainId { generation, ..chain.clone() };
        let footer = pin::origin_at(store, &older.table, &older.origin, generation).and_then(|doc| {
            let Some(key) = newest_file(store, &older, doc.partitioning)? else { return Ok(None) };
            Ok(store::read_footer(store, &key)?)
        });
        match footer {
            Ok(Some(footer)) => return Ok(footer.sources),
            Ok(None) => {}
            Err(error) if error.kind() == Kind::Retry => return Err(error),
            Err(error) => {
                tracing::warn!("what {older} holds is not known, its rows may be stored again: {}", with_causes(&error))
            }
        }
    }
    Ok(Sources::new())
}

/// The key of a chain's newest file: dates never go back within a chain, so it is the last key of the newest date that has one.
pub fn newest_file(
    store: &dyn Store,
    chain: &ChainId,
    partitioning: Partitioning,
) -> Result<Option<String>, StoreError> {
    let table = format!("{}/", chain.table);
    let in_folder = |folder: &str| -> Result<Option<String>, StoreError> {
        let listed = store.list(&format!("{table}{folder}{}", chain.file_prefix()), None)?;
        let own = listed
            .into_iter()
            .map(|object| object.key)
            .filter(|key| names::parse_key(key).is_some_and(|name| name.chain == *chain));
        Ok(own.max())
    };
    let dated = |folders: Vec<String>, prefix: &str| {
        let mut folders: Vec<String> = folders.into_iter().filter(|name| name.starts_with(prefix)).collect();
        folders.sort_unstable_by(|a, b| b.cmp(a));
        folders
    };
    if partitioning == Partitioning::None {
        return in_folder("");
    }
    for day in dated(store.folders(&table)?, "dt=") {
        let found = match partitioning {
            Partitioning::Day | Partitioning::None => in_folder(&format!("{day}/"))?,
            Partitioning::Hour => {
                let mut found = None;
                for hour in dated(store.folders(&format!("{table}{day}/"))?, "hour=") {
                    found = in_folder(&format!("{day}/{hour}/"))?;
                    if found.is_some() {
                        break;
                    }
                }
                found
            }
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn run_schema(store: &dyn Store, NewestSchema { table, known, proposed }: NewestSchema) -> Done {
    let grown = proposed.is_some();
    let newest = match proposed {
        Some(proposed) => pin::grow_schema(store, &table, proposed).map(Some),
        None => pin::schema_after(store, &table, known),
    };
    match newest {
        Ok(newest) => Done::Schema { table, newest, grown },
        Err(error) => Done::Failed { kind: error.kind(), why: with_causes(&error) },
    }
}

fn run_create(store: &dyn Store, Create { chain, key, file }: &Create) -> Done {
    let created = || -> Result<Done, StoreError> {
        match pin::newest_generation(store, &chain.table, &chain.origin)? {
            Some(newest) if newest > chain.generation => return Ok(Done::Superseded(newest)),
            Some(newest) if newest == chain.generation => {}
            // A folder that was emptied or unmounted takes files as a new one does.
            _ => {
                let key = names::origin_key(&chain.table, &chain.origin, chain.generation);
                return Ok(Done::Refused(Box::new(Refusal::OriginGone { key })));
            }
        }
        fail_point!("drain_before_create");
        let created = store.create(key, Content::File(file))?;
        fail_point!("drain_after_create");
        if created == Created::New {
            return Ok(Done::Created);
        }
        Ok(match store::read_footer(store, key)? {
            Some(footer) => Done::Exists(Box::new(footer)),
            None => Done::Failed { kind: Kind::Retry, why: format!("`{key}` exists and cannot be read yet") },
        })
    };
    match created() {
        Ok(done) => done,
        // A file under our key that is not weir's: going on would need a key that nobody else computes.
        Err(error @ (StoreError::Damaged { .. } | StoreError::Footer { .. })) => {
            Done::Refused(Box::new(Refusal::Strange { key: key.clone(), why: with_causes(&error) }))
        }
        Err(error) if is_of(&error, file) => Done::FileLost(with_causes(&error)),
        Err(error) => Done::Failed { kind: error.kind(), why: with_causes(&error) },
    }
}

/// Whether the error is one of the caller's own file, not of the store.
fn is_of(error: &StoreError, file: &Path) -> bool {
    let named = matches!(error, StoreError::Io { path, .. } if Path::new(path) == file);
    named || !file.is_file()
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
