//! The process dies at points between two durable facts (failpoints in the binary), one life after another: in the end nothing that was logged is
//! lost, nothing is stored twice.
//!
//! The K numbers are those of the design's crash list. A point that is never reached fails the test: the process must die at it, and say so.

use std::time::Duration;

use crate::kill::{Death, die_and_account};
use crate::support::model::Model;
use crate::support::weir::Weir;

/// Steps of the drain, in their order.
const DRAIN: &[&str] = &[
    "drain_after_head=panic",    // K1: the newest file is known, nothing is read
    "drain_after_seek=panic",    // K2: before the first message
    "drain_before_write=panic",  // K3: a sealed range, no file
    "drain_footer_closed=panic", // K5: a whole file aside, not created
    "drain_before_create=panic", // K5: just before the store is asked
    "drain_after_create=panic",  // K8: created, the answer not used
    "drain_before_commit=panic", // K9, K10: before the cursor moves
    "drain_after_commit=panic",  // K12
];

/// Steps of the log (K27), two of them again after they have gone well a few times.
const LOG: &[&str] = &[
    "log.append=panic",
    "log.append=20*off->panic",
    "log.sync=panic",
    "log.sync=3*off->panic",
    "log.roll=panic",
    "log.cursor=panic",
    "log.unlink=panic",
];

/// A first life makes a chain, so that every step has something before it.
fn deaths<'a>(points: impl Iterator<Item = &'a &'static str>) -> impl Iterator<Item = Death> {
    let first = Death::After(Duration::from_millis(1500));
    std::iter::once(first).chain(points.map(|point| Death::At(point)))
}

#[test]
fn at_points_of_log_and_drain_without_kafka() {
    let model = Model::start();
    let mut weir = Weir::new(&format!(
        "routes: {{ m: {{ upstream: {} }} }}\nlog: {{ segment: 64KiB }}\nstore: {{ roll: {{ size: 64KiB, every: 1s }} }}\n",
        model.url()
    ));
    let points = DRAIN.iter().chain(LOG);
    die_and_account(&mut weir, deaths(points), |weir| crate::support::parquet::column(&weir.parquet(), "id"));
}
