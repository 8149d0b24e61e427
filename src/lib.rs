//! weir is put in front of model servers: every prediction becomes a record in a durable local log (and on Kafka, if
//! there is one) and a row in Parquet in a folder or on S3. The model's code does not change, and recording never slows
//! or fails a prediction.
//!
//! # Order of duties
//! Every conflict is settled by this list, first wins.
//! 1. The client's answer is never changed, delayed or failed by recording.
//! 2. No record is lost without being counted, with a reason.
//! 3. Memory and disk have a ceiling that the configuration states.
//! 4. Throughput.
//! 5. Convenience.
//!
//! # The path of a record
//! ```text
//!  client --> gateway ----------------> model server       streamed, never buffered
//!                | tee: capped copy of both bodies
//!                v
//!             handoff                                      bounded by count and bytes; offer never waits
//!                v
//!             recorders (threads)                          recognise, split rows, redact, encode
//!                | (names that bodies lack: `discover` asks the model server, beside this path)
//!                v
//!             log: durable local segments, in lanes        the only buffer that can grow
//!                |-- no Kafka ----------------> drain --> Parquet in a folder or on S3
//!                '-- publisher --> Kafka topic -> drain --> Parquet in a folder or on S3
//! ```
//! One verb per step, used for the function, the metric and the log word: *accept, admit, route, forward, tee, finish,
//! offer* | *assemble, redact, encode, append* | *deliver* | *collect, spool, seal, write, store, commit*.
//!
//! The module list below is that path. **No module refers to one declared after it**: each stage owns the type that
//! leaves it and takes its predecessor's; nobody calls forward; [`app`] connects them. So the reading order, the flow of
//! data and the order of dependencies are one list; a test keeps it.
//!
//! | to see | read |
//! |---|---|
//! | the life of a request | [`gateway`] |
//! | what is kept of a body | [`gateway`]'s tee, [`gateway::exchange::Captured`] |
//! | why memory is bounded | [`handoff`], the capture budget in [`gateway`] |
//! | how a body becomes rows | [`protocol`] |
//! | where names come from | [`record`]'s assembly, [`protocol::columns`], [`discover`] |
//! | what must not be kept | [`record`]'s redaction, the one choke point before the log |
//! | the log's format, and what survives what | [`log`] |
//! | why nothing is lost or doubled | [`drain`]'s chain: the object is the commit |
//! | the columns of a table | [`table`] |
//! | why a record is missing | [`ledger`] |
//! | the order of stopping | [`app`] |
//!
//! # Invariants
//! - The gateway never waits for recording: it offers an exchange and goes on.
//! - `seen = logged + pending + dropped{reason} + unsampled`, in calls; `appended = delivered + backlog` and
//!   `consumed = stored + resent`, in rows; exact at every quiescent point, also across kill -9 ([`ledger`]).
//! - Whatever holds bytes holds a permit for them; nothing unbounded exists.
//! - The gateway knows no Kafka, the drain knows no HTTP.
//! - A file is named by its chain and the *first* offset it holds, and is created at most once. Its footer says where the
//!   next one starts. Kafka's committed offset is a hint.
//! - Pure modules (protocols, records, the chain, triggers, schemas) read no clock and do no I/O; time is an argument.
//! - Deliberately absent: global state, plug-ins, retries of requests that a model may have read, background tasks nobody
//!   joins.

pub mod config;
pub mod ledger;
pub mod telemetry;
pub mod gateway;
pub mod handoff;
pub mod protocol;
pub mod record;
pub mod discover;
pub mod log;
pub mod publish;
pub mod source;
pub mod table;
pub mod drain;
pub mod admin;
pub mod app;
pub mod command;
