//! Which keys the messages of a range have, how often, of which types; what the table's schema should have beyond the pinned one.
//!
//! Counted are rows with `parse_status` ok (or absent) and a status below 400 (or absent). A key becomes a column when at least 1 % of them have it.
//! Of several types the one that most rows have wins; what rows have otherwise lives in `_raw`. An object of numbers whose keys vary from row to row,
//! such as the probabilities of the best labels, is one MAP column.

use std::collections::HashMap;

use super::class::Class;
use super::fixed::place_of;
use super::schema::{Field, PLACES, Place, STRUCT_DEPTH_MAX, Schema, Type};
use super::tell;
use super::tree::{DECLARED_MAX, INPUTS, MAP_KEYS_MIN, Node, OUTPUTS, ROOT, Rare, Tree};
use crate::config::ColumnPath;
use crate::source::Message;

/// Rows between two times of forgetting, and where there is no room for a new key.
const FORGET_EVERY: u64 = 256;
const FORGET_EVERY_FULL: u64 = 16;

/// New keys of one object that one row of several has; of more, none becomes a column. It may with the next file.
const SUDDEN_KEYS_MAX: usize = 64;

/// Columns of an object that looks like a map, and had columns before it did.
const STRUCT_OF_MAP_MAX: usize = 64;

/// `store.columns_max` unless told otherwise.
const COLUMNS_MAX: usize = 1_000;

