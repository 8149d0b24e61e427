//! The per-route limit of requests in flight. One count for all workers; what was admitted is released by drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the requests of one route that are in flight.
#[derive(Clone)]
pub(super) struct Gate {
    open: Arc<AtomicUsize>,
    limit: usize,
}

/// One admitted request.
#[must_use]
pub(super) struct Slot {
    open: Arc<AtomicUsize>,
}

impl Gate {
    pub(super) fn new(limit: usize) -> Gate {
        Gate { open: Arc::new(AtomicUsize::new(0)), limit }
    }

    /// Admits a request, or says `None` at once: nobody waits here.
    pub(super) fn admit(&self) -> Option<Slot> {
        let slot = Slot { open: self.open.clone() };
        (self.open.fetch_add(1, Ordering::Relaxed) < self.limit).then_some(slot)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_when_it_is_dropped() {
        let gate = Gate::new(2);
        let (one, two) = (gate.admit(), gate.admit());
        assert!(one.is_some() && two.is_some());
        assert!(gate.admit().is_none());
        assert_eq!(gate.in_flight(), 2);
        drop(one);
        assert!(gate.admit().is_some());
        assert_eq!(gate.in_flight(), 1);
    }
}
