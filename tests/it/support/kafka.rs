//! A real Apache Kafka: one KRaft node, or the one that `WEIR_TEST_KAFKA=host:port` names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rustix::process::Signal;
use tempfile::TempDir;
use weir::config;

use super::PATIENCE;
use super::disk::SmallDisk;
use super::fetch::{Tied, fetched, free_port, must_run};
use super::relay::Relay;

/// What the tests use unless they say otherwise.
pub const VERSION: &str = "4.4.0";
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(180);
pub(super) const JAVA_FIX: &str =
    "install a JDK (17 or later), which runs the tests' Kafka, or set WEIR_TEST_KAFKA=host:port";

/// A broker of one's own, stopped when dropped. Tests that do not stop it use [`brokers`].
pub struct Broker {
    address: String,
    folder: TempDir,
    process: Option<Tied>,
    /// Options of its Java.
    java: Vec<String>,
    disk: Option<SmallDisk>,
}

/// What a broker has beside its listener in clear text.
#[derive(Default)]
pub struct Extra {
    pub listeners: Vec<Listener>,
    /// Lines of server.properties.
    pub properties: String,
    /// Arguments of the storage tool's `format`.
    pub format: Vec<String>,
    /// Options of Java.
    pub java: Vec<String>,
    /// Its data are on a disk of this size, of its own.
    pub disk_mebibytes: Option<u32>,
}

pub struct Listener {
    pub name: String,
    pub protocol: &'static str,
    /// `host:port` where it listens, and where clients are sent.
    pub address: String,
    pub advertised: String,
}

impl Broker {
    /// A broker that answers.
    pub fn start() -> Broker {
        Broker::behind(&[])
    }

    /// A broker that answers, with a listener behind each of these relays: who asks through a relay is sent back to the same relay.
    /// [`Broker::address`] leads past them.
    pub fn behind(relays: &[&Relay]) -> Broker {
        Broker::start_with(|| Extra { listeners: behind(relays), ..Extra::default() })
    }

    fn start_with(extra: impl Fn() -> Extra) -> Broker {
        // Another process may take a port between the look and the start.
        for _ in 0..3 {
            let mut broker = Broker::prepare_with(&extra());
            if broker.try_up() {
                return broker;
            }
            eprintln!("kafka did not start:\n{}", broker.output());
        }
        panic!("kafka did not start three times in a row");
    }

    /// A broker that is not up yet; its address is known.
    pub fn prepare() -> Broker {
        Broker::prepare_with(&Extra::default())
    }

    /// The same with whatever else it is to have.
    pub fn prepare_with(extra: &Extra) -> Broker {
        let (libs, folder) = (libs(VERSION), scratch());
        let data = folder.path().join("data");
        let disk = extra.disk_mebibytes.map(|mebibytes| SmallDisk::over(&data, mebibytes));
        let data = disk.as_ref().map_or(data, SmallDisk::path);
        let (port, controller) = (free_port(), free_port());
        let (mut listeners, mut advertised, mut protocols) = (String::new(), String::new(), String::new());
        for listener in &extra.listeners {
            let name = &listener.name;
            listeners += &format!(",{name}://{}", listener.address);
            advertised += &format!(",{name}://{}", listener.advertised);
            protocols += &format!(",{name}:{}", listener.protocol);
        }
        let properties = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=4\n\
             group.initial.rebalance.delay.ms=0\n\
             broker.heartbeat.interval.ms=500\n\
             broker.session.timeout.ms=2000\n\
             num.network.threads=2\n\
             num.io.threads=2\n\
             {}",
            data.display(),
            extra.properties,
        );
        let file = folder.path().join("server.properties");
        fs::write(&file, properties).unwrap();
        let id = cluster_id();
        let mut format = java_on(disk.as_ref(), &libs);
        format.args(["kafka.tools.StorageTool", "format", "-t", &id, "-c"]).arg(&file).args(&extra.format);
        must_run(&mut format, JAVA_FIX);
        Broker { address: format!("127.0.0.1:{port}"), folder, process: None, java: extra.java.clone(), disk }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts it (again) on its own data and waits until it answers.
    pub fn up(&mut self) {
        assert!(self.try_up(), "kafka did not start:\n{}", self.output());
    }

    /// Kills it as a crash would; its data stay.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Whether it has given up by itself.
    pub fn has_ended(&self) -> bool {
        self.process.as_ref().is_some_and(Tied::has_ended)
    }

    /// Its small disk.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("it was started on a small disk")
    }

    /// Stops it as a long pause would (SIGSTOP): its connections stay open.
    pub fn pause(&self) {
        self.process.as_ref().expect("the broker runs").signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.process.as_ref().expect("the broker runs").signal(Signal::CONT);
    }

    /// What it has said.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    /// Starts it; whether it answers.
    pub fn try_up(&mut self) -> bool {
        let output = File::options().create(true).append(true).open(self.folder.path().join("output")).unwrap();
        let mut command = java_on(self.disk.as_ref(), &libs(VERSION));
        command
            .args(&self.java)
            .arg("kafka.Kafka")
            .arg(self.folder.path().join("server.properties"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        let process = Tied::start(command);
        let client: BaseConsumer = client(&self.address).set("reconnect.backoff.max.ms", "200").create().unwrap();
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline && !process.has_ended() {
            let answer = client.fetch_metadata(None, Duration::from_millis(500));
            if answer.is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                self.process = Some(process);
                return true;
            }
        }
        false
    }
}

