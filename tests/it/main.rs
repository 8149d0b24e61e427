//! Integration tests: the real binary, real servers over the wire.

mod support;

mod kafka_path;
mod kafka_source;
mod s3_store;
