//! `weir drain --once` without a running process: what is at hand becomes Parquet, then it ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{AppError, Opened, drain_config, open_logs, open_store, topics};
use crate::admin::Status;
use crate::admin::status::{Calls, Feedback, Partition, now_ms};
use crate::config::{Config, Kafka};
use crate::drain::generation::{self, GenerationError, Now};
use crate::drain::status::PartitionState;
use crate::drain::store::Store;
use crate::drain::{Drain, Watch};
use crate::ledger::Ledger;
use crate::log;
use crate::source::kafka::{self, KafkaSource, KafkaSourceError, Members, Reach, TopicPicker};
use crate::source::lane::Lanes;
use crate::source::{Bounds, Event, PartitionId, Source};
use crate::telemetry::{Meters, with_causes};

/// How long nothing may move before the command gives up.
const STALLED: Duration = Duration::from_secs(60);
const SAY_EVERY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);
/// A source that tells of nothing new for this long has told of everything.
const QUIET: Duration = Duration::from_millis(500);
/// How often a file that is too young for a new generation is looked at again.
const WATCH_EVERY: Duration = Duration::from_secs(10);
/// How long a group's members may take to leave: a stopped one is there until its session of 10 s ends.
const LEFT: Duration = Duration::from_secs(30);
/// How long the drain may take to end once everything is stored.
const END: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    #[error("cannot start the drain")]
    Start(#[from] AppError),
    #[error("the drain did not finish: {0}")]
    Drain(String),
    #[error("this configuration has no drain role")]
    NoDrain,
}

/// What a drain that ends by itself is asked.
pub struct Once<'a> {
    pub config: &'a Config,
    /// Begin a new generation of every chain first: the way on after a refusal.
    pub new_generation: bool,
    /// Told what is under way, about once a second.
    pub progress: &'a mut dyn FnMut(&str),
}

/// Drains everything at hand into the store of the configuration.
///
/// Without Kafka it takes the log's lock, so no other weir may run on the folder. With Kafka it assigns every partition by
/// hand, up to the end offsets at its start, with a spool of its own; others may drain the same topics meanwhile.
///
/// # Errors
/// The log is locked, the store refuses, a partition cannot be stored, or nothing moves for a minute.
pub fn drain(once: Once<'_>) -> Result<Status, OnceError> {
    let config = once.config;
    super::make_data_dir(&config.data_dir)?;
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("weir-control")
        .enable_all()
        .build()
        .map_err(AppError::Thread)?;
    let store = open_store(config, control.handle())?.ok_or(OnceError::NoDrain)?;
    match &config.kafka {
        None => from_log(once, store, control.handle()),
        Some(kafka) => from_kafka(once, kafka, store),
    }
}

fn from_log(once: Once<'_>, opened: Opened, control: &tokio::runtime::Handle) -> Result<Status, OnceError> {
    let (config, Opened { store, tested }) = (once.config, opened);
    let logs = open_logs(config, Some(&store), control)?;
    let ledger = Ledger::open(&config.data_dir.join("ledger"), logs.totals().logged()).map_err(AppError::Ledger)?;
    if once.new_generation {
        // The log's lock is held.
        let mut alone = |_: &[PartitionId], _: &mut dyn FnMut(&str)| Ok(());
        begin_generations(config, store.as_ref(), &mut Lanes::new(logs.clone()), &mut alone, once.progress)?;
    }
    let drain = drain_config(config, &Meters::new(), tested);
    let drain = Drain::start(drain, store, Box::new(Lanes::new(logs.clone()))).map_err(AppError::Drain)?;
    let done = drain_now(&drain.watch(), once.progress);
    let mut status = end(drain, done)?;
    let log = logs.totals();
    status.calls = Calls::of(&ledger.calls());
    status.feedback = Feedback::of(&ledger.feedback());
    status.rows.appended = log.rows;
    status.rows.delivered = log.delivered;
    status.rows.backlog = log.rows.saturating_sub(log.delivered);
    status.log_bytes = log.bytes;
    logs.close();
    Ok(status)
}

