//! Messages -> rows of a batch. A message is exactly one row, whatever is in it; a broken one takes back what it wrote.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Fields, Schema as ArrowSchema};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::columns::{Column, Fit, Leaf, Scalar};
use super::envelope;
use super::number::Number;
use super::schema::{Field, Schema};
use super::tell;
use super::walk::Visitor;
use crate::source::Message;

/// Rows of a batch (notes of the drain: as fast as 4,096, a third less memory).
pub(super) const BATCH_ROWS: usize = 1_024;

/// Bytes of messages after which a batch is closed early, so that large records do not make large batches.
const BATCH_BYTES: usize = 8 << 20;

/// Entries of one MAP that are compared for duplicate keys; of a longer one the row keeps its `_raw`.
const MAP_ENTRIES_COMPARED: usize = 256;

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

/// A place in the record: a column, and for objects the keys that have one.
struct Node {
    column: Column,
    children: Vec<Child>,
    /// Key to its place in `children`.
    lookup: HashMap<Box<str>, usize>,
    /// Which child followed the child before last time; place 0 is for the first key.
    follow: Vec<usize>,
    /// False for `inputs` and `outputs` while no field of them is known: Parquet has no empty STRUCT.
    emitted: bool,
}

struct Child {
    /// The key with its quotes, as JSON text.
    quoted: Vec<u8>,
    node: usize,
}

const ROOT: usize = 0;

/// Where the walk stands.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// In an object with columns; values go to `target`.
    Struct,
    List {
        node: usize,
        level: usize,
    },
    Map {
        node: usize,
    },
    /// In what has no column, so many levels deep; then back to the MAP it stands in, or to the object.
    Skip {
        depth: usize,
        map: Option<usize>,
    },
}

struct Frame {
    node: usize,
    /// Place in `follow`: one after the last child's.
    last: usize,
}

/// The record's columns, written by a walk.
struct Rows {
    nodes: Vec<Node>,
    /// The row that is written.
    row: usize,
    frames: Vec<Frame>,
    mode: Mode,
    target: Option<usize>,
    misfit: bool,
    /// Whether the row's columns may hold something.
    written: bool,
    /// What the text is, if it is no object.
    no_object: Option<&'static str>,
}

impl Rows {
    fn new(schema: &Schema, arrow: &ArrowSchema) -> Rows {
        let root = Node::new(Column::new(&DataType::Struct(Fields::empty())));
        let mut rows = Rows {
            nodes: vec![root],
            row: 0,
            frames: Vec::new(),
            mode: Mode::Struct,
            target: None,
            misfit: false,
            written: false,
            no_object: None,
        };
        for (name, _) in envelope::RECORD {
            let fields: &[Field] = match name {
                "inputs" => schema.inputs(),
                "outputs" => schema.outputs(),
                _ => &[],
            };
            let node = match arrow.field_with_name(name) {
                Ok(field) => rows.add(field.data_type(), fields),
                Err(_) => {
                    let node = rows.add(&DataType::Struct(Fields::empty()), &[]);
                    rows.nodes[node].emitted = false;
                    node
                }
            };
            rows.nodes[ROOT].add_child(name, node);
            if name == "outputs" {
                let emitted = Schema::emitted(schema.extras());
                for field in emitted {
                    let data_type = arrow.field_with_name(&field.name).expect("an extra column").data_type();
                    let node = rows.add(data_type, field.children());
                    rows.nodes[ROOT].add_child(field.key(), node);
                }
            }
        }
        rows
    }

