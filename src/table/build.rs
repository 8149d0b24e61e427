//! Messages -> rows of a batch. A message is exactly one row, whatever is in it; a broken one takes back what it wrote.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Schema as ArrowSchema};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::columns::{Fit, Leaf, Scalar};
use super::rows::{ROOT, Rows};
use super::schema::Schema;
use super::tell;
use super::walk::Visitor;
use crate::source::Message;

/// Rows of a batch (notes of the drain: as fast as 4,096, a third less memory).
pub(super) const BATCH_ROWS: usize = 1_024;

/// Bytes of messages after which a batch is closed early, so that large records do not make large batches.
const BATCH_BYTES: usize = 8 << 20;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    Row,
    /// No record: `_quarantined` is true, `_error` says why, `_raw` holds what came.
    Quarantined,
}

/// What became of a message, for the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pushed {
    pub kind: RowKind,
    /// `_raw` was needed.
    pub misfit: bool,
    /// `parse_status` is ok or absent, the status below 400 or absent: its keys count.
    pub eligible: bool,
}

/// Rows of one file, batch by batch.
pub(super) struct Builder {
    arrow: Arc<ArrowSchema>,
    rows: Rows,
    system: System,
    topic: Arc<str>,
    partition: i64,
    parse_status: usize,
    status_code: usize,
    /// Bytes of the batch's messages.
    bytes: usize,
    scratch: String,
}

/// The leaves of `envelope::SYSTEM`, in its order.
struct System {
    raw: Leaf,
    source: Leaf,
    seq: Leaf,
    topic: Leaf,
    partition: Leaf,
    offset: Leaf,
    key: Leaf,
    timestamp: Leaf,
    quarantined: Leaf,
    error: Leaf,
}

impl System {
    fn in_order(&mut self) -> [&mut Leaf; 10] {
        let System { raw, source, seq, topic, partition, offset, key, timestamp, quarantined, error } = self;
        [raw, source, seq, topic, partition, offset, key, timestamp, quarantined, error]
    }
}

impl Builder {
    pub fn new(schema: &Schema, topic: &str, partition: u32) -> Builder {
        let arrow = Arc::new(schema.arrow());
        let leaf = |name: &str| Leaf::new(arrow.field_with_name(name).expect("a fixed column").data_type());
        let system = System {
            raw: leaf("_raw"),
            source: leaf("_source"),
            seq: leaf("_seq"),
            topic: leaf("_topic"),
            partition: leaf("_partition"),
            offset: leaf("_offset"),
            key: leaf("_key"),
            timestamp: leaf("_timestamp"),
            quarantined: leaf("_quarantined"),
            error: leaf("_error"),
        };
        let rows = Rows::new(schema, &arrow);
        let place = |name: &str| rows.nodes[ROOT].lookup[name];
        let (parse_status, status_code) = (place("parse_status"), place("status_code"));
        let node_of = |slot: usize| rows.nodes[ROOT].children[slot].node;
        let (parse_status, status_code) = (node_of(parse_status), node_of(status_code));
        Builder {
            arrow,
            system,
            topic: topic.into(),
            partition: i64::from(partition),
            parse_status,
            status_code,
            bytes: 0,
            scratch: String::new(),
            rows,
        }
    }

    pub fn arrow(&self) -> &Arc<ArrowSchema> {
        &self.arrow
    }

    /// Rows of the open batch.
    pub fn rows(&self) -> usize {
        self.rows.row
    }

