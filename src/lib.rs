//! weir: see the module list, in the order of a record's path.

pub mod config;
pub mod ledger;
pub mod telemetry;
pub mod gateway;
pub mod handoff;
pub mod protocol;
pub mod record;
pub mod log;
pub mod publish;
pub mod source;
pub mod table;
pub mod drain;
pub mod admin;
pub mod app;
pub mod command;
