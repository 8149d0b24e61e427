//! What the log asks of the file system, in one place: where failpoints and the tests' faults sit.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::Path;

/// The file system under `data_dir`.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub faults: std::sync::Arc<super::tests::Faults>,
}

impl Disk {
    pub(super) fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        fail::fail_point!("log.append", |_| Err(io::Error::other("failpoint log.append")));
        #[cfg(test)]
        self.faults.on_write(file, bytes, at)?;
        file.write_all_at(bytes, at)
    }

    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        fail::fail_point!("log.sync", |_| Err(io::Error::other("failpoint log.sync")));
        #[cfg(test)]
        self.faults.on_sync()?;
        file.sync_data()
    }

    /// Cuts a file.
    pub(super) fn cut(&self, file: &File, bytes: u64) -> io::Result<()> {
        #[cfg(test)]
        self.faults.on_cut()?;
        file.set_len(bytes)
    }

    /// Makes `folder/name` of `parts`, whole and synced or not at all; what stood there is replaced.
    pub(super) fn put(&self, folder: &Path, name: &str, parts: &[&[u8]]) -> io::Result<File> {
        #[cfg(test)]
        self.faults.on_put()?;
        let aside = folder.join(format!("{name}.tmp"));
        let path = folder.join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&aside)?;
        let mut at = 0;
        let filled = parts.iter().try_for_each(|part| {
            let written = file.write_all_at(part, at);
            at += part.len() as u64;
            written
        });
        if let Err(error) = filled.and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&aside, &path)) {
            // Its space is wanted back; where this fails too, the next start removes it.
            let _gone = std::fs::remove_file(&aside);
            return Err(error);
        }
        if let Err(error) = self.sync_folder(folder) {
            let _gone = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(file)
    }

    /// Makes a folder that nobody else may look into: rows are what people sent to a model. Those above it exist.
    pub(super) fn make_folder(&self, folder: &Path) -> io::Result<()> {
        // `recursive`: one that exists is fine.
        DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    pub(super) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    pub(super) fn unlink(&self, path: &Path) -> io::Result<()> {
        fail::fail_point!("log.unlink", |_| Err(io::Error::other("failpoint log.unlink")));
        std::fs::remove_file(path)
    }

    /// Bytes that an unprivileged process may still write to the file system of `path`.
    pub(super) fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        #[cfg(test)]
        if let Some(free) = self.faults.free_bytes() {
            return Ok(free);
        }
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Milliseconds since the epoch.
pub(super) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
