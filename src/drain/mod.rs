//! The drain: collect, spool, seal, write, store, commit. The object is the commit.

pub mod names;
pub mod footer;
pub mod store;
pub mod verify;
pub mod refusal;
pub mod seal;
pub mod chain;
pub mod triggers;
#[cfg(test)]
mod model;
