//! What weir adds to the time of a prediction, with Kafka up, down and hanging: an open loop, in turns, beside the model server asked directly.

use std::time::Duration;

use crate::process::median;
use crate::support::fetch::free_port;
use crate::support::kafka::{Broker, create};
use crate::support::relay::{Fault, Relay};
use crate::support::weir::{Weir, balanced};
use crate::traffic::{model, paced, quantile, runtime};
use crate::{setting, turns};

const TURN: Duration = Duration::from_secs(5);

/// Predictions a second (`WEIR_BENCH_RATE`).
const RATE: u64 = 2_000;

/// One weir for each state, all up at once, asked in turns.
pub fn latency() {
    let rate = u32::try_from(setting("WEIR_BENCH_RATE", RATE)).expect("a rate");
    let (serving, loading) = (runtime(), runtime());
    let upstream = model(&serving);
    let relay = Relay::unset();
    let broker = Broker::behind(&[&relay]);
    let through = |broker: &str, name: &str| {
        Weir::new(&format!(
            "routes: {{ m: {{ upstream: http://{upstream}, model: {name} }} }}\n\
             kafka: {{ brokers: [\"{broker}\"] }}\ndrain: {{ group: {name} }}\n"
        ))
        .start()
    };
    for name in ["up", "hanging"] {
        create(broker.address(), name, 4);
    }
    let alone = Weir::new(&format!("routes: {{ m: {{ upstream: http://{upstream} }} }}\n")).start();
    let up = through(broker.address(), "up");
    // Down from its very start: its port refuses.
    let down = through(&format!("127.0.0.1:{}", free_port()), "down");
    // It was up, its connections are open, and then nothing moves.
    let hanging = through(&relay.address().to_string(), "hanging");
    paced(&loading, hanging.address(), rate, Duration::from_secs(2));
    relay.set(Fault::BlackHole);
    let targets = [
        ("the model server itself", upstream),
        ("weir without Kafka", alone.address()),
        ("weir, Kafka up", up.address()),
        ("weir, Kafka down", down.address()),
        ("weir, Kafka hanging", hanging.address()),
    ];
    let mut figures: Vec<[Vec<f64>; 3]> = vec![Default::default(); targets.len()];
    for turn in 0..=turns() {
        for ((_, target), figures) in targets.iter().zip(&mut figures) {
            let took = paced(&loading, *target, rate, TURN);
            if turn > 0 {
                for (figure, share) in figures.iter_mut().zip([0.5, 0.99, 0.999]) {
                    figure.push(quantile(&took, share));
                }
            }
        }
    }
    println!("{rate} predictions a second, open loop, 2 KiB in and 1 KiB out, median of {} turns", turns());
    let mut base = [0.0; 3];
    for (n, ((name, _), figures)) in targets.iter().zip(figures).enumerate() {
        let now = figures.map(median);
        if n == 0 {
            base = now;
        }
        let words = ["p50", "p99", "p99.9"]
            .iter()
            .zip(now)
            .zip(base)
            .map(|((word, now), base)| format!("{word} {now:7.0} us ({:+6.0})", now - base));
        println!("{name:26} {}", words.collect::<Vec<_>>().join("  "));
    }
    for weir in [&alone, &up, &down, &hanging] {
        let status = weir.status();
        balanced(&status);
        println!("{}", status["calls"]);
    }
    relay.heal();
}
