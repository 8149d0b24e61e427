//! Answers that a real S3 server does not give on demand.

mod create;
mod parts;
mod read;
mod script;