    fn add(&mut self, data_type: &DataType, fields: &[Field]) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node::new(Column::new(data_type)));
        if let DataType::Struct(inner) = data_type {
            for (field, arrow) in Schema::emitted(fields).zip(inner) {
                let child = self.add(arrow.data_type(), field.children());
                self.nodes[node].add_child(field.key(), child);
            }
        }
        node
    }

    fn leaf(&self, node: usize) -> &Leaf {
        match &self.nodes[node].column {
            Column::Leaf(leaf) => leaf,
            _ => unreachable!("a flat column"),
        }
    }

    /// Everything that the row wrote, in open LISTs, MAPs and STRUCTs too.
    fn take_back(&mut self) {
        for node in &mut self.nodes {
            node.column.truncate(self.row);
        }
    }

    fn finish(&mut self, fields: &Fields) -> Result<Vec<ArrayRef>, ArrowError> {
        let children: Vec<usize> = self.nodes[ROOT].children.iter().map(|child| child.node).collect();
        for &node in &children {
            if !self.nodes[node].emitted {
                self.nodes[node].column.truncate(0);
            }
        }
        let emitted = children.into_iter().filter(|&node| self.nodes[node].emitted).collect::<Vec<_>>();
        emitted.into_iter().zip(fields).map(|(node, field)| self.finish_node(node, field.data_type())).collect()
    }

    fn finish_node(&mut self, node: usize, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let mut arrays = Vec::new();
        if let DataType::Struct(fields) = data_type {
            for (slot, field) in fields.iter().enumerate() {
                let child = self.nodes[node].children[slot].node;
                arrays.push(self.finish_node(child, field.data_type())?);
            }
        }
        let column = &mut self.nodes[node].column;
        column.fill_to(self.row);
        column.finish(data_type, arrays)
    }

    /// The column that takes the value at hand, filled up to this row; `None` (and a misfit) if it has one already.
    #[inline]
    fn vacant(&mut self, node: usize) -> Option<&mut Column> {
        let column = &mut self.nodes[node].column;
        if column.len() > self.row {
            // A duplicate key: the first one counts.
            self.misfit = true;
            return None;
        }
        column.fill_to(self.row);
        Some(column)
    }

    /// Steps over the object or array that begins, in an object with columns.
    fn skip(&mut self) {
        self.misfit = true;
        self.mode = Mode::Skip { depth: 1, map: None };
    }

    /// The LIST at hand holds something that it cannot: the column is null in this row. `open` levels are left to skip.
    #[cold]
    fn abandon_list(&mut self, node: usize, open: usize) {
        let column = &mut self.nodes[node].column;
        column.truncate(self.row);
        column.push_null();
        self.misfit = true;
        self.mode = Mode::Skip { depth: open, map: None };
    }

    fn map_of(&mut self, node: usize) -> (&mut Leaf, &mut Leaf, usize) {
        match &mut self.nodes[node].column {
            Column::Map { ends, keys, values, .. } => {
                (keys, values, *ends.last().expect("offsets begin with 0") as usize)
            }
            _ => unreachable!("a MAP is open"),
        }
    }

    #[inline]
    fn scalar(&mut self, scalar: Scalar<'_>) {
        match self.mode {
            Mode::Struct => {
                let Some(node) = self.target else {
                    self.misfit = true;
                    if self.frames.is_empty() {
                        self.no_object = Some("a bare value");
                    }
                    return;
                };
                let Some(column) = self.vacant(node) else { return };
                let fit = match column {
                    Column::Leaf(leaf) => leaf.push(scalar),
                    _ => Fit::Misfit,
                };
                if fit == Fit::Misfit {
                    column.push_null();
                    self.misfit = true;
                }
            }
            Mode::List { node, level } => {
                let fit = match self.nodes[node].column.element_mut(level) {
                    Column::Leaf(leaf) => leaf.push(scalar),
                    _ => Fit::Misfit,
                };
                if fit == Fit::Misfit {
                    self.abandon_list(node, level);
                }
            }
            Mode::Map { node } => {
                let (_, values, _) = self.map_of(node);
                if values.push(scalar) == Fit::Misfit {
                    values.push_null();
                    self.misfit = true;
                }
            }
            Mode::Skip { .. } => {}
        }
    }

    /// A key of an open MAP.
    fn map_key(&mut self, node: usize, key: &str) {
        let (keys, _, first) = self.map_of(node);
        let entries = keys.len() - first;
        let known = |at: usize| keys.text_at(at) == Some(key.as_bytes());
        let doubtful = entries >= MAP_ENTRIES_COMPARED || (first..keys.len()).any(known);
        let fit = keys.push(Scalar::Text(key));
        debug_assert_eq!(fit, Fit::Exact);
        self.misfit |= doubtful;
    }

    /// A MAP's value is an object or array.
    fn map_nested(&mut self, node: usize) {
        self.map_of(node).1.push_null();
        self.misfit = true;
        self.mode = Mode::Skip { depth: 1, map: Some(node) };
    }

    fn end_skipped(&mut self, depth: usize, map: Option<usize>) {
        self.mode = match (depth, map) {
            (1, Some(node)) => Mode::Map { node },
            (1, None) => Mode::Struct,
            _ => Mode::Skip { depth: depth - 1, map },
        };
    }
}

impl Node {
    fn new(column: Column) -> Node {
        Node { column, children: Vec::new(), lookup: HashMap::new(), follow: vec![0], emitted: true }
    }

    fn add_child(&mut self, key: &str, node: usize) {
        let slot = self.children.len();
        let quoted = serde_json::to_vec(key).expect("a string has a JSON form");
        self.children.push(Child { quoted, node });
        self.lookup.insert(key.into(), slot);
        // At first the schema's own order is expected.
        self.follow.push(slot + 1);
    }
}

impl Visitor for Rows {
    #[inline]
    fn expected_key(&self) -> &[u8] {
        let (Mode::Struct, Some(frame)) = (self.mode, self.frames.last()) else { return &[] };
        let node = &self.nodes[frame.node];
        node.children.get(node.follow[frame.last]).map_or(&[], |child| &child.quoted)
    }

