//! The YAML text as a tree that knows where each key and value stands. Everything else reads this, so every error can
//! name a line, whichever step finds it.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_saphyr::Spanned;

use super::report::{self, ConfigError};

/// A place in the text: line and column from 1 (in characters), and characters to underline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub line: usize,
    pub column: usize,
    pub width: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub spot: Spot,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub kind: Kind,
    /// What was written; without the quotes of a quoted text.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Bool(bool),
    Whole(i128),
    Number(f64),
    Text,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub key_spot: Spot,
    pub node: Node,
}

/// A parsed file: its name for messages, its text, its root.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub file: &'a str,
    pub text: &'a str,
    pub root: Node,
}

impl<'a> Tree<'a> {
    /// Parses one document. Duplicate keys, tabs and whatever is not YAML are errors.
    pub(super) fn parse(file: &'a str, text: &'a str) -> Result<Tree<'a>, ConfigError> {
        let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
        let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| syntax_error(file, text, error.without_snippet()))?;
        let tree = Tree { file, text, root: node(raw, text) };
        match tree.root.value {
            Value::Map(_) => Ok(tree),
            Value::Null => Err(tree.error_at(
                Spot { line: 1, column: 1, width: 1 },
                "the file is empty",
                "write a configuration, or let `weir init` write one",
            )),
            _ => {
                Err(tree.error_at(tree.root.spot, "the file is not a map of keys", "start with the line `version: 1`"))
            }
        }
    }

    /// The entry of a path of keys; list items are not counted.
    pub(super) fn entry(&self, path: &[&str]) -> Option<&Entry> {
        let mut node = &self.root;
        let mut found = None;
        for key in path {
            let Value::Map(entries) = &node.value else { return None };
            let entry = entries.iter().find(|entry| entry.key == *key)?;
            node = &entry.node;
            found = Some(entry);
        }
        found
    }

    /// An error about the value of `path`, or about the nearest key above it that is written.
    pub(super) fn error(&self, path: &[&str], what: impl Into<String>, fix: impl Into<String>) -> ConfigError {
        for length in (1..=path.len()).rev() {
            if let Some(entry) = self.entry(&path[..length]) {
                let whole = length == path.len() && matches!(entry.node.value, Value::Scalar(_) | Value::List(_));
                return self.error_at(if whole { entry.node.spot } else { entry.key_spot }, what, fix);
            }
        }
        self.error_at(Spot { line: 1, column: 1, width: 1 }, what, fix)
    }

    /// An error about the key of `path` itself.
    pub(super) fn key_error(&self, path: &[&str], what: impl Into<String>, fix: impl Into<String>) -> ConfigError {
        match self.entry(path) {
            Some(entry) => self.error_at(entry.key_spot, what, fix),
            None => self.error(path, what, fix),
        }
    }

    pub(super) fn error_at(&self, spot: Spot, what: impl Into<String>, fix: impl Into<String>) -> ConfigError {
        ConfigError {
            what: what.into(),
            fix: fix.into(),
            place: Some(report::place(self.file, self.text, spot.line, spot.column, spot.width)),
            notes: Vec::new(),
        }
    }

    /// Calls `visit` for every node with the keys above it, in the order of the file, until it returns an error.
    pub(super) fn walk<E>(&self, visit: &mut impl FnMut(&[&str], &Node) -> Result<(), E>) -> Result<(), E> {
        fn down<'n, E>(
            node: &'n Node,
            path: &mut Vec<&'n str>,
            visit: &mut impl FnMut(&[&str], &Node) -> Result<(), E>,
        ) -> Result<(), E> {
            visit(path, node)?;
            match &node.value {
                Value::List(items) => items.iter().try_for_each(|item| down(item, path, visit)),
                Value::Map(entries) => entries.iter().try_for_each(|entry| {
                    path.push(&entry.key);
                    down(&entry.node, path, visit)?;
                    path.pop();
                    Ok(())
                }),
                Value::Null | Value::Scalar(_) => Ok(()),
            }
        }
        down(&self.root, &mut Vec::new(), visit)
    }
}

