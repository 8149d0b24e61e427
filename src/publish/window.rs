//! What one lane has in flight. In: messages sent, delivery reports in any order. Out: the first seq not delivered.

use std::collections::VecDeque;

/// Messages of one lane between the log's reader and Kafka's answer. The cursor moves only over a gapless run of acknowledged messages.
#[derive(Debug)]
pub(crate) struct Window {
    cursor: u64,
    /// Slot of the front of `sent`; slots count up from 0 and are never given twice.
    first_slot: u64,
    sent: VecDeque<Sent>,
    unsettled: usize,
    unsettled_bytes: u64,
    failure: Option<String>,
}

#[derive(Debug)]
struct Sent {
    /// First seq after this message.
    next: u64,
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
    pub(crate) fn new(cursor: u64) -> Self {
        Window { cursor, first_slot: 0, sent: VecDeque::new(), unsettled: 0, unsettled_bytes: 0, failure: None }
    }

    /// First seq not delivered.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
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

    /// Why a message was refused, if one was since the last rewind.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Registers a message before it is sent, as its report may come at once. Returns its slot.
    pub(crate) fn push(&mut self, next: u64, bytes: u32) -> u64 {
        self.sent.push_back(Sent { next, bytes, state: State::Unsettled });
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

    /// Takes a delivery report; `Err` says why the message was refused.
    pub(crate) fn settle(&mut self, slot: u64, result: Result<(), String>) {
        let index = slot.checked_sub(self.first_slot).and_then(|i| usize::try_from(i).ok());
        let Some(sent) = index.and_then(|i| self.sent.get_mut(i)) else { return };
        if sent.state != State::Unsettled {
            return;
        }
        self.unsettled -= 1;
        self.unsettled_bytes -= u64::from(sent.bytes);
        match result {
            Ok(()) => sent.state = State::Acknowledged,
            Err(why) => {
                sent.state = State::Failed;
                self.failure.get_or_insert(why);
            }
        }
        while let Some(front) = self.sent.front().filter(|s| s.state == State::Acknowledged) {
            self.cursor = front.next;
            self.first_slot += 1;
            self.sent.pop_front();
        }
    }

    /// Forgets what came after a failed message; everything from the cursor on is to be sent again. Only when nothing is unsettled.
    /// Returns the first seq after the last failed message.
    pub(crate) fn rewind(&mut self) -> u64 {
        debug_assert_eq!(self.unsettled, 0);
        let failed_until = self.sent.iter().rev().find(|s| s.state == State::Failed).map_or(self.cursor, |s| s.next);
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

    #[test]
    fn the_cursor_moves_only_over_a_gapless_run() {
        let mut window = Window::new(10);
        let slots: Vec<u64> = (10..14).map(|seq| window.push(seq + 1, 100)).collect();
        window.settle(slots[1], Ok(()));
        assert_eq!(window.cursor(), 10);
        window.settle(slots[0], Ok(()));
        assert_eq!(window.cursor(), 12);
        window.settle(slots[3], Ok(()));
        assert_eq!((window.cursor(), window.unsettled(), window.unsettled_bytes()), (12, 1, 100));
        window.settle(slots[2], Ok(()));
        assert_eq!((window.cursor(), window.is_empty()), (14, true));
    }

    #[test]
    fn a_refused_message_holds_the_cursor_until_the_rewind() {
        let mut window = Window::new(0);
        let slots: Vec<u64> = (0..3).map(|seq| window.push(seq + 1, 1)).collect();
        window.settle(slots[0], Ok(()));
        window.settle(slots[1], Err("too large".into()));
        window.settle(slots[2], Ok(()));
        assert_eq!((window.cursor(), window.failure()), (1, Some("too large")));
        assert_eq!(window.rewind(), 2, "seq 1 was the last that failed");
        assert_eq!((window.failure(), window.is_empty()), (None, true));
        let again = window.push(2, 1);
        window.settle(slots[2], Ok(())); // an old report changes nothing
        assert_eq!(window.cursor(), 1);
        window.settle(again, Ok(()));
        assert_eq!(window.cursor(), 2);
    }

    #[test]
    fn a_message_that_was_not_sent_is_taken_back() {
        let mut window = Window::new(5);
        let first = window.push(6, 7);
        window.push(9, 7);
        window.pop();
        let second = window.push(7, 7);
        window.settle(first, Ok(()));
        window.settle(second, Ok(()));
        assert_eq!((window.cursor(), window.unsettled_bytes()), (7, 0));
    }

    proptest! {
        #[test]
        fn any_order_of_reports_ends_at_the_first_refused_message(order in Just((0..20u64).collect::<Vec<_>>()).prop_shuffle(), refused in proptest::option::of(0..20u64)) {
            let mut window = Window::new(0);
            let slots: Vec<u64> = (0..20).map(|seq| window.push(seq + 1, 1)).collect();
            for seq in order {
                let before = window.cursor();
                let result = if Some(seq) == refused { Err(String::from("no")) } else { Ok(()) };
                window.settle(slots[seq as usize], result);
                prop_assert!(window.cursor() >= before);
            }
            prop_assert_eq!(window.cursor(), refused.unwrap_or(20));
            prop_assert_eq!(window.unsettled(), 0);
        }
    }
}
