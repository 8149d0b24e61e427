//! Sets of sequence numbers, kept as merged intervals: normally one per producer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A set of numbers as half-open intervals, disjoint and never touching. `u64::MAX` itself is never in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<(u64, u64)>", try_from = "Vec<(u64, u64)>")]
pub struct Intervals(BTreeMap<u64, u64>);

impl Intervals {
    pub fn new() -> Intervals {
        Intervals::default()
    }

    /// Adds one number; `false`: it was there.
    pub fn insert(&mut self, seq: u64) -> bool {
        let after = seq.saturating_add(1);
        // Producers count upwards: most numbers lengthen the last interval.
        if let Some(mut last) = self.0.last_entry()
            && *last.get() == seq
        {
            *last.get_mut() = after;
            return true;
        }
        if self.contains(seq) {
            return false;
        }
        self.insert_range(seq, after);
        true
    }

    /// Adds `from..to`, whatever of it was there already.
    pub fn insert_range(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let (mut start, mut end) = (from, to);
        if let Some((&before, &before_end)) = self.0.range(..=from).next_back()
            && before_end >= from
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&inside, &inside_end)) = self.0.range(start..=end).next() {
            end = end.max(inside_end);
            self.0.remove(&inside);
        }
        self.0.insert(start, end);
    }

    /// Adds every number of `other`.
    pub fn insert_all(&mut self, other: &Intervals) {
        for (from, to) in other.iter() {
            self.insert_range(from, to);
        }
    }

    pub fn contains(&self, seq: u64) -> bool {
        self.0.range(..=seq).next_back().is_some_and(|(_, &end)| seq < end)
    }

    /// Whether every number of `from..to` is in it.
    pub fn contains_range(&self, from: u64, to: u64) -> bool {
        from >= to || self.0.range(..=from).next_back().is_some_and(|(_, &end)| to <= end)
    }

    /// The intervals, lowest first, as `(from, to)` with `to` not in it.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(&from, &to)| (from, to))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many intervals.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the lowest interval out.
    pub fn pop_first(&mut self) -> Option<(u64, u64)> {
        self.0.pop_first()
    }

    /// How many numbers.
    pub fn count(&self) -> u64 {
        self.iter().map(|(from, to)| to - from).sum()
    }

    /// What is missing between the lowest and the highest number.
    pub fn holes(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.iter().zip(self.iter().skip(1)).map(|((_, end), (start, _))| (end, start))
    }

    /// The numbers that are in both.
    pub fn intersection(&self, other: &Intervals) -> Intervals {
        let (mut mine, mut others) = (self.iter().peekable(), other.iter().peekable());
        let mut out = Intervals::new();
        while let (Some(&(a, a_end)), Some(&(b, b_end))) = (mine.peek(), others.peek()) {
            out.insert_range(a.max(b), a_end.min(b_end));
            if a_end <= b_end {
                mine.next()
            } else {
                others.next()
            };
        }
        out
    }

    /// The numbers that are in this set and not in `other`.
    pub fn difference(&self, other: &Intervals) -> Intervals {
        let mut out = Intervals::new();
        for (mut from, to) in self.iter() {
            // The interval of `other` that `from` may lie in, and all that start before `to`.
            let begin = other.0.range(..=from).next_back().map_or(from, |(&start, _)| start);
            for (&start, &end) in other.0.range(begin..to) {
                out.insert_range(from, start);
                from = from.max(end);
            }
            out.insert_range(from, to);
        }
        out
    }
}

impl From<Intervals> for Vec<(u64, u64)> {
    fn from(set: Intervals) -> Vec<(u64, u64)> {
        set.iter().collect()
    }
}

impl TryFrom<Vec<(u64, u64)>> for Intervals {
    type Error = String;

    fn try_from(pairs: Vec<(u64, u64)>) -> Result<Intervals, String> {
        let mut set = Intervals::new();
        for (from, to) in pairs {
            if from >= to {
                return Err(format!("{from}..{to} is no interval"));
            }
            set.insert_range(from, to);
        }
        Ok(set)
    }
}

impl FromIterator<u64> for Intervals {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Intervals {
        let mut set = Intervals::new();
        for seq in numbers {
            set.insert(seq);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_highest_number_is_never_kept_and_never_panics() {
        let mut set = Intervals::new();
        assert!(set.insert(u64::MAX));
        assert!(!set.contains(u64::MAX));
        assert!(set.insert(u64::MAX - 1));
        assert!(!set.insert(u64::MAX - 1));
        assert!(set.insert(u64::MAX));
        assert_eq!(set.count(), 1);
    }

    #[test]
    fn an_interval_that_is_none_is_refused() {
        assert!(serde_json::from_str::<Intervals>("[[3,3]]").is_err());
        assert!(serde_json::from_str::<Intervals>("[[4,3]]").is_err());
        assert!(serde_json::from_str::<Intervals>("[[-1,3]]").is_err());
    }

    #[derive(Debug, Clone)]
    enum Step {
        One(u64),
        Range(u64, u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0u64..60).prop_map(Step::One),
            1 => (0u64..60, 0u64..12).prop_map(|(from, len)| Step::Range(from, from + len)),
        ];
        prop::collection::vec(step, 0..60)
    }

    /// The set, and the same in the plainest form; every step's answer is compared on the way.
    fn build(steps: &[Step]) -> (Intervals, BTreeSet<u64>) {
        let (mut set, mut plain) = (Intervals::new(), BTreeSet::new());
        for step in steps {
            match *step {
                Step::One(seq) => assert_eq!(set.insert(seq), plain.insert(seq)),
                Step::Range(from, to) => {
                    set.insert_range(from, to);
                    plain.extend(from..to);
                }
            }
        }
        (set, plain)
    }

    fn flat(set: &Intervals) -> BTreeSet<u64> {
        set.iter().flat_map(|(from, to)| from..to).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_numbers(steps in steps()) {
            let (set, plain) = build(&steps);
            prop_assert_eq!(&flat(&set), &plain);
            prop_assert_eq!(set.count(), plain.len() as u64);
            for seq in 0..80 {
                prop_assert_eq!(set.contains(seq), plain.contains(&seq));
                prop_assert_eq!(set.contains_range(seq, seq + 3), (seq..seq + 3).all(|s| plain.contains(&s)));
            }
            // Disjoint and never touching: the one form in which equal sets are equal values.
            prop_assert!(set.holes().all(|(from, to)| from < to));
            let holes: BTreeSet<u64> = set.holes().flat_map(|(from, to)| from..to).collect();
            let missing = match (plain.first(), plain.last()) {
                (Some(&first), Some(&last)) => (first..last).filter(|s| !plain.contains(s)).collect(),
                _ => BTreeSet::new(),
            };
            prop_assert_eq!(holes, missing);
            let json = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(serde_json::from_str::<Intervals>(&json).unwrap(), set);
        }

        #[test]
        fn two_sets_join_meet_and_differ(a in steps(), b in steps()) {
            let ((a, plain_a), (b, plain_b)) = (build(&a), build(&b));
            prop_assert_eq!(flat(&a.intersection(&b)), plain_a.intersection(&plain_b).copied().collect());
            prop_assert_eq!(flat(&a.difference(&b)), plain_a.difference(&plain_b).copied().collect());
            let mut both = a.clone();
            both.insert_all(&b);
            prop_assert_eq!(flat(&both), plain_a.union(&plain_b).copied().collect());
        }
    }
}
