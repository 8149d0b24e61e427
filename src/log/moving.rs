//! Logs whose reader or root is no longer the one in their `meta.json` (design L6). They are open, and what was asked for is not written yet: whoever
//! opened them first brings the old place to its end, and then says that they have moved. A process that dies before finds everything as it was.

use std::path::PathBuf;
use std::sync::PoisonError;

use fail::fail_point;

use super::meta::Meta;
use super::{Lane, LogError, Logs, ReaderKind, Root};

/// A log on its way from one reader or root to another.
#[derive(Debug, Clone)]
pub struct Moving {
    pub topic: String,
    /// Who read it.
    pub reader: ReaderKind,
    /// Where that stored.
    pub root: Root,
    pub(super) folder: PathBuf,
    /// What `meta.json` is to say.
    pub(super) becomes: Meta,
}

impl Moving {
    /// Its lanes, of all lanes.
    pub fn lanes(&self, logs: &Logs) -> Vec<Lane> {
        logs.lanes().into_iter().filter(|lane| lane.topic() == self.topic).collect()
    }
}

impl Logs {
    /// The logs whose reader or root has changed. Nobody may read their lanes for the new one before [`moved`](Logs::moved).
    pub fn moving(&self) -> Vec<Moving> {
        self.inner.moving.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on the log is read by whom it was opened for, and goes where that stores.
    ///
    /// # Errors
    /// A cursor or `meta.json` cannot be written: nothing has changed.
    pub fn moved(&self, moving: &Moving) -> Result<(), LogError> {
        // A new reader begins at what stands on disk: with `meta.json` written and a cursor behind, it would read what the old one stored.
        for lane in moving.lanes(self) {
            lane.persist()?;
        }
        fail_point!("move_before_meta");
        moving.becomes.write(&self.inner.common.disk, &moving.folder)?;
        let mut all = self.inner.moving.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.topic != moving.topic);
        fail_point!("move_after_meta");
        Ok(())
    }
}