/// A listener behind each of these relays.
pub fn behind(relays: &[&Relay]) -> Vec<Listener> {
    let listener = |(n, relay): (usize, &&Relay)| {
        let behind = free_port();
        relay.target(([127, 0, 0, 1], behind).into());
        let (address, advertised) = (format!("127.0.0.1:{behind}"), relay.address().to_string());
        Listener { name: format!("RELAY{n}"), protocol: "PLAINTEXT", address, advertised }
    };
    relays.iter().enumerate().map(listener).collect()
}

pub(super) fn java(libs: &std::path::Path) -> Command {
    java_on(None, libs)
}

fn java_on(disk: Option<&SmallDisk>, libs: &std::path::Path) -> Command {
    let mut command = disk.map_or_else(|| Command::new("java"), |disk| disk.command("java"));
    command.args(["-Xmx512m", "-cp"]).arg(libs.join("*"));
    command
}

/// Kafka's jars, from Maven Central.
pub(super) fn libs(version: &str) -> PathBuf {
    let folder = fetched(&format!("kafka-{version}"), |folder| {
        must_run(Command::new("java").arg("-version"), JAVA_FIX);
        let pom = format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion><groupId>weir</groupId>\
             <artifactId>kafka</artifactId><version>1</version><dependencies><dependency><groupId>org.apache.kafka</groupId>\
             <artifactId>kafka_2.13</artifactId><version>{version}</version></dependency></dependencies></project>"
        );
        fs::write(folder.join("pom.xml"), pom).unwrap();
        let mut maven = Command::new("mvn");
        maven.args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs"]).current_dir(folder);
        must_run(&mut maven, "install Maven, which fetches the tests' Kafka, or set WEIR_TEST_KAFKA=host:port");
    });
    folder.join("libs")
}

/// A folder for a broker, gone when dropped.
pub(super) fn scratch() -> TempDir {
    remove_dead_folders();
    let prefix = format!("kafka-{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A new cluster's id, as the storage tool takes it.
pub(super) fn cluster_id() -> String {
    loop {
        let id = URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4().as_bytes());
        // It would be read as an option.
        if !id.starts_with('-') {
            return id;
        }
    }
}

/// Removes the folders of test processes that have ended: the shared broker lives as long as its process, so nobody drops it.
fn remove_dead_folders() {
    for entry in fs::read_dir(env!("CARGO_TARGET_TMPDIR")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("kafka-").and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid.to_owned());
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// The broker that this test process shares: `host:port`.
pub fn brokers() -> String {
    static SHARED: OnceLock<(String, Option<Broker>)> = OnceLock::new();
    let start = || match std::env::var("WEIR_TEST_KAFKA") {
        Ok(address) => (address, None),
        Err(_) => {
            // It is never started again, which a short session is for; one that waits for a core for seconds is not to be without leaders.
            let steady = || Extra { properties: "broker.session.timeout.ms=18000\n".to_owned(), ..Extra::default() };
            let broker = Broker::start_with(steady);
            (broker.address().to_owned(), Some(broker))
        }
    };
    SHARED.get_or_init(start).0.clone()
}

/// A client's configuration that is not weir's.
pub fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// A topic name that no other test uses.
pub fn name(what: &str) -> String {
    format!("{what}-{}", uuid::Uuid::new_v4().simple())
}

/// A new topic of its own.
pub fn topic(brokers: &str, what: &str, partitions: i32) -> String {
    let name = name(what);
    create(brokers, &name, partitions);
    name
}

pub fn create(brokers: &str, name: &str, partitions: i32) {
    create_replicated(brokers, name, partitions, 1);
}

pub fn create_replicated(brokers: &str, name: &str, partitions: i32, replicas: i32) {
    let new = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let results = block_on(admin(brokers).create_topics([&new], &AdminOptions::new()));
        match results.map(|mut r| r.pop()) {
            Ok(Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)))) => break,
            other => assert!(Instant::now() < deadline, "cannot create topic `{name}`: {other:?}"),
        }
    }
    let consumer: BaseConsumer = client(brokers).create().unwrap();
    while (0..partitions).any(|p| consumer.fetch_watermarks(name, p, Duration::from_secs(1)).is_err()) {
        assert!(Instant::now() < deadline, "topic `{name}` has no leaders");
    }
}

pub fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    client(brokers).create().unwrap()
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// How weir is told of a broker.
pub fn config(brokers: &str) -> config::Kafka {
    config::Kafka {
        brokers: vec![brokers.to_owned()],
        topic: "{model}".into(),
        format: config::Format::Json,
        lanes: 4,
        key: None,
        record_bytes_max: 900_000,
        tls: None,
        sasl: None,
        producer: BTreeMap::new(),
        consumer: BTreeMap::new(),
        create_topics: None,
        resend_window: Duration::from_secs(7 * 24 * 60 * 60),
    }
}

/// Records of a plain producer on partition 0, with this time (milliseconds since the epoch) on each.
pub fn produce_at(brokers: &str, topic: &str, count: u64, timestamp_ms: i64) {
    let producer: BaseProducer = client(brokers).create().unwrap();
    for n in 0..count {
        let value = format!(r#"{{"id":"{n}","inputs":{{"x":{n}}}}}"#);
        let record: BaseRecord<'_, (), str> =
            BaseRecord::to(topic).partition(0).timestamp(timestamp_ms).payload(value.as_str());
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}
