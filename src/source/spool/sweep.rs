//! Spool folders that nobody uses any more: `weir drain --once` has one of its own, named by its process, and a kill leaves it behind.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, test_kill_process};

/// What the name of such a folder begins with; the process's number follows.
const ONCE: &str = "spool-once-";

/// Opens a folder and locks it while the file is open. A file system without locks is no reason to fail: the process's number is left.
pub(super) fn hold(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    if let Err(error) = flock(&folder, FlockOperation::NonBlockingLockShared) {
        tracing::debug!(%error, "the spool folder cannot be locked");
    }
    Ok(folder)
}

/// Removes the folders beside `folder` whose process has ended.
pub(super) fn remove_dead(folder: &Path) {
    let Some(Ok(entries)) = folder.parent().map(fs::read_dir) else { return };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let pid = entry.file_name().to_str().and_then(|name| name.strip_prefix(ONCE)?.parse().ok());
        let path = entry.path();
        if path == folder || !is_folder || !pid.is_some_and(has_ended) || is_held(&path) {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!("removed `{}`, which a killed `weir drain --once` had left", path.display()),
            Err(error) => tracing::warn!(%error, "failed to remove `{}`; nobody uses it any more", path.display()),
        }
    }
}

fn has_ended(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// Another container on the same folder has processes that are not seen here.
fn is_held(folder: &Path) -> bool {
    File::open(folder).is_ok_and(|folder| flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::spool::SpoolPool;

    #[test]
    fn folders_of_killed_processes_are_removed_and_no_others() {
        let data_dir = tempfile::tempdir().unwrap();
        let at = |name: &str| data_dir.path().join(name);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let kept = [
            format!("spool-once-{}", std::process::id()),
            "spool-once-x".into(),
            "spool-once-".into(),
            format!("other-{dead}"),
            "spool-once-0".into(),
        ];
        for name in &kept {
            fs::create_dir(at(name)).unwrap();
        }
        let left = at(&format!("spool-once-{dead}"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("00000000.spool"), b"x").unwrap();
        // In another container, a process of that number may live.
        let held = hold(&left).unwrap();
        let pool = SpoolPool::open(&at("spool"), 1 << 20).unwrap();
        assert!(left.exists());
        drop(held);
        drop(pool);
        let _pool = SpoolPool::open(&at("spool"), 1 << 20).unwrap();
        assert!(!left.exists());
        for name in &kept {
            assert!(at(name).exists(), "{name}");
        }
    }
}
