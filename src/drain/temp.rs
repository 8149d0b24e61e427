//! Where files are written before they are stored: a folder per drain, because `weir drain --once` may run beside `weir run` on one `data_dir`.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use uuid::Uuid;

/// `<data_dir>/tmp/<pid>-<random>`, locked while its drain lives: a pid alone may be another process's by now (in a container, always).
#[derive(Debug)]
pub(super) struct TempFolder {
    path: PathBuf,
    _lock: File,
}

impl TempFolder {
    /// Makes one in `tmp`, and removes those of processes that died.
    pub fn make(tmp: &Path) -> io::Result<TempFolder> {
        std::fs::create_dir_all(tmp)?;
        sweep(tmp)?;
        // Another start may sweep it away between the two calls.
        for _ in 0..16 {
            let path = tmp.join(format!("{}-{:08x}", std::process::id(), Uuid::new_v4().as_fields().0));
            std::fs::create_dir(&path)?;
            match File::open(&path) {
                Ok(folder) if lock(&folder)? && path.is_dir() => return Ok(TempFolder { path, _lock: folder }),
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Err(io::Error::other(format!("folders in `{}` are removed as soon as they are made", tmp.display())))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        // A file that is still being stored keeps it; the next start sweeps it.
        if let Err(error) = std::fs::remove_dir(&self.path) {
            tracing::debug!(%error, "`{}` stays", self.path.display());
        }
    }
}

/// Whether the lock is ours now.
fn lock(folder: &File) -> io::Result<bool> {
    match rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn sweep(tmp: &Path) -> io::Result<()> {
    let gone = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    for entry in std::fs::read_dir(tmp)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let folder = match File::open(&path) {
            Err(error) if gone(&error) => continue,
            folder => folder?,
        };
        if lock(&folder)? {
            std::fs::remove_dir_all(&path).or_else(|error| if gone(&error) { Ok(()) } else { Err(error) })?;
        }
    }
    Ok(())
}

/// A file of our own that is removed when nobody needs it any more.
#[derive(Debug)]
pub struct TempFile(PathBuf);

impl TempFile {
    pub(super) fn new(path: PathBuf) -> TempFile {
        TempFile(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, "failed to remove `{}`", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_removes_the_folders_of_the_dead_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let tmp = dir.path().join("tmp");
        let living = TempFolder::make(&tmp).unwrap();
        std::fs::write(living.file("x.part"), "x").unwrap();
        // The same pid as ours, as in a container that was started again.
        let dead = tmp.join(format!("{}-00000000", std::process::id()));
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("y.part"), "y").unwrap();
        let second = TempFolder::make(&tmp).unwrap();
        assert!(living.file("x.part").exists() && !dead.exists());
        assert_ne!(living.path, second.path);
        std::fs::remove_file(living.file("x.part")).unwrap();
        drop((living, second));
        assert!(std::fs::read_dir(&tmp).unwrap().next().is_none());
    }
}
