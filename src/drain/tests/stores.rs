//! Folders that misbehave: one that fails and loses answers, one whose calls are seen before they are made.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;

use crate::drain::store::{Content, Created, Folder, Listed, Store, StoreError};

/// A folder that fails now and then: before the create, or after it with the answer lost.
pub struct Moody {
    pub folder: Folder,
    pub calls: AtomicU32,
    pub calm: AtomicBool,
    /// Nothing is created and nothing answered.
    pub deaf: AtomicBool,
}

impl Moody {
    /// A folder in good order, until it is told otherwise.
    pub fn calm(folder: &Path) -> Arc<Moody> {
        let folder = Folder::open(folder).unwrap();
        Arc::new(Moody { folder, calls: AtomicU32::new(0), calm: AtomicBool::new(true), deaf: AtomicBool::new(false) })
    }

    pub fn mood(&self) -> u32 {
        match self.calm.load(Ordering::Relaxed) {
            true => 0,
            false => self.calls.fetch_add(1, Ordering::Relaxed) % 5,
        }
    }
}

pub fn unanswered() -> StoreError {
    StoreError::Unanswered { action: "create", object: "x".into(), why: "connection reset".into() }
}

impl Store for Moody {
    fn create(&self, key: &str, content: Content<'_>) -> Result<Created, StoreError> {
        let mood = self.mood();
        if mood == 1 || self.deaf.load(Ordering::Relaxed) {
            return Err(unanswered());
        }
        let created = self.folder.create(key, content)?;
        if mood == 3 { Err(unanswered()) } else { Ok(created) }
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.folder.get(key)
    }

    fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.folder.tail(key, bytes)
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        self.folder.list(prefix, after)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.folder.folders(prefix)
    }

    fn address(&self) -> String {
        self.folder.address()
    }
}

/// Sees a call and its key or prefix.
pub type Hook = dyn Fn(&str, &str) + Send + Sync;

/// A folder whose hook sees each call before it is made.
pub struct Hooked(pub Folder, pub Box<Hook>);

impl Store for Hooked {
    fn create(&self, key: &str, content: Content<'_>) -> Result<Created, StoreError> {
        (self.1)("create", key);
        self.0.create(key, content)
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.0.get(key)
    }

    fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.0.tail(key, bytes)
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        (self.1)("list", prefix);
        self.0.list(prefix, after)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.0.folders(prefix)
    }

    fn address(&self) -> String {
        self.0.address()
    }
}
