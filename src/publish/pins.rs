//! Which partition a lane is: a hash over the partition count at the time when it was first known, kept in `partitions.json` beside the log's `meta.json`.
//!
//! The count is pinned because a lane that moved to another partition when the topic grew would leave its resends in two places.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The file beside `meta.json`: `{"partitions":6}`.
const FILE: &str = "partitions.json";

#[derive(serde::Serialize, serde::Deserialize)]
struct Pin {
    partitions: u32,
}

/// A pin that could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    #[error("failed to {verb} {}", path.display())]
    Io {
        verb: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} does not say how many partitions the topic had; write {{\"partitions\":<count>}} into it", path.display())]
    Damaged { path: PathBuf },
}

/// The partition of a lane: `(hash(log) + lane) mod partitions`.
pub(crate) fn partition_of(log: Uuid, lane: u32, partitions: u32) -> u32 {
    let count = u64::from(partitions.max(1));
    let partition = (xxhash_rust::xxh3::xxh3_64(log.as_bytes()) % count + u64::from(lane) % count) % count;
    u32::try_from(partition).expect("below a u32")
}

/// Reads the partition count pinned in a topic's log folder, if there is one.
pub(crate) fn load(folder: &Path) -> Result<Option<u32>, PinError> {
    let path = folder.join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PinError::Io { verb: "read", path, source }),
    };
    match serde_json::from_slice::<Pin>(&text) {
        Ok(pin) if pin.partitions > 0 => Ok(Some(pin.partitions)),
        _ => Err(PinError::Damaged { path }),
    }
}

/// Pins a partition count for good.
pub(crate) fn save(folder: &Path, partitions: u32) -> Result<(), PinError> {
    let write = || put(folder, FILE, &serde_json::to_vec(&Pin { partitions })?);
    write().map_err(|source| PinError::Io { verb: "write", path: folder.join(FILE), source })
}

/// Makes `folder/name`, whole or not at all: written aside, synced, renamed.
pub(super) fn put(folder: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let aside = folder.join(format!(".{name}.new"));
    let mut file = File::create(&aside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&aside, folder.join(name))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_one_log_spread_over_neighbouring_partitions() {
        let log = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        for partitions in 1..20 {
            let of: Vec<u32> = (0..partitions).map(|lane| partition_of(log, lane, partitions)).collect();
            let mut sorted = of.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..partitions).collect::<Vec<_>>(), "every partition once");
            assert_eq!(partition_of(log, partitions, partitions), of[0], "then round again");
        }
    }

    #[test]
    fn the_hash_never_changes() {
        // A change would move every lane of every deployment.
        let log = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let expected = xxhash_rust::xxh3::xxh3_64(&0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes()) % 6;
        assert_eq!(u64::from(partition_of(log, 0, 6)), expected);
    }

    #[test]
    fn a_pin_is_read_back_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path()).unwrap(), None);
        save(folder.path(), 6).unwrap();
        assert_eq!(load(folder.path()).unwrap(), Some(6));
        fs::write(folder.path().join(FILE), b"{\"partitions\":0}").unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("partitions.json"));
    }
}
