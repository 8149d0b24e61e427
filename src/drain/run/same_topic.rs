//! Whether what is at hand is of the topic that the chain goes on from: a topic can be deleted and made again between two polls, and a consumer that
//! stands at an offset which the new one reached meanwhile reads on there as if nothing had been. The rows below would be lost without a word.
//!
//! So before a range is closed the record before it is read once more. What is at hand was read before that: if that record still is the one that was
//! stored, the topic is the same. In a chain without a file it is the first record at hand.

use super::super::chain::LastHere;
use super::super::partition::Partition;
use super::super::seal::record_hash;
use super::Runner;
use super::sealing::first_at_hand;
use crate::source::PartitionId;

impl Runner {
    /// Whether the source holds another record in the place of one that it gave before. Where it cannot be asked, or does not have it any more, that
    /// is not said: the next range is looked at again, and so is the chain when it is opened.
    pub(super) fn is_another_topic(&mut self, id: &PartitionId, partition: &Partition) -> bool {
        let Some(chain) = partition.collecting().filter(|_| !self.source.is_own_log()) else { return false };
        let head = chain.head();
        let known = match head.key.is_some() {
            true => Some((head.next, head.last_hash.clone())),
            false => first_at_hand(&mut *self.source, id, head.next, partition.next)
                .map(|first| (first.offset + 1, record_hash(&first))),
        };
        let Some((next, hash)) = known.filter(|(_, hash)| !hash.is_empty()) else { return false };
        match self.source.record_before(id, next) {
            Ok(before) => !LastHere::from(&before).may_be(&hash),
            Err(error) => {
                tracing::debug!("whether {id:?} is the topic that it was is not known: {error}");
                false
            }
        }
    }
}
