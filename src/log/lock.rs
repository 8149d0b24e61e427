//! `data_dir/lock`: one process per `data_dir`. The file holds the pid of whoever holds the lock.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::LogError;

/// How long the lock is asked for before its holder is named: a process that is just ending still holds it, and so does, until it
/// runs its own program, a child that was forked while the lock was held.
const PATIENCE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(10);

/// Held until dropped; the kernel releases it when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(data_dir: &Path) -> Result<Lock, LogError> {
        let path = data_dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| LogError::io("open", &path, source))?;
        match lock_soon(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let pid = (&file).take(20).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LogError::Locked { data_dir: data_dir.to_owned(), pid });
            }
            Err(error) => return Err(LogError::io("lock", &path, error.into())),
        }
        // Not before it is ours: the file names the holder.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|source| LogError::io("write", &path, source))?;
        Ok(Lock { _file: file })
    }
}

fn lock_soon(file: &File) -> rustix::io::Result<()> {
    let begun = Instant::now();
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => std::thread::sleep(LOOK),
            locked => return locked,
        }
    }
}
