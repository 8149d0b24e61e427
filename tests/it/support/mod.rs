//! Starts and stops what the tests talk to.

#![allow(dead_code, reason = "each test module uses its part")]

pub mod canaries;
pub mod certs;
pub mod cluster;
pub mod disk;
pub mod clock;
pub mod fetch;
pub mod front;
pub mod http;
pub mod kafka;
pub mod model;
pub mod moto;
pub mod parquet;
pub mod process;
pub mod python;
pub mod refusing;
pub mod relay;
pub mod s3;
pub mod secure;
pub mod weir;

use std::time::{Duration, Instant};

/// No wait in a healthy run comes near this, also where every core is busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Waits until `done` holds; panics with `what` after [`PATIENCE`]. For states, never for times.
pub fn until(what: &str, done: impl FnMut() -> bool) {
    until_within(PATIENCE, what, done);
}

/// The same for what can say how it is instead: the last of it stands in the panic.
pub fn until_ok<T>(what: &str, mut state: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match state() {
            Ok(found) => return found,
            Err(instead) => {
                assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}: {instead}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// The same for what takes a while on a busy machine.
pub fn until_within(patience: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < patience, "waited {patience:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
