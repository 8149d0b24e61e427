//! Texts with fields of their own: JSON, a form, CSV, XML within a value. In: a text and the rules' names. Out: what it looks like.

use super::rule_names::RuleNames;
use crate::protocol::{Value, json};

/// Whether a text holds fields of its own.
pub fn text_hides(text: &str, names: &RuleNames<'_>) -> Option<&'static str> {
    let trimmed = text.trim_start();
    if trimmed.starts_with(['{', '[']) && is_json_with_names(trimmed) {
        return Some("JSON within a text");
    }
    if is_coded(trimmed) {
        return Some("JSON or gzip as base64 within a text");
    }
    let lower = text.to_ascii_lowercase();
    names
        .iter()
        .any(|name| names_a_field(&lower, &name.to_ascii_lowercase()))
        .then_some("a redacted field's name within a text")
}

/// Whether a text is base64 (or a JSON web token) of what begins like JSON's objects, or like gzip.
fn is_coded(text: &str) -> bool {
    // `{"`, `{ "`, `{` and a line's end, `[{"`, gzip.
    const BEGINNINGS: [&str; 5] = ["eyJ", "eyAi", "ewo", "W3si", "H4sI"];
    const BYTES_MIN: usize = 16;
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=.\r\n".contains(&byte);
    text.len() >= BYTES_MIN
        && BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
        && text.trim_end().bytes().all(is_base64)
}

fn is_json_with_names(text: &str) -> bool {
    match json::read(text.as_bytes(), usize::MAX) {
        Ok(document) => match document.value {
            Value::List(items) => items.iter().any(|item| item.is_container() || matches!(item, Value::Text(_))),
            value => value.is_object(),
        },
        Err(_) => false,
    }
}

/// Whether `name` stands in the text as a word with a separator behind it (commas and tabs separate in a text of lines), or in quotes where a
/// value stands, as in `('name', ..`, `name="name"`. Both in lower case.
fn names_a_field(text: &str, name: &str) -> bool {
    const QUOTES: [char; 2] = ['"', '\''];
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_table = text.contains('\n');
    !name.is_empty()
        && text.match_indices(name).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + name.len()..]);
            let behind = after.trim_start_matches(['"', '\'', '\\', ' ']).chars().next();
            let separates = match behind {
                Some(':' | '=' | '>') => true,
                Some(',' | ';' | '|' | '\t' | '\n' | '\r') => is_table,
                _ => false,
            };
            let is_value = QUOTES.into_iter().any(|quote| {
                after.starts_with(quote)
                    && before.strip_suffix(quote).is_some_and(|before| before.trim_end().ends_with(STRUCTURE))
            });
            (separates || is_value) && !before.ends_with(is_word) && !after.starts_with(is_word)
        })
}

/// What stands before a value in quotes.
const STRUCTURE: [char; 6] = ['(', '[', '{', '=', ':', ','];
