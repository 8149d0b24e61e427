//! Which keys the messages of a range have, how often, of which types; what the table's schema should have beyond the pinned one.
//!
//! Counted are rows with `parse_status` ok (or absent) and a status below 400 (or absent). A key becomes a column when at least 1 % of them have it.
//! Of several types the one that most rows have wins; what rows have otherwise lives in `_raw`.

use std::collections::HashMap;

use super::envelope;
use super::number::{self, Number};
use super::schema::{Field, KEY_BYTES_MAX, PLACES, Place, STRUCT_DEPTH_MAX, Schema, Type};
use super::tell;
use super::walk::Visitor;
use crate::source::Message;

/// Keys remembered; beyond it rare ones are forgotten, then new ones not counted. About 8 MiB.
const NODES_MAX: usize = 32_768;

/// Rows between two times of forgetting.
const FORGET_EVERY: u64 = 256;

/// Paths with a declared type.
const DECLARED_MAX: usize = 4_096;

/// `store.columns_max` unless told otherwise.
const COLUMNS_MAX: usize = 1_000;

/// Counts of keys and types.
pub struct Survey {
    columns_max: usize,
    /// Rows that count.
    rows: u64,
    tree: Tree,
    declared: HashMap<String, Type>,
    scratch: String,
    forgot_at: u64,
}

impl Default for Survey {
    fn default() -> Survey {
        Survey::new(COLUMNS_MAX)
    }
}

impl Survey {
    /// Proposes up to `columns_max` columns, pinned ones included.
    pub fn new(columns_max: usize) -> Survey {
        Survey {
            columns_max,
            rows: 0,
            tree: Tree::new(),
            declared: HashMap::new(),
            scratch: String::new(),
            forgot_at: 0,
        }
    }

    pub(super) fn set_columns_max(&mut self, columns_max: usize) {
        self.columns_max = columns_max;
    }

    /// Rows that were counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Counts a row that has nothing new.
    pub(super) fn add_known(&mut self) {
        self.rows += 1;
    }

    /// Counts a message, if it is a record whose keys count.
    pub fn add(&mut self, message: &Message) {
        if message.damaged.is_some() {
            return;
        }
        if self.tree.nodes.len() > NODES_MAX && self.rows >= self.forgot_at + FORGET_EVERY {
            self.tree.forget_rare(self.rows);
            self.forgot_at = self.rows;
        }
        self.tree.begin_row(self.rows);
        if tell::tell(message, &mut self.tree, &mut self.scratch).is_err() || !self.tree.row.counts() {
            return;
        }
        self.rows += 1;
        self.tree.commit();
        for (path, name) in std::mem::take(&mut self.tree.row.declared) {
            self.declare(path, &name);
        }
    }

    fn declare(&mut self, path: String, name: &str) {
        let Some(declared) = declared_type(name) else { return };
        let full = self.declared.len() >= DECLARED_MAX;
        match self.declared.get_mut(&path) {
            Some(known) if *known == declared => {}
            Some(known) => {
                *known = if is_numeric(known) && is_numeric(&declared) { Type::Double } else { Type::String }
            }
            None if full => {}
            None => {
                self.declared.insert(path, declared);
            }
        }
    }

    /// The next version of the pinned schema (the first, if none is pinned); `None` if there is nothing to add.
    pub fn propose(&self, pinned: Option<&Schema>) -> Option<Schema> {
        let base = pinned.cloned().unwrap_or_else(Schema::unborn);
        let mut room = self.columns_max.saturating_sub(base.columns());
        let places = [INPUTS, OUTPUTS, ROOT];
        let [inputs, outputs, extras] = std::array::from_fn(|at| {
            let (place, node): (Place, usize) = (PLACES[at], places[at]);
            let path = match place {
                Place::Inputs => "inputs.",
                Place::Outputs => "outputs.",
                Place::Extras => "",
            };
            // `inputs` is the first level; at the top level stand the columns themselves.
            let level = usize::from(place != Place::Extras);
            self.additions(node, base.fields(place), level, path, &mut room)
        });
        if inputs.is_empty() && outputs.is_empty() && extras.is_empty() {
            return None;
        }
        Some(base.merge(&Schema::of_parts(inputs, outputs, extras)))
    }

