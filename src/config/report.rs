//! What is wrong with a configuration, as a person reads it: what, where, and what to write instead. No secret is ever
//! shown, not even in the line that the error points at.

use std::fmt;

/// A configuration that cannot be used. Its `Display` is the whole message: several lines, without a line end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// One sentence, lower case.
    pub what: String,
    /// What to write or do instead.
    pub fix: String,
    /// `None` for what did not come from a file.
    pub place: Option<Box<Place>>,
    /// Further lines, for example the keys that are allowed.
    pub notes: Vec<String>,
}

/// Where in a file, with the line as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters; 0 if only the file is known.
    pub column: usize,
    /// Characters to underline.
    pub width: usize,
    /// The line, secrets replaced; `None` if there is none to show.
    pub snippet: Option<String>,
}

impl ConfigError {
    /// An error that belongs to no file (the command line).
    pub fn outside(what: impl Into<String>, fix: impl Into<String>) -> ConfigError {
        ConfigError { what: what.into(), fix: fix.into(), place: None, notes: Vec::new() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        let Some(place) = &self.place else {
            return write!(f, "\n  = {}", self.fix);
        };
        let number = if place.column == 0 { String::new() } else { place.line.to_string() };
        let margin = " ".repeat(number.len());
        if place.column == 0 {
            write!(f, "\n --> {}", place.file)?;
        } else {
            write!(f, "\n{margin}--> {}:{}:{}", place.file, place.line, place.column)?;
        }
        match &place.snippet {
            Some(snippet) => {
                let indent = " ".repeat(place.column.saturating_sub(1));
                let carets = "^".repeat(place.width.max(1));
                write!(f, "\n{margin} |\n{number} | {snippet}\n{margin} | {indent}{carets} {}", self.fix)?;
            }
            None => write!(f, "\n{margin} = {}", self.fix)?,
        }
        for note in &self.notes {
            write!(f, "\n{margin} = {note}")?;
        }
        Ok(())
    }
}

/// Cuts out the place of an error: line `line`, with every secret in it masked and control characters dropped.
pub(super) fn place(file: &str, text: &str, line: usize, column: usize, width: usize) -> Box<Place> {
    let source = text.lines().nth(line.saturating_sub(1));
    let snippet = source.map(|source| {
        let shown = if inside_secret_block(text, line) { "***".to_owned() } else { mask(source) };
        shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()
    });
    // Underlining no more than what is shown: the length of a secret is nobody's business either.
    let length = snippet.as_ref().map_or(0, |shown| shown.chars().count());
    let width = width.min(length.saturating_sub(column.saturating_sub(1))).max(1);
    Box::new(Place { file: file.to_owned(), line, column, width, snippet })
}

/// Words in a key that say that its value is a secret.
const SECRET_WORDS: [&str; 10] =
    ["password", "passwd", "passphrase", "secret", "token", "credential", "credentials", "jaas", "hash", "apikey"];

/// Whether the value of this key must not be shown. Misspelt words count: `pasword: x` holds a password all the same.
pub(super) fn is_secret_key(key: &str) -> bool {
    key.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
        let word = word.to_ascii_lowercase();
        word == "key"
            || SECRET_WORDS.iter().any(|secret| word == *secret || (word.len() >= 4 && distance(&word, secret) <= 1))
    })
}

/// Replaces what follows the first secret key of a line, and user names and passwords in URLs.
fn mask(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some(colon) = rest.find(':') {
        let (before, after) = rest.split_at(colon + 1);
        let key = before.trim_end_matches(':').trim_end().trim_end_matches(['"', '\'']);
        let start = key.rfind(['{', ',', ' ', '"', '\'', '#', '[']).map_or(0, |at| at + 1);
        shown.push_str(before);
        rest = after;
        let is_value = after.starts_with([' ', '\t']) && !after.trim().is_empty();
        // `auto` is no secret, and a reference only names where the secret is.
        if is_value && is_secret_key(&key[start..]) && !is_public(after.trim()) {
            shown.push_str(" ***");
            rest = "";
        }
    }
    shown.push_str(rest);
    mask_userinfo(&shown)
}

