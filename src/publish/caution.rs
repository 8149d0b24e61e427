//! How much a lane sends at once after a refusal.
//!
//! Kafka refuses a whole batch for one message in it, and a message that is refused for good is sent again and again. If everything behind it went along each
//! time, the topic would fill with resends. So a lane begins with one message, sends twice as many each time they were acknowledged, and with one again
//! after the next refusal: what is refused ends up alone.

/// The most that one step sends.
const AT_ONCE_MAX: usize = 512;

#[derive(Debug)]
pub(super) struct Caution {
    /// First seq after the refused messages.
    until: u64,
    at_once: usize,
    /// The cursor when `at_once` was set.
    from: u64,
}

impl Caution {
    /// After a refusal of messages below `until`; `cursor` is the first seq not acknowledged.
    pub(super) fn after(cursor: u64, until: u64) -> Caution {
        Caution { until, at_once: 1, from: cursor }
    }

    /// How many messages are sent next, when none is under way; `None`: all that was refused is acknowledged.
    pub(super) fn at_once(&mut self, cursor: u64) -> Option<usize> {
        if cursor >= self.until {
            return None;
        }
        if cursor > self.from {
            self.from = cursor;
            self.at_once = (self.at_once * 2).min(AT_ONCE_MAX);
        }
        Some(self.at_once)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds of a lane of 1,000 messages in which each batch that holds `bad` is refused whole; how many each round sent, and the cursor.
    fn rounds(count: usize, bad: Option<u64>) -> (Vec<usize>, u64) {
        let (mut cursor, mut sent) = (0, Vec::new());
        let mut caution = Caution::after(cursor, 1_000);
        for _ in 0..count {
            let Some(at_once) = caution.at_once(cursor) else { break };
            let end = (cursor + at_once as u64).min(1_000);
            sent.push((end - cursor) as usize);
            match bad {
                Some(bad) if (cursor..end).contains(&bad) => caution = Caution::after(cursor, 1_000),
                _ => cursor = end,
            }
        }
        (sent, cursor)
    }

    #[test]
    fn what_is_refused_for_good_ends_up_alone() {
        let (sent, cursor) = rounds(200, Some(437));
        assert_eq!(cursor, 437, "what stands before it gets through");
        assert_eq!(sent[150..], [1; 50], "and only it is sent again");
        assert!(sent[..150].iter().sum::<usize>() < 2_000, "{sent:?}");
    }

    #[test]
    fn what_is_taken_now_goes_out_in_ever_larger_steps() {
        let (sent, cursor) = rounds(200, None);
        assert_eq!((cursor, &sent[..4]), (1_000, &[1, 2, 4, 8][..]));
        assert!(sent.len() <= 10, "{sent:?}");
    }

    #[test]
    fn waiting_is_not_taken_for_success() {
        let mut caution = Caution::after(5, 9);
        assert_eq!([caution.at_once(5), caution.at_once(5), caution.at_once(6)], [Some(1), Some(1), Some(2)]);
        assert_eq!(caution.at_once(9), None);
    }
}