fn from_kafka(once: Once<'_>, kafka: &Kafka, opened: Opened) -> Result<Status, OnceError> {
    let (config, Opened { store, tested }) = (once.config, opened);
    // A spool of its own: a running weir has its own on the same folder.
    let spool = config.data_dir.join(format!("spool-once-{}", std::process::id()));
    let open = || {
        KafkaSource::start(kafka, &config.drain, picker(config), spool.clone(), &store.address(), Reach::ToEnd)
            .map_err(AppError::Source)
    };
    if once.new_generation {
        let root = store.address();
        let mut alone = |partitions: &[PartitionId], progress: &mut dyn FnMut(&str)| {
            nobody_drains(kafka, &config.drain.group, partitions, &root, progress)
        };
        begin_generations(config, store.as_ref(), &mut open()?, &mut alone, once.progress)?;
    }
    let source = open()?;
    let watch = source.watch();
    let drain = drain_config(config, &Meters::new(), tested);
    let drain = Drain::start(drain, store, Box::new(source)).map_err(AppError::Drain)?;
    let mut patience = Patience::new();
    while !watch.at_end() {
        let reading = watch.status();
        let drained = drain.watch().status();
        if drained.dead {
            return Err(OnceError::Drain("the drain has ended".to_string()));
        }
        if let Some(refused) = drained.partitions.iter().find(|p| p.state == PartitionState::Refused) {
            return Err(OnceError::Drain(refused.to_string()));
        }
        let at_hand: u64 = reading.partitions.iter().map(|partition| partition.next).sum();
        let mut words = format!("{} partitions, {} rows stored", reading.partitions.len(), drained.totals.stored);
        if let Some(problem) = &reading.problem {
            words.push_str(&format!("; {problem}"));
        }
        if let Some(failure) = &drained.last_error {
            words.push_str(&format!("; {}", failure.what));
        }
        for topic in &reading.missing {
            words.push_str(&format!("; topic {topic} does not exist"));
        }
        patience.look(at_hand + drained.totals.stored, &words, once.progress)?;
    }
    let done = drain_now(&drain.watch(), once.progress);
    let status = end(drain, done)?;
    if let Err(error) = std::fs::remove_dir_all(&spool) {
        tracing::debug!(%error, "the spool was already gone");
    }
    Ok(status)
}

/// Makes sure that nobody else drains these partitions of one origin; told what it waits for.
type Alone<'a> = dyn FnMut(&[PartitionId], &mut dyn FnMut(&str)) -> Result<(), OnceError> + 'a;