/// Whether a value says nothing that must not be shown: `auto`, or one reference and nothing else.
fn is_public(value: &str) -> bool {
    let value = value.split(" #").next().unwrap_or(value).trim().trim_matches(['"', '\'']);
    value == "auto" || (value.starts_with("${") && value.find('}') == Some(value.len() - 1))
}

/// `http://user:password@host` becomes `http://***@host`, and `user:password@host` becomes `***@host`.
pub(super) fn mask_userinfo(text: &str) -> String {
    text.split_inclusive(|c: char| c.is_whitespace() || "\"',[]{}".contains(c))
        .map(|word| {
            let Some(at) = word.rfind('@') else { return word.to_owned() };
            let (user, host) = word.split_at(at);
            match user.split_once("://") {
                Some((scheme, _)) => format!("{scheme}://***{host}"),
                None if user.contains(':') => format!("***{host}"),
                None => word.to_owned(),
            }
        })
        .collect()
}

/// Whether the line belongs to a block below a secret key, for example the second line of `password: |`.
fn inside_secret_block(text: &str, line: usize) -> bool {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let Some((own, before)) = lines.split_last() else { return false };
    let mut level = indent(own);
    for above in before.iter().rev().filter(|above| !above.trim().is_empty()) {
        if indent(above) < level {
            level = indent(above);
            if above.split_once(':').is_some_and(|(key, _)| is_secret_key(key.trim())) {
                return true;
            }
        }
    }
    false
}

/// The word of `known` that `word` was meant to be: at most two edits away, and fewer than it has letters.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase();
    known
        .into_iter()
        .map(|candidate| (distance(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(edits, _)| *edits <= 2 && *edits < word.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![(0..=right.len()).collect::<Vec<usize>>()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let replace = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_in_the_line_that_holds_it() {
        assert_eq!(mask("  token: hunter2"), "  token: ***");
        assert_eq!(mask("sasl: { username: weir, password: hunter2 }"), "sasl: { username: weir, password: ***");
        assert_eq!(mask("  sasl.password: 'hunter2'"), "  sasl.password: ***");
        assert_eq!(mask("  \"ssl.key.password\": hunter2"), "  \"ssl.key.password\": ***");
        assert_eq!(mask("  pasword: hunter2"), "  pasword: ***");
        assert_eq!(mask("  inputs.id: { hash: abc }"), "  inputs.id: { hash: ***");
        assert_eq!(mask("upstream: http://me:hunter2@host:80/x"), "upstream: http://***@host:80/x");
        assert_eq!(mask("upstream: me:hunter2@host"), "upstream: ***@host");
        assert_eq!(mask("to: [http://me:hun/ter2@host, x]"), "to: [http://***@host, x]");
        assert_eq!(mask("upstream: http://host:80/x"), "upstream: http://host:80/x");
        assert_eq!(mask("  mail: someone@example.com"), "  mail: someone@example.com");
        assert_eq!(mask("  token: auto"), "  token: auto");
        assert_eq!(mask("  password: \"${env:NAME}\""), "  password: \"${env:NAME}\"");
        assert_eq!(mask("  password: ${env:NAME}hunter2"), "  password: ***");
    }

    #[test]
    fn a_line_below_a_secret_key_is_masked_whole() {
        let text = "kafka:\n  sasl:\n    password: |\n      hunter2\n    username: weir\n";
        assert_eq!(place("weir.yaml", text, 4, 7, 3).snippet.as_deref(), Some("***"));
        assert_eq!(place("weir.yaml", text, 5, 5, 8).snippet.as_deref(), Some("    username: weir"));
    }

    #[test]
    fn two_edits_are_a_suggestion_and_three_are_not() {
        let known = ["upstream", "path", "model"];
        assert_eq!(did_you_mean("upsteam", known), Some("upstream"));
        assert_eq!(did_you_mean("upstraem", known), Some("upstream"));
        assert_eq!(did_you_mean("Paths", known), Some("path"));
        assert_eq!(did_you_mean("upst", known), None);
        assert_eq!(did_you_mean("x", ["y"]), None);
    }
}
