//! What a chain holds of each producer, so that what is sent again is known.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::log::Intervals;

/// What a chain holds of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSeen {
    pub seqs: Intervals,
    /// Timestamp of its newest row, on the broker's or the log's clock.
    pub last_seen_ms: i64,
}

/// What a chain holds of each source, by the text of the message header `source`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources(pub BTreeMap<String, SourceSeen>);

impl Sources {
    pub fn new() -> Sources {
        Sources::default()
    }

    /// Notes that a row was seen; `false`: a resend, it was there.
    pub fn insert(&mut self, source: &str, seq: u64, timestamp_ms: i64) -> bool {
        self.seen(source, timestamp_ms).seqs.insert(seq)
    }

    /// Notes that the rows `from..to` were seen (a damaged range stands for all of its own).
    pub fn insert_range(&mut self, source: &str, from: u64, to: u64, timestamp_ms: i64) {
        self.seen(source, timestamp_ms).seqs.insert_range(from, to);
    }

    pub fn contains(&self, source: &str, seq: u64) -> bool {
        self.0.get(source).is_some_and(|seen| seen.seqs.contains(seq))
    }

    pub fn get(&self, source: &str) -> Option<&SourceSeen> {
        self.0.get(source)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &SourceSeen)> {
        self.0.iter().map(|(source, seen)| (source.as_str(), seen))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets the sources not seen for longer than `window` before `now_ms` (same clock as the rows' timestamps).
    pub fn prune(&mut self, now_ms: i64, window: Duration) {
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        self.0.retain(|_, seen| seen.last_seen_ms >= now_ms.saturating_sub(window_ms));
    }

    /// Forgets the lowest numbers of whoever has the most intervals, until no more than `intervals_max` are left: rows that are sent again
    /// after that are stored again.
    pub fn forget_beyond(&mut self, intervals_max: usize) {
        let count = |seen: &SourceSeen| seen.seqs.len();
        let mut beyond = self.0.values().map(count).sum::<usize>().saturating_sub(intervals_max);
        while beyond > 0
            && let Some(most) = self.0.values_mut().max_by_key(|seen| count(seen))
        {
            for _ in 0..beyond.min(count(most).div_ceil(2)) {
                most.seqs.pop_first();
                beyond -= 1;
            }
            self.0.retain(|_, seen| !seen.seqs.is_empty());
        }
    }

    fn seen(&mut self, source: &str, timestamp_ms: i64) -> &mut SourceSeen {
        // Looked up first, so that a row of a known source allocates nothing.
        if !self.0.contains_key(source) {
            let seen = SourceSeen { seqs: Intervals::new(), last_seen_ms: timestamp_ms };
            self.0.insert(source.to_owned(), seen);
        }
        let seen = self.0.get_mut(source).expect("put there above");
        seen.last_seen_ms = seen.last_seen_ms.max(timestamp_ms);
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_forget_only_who_was_silent() {
        let mut sources = Sources::new();
        assert!(sources.insert("a", 0, 1_000));
        assert!(sources.insert("b", 0, 5_000));
        assert!(!sources.insert("b", 0, 4_000));
        sources.prune(6_000, Duration::from_millis(4_999));
        assert_eq!(sources.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["b"]);
        assert_eq!(sources.get("b").unwrap().last_seen_ms, 5_000);
        sources.prune(i64::MIN, Duration::MAX);
        assert!(sources.contains("b", 0));
    }

    #[test]
    fn who_counts_in_leaps_does_not_fill_the_footers() {
        let mut sources = Sources::new();
        (0..10).for_each(|seq| assert!(sources.insert("log", seq, 0)));
        (0..100).for_each(|n| assert!(sources.insert("leaps", 2 * n, 0)));
        sources.forget_beyond(11);
        assert_eq!(sources.iter().map(|(_, seen)| seen.seqs.iter().count()).sum::<usize>(), 11);
        assert!(sources.contains("log", 0) && sources.contains("leaps", 198) && !sources.contains("leaps", 0));
        sources.forget_beyond(11);
        assert!(sources.contains("leaps", 180));
        sources.forget_beyond(0);
        assert!(sources.is_empty());
    }
}
