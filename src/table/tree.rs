//! The keys that were seen, by place: how often, with values of which classes. Bounded, whatever the messages hold.

use std::collections::HashMap;

use super::class::{CLASSES, Class, List};
use super::envelope;
use super::walk::Visitor;

mod visit;

/// Keys remembered, and bytes of them; beyond it rare ones are forgotten, at twice as many new ones are not counted. At most some 30 MiB in all.
pub(super) const NODES_MAX: usize = 32_768;
pub(super) const NAMES_BYTES_MAX: usize = 2 << 20;

/// Fewer keys than this make columns, however they vary.
pub(super) const MAP_KEYS_MIN: usize = 20;

/// Paths with a declared type.
pub(super) const DECLARED_MAX: usize = 4_096;

/// Weir's own fields at the top level; they are no extra columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fixed {
    Side,
    ParseStatus,
    StatusCode,
    Types,
    Other,
}

/// One key at one place.
pub(super) struct Node {
    pub key: Box<str>,
    quoted: Box<[u8]>,
    pub fixed: Option<Fixed>,
    pub children: Vec<u32>,
    pub lookup: HashMap<Box<str>, u32>,
    /// The key that followed last time: of this key's object at its start, and of this key among its siblings.
    first: u32,
    next: u32,
    pub present: u32,
    classes: [u32; CLASSES.len()],
    /// Rows that had been counted when it was first seen.
    born: u64,
    /// The last message that had it.
    stamp: u64,
    forgotten: Forgotten,
}

/// Which keys are forgotten.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rare {
    /// Those that fewer than one row in 200, half of what makes a column, had since they were first seen.
    Half,
    /// Those that no more than one row had.
    Single,
}

/// What is left of an object's keys that were dropped.
#[derive(Default)]
struct Forgotten {
    keys: u64,
    present: u64,
    numbers: u64,
    others: u64,
}

pub(super) const ROOT: usize = 0;
pub(super) const INPUTS: usize = 1;
pub(super) const OUTPUTS: usize = 2;
const NOBODY: u32 = u32::MAX;

impl Node {
    fn new(key: &str, fixed: Option<Fixed>, born: u64) -> Node {
        let quoted = serde_json::to_vec(key).expect("a string has a JSON form").into();
        let (children, lookup, classes, forgotten) = Default::default();
        let (first, next) = (NOBODY, NOBODY);
        Node {
            key: key.into(),
            quoted,
            fixed,
            children,
            lookup,
            first,
            next,
            present: 0,
            classes,
            born,
            stamp: 0,
            forgotten,
        }
    }

    /// Rows with a number, and rows with what is neither number nor undecided.
    fn numbers_and_others(&self) -> (u64, u64) {
        let numbers = u64::from(self.classes[Class::Number as usize]);
        let decided: u64 = CLASSES[1..].iter().map(|class| u64::from(self.classes[*class as usize])).sum();
        (numbers, decided - numbers)
    }

    /// Rows whose value is of this class.
    pub fn rows_with(&self, class: Class) -> u64 {
        u64::from(self.classes[class as usize])
    }

    /// The type that most rows have; of equals the earlier in `CLASSES`.
    pub fn decided(&self) -> Class {
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
pub(super) struct Row {
    /// Messages so far, to tell a second occurrence.
    stamp: u64,
    /// Rows counted so far.
    counted: u64,
    touched: Vec<(u32, Class)>,
    pub declared: Vec<(String, String)>,
    not_ok: bool,
    failed: bool,
    no_object: bool,
}

impl Row {
    pub fn counts(&self) -> bool {
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

/// The keys seen; told a message's text, it notes what is in it.
pub(super) struct Tree {
    pub nodes: Vec<Node>,
    /// Bytes of their keys.
    pub names: usize,
    pub row: Row,
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
    pub fn new() -> Tree {
        let mut tree = Tree {
            nodes: vec![Node::new("", Some(Fixed::Other), 0), Node::new("inputs", Some(Fixed::Side), 0)],
            names: 0,
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

    pub fn begin_row(&mut self, counted: u64) {
        self.row.stamp += 1;
        self.row.counted = counted;
        self.restart();
    }

    /// Counts what the row touched.
    pub fn commit(&mut self) {
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

    /// Whether rare keys should be dropped.
    pub fn is_full(&self) -> bool {
        self.nodes.len() > NODES_MAX || self.names > NAMES_BYTES_MAX
    }

    /// Whether a new key is remembered: some room beyond the mark, so that a row of many new keys is not cut in half at once.
    pub fn has_room(&self) -> bool {
        self.nodes.len() < 2 * NODES_MAX && self.names < 2 * NAMES_BYTES_MAX
    }

    /// Whether an object is a map of names to numbers: its values are numbers, and its rows disagree about the keys. Most of what it holds
    /// then stands under keys that most rows do not have, such as the few best of many labels.
    pub fn is_map(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        let rows = u64::from(node.classes[Class::Object as usize]);
        let Forgotten { mut keys, mut present, mut numbers, mut others } = node.forgotten;
        let mut common = 0;
        for child in node.children.iter().map(|child| &self.nodes[*child as usize]).filter(|child| child.present > 0) {
            let count = u64::from(child.present);
            let (of_numbers, of_others) = child.numbers_and_others();
            (keys, present, numbers, others) = (keys + 1, present + count, numbers + of_numbers, others + of_others);
            if 2 * count >= rows {
                common += count;
            }
        }
        // As with a column's type: what few rows have does not decide.
        keys >= MAP_KEYS_MIN as u64 && numbers > 0 && others * 100 <= present && common * 2 < present
    }

    /// Drops keys that are rare, and what is below them.
    pub fn forget(&mut self, rows: u64, rare: Rare) {
        let old = std::mem::take(&mut self.nodes);
        let is_rare = |node: &Node| match rare {
            Rare::Half => u64::from(node.present) * 200 < rows.saturating_sub(node.born),
            Rare::Single => node.present <= 1,
        };
        let kept = |node: &Node| node.fixed.is_some() || !is_rare(node);
        let mut places = vec![NOBODY; old.len()];
        let mut marked = vec![false; old.len()];
        marked[ROOT] = true;
        let mut forgotten: HashMap<usize, Forgotten> = HashMap::new();
        // Children stand after their parents.
        for at in 0..old.len() {
            if marked[at] {
                for &child in &old[at].children {
                    let child_node = &old[child as usize];
                    marked[child as usize] = kept(child_node);
                    if !marked[child as usize] && child_node.present > 0 {
                        let (numbers, others) = child_node.numbers_and_others();
                        let forgotten = forgotten.entry(at).or_default();
                        forgotten.keys += 1;
                        forgotten.present += u64::from(child_node.present);
                        forgotten.numbers += numbers;
                        forgotten.others += others;
                    }
                }
            }
        }
        for (place, (at, _)) in marked.iter().enumerate().filter(|(_, marked)| **marked).enumerate() {
            places[at] = place as u32;
        }
        let place = |node: u32| places.get(node as usize).copied().unwrap_or(NOBODY);
        self.nodes = Vec::new();
        for (at, mut node) in old.into_iter().enumerate().filter(|(at, _)| marked[*at]) {
            if let Some(more) = forgotten.remove(&at) {
                node.forgotten.keys += more.keys;
                node.forgotten.present += more.present;
                node.forgotten.numbers += more.numbers;
                node.forgotten.others += more.others;
            }
            self.nodes.push(node);
        }
        self.names = self.nodes.iter().filter(|node| node.fixed.is_none()).map(|node| node.key.len()).sum();
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