/// Says what the parser found in our own words where the message is a common one.
fn syntax_error(file: &str, text: &str, error: &serde_saphyr::Error) -> ConfigError {
    let (line, column) = error.location().map_or((1, 1), |at| {
        (usize::try_from(at.line()).unwrap_or(1).max(1), usize::try_from(at.column()).unwrap_or(1).max(1))
    });
    let said = error.to_string();
    let (what, fix, width) = match error {
        serde_saphyr::Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("the key");
            let first = match first_of(text, key, line, column) {
                Some(first) => format!(" (first in line {first})"),
                None => String::new(),
            };
            let what = format!("`{key}` is written twice{first}; the second would silently replace the first");
            (what, "remove one of the two, or rename it".to_owned(), key.chars().count())
        }
        serde_saphyr::Error::MultipleDocuments { .. } => (
            "the file holds more than one document".to_owned(),
            "keep one, without a line `---` after it".to_owned(),
            3,
        ),
        serde_saphyr::Error::UnknownAnchor { .. } => {
            let fix = "put the value in quotes if it is meant as text".to_owned();
            ("the value starts with `*`, which is an alias of an anchor that does not exist".to_owned(), fix, 1)
        }
        _ if said.contains("tab") => {
            let what = "a tab is used for indentation; YAML allows only spaces".to_owned();
            (what, "replace it by spaces".to_owned(), 1)
        }
        _ if said.contains("mapping values are not allowed") => {
            let what = "a second `key: value` begins inside a value".to_owned();
            (what, "put a text that contains `: ` in quotes, or indent this line like its neighbours".to_owned(), 1)
        }
        _ if said.contains("unclosed bracket") => {
            ("a bracket is opened here and never closed".to_owned(), "close it with `]` or `}`".to_owned(), 1)
        }
        _ if said.contains("unclosed quote") => {
            ("a quote is opened here and never closed".to_owned(), "close it with the same quote".to_owned(), 1)
        }
        _ => {
            // The parser's own words, without its position and without anything that it quotes from the file.
            let said = said.split(" at line ").next().unwrap_or("").to_owned();
            let said = if said.contains(['"', '`']) { "it cannot be parsed".to_owned() } else { said };
            (
                format!("this is not YAML: {said}"),
                "check the indentation, quotes and brackets here and above".to_owned(),
                1,
            )
        }
    };
    ConfigError { what, fix, place: Some(report::place(file, text, line, column, width)), notes: Vec::new() }
}

/// The line above `line` in which `key` stands at the same column.
fn first_of(text: &str, key: &str, line: usize, column: usize) -> Option<usize> {
    let lines: Vec<&str> = text.lines().take(line.saturating_sub(1)).collect();
    let at_column = |line: &str| line.chars().skip(column - 1).collect::<String>();
    let found = lines.iter().rposition(|above| {
        at_column(above)
            .trim_start_matches(['"', '\''])
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
    });
    found.map(|at| at + 1)
}

/// A value as the parser hands it out, before the text of plain scalars is looked up.
enum Raw {
    Null,
    Scalar(Kind, String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Raw, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Bool(value), String::new()))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Whole(value.into()), String::new()))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Whole(value.into()), String::new()))
    }
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Whole(value), String::new()))
    }
    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Whole(i128::try_from(value).unwrap_or(i128::MAX)), String::new()))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Number(value), String::new()))
    }
    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Text, value.to_owned()))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

fn node(raw: Spanned<Raw>, text: &str) -> Node {
    // Of an alias, the anchored text.
    let source = raw.defined.span();
    let written = source.byte_offset().zip(source.byte_len()).and_then(|(offset, length)| {
        let offset = usize::try_from(offset).ok()?;
        text.get(offset..offset + usize::try_from(length).ok()?)
    });
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Scalar(kind, said) => {
            let said = if kind == Kind::Text { said } else { written.unwrap_or_default().trim().to_owned() };
            Value::Scalar(Scalar { kind, text: said })
        }
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, text)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key_spot: spot(key.referenced, None),
                    key: key.value,
                    node: node(value, text),
                })
                .collect(),
        ),
    };
    Node { spot: spot(raw.referenced, written), value }
}

fn spot(at: serde_saphyr::Location, written: Option<&str>) -> Spot {
    let width = match written {
        Some(written) => written.lines().next().unwrap_or("").trim_end().chars().count(),
        None => usize::try_from(at.span().len()).unwrap_or(1),
    };
    let to = |number: u64| usize::try_from(number).unwrap_or(1).max(1);
    Spot { line: to(at.line()), column: to(at.column()), width: width.max(1) }
}
