//! Integration tests: the real binary, real servers over the wire.

#![allow(clippy::unwrap_used, reason = "a test's helper ends the test as the test itself would")]

mod support;

mod kafka_path;
mod kafka_source;
mod s3_store;
