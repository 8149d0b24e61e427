//! Builds the stages from last to first, names and joins every thread, runs the stop phases.
//!
//! Only this module knows all the others. In: a [`Config`]. Out: an [`App`] that serves until [`App::stop`].

mod answers;
mod feedback;
mod moves;
pub mod once;
mod recorders;
mod run_file;
mod stop;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::admin::{Admin, Answers, BindError, Status};
use crate::config::{Config, Format};
use crate::discover::{Discovery, Kept};
use crate::drain::store::{Store, StoreError};
use crate::drain::{self, Drain};
use crate::gateway::{Gateway, Parts, StartError, workers_for};
use crate::handoff;
use crate::ledger::{Ledger, LedgerError};
use crate::log::{LogError, Logs, Options, ReaderKind, Root};
use crate::publish::{PublishError, Publisher};
use crate::record::{self, Recorder};
use crate::source::Source;
use crate::source::kafka::{KafkaSource, KafkaSourceError, KafkaWatch, Reach, TopicPicker};
use crate::source::lane::Lanes;
use crate::telemetry::Meters;

use answers::Stages;
use feedback::FeedbackDesk;
pub use moves::MoveError;
use recorders::Recorders;
pub use run_file::RunFile;
pub use stop::{Phase, Signals, Stopped};

/// Exchanges between the gateway and the recorders: as many as `memory.queue` holds by default at the 4 KiB that the handoff
/// counts for an exchange without bodies. The slots are allocated at the start.
pub const HANDOFF_COUNT_MAX: usize = 16_384;

/// How long the start waits for the store's self-test.
const SELF_TEST_WAIT: Duration = Duration::from_secs(3);

