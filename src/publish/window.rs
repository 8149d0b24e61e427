//! What one lane has in flight. In: messages sent, delivery reports in any order. Out: the first seq not delivered.

use std::collections::VecDeque;

/// Messages of one lane between the log's reader and Kafka's answer. The cursor moves only over a gapless run of acknowledged messages.
#[derive(Debug)]
pub(crate) struct Window {
    cursor: u64,
    /// First seq that was never sent, as far as is known.
    sent_until: u64,
    /// The offset after the last message that moved the cursor while nothing sent earlier could stand behind it.
    offset: Option<u64>,
    /// Slot of the front of `sent`; slots count up from 0 and are never given twice.
    first_slot: u64,
    sent: VecDeque<Sent>,
    unsettled: usize,
    unsettled_bytes: u64,
    failure: Option<Refusal>,
}

/// Why a message was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub why: String,
    /// It, or the batch it was in, is larger than the topic takes.
    pub too_large: bool,
}

/// An offset that no message has.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
struct Sent {
    /// First seq after this message.
    next: u64,
    /// Where it stands on the partition, once it is acknowledged.
    offset: u64,
    bytes: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unsettled,
    Acknowledged,
    Failed,
}

impl Window {
    /// Rows from `cursor` to `sent_until` may have been sent before.
    pub(crate) fn new(cursor: u64, sent_until: u64) -> Self {
        Window {
            cursor,
            sent_until,
            offset: None,
            first_slot: 0,
            sent: VecDeque::new(),
            unsettled: 0,
            unsettled_bytes: 0,
            failure: None,
        }
    }

    /// First seq not delivered.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// First seq that was never sent.
    pub(crate) fn sent_until(&self) -> u64 {
        self.sent_until.max(self.sent.back().map_or(0, |sent| sent.next))
    }

    /// The cursor, with an offset below which no row from it on can stand. `None` while rows may have been sent before this window began: those
    /// could stand anywhere behind the last offset that was known then.
    pub(crate) fn mark(&self) -> Option<(u64, u64)> {
        self.offset.filter(|_| self.cursor >= self.sent_until).map(|offset| (self.cursor, offset))
    }

