//! The names that rules look for. In: the rules of one side. Out: whether a text is one of those names, and of which rules no key
//! was seen in a body.

use crate::config::{RedactRule, Side};
use crate::protocol::names::Names;

/// The names that the rules of one side look for.
pub struct RuleNames<'r> {
    /// Each key of each path.
    pub by_name: Vec<&'r str>,
    /// Whole paths of several keys, as texts may write them.
    dotted: Vec<String>,
    named: Vec<ByName<'r>>,
}

impl<'r> RuleNames<'r> {
    pub fn of(rules: &'r [RedactRule], side: Side) -> RuleNames<'r> {
        let positions = Names::of(side);
        let rules = || rules.iter().filter(move |rule| rule.side == side);
        RuleNames {
            by_name: rules().flat_map(|rule| &rule.keys).map(String::as_str).collect(),
            dotted: rules().filter(|rule| rule.keys.len() > 1).map(|rule| rule.keys.join(".")).collect(),
            named: rules()
                .filter_map(|rule| Some(ByName { first: rule.keys.first()?, whole: rule.keys.join(".") }))
                .filter(|named| !positions.is_unnamed(named.first))
                .collect(),
        }
    }

    /// Whether a rule could mean what a column of this name holds.
    pub fn means(&self, column: &str) -> bool {
        self.named_by(column).is_some() || self.decorated_in(column)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.by_name.iter().copied().chain(self.dotted.iter().map(String::as_str))
    }

    /// Whether a text is a rule's name as pipelines decorate it: `num__email`, `email:0`, `customer.email`, `in/email`.
    fn decorated_in(&self, text: &str) -> bool {
        !text.contains(char::is_whitespace)
            && text.replace("__", ":").split([':', '.', '/']).any(|part| self.named_by(part).is_some())
    }

    /// Whether a key is several names with a separator that was not taken for one: the header of `a;email`.
    pub fn listed_in(&self, key: &str) -> bool {
        const SEPARATORS: [char; 4] = [';', '\t', '|', ','];
        key.contains(SEPARATORS) && key.split(SEPARATORS).any(|part| self.named_by(part).is_some())
    }

    /// The rule's name that a text is.
    pub fn named_by(&self, text: &str) -> Option<&str> {
        let text = text.trim();
        self.iter().find(|name| name.eq_ignore_ascii_case(text))
    }
}

/// Which of the rules by name have a key of theirs in a body.
pub struct Keys<'n, 'r> {
    names: &'n [ByName<'r>],
    found: Vec<bool>,
}

impl<'n, 'r> Keys<'n, 'r> {
    pub fn none_of(names: &'n RuleNames<'r>) -> Keys<'n, 'r> {
        Keys { names: &names.named, found: vec![false; names.named.len()] }
    }

    pub fn see(&mut self, key: &str) {
        for (found, named) in self.found.iter_mut().zip(self.names) {
            *found |= named.first == key || named.whole == key;
        }
    }

    /// Whether there is a rule by name whose key was not seen.
    pub fn lack_one(&self) -> bool {
        self.found.contains(&false)
    }

    /// Whether a rule that was not found has the name of the tensor that this column (`name_0`) is one of.
    pub fn lack_tensor_of(&self, column: &str) -> bool {
        let is_of = |name: &str| column.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'));
        self.found.iter().zip(self.names).any(|(found, named)| !found && is_of(named.first))
    }

    /// Whether there are rules by name, and no key of any was seen.
    pub fn lack_all(&self) -> bool {
        !self.found.is_empty() && !self.found.contains(&true)
    }
}

/// A rule that knows no position.
struct ByName<'r> {
    first: &'r str,
    /// Its path.
    whole: String,
}
