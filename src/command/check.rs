//! `weir check`: the configuration and what it names, one line each, serially, so that each failure reads with its part.

mod samples;

use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::log::words;
use super::map::Mapped;
use super::{Context, Failure, chain, print_json, say};
use crate::admin::status::counted;
use crate::app::log_options;
use crate::config::{Config, Kafka};
use crate::drain::store;
use crate::log::{self, ReaderKind, TopicReport};
use crate::publish;
use crate::publish::topics::{self, TopicAnswer};
use crate::publish::{Reached, reach};

const KAFKA_WAIT: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub struct Args {
    /// Check the file and its samples only; connect to nothing
    #[arg(long)]
    offline: bool,
}

/// One line of the screen.
#[derive(Debug, Serialize)]
struct Line {
    part: &'static str,
    ok: bool,
    text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    /// What became of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapped: Option<Mapped>,
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let config = context.config()?;
    if args.offline {
        let mut lines = vec![config_line(&config)];
        lines.extend(samples::lines(&config));
        return tell(context, &lines);
    }
    report(context, &config)
}

/// Checks everything that `config` names and prints it.
pub(super) fn report(context: &Context, config: &Config) -> Result<(), Failure> {
    let mut lines = vec![config_line(config)];
    lines.extend(samples::lines(config));
    lines.extend(config.routes.iter().map(upstream_line));
    if let Some(kafka) = &config.kafka {
        lines.extend(kafka_lines(config, kafka));
    }
    if config.roles.drain {
        lines.push(store_line(config));
    }
    lines.push(log_line(config));
    tell(context, &lines)
}

fn tell(context: &Context, lines: &[Line]) -> Result<(), Failure> {
    let ok = lines.iter().all(|line| line.ok);
    if context.json {
        print_json(&serde_json::json!({"ok": ok, "checks": lines}))?;
    } else {
        for line in lines {
            say(&format!("{} {:<9} {}", if line.ok { "ok" } else { "xx" }, line.part, line.text))?;
            if let Some(fix) = &line.fix {
                say(&format!("             fix: {fix}"))?;
            }
        }
    }
    if ok { Ok(()) } else { Err(Failure::Said) }
}

fn good(part: &'static str, text: String) -> Line {
    Line { part, ok: true, text, fix: None, mapped: None }
}

fn bad(part: &'static str, text: String, fix: &str) -> Line {
    Line { part, ok: false, text, fix: Some(fix.to_string()), mapped: None }
}

fn config_line(config: &Config) -> Line {
    let mut text = format!("{}, memory {}", counted(config.routes.len() as u64, "route"), config.memory_line());
    for warning in config.warnings() {
        text.push_str(&format!("\n!!           {warning}"));
    }
    good("config", text)
}

fn upstream_line(route: &crate::config::Route) -> Line {
    let target = &route.upstream.authority;
    let begun = Instant::now();
    let connected = target
        .to_socket_addrs()
        .and_then(|mut found| found.next().ok_or_else(|| std::io::Error::other("no address for that name")))
        .and_then(|address| TcpStream::connect_timeout(&address, route.timeouts.connect));
    match connected {
        Ok(_) => {
            let takes =
                route.feedback.as_ref().map_or(String::new(), |feedback| format!("  feedback at {}", feedback.path));
            good("upstream", format!("{}  http://{target}  {} ms{takes}", route.name, begun.elapsed().as_millis()))
        }
        Err(error) => bad(
            "upstream",
            format!("{}  http://{target}: {error}", route.name),
            "start the model server, or correct `upstream`; weir itself would answer 502 until then",
        ),
    }
}

fn kafka_lines(config: &Config, kafka: &Kafka) -> Vec<Line> {
    let brokers = kafka.brokers.join(",");
    let (client, metadata) = match reach(kafka, KAFKA_WAIT) {
        Ok(answer) => answer,
        Err(error) => {
            let fix = "start the brokers, or correct `kafka`; until then records wait in the log";
            return vec![bad("kafka", format!("{brokers}: {error}"), fix)];
        }
    };
    let mut lines = vec![good("kafka", format!("{} broker(s) at {brokers}", metadata.brokers().len()))];
    lines.extend(config.route_topics().iter().map(|topic| topic_line(kafka, &client, topic)));
    lines
}

