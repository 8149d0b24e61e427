//! Rules and the names that somebody gave to values at positions. A value may be addressed by its given name, by its position, or by
//! the tensor's own column: a rule with one of them reaches the value wherever it stands, in a row that has its names or in a list that
//! could not be split. In: the route's rules. Out: those and the ones that they mean by that.

use std::borrow::Cow;

use super::rule_names::RuleNames;
use crate::config::{RedactRule, Side};
use crate::protocol::names::Names;
use crate::protocol::{Object, Reading, Value};

/// The given names of one side, and the columns of its only tensor, if that is what they replace.
pub struct Given<'n> {
    pub side: Side,
    pub names: &'n [String],
    pub tensor: &'n [Cow<'n, str>],
}

impl Given<'_> {
    /// What the rules of this side mean beside what they say.
    pub fn meant(&self, rules: &[RedactRule]) -> Vec<RedactRule> {
        let positions = Names::of(self.side);
        let mut meant = Vec::new();
        for rule in rules.iter().filter(|rule| rule.side == self.side) {
            for (at, rest) in self.columns(rule) {
                let ways = [Some(self.names[at].as_str()), positions.at(at), self.tensor.get(at).map(AsRef::as_ref)];
                for first in ways.into_iter().flatten().chain((at == 0).then(|| positions.scalar())) {
                    let keys: Vec<String> = std::iter::once(first.to_owned()).chain(rest.iter().cloned()).collect();
                    if keys != rule.keys {
                        meant.push(RedactRule { side: rule.side, keys, action: rule.action.clone() });
                    }
                }
            }
        }
        meant
    }

    /// Whether each rule of this side is one for a column, or for a key that stands in a row. The value that another rule means
    /// could be any.
    pub fn resolves(&self, rules: &[RedactRule], reading: &Reading<'_>) -> bool {
        let in_rows = |rule: &RedactRule| {
            let key = rule.keys.first().map_or("", String::as_str);
            let whole = rule.keys.join(".");
            reading.rows.iter().any(|row| {
                let fields = match self.side {
                    Side::Inputs => &row.inputs,
                    Side::Outputs => &row.outputs,
                };
                has_key(fields, &[key, &whole])
            })
        };
        rules.iter().filter(|rule| rule.side == self.side).all(|rule| !self.columns(rule).is_empty() || in_rows(rule))
    }

    /// The columns that a rule means, and what is left of its path there.
    fn columns<'r>(&self, rule: &'r RedactRule) -> Vec<(usize, &'r [String])> {
        let positions = Names::of(self.side);
        let mut found = Vec::new();
        for (at, name) in self.names.iter().enumerate() {
            let is = |text: &String| text == name || self.tensor.get(at).is_some_and(|column| column == text);
            let whole = (1..=rule.keys.len()).find(|taken| is(&rule.keys[..*taken].join(".")));
            let first = rule.keys.first().map_or("", String::as_str);
            let by_position = positions.position(first) == Some(at)
                || first == positions.list()
                || (at == 0 && first == positions.scalar());
            match whole {
                Some(taken) => found.push((at, &rule.keys[taken..])),
                None if by_position => found.push((at, rule.keys.get(1..).unwrap_or_default())),
                // `num__email`: rather one value too many.
                None if RuleNames::of(std::slice::from_ref(rule), self.side).means(name) => {
                    found.push((at, &rule.keys[rule.keys.len()..]));
                }
                None => {}
            }
        }
        found
    }
}

pub fn has_key(fields: &Object<'_>, keys: &[&str]) -> bool {
    fields.iter().any(|(key, value)| keys.contains(&key.as_ref()) || within(value, keys))
}

fn within(value: &Value<'_>, keys: &[&str]) -> bool {
    match value {
        Value::Object(fields) => has_key(fields, keys),
        Value::List(items) => items.iter().any(|item| within(item, keys)),
        Value::Json(value) => within(value, keys),
        _ => false,
    }
}
