//! `data_dir/run.json` says where the running process answers; `data_dir/redact.key` is the key of fail-closed bodies.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const NAME: &str = "run.json";
const KEY_BYTES: usize = 32;

/// The address of a running weir, for `weir status` and `weir drain --once`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunFile {
    pub pid: u32,
    pub admin: SocketAddr,
    pub listen: Option<SocketAddr>,
    /// When the process started, in the kernel's clock ticks since boot: another process may get the same id.
    #[serde(default)]
    started: Option<u64>,
    #[serde(skip)]
    path: PathBuf,
}

impl RunFile {
    pub fn write(data_dir: &Path, admin: SocketAddr, listen: Option<SocketAddr>) -> std::io::Result<RunFile> {
        let run = RunFile {
            pid: std::process::id(),
            admin,
            listen,
            started: started(std::process::id()),
            path: data_dir.join(NAME),
        };
        let aside = data_dir.join("run.json.new");
        std::fs::write(&aside, serde_json::to_vec_pretty(&run)?)?;
        std::fs::rename(&aside, &run.path)?;
        Ok(run)
    }

    /// What stands there, if its process still lives.
    pub fn read(data_dir: &Path) -> Option<RunFile> {
        let text = std::fs::read(data_dir.join(NAME)).ok()?;
        let run: RunFile = serde_json::from_slice(&text).ok()?;
        let lives = started(run.pid).is_some_and(|now| run.started.is_none_or(|then| then == now));
        lives.then_some(run)
    }

    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "run.json was already gone");
        }
    }
}

/// Field 22 of `/proc/<pid>/stat` (proc(5)); `None`: no such process.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in brackets and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Reads `data_dir/redact.key`, making it (32 random bytes, mode 0600) if it is not there.
pub fn redact_key(data_dir: &Path) -> std::io::Result<Vec<u8>> {
    let path = data_dir.join("redact.key");
    match std::fs::read(&path) {
        Ok(key) if key.len() >= KEY_BYTES => return Ok(key),
        Ok(short) => {
            let message = format!("{} holds {} bytes, at least {KEY_BYTES} are needed", path.display(), short.len());
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.extend_from_slice(uuid::Uuid::new_v4().as_bytes());
    key.extend_from_slice(uuid::Uuid::new_v4().as_bytes());
    // Aside first: a key that was cut short by a kill would be refused at every later start.
    let aside = data_dir.join("redact.key.new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(&aside, &path)?;
    std::fs::File::open(data_dir)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = redact_key(dir.path()).unwrap();
        assert_eq!(first.len(), KEY_BYTES);
        assert_eq!(first, redact_key(dir.path()).unwrap());
    }

    #[test]
    fn a_short_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("redact.key"), b"short").unwrap();
        assert!(redact_key(dir.path()).unwrap_err().to_string().contains("at least 32"));
    }

    #[test]
    fn a_dead_process_is_not_running() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFile::write(dir.path(), "127.0.0.1:1".parse().unwrap(), None).unwrap();
        assert_eq!(RunFile::read(dir.path()).unwrap().admin, run.admin);
        let reused = RunFile { started: run.started.map(|ticks| ticks + 1), ..run.clone() };
        std::fs::write(dir.path().join(NAME), serde_json::to_vec(&reused).unwrap()).unwrap();
        assert!(RunFile::read(dir.path()).is_none(), "another process has the id now");
        let dead = RunFile { pid: u32::MAX - 1, ..run.clone() };
        std::fs::write(dir.path().join(NAME), serde_json::to_vec(&dead).unwrap()).unwrap();
        assert!(RunFile::read(dir.path()).is_none());
    }
}
