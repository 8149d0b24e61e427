//! Real brokers of one's own, several or of another version: each a KRaft node that is broker and controller.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tempfile::TempDir;

use super::fetch::{Tied, free_port, must_run};
use super::kafka::{JAVA_FIX, START_TIMEOUT, admin, block_on, client, cluster_id, java, libs, scratch};
use super::until;

/// Brokers that know each other, stopped when dropped.
pub struct Cluster {
    version: &'static str,
    nodes: Vec<Node>,
}

struct Node {
    address: String,
    folder: TempDir,
    process: Option<Tied>,
}

impl Cluster {
    /// So many brokers of this version, all of which answer. Topics get as many replicas as are asked for; writes need a majority of them.
    pub fn start(version: &'static str, count: usize) -> Cluster {
        // Another process may take a port between the look and the start.
        for _ in 0..3 {
            let mut cluster = Cluster::prepare(version, count);
            (0..count).for_each(|node| cluster.spawn(node));
            if (0..count).all(|node| cluster.answers(node)) && cluster.has_all() {
                return cluster;
            }
            cluster.nodes.iter().for_each(|node| eprintln!("kafka did not start:\n{}", node.output()));
        }
        panic!("kafka {version} did not start three times in a row");
    }

    fn prepare(version: &'static str, count: usize) -> Cluster {
        let (libs, id) = (libs(version), cluster_id());
        let controllers: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let voters: Vec<String> =
            controllers.iter().enumerate().map(|(node, port)| format!("{}@127.0.0.1:{port}", node + 1)).collect();
        let majority = count / 2 + 1;
        let nodes = controllers.iter().enumerate().map(|(node, controller)| {
            let (folder, port) = (scratch(), free_port());
            let properties = format!(
                "process.roles=broker,controller\n\
                 node.id={}\n\
                 controller.quorum.voters={}\n\
                 listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
                 controller.listener.names=CONTROLLER\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
                 log.dirs={}\n\
                 auto.create.topics.enable=false\n\
                 min.insync.replicas={majority}\n\
                 offsets.topic.replication.factor={count}\n\
                 offsets.topic.num.partitions=4\n\
                 transaction.state.log.replication.factor={count}\n\
                 transaction.state.log.min.isr={majority}\n\
                 transaction.state.log.num.partitions=4\n\
                 group.initial.rebalance.delay.ms=0\n\
                 broker.heartbeat.interval.ms=500\n\
                 broker.session.timeout.ms=3000\n\
                 num.network.threads=2\n\
                 num.io.threads=2\n",
                node + 1,
                voters.join(","),
                folder.path().join("data").display(),
            );
            let file = folder.path().join("server.properties");
            fs::write(&file, properties).unwrap();
            let mut format = java(&libs);
            format.args(["kafka.tools.StorageTool", "format", "-t", &id, "-c"]).arg(&file);
            must_run(&mut format, JAVA_FIX);
            Node { address: format!("127.0.0.1:{port}"), folder, process: None }
        });
        let nodes = nodes.collect();
        Cluster { version, nodes }
    }

    /// All addresses, as clients are told of them.
    pub fn brokers(&self) -> String {
        self.nodes.iter().map(|node| node.address.as_str()).collect::<Vec<_>>().join(",")
    }

    /// The node that leads a partition; one that is alive.
    pub fn leader(&self, topic: &str, partition: i32) -> usize {
        let consumer: BaseConsumer = client(&self.brokers()).create().unwrap();
        let mut leader = None;
        until("the partition has a leader", || {
            let Ok(metadata) = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)) else { return false };
            let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
            let found = partitions.iter().find(|p| p.id() == partition && p.error().is_none());
            leader = found.map(|p| p.leader() - 1).and_then(|node| usize::try_from(node).ok());
            leader.is_some_and(|node| self.nodes[node].process.is_some())
        });
        leader.unwrap()
    }

    /// Waits until every replica of every partition is in sync again.
    pub fn is_whole(&self, topic: &str) {
        let consumer: BaseConsumer = client(&self.brokers()).create().unwrap();
        until("all replicas are in sync", || {
            let Ok(metadata) = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)) else { return false };
            let Some(topic) = metadata.topics().first().filter(|topic| topic.error().is_none()) else { return false };
            topic.partitions().iter().all(|partition| partition.isr().len() == partition.replicas().len())
        });
    }

    /// A topic of one partition on the first two nodes that would rather lose records than be without a leader.
    pub fn create_careless(&self, topic: &str) {
        let replicas: [&[i32]; 1] = [&[1, 2]];
        let new = NewTopic::new(topic, 1, TopicReplication::Variable(&replicas))
            .set("min.insync.replicas", "1")
            .set("unclean.leader.election.enable", "true");
        let created = block_on(admin(&self.brokers()).create_topics([&new], &AdminOptions::new()));
        assert!(created.expect("an answer").iter().all(Result::is_ok), "{topic} is created");
        self.in_sync(topic, 2);
    }

    /// Of the first two nodes, the one that leads partition 0, and the other.
    pub fn pair(&self, topic: &str) -> (usize, usize) {
        let leader = self.leader(topic, 0);
        assert!(leader < 2, "{leader} has no replica");
        (leader, 1 - leader)
    }

    /// Waits until so many replicas of partition 0 are in sync.
    pub fn in_sync(&self, topic: &str, count: usize) {
        let consumer: BaseConsumer = client(&self.brokers()).create().unwrap();
        until(&format!("{count} replicas are in sync"), || {
            let Ok(metadata) = consumer.fetch_metadata(Some(topic), Duration::from_secs(5)) else { return false };
            let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
            partitions.iter().any(|partition| partition.id() == 0 && partition.isr().len() == count)
        });
    }

    /// Kills one as a crash would; its data stay.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].process = None;
    }

    /// Starts a killed one again on its own data and waits until it answers.
    pub fn up(&mut self, node: usize) {
        self.spawn(node);
        assert!(self.answers(node), "kafka did not start:\n{}", self.nodes[node].output());
    }

    fn spawn(&mut self, node: usize) {
        let libs = libs(self.version);
        let node = &mut self.nodes[node];
        let path = node.folder.path();
        let output = File::options().create(true).append(true).open(path.join("output")).unwrap();
        let mut command = java(&libs);
        command
            .arg("kafka.Kafka")
            .arg(path.join("server.properties"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        node.process = Some(Tied::start(command));
    }

    fn answers(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        let client: BaseConsumer = client(&node.address).set("reconnect.backoff.max.ms", "200").create().unwrap();
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline && node.process.as_ref().is_some_and(|process| !process.has_ended()) {
            let answer = client.fetch_metadata(None, Duration::from_millis(500));
            if answer.is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                return true;
            }
        }
        false
    }

    /// Whether each broker is known to the first one, in time.
    fn has_all(&self) -> bool {
        let client: BaseConsumer = client(&self.nodes[0].address).create().unwrap();
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            let answer = client.fetch_metadata(None, Duration::from_secs(1));
            if answer.is_ok_and(|metadata| metadata.brokers().len() == self.nodes.len()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }
}

impl Node {
    fn output(&self) -> String {
        read(&self.folder.path().join("output"))
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
