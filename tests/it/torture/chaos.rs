//! What is tortured, and how: faults drawn from the seed, each with its end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::clients::Address;
use crate::kafka_s3::store_at;
use crate::support::kafka::{self, Broker};
use crate::support::model::Model;
use crate::support::process;
use crate::support::relay::{Cut, Fault, Relay, any, produce, put_parquet};
use crate::support::s3::{Bucket, Gateway as Server};
use crate::support::weir::Weir;

pub const PARTITIONS: i32 = 4;
const GATEWAYS: usize = 2;
/// With the group of each.
const NODES: [(&str, Option<&str>); 5] = [
    ("gateway-a", None),
    ("gateway-b", None),
    ("drain-a", Some("ours")),
    ("drain-b", Some("ours")),
    ("drain-c", Some("theirs")),
];

/// One process of weir's.
pub struct Node {
    pub name: &'static str,
    pub weir: Weir,
    pub address: Address,
}

impl Node {
    fn up(&mut self) {
        self.weir.up();
        if self.name.starts_with("gateway") {
            self.address.is_up(self.weir.address());
        }
    }
}

pub struct World {
    pub broker: Broker,
    pub bucket: Bucket,
    pub topic: String,
    nodes: Vec<Node>,
    server: Server,
    /// With their names: each node's way to Kafka, each drain's to S3.
    networks: Vec<(String, Relay)>,
    /// What is broken, and when it ends.
    broken: BTreeMap<Target, (Instant, Cure)>,
    dice: u64,
    met: BTreeMap<String, u32>,
    begun: Instant,
    _model: Model,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Node(usize),
    Network(usize),
    Broker,
    Server,
}

/// How a fault ends.
#[derive(Debug, Clone, Copy)]
enum Cure {
    Start,
    /// After the end that it was asked for.
    WaitAndStart,
    Continue,
    Heal,
}

impl World {
    pub fn new(seed: u64) -> World {
        let model = Model::start();
        let to_kafka: Vec<Relay> = NODES.iter().map(|_| Relay::unset()).collect();
        let broker = Broker::behind(&to_kafka.iter().collect::<Vec<_>>());
        let server = Server::start();
        let bucket = Bucket::create(&server.account);
        let topic = kafka::topic(broker.address(), "torture", PARTITIONS);
        let mut networks: Vec<(String, Relay)> = Vec::new();
        let mut nodes = Vec::new();
        let mut to_s3 = Vec::new();
        for ((name, group), kafka) in NODES.into_iter().zip(to_kafka) {
            let brokers = kafka.address();
            networks.push((format!("kafka of {name}"), kafka));
            let rest = match group {
                None => format!("roles: [gateway]\nroutes: {{ m: {{ upstream: {}, model: {topic} }} }}\n", model.url()),
                Some(group) => {
                    let s3 = Relay::to(server.address());
                    let store = store_at(&bucket, &s3.url(), ", roll: { size: 64KiB, every: 1s }");
                    to_s3.push((format!("s3 of {name}"), s3));
                    format!("roles: [drain]\ndrain: {{ topics: [{topic}], group: {group} }}\n{store}")
                }
            };
            let yaml = format!(
                "kafka: {{ brokers: [{brokers}] }}\nlog: {{ segment: 256KiB }}\nstop: {{ recorders: 2s, publish: 2s, store: 3s }}\n{rest}"
            );
            let mut weir = Weir::new(&yaml);
            for (name, value) in bucket.account.env() {
                weir = weir.env(name, &value);
            }
            let mut node = Node { name, weir, address: Address::unknown() };
            node.up();
            nodes.push(node);
        }
        networks.extend(to_s3);
        World {
            broker,
            bucket,
            topic,
            nodes,
            server,
            networks,
            broken: BTreeMap::new(),
            dice: seed,
            met: BTreeMap::new(),
            begun: Instant::now(),
            _model: model,
        }
    }

    pub fn gateways(&self) -> impl Iterator<Item = &Node> {
        self.nodes[..GATEWAYS].iter()
    }

    pub fn drain(&self, n: usize) -> &Weir {
        &self.nodes[GATEWAYS + n].weir
    }

    /// Faults so far, by what they were.
    pub fn met(&self) -> &BTreeMap<String, u32> {
        &self.met
    }