    /// What a STRUCT (or the top level) should have beyond `pinned`.
    fn additions(&self, node: usize, pinned: &[Field], level: usize, path: &str, room: &mut usize) -> Vec<Field> {
        let needed = self.rows.div_ceil(100).max(1);
        let known: HashMap<&str, &Field> = pinned.iter().map(|field| (field.key(), field)).collect();
        let mut added = Vec::new();
        for child in self.tree.nodes[node].children.iter().map(|child| *child as usize) {
            let Node { key, present, fixed, .. } = &self.tree.nodes[child];
            if fixed.is_some() || key.len() > KEY_BYTES_MAX {
                continue;
            }
            let inner = |pinned: &[Field], room: &mut usize| {
                if level == STRUCT_DEPTH_MAX {
                    return Vec::new();
                }
                self.additions(child, pinned, level + 1, &format!("{path}{key}."), room)
            };
            let data_type = match known.get(&**key) {
                Some(field) => match &field.data_type {
                    Type::Struct(fields) => match inner(fields, room) {
                        grown if grown.is_empty() => None,
                        grown => Some(Type::Struct(grown)),
                    },
                    _ => None,
                },
                None if u64::from(*present) < needed || *room == 0 => None,
                None => {
                    *room -= 1;
                    let data_type = match self.tree.nodes[child].decided() {
                        Class::Object => match inner(&[], room) {
                            fields if fields.is_empty() => None,
                            fields => Some(Type::Struct(fields)),
                        },
                        class => self.flat_type(class, path, key),
                    };
                    if data_type.is_none() {
                        *room += 1;
                    }
                    data_type
                }
            };
            added.extend(data_type.map(|data_type| Field { name: key.to_string(), key: None, id: 0, data_type }));
        }
        added
    }

    fn flat_type(&self, class: Class, path: &str, key: &str) -> Option<Type> {
        let declared = if self.declared.is_empty() { None } else { self.declared.get(&format!("{path}{key}")) };
        let scalar = |inferred: Type| declared.cloned().unwrap_or(inferred);
        let list = |element: Type| Type::List(Box::new(element));
        match class {
            Class::Bool => Some(scalar(Type::Boolean)),
            Class::Number => Some(scalar(Type::Double)),
            Class::Text => Some(scalar(Type::String)),
            Class::ListBool => Some(list(scalar(Type::Boolean))),
            Class::ListNumber => Some(list(scalar(Type::Double))),
            Class::ListText => Some(list(scalar(Type::String))),
            Class::ListListNumber => Some(list(list(Type::Double))),
            Class::Undecided | Class::Object | Class::Other => None,
        }
    }
}

/// Types as V2 and as columns are called.
fn declared_type(name: &str) -> Option<Type> {
    Some(match name {
        "BOOL" | "BOOLEAN" => Type::Boolean,
        "INT8" => Type::Int8,
        "INT16" => Type::Int16,
        "INT32" => Type::Int32,
        "INT64" => Type::Int64,
        "UINT8" => Type::Uint8,
        "UINT16" => Type::Uint16,
        "UINT32" => Type::Uint32,
        "UINT64" => Type::Uint64,
        "FP32" | "FLOAT" => Type::Float,
        "FP16" | "BF16" | "FP64" | "DOUBLE" => Type::Double,
        "BYTES" | "STRING" => Type::String,
        _ => return None,
    })
}

fn is_numeric(data_type: &Type) -> bool {
    !matches!(data_type, Type::Boolean | Type::String)
}

/// What a value decides about its column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Class {
    /// null, `[]`, `{}`, and the strings for NaN and the infinities.
    Undecided,
    Bool,
    Number,
    Text,
    ListBool,
    ListNumber,
    ListText,
    ListListNumber,
    Object,
    /// A list of what no LIST can hold.
    Other,
}

const CLASSES: [Class; 10] = [
    Class::Undecided,
    Class::Bool,
    Class::Number,
    Class::Text,
    Class::ListBool,
    Class::ListNumber,
    Class::ListText,
    Class::ListListNumber,
    Class::Object,
    Class::Other,
];

/// Weir's own fields at the top level; they are no extra columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fixed {
    Side,
    ParseStatus,
    StatusCode,
    Types,
    Other,
}

/// One key at one place.
struct Node {
    key: Box<str>,
    quoted: Box<[u8]>,
    fixed: Option<Fixed>,
    children: Vec<u32>,
    lookup: HashMap<Box<str>, u32>,
    /// The key that followed last time: of this key's object at its start, and of this key among its siblings.
    first: u32,
    next: u32,
    present: u32,
    classes: [u32; CLASSES.len()],
    /// Rows that had been counted when it was first seen.
    born: u64,
    /// The last message that had it.
    stamp: u64,
}

