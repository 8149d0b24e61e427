//! A row that its topic refuses for its size, alone as it is: sent again with less in it, so that its lane goes on. Pure.
//!
//! The recorder cuts every row to `kafka.max_record`; a topic whose `max.message.bytes` is smaller refuses some of them all the same. Such a row loses its
//! bodies, and if that is not enough its inputs, outputs and all that is long. If the topic refuses even that, it takes nothing, and the lane waits.

use crate::record::wire::lighter::Lighter;

/// How the row in question is sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shorten {
    seq: u64,
    pub how: Lighter,
}

impl Shorten {
    /// The row `seq` was refused, alone, as too large; `last` is how it was sent. `None`: it is sent whole again, after a while.
    pub(super) fn next(last: Option<Shorten>, seq: u64) -> Option<Shorten> {
        match last.filter(|last| last.seq == seq).map(|last| last.how) {
            None => Some(Shorten { seq, how: Lighter::WithoutBodies }),
            Some(Lighter::WithoutBodies) => Some(Shorten { seq, how: Lighter::Bare }),
            Some(Lighter::Bare) => None,
        }
    }

    /// How the row `seq` is to be sent, if not whole.
    pub(super) fn of(this: Option<Shorten>, seq: u64) -> Option<Lighter> {
        this.filter(|this| this.seq == seq).map(|this| this.how)
    }

    pub(super) fn is_of(self, seq: u64) -> bool {
        self.seq == seq
    }

    /// Whether the row is below `cursor`: it got through.
    pub(super) fn is_done(self, cursor: u64) -> bool {
        self.seq < cursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_loses_more_each_time_and_is_whole_again_when_nothing_helps() {
        let first = Shorten::next(None, 7);
        assert_eq!(Shorten::of(first, 7), Some(Lighter::WithoutBodies));
        assert_eq!(Shorten::of(first, 8), None, "no other row");
        let second = Shorten::next(first, 7);
        assert_eq!(Shorten::of(second, 7), Some(Lighter::Bare));
        assert_eq!(Shorten::next(second, 7), None);
        assert_eq!(Shorten::of(Shorten::next(second, 9), 9), Some(Lighter::WithoutBodies), "another row begins anew");
        assert!(!second.unwrap().is_done(7) && second.unwrap().is_done(8));
    }
}
