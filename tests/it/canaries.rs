//! Redaction, searched for in every place that a record passes on its way through Kafka to S3: for every protocol, the calls of
//! `support/canaries.rs` (whole, cut, damaged, refused, of unknown forms), feedback, names that a server tells, headers and queries. A canary under a
//! redacted name is nowhere: log segments, the drain's spool, topic (keys, headers, values), objects in S3 (footers, pages, rows), status, metrics,
//! the log at debug, what commands print. A control that no rule names is found in each of these places, or the search is blind.
//!
//! `redaction.rs` tells the actions apart, `src/record/tests/redaction_canaries.rs` tries them all on each call.

mod search;
mod server;

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use self::search::Sought;
use crate::kafka_s3::store;
use crate::support::canaries::{Arrival, Case, Cut, Message, cases};
use crate::support::http::Client;
use crate::support::s3::{Bucket, bucket};
use crate::support::weir::{Weir, number, rows};
use crate::support::{kafka, until, until_within};

/// All actions find it: it is the beginning of an address.
const CANARY: &str = "canary-4c07be-kept-nowhere@example.com";
/// What is searched for: no action leaves this much.
const SOUGHT: &str = "canary-4c07be";
/// Under names without rules.
const CONTROL: &str = "control-e81f52-kept-as-it-is";
/// A key of a body, and so a column.
const COLUMN: &str = "column_e81f52";
/// A name that the model server tells.
const TOLD: &str = "told_e81f52";
/// Calls with a field that shall become a column: more than 1 % of all.
const OFTEN: u64 = 40;
/// Arrivals that become what another one becomes: the recorder's own tests have them.
const LIKE_ANOTHER: [&str; 6] = ["status 400", "status 500", "text/xml", "application/json", "text/csv", "text/html"];
/// No record.
const POISON: &str = "poison-77ab3e";
/// Behind all canaries.
const MARKER: &str = "marker-0d93aa-behind-them-all";
const KEY: &str = "a key of more than sixteen bytes";
const ACTIONS: [&str; 4] = ["drop", "{ hash: \"${env:WEIR_HASH_KEY}\" }", "{ truncate: 6 }", "{ mask: [email] }"];

#[test]
fn a_canary_is_nowhere_on_the_way_of_json_through_kafka_to_s3() {
    search("json", 0);
}

#[test]
fn a_canary_is_nowhere_on_the_way_of_protobuf_through_kafka_to_s3() {
    search("protobuf", 1);
}

/// A call to send.
struct Call {
    path: String,
    arrival: Arrival,
    /// The client goes in the middle of its request.
    broken_off: bool,
}

/// Calls of all cases on routes of their own. Each has three: as it is, with its batches kept in one row, and with a short copy.
fn calls(cases: &[Case], first_action: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for arrival in case.arrivals(std::iter::once(8)) {
            // Half an address that was sent as a whole body looks like none.
            let masked = action(number, first_action).contains("mask") && arrival.cut == Some(Cut::Unsaid);
            if masked || LIKE_ANOTHER.contains(&arrival.what.as_str()) {
                continue;
            }
            let kind = match (arrival.keep_rows, arrival.cut) {
                (true, _) => "keep",
                (_, Some(Cut::Copy)) => "short",
                _ => "whole",
            };
            // The copy cuts these by itself.
            let arrival = if kind == "short" {
                Arrival { what: arrival.what, cut: arrival.cut, ..case.whole() }
            } else {
                arrival
            };
            let path = format!("/{kind}{number}{}", arrival.path);
            let broken_off = arrival.cut == Some(Cut::Transfer);
            if broken_off {
                // Nobody answers a request that never ends: its answer breaks off in a call of its own.
                let arrival = Arrival { request: case.request.clone(), ..arrival.clone() };
                calls.push(Call { path: path.clone(), arrival, broken_off: false });
            }
            calls.push(Call { path, arrival, broken_off });
        }
    }
    calls
}

fn action(case: usize, first: usize) -> &'static str {
    ACTIONS[(case + first) % ACTIONS.len()]
}

