//! Answers that a real S3 server does not give on demand.

mod create;
mod credentials;
mod parts;
mod read;
mod script;
