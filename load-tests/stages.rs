//! Everything together, with Kafka: gateway, record, log, publish, drain; CPU per prediction by stage.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::process::{cpu, cpu_by_thread, mib};
use crate::support::kafka::{brokers, topic};
use crate::support::until;
use crate::support::weir::{Weir, balanced, number};
use crate::traffic::{load, model, runtime};

/// The stages, each with how its threads' names begin.
const STAGES: [(&str, &[&str]); 6] = [
    ("gateway (accept, forward, tee)", &["weir-accept", "weir-data"]),
    ("record (recognise, split, encode)", &["weir-record"]),
    ("log (append, sync)", &["log.write"]),
    ("publish (log -> Kafka)", &["weir-publish", "weir-kafka-poll"]),
    ("drain (Kafka -> Parquet)", &["weir-consume", "weir-discover", "drain"]),
    ("librdkafka, producer and consumer", &["rdk:"]),
];

/// One process with both roles, a closed loop for 15 s, and until every row is stored.
pub fn pipeline() {
    let (serving, loading) = (runtime(), runtime());
    let upstream = model(&serving);
    let topic = topic(&brokers(), "whole", 4);
    let weir = Weir::new(&format!(
        "routes: {{ m: {{ upstream: http://{upstream}, model: {topic} }} }}\nkafka: {{ brokers: [{}] }}\n",
        brokers()
    ))
    .start();
    load(&loading, weir.address(), "/predict", Duration::from_secs(2));
    let all_stored = || {
        until("everything is stored", || {
            weir.drain_running();
            let status = weir.status();
            number(&status, "/rows/stored") == number(&status, "/calls/logged")
                && number(&status, "/calls/pending") == 0
        });
        number(&weir.status(), "/calls/seen")
    };
    let before = (all_stored(), cpu(weir.pid()), cpu_by_thread(weir.pid()));
    load(&loading, weir.address(), "/predict", Duration::from_secs(15));
    let calls = (all_stored() - before.0) as f64;
    let each = |used: Duration| used.as_secs_f64() * 1e6 / calls;
    let threads: BTreeMap<String, Duration> = cpu_by_thread(weir.pid())
        .into_iter()
        .map(|(name, used)| {
            let earlier = before.2.get(&name).copied().unwrap_or_default();
            (name, used.saturating_sub(earlier))
        })
        .collect();
    let total = each(cpu(weir.pid()) - before.1);
    println!("whole pipeline with Kafka: {calls} predictions of 2 KiB in, 1 KiB out");
    let mut told = 0.0;
    for (stage, names) in STAGES {
        let its = threads.iter().filter(|(thread, _)| names.iter().any(|name| thread.starts_with(name)));
        let used: f64 = its.map(|(_, used)| each(*used)).sum();
        println!("{stage:36} {used:6.2} us");
        told += used;
    }
    println!("{:36} {:6.2} us", "everything else", total - told);
    println!("{:36} {total:6.2} us of CPU a prediction; peak RSS {:.0} MiB", "all", mib(weir.pid(), "VmHWM"));
    println!(
        "by thread: {}",
        threads.iter().map(|(n, u)| format!("{n} {:.2}", each(*u))).collect::<Vec<_>>().join(", ")
    );
    let status = weir.status();
    balanced(&status);
    println!("{}", status["calls"]);
}
