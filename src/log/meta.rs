//! The small files beside the segments: a topic's `meta.json` and a lane's `cursor`.
//!
//! `meta.json` and its copy `meta.bak` carry a checksum of what they say; whichever is whole is used, and the other is
//! made anew from it. They are not meant to be edited. The `cursor` is 24 bytes: `"weircur\n"`, the seq (u64, little-endian), the
//! CRC32C of both, four zeros. A damaged one counts as none: rows are delivered again, with the source and seq they had.

use std::io;
use std::path::Path;

use uuid::Uuid;

use super::disk::Disk;
use super::format::crc32c;
use super::root::{Root, S3Access};
use super::{LogError, ReaderKind};

const META: &str = "meta.json";
const META_COPY: &str = "meta.bak";
pub(super) const CURSOR: &str = "cursor";
const FORMAT: u32 = 1;
const CURSOR_MAGIC: &[u8; 8] = b"weircur\n";

/// A log's identity and who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub log: Uuid,
    pub lanes: u32,
    pub reader: ReaderKind,
    pub root: Root,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct MetaFile {
    format: u32,
    log: String,
    lanes: u32,
    reader: ReaderKind,
    root: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s3: Option<S3Access>,
    crc32c: String,
}

impl Meta {
    /// Reads the folder of a topic.
    pub(super) fn read(disk: &Disk, folder: &Path, heal: Heal) -> Result<Meta, LogError> {
        let first = read_one(folder, META)?;
        let copy = read_one(folder, META_COPY)?;
        match (first, copy) {
            (Ok(meta), copy) => {
                // A copy that is whole and differs is older: the copy is written last.
                if heal == Heal::Yes && copy.as_ref() != Ok(&meta) {
                    meta.write(disk, folder)?;
                }
                Ok(meta)
            }
            (Err(why), Ok(meta)) => {
                tracing::warn!(folder = %folder.display(), why, "took the log's identity from meta.bak: meta.json cannot be read");
                if heal == Heal::Yes {
                    meta.write(disk, folder)?;
                }
                Ok(meta)
            }
            (Err(why), Err(_)) => Err(LogError::Meta { folder: folder.to_owned(), why }),
        }
    }

    pub(super) fn write(&self, disk: &Disk, folder: &Path) -> Result<(), LogError> {
        let file = MetaFile {
            format: FORMAT,
            log: self.log.to_string(),
            lanes: self.lanes,
            reader: self.reader,
            root: self.root.address.clone(),
            s3: self.root.s3.clone(),
            crc32c: self.checksum(),
        };
        let mut text = serde_json::to_vec_pretty(&file).expect("plain values become JSON");
        text.push(b'\n');
        for name in [META, META_COPY] {
            disk.put(folder, name, &[&text]).map_err(|source| LogError::io("write", &folder.join(name), source))?;
        }
        Ok(())
    }

    fn checksum(&self) -> String {
        let mut said = format!("{FORMAT}\n{}\n{}\n{}\n{}", self.log, self.lanes, self.reader.word(), self.root.address);
        if let Some(S3Access { endpoint, region, path_style, sse_kms }) = &self.root.s3 {
            said.push_str(&format!("\n{endpoint:?}\n{region:?}\n{path_style}\n{sse_kms:?}"));
        }
        format!("{:08x}", crc32c(said.as_bytes()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heal {
    Yes,
    /// For commands, which hold no lock.
    No,
}

fn read_one(folder: &Path, name: &str) -> Result<Result<Meta, String>, LogError> {
    let path = folder.join(name);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err("it is missing".to_owned())),
        Err(source) => return Err(LogError::io("read", &path, source)),
    };
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Result<Meta, String> {
    let file: MetaFile = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if file.format != FORMAT {
        return Err(format!("its format is {}, this weir knows {FORMAT}", file.format));
    }
    let log = Uuid::parse_str(&file.log).map_err(|error| error.to_string())?;
    let root = Root { address: file.root, s3: file.s3 };
    let meta = Meta { log, lanes: file.lanes, reader: file.reader, root };
    if meta.checksum() != file.crc32c || meta.lanes == 0 {
        return Err("its checksum does not match".to_owned());
    }
    Ok(meta)
}

/// A lane's cursor as persisted. `None`: none was, or it is damaged, which is logged.
pub(super) fn read_cursor(folder: &Path) -> Result<Option<u64>, LogError> {
    let path = folder.join(CURSOR);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LogError::io("read", &path, source)),
    };
    let seq = bytes.get(8..16).map(|seq| u64::from_le_bytes(seq.try_into().expect("eight bytes")));
    match seq {
        Some(seq) if bytes == encode_cursor(seq) => Ok(Some(seq)),
        _ => {
            tracing::warn!(path = %path.display(), "ignored a damaged cursor: its lane's rows are delivered again");
            Ok(None)
        }
    }
}

pub(super) fn write_cursor(disk: &Disk, folder: &Path, seq: u64) -> io::Result<()> {
    fail::fail_point!("log.cursor", |_| Err(io::Error::other("failpoint log.cursor")));
    disk.put(folder, CURSOR, &[&encode_cursor(seq)]).map(drop)
}

fn encode_cursor(seq: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(CURSOR_MAGIC);
    bytes[8..16].copy_from_slice(&seq.to_le_bytes());
    let crc = crc32c(&bytes[..16]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}
