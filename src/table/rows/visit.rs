//! The walk as the columns hear it.

use super::super::columns::{Column, Scalar};
use super::super::number::Number;
use super::super::walk::Visitor;
use super::{Frame, Mode, ROOT, Rows};

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
            Mode::Map { node } => {
                if let Some(values) = self.map_value(node) {
                    values.push_null();
                }
            }
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
