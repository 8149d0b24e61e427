//! Fields that protocols make out of others: a rule on the one must reach the other. In: a row before and after a rule. Out: the
//! row, its copies changed as what they are copies of.

use std::borrow::Cow;

use super::change::Change;
use crate::config::{RedactAction, RedactRule, Side};
use crate::protocol::stream::{CONTENT, PROMPT_TEXT, PROMPTS};
use crate::protocol::{Object, Value};

/// A field and what says the same in the same row.
struct Copies {
    side: Side,
    of: &'static [&'static str],
    copy: &'static str,
    /// Whether the copy holds the text as it is; if in pieces, nothing could be found in it, so it is left out.
    whole: bool,
}

const COPIES: [Copies; 5] = [
    Copies { side: Side::Inputs, of: &PROMPTS, copy: PROMPT_TEXT, whole: true },
    Copies { side: Side::Outputs, of: &[CONTENT], copy: "output_text", whole: true },
    // Token by token.
    Copies { side: Side::Outputs, of: &[CONTENT], copy: "logprobs", whole: false },
    Copies { side: Side::Outputs, of: &["text"], copy: "logprobs", whole: false },
    Copies { side: Side::Outputs, of: &["generated_text"], copy: "details", whole: false },
];

/// Applies `rule` by `follow`, and to what is a copy of what it named or changed; the other way round too.
pub fn apply<'a>(rule: &RedactRule, fields: &mut Object<'a>, follow: impl FnOnce(&mut Object<'a>, &mut Change<'_>)) {
    let mut change = Change::new(&rule.action);
    let there: Vec<&Copies> =
        COPIES.iter().filter(|copies| copies.side == rule.side && named(fields, &[copies.copy])).collect();
    let before = if there.is_empty() { Object::new() } else { fields.clone() };
    follow(fields, &mut change);
    for copies in there {
        let copy: &[&str] = &[copies.copy];
        if touches(rule, copies.of, &before, fields) {
            if copies.whole {
                change.fields(fields, |key| key == copies.copy);
            } else {
                Change::new(&RedactAction::Drop).fields(fields, |key| key == copies.copy);
            }
        } else if copies.whole && touches(rule, copy, &before, fields) {
            change.fields(fields, |key| copies.of.contains(&key));
        }
    }
}

fn named(fields: &Object<'_>, keys: &[&str]) -> bool {
    fields.iter().any(|(key, _)| keys.contains(&key.as_ref()))
}

/// Whether a rule names one of the fields or something in it, or changed one of them by whatever path.
fn touches(rule: &RedactRule, keys: &[&str], before: &Object<'_>, after: &Object<'_>) -> bool {
    let names_it = rule.keys.first().is_some_and(|first| keys.contains(&first.as_str())) && named(before, keys);
    names_it || !only(before, keys).eq(only(after, keys))
}

fn only<'f, 'a>(fields: &'f Object<'a>, keys: &[&str]) -> impl Iterator<Item = &'f (Cow<'a, str>, Value<'a>)> {
    fields.iter().filter(|(key, _)| keys.contains(&key.as_ref()))
}
