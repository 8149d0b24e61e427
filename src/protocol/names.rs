//! Names for values that have none: `x0..` for inputs, `y0..` for outputs, `prediction` for a lone scalar output.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::LazyLock;

use super::value::{Object, Value};
use crate::config;

/// A list up to this length becomes a column per item; a longer one stays a list in one column.
pub const LIST_COLUMNS_MAX: usize = config::LIST_COLUMNS_MAX;

/// What a lone scalar output is called. A static: see [`Names::given`].
static PREDICTION: &str = "prediction";

/// What a bare list is called that is not split.
pub const ROWS: &str = "rows";

static X: LazyLock<Vec<String>> = LazyLock::new(|| positions('x'));
static Y: LazyLock<Vec<String>> = LazyLock::new(|| positions('y'));

fn positions(letter: char) -> Vec<String> {
    (0..LIST_COLUMNS_MAX).map(|position| format!("{letter}{position}")).collect()
}

/// The names that are made for the columns of one call, all of a side in one text that its rows borrow: a name of its own for each
/// of 256 columns, in the row, in the types and once more beside them, took longer than the numbers.
#[derive(Debug, Default)]
pub struct MadeNames {
    sides: [OnceCell<String>; 2],
}

impl MadeNames {
    /// `{side}.{name}_0`, `{side}.{name}_1` and so on: the columns of the lone tensor of a side, as `types` has them. Once for each side.
    pub fn of_tensor(&self, side: config::Side, name: &str, width: usize) -> Vec<&str> {
        let prefix = format!("{}.{name}_", side.word());
        let text = self.sides[side as usize].get_or_init(|| {
            let mut text = String::with_capacity(width * (prefix.len() + 3));
            let mut digits = itoa::Buffer::new();
            for position in 0..width {
                text.push_str(&prefix);
                text.push_str(digits.format(position));
            }
            text
        });
        let mut rest = text.as_str();
        debug_assert!(text.starts_with(&prefix), "a side has one lone tensor");
        let column = |position: usize| {
            let digits = position.checked_ilog10().unwrap_or(0) as usize + 1;
            let (column, behind) = rest.split_at_checked(prefix.len() + digits)?;
            rest = behind;
            Some(column)
        };
        (0..width).map_while(column).collect()
    }
}

/// Which side's names are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Inputs,
    Outputs,
}

impl Names {
    /// The names of a side.
    pub fn of(side: config::Side) -> Names {
        match side {
            config::Side::Inputs => Names::Inputs,
            config::Side::Outputs => Names::Outputs,
        }
    }

    /// The name of the item at `position` of a list; `None` beyond [`LIST_COLUMNS_MAX`].
    pub fn at(self, position: usize) -> Option<&'static str> {
        let names: &'static Vec<String> = match self {
            Names::Inputs => &X,
            Names::Outputs => &Y,
        };
        names.get(position).map(String::as_str)
    }

    /// The position that a name stands for: the reverse of [`Names::at`].
    pub fn position(self, name: &str) -> Option<usize> {
        let digits = name.strip_prefix(self.list())?;
        let position = digits.parse().ok()?;
        (self.at(position) == Some(name)).then_some(position)
    }

    /// Whether a name stands for a position.
    pub fn is_position(self, name: &str) -> bool {
        self.position(name).is_some()
    }

    /// The position that a key stands for if it was given here. A client may call a feature `x0`: its key is told from ours by
    /// where the text stands.
    pub fn given(self, key: &str) -> Option<usize> {
        let is = |name: &str| std::ptr::eq(name.as_ptr(), key.as_ptr()) && name.len() == key.len();
        match self.position(key) {
            Some(position) => self.at(position).is_some_and(is).then_some(position),
            None => is(self.scalar()).then_some(0),
        }
    }

    /// Whether a name is one of those given to values without names.
    pub fn is_unnamed(self, name: &str) -> bool {
        name == self.list() || name == self.scalar() || self.is_position(name)
    }

    /// The name of a lone scalar.
    pub fn scalar(self) -> &'static str {
        match self {
            Names::Inputs => X[0].as_str(),
            Names::Outputs => PREDICTION,
        }
    }

    /// The name of a list that is too long for columns.
    pub fn list(self) -> &'static str {
        match self {
            Names::Inputs => "x",
            Names::Outputs => "y",
        }
    }

    /// One row's value as fields: an object's own keys, a list's positions, a scalar's one name.
    pub fn fields<'a>(self, item: Value<'a>) -> Object<'a> {
        match item {
            Value::Object(fields) => fields,
            Value::List(items) if items.len() <= LIST_COLUMNS_MAX => items
                .into_iter()
                .enumerate()
                .map(|(position, item)| (Cow::Borrowed(self.at(position).expect("within LIST_COLUMNS_MAX")), item))
                .collect(),
            list @ Value::List(_) => vec![(Cow::Borrowed(self.list()), list)],
            scalar => vec![(Cow::Borrowed(self.scalar()), scalar)],
        }
    }
}
