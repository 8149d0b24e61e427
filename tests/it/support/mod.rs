//! Starts and stops what the tests talk to.

pub mod fetch;
pub mod s3;
pub mod kafka;
