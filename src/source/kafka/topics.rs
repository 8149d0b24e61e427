//! Which topics the drain reads: names, and patterns over all names.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use crate::config::topic_pattern;

/// Gives the names and patterns wanted at present; asked again and again, as models and their topics appear.
///
/// What is a pattern says [`topic_pattern`].
#[derive(Clone)]
pub struct TopicPicker {
    current: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    optional: Arc<[String]>,
}

impl TopicPicker {
    pub fn new(current: impl Fn() -> Vec<String> + Send + Sync + 'static) -> TopicPicker {
        TopicPicker { current: Arc::new(current), optional: Arc::default() }
    }

    /// Names that are read once they are there, and not missed before.
    pub fn optional(self, names: Vec<String>) -> TopicPicker {
        TopicPicker { optional: names.into(), ..self }
    }

    /// Always the same names and patterns.
    pub fn fixed(names: Vec<String>) -> TopicPicker {
        TopicPicker::new(move || names.clone())
    }

    pub(super) fn current(&self) -> Wanted {
        let mut wanted = Wanted::default();
        for text in (self.current)() {
            match topic_pattern(&text) {
                Ok(Some(pattern)) => wanted.patterns.push(pattern),
                Ok(None) => wanted.names.push(text),
                Err(error) => wanted.bad.push(error.to_string()),
            }
        }
        wanted.names.sort_unstable();
        wanted.names.dedup();
        wanted.optional = self.optional.iter().filter(|name| !wanted.is_named(name)).cloned().collect();
        wanted
    }
}

impl fmt::Debug for TopicPicker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicPicker").field(&(self.current)()).field(&self.optional).finish()
    }
}

/// What is wanted at one moment.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub names: Vec<String>,
    pub optional: Vec<String>,
    pub patterns: Vec<Regex>,
    pub bad: Vec<String>,
}

impl Wanted {
    fn is_named(&self, topic: &str) -> bool {
        self.names.binary_search_by(|name| name.as_str().cmp(topic)).is_ok()
    }

    /// Topics of Kafka itself and of its tools (`__consumer_offsets`, `_schemas`) are read only by their exact names.
    pub fn takes(&self, topic: &str) -> bool {
        self.is_named(topic)
            || self.optional.iter().any(|name| name == topic)
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
    fn an_optional_name_is_taken_and_not_missed_unless_it_is_wanted_anyway() {
        let picker = TopicPicker::fixed(vec!["churn".into(), "a.feedback".into()]);
        let wanted = picker.optional(vec!["a.feedback".into(), "churn.feedback".into()]).current();
        assert!(wanted.takes("churn.feedback") && wanted.takes("a.feedback") && !wanted.takes("b.feedback"));
        assert_eq!(
            (wanted.names, wanted.optional),
            (vec!["a.feedback".into(), "churn".into()], vec!["churn.feedback".to_owned()])
        );
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
