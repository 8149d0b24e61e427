//! A checksum of a file's data, in its footer: Parquet's own page checksums are not written by the library, and a compressed
//! page may decode to other values when a bit of it has changed.
//!
//! It covers every byte from the file's beginning to the end of its last row group: all pages, and the bloom filters.

use parquet::file::metadata::KeyValue;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Key in the footer; its value is `xxh3:<bytes>:<16 hex digits>`.
const KEY: &str = "weir.checksum";

/// What is written so far.
#[derive(Default)]
pub(super) struct Running {
    bytes: u64,
    hash: Xxh3,
}

impl Running {
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The footer's entry for what is written so far.
    pub fn entry(&self) -> KeyValue {
        KeyValue::new(KEY.to_owned(), text(self.bytes, self.hash.digest()))
    }
}

/// Compares a whole file with the checksum in its footer. True if there is one: older files have none.
///
/// # Errors
/// What is wrong, if the bytes are not those that were written.
pub fn check(footer: Option<&Vec<KeyValue>>, file: &[u8]) -> Result<bool, String> {
    let Some(written) =
        footer.into_iter().flatten().find(|entry| entry.key == KEY).and_then(|entry| entry.value.as_deref())
    else {
        return Ok(false);
    };
    let bytes = written.split(':').nth(1).and_then(|bytes| bytes.parse::<usize>().ok());
    let Some(data) = bytes.and_then(|bytes| file.get(..bytes)) else {
        return Err(format!("its checksum is `{}`, which is none", written.chars().take(80).collect::<String>()));
    };
    if text(data.len() as u64, xxh3_64(data)) == written {
        Ok(true)
    } else {
        Err("its data are not the bytes that were written: the checksum differs".to_owned())
    }
}

fn text(bytes: u64, hash: u64) -> String {
    format!("xxh3:{bytes}:{hash:016x}")
}
