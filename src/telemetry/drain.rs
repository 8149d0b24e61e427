//! What the drain counts as it happens. Where each partition stands is read with the [`Snapshot`](super::Snapshot).

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use super::declared::{self, FILE_BYTES_BOUNDARIES, UPLOAD_BOUNDARIES};

/// What became of an attempt to store a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    Created,
    /// The answer was lost, the file is this process's own.
    Ours,
    /// Another drain's file was there first.
    Adopted,
    /// What was there cannot be gone on from.
    Conflict,
    /// No answer, or a failure.
    Error,
}

impl Commit {
    const ALL: [Commit; 5] = [Commit::Created, Commit::Ours, Commit::Adopted, Commit::Conflict, Commit::Error];

    fn word(self) -> &'static str {
        match self {
            Commit::Created => "created",
            Commit::Ours => "ours",
            Commit::Adopted => "adopted",
            Commit::Conflict => "conflict",
            Commit::Error => "error",
        }
    }
}

/// The instruments of the drain. Cheap to clone.
#[derive(Clone)]
pub struct DrainMeters {
    inner: Arc<Inner>,
}

struct Inner {
    rotations: Counter<u64>,
    commits: Counter<u64>,
    file_bytes: Histogram<f64>,
    upload: Histogram<f64>,
}

impl DrainMeters {
    pub(super) fn new(meter: &Meter) -> DrainMeters {
        let inner = Inner {
            rotations: declared::DRAIN_ROTATIONS.counter(meter),
            commits: declared::DRAIN_COMMITS.counter(meter),
            file_bytes: declared::DRAIN_FILE_BYTES.histogram(meter, &FILE_BYTES_BOUNDARIES),
            upload: declared::DRAIN_UPLOAD.histogram(meter, &UPLOAD_BOUNDARIES),
        };
        DrainMeters { inner: Arc::new(inner) }
    }

    /// A drain starts, which closes ranges for these causes: their series exist from now on.
    pub fn begin(&self, causes: &[&'static str]) {
        causes.iter().for_each(|cause| self.inner.rotations.add(0, &[KeyValue::new("cause", *cause)]));
        Commit::ALL.iter().for_each(|commit| self.inner.commits.add(0, &[KeyValue::new("outcome", commit.word())]));
    }

    /// A range that was closed for this cause is a file of so many bytes.
    pub fn stored(&self, cause: &'static str, file_bytes: u64) {
        self.inner.rotations.add(1, &[KeyValue::new("cause", cause)]);
        self.inner.file_bytes.record(file_bytes as f64, &[]);
    }

    /// The store answered an attempt to create a file, or did not.
    pub fn commit(&self, commit: Commit, took: Duration) {
        self.inner.commits.add(1, &[KeyValue::new("outcome", commit.word())]);
        self.inner.upload.record(took.as_secs_f64(), &[]);
    }
}

impl std::fmt::Debug for DrainMeters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DrainMeters")
    }
}