fn configuration(
    cases: &[Case],
    first_action: usize,
    topic: &str,
    format: &str,
    upstream: &str,
    samples: &Path,
) -> String {
    let mut yaml = String::from("routes:\n");
    for (number, case) in cases.iter().enumerate() {
        let action = action(number, first_action);
        for (kind, capture) in [("whole", "body: 1MiB"), ("keep", "rows: keep"), ("short", "body: 48B")] {
            let sample = samples.join(format!("{number}.http"));
            let record = if kind == "whole" {
                format!(", record: {{ samples: [{}] }}", sample.display())
            } else {
                String::new()
            };
            yaml += &format!(
                "  {kind}{number}: {{ path: /{kind}{number}, upstream: \"http://{upstream}/\", model: {topic}, \
                 capture: {{ bodies: always, headers: [content-type, x-kept], {capture} }}, \
                 redact: {{ inputs.{}: {action}, outputs.{}: {action} }}{record} }}\n",
                case.input, case.output
            );
        }
    }
    for (name, more) in [
        ("open", ""),
        ("told", ", redact: { inputs.secret: drop }"),
        (
            "fed",
            ", feedback: /fed/feedback, redact: { inputs.secret: drop, outputs.secret: drop, truth.mail: { mask: [email] } }",
        ),
    ] {
        yaml += &format!("  {name}: {{ path: /{name}, upstream: \"http://{upstream}/\", model: {topic}{more} }}\n");
    }
    yaml + &format!("kafka: {{ brokers: [{}], format: {format}, key: inputs.secret }}\n", kafka::brokers())
}

fn search(format: &str, first_action: usize) {
    let cases = cases(CANARY);
    let calls = calls(&cases, first_action);
    let upstream = server::start(calls.iter().map(|call| call.arrival.clone()).collect()).to_string();
    let samples = samples(&cases);
    let topic = kafka::topic(&kafka::brokers(), "control-e81f52", 1);
    let topics = [topic.clone(), format!("{topic}.feedback")];
    kafka::create(&kafka::brokers(), &topics[1], 1);
    let bucket = bucket();
    let yaml = configuration(&cases, first_action, &topic, format, &upstream, samples.path());
    let mut weir = with_keys(Weir::new(&format!("{yaml}{}", store(&bucket, ""))), &bucket)
        .env("WEIR_HASH_KEY", KEY)
        .env("WEIR_LOG", "debug");
    // No object gets its name, so that all is still in the log and the spool when they are searched.
    weir.up_with(Some("drain_before_create=pause"));
    for (number, call) in calls.iter().enumerate() {
        send(&weir, call, number);
    }
    let sent = calls.len() as u64 + control(&weir) + told(&weir) + feed(&weir);
    delivered(&weir, sent);
    let sent = sent + fill(&weir);
    delivered(&weir, sent);
    poison(&topic);
    let data = weir.dir.join("weir-data");
    let in_spool = |text: &str| !Sought::of(text).files(&data.join("spool")).is_empty();
    until("the spool holds what stands behind them all", || in_spool(MARKER));
    assert!(in_spool(CONTROL), "the spool is not searched");
    assert!(!Sought::of(CONTROL).files(&data.join("log")).is_empty(), "the log is not searched");
    nowhere(&weir, "in the log and the spool");

    weir.kill();
    weir.up();
    let messages: Vec<_> = topics.iter().flat_map(|topic| search::topic(topic)).collect();
    let count = messages.iter().filter(|(kind, _)| *kind == "value").count() as u64;
    until_within(Duration::from_secs(300), "every message is stored", || {
        weir.drain_running();
        number(&weir.status(), "/rows/consumed") == count
    });
    let (_, report) = weir.settle();
    assert_eq!((rows(&report), &report["tables"][&topic]["quarantined"]), (count, &json!(1)), "{report:#}");
    nowhere(&weir, "stored");
    let words = commands(&weir, &topics, samples.path(), cases.len());
    let objects = bucket.keys().into_iter().flat_map(|key| match key.ends_with(".parquet") {
        true => search::parquet(bucket.get(&key)),
        false => vec![("object", bucket.get(&key))],
    });
    let parts: Vec<_> = messages.into_iter().chain(words).chain(objects).collect();
    let sought = [SOUGHT, KEY].map(Sought::of);
    for (kind, part) in &parts {
        for sought in &sought {
            assert_eq!(sought.found(part), None, "in a {kind}");
        }
    }
    for (kind, control) in [
        ("key", CONTROL),
        ("value", CONTROL),
        ("value", TOLD),
        ("header", "content-type: application/"),
        ("file", COLUMN),
        ("page", CONTROL),
        ("page", TOLD),
        ("page", POISON),
        ("row", CONTROL),
        ("command", COLUMN),
        ("command", CONTROL),
    ] {
        let control_in = Sought::of(control);
        assert!(parts.iter().any(|(of, part)| *of == kind && control_in.is_in(part)), "no {control} in any {kind}");
    }
    all_were_read(&cases, &parts);
}