/// A topic and what its settings mean for the records on it.
fn topic_line(kafka: &Kafka, client: &Reached, topic: &str) -> Line {
    let wanted = publish::wanted(kafka);
    let (count, replicas) = match topics::ask(client.client(), topic) {
        TopicAnswer::Partitions { count, replicas } => (count, replicas),
        TopicAnswer::Missing if kafka.create_topics.is_some() => {
            return good("topic", format!("{topic} will be created"));
        }
        TopicAnswer::Missing => {
            let fix = format!("{}, or set `kafka.create_topics`", topics::create_command(topic, &wanted));
            return bad("topic", format!("{topic} does not exist"), &fix);
        }
        TopicAnswer::Unknown(why) | TopicAnswer::None(why) => {
            return bad(
                "topic",
                format!("{topic}: {why}"),
                "ask the brokers' operator; until then records wait in the log",
            );
        }
    };
    let mut text = format!("{topic}  {count} partitions, replication {replicas}");
    match topics::describe(kafka, topic) {
        Ok(settings) => {
            let found = publish::findings(topic, count, replicas, &settings, &wanted);
            if let Some(reason) = found.iter().find(|found| found.refuse) {
                return bad("topic", reason.what.clone(), &reason.fix);
            }
            for notice in found {
                text.push_str(&format!("\n!!           {notice}"));
            }
        }
        Err(why) => text.push_str(&format!("\n!!           its settings could not be checked: {why}")),
    }
    good("topic", text)
}

fn store_line(config: &Config) -> Line {
    let tested = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            let store = store::open(&config.store, runtime.handle()).map_err(|e| chain(&e))?;
            store.self_test().map_err(|e| chain(&e))?;
            Ok(store.address())
        });
    match tested {
        Ok(address) => good("store", format!("{address} creates a file only once")),
        Err(message) => {
            let fix = store_fix(&message);
            bad("store", message, fix)
        }
    }
}

fn log_line(config: &Config) -> Line {
    if let Some(refusal) = refusal(config) {
        return refusal;
    }
    match log::verify(&config.data_dir) {
        Ok(report) if report.ok() => {
            good("log", format!("{}  {}{}", config.data_dir.display(), words(&report), moves(config)))
        }
        Ok(report) => bad("log", words(&report), "weir starts all the same and delivers each damaged range as one row"),
        Err(error) => bad("log", chain(&error), "see the message"),
    }
}

/// What would keep `weir run` from starting on this folder.
fn refusal(config: &Config) -> Option<Line> {
    let folder = config.data_dir.display();
    if let Err(error) = std::fs::create_dir_all(&config.data_dir) {
        return Some(bad("log", format!("{folder}: {error}"), "name a folder that can be written as `data_dir`"));
    }
    let asked = log_options(config);
    for TopicReport { topic, reader, lanes, .. } in log::inspect(&config.data_dir).unwrap_or_default() {
        let backlog: u64 = lanes.iter().map(|lane| lane.next_seq.saturating_sub(lane.cursor)).sum();
        if asked.reader == ReaderKind::Publisher && lanes.len() > asked.lanes as usize {
            let text = format!("the log of {topic} has {} lanes, which can be raised, not lowered", lanes.len());
            return Some(bad("log", text, &format!("set `kafka.lanes: {}`", lanes.len())));
        }
        if (reader, asked.reader) == (ReaderKind::Publisher, ReaderKind::Drain) && backlog > 0 {
            let text = format!("{} of {topic} wait for Kafka", counted(backlog, "row"));
            let fix = "start weir with `kafka:` until `weir status` shows no backlog, stop it, then take `kafka:` away";
            return Some(bad("log", text, fix));
        }
    }
    None
}

/// Logs that go elsewhere from the next start on.
fn moves(config: &Config) -> String {
    let asked = log_options(config);
    let mut words = String::new();
    for TopicReport { topic, reader, root, .. } in log::inspect(&config.data_dir).unwrap_or_default() {
        let place = |reader: ReaderKind, root: &log::Root| match reader {
            ReaderKind::Drain => root.to_string(),
            ReaderKind::Publisher => "Kafka".to_owned(),
        };
        if reader != asked.reader || !root.is(&asked.root) {
            let (from, to) = (place(reader, &root), place(asked.reader, &asked.root));
            words.push_str(&format!(
                "\n  the log of {topic} went to {from}: the next start stores there what is left, and goes on to {to}"
            ));
        }
    }
    words
}

/// What to do about a store that does not work, by what it said.
fn store_fix(message: &str) -> &'static str {
    if message.contains("redentials") {
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with AWS_PROFILE, or give the machine a role"
    } else if message.contains("refused") || message.contains("connect") {
        "start the store, or correct `store.endpoint`; until then records wait in the log"
    } else {
        "correct `store`, or its rights"
    }
}