    /// A kind of fault that has to be among so many and is not yet.
    pub fn not_met(&self) -> Option<&'static str> {
        let has = |what: &str| self.met.keys().any(|name| name.starts_with(what));
        let kinds =
            ["gateway: kill", "gateway: pause", "drain: kill", "drain: pause", "kafka's network", "s3's network"];
        let relayed = || self.networks.iter().any(|(_, relay)| relay.hits() > 0);
        let missing = kinds.into_iter().find(|what| !has(what));
        missing
            .or((!has("broker") && !has("s3 server")).then_some("the broker or the S3 server"))
            .or((!relayed()).then_some("a connection that breaks"))
    }

    /// A while, at whose end something breaks or is cured.
    pub fn step(&mut self) {
        std::thread::sleep(Duration::from_millis(100 + self.below(500)));
        let now = Instant::now();
        let due: Vec<Target> =
            self.broken.iter().filter(|(_, (at, _))| *at <= now).map(|(target, _)| *target).collect();
        due.into_iter().for_each(|target| self.cure(target));
        // Drawn whether or not it can be used, so that a seed's decisions depend on nothing else.
        let (target, kind, time) = (self.target(), self.below(100), self.below(1000));
        if !self.broken.contains_key(&target) {
            self.break_it(target, kind, time);
        }
    }

    fn target(&mut self) -> Target {
        match self.below(100) {
            0..47 => Target::Node(self.below(NODES.len() as u64) as usize),
            47..92 => Target::Network(self.below(self.networks.len() as u64) as usize),
            92..95 => Target::Broker,
            _ => Target::Server,
        }
    }

    /// `kind` below 100, `time` below 1000.
    fn break_it(&mut self, target: Target, kind: u64, time: u64) {
        let mut longest = 3000;
        let (what, cure) = match target {
            Target::Node(n) => {
                let Node { weir, address, .. } = &mut self.nodes[n];
                match kind {
                    0..60 => {
                        address.goes_down();
                        weir.kill();
                        ("kill", Cure::Start)
                    }
                    60..90 => {
                        longest = 8000;
                        process::signal(weir.pid(), Signal::STOP);
                        ("pause", Cure::Continue)
                    }
                    _ => {
                        address.goes_down();
                        process::signal(weir.pid(), Signal::TERM);
                        ("term", Cure::WaitAndStart)
                    }
                }
            }
            Target::Network(n) => {
                let s3 = n >= NODES.len();
                let (what, fault) = match kind {
                    0..15 => ("closed", Fault::Closed),
                    15..30 => ("reset", Fault::Reset),
                    30..45 => ("black hole", Fault::BlackHole),
                    45..55 => ("half closed", Fault::HalfClosed),
                    55..65 => ("mute", Fault::Mute),
                    65..75 => ("latency", Fault::Latency(Duration::from_millis(20 + time / 5))),
                    75..90 if s3 => ("unanswered", Fault::DropAnswer(put_parquet)),
                    75..90 if n < GATEWAYS => ("unanswered", Fault::DropAnswer(produce)),
                    75..90 => ("unanswered", Fault::DropAnswer(any)),
                    90..93 if s3 => ("cut", Fault::CutRequest(put_parquet, Cut::First)),
                    93..96 if s3 => ("cut", Fault::CutRequest(put_parquet, Cut::Half)),
                    _ if s3 => ("cut", Fault::CutRequest(put_parquet, Cut::Last)),
                    _ => ("reset", Fault::Reset),
                };
                self.networks[n].1.set(fault);
                (what, Cure::Heal)
            }
            Target::Broker if kind < 60 => {
                self.broker.kill();
                ("kill", Cure::Start)
            }
            Target::Broker => {
                self.broker.pause();
                ("pause", Cure::Continue)
            }
            Target::Server if kind < 60 => {
                self.server.kill();
                ("kill", Cure::Start)
            }
            Target::Server => {
                self.server.pause();
                ("pause", Cure::Continue)
            }
        };
        let wait = Duration::from_millis(100 + time * longest / 1000);
        self.say(target, what);
        self.broken.insert(target, (Instant::now() + wait, cure));
    }

    fn say(&mut self, target: Target, what: &str) {
        let (name, kind) = match target {
            Target::Node(n) => (self.nodes[n].name, if n < GATEWAYS { "gateway" } else { "drain" }),
            Target::Network(n) => {
                (self.networks[n].0.as_str(), if n < NODES.len() { "kafka's network" } else { "s3's network" })
            }
            Target::Broker => ("broker", "broker"),
            Target::Server => ("s3 server", "s3 server"),
        };
        eprintln!("{:7.1} s: {name}: {what}", self.begun.elapsed().as_secs_f64());
        *self.met.entry(format!("{kind}: {what}")).or_default() += 1;
    }

    fn cure(&mut self, target: Target) {
        let Some((_, cure)) = self.broken.remove(&target) else { return };
        match (target, cure) {
            (Target::Node(n), Cure::WaitAndStart) => {
                self.nodes[n].weir.wait();
                self.nodes[n].up();
            }
            (Target::Node(n), Cure::Start) => {
                self.nodes[n].up();
            }
            (Target::Node(n), _) => process::signal(self.nodes[n].weir.pid(), Signal::CONT),
            (Target::Network(n), _) => self.networks[n].1.heal(),
            (Target::Broker, Cure::Start) => self.broker.up(),
            (Target::Broker, _) => self.broker.resume(),
            (Target::Server, Cure::Start) => self.server.start_again(),
            (Target::Server, _) => self.server.resume(),
        }
    }

    pub fn heal_all(&mut self) {
        while let Some(target) = self.broken.keys().next().copied() {
            self.cure(target);
        }
    }

    pub fn stop_drains(&mut self) {
        for node in &mut self.nodes[GATEWAYS..] {
            node.weir.term();
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        // splitmix64
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