/// Every protocol is among the rows, read whole.
fn all_were_read(cases: &[Case], parts: &[(&'static str, Vec<u8>)]) {
    let rows: Vec<_> =
        parts.iter().filter(|(kind, _)| *kind == "row").map(|(_, row)| String::from_utf8_lossy(row)).collect();
    for (number, case) in cases.iter().enumerate() {
        let status = if case.protocol == "raw" { "unsupported" } else { "ok" };
        let [route, protocol, status] =
            [("route", &*format!("whole{number}")), ("protocol", case.protocol), ("parse_status", status)]
                .map(|(name, word)| format!("{name}: \"{word}\""));
        let read =
            rows.iter().filter(|row| [&route, &protocol, &status].iter().all(|word| row.contains(word.as_str())));
        assert!(read.count() > 0, "{}: no row of {route} with {protocol} and {status}", case.name());
    }
}

fn with_keys(weir: Weir, bucket: &Bucket) -> Weir {
    bucket.account.env().into_iter().fold(weir, |weir, (name, value)| weir.env(name, &value))
}

/// A file per case with its call, as `weir map` reads it, and one of the control.
fn samples(cases: &[Case]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: String, path: &str, request: &Message, response: &Message| {
        let message = |first: String, message: &Message| {
            let lines = message.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
            let head: String = std::iter::once(first).chain(lines).chain(["\r\n".to_owned()]).collect();
            [head.as_bytes(), &message.body].concat()
        };
        let request = message(format!("POST {path} HTTP/1.1\r\n"), request);
        let sample = [request, b"\r\n".to_vec(), message("HTTP/1.1 200 OK\r\n".to_owned(), response)].concat();
        std::fs::write(folder.path().join(name), sample).expect("a sample");
    };
    for (number, case) in cases.iter().enumerate() {
        write(format!("{number}.http"), &format!("/whole{number}{}", case.path), &case.request, &case.response);
    }
    let json = Message {
        headers: vec![("content-type", "application/json".to_owned())],
        body: json!({"secret": CONTROL}).to_string().into_bytes(),
    };
    write(format!("{}.http", cases.len()), "/open/echo", &json, &json);
    folder
}

fn send(weir: &Weir, call: &Call, number: usize) {
    let Call { path, arrival, broken_off } = call;
    let path = format!("{path}?secret={CANARY}");
    let (case, bearer) = (number.to_string(), format!("Bearer {CANARY}"));
    let mut headers = vec![
        ("x-case", &*case),
        ("x-kept", CONTROL),
        ("x-secret", CANARY),
        ("cookie", CANARY),
        ("authorization", &*bearer),
    ];
    headers.extend(arrival.request.headers.iter().map(|(name, value)| (*name, value.as_str())));
    if *broken_off {
        let mut stream = TcpStream::connect(weir.address()).expect("a connection");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = arrival.request.body.len() + 100;
        write!(stream, "POST {path} HTTP/1.1\r\nhost: weir\r\ncontent-length: {length}\r\n{lines}\r\n")
            .expect("a head");
        stream.write_all(&arrival.request.body).expect("half a body");
        return;
    }
    // A client of its own: what stands behind an answer's end is not for the next.
    let answer = Client::new(weir.address()).send("POST", &path, &headers, &arrival.request.body);
    if arrival.cut != Some(Cut::Transfer) {
        let answer = answer.unwrap_or_else(|error| panic!("{path}, {}: {error}", arrival.what));
        assert_eq!((answer.status, &answer.body), (arrival.status, &arrival.response.body), "{path}, {}", arrival.what);
    }
}

/// Calls without rules; enough that their field becomes a column.
fn control(weir: &Weir) -> u64 {
    let body = json!({"secret": CONTROL, COLUMN: 1}).to_string();
    let mut client = weir.client();
    for _ in 0..OFTEN {
        client.post("/open/echo", body.as_bytes()).expect("an answer");
    }
    OFTEN
}

/// Rows without keys on a route with a rule for a name that only the server tells: it names the answer's values, and decides nothing of what
/// is kept of the request.
fn told(weir: &Weir) -> u64 {
    let body = json!([[1, CANARY]]).to_string();
    let (mut client, mut asked) = (weir.client(), 0);
    let mut ask = || {
        assert_eq!(client.post("/told/rows", body.as_bytes()).expect("an answer").status, 200);
        asked += 1;
    };
    until("the server has told its names", || {
        ask();
        !Sought::of(TOLD).files(&weir.dir.join("weir-data/log")).is_empty()
    });
    asked
}

/// Feedback that is kept without its canaries, and such that is refused.
fn feed(weir: &Weir) -> u64 {
    let mut client = weir.client();
    let predicted = client.post("/fed/echo", json!({"secret": CANARY}).to_string().as_bytes()).expect("an answer");
    let id = predicted.header("x-weir-id").expect("an id").to_owned();
    let truth = json!({"secret": CANARY, "mail": format!("from {CANARY}"), "kept": CONTROL});
    let seldon =
        json!({"request": {"secret": CANARY}, "response": {"meta": {"puid": id}}, "truth": {"jsonData": truth}});
    for (body, status) in [
        (json!({"id": id, "truth": truth, "metadata": {"secret": CANARY, "by": CONTROL}}), 202),
        (json!([{"id": id, "truth": truth}, {"id": id, "truth": {"deep": {"secret": CANARY}}}]), 202),
        (seldon, 200),
        (json!({"id": id, "truth": [{"name": "secret", "value": CANARY}]}), 400),
        (json!({"id": id, "truth": CANARY}), 400),
        (json!({"id": CANARY, "truth": 1}), 400),
        (json!({"id": id, CANARY: 1}), 400),
    ] {
        let answer = client.post("/fed/feedback", body.to_string().as_bytes()).expect("an answer");
        assert_eq!(answer.status, status, "{body}: {}", String::from_utf8_lossy(&answer.body));
    }
    client
        .post("/fed/feedback", format!(r#"{{"id":"{id}","truth":{{"secret":"{CANARY}"#).as_bytes())
        .expect("an answer");
    1
}

/// Waits until all that was sent is on its topic.
fn delivered(weir: &Weir, calls: u64) {
    until("every call is in the log, every row on the topic", || {
        let status = weir.status();
        let n = |pointer: &str| number(&status, pointer);
        n("/calls/logged") == calls && n("/feedback/pending") == 0 && n("/rows/backlog") == 0
    });
}

/// More behind what was sent than a spool keeps in memory.
fn fill(weir: &Weir) -> u64 {
    let mut client = weir.client();
    let bodies = [json!({"x": MARKER}), json!({"filler": "f".repeat(100_000)})];
    for body in bodies.iter().flat_map(|body| [body; 8]) {
        assert_eq!(client.post("/open/echo", body.to_string().as_bytes()).expect("an answer").status, 200);
    }
    16
}

/// What somebody else's producer wrote, and no drain can read.
fn poison(topic: &str) {
    let producer: BaseProducer = kafka::client(&kafka::brokers()).create().expect("a producer");
    producer
        .send(BaseRecord::<(), str>::to(topic).partition(0).payload(POISON))
        .map_err(|(error, _)| error)
        .expect("room");
    producer.flush(Duration::from_secs(60)).expect("delivered");
}

/// No file of the deployment, its log at debug among them, and no page holds a canary or the key of the hashes; the control is there.
fn nowhere(weir: &Weir, moment: &str) {
    for sought in [SOUGHT, KEY] {
        assert_eq!(Sought::of(sought).files(&weir.dir), Vec::<String>::new(), "{moment}: {sought}");
    }
    assert!(weir.stderr().contains(TOLD) && weir.stderr().contains("DEBUG"), "{moment}: the log is not searched");
    for page in ["/metrics", "/api/v1/status"] {
        let answer = Client::new(weir.admin()).get(page).expect("a page");
        assert!(Sought::of("control-e81f52").is_in(&answer.body), "{moment}: {page} is not searched");
        assert!(!Sought::of(SOUGHT).is_in(&answer.body), "{moment}: {page}");
    }
}

/// What the commands say, of samples that hold canaries too: `check` of all, `map` of some.
fn commands(weir: &Weir, topics: &[String; 2], samples: &Path, cases: usize) -> Vec<(&'static str, Vec<u8>)> {
    let samples: Vec<String> = (0..=cases).map(|n| samples.join(format!("{n}.http")).display().to_string()).collect();
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["status", "--json"],
        vec!["verify", "--deep", "--json"],
        vec!["schema", &topics[0]],
        vec!["schema", &topics[0], "--raw"],
        vec!["schema", &topics[1]],
        vec!["log", "ls"],
        vec!["log", "verify"],
        vec!["config", "show"],
        vec!["check"],
        vec!["check", "--json"],
    ];
    commands.extend(
        samples
            .iter()
            .rev()
            .step_by(8)
            .flat_map(|sample| [vec!["map", sample.as_str()], vec!["map", sample, "--json"]]),
    );
    let run = |arguments: &Vec<&str>| {
        let output = weir.cli(arguments);
        assert!(!output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        ("command", [output.stdout, output.stderr].concat())
    };
    commands.iter().map(run).collect()
}
