//! The walk as the survey hears it.

use super::super::class::{Class, List};
use super::super::number::{self, Number};
use super::super::schema::STRUCT_DEPTH_MAX;
use super::super::walk::Visitor;
use super::{DECLARED_MAX, Fixed, Frame, Mode, NOBODY, Node, ROOT, Tree};
use crate::config::KEY_BYTES_MAX;

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
            // A longer key is no column's name.
            None if key.len() <= KEY_BYTES_MAX && self.has_room() => {
                let node = self.nodes.len() as u32;
                self.names += key.len();
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
        match self.mode {
            Mode::Struct if self.frames.is_empty() => {
                self.row.no_object = true;
                self.mode = Mode::Skip { depth: 1 };
            }
            Mode::Struct => match self.target {
                Some(_) => self.mode = Mode::List { level: 1, list: List::empty() },
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
