//! Clocks that are wrong: no row is lost, doubled or held back by one, and no prediction notices.

use crate::support::clock::Clock;
use crate::support::model::Model;
use crate::support::until;
use crate::support::weir::{Weir, number, rows};

const DAY: i64 = 86_400;

/// Files close by age as ever, dates never go back within a chain, and a start on the right clock goes on behind.
#[test]
fn a_wall_clock_that_jumps_loses_and_holds_back_nothing() {
    let model = Model::start();
    let clock = Clock::ahead(0);
    let mut weir =
        Weir::new(&format!("routes: {{ m: {{ upstream: {} }} }}\nstore: {{ roll: {{ every: 1s }} }}\n", model.url()));
    for (name, value) in clock.env() {
        weir = weir.env(name, &value);
    }
    weir.up();
    let mut sent = 0;
    for jump in [0, 10 * DAY, -20 * DAY, 3_650 * DAY, -20_000 * DAY] {
        clock.set(jump);
        weir.post(10);
        sent += 10;
        until("they are stored without being asked for", || number(&weir.status(), "/rows/stored") == sent);
    }
    weir.kill();
    clock.set(0);
    weir.up();
    weir.post(10);
    sent += 10;
    let (status, report) = weir.settle();
    assert_eq!(rows(&report), sent, "{report:#}");
    assert_eq!(number(&status, "/rows/quarantined"), 0);
    assert_eq!(report["tables"]["m"]["partitions"].as_object().expect("partitions").len(), 1, "one chain: {report:#}");
}
