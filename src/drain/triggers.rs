//! When an open range closes, and why. Pure: `now` is an argument, on the clock that [`AtHand::since_ms`] is on.
//!
//! Any trigger is safe (design D4): it decides where a file ends, never what its key is.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::source::PartitionId;

/// Age of a process's first file of a partition: a newcomer sees rows within seconds. Each next one may be twice as old, up to `roll.every`.
const FIRST_AGE: Duration = Duration::from_secs(5);

/// Partitions close up to this part of their age earlier, each by its own amount, so that they do not all close at once.
const JITTER: f64 = 0.15;

/// File bytes per value byte before the first file has told (`notes`: JSON of 0.5-1.2 KB shrinks 8-10 times; a young table less).
const FILE_RATIO_AT_FIRST: f64 = 0.2;

/// A range that is open for less says nothing of how fast it grows.
const TELLING_MS: i64 = 1_000;

/// Why a range was closed: one set of words for log lines, footers, the API and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The file would be larger than `roll.size`.
    Size,
    /// The oldest message waits for `roll.every`, or less while the chain is young.
    Age,
    /// A record of a later date follows.
    Date,
    /// More waits in the log or the spool than may.
    Pressure,
    /// Somebody asked for it.
    Manual,
    /// The process stops.
    Stop,
}

impl Cause {
    pub const ALL: [Cause; 6] = [Cause::Size, Cause::Age, Cause::Date, Cause::Pressure, Cause::Manual, Cause::Stop];

    /// Reads what [`word`](Cause::word) wrote.
    pub fn from_word(word: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.word() == word)
    }

    pub fn word(self) -> &'static str {
        match self {
            Cause::Size => "size",
            Cause::Age => "age",
            Cause::Date => "date",
            Cause::Pressure => "pressure",
            Cause::Manual => "manual",
            Cause::Stop => "stop",
        }
    }
}

/// What waits in one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AtHand {
    pub messages: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// When the oldest of them was first seen, on a clock that only goes forward; `None` while there is none.
    pub since_ms: Option<i64>,
}

/// The rules of one partition, which learn from its files.
#[derive(Debug, Clone)]
pub struct Triggers {
    roll_bytes: u64,
    roll_every: Duration,
    /// How old the next range may become, before the jitter.
    age: Duration,
    /// 1 - JITTER ..= 1, from the partition's name.
    part: f64,
    /// File bytes per value byte, as the last file had it.
    file_ratio: f64,
}

impl Triggers {
    pub fn new(partition: &PartitionId, roll_bytes: u64, roll_every: Duration) -> Triggers {
        let name = format!("{}/{}/{}", partition.topic, partition.origin, partition.partition);
        let spread = (xxh3_64(name.as_bytes()) >> 11) as f64 / (1u64 << 53) as f64;
        Triggers {
            roll_bytes: roll_bytes.max(1),
            roll_every,
            age: FIRST_AGE.min(roll_every),
            part: 1.0 - JITTER * spread,
            file_ratio: FILE_RATIO_AT_FIRST,
        }
    }

    /// Whether the range closes now, and why. An empty range never does.
    pub fn due(&self, at_hand: &AtHand, now_ms: i64) -> Option<Cause> {
        if at_hand.messages == 0 {
            return None;
        }
        if at_hand.bytes as f64 >= self.value_bytes_max() {
            return Some(Cause::Size);
        }
        // Asked on every tick, so it closes an idle range too.
        (now_ms >= self.closes_ms(at_hand)?).then_some(Cause::Age)
    }

    /// When the range closes by age, unless something closes it before.
    pub fn closes_ms(&self, at_hand: &AtHand) -> Option<i64> {
        let since_ms = at_hand.since_ms.filter(|_| at_hand.messages > 0)?;
        Some(since_ms.saturating_add(i64::try_from(self.age_max().as_millis()).unwrap_or(i64::MAX)))
    }