/// Counts of keys and types.
pub struct Survey {
    columns_max: usize,
    /// Rows that count.
    rows: u64,
    pub(super) tree: Tree,
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
        let since = self.rows - self.forgot_at;
        if self.tree.is_full() && since >= FORGET_EVERY {
            self.tree.forget(self.rows, Rare::Half);
            self.forgot_at = self.rows;
        } else if !self.tree.has_room() && since >= FORGET_EVERY_FULL {
            // Or else keys of one row each would keep out those that many rows have.
            self.tree.forget(self.rows, Rare::Single);
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
            // `inputs` is the first level; at the top level stand the columns themselves.
            let level = usize::from(place != Place::Extras);
            self.additions(node, base.fields(place), level, place.prefix(), self.needed(), &mut room)
        });
        if inputs.is_empty() && outputs.is_empty() && extras.is_empty() {
            return None;
        }
        Some(base.merge(&Schema::of_parts(inputs, outputs, extras)))
    }

    /// Rows that must have a key, so that it becomes a column.
    fn needed(&self) -> u64 {
        self.rows.div_ceil(100).max(1)
    }

    /// What the rows have at one place: how many of them, and the type of a column for it, if it can have one. However few they are; `None`: none.
    pub fn at(&self, path: &ColumnPath) -> Option<(u64, Option<Type>)> {
        let (place, keys) = place_of(path);
        let node = self.node(path)?;
        let Node { key, present, .. } = &self.tree.nodes[node];
        let above = path.keys().split_last().map_or(String::new(), |(_, above)| above.join("."));
        let above = if above.is_empty() { above } else { above + "." };
        let level = keys.len() - 1 + usize::from(place != Place::Extras);
        let needed = u64::from(*present).div_ceil(100).max(1);
        let mut room = self.columns_max;
        let found = self.new_type(node, &above, key, level, needed, &mut room);
        (*present > 0).then_some((u64::from(*present), found))
    }

    /// Fields that have no column in `schema`, with the rows that have them and the type that each would have; most rows first. Not what is below
    /// such a field, and not values that a column refused.
    pub fn beyond(&self, schema: &Schema) -> Vec<(ColumnPath, u64, Option<Type>)> {
        let mut paths = Vec::new();
        for (at, place) in PLACES.into_iter().enumerate() {
            let side: Vec<String> = place.prefix().split_terminator('.').map(str::to_owned).collect();
            self.without_column([INPUTS, OUTPUTS, ROOT][at], schema.fields(place), &side, &mut paths);
        }
        let mut found: Vec<_> = paths
            .into_iter()
            .filter_map(|path| self.at(&path).map(|(rows, data_type)| (path, rows, data_type)))
            .collect();
        found.sort_by(|(a, a_rows, _), (b, b_rows, _)| b_rows.cmp(a_rows).then_with(|| a.cmp(b)));
        found
    }

    fn without_column(&self, node: usize, fields: &[Field], above: &[String], found: &mut Vec<ColumnPath>) {
        let known: HashMap<&str, &Field> = fields.iter().map(|field| (field.key(), field)).collect();
        for child in self.tree.nodes[node].children.iter().map(|child| *child as usize) {
            let Node { key, fixed, .. } = &self.tree.nodes[child];
            let path = || [above, &[key.to_string()]].concat();
            match known.get(&**key) {
                _ if fixed.is_some() => {}
                None => found.push(ColumnPath::of(path())),
                Some(field) if matches!(field.data_type, Type::Struct(_)) => {
                    self.without_column(child, field.children(), &path(), found);
                }
                Some(_) => {}
            }
        }
    }

    /// The type of a column that is not there yet.
    fn new_type(
        &self,
        node: usize,
        path: &str,
        key: &str,
        level: usize,
        needed: u64,
        room: &mut usize,
    ) -> Option<Type> {
        match self.tree.nodes[node].decided() {
            Class::Object if self.tree.is_map(node) => Some(Type::MapDouble),
            Class::Object if level == STRUCT_DEPTH_MAX => None,
            Class::Object => match self.additions(node, &[], level + 1, &format!("{path}{key}."), needed, room) {
                fields if fields.is_empty() => None,
                fields => Some(Type::Struct(fields)),
            },
            class => self.flat_type(class, path, key),
        }
    }

    /// What a STRUCT (or the top level) should have beyond `pinned`.
    fn additions(
        &self,
        node: usize,
        pinned: &[Field],
        level: usize,
        path: &str,
        needed: u64,
        room: &mut usize,
    ) -> Vec<Field> {
        let known: HashMap<&str, &Field> = pinned.iter().map(|field| (field.key(), field)).collect();
        let sudden = self.has_sudden(node, &known);
        let mut added = Vec::new();
        for child in self.tree.nodes[node].children.iter().map(|child| *child as usize) {
            let Node { key, present, fixed, .. } = &self.tree.nodes[child];
            if fixed.is_some() {
                continue;
            }
            let data_type = match known.get(&**key) {
                Some(field) => match &field.data_type {
                    Type::Struct(fields) if level < STRUCT_DEPTH_MAX => {
                        let most = STRUCT_OF_MAP_MAX.saturating_sub(fields.len());
                        let mut left = if self.is_map_by_now(child, fields) { most.min(*room) } else { *room };
                        let before = left;
                        let grown =
                            self.additions(child, fields, level + 1, &format!("{path}{key}."), needed, &mut left);
                        *room -= before - left;
                        if grown.is_empty() { None } else { Some(Type::Struct(grown)) }
                    }
                    _ => None,
                },
                None if u64::from(*present) < needed || *room == 0 || (sudden && *present == 1) => None,
                None => {
                    *room -= 1;
                    let data_type = self.new_type(child, path, key, level, needed, room);
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

    /// Whether an object that has columns looks like a map of names to numbers by now: its rows disagree about the keys, or have only a few of many
    /// columns each.
    fn is_map_by_now(&self, node: usize, fields: &[Field]) -> bool {
        let rows = self.tree.nodes[node].rows_with(Class::Object);
        let present: u64 = self.tree.nodes[node]
            .children
            .iter()
            .map(|child| u64::from(self.tree.nodes[*child as usize].present))
            .sum();
        let are_numbers = fields.iter().all(|field| field.data_type == Type::Double);
        let few = fields.len() >= MAP_KEYS_MIN && present * 2 < rows * fields.len() as u64;
        are_numbers && (few || self.tree.is_map(node))
    }

    /// Whether the object at a place looks like a map of names to numbers.
    pub fn is_map(&self, path: &ColumnPath) -> bool {
        let node = self.node(path);
        node.is_some_and(|node| self.tree.nodes[node].decided() == Class::Object && self.tree.is_map(node))
    }

    fn node(&self, path: &ColumnPath) -> Option<usize> {
        let (place, keys) = place_of(path);
        let at = PLACES.iter().position(|known| *known == place)?;
        let mut node = [INPUTS, OUTPUTS, ROOT][at];
        for key in keys {
            node = *self.tree.nodes[node].lookup.get(key.as_str())? as usize;
        }
        Some(node)
    }

    /// Whether so many keys are new and of one row only that they are names of something else, not of columns.
    fn has_sudden(&self, node: usize, known: &HashMap<&str, &Field>) -> bool {
        let children = self.tree.nodes[node].children.iter().map(|child| &self.tree.nodes[*child as usize]);
        let sudden =
            children.filter(|child| child.fixed.is_none() && child.present == 1 && !known.contains_key(&*child.key));
        self.rows > 1 && sudden.count() > SUDDEN_KEYS_MAX
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
            Class::ListListNumber => {
                Some(list(list(declared.filter(|declared| is_numeric(declared)).cloned().unwrap_or(Type::Double))))
            }
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
