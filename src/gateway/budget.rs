//! The byte budget of all captured bodies: `memory.capture`. Claims never wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::exchange::Permit;

/// Shared by all workers; cheap to clone.
#[derive(Clone)]
pub(super) struct Budget {
    left: Arc<AtomicU64>,
    release: Arc<dyn Fn(u64) + Send + Sync>,
}

impl Budget {
    pub(super) fn new(bytes_max: u64) -> Budget {
        let left = Arc::new(AtomicU64::new(bytes_max));
        let back = left.clone();
        Budget {
            left,
            release: Arc::new(move |bytes| {
                back.fetch_add(bytes, Ordering::Relaxed);
            }),
        }
    }

    /// Takes `bytes` if they are left.
    pub(super) fn claim(&self, bytes: u64) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    /// What gives `bytes`, claimed before, back when it is dropped.
    pub(super) fn permit(&self, bytes: u64) -> Permit {
        Permit { bytes, release: (bytes > 0).then(|| self.release.clone()) }
    }

    /// Bytes that nobody holds.
    pub(super) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_permit_gives_its_bytes_back() {
        let budget = Budget::new(10);
        assert!(budget.claim(7));
        assert!(!budget.claim(4));
        let permit = budget.permit(7);
        assert_eq!(budget.left(), 3);
        drop(permit);
        assert_eq!(budget.left(), 10);
    }
}