    /// When the range is expected to close, and why: by age at the latest, by size if it goes on to grow as it did.
    pub fn closes(&self, at_hand: &AtHand, now_ms: i64) -> Option<(i64, Cause)> {
        let by_age_ms = self.closes_ms(at_hand)?;
        let open_ms = now_ms.saturating_sub(at_hand.since_ms?);
        let left = self.value_bytes_max() - at_hand.bytes as f64;
        if left <= 0.0 {
            return Some((now_ms, Cause::Size));
        }
        let by_size_ms = match open_ms {
            // The first moments tell nothing of the rate.
            ..TELLING_MS => i64::MAX,
            _ => now_ms.saturating_add((left * open_ms as f64 / at_hand.bytes.max(1) as f64) as i64),
        };
        Some(if by_size_ms < by_age_ms { (by_size_ms, Cause::Size) } else { (by_age_ms, Cause::Age) })
    }

    /// How old the open range may become.
    pub fn age_max(&self) -> Duration {
        self.age.mul_f64(self.part)
    }

    /// Value bytes that are expected to fill a file.
    pub fn value_bytes_max(&self) -> f64 {
        self.roll_bytes as f64 / self.file_ratio
    }

    /// A file of `file_bytes` was made from `value_bytes`.
    pub fn written(&mut self, value_bytes: u64, file_bytes: u64) {
        // Small files are mostly footer and say little about large ones.
        const TELLING_BYTES: u64 = 1024 * 1024;
        if value_bytes >= TELLING_BYTES {
            self.file_ratio = (file_bytes as f64 / value_bytes as f64).clamp(0.01, 2.0);
        }
    }

    /// A file was stored: the next range may become twice as old, up to `roll.every`.
    pub fn stored(&mut self) {
        self.age = (self.age * 2).min(self.roll_every);
    }
}

/// The partition to close while more waits than may: the one with the most bytes. `waiting`: bytes at hand, in any order.
pub fn under_pressure<K>(waiting: impl Iterator<Item = (K, u64)>, bytes_max: u64) -> Option<K> {
    let mut sum = 0u64;
    let mut largest: Option<(K, u64)> = None;
    for (partition, bytes) in waiting {
        sum = sum.saturating_add(bytes);
        if bytes > largest.as_ref().map_or(0, |(_, most)| *most) {
            largest = Some((partition, bytes));
        }
    }
    largest.filter(|_| sum >= bytes_max).map(|(partition, _)| partition)
}

