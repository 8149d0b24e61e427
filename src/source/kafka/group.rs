//! Which partitions are this drain's: what the group says, between the threads.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::shared::{Phase, Shared};
use crate::publish::lock;
use crate::source::{Event, PartitionId};

/// Kept under one lock in [`Shared`].
#[derive(Default)]
pub(super) struct Group {
    /// The topics of which a share is wanted. It only grows: a topic that is gone is no member's by itself, and one that cannot be seen for a
    /// moment is not to move every partition.
    topics: BTreeSet<String>,
    /// The group has answered since the last topic was added.
    settled: bool,
    owned: BTreeSet<PartitionId>,
}

impl Group {
    /// These topics exist.
    pub(super) fn wish<'a>(&mut self, topics: impl IntoIterator<Item = &'a String>) {
        for topic in topics {
            if !self.topics.contains(topic) {
                self.topics.insert(topic.clone());
                self.settled = false;
            }
        }
    }

    pub(super) fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    /// The group's word; `settled`: its last one, for as many topics as `topics`.
    pub(super) fn owns(&mut self, owned: &BTreeSet<PartitionId>, settled: bool, topics: usize) {
        self.owned.clone_from(owned);
        self.settled = settled && topics == self.topics.len();
    }

    pub(super) fn has(&self, id: &PartitionId) -> bool {
        self.owned.contains(id)
    }

    pub(super) fn owned(&self) -> &BTreeSet<PartitionId> {
        &self.owned
    }

    /// Whether it is known which partitions are this drain's.
    pub(super) fn is_settled(&self) -> bool {
        self.settled || self.topics.is_empty()
    }
}

impl Shared {
    /// Whether a group divides the partitions.
    pub fn is_divided(&self) -> bool {
        self.group.is_some()
    }

    /// A share of these topics is wanted of the group.
    pub fn wish<'a>(&self, topics: impl IntoIterator<Item = &'a String>) {
        let Some(group) = &self.group else { return };
        let mut group = lock(group);
        group.wish(topics);
        if !group.is_settled() {
            self.more_will_come();
        }
    }

    /// The topics of which a share is wanted, if there are more than `known`.
    pub fn wished(&self, known: usize) -> Option<BTreeSet<String>> {
        let group = lock(self.group.as_ref()?);
        (group.topics().len() > known).then(|| group.topics().clone())
    }

    /// What the group says is this drain's; `settled`: its last word for so many `topics`. The rest is taken from the drain.
    pub fn own(&self, owned: &BTreeSet<PartitionId>, settled: bool, topics: usize) {
        let Some(group) = &self.group else { return };
        let mut group = lock(group);
        group.owns(owned, settled, topics);
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<PartitionId> = partitions.keys().filter(|id| !owned.contains(*id)).cloned().collect();
        for id in &gone {
            let Some(partition) = partitions.remove(id) else { continue };
            lock(&partition.inner).phase = Phase::Waiting;
            self.leaving.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), partition);
        }
        let new = owned.iter().any(|id| !partitions.contains_key(id));
        drop(partitions);
        self.version.fetch_add(1, Ordering::Release);
        self.push(gone.into_iter().map(|partition| Event::Revoked { partition }).collect());
        if new || !settled {
            self.more_will_come();
        }
        drop(group);
        // Whether everything is announced is for the discover thread to say.
        let guard = lock(&self.stopped);
        self.given.store(true, Ordering::Release);
        drop(guard);
        self.stop.notify_all();
    }

    /// The partitions that the group has given and that are not announced yet.
    pub fn to_announce(&self) -> Vec<PartitionId> {
        let Some(group) = &self.group else { return Vec::new() };
        self.given.store(false, Ordering::Release);
        let group = lock(group);
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        group.owned().iter().filter(|id| !partitions.contains_key(*id)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::publish::ProblemSlot;
    use crate::source::Bounds;
    use crate::source::kafka::Reach;
    use crate::source::spool::SpoolPool;

    #[test]
    fn a_partition_that_was_taken_while_it_was_looked_at_is_not_announced_again() {
        let folder = tempfile::tempdir().unwrap();
        let pool = SpoolPool::open(&folder.path().join("spool"), 1 << 20).unwrap();
        let shared = Shared::new(pool, Arc::new(ProblemSlot::default()), Reach::Follow);
        let id = PartitionId { topic: "t".into(), origin: "t".into(), partition: 0 };
        let bounds = Bounds { start: 0, end: 5, topic_id: String::new(), hint: None };
        let events = || shared.take_events(Duration::ZERO);
        shared.own(&BTreeSet::from([id.clone()]), true, 1);
        shared.announce(id.clone(), 0, bounds.clone());
        let looked_at = shared.get(&id).unwrap();
        looked_at.seek(9);
        assert!(matches!(events()[..], [Event::Assigned { .. }]));
        shared.announce_again(&looked_at, bounds.clone());
        assert!(matches!(events()[..], [Event::Revoked { .. }, Event::Assigned { .. }]));
        shared.own(&BTreeSet::new(), true, 1);
        shared.announce_again(&looked_at, bounds.clone());
        assert!(matches!(events()[..], [Event::Revoked { .. }]), "it is another drain's");
        // Given again, it is another one of the same name.
        shared.own(&BTreeSet::from([id.clone()]), true, 1);
        shared.announce(id, 0, bounds.clone());
        shared.announce_again(&looked_at, bounds);
        assert!(matches!(events()[..], [Event::Assigned { .. }]));
    }

    #[test]
    fn it_is_settled_once_the_group_has_answered_for_all_topics() {
        let mut group = Group::default();
        assert!(group.is_settled(), "nothing is asked of the group");
        group.wish(&["a".to_owned()]);
        assert!(!group.is_settled());
        let owned = BTreeSet::from([PartitionId { topic: "a".into(), origin: "a".into(), partition: 0 }]);
        group.owns(&owned, true, 1);
        assert!(group.is_settled());
        group.wish(&["a".to_owned()]);
        assert!(group.is_settled(), "nothing new");
        group.wish(&["b".to_owned()]);
        group.owns(&owned, true, 1);
        assert!(!group.is_settled(), "an answer that does not know of `b`");
        group.owns(&owned, false, 2);
        assert!(!group.is_settled(), "something was taken, and the answer is to come");
        group.owns(&owned, true, 2);
        assert!(group.is_settled());
    }
}
