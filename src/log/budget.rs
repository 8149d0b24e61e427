//! How the topics share `log.max_size`. Pure.
//!
//! A topic's fair share is `max_size` / topics. The total never exceeds `max_size`. So that a topic below its share
//! finds room at any time, topics above theirs leave free what the others have not used of theirs, up to a quarter of the whole:
//! only they drop while there is room to be had at all.

use crate::config;

/// A topic that holds a quarter of the log in one segment per lane would never give room back.
const SEGMENTS_PER_LANE: u64 = 4;
const SEGMENT_BYTES_MIN: u64 = 16 << 10;

/// Whether a topic that uses `of_topic` bytes may use `wanted` more.
pub(super) fn fits(bytes_max: u64, wanted: u64, of_topic: u64, of_others: impl Iterator<Item = u64> + Clone) -> bool {
    let others: u64 = of_others.clone().sum();
    let total = of_topic.saturating_add(others).saturating_add(wanted);
    if total > bytes_max {
        return false;
    }
    let topics = of_others.clone().count() as u64 + 1;
    let share = bytes_max / topics;
    if of_topic.saturating_add(wanted) <= share {
        return true;
    }
    let kept_free = of_others.map(|bytes| share.saturating_sub(bytes)).sum::<u64>().min(bytes_max / 4);
    total.saturating_add(kept_free) <= bytes_max
}

/// Whether any topic may make the total this large: what [`fits`] says without looking at each.
pub(super) fn fits_whoever_asks(bytes_max: u64, total: u64) -> bool {
    total <= bytes_max - bytes_max / 4
}

/// Length of segments: as configured, but small enough that every lane has several.
pub(super) fn segment_bytes(log: &config::Log, lanes: usize) -> u64 {
    let fair = log.bytes_max / (SEGMENTS_PER_LANE * lanes.max(1) as u64);
    log.segment_bytes.min(fair.max(SEGMENT_BYTES_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_topic_may_use_all_and_no_more() {
        assert!(fits(1000, 100, 900, [].into_iter()));
        assert!(!fits(1000, 101, 900, [].into_iter()));
    }

    #[test]
    fn a_topic_above_its_share_stops_before_the_others_are_out_of_room() {
        // Shares of 500; the idle neighbour could still want 500, a quarter of the whole is kept for it.
        assert!(fits(1000, 50, 700, [0].into_iter()));
        assert!(!fits(1000, 51, 700, [0].into_iter()));
        // The neighbour takes it, and the whole is never exceeded.
        assert!(fits(1000, 250, 0, [750].into_iter()));
        assert!(!fits(1000, 251, 0, [750].into_iter()));
        // A neighbour that has used its share needs none kept.
        assert!(fits(1000, 50, 450, [500].into_iter()));
    }

    #[test]
    fn segments_shrink_with_the_number_of_lanes() {
        let log = config::Log {
            sync: std::time::Duration::ZERO,
            bytes_max: 2 << 30,
            reserve_free_bytes: 0,
            segment_bytes: 64 << 20,
        };
        assert_eq!(segment_bytes(&log, 1), 64 << 20);
        assert_eq!(segment_bytes(&log, 64), 8 << 20);
        assert_eq!(segment_bytes(&config::Log { bytes_max: 1, ..log }, 64), SEGMENT_BYTES_MIN);
    }
}