const ROOT: usize = 0;
const INPUTS: usize = 1;
const OUTPUTS: usize = 2;
const NOBODY: u32 = u32::MAX;

impl Node {
    fn new(key: &str, fixed: Option<Fixed>, born: u64) -> Node {
        let quoted = serde_json::to_vec(key).expect("a string has a JSON form").into();
        let (children, lookup, classes) = Default::default();
        let (first, next) = (NOBODY, NOBODY);
        Node { key: key.into(), quoted, fixed, children, lookup, first, next, present: 0, classes, born, stamp: 0 }
    }

    /// The type that most rows have; of equals the earlier in `CLASSES`.
    fn decided(&self) -> Class {
        let mut decided = Class::Undecided;
        let mut most = 0;
        for class in &CLASSES[1..] {
            let count = self.classes[*class as usize];
            if count > most {
                (decided, most) = (*class, count);
            }
        }
        decided
    }
}

/// What a message says about itself, and which keys it has.
#[derive(Default)]
struct Row {
    /// Messages so far, to tell a second occurrence.
    stamp: u64,
    /// Rows counted so far.
    counted: u64,
    touched: Vec<(u32, Class)>,
    declared: Vec<(String, String)>,
    not_ok: bool,
    failed: bool,
    no_object: bool,
}

impl Row {
    fn counts(&self) -> bool {
        !self.not_ok && !self.failed && !self.no_object
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Struct,
    List { level: u32, list: List },
    Types,
    Skip { depth: u32 },
}

/// What a list has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct List {
    /// Of its own scalars: undecided, one of the three scalars, or other.
    elements: Class,
    /// Whether a list is in it, and of what.
    nested: bool,
    inner: Class,
}

impl List {
    fn scalar(&mut self, level: u32, class: Class) {
        let seen = match level {
            1 => &mut self.elements,
            _ => &mut self.inner,
        };
        match (*seen, class) {
            (_, Class::Undecided) => {}
            (Class::Undecided, class) => *seen = class,
            (same, class) if same == class => {}
            _ => *seen = Class::Other,
        }
    }

    fn class(self) -> Class {
        match (self.nested, self.elements, self.inner) {
            (false, Class::Bool, _) => Class::ListBool,
            (false, Class::Number, _) => Class::ListNumber,
            (false, Class::Text, _) => Class::ListText,
            (true, Class::Undecided, Class::Number) => Class::ListListNumber,
            (_, Class::Undecided, Class::Undecided) => Class::Undecided,
            _ => Class::Other,
        }
    }
}

/// The keys seen; told a message's text, it notes what is in it.
struct Tree {
    nodes: Vec<Node>,
    row: Row,
    frames: Vec<Frame>,
    mode: Mode,
    /// The key at hand.
    target: Option<u32>,
    /// The key at hand in `types`.
    path: String,
}

struct Frame {
    node: u32,
    last: u32,
}

impl Tree {
    fn new() -> Tree {
        let mut tree = Tree {
            nodes: vec![Node::new("", Some(Fixed::Other), 0), Node::new("inputs", Some(Fixed::Side), 0)],
            row: Row::default(),
            frames: Vec::new(),
            mode: Mode::Struct,
            target: None,
            path: String::new(),
        };
        tree.nodes.push(Node::new("outputs", Some(Fixed::Side), 0));
        for (name, _) in envelope::RECORD {
            let node = match name {
                "inputs" => INPUTS as u32,
                "outputs" => OUTPUTS as u32,
                _ => {
                    let fixed = match name {
                        "parse_status" => Fixed::ParseStatus,
                        "status_code" => Fixed::StatusCode,
                        "types" => Fixed::Types,
                        _ => Fixed::Other,
                    };
                    tree.nodes.push(Node::new(name, Some(fixed), 0));
                    tree.nodes.len() as u32 - 1
                }
            };
            tree.nodes[ROOT].children.push(node);
            tree.nodes[ROOT].lookup.insert(name.into(), node);
        }
        tree
    }

    fn begin_row(&mut self, counted: u64) {
        self.row.stamp += 1;
        self.row.counted = counted;
        self.restart();
    }

    /// Counts what the row touched.
    fn commit(&mut self) {
        for (node, class) in self.row.touched.drain(..) {
            let node = &mut self.nodes[node as usize];
            node.present = node.present.saturating_add(1);
            let count = &mut node.classes[class as usize];
            *count = count.saturating_add(1);
        }
    }