    /// Message bytes of the open batch.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_full(&self) -> bool {
        self.rows.row >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Adds the message's row.
    pub fn push(&mut self, message: &Message) -> Pushed {
        let row = self.rows.row;
        let pushed = match self.read(message) {
            Ok(misfit) => {
                if misfit && let Some(raw) = tell::raw(message) {
                    push_text(&mut self.system.raw, row, &raw);
                }
                let text_is_ok = |text: &[u8]| text == b"ok";
                let ok = self.rows.leaf(self.parse_status).text_at(row).is_none_or(text_is_ok);
                let answered = self.rows.leaf(self.status_code).int_at(row).is_none_or(|status| status < 400);
                Pushed { kind: RowKind::Row, misfit, eligible: ok && answered }
            }
            Err(why) => {
                self.rows.take_back();
                self.quarantine(message, &why);
                Pushed { kind: RowKind::Quarantined, misfit: false, eligible: false }
            }
        };
        self.describe(message, pushed.kind);
        self.bytes += message.value.as_ref().map_or(0, |value| value.len());
        self.rows.row += 1;
        self.rows.written = false;
        pushed
    }

    /// Fills the record's columns; true if the row does not fit them exactly.
    ///
    /// # Errors
    /// Why the message is no record; columns may have been written.
    fn read(&mut self, message: &Message) -> Result<bool, String> {
        undamaged(message)?;
        self.rows.restart();
        let whole = tell::tell(message, &mut self.rows, &mut self.scratch)?;
        match self.rows.no_object {
            Some(what) => Err(format!("not a record: {what} instead of an object")),
            None => Ok(self.rows.misfit || !whole),
        }
    }

    fn quarantine(&mut self, message: &Message, why: &str) {
        let row = self.rows.row;
        push_text(&mut self.system.error, row, why);
        if let Some(value) = &message.value {
            match std::str::from_utf8(value) {
                Ok(text) if !why.starts_with("base64:") => push_text(&mut self.system.raw, row, text),
                _ => push_text(&mut self.system.raw, row, &BASE64.encode(value)),
            }
        }
    }

    /// The columns that come from the message's own facts.
    fn describe(&mut self, message: &Message, kind: RowKind) {
        let row = self.rows.row;
        let system = &mut self.system;
        if let Some(source) = &message.source {
            push_text(&mut system.source, row, source);
        }
        push_text(&mut system.topic, row, &self.topic);
        push_int(&mut system.seq, row, message.seq.and_then(|seq| i64::try_from(seq).ok()));
        push_int(&mut system.partition, row, Some(self.partition));
        // Required: Kafka's offsets and a log's seqs are far below.
        push_int(&mut system.offset, row, Some(i64::try_from(message.offset).unwrap_or(i64::MAX)));
        push_int(&mut system.timestamp, row, message.timestamp_ms.checked_mul(1_000));
        if let Some(key) = &message.key {
            system.key.fill_to(row);
            system.key.push_bytes(key);
        }
        let fit = system.quarantined.push(Scalar::Bool(kind == RowKind::Quarantined));
        debug_assert_eq!(fit, Fit::Exact);
    }

    /// Closes the batch and begins the next.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let rows = self.rows.row;
        let mut arrays = self.rows.finish(self.arrow.fields())?;
        let first = arrays.len();
        for (leaf, field) in self.system.in_order().into_iter().zip(&self.arrow.fields()[first..]) {
            leaf.fill_to(rows);
            arrays.push(leaf.finish(field.data_type())?);
        }
        self.rows.row = 0;
        self.bytes = 0;
        RecordBatch::try_new(self.arrow.clone(), arrays)
    }
}

fn undamaged(message: &Message) -> Result<(), String> {
    let Some(damaged) = &message.damaged else { return Ok(()) };
    let first = message.seq.unwrap_or(message.offset);
    let last = damaged.next.saturating_sub(1).max(first);
    Err(format!("damaged: the log's rows with seq {first} to {last} cannot be read: {}", damaged.why))
}

fn push_text(leaf: &mut Leaf, row: usize, text: &str) {
    leaf.fill_to(row);
    let fit = leaf.push(Scalar::Text(text));
    debug_assert_eq!(fit, Fit::Exact);
}

fn push_int(leaf: &mut Leaf, row: usize, value: Option<i64>) {
    if let Some(value) = value {
        leaf.fill_to(row);
        leaf.push_int(value);
    }
}
