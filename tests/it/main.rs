//! Integration tests: the real binary, real servers over the wire.

mod support;

mod s3_store;