/// Worker threads of the runtime behind the admin port and the S3 client.
const CONTROL_THREADS: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot use the data folder {path}")]
    DataDir {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot open the log")]
    Log(#[source] LogError),
    #[error("cannot move the log")]
    Move(#[source] MoveError),
    #[error("cannot open the ledger")]
    Ledger(#[source] LedgerError),
    #[error("cannot use the store")]
    Store(#[source] StoreError),
    #[error("cannot read the topics")]
    Source(#[source] KafkaSourceError),
    #[error("cannot start the publisher")]
    Publish(#[source] PublishError),
    #[error("cannot start the drain")]
    Drain(#[source] drain::StartError),
    #[error("cannot start the gateway")]
    Gateway(#[source] StartError),
    #[error("cannot start the admin port")]
    Admin(#[source] BindError),
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// A running weir.
pub struct App {
    stages: Arc<Stages>,
    recorders: Option<Recorders>,
    discovery: Discovery,
    admin: Admin,
    run_file: Option<RunFile>,
    config: Config,
    // Last: the admin port and the store's client live on it.
    control: tokio::runtime::Runtime,
}

impl App {
    /// Starts every stage that `config.roles` asks for. Blocks; call it from a plain thread.
    ///
    /// # Errors
    /// The first stage that cannot start, in words a person can act on. Kafka or S3 being away is no error: weir serves and waits.
    pub fn start(config: Config) -> Result<App, AppError> {
        make_data_dir(&config.data_dir)?;
        let control = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CONTROL_THREADS)
            .thread_name("weir-control")
            .enable_all()
            .build()
            .map_err(AppError::Thread)?;
        let store = open_store(&config, control.handle())?;
        let logs = open_logs(&config, store.as_ref().map(|opened| &opened.store), control.handle())?;
        let ledger = Ledger::open(&config.data_dir.join("ledger"), logs.totals().logged()).map_err(AppError::Ledger)?;
        let meters = Meters::new();
        let (drain, kafka) = start_drain(&config, &logs, store, &meters)?;
        let publisher = match &config.kafka {
            Some(kafka) if config.roles.gateway => {
                let producer_bytes = config.memory.producer_bytes;
                Some(
                    Publisher::start(kafka, producer_bytes, &config.data_dir, logs.clone())
                        .map_err(AppError::Publish)?,
                )
            }
            _ => None,
        };
        let (sender, receiver) = handoff::queue(HANDOFF_COUNT_MAX, config.memory.queue_bytes);
        let (told, questions) = record::told();
        let recorder = Arc::new(recorder(&config)?.told(told.clone()));
        let kept = Kept::open(&config.data_dir, &config.routes, &told);
        let discovery = Discovery::start(control.handle(), told, questions, kept);
        let recorders =
            Recorders::start(config.recorders, receiver, recorder, logs.clone()).map_err(AppError::Thread)?;
        let feedback = FeedbackDesk::of(&config, &ledger, &logs).map_err(AppError::Thread)?;
        let gateway = if config.roles.gateway {
            let parts = Parts {
                ledger: ledger.clone(),
                offer: Arc::new(sender.clone()),
                feedback: feedback.as_ref().map(FeedbackDesk::taker),
                meters: meters.clone(),
                capture_bytes: config.memory.capture_bytes,
                workers: workers_for(std::thread::available_parallelism().map_or(1, usize::from)),
            };
            let routes = config.routes.iter().cloned().map(Arc::new).collect();
            Some(Gateway::start(config.listen.clone(), routes, parts).map_err(AppError::Gateway)?)
        } else {
            None
        };
        let stages = Stages::new(ledger, logs, meters, sender, feedback, gateway, publisher, drain, kafka);
        let admin = Admin::start(control.handle(), config.admin.address, stages.clone()).map_err(AppError::Admin)?;
        // Only `weir status` and `weir drain --once` miss it; a full disk must not keep predictions from being served.
        let run_file = RunFile::write(&config.data_dir, admin.address(), stages.address())
            .inspect_err(
                |error| tracing::warn!(%error, "cannot write run.json: other commands will not find this process"),
            )
            .ok();
        Ok(App { stages, recorders: Some(recorders), discovery, admin, run_file, config, control })
    }

    /// Where clients send predictions; `None` for a process without the gateway role.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.stages.address()
    }

    pub fn admin_address(&self) -> std::net::SocketAddr {
        self.admin.address()
    }

    pub fn status(&self) -> Status {
        self.stages.status()
    }

    /// Stores every row at hand.
    pub fn drain_now(&self, wait: Duration) -> Result<(), String> {
        self.stages.drain(wait)
    }

    /// Walks the path of a record and ends each stage, each with its own deadline; `signals` skips a phase.
    pub fn stop(mut self, signals: &Signals) -> Stopped {
        let recorders = self.recorders.take();
        self.discovery.stop(self.control.handle());
        let stopped = stop::walk(&self.stages, recorders, &self.config, signals);
        if let Some(run_file) = &self.run_file {
            run_file.remove();
        }
        drop(self.admin);
        self.control.shutdown_timeout(Duration::from_secs(1));
        stopped
    }
}

fn make_data_dir(path: &Path) -> Result<(), AppError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| AppError::DataDir { path: path.to_path_buf(), source })
}

/// Where the drain stores.
#[derive(Clone)]
struct Opened {
    store: Arc<dyn Store>,
    /// It has passed its self-test.
    tested: bool,
}

fn open_store(config: &Config, control: &tokio::runtime::Handle) -> Result<Option<Opened>, AppError> {
    if !config.roles.drain {
        return Ok(None);
    }
    let store = drain::store::open(&config.store, control).map_err(AppError::Store)?;
    let tested = refuse_overwriting(&store)?;
    Ok(Some(Opened { store, tested }))
}

/// Refuses a store that is known to overwrite; whether it is known not to. One that does not answer in time is no reason not to serve: the drain
/// tests it again before it writes.
fn refuse_overwriting(store: &Arc<dyn Store>) -> Result<bool, AppError> {
    let (send, answer) = std::sync::mpsc::sync_channel(1);
    let tested = store.clone();
    std::thread::Builder::new()
        .name("weir-self-test".into())
        // Nobody listens any more if it took too long.
        .spawn(move || drop(send.try_send(tested.self_test())))
        .map_err(AppError::Thread)?;
    match answer.recv_timeout(SELF_TEST_WAIT) {
        Ok(Err(error @ StoreError::Overwrites { .. })) => Err(AppError::Store(error)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store does not work yet; records wait in the log");
            Ok(false)
        }
        Ok(Ok(())) => Ok(true),
        Err(_) => Ok(false),
    }
}

/// Opens the logs; those that went elsewhere until now are moved first. `store`: where they go now.
fn open_logs(
    config: &Config,
    store: Option<&Arc<dyn Store>>,
    control: &tokio::runtime::Handle,
) -> Result<Logs, AppError> {
    let logs = Logs::open(&config.data_dir, log_options(config)).map_err(AppError::Log)?;
    moves::settle(config, &logs, store, control).map_err(AppError::Move)?;
    Ok(logs)
}

/// What the configuration asks of the log: who reads it, where its rows go.
pub fn log_options(config: &Config) -> Options {
    let (reader, lanes, root) = match &config.kafka {
        Some(kafka) => (ReaderKind::Publisher, kafka.lanes, Root::default()),
        None => (ReaderKind::Drain, 1, moves::root_of(&config.store.to)),
    };
    let mut log = config.log.clone();
    if !config.roles.gateway {
        // It takes no calls: there is none to drop for want of room.
        log.reserve_free_bytes = 0;
    }
    Options { log, lanes, reader, root }
}

type Drained = (Option<Drain>, Option<KafkaWatch>);

fn start_drain(config: &Config, logs: &Logs, store: Option<Opened>, meters: &Meters) -> Result<Drained, AppError> {
    let Some(Opened { store, tested }) = store else { return Ok((None, None)) };
    let mut watch = None;
    let source: Box<dyn Source> = match &config.kafka {
        Some(kafka) => {
            let spool = config.data_dir.join("spool");
            let logs = logs.clone();
            let topics = topics(config, move || logs.lanes().iter().map(|lane| lane.topic().to_string()).collect());
            let source = KafkaSource::start(kafka, &config.drain, topics, spool, &store.address(), Reach::Follow)
                .map_err(AppError::Source)?;
            watch = Some(source.watch());
            Box::new(source)
        }
        None => Box::new(Lanes::new(logs.clone())),
    };
    let drain = Drain::start(drain_config(config, meters, tested), store, source).map_err(AppError::Drain)?;
    Ok((Some(drain), watch))
}

fn drain_config(config: &Config, meters: &Meters, store_tested: bool) -> drain::DrainConfig {
    // Ranges close before what holds them is full.
    let room = if config.kafka.is_some() { config.drain.spool_bytes_max } else { config.log.bytes_max };
    drain::DrainConfig {
        drain: config.drain.clone(),
        store: config.store.clone(),
        data_dir: config.data_dir.clone(),
        waiting_bytes_max: room / 2,
        store_tested,
        meters: meters.drain(),
    }
}

/// The topics to drain now: the named ones, and for `{model}` those of this process's routes and logs.
fn topics(config: &Config, logged: impl Fn() -> Vec<String> + Send + Sync + 'static) -> TopicPicker {
    let named: Vec<String> = config.drain.topics.iter().filter(|t| !t.contains("{model}")).cloned().collect();
    let own: Vec<String> = config.drain.topics.iter().filter(|t| t.contains("{model}")).cloned().collect();
    // Feedback may come days after the first prediction, if ever: until then nobody misses its topic.
    let (feedback, routes): (Vec<String>, Vec<String>) =
        config.route_topics().into_iter().partition(|topic| crate::config::is_feedback_topic(topic));
    let optional = if own.is_empty() { Vec::new() } else { feedback };
    let picker = TopicPicker::new(move || {
        let mut topics = named.clone();
        if !own.is_empty() {
            topics.extend(routes.iter().cloned());
            topics.extend(logged());
        }
        topics.sort();
        topics.dedup();
        topics
    });
    picker.optional(optional)
}

fn recorder(config: &Config) -> Result<Recorder, AppError> {
    let key = if config.routes.iter().any(|route| !route.redact.is_empty()) {
        run_file::redact_key(&config.data_dir)
            .map_err(|source| AppError::DataDir { path: config.data_dir.join("redact.key"), source })?
    } else {
        Vec::new()
    };
    // A topic that nobody makes would hold its rows back for ever: then the route's topic takes them.
    let free_topics = config.kafka.as_ref().is_none_or(|kafka| kafka.create_topics.is_some());
    let recorder = Recorder::new(config.models_max, config.topic_template().to_owned(), record_bytes_max(config), key);
    Ok(recorder.topics_from_clients(free_topics).key(message_key(config)).format(format(config)))
}

fn format(config: &Config) -> Format {
    config.kafka.as_ref().map_or(Format::Json, |kafka| kafka.format)
}

fn record_bytes_max(config: &Config) -> Option<usize> {
    config.kafka.as_ref().map(|kafka| kafka.record_bytes_max)
}

fn message_key(config: &Config) -> Option<crate::config::KeyField> {
    config.kafka.as_ref().and_then(|kafka| kafka.key.clone())
}
