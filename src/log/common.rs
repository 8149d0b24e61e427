//! What all logs of a `data_dir` share.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::Lane;
use super::disk::Disk;
use super::health::Health;
use super::lock::Lock;

pub(super) struct Common {
    pub disk: Disk,
    /// `data_dir/log`
    pub folder: PathBuf,
    /// `log.sync`
    pub sync: Duration,
    /// Of all segments.
    pub bytes: AtomicU64,
    pub health: Health,
    lanes: RwLock<Vec<Lane>>,
    lock: RwLock<Option<Lock>>,
    generation: Mutex<u64>,
    changed: Condvar,
}

impl Common {
    pub(super) fn new(disk: Disk, folder: PathBuf, sync: Duration, lock: Lock) -> Common {
        Common {
            disk,
            folder,
            sync,
            bytes: AtomicU64::new(0),
            health: Health::default(),
            lanes: RwLock::default(),
            lock: RwLock::new(Some(lock)),
            generation: Mutex::new(0),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lanes(&self) -> Vec<Lane> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add_lanes(&self, lanes: impl IntoIterator<Item = Lane>) {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).extend(lanes);
        self.announce();
    }

    /// Readers have something new to look at.
    pub(super) fn announce(&self) {
        *self.generation.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    pub(super) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let deadline = Instant::now().checked_add(timeout);
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        while *generation == seen {
            generation = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => break,
                Some(left) => self.changed.wait_timeout(generation, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(generation).unwrap_or_else(PoisonError::into_inner),
            };
        }
        *generation
    }

    /// `None` once the log is closed. While the guard lives the lock is ours.
    pub(super) fn hold_lock(&self) -> Option<RwLockReadGuard<'_, Option<Lock>>> {
        let lock = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        lock.is_some().then_some(lock)
    }

    pub(super) fn release_lock(&self) {
        drop(self.lock.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}
