//! Which topics the drain reads: names, and patterns over all names.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use crate::config::topic_pattern;

/// Gives the names and patterns wanted at present; asked again and again, as models and their topics appear.
///
/// What is a pattern says [`topic_pattern`].
#[derive(Clone)]
pub struct TopicPicker(Arc<dyn Fn() -> Vec<String> + Send + Sync>);

impl TopicPicker {
    pub fn new(current: impl Fn() -> Vec<String> + Send + Sync + 'static) -> TopicPicker {
        TopicPicker(Arc::new(current))
    }

    /// Always the same names and patterns.
    pub fn fixed(names: Vec<String>) -> TopicPicker {
        TopicPicker::new(move || names.clone())
    }

    pub(super) fn current(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for text in (self.0)() {
            match topic_pattern(&text) {
                Ok(Some(pattern)) => wanted.patterns.push(pattern),
                Ok(None) => wanted.names.push(text),
                Err(error) => wanted.bad.push(error.to_string()),
            }
        }
        wanted.names.sort_unstable();
        wanted.names.dedup();
        wanted
    }
}

impl fmt::Debug for TopicPicker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicPicker").field(&(self.0)()).finish()
    }
}

/// What is wanted at one moment.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub names: Vec<String>,
    pub patterns: Vec<Regex>,
    pub bad: Vec<String>,
}

impl Wanted {
    /// Topics of Kafka itself and of its tools (`__consumer_offsets`, `_schemas`) are read only by their exact names.
    pub fn takes(&self, topic: &str) -> bool {
        self.names.binary_search_by(|n| n.as_str().cmp(topic)).is_ok()
            || !topic.starts_with(['_', '.']) && self.patterns.iter().any(|p| p.is_match(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_globs_and_expressions() {
        let wanted = TopicPicker::fixed(vec!["churn".into(), "fraud-*".into(), "^(a|b)[0-9]+$".into()]).current();
        for topic in ["churn", "fraud-", "fraud-eu.v2", "a1", "b42"] {
            assert!(wanted.takes(topic), "{topic}");
        }
        for topic in ["churn2", "xfraud-1", "a", "a1b", "c1"] {
            assert!(!wanted.takes(topic), "{topic}");
        }
    }

    #[test]
    fn topics_of_kafka_itself_are_not_matched_by_patterns() {
        let wanted = TopicPicker::fixed(vec!["*".into()]).current();
        assert!(wanted.takes("churn"));
        assert!(!wanted.takes("__consumer_offsets"));
        assert!(!wanted.takes("_schemas"), "a table's folder cannot begin with an underscore");
        assert!(TopicPicker::fixed(vec!["__mine".into()]).current().takes("__mine"));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let bad = TopicPicker::fixed(vec!["^(".into()]).current().bad;
        assert!(bad.len() == 1 && bad[0].contains("`^(`"), "{bad:?}");
    }
}
