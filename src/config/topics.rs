//! How a text of `drain.topics` is read: a name, or a pattern over all names; and which topics are those of feedback.

use regex::Regex;

/// Ends the name of the topic (and table) of a model's feedback, and no other's.
pub const FEEDBACK_SUFFIX: &str = ".feedback";

/// The topic of the feedback of a model whose predictions are on `topic`.
pub fn feedback_topic(topic: &str) -> String {
    format!("{topic}{FEEDBACK_SUFFIX}")
}

/// Whether a topic is one of feedback.
pub fn is_feedback_topic(topic: &str) -> bool {
    topic.ends_with(FEEDBACK_SUFFIX)
}

/// A pattern that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is not a topic pattern; write a regular expression that starts with `^`, or a name with `*`")]
pub struct BadPattern {
    pub pattern: String,
    #[source]
    pub source: regex::Error,
}

/// The pattern of a text, or `None` if it is a name.
///
/// A text that starts with `^` is a regular expression over the whole name, one with a `*` matches any characters there.
///
/// # Errors
/// The expression cannot be read.
pub fn topic_pattern(text: &str) -> Result<Option<Regex>, BadPattern> {
    let expression = if let Some(expression) = text.strip_prefix('^') {
        format!("^(?:{})$", expression.strip_suffix('$').unwrap_or(expression))
    } else if text.contains('*') {
        let parts: Vec<String> = text.split('*').map(regex::escape).collect();
        format!("^{}$", parts.join(".*"))
    } else {
        return Ok(None);
    };
    Regex::new(&expression).map(Some).map_err(|source| BadPattern { pattern: text.to_owned(), source })
}
