//! The record's columns, written by a walk over its text.

use std::collections::{HashMap, HashSet};

use arrow_array::ArrayRef;
use arrow_schema::{ArrowError, DataType, Fields, Schema as ArrowSchema};
use xxhash_rust::xxh3::xxh3_64;

use super::columns::{Column, Fit, Leaf, Scalar};
use super::envelope;
use super::schema::{Field, Schema};

mod visit;

/// Entries of one MAP whose keys are compared with a new one; of more, their hashes are.
const MAP_ENTRIES_COMPARED: usize = 16;

/// A place in the record: a column, and for objects the keys that have one.
pub(super) struct Node {
    column: Column,
    pub children: Vec<Child>,
    /// Key to its place in `children`.
    pub lookup: HashMap<Box<str>, usize>,
    /// Which child followed the child before last time; place 0 is for the first key.
    follow: Vec<usize>,
    /// False for `inputs` and `outputs` while no field of them is known: Parquet has no empty STRUCT.
    emitted: bool,
}

pub(super) struct Child {
    /// The key with its quotes, as JSON text.
    quoted: Vec<u8>,
    pub node: usize,
}

pub(super) const ROOT: usize = 0;

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
pub(super) struct Rows {
    pub nodes: Vec<Node>,
    /// The row that is written.
    pub row: usize,
    frames: Vec<Frame>,
    mode: Mode,
    /// Hashes of the keys of the MAP at hand, if it is long. Equal ones of two keys cost no more than a `_raw`.
    map_keys: HashSet<u64>,
    target: Option<usize>,
    pub misfit: bool,
    /// Whether the row's columns may hold something.
    pub written: bool,
    /// What the text is, if it is no object.
    pub no_object: Option<&'static str>,
}

impl Rows {
    pub fn new(schema: &Schema, arrow: &ArrowSchema) -> Rows {
        let root = Node::new(Column::new(&DataType::Struct(Fields::empty())));
        let mut rows = Rows {
            nodes: vec![root],
            row: 0,
            frames: Vec::new(),
            mode: Mode::Struct,
            map_keys: HashSet::new(),
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

    pub fn leaf(&self, node: usize) -> &Leaf {
        match &self.nodes[node].column {
            Column::Leaf(leaf) => leaf,
            _ => unreachable!("a flat column"),
        }
    }

    /// Everything that the row wrote, in open LISTs, MAPs and STRUCTs too.
    pub fn take_back(&mut self) {
        for node in &mut self.nodes {
            node.column.truncate(self.row);
        }
    }

    pub fn finish(&mut self, fields: &Fields) -> Result<Vec<ArrayRef>, ArrowError> {
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
                (&mut **keys, &mut **values, *ends.last().expect("offsets begin with 0") as usize)
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
                let Some(values) = self.map_value(node) else { return };
                if values.push(scalar) == Fit::Misfit {
                    values.push_null();
                    self.misfit = true;
                }
            }
            Mode::Skip { .. } => {}
        }
    }

    /// Where the value at hand goes in an open MAP; `None` under a repeated key.
    fn map_value(&mut self, node: usize) -> Option<&mut Leaf> {
        let (keys, values, _) = self.map_of(node);
        (values.len() < keys.len()).then_some(values)
    }

    /// A key of an open MAP. Of a repeated one the first counts, as everywhere; engines refuse a MAP that has a key twice.
    fn map_key(&mut self, node: usize, key: &str) {
        let (keys, _, first) = self.map_of(node);
        let repeated = match keys.len() - first {
            0..MAP_ENTRIES_COMPARED => (first..keys.len()).any(|at| keys.text_at(at) == Some(key.as_bytes())),
            _ => self.long_map_has(node, key),
        };
        if repeated {
            self.misfit = true;
            return;
        }
        let fit = self.map_of(node).0.push(Scalar::Text(key));
        debug_assert_eq!(fit, Fit::Exact);
    }

    /// The same question to a long MAP; the key is remembered.
    fn long_map_has(&mut self, node: usize, key: &str) -> bool {
        let mut seen = std::mem::take(&mut self.map_keys);
        let (keys, _, first) = self.map_of(node);
        if keys.len() - first == MAP_ENTRIES_COMPARED {
            seen.clear();
            seen.extend((first..keys.len()).filter_map(|at| keys.text_at(at)).map(xxh3_64));
        }
        let new = seen.insert(xxh3_64(key.as_bytes()));
        self.map_keys = seen;
        !new
    }

    /// A MAP's value is an object or array.
    fn map_nested(&mut self, node: usize) {
        if let Some(values) = self.map_value(node) {
            values.push_null();
        }
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
        if let Some(before) = self.lookup.insert(key.into(), slot) {
            // A MAP beside a STRUCT takes the key's values; the other is null. No key is these bytes, which are no text.
            self.children[before].quoted = vec![0xff; 3];
        }
        // At first the schema's own order is expected.
        self.follow.push(slot + 1);
    }
}
