//! Rules of redaction: which field, and what happens to it.

use super::Rules;
use crate::config::file::{self, Redaction};
use crate::config::report::ConfigError;
use crate::config::secret::Lookup;
use crate::config::{RedactAction, RedactRule, Side};

/// Ids are few and known: under a key that can be guessed, so can they.
const HASH_KEY_BYTES_MIN: usize = 16;
/// More characters than this hide nothing.
const TRUNCATE_CHARS_MAX: usize = 1024;

/// What stands before the key in a rule of the feedback.
const TRUTH: &str = "truth";

/// The rules of a route.
pub(super) struct Redact {
    pub prediction: Vec<RedactRule>,
    /// Those of `truth`, whose side is the outputs'.
    pub truth: Vec<RedactRule>,
}

pub(super) fn redact(at: &Rules<'_>, name: &str, file: &file::Route) -> Result<Redact, ConfigError> {
    let mut rules = Redact { prediction: Vec::new(), truth: Vec::new() };
    for (target, written) in &file.redact.0 {
        let key = ["routes", name, "redact", target];
        let (side, rest) = target.split_once('.').unwrap_or((target, ""));
        let (side, of) = match side {
            "inputs" => (Side::Inputs, &mut rules.prediction),
            "outputs" => (Side::Outputs, &mut rules.prediction),
            TRUTH if file.feedback.is_none() => {
                let what = format!("`{target}` is a rule for feedback, which the route `{name}` does not take");
                return Err(at.tree.key_error(&key, what, "add `feedback: /feedback`, or remove the rule"));
            }
            TRUTH => (Side::Outputs, &mut rules.truth),
            _ => {
                let what = format!("`{target}` does not say whether it is part of the inputs or the outputs");
                return Err(at.tree.key_error(&key, what, format!("write `inputs.{target}` or `outputs.{target}`")));
            }
        };
        if target == TRUTH {
            of.push(RedactRule { side, keys: Vec::new(), action: action(at, &key, written)? });
            continue;
        }
        let keys: Vec<String> = rest.split('.').map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            let what = format!("`{target}` does not name a key");
            return Err(at.tree.key_error(&key, what, "write for example `inputs.email`"));
        }
        if keys.iter().any(|key| key.contains(['*', '[', ']', '$'])) {
            let what = format!("`{target}` is a pattern, which is not in this version");
            let fix = "write the key itself; lists on the way are walked through: `inputs.people.email`";
            return Err(at.tree.key_error(&key, what, fix));
        }
        of.push(RedactRule { side, keys, action: action(at, &key, written)? });
    }
    Ok(rules)
}

fn action(at: &Rules<'_>, key: &[&str; 4], written: &Redaction) -> Result<RedactAction, ConfigError> {
    let [routes, route, redact, target] = *key;
    let below = |word| [routes, route, redact, target, word];
    Ok(match written {
        Redaction::Drop => RedactAction::Drop,
        Redaction::Hash(reference) => {
            let key = below("hash");
            let secret = at.secret(&key, reference)?;
            let bytes = secret.expose().len();
            // Where no secret is looked up, its length is not known.
            if matches!(at.lookup, Lookup::In(_)) && bytes < HASH_KEY_BYTES_MIN {
                let what = format!("the key of `{}` has {bytes} bytes, fewer than {HASH_KEY_BYTES_MIN}", key.join("."));
                return Err(at.wrong(&key, what, "make one with `openssl rand -hex 32`"));
            }
            RedactAction::Hash(secret)
        }
        Redaction::Truncate(chars) => {
            RedactAction::Truncate(at.range(&below("truncate"), *chars, 1, TRUNCATE_CHARS_MAX)?)
        }
        Redaction::Mask(kinds) => {
            if kinds.is_empty() {
                let key = below("mask");
                let what = format!("`{}` masks nothing", key.join("."));
                return Err(at.wrong(&key, what, "write for example `mask: [email, phone, card]`"));
            }
            RedactAction::Mask(kinds.clone())
        }
    })
}