    /// Notes the value of the key at hand; a duplicate key counts once.
    fn touch(&mut self, node: u32, class: Class) {
        let known = &mut self.nodes[node as usize];
        if known.fixed.is_none() && known.stamp != self.row.stamp {
            known.stamp = self.row.stamp;
            self.row.touched.push((node, class));
        }
    }

    fn scalar(&mut self, class: Class) {
        match &mut self.mode {
            Mode::Struct => match self.target {
                Some(node) => self.touch(node, class),
                None if self.frames.is_empty() => self.row.no_object = true,
                None => {}
            },
            Mode::List { level, list } => list.scalar(*level, class),
            Mode::Types | Mode::Skip { .. } => {}
        }
    }

    fn fixed(&self) -> Option<Fixed> {
        match (self.mode, self.target) {
            (Mode::Struct, Some(node)) => self.nodes[node as usize].fixed,
            _ => None,
        }
    }

    /// Drops keys that fewer than one row in 200 had since they were first seen, and what is below them.
    fn forget_rare(&mut self, rows: u64) {
        let old = std::mem::take(&mut self.nodes);
        let kept =
            |node: &Node| node.fixed.is_some() || u64::from(node.present) * 200 >= rows.saturating_sub(node.born);
        let mut places = vec![NOBODY; old.len()];
        let mut marked = vec![false; old.len()];
        marked[ROOT] = true;
        // Children stand after their parents.
        for at in 0..old.len() {
            if marked[at] {
                for &child in &old[at].children {
                    marked[child as usize] = kept(&old[child as usize]);
                }
            }
        }
        for (place, (at, _)) in marked.iter().enumerate().filter(|(_, marked)| **marked).enumerate() {
            places[at] = place as u32;
        }
        let place = |node: u32| places.get(node as usize).copied().unwrap_or(NOBODY);
        self.nodes = old.into_iter().zip(&marked).filter(|(_, marked)| **marked).map(|(node, _)| node).collect();
        for node in &mut self.nodes {
            node.children.retain_mut(|child| {
                *child = place(*child);
                *child != NOBODY
            });
            node.lookup.retain(|_, child| {
                *child = place(*child);
                *child != NOBODY
            });
            (node.first, node.next) = (place(node.first), place(node.next));
        }
    }

    fn follow(&self, frame: &Frame) -> u32 {
        match frame.last {
            NOBODY => self.nodes[frame.node as usize].first,
            last => self.nodes[last as usize].next,
        }
    }
}

impl Visitor for Tree {
    #[inline]
    fn expected_key(&self) -> &[u8] {
        let (Mode::Struct, Some(frame)) = (self.mode, self.frames.last()) else { return &[] };
        self.nodes.get(self.follow(frame) as usize).map_or(&[], |node| &node.quoted)
    }

    #[inline]
    fn take_expected(&mut self) {
        let next = self.follow(self.frames.last().expect("an object is open"));
        self.frames.last_mut().expect("an object is open").last = next;
        self.target = Some(next);
    }

    fn key(&mut self, key: &str) {
        match self.mode {
            Mode::Struct => {}
            Mode::Types => {
                key.clone_into(&mut self.path);
                return;
            }
            Mode::List { .. } | Mode::Skip { .. } => return,
        }
        let (parent, last) = match self.frames.last() {
            Some(frame) => (frame.node as usize, frame.last),
            None => return,
        };
        let node = match self.nodes[parent].lookup.get(key) {
            Some(&node) => node,
            // Some room beyond the mark, so that a row of many new keys is not cut in half at once.
            None if self.nodes.len() < 2 * NODES_MAX => {
                let node = self.nodes.len() as u32;
                self.nodes.push(Node::new(key, None, self.row.counted));
                self.nodes[parent].children.push(node);
                self.nodes[parent].lookup.insert(key.into(), node);
                node
            }
            None => {
                self.target = None;
                return;
            }
        };
        match last {
            NOBODY => self.nodes[parent].first = node,
            last => self.nodes[last as usize].next = node,
        }
        self.frames.last_mut().expect("an object is open").last = node;
        self.target = Some(node);
    }

    fn null(&mut self) {
        self.scalar(Class::Undecided);
    }

    fn boolean(&mut self, _: bool) {
        self.scalar(Class::Bool);
    }