/// Waits until the group has no members, nor any other that stores in the same place: a generation that begins beside a drain would store rows a
/// second time. One that was stopped is a member until its session ends.
fn nobody_drains(
    kafka: &Kafka,
    group: &str,
    partitions: &[PartitionId],
    root: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<(), OnceError> {
    let begun = Instant::now();
    loop {
        let found = at_work(kafka, group, partitions, root).map_err(|error| OnceError::Drain(with_causes(&error)))?;
        let Some((found, fix)) = found else { return Ok(()) };
        if begun.elapsed() > LEFT {
            return Err(OnceError::Drain(format!(
                "{found}: a new generation beside a drain would store rows twice. Nothing was changed. {fix}"
            )));
        }
        progress(&format!("{found}; waiting for their sessions to end"));
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Who drains these partitions into this root, and what to do about it.
fn at_work(
    kafka: &Kafka,
    group: &str,
    partitions: &[PartitionId],
    root: &str,
) -> Result<Option<(String, &'static str)>, KafkaSourceError> {
    const STOP: &str = "Stop every weir with the drain role of this group, wait until their sessions end (`session.timeout.ms`, 10 s), and ask again";
    match kafka::members(kafka, group)? {
        Members::Count(0) => {}
        Members::Count(count) => return Ok(Some((format!("the group `{group}` has {count} members"), STOP))),
        Members::Hidden => {
            let found = format!(
                "who is in the group `{group}` cannot be seen: a program that is not weir joined it with `group.protocol=consumer`"
            );
            let fix = "Stop that program and every weir of this group, name another `drain.group` for all of them, and ask again";
            return Ok(Some((found, fix)));
        }
    }
    let others = kafka::other_drains(kafka, group, partitions, root)?;
    Ok(others.first().map(|other| (format!("the group `{other}` has members and stores in {root}, too"), STOP)))
}

/// Begins the next generation of every origin of a source.
fn begin_generations(
    config: &Config,
    store: &dyn Store,
    source: &mut dyn Source,
    alone: &mut Alone<'_>,
    progress: &mut dyn FnMut(&str),
) -> Result<(), OnceError> {
    // By table and origin.
    let mut assigned: BTreeMap<String, Vec<(PartitionId, Bounds)>> = BTreeMap::new();
    let begun = Instant::now();
    let mut last = Instant::now();
    // Everything has been told of when the source says so and has been quiet.
    while !(source.announced() && last.elapsed() > QUIET) {
        if begun.elapsed() > STALLED {
            return Err(OnceError::Drain("the partitions could not be listed within a minute".to_string()));
        }
        let events = source.poll(LOOK).map_err(|error| OnceError::Drain(with_causes(&error)))?;
        for event in events {
            if let Event::Assigned { partition, bounds } = event {
                last = Instant::now();
                let origin = format!("{}/{}", partition.topic, partition.origin);
                assigned.entry(origin).or_default().push((partition, bounds));
            }
        }
    }
    for partitions in assigned.values() {
        begin_quietly(config, store, source, partitions, alone, progress)?;
    }
    Ok(())
}

/// Begins the next generation of one origin once its newest files are old enough, and nothing newer has come meanwhile.
fn begin_quietly(
    config: &Config,
    store: &dyn Store,
    source: &mut dyn Source,
    partitions: &[(PartitionId, Bounds)],
    alone: &mut Alone<'_>,
    progress: &mut dyn FnMut(&str),
) -> Result<(), OnceError> {
    let begun = Instant::now();
    let mut watch = generation::Watch::default();
    let ids: Vec<PartitionId> = partitions.iter().map(|(id, _)| id.clone()).collect();
    loop {
        alone(&ids, progress)?;
        let now = Now { wall_ms: jiff::Timestamp::now().as_millisecond(), even: begun.elapsed() };
        match generation::begin(store, source, partitions, config.store.partition, now, &mut watch) {
            Ok(Some(doc)) => {
                tracing::info!(table = doc.table, generation = doc.generation, "began a new generation");
                return Ok(());
            }
            Ok(None) => return Ok(()),
            Err(wait @ (GenerationError::Young { .. } | GenerationError::NoFileYet { .. })) => {
                progress(&format!("{wait}; nothing was changed yet, Ctrl-C leaves it so"));
                std::thread::sleep(WATCH_EVERY);
            }
            Err(error) => return Err(OnceError::Drain(with_causes(&error))),
        }
    }
}

/// Waits for what moves, and gives up on what does not.
struct Patience {
    seen: u64,
    moved: Instant,
    said: Instant,
}

impl Patience {
    fn new() -> Patience {
        Patience { seen: 0, moved: Instant::now(), said: Instant::now() }
    }

    fn look(&mut self, moved: u64, words: &str, progress: &mut dyn FnMut(&str)) -> Result<(), OnceError> {
        if moved != self.seen {
            self.seen = moved;
            self.moved = Instant::now();
        }
        if self.moved.elapsed() > STALLED {
            return Err(OnceError::Drain(format!("nothing moved for {} s: {words}", STALLED.as_secs())));
        }
        if self.said.elapsed() > SAY_EVERY {
            self.said = Instant::now();
            progress(words);
        }
        std::thread::sleep(LOOK);
        Ok(())
    }
}

/// Stores what is at hand; ends early when nothing moves.
pub(super) fn drain_now(watch: &Watch, progress: &mut dyn FnMut(&str)) -> Result<(), OnceError> {
    let mut patience = Patience::new();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| watch.drain_now(STALLED));
        while !asked.is_finished() {
            let status = watch.status();
            let mut words = format!("{} rows stored", status.totals.stored);
            if let Some(failure) = &status.last_error {
                words.push_str(&format!("; {}", failure.what));
            }
            patience.look(status.totals.stored, &words, progress)?;
        }
        match asked.join() {
            Ok(done) => done.map_err(|error| OnceError::Drain(error.to_string())),
            Err(_) => Err(OnceError::Drain("the drain panicked".to_string())),
        }
    })
}

/// The topics that are named, and those of the routes and of the logs on this folder.
fn picker(config: &Config) -> TopicPicker {
    let logged = log::inspect(&config.data_dir).unwrap_or_default();
    let logged: Vec<String> = logged.into_iter().map(|topic| topic.topic).collect();
    topics(config, move || logged.clone())
}

fn end(drain: Drain, done: Result<(), OnceError>) -> Result<Status, OnceError> {
    let watch = drain.watch();
    drain.stop(END);
    done?;
    let drained = watch.status();
    let mut status = Status {
        version: env!("CARGO_PKG_VERSION").to_string(),
        pid: std::process::id(),
        drain: drained.partitions.iter().map(|partition| Partition::of(partition, now_ms())).collect(),
        ..Status::default()
    };
    status.rows.drained(&drained.totals);
    Ok(status)
}