    #[inline]
    fn take_expected(&mut self) {
        let frame = self.frames.last_mut().expect("an object is open");
        let node = &self.nodes[frame.node];
        let slot = node.follow[frame.last];
        frame.last = slot + 1;
        self.target = Some(node.children[slot].node);
    }

    fn key(&mut self, key: &str) {
        match self.mode {
            Mode::Struct => {
                let frame = self.frames.last_mut().expect("an object is open");
                let node = &mut self.nodes[frame.node];
                self.target = match node.lookup.get(key) {
                    Some(&slot) => {
                        node.follow[frame.last] = slot;
                        frame.last = slot + 1;
                        Some(node.children[slot].node)
                    }
                    None => None,
                };
            }
            Mode::Map { node } => self.map_key(node, key),
            Mode::List { .. } | Mode::Skip { .. } => {}
        }
    }

    fn null(&mut self) {
        match self.mode {
            Mode::Struct => match self.target {
                // A field without a column and without a value is as absent as one with a column.
                None if self.frames.is_empty() => self.no_object = Some("null"),
                None => {}
                Some(node) => {
                    if let Some(column) = self.vacant(node) {
                        column.push_null();
                    }
                }
            },
            Mode::List { node, level } => self.nodes[node].column.element_mut(level).push_null(),
            Mode::Map { node } => self.map_of(node).1.push_null(),
            Mode::Skip { .. } => {}
        }
    }

    fn boolean(&mut self, value: bool) {
        self.scalar(Scalar::Bool(value));
    }

    #[inline]
    fn number(&mut self, number: Number<'_>) {
        self.scalar(Scalar::Number(number));
    }

    #[inline]
    fn string(&mut self, value: &str) {
        self.scalar(Scalar::Text(value));
    }

    fn begin_object(&mut self) {
        match self.mode {
            Mode::Struct if self.frames.is_empty() => {
                self.written = true;
                self.frames.push(Frame { node: ROOT, last: 0 });
            }
            Mode::Struct => {
                let Some(node) = self.target else { return self.skip() };
                match self.vacant(node) {
                    Some(column @ Column::Struct { .. }) => {
                        column.close();
                        self.frames.push(Frame { node, last: 0 });
                    }
                    Some(Column::Map { .. }) => self.mode = Mode::Map { node },
                    Some(column) => {
                        column.push_null();
                        self.skip();
                    }
                    None => self.skip(),
                }
            }
            Mode::List { node, level } => self.abandon_list(node, level + 1),
            Mode::Map { node } => self.map_nested(node),
            Mode::Skip { depth, map } => self.mode = Mode::Skip { depth: depth + 1, map },
        }
    }

    fn end_object(&mut self) {
        match self.mode {
            Mode::Struct => {
                self.frames.pop();
            }
            Mode::Map { node } => {
                self.nodes[node].column.close();
                self.mode = Mode::Struct;
            }
            Mode::List { .. } => unreachable!("objects end LISTs when they begin"),
            Mode::Skip { depth, map } => self.end_skipped(depth, map),
        }
    }

    fn begin_array(&mut self) {
        match self.mode {
            Mode::Struct if self.frames.is_empty() => {
                self.no_object = Some("an array");
                self.skip();
            }
            Mode::Struct => {
                let Some(node) = self.target else { return self.skip() };
                match self.vacant(node) {
                    Some(Column::List { .. }) => self.mode = Mode::List { node, level: 1 },
                    Some(column) => {
                        column.push_null();
                        self.skip();
                    }
                    None => self.skip(),
                }
            }
            Mode::List { node, level } if level < self.nodes[node].column.list_levels() => {
                self.mode = Mode::List { node, level: level + 1 };
            }
            Mode::List { node, level } => self.abandon_list(node, level + 1),
            Mode::Map { node } => self.map_nested(node),
            Mode::Skip { depth, map } => self.mode = Mode::Skip { depth: depth + 1, map },
        }
    }

    fn end_array(&mut self) {
        match self.mode {
            Mode::List { node, level } => {
                self.nodes[node].column.element_mut(level - 1).close();
                self.mode = if level > 1 { Mode::List { node, level: level - 1 } } else { Mode::Struct };
            }
            Mode::Skip { depth, map } => self.end_skipped(depth, map),
            Mode::Struct | Mode::Map { .. } => unreachable!("an array is a LIST or skipped"),
        }
    }

    fn restart(&mut self) {
        if self.written {
            self.take_back();
            self.written = false;
        }
        self.frames.clear();
        self.mode = Mode::Struct;
        self.target = None;
        self.misfit = false;
        self.no_object = None;
    }

    fn altered(&mut self) {
        self.misfit = true;
    }
}
