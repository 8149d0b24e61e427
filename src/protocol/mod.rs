//! Bodies and heads -> rows of inputs and outputs. In: both [`Side`]s of a call. Out: a [`Reading`].
//!
//! Pure: bytes and heads in, rows out, no I/O, no clock. A body that cannot be read costs columns, never the record:
//! every way to fail ends as a [`ParseStatus`] and a sentence.
//!
//! One file per protocol, one line per protocol in [`recognise::FORMS`]. To add one, write a file with a `matches` and
//! a `read` function, add its line, and put its fixtures into `tests/data/<protocol>/`.

pub mod packed;
pub mod value;
pub mod json;
pub mod tensor;
pub mod media;
pub mod encoding;
pub mod side;
pub mod stream;
pub mod names;
pub mod split;
pub mod table;
pub mod columns;
pub mod place;
pub mod generic;
pub mod v1;
pub mod v2;
pub mod mlflow;
pub mod sagemaker;
pub mod seldon;
pub mod torchserve;
pub mod triton;
pub mod openai;
pub mod anthropic;
pub mod huggingface;
pub mod ollama;
pub mod raw;
pub mod recognise;

use std::borrow::Cow;

use crate::config;

pub use columns::{Applied, Columns};
pub use names::MadeNames;
pub use place::Places;
pub use recognise::{NamesIn, read, recognise};
pub use side::Side;
pub use value::{Object, Value};

/// What became of the bodies of a call. The order is the order of precedence: the first that applies to either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ParseStatus {
    Ok,
    /// Inputs and outputs do not count the same.
    RowMismatch,
    /// A tensor's data do not fill its shape.
    ShapeMismatch,
    /// The copy was cut, or the transfer was.
    Truncated,
    /// Not what its form says: damaged JSON, damaged compression.
    Invalid,
    /// No form that weir reads.
    Unsupported,
    /// A cap on decompression, depth, values or rows.
    Limit,
    /// No body.
    Empty,
    /// No memory permit, or the client asked.
    NotKept,
}

impl ParseStatus {
    /// The word in the record's `parse_status`.
    pub fn word(self) -> &'static str {
        match self {
            ParseStatus::Ok => "ok",
            ParseStatus::RowMismatch => "row_mismatch",
            ParseStatus::ShapeMismatch => "shape_mismatch",
            ParseStatus::Truncated => "truncated",
            ParseStatus::Invalid => "invalid",
            ParseStatus::Unsupported => "unsupported",
            ParseStatus::Limit => "limit",
            ParseStatus::Empty => "empty",
            ParseStatus::NotKept => "not_kept",
        }
    }
}

/// Why something could not be read whole. `what` never quotes a body: it may end in a log or on a redacting route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: ParseStatus,
    pub what: String,
}

impl Problem {
    pub fn new(status: ParseStatus, what: impl Into<String>) -> Problem {
        Problem { status, what: what.into() }
    }
}

/// Ceilings for reading one call, from the route.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nesting of JSON.
    pub depth_max: usize,
    /// Rows that one call may become.
    pub rows_max: usize,
    /// Bytes that a compressed body may become; also what keys beside a batch may grow to when each row gets them.
    pub decompressed_bytes_max: u64,
    pub rows: config::Rows,
}

impl From<&config::Capture> for Limits {
    fn from(capture: &config::Capture) -> Limits {
        Limits {
            depth_max: capture.depth_max,
            rows_max: capture.rows_max,
            decompressed_bytes_max: capture.decompressed_bytes_max,
            rows: capture.rows,
        }
    }
}

/// Both sides of one call, as a protocol gets them.
pub struct Matter<'a> {
    /// As the client sent it, without the query.
    pub path: &'a str,
    pub request: Side<'a>,
    pub response: Side<'a>,
    /// Whether the answer can hold outputs: a status below 400. Otherwise its body is an error text and not read.
    pub answered: bool,
    /// Where the route says the rows are.
    pub places: Places<'a>,
    /// Room for the names that a protocol makes.
    pub made: &'a MadeNames,
    pub limits: Limits,
}

/// One prediction: what went in and what came out, under names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row<'a> {
    pub inputs: Object<'a>,
    pub outputs: Object<'a>,
}

/// What a protocol made of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<'a> {
    /// The word in the record's `protocol`.
    pub protocol: &'static str,
    /// What the protocol itself names.
    pub model: Option<Cow<'a, str>>,
    pub version: Option<Cow<'a, str>>,
    /// The client's id, where the protocol has a place for it.
    pub client_id: Option<ClientId<'a>>,
    /// Never empty: a call that is not split, or that could not be read, is one row.
    pub rows: Vec<Row<'a>>,
    /// `rows.len()`, but 0 for an empty batch.
    pub row_count: usize,
    /// What is wrong, if anything, with its side already said.
    pub problem: Option<Problem>,
    /// Whether the request, and the answer, were read to their ends into the rows.
    pub whole: [bool; 2],
    /// Of a stream whose protocol has an end mark: whether it came. Nothing that counts comes after it.
    pub ended: Option<bool>,
    /// What the model said went wrong, within an answer that began well.
    pub error: Option<String>,
    /// What the protocol has beside inputs and outputs, for `metadata`.
    pub metadata: Vec<(String, String)>,
    /// Declared types: column (`inputs.x`) and the protocol's word for its type.
    pub types: Vec<(Cow<'a, str>, &'static str)>,
    /// Of each side: the columns made of its only tensor, whose name says nothing of the single ones.
    pub tensors: [Vec<Cow<'a, str>>; 2],
}

/// A client's id found in the request's body, with the keys it was found under (redaction asks).
#[derive(Debug, Clone, PartialEq)]
pub struct ClientId<'a> {
    pub keys: &'static [&'static str],
    pub id: Cow<'a, str>,
}

impl<'a> Reading<'a> {
    /// One row without values.
    pub fn blank(protocol: &'static str, problem: Option<Problem>) -> Reading<'a> {
        Reading {
            protocol,
            model: None,
            version: None,
            client_id: None,
            rows: vec![Row::default()],
            row_count: 1,
            problem,
            whole: [false; 2],
            ended: None,
            error: None,
            metadata: Vec::new(),
            types: Vec::new(),
            tensors: Default::default(),
        }
    }

    /// Makes each number of what is packed a value of its own.
    pub fn spell_out(&mut self) {
        let fields = self.rows.iter_mut().flat_map(|row| row.inputs.iter_mut().chain(&mut row.outputs));
        fields.for_each(|(_, value)| value.spell_out());
    }

    pub fn status(&self) -> ParseStatus {
        self.problem.as_ref().map_or(ParseStatus::Ok, |problem| problem.status)
    }
}

#[cfg(test)]
mod tests;