    #[inline]
    fn number(&mut self, number: Number<'_>) {
        if self.fixed() == Some(Fixed::StatusCode) && number.int.is_some_and(|status| status >= 400) {
            self.row.failed = true;
        }
        self.scalar(if number.value.is_nan() || number.text.ends_with('y') { Class::Undecided } else { Class::Number });
    }

    #[inline]
    fn string(&mut self, value: &str) {
        if self.mode == Mode::Types {
            if self.row.declared.len() < DECLARED_MAX {
                self.row.declared.push((self.path.clone(), value.to_owned()));
            }
            return;
        }
        if self.fixed() == Some(Fixed::ParseStatus) && value != "ok" {
            self.row.not_ok = true;
        }
        self.scalar(if number::not_finite(value).is_some() { Class::Undecided } else { Class::Text });
    }

    fn begin_object(&mut self) {
        match self.mode {
            Mode::Struct if self.frames.is_empty() => self.frames.push(Frame { node: ROOT as u32, last: NOBODY }),
            Mode::Struct => {
                let Some(target) = self.target else { return self.mode = Mode::Skip { depth: 1 } };
                match self.nodes[target as usize].fixed {
                    Some(Fixed::Types) => return self.mode = Mode::Types,
                    Some(Fixed::Side) | None => {}
                    Some(_) => return self.mode = Mode::Skip { depth: 1 },
                }
                // The root is open too; deeper STRUCTs are never proposed.
                if self.frames.len() > STRUCT_DEPTH_MAX {
                    self.touch(target, Class::Object);
                    return self.mode = Mode::Skip { depth: 1 };
                }
                self.frames.push(Frame { node: target, last: NOBODY });
            }
            Mode::List { level, mut list } => {
                list.elements = Class::Other;
                // What is in it does not matter: its keys are skipped with it.
                self.finish_list(list);
                self.mode = Mode::Skip { depth: level + 1 };
            }
            Mode::Types => self.mode = Mode::Skip { depth: 2 },
            Mode::Skip { depth } => self.mode = Mode::Skip { depth: depth + 1 },
        }
    }

    fn end_object(&mut self) {
        match self.mode {
            Mode::Struct => {
                if let Some(Frame { node, last }) = self.frames.pop() {
                    self.touch(node, if last == NOBODY { Class::Undecided } else { Class::Object });
                }
            }
            Mode::Types => self.mode = Mode::Struct,
            Mode::Skip { depth } => self.end_skipped(depth),
            Mode::List { .. } => unreachable!("objects end lists when they begin"),
        }
    }

    fn begin_array(&mut self) {
        let fresh = List { elements: Class::Undecided, nested: false, inner: Class::Undecided };
        match self.mode {
            Mode::Struct if self.frames.is_empty() => {
                self.row.no_object = true;
                self.mode = Mode::Skip { depth: 1 };
            }
            Mode::Struct => match self.target {
                Some(_) => self.mode = Mode::List { level: 1, list: fresh },
                None => self.mode = Mode::Skip { depth: 1 },
            },
            Mode::List { level: 1, mut list } => {
                list.nested = true;
                self.mode = Mode::List { level: 2, list };
            }
            Mode::List { level, mut list } => {
                list.elements = Class::Other;
                self.finish_list(list);
                self.mode = Mode::Skip { depth: level + 1 };
            }
            Mode::Types => self.mode = Mode::Skip { depth: 2 },
            Mode::Skip { depth } => self.mode = Mode::Skip { depth: depth + 1 },
        }
    }

    fn end_array(&mut self) {
        match self.mode {
            Mode::List { level: 1, list } => {
                self.finish_list(list);
                self.mode = Mode::Struct;
            }
            Mode::List { list, .. } => self.mode = Mode::List { level: 1, list },
            Mode::Skip { depth } => self.end_skipped(depth),
            Mode::Struct | Mode::Types => unreachable!("an array is a list or skipped"),
        }
    }

    fn restart(&mut self) {
        self.frames.clear();
        self.mode = Mode::Struct;
        self.target = None;
        self.row.stamp += 1;
        self.row.touched.clear();
        self.row.declared.clear();
        (self.row.not_ok, self.row.failed, self.row.no_object) = (false, false, false);
    }

    fn altered(&mut self) {}
}

impl Tree {
    fn finish_list(&mut self, list: List) {
        if let Some(target) = self.target {
            self.touch(target, list.class());
        }
    }

    fn end_skipped(&mut self, depth: u32) {
        self.mode = if depth == 1 { Mode::Struct } else { Mode::Skip { depth: depth - 1 } };
    }
}
