//! The table: predictions -> typed Arrow columns -> one Parquet file. In: [`Message`]s of one sealed range, in order. Out: bytes in a `Write`.
//! Knows no chain, no store and no clock.
//!
//! A message becomes exactly one row. What fits its columns exactly is typed; of a row that does not, `_raw` keeps the whole text as well (of a protobuf message its JSON form); a message
//! that is no record is a quarantine row. So nothing is lost by typing, and nothing shifts a row.
//!
//! - [`Schema`]: the pinned columns of `inputs`, `outputs` and the record's other fields; additive only
//! - [`Survey`]: which keys the messages have, of which types; proposes a wider schema
//! - [`FileWriter`]: the rows of one file
//!
//! [`Message`]: crate::source::Message

mod build;
mod checksum;
mod class;
mod columns;
mod cursor;
mod envelope;
mod fixed;
mod number;
mod properties;
mod rows;
mod schema;
mod survey;
mod tell;
mod time;
mod tolerant;
mod tree;
mod validity;
mod walk;
mod write;

#[cfg(test)]
mod tests;

pub use build::RowKind;
pub use checksum::check as check_data;
pub use fixed::{Conflict, Wanted, wanted};
pub use schema::{Field, Schema, SchemaError, Type};
pub use survey::Survey;
pub use write::{FileWriter, TableError, Written};