    /// Messages without a report.
    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled
    }

    pub(crate) fn unsettled_bytes(&self) -> u64 {
        self.unsettled_bytes
    }

    /// Whether nothing is in flight and nothing waits behind a failed message.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Messages that were sent since the last rewind and hold the cursor, settled or not.
    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Why a message was refused, if one was since the last rewind.
    pub(crate) fn failure(&self) -> Option<&Refusal> {
        self.failure.as_ref()
    }

    /// Registers a message before it is sent, as its report may come at once. Returns its slot.
    pub(crate) fn push(&mut self, next: u64, bytes: u32) -> u64 {
        self.sent.push_back(Sent { next, offset: UNKNOWN, bytes, state: State::Unsettled });
        self.unsettled += 1;
        self.unsettled_bytes += u64::from(bytes);
        self.first_slot + self.sent.len() as u64 - 1
    }

    /// Takes back the last message pushed: it was not sent.
    pub(crate) fn pop(&mut self) {
        if let Some(sent) = self.sent.pop_back() {
            debug_assert_eq!(sent.state, State::Unsettled);
            self.unsettled -= 1;
            self.unsettled_bytes -= u64::from(sent.bytes);
        }
    }

    /// Takes a delivery report: the message's offset, if it is known, or why it was refused.
    pub(crate) fn settle(&mut self, slot: u64, result: Result<Option<u64>, Refusal>) {
        let index = slot.checked_sub(self.first_slot).and_then(|i| usize::try_from(i).ok());
        let Some(sent) = index.and_then(|i| self.sent.get_mut(i)) else { return };
        if sent.state != State::Unsettled {
            return;
        }
        self.unsettled -= 1;
        self.unsettled_bytes -= u64::from(sent.bytes);
        match result {
            Ok(offset) => {
                sent.state = State::Acknowledged;
                sent.offset = offset.unwrap_or(UNKNOWN);
            }
            Err(why) => {
                sent.state = State::Failed;
                self.failure.get_or_insert(why);
            }
        }
        while let Some(front) = self.sent.front().filter(|s| s.state == State::Acknowledged) {
            self.cursor = front.next;
            if self.cursor >= self.sent_until && front.offset != UNKNOWN {
                self.offset = Some(front.offset + 1);
            }
            self.first_slot += 1;
            self.sent.pop_front();
        }
    }

    /// Forgets what came after a failed message; everything from the cursor on is to be sent again. Only when nothing is unsettled.
    /// Returns the first seq after the last failed message.
    pub(crate) fn rewind(&mut self) -> u64 {
        debug_assert_eq!(self.unsettled, 0);
        let failed_until = self.sent.iter().rev().find(|s| s.state == State::Failed).map_or(self.cursor, |s| s.next);
        self.sent_until = self.sent_until();
        self.first_slot += self.sent.len() as u64;
        self.sent.clear();
        self.failure = None;
        failed_until
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(why: &str) -> Refusal {
        Refusal { why: why.to_owned(), too_large: false }
    }

    #[test]
    fn the_cursor_moves_only_over_a_gapless_run() {
        let mut window = Window::new(10, 10);
        let slots: Vec<u64> = (10..14).map(|seq| window.push(seq + 1, 100)).collect();
        window.settle(slots[1], Ok(None));
        assert_eq!(window.cursor(), 10);
        window.settle(slots[0], Ok(None));
        assert_eq!(window.cursor(), 12);
        window.settle(slots[3], Ok(None));
        assert_eq!((window.cursor(), window.unsettled(), window.unsettled_bytes()), (12, 1, 100));
        window.settle(slots[2], Ok(None));
        assert_eq!((window.cursor(), window.is_empty()), (14, true));
    }

    #[test]
    fn a_refused_message_holds_the_cursor_until_the_rewind() {
        let mut window = Window::new(0, 0);
        let slots: Vec<u64> = (0..3).map(|seq| window.push(seq + 1, 1)).collect();
        window.settle(slots[0], Ok(None));
        window.settle(slots[1], Err(refusal("no")));
        window.settle(slots[2], Ok(None));
        assert_eq!((window.cursor(), window.failure()), (1, Some(&refusal("no"))));
        assert_eq!(window.rewind(), 2, "seq 1 was the last that failed");
        assert_eq!((window.failure(), window.is_empty()), (None, true));
        let again = window.push(2, 1);
        window.settle(slots[2], Ok(None)); // an old report changes nothing
        assert_eq!(window.cursor(), 1);
        window.settle(again, Ok(None));
        assert_eq!(window.cursor(), 2);
    }

    #[test]
    fn a_message_that_was_not_sent_is_taken_back() {
        let mut window = Window::new(5, 5);
        let first = window.push(6, 7);
        window.push(9, 7);
        window.pop();
        let second = window.push(7, 7);
        window.settle(first, Ok(None));
        window.settle(second, Ok(None));
        assert_eq!((window.cursor(), window.unsettled_bytes()), (7, 0));
    }

    #[test]
    fn an_offset_is_vouched_for_only_when_nothing_older_can_stand_behind_it() {
        let mut window = Window::new(3, 5); // rows 3 and 4 may stand anywhere from the old mark on
        let slots: Vec<u64> = (3..8).map(|seq| window.push(seq + 1, 1)).collect();
        window.settle(slots[0], Ok(Some(100)));
        assert_eq!(window.mark(), None);
        window.settle(slots[1], Ok(Some(101)));
        assert_eq!(window.mark(), Some((5, 102)));
        // Row 5 is refused while those behind it arrive; until they are sent again they stand before what is acknowledged next.
        window.settle(slots[2], Err(refusal("no")));
        window.settle(slots[3], Ok(Some(103)));
        window.settle(slots[4], Ok(Some(104)));
        window.rewind();
        assert_eq!((window.mark(), window.sent_until()), (None, 8));
        let again: Vec<u64> = (5..8).map(|seq| window.push(seq + 1, 1)).collect();
        window.settle(again[0], Ok(Some(105)));
        assert_eq!(window.mark(), None);
        window.settle(again[1], Ok(Some(106)));
        assert_eq!(window.mark(), None);
        window.settle(again[2], Ok(None)); // acknowledged as a duplicate, without its offset
        assert_eq!(window.mark(), Some((8, 102)), "the older one holds still");
        let next = window.push(9, 1);
        window.settle(next, Ok(Some(200)));
        assert_eq!(window.mark(), Some((9, 201)));
    }

    proptest! {
        #[test]
        fn any_order_of_reports_ends_at_the_first_refused_message(order in Just((0..20u64).collect::<Vec<_>>()).prop_shuffle(), refused in proptest::option::of(0..20u64)) {
            let mut window = Window::new(0, 0);
            let slots: Vec<u64> = (0..20).map(|seq| window.push(seq + 1, 1)).collect();
            for seq in order {
                let before = window.cursor();
                let result = if Some(seq) == refused { Err(refusal("no")) } else { Ok(None) };
                window.settle(slots[seq as usize], result);
                prop_assert!(window.cursor() >= before);
            }
            prop_assert_eq!(window.cursor(), refused.unwrap_or(20));
            prop_assert_eq!(window.unsettled(), 0);
        }
    }
}