/// Waits between attempts: 200 ms, doubling up to 30 s, each a random part of that (full jitter), so that many drains do not knock together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(200);
    const LAST: Duration = Duration::from_secs(30);

    /// The wait before the next attempt; `random` is any number, its low bits spread.
    pub fn next(&mut self, random: u64) -> Duration {
        let ceiling = (Self::FIRST * 2u32.saturating_pow(self.attempts.min(10))).min(Self::LAST);
        self.attempts = self.attempts.saturating_add(1);
        ceiling.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64)
    }

    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000;

    fn partition(partition: u32) -> PartitionId {
        PartitionId { topic: "churn".into(), origin: "churn".into(), partition }
    }

    fn triggers() -> Triggers {
        Triggers::new(&partition(0), 1 << 20, Duration::from_secs(300))
    }

    fn at_hand(messages: u64, bytes: u64) -> AtHand {
        AtHand { messages, bytes, since_ms: Some(0) }
    }

    #[test]
    fn an_idle_range_closes_by_age_without_new_messages() {
        let triggers = triggers();
        let waiting = at_hand(1, 10);
        assert_eq!(triggers.due(&waiting, 4 * SECOND), None);
        assert_eq!(triggers.due(&waiting, 5 * SECOND), Some(Cause::Age));
        assert_eq!(triggers.due(&waiting, 900 * SECOND), Some(Cause::Age));
    }

    #[test]
    fn an_empty_range_never_closes() {
        assert_eq!(triggers().due(&AtHand { messages: 0, bytes: 0, since_ms: Some(0) }, i64::MAX), None);
        assert_eq!(triggers().due(&AtHand::default(), i64::MAX), None);
    }

    #[test]
    fn a_young_chain_closes_early_and_grows_up() {
        let mut triggers = triggers();
        let mut ages = Vec::new();
        for _ in 0..9 {
            ages.push((triggers.age_max().as_secs_f64() / triggers.part).round() as u64);
            triggers.stored();
        }
        assert_eq!(ages, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        let eager = Triggers::new(&partition(0), 1, Duration::from_secs(1));
        assert!(
            eager.age_max() <= Duration::from_secs(1),
            "roll.every below five seconds holds from the first file on"
        );
    }

    #[test]
    fn the_age_is_jittered_by_partition_and_always_the_same() {
        let ages: Vec<_> = (0..16).map(|p| Triggers::new(&partition(p), 1, Duration::from_secs(2)).age_max()).collect();
        let again: Vec<_> =
            (0..16).map(|p| Triggers::new(&partition(p), 1, Duration::from_secs(2)).age_max()).collect();
        assert_eq!(ages, again);
        assert!(ages.iter().all(|age| (1.7..=2.0).contains(&age.as_secs_f64())), "{ages:?}");
        let distinct: std::collections::BTreeSet<_> = ages.iter().collect();
        assert!(distinct.len() > 12, "{ages:?}");
    }

    #[test]
    fn size_is_of_the_file_and_learnt_from_the_last_one() {
        let mut triggers = triggers();
        assert_eq!(triggers.due(&at_hand(9, 5 << 20), 0), Some(Cause::Size));
        assert_eq!(triggers.due(&at_hand(9, (5 << 20) - 1), 0), None);
        triggers.written(10 << 20, 1 << 20);
        assert_eq!(triggers.due(&at_hand(9, 9 << 20), 0), None);
        assert_eq!(triggers.due(&at_hand(9, 10 << 20), 0), Some(Cause::Size));
        triggers.written(100, 20_000);
        assert_eq!(triggers.due(&at_hand(9, 9 << 20), 0), None, "a tiny file teaches nothing");
    }

    #[test]
    fn what_will_close_a_range_is_told_before_it_does() {
        let triggers = triggers();
        // 5 MiB of values fill the file; the age is 5 s less the jitter.
        let by_age = triggers.closes_ms(&at_hand(1, 10)).unwrap();
        assert_eq!(triggers.closes(&at_hand(0, 0), 0), None);
        assert_eq!(triggers.closes(&at_hand(1, 1 << 20), 2 * SECOND), Some((by_age, Cause::Age)), "10 s at this rate");
        assert_eq!(
            triggers.closes(&at_hand(1, 4 << 20), 2 * SECOND),
            Some((2_500, Cause::Size)),
            "a MiB in half a second"
        );
        assert_eq!(triggers.closes(&at_hand(1, 4 << 20), 10), Some((by_age, Cause::Age)), "too early to tell");
        assert_eq!(triggers.closes(&at_hand(1, 5 << 20), 10), Some((10, Cause::Size)));
    }

    #[test]
    fn the_word_of_a_cause_is_read_back() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_word(cause.word()), Some(cause));
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.word());
        }
        assert_eq!(Cause::from_word("whim"), None);
    }

    #[test]
    fn pressure_closes_the_largest_range() {
        let waiting = [("a", 10), ("b", 30), ("c", 20)];
        assert_eq!(under_pressure(waiting.into_iter(), 61), None);
        assert_eq!(under_pressure(waiting.into_iter(), 60), Some("b"));
        assert_eq!(under_pressure([("a", 0)].into_iter(), 0), None, "an empty range cannot be closed");
    }

    #[test]
    fn retries_back_off_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let ceilings: Vec<_> = (0..10).map(|_| backoff.next(u64::MAX).as_secs_f64()).collect();
        assert!((ceilings[0] - 0.2).abs() < 0.01 && (ceilings[3] - 1.6).abs() < 0.01, "{ceilings:?}");
        assert!((ceilings[9] - 30.0).abs() < 0.01, "{ceilings:?}");
        assert_eq!(backoff.next(0), Duration::ZERO);
        backoff.reset();
        assert!(backoff.next(u64::MAX) <= Duration::from_millis(200));
    }
}
