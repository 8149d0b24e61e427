//! Measurements with Kafka, as ratios within one run: `cargo bench --bench kafka -- <what>`; see load-tests/README.md.
//!
//! The broker is the tests' own (or `WEIR_TEST_KAFKA`); CPU is that of the measured process alone. `WEIR_BENCH_ROWS` sets how many records, `WEIR_BENCH_TURNS`
//! how often each side is measured, in turns.

#![allow(clippy::unwrap_used, reason = "a benchmark ends where something goes wrong")]

#[path = "../tests/it/support/mod.rs"]
#[allow(unused_imports, reason = "its own tests are not run here")]
mod support;

mod latency;
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod process;
mod stages;
#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod traffic;

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use process::{cpu, median, mib};
use support::kafka::{brokers, client, topic};
use support::weir::{Weir, number};
use support::{python, until};

fn main() {
    let what: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    match what.first().map(String::as_str) {
        Some("drain") => drain(),
        Some("partitions") => partitions(),
        Some("restart") => restart(),
        Some("produce") => produce(),
        Some("pipeline") => stages::pipeline(),
        Some("latency") => latency::latency(),
        _ => {
            eprintln!("usage: cargo bench --bench kafka -- drain | partitions | restart | produce | pipeline | latency")
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn rows() -> u64 {
    setting("WEIR_BENCH_ROWS", 500_000)
}

fn turns() -> u64 {
    setting("WEIR_BENCH_TURNS", 3)
}

/// A record of about 557 bytes in the form people send, every value another one.
fn record(n: u64) -> String {
    let mut text = format!(
        r#"{{"id":"{:08x}-5dc4-4d4a-9d6c-{:012x}","model_name":"churn","model_version":"v{}","inputs":{{"#,
        n.wrapping_mul(2_654_435_761) & 0xffff_ffff,
        n,
        n % 3
    );
    for i in 0..14 {
        text.push_str(&format!("\"feature_{i}\":{}.{:04},", (n * 37 + i) % 101, (n * 7_919 + i * 13) % 10_000));
    }
    let (plan, partner) = (["basic", "plus", "pro"][(n % 3) as usize], n.is_multiple_of(2));
    text.push_str(&format!(
        "\"plan\":\"{plan}\",\"has_partner\":{partner}}},\"outputs\":{{\"will_churn\":{},\"confidence\":0.{:06}}}}}",
        n.is_multiple_of(5),
        n * 104_729 % 1_000_000
    ));
    text
}

/// Puts `count` records on a topic, from the `first` on, round robin; their bytes.
fn fill(topic: &str, partitions: i32, first: u64, count: u64) -> u64 {
    let mut config = client(&brokers());
    config.set("linger.ms", "50").set("compression.type", "lz4").set("queue.buffering.max.messages", "1000000");
    let producer: BaseProducer = config.create().expect("a producer");
    let mut bytes = 0;
    for n in first..first + count {
        let value = record(n);
        bytes += value.len() as u64;
        let partition = i32::try_from(n % partitions as u64).expect("a partition");
        send(&producer, topic, partition, &value);
    }
    producer.flush(Duration::from_secs(120)).expect("delivered");
    bytes
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &str) {
    let mut record = BaseRecord::<(), _>::to(topic).payload(value).partition(partition);
    while let Err((error, again)) = producer.send(record) {
        assert_eq!(error.rdkafka_error_code(), Some(rdkafka::types::RDKafkaErrorCode::QueueFull), "{error}");
        producer.poll(Duration::from_millis(10));
        record = again;
    }
    producer.poll(Duration::ZERO);
}

/// What a process took until it ended.
struct Took {
    cpu: Duration,
    peak_mib: f64,
}

/// Waits for a process and looks at it meanwhile: the last look is at most 10 ms before its end.
fn watch(mut child: Child) -> Took {
    let mut took = Took { cpu: Duration::ZERO, peak_mib: 0.0 };
    loop {
        let (used, peak) = (cpu(child.id()), mib(child.id(), "VmHWM"));
        if peak > 0.0 {
            took = Took { cpu: used, peak_mib: peak };
        }
        if let Some(status) = child.try_wait().expect("wait") {
            let mut words = String::new();
            if let Some(mut errors) = child.stderr.take() {
                errors.read_to_string(&mut words).expect("its errors");
            }
            assert!(status.success(), "{words}");
            return took;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn drain_yaml(topics: &str, more: &str) -> String {
    format!("roles: [drain]\nkafka: {{ brokers: [{}] }}\ndrain: {{ topics: [{topics}] }}\n{more}", brokers())
}

/// Records in the first file of a table, which is closed after 5 s in production: it settles the columns.
const FIRST_FILE: u64 = 5_000;

/// A topic with a first file in Parquet and the rest still to drain.
struct Filled {
    topic: String,
    first: Weir,
    /// Of the records that are still to drain.
    bytes: u64,
    all_bytes: u64,
}

impl Filled {
    fn new(what: &str, partitions: i32) -> Filled {
        let topic = topic(&brokers(), what, partitions);
        let first_bytes = fill(&topic, partitions, 0, FIRST_FILE);
        let first = Weir::new(&drain_yaml(&topic, "store: { roll: { size: 128MiB, every: 10m } }\n"));
        first.drain();
        let bytes = fill(&topic, partitions, FIRST_FILE, rows());
        Filled { topic, first, bytes, all_bytes: first_bytes + bytes }
    }

    /// `weir drain --once` of the rest, in a copy of the folder.
    fn drain_once(&self) -> Took {
        let weir = Weir::new(&drain_yaml(&self.topic, "store: { roll: { size: 128MiB, every: 10m } }\n"));
        let copied = Command::new("cp").arg("-a").arg(self.first.data_dir()).arg(&weir.dir).status().expect("cp runs");
        assert!(copied.success());
        let mut command: Command = weir.command(&["drain", "--once"]);
        command.env("WEIR_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let took = watch(command.spawn().expect("weir starts"));
        let stored = support::weir::rows(&weir.cli_json(&["verify"]));
        assert_eq!(stored, FIRST_FILE + rows(), "every row is stored");
        took
    }

    /// The same by hand, of the whole topic.
    fn by_hand(&self) -> Took {
        by_hand(&self.topic, FIRST_FILE + rows())
    }

    /// MB of JSON a second of CPU: ours, theirs.
    fn rates(&self, ours: &Took, theirs: &Took) -> (f64, f64) {
        let rate = |bytes: u64, took: &Took| bytes as f64 / 1e6 / took.cpu.as_secs_f64();
        (rate(self.bytes, ours), rate(self.all_bytes, theirs))
    }
}

fn by_hand(topic: &str, expected: u64) -> Took {
    let folder = tempfile::tempdir().expect("a folder");
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("load-tests/drain_by_hand.py");
    let (script, to) = (script.display().to_string(), folder.path().display().to_string());
    let said: Value = serde_json::from_str(&python::run(&[&script, &brokers(), topic, &to])).expect("its figures");
    assert_eq!(said["rows"], Value::from(expected), "{said}");
    let number = |key: &str| said[key].as_f64().expect("a figure");
    Took { cpu: Duration::from_secs_f64(number("cpu")), peak_mib: number("peak_mib") }
}

/// Kafka -> typed Parquet, beside a drain by hand (confluent-kafka and pyarrow), in turns.
fn drain() {
    let filled = Filled::new("full", 1);
    println!("{} records of {} B on one partition", rows(), filled.bytes / rows());
    let mut ratios = Vec::new();
    for turn in 1..=turns() {
        let (ours, theirs) = (filled.drain_once(), filled.by_hand());
        let (our_rate, their_rate) = filled.rates(&ours, &theirs);
        ratios.push(our_rate / their_rate);
        println!(
            "turn {turn}  weir {our_rate:6.1} MB/s of CPU, {:5.0} MiB; by hand {their_rate:6.1} MB/s of CPU, {:5.0} MiB; {:.2} x",
            ours.peak_mib,
            theirs.peak_mib,
            our_rate / their_rate
        );
    }
    println!("median {:.2} x", median(ratios));
}

/// RSS and CPU of the drain with 1, 16 and 64 partitions, the drain by hand beside it.
fn partitions() {
    for count in [1, 16, 64] {
        let filled = Filled::new("spread", count);
        let (ours, theirs) = (filled.drain_once(), filled.by_hand());
        let (our_rate, their_rate) = filled.rates(&ours, &theirs);
        println!(
            "{count:3} partitions  weir {our_rate:6.1} MB/s of CPU, {:5.0} MiB; by hand {their_rate:6.1} MB/s of CPU, {:5.0} MiB; {:.2} x",
            ours.peak_mib,
            theirs.peak_mib,
            our_rate / their_rate
        );
    }
}

/// kill -9, and the time from the start of the next process to the first message of the topic that it has at hand.
fn restart() {
    for count in [1, 64] {
        let topic = topic(&brokers(), "restart", count);
        fill(&topic, count, 0, 64 * 100);
        let mut weir = Weir::new(&drain_yaml(&topic, "store: { roll: { every: 1h } }\n")).start();
        until("everything is stored", || {
            weir.drain_running();
            number(&weir.status(), "/rows/stored") == 64 * 100
        });
        let mut times = Vec::new();
        for turn in 1..=turns() {
            weir.kill();
            fill(&topic, count, 0, 64);
            let stored_and_at_hand = |weir: &Weir| {
                let status = weir.status();
                let at_hand = |partition: &Value| partition["rows"].as_u64().unwrap_or(0);
                let at_hand: u64 = status["drain"].as_array().into_iter().flatten().map(at_hand).sum();
                (number(&status, "/rows/stored"), at_hand)
            };
            let begun = Instant::now();
            weir.up();
            let before = 64 * 100 + (turn - 1) * 64;
            let mut first = None;
            until("all is at hand", || {
                let (stored, at_hand) = stored_and_at_hand(&weir);
                if at_hand > 0 && first.is_none() {
                    first = Some(begun.elapsed());
                }
                stored + at_hand >= before + 64
            });
            let (first, all) = (first.unwrap_or_default().as_secs_f64(), begun.elapsed().as_secs_f64());
            println!("{count:3} partitions, turn {turn}: {first:.2} s to the first, {all:.2} s to the last message");
            times.push(first);
        }
        println!("{count:3} partitions, median {:.2} s to the first", median(times));
    }
}

/// Log -> Kafka, beside a bare librdkafka producer of the same records, in turns.
fn produce() {
    use weir::config::Config;
    use weir::ledger::Ledger;
    use weir::log::{Logs, Options, ReaderKind};
    use weir::record::{ContentType, Encoded, Recorded};
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 1..=turns() {
        let topic_of_weir = topic(&brokers(), "produced", 4);
        let mut weir = Weir::new(&format!(
            "roles: [gateway]\nroutes: {{ m: {{ upstream: http://127.0.0.1:1, model: {topic_of_weir} }} }}\n\
             kafka: {{ brokers: [{}] }}\n",
            brokers()
        ));
        let data = weir.dir.join("weir-data");
        std::fs::create_dir_all(&data).expect("the folder");
        let mut config = Config::for_upstream("http://127.0.0.1:1", Some("m")).expect("a configuration");
        config.overrides(None, Some(data.clone()));
        let options = Options {
            log: config.log.clone(),
            lanes: 4,
            reader: ReaderKind::Publisher,
            root: weir::log::Root::default(),
        };
        let logs = Logs::open(&data, options).expect("the log");
        let ledger = Ledger::open(&data.join("ledger"), logs.totals().logged()).expect("the ledger");
        for n in 0..rows() {
            logs.append(Recorded {
                ticket: ledger.see(),
                topic: topic_of_weir.clone(),
                content_type: ContentType::Json,
                rows: vec![Encoded { key: None, value: record(n).into() }],
            });
        }
        logs.flush();
        logs.close();
        drop(ledger);
        weir.up();
        until("everything is delivered", || number(&weir.status(), "/rows/delivered") == rows());
        let used = cpu(weir.pid());
        assert!(weir.term().success());
        let each = used.as_secs_f64() * 1e6 / rows() as f64;
        println!("turn {turn}  log -> Kafka            {each:6.2} us of CPU a row");
        ours.push(each);

        let bare = topic(&brokers(), "bare", 4);
        let records: Vec<String> = (0..rows()).map(record).collect();
        let before = cpu(std::process::id());
        let mut config = client(&brokers());
        config.set("linger.ms", "20").set("compression.type", "lz4").set("enable.idempotence", "true");
        let producer: BaseProducer = config.create().expect("a producer");
        for (n, value) in records.iter().enumerate() {
            send(&producer, &bare, i32::try_from(n % 4).expect("a partition"), value);
        }
        producer.flush(Duration::from_secs(120)).expect("delivered");
        let each = (cpu(std::process::id()) - before).as_secs_f64() * 1e6 / rows() as f64;
        println!("turn {turn}  bare librdkafka producer {each:6.2} us of CPU a row");
        theirs.push(each);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("median  {ours:.2} against {theirs:.2} us of CPU a row: {:.2} x", ours / theirs);
}
