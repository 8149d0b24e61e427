//! One chunk file of a spool, and where in it which offsets lie.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::frame;

/// An open file that is removed when nobody needs it any more.
#[derive(Debug)]
pub(super) struct ChunkFile {
    file: File,
    path: PathBuf,
}

impl ChunkFile {
    pub(super) fn create(path: PathBuf) -> io::Result<ChunkFile> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(ChunkFile { file, path })
    }

    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Drop for ChunkFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "failed to remove a spool file");
        }
    }
}

/// A place to begin reading: everything before `offset` lies before `position`.
#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: u64,
    position: u64,
    messages: u64,
    value_bytes: u64,
}

#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) file: Arc<ChunkFile>,
    /// First offset after its last message.
    pub(super) next: u64,
    /// Bytes of its frames, those still in the buffer included.
    pub(super) bytes: u64,
    pub(super) messages: u64,
    pub(super) value_bytes: u64,
    written: u64,
    /// One per write.
    marks: Vec<Mark>,
}

impl Chunk {
    pub(super) fn new(file: Arc<ChunkFile>) -> Chunk {
        Chunk { file, next: 0, bytes: 0, messages: 0, value_bytes: 0, written: 0, marks: Vec::new() }
    }

    /// Accounts for one more frame; `mark`: a place to begin reading.
    pub(super) fn add(&mut self, offset: u64, frame_bytes: u64, value_bytes: u64, mark: bool) {
        if mark {
            self.marks.push(Mark {
                offset,
                position: self.bytes,
                messages: self.messages,
                value_bytes: self.value_bytes,
            });
        }
        self.next = offset + 1;
        self.bytes += frame_bytes;
        self.messages += 1;
        self.value_bytes += value_bytes;
    }

    pub(super) fn write(&mut self, buffer: &[u8]) -> io::Result<()> {
        self.file.file.write_all_at(buffer, self.written)?;
        self.written += buffer.len() as u64;
        Ok(())
    }

    /// The first offset in it.
    pub(super) fn first(&self) -> u64 {
        self.marks.first().map_or(u64::MAX, |m| m.offset)
    }

    fn mark_before(&self, offset: u64) -> Option<&Mark> {
        let after = self.marks.partition_point(|m| m.offset <= offset);
        self.marks.get(after.checked_sub(1)?)
    }

    /// A position at or before the first message of `offset` or above.
    pub(super) fn position_before(&self, offset: u64) -> u64 {
        self.mark_before(offset).map_or(0, |m| m.position)
    }

    /// Messages below `offset`, and the bytes of their values. Everything is written.
    pub(super) fn count_below(&self, offset: u64) -> io::Result<(u64, u64)> {
        let Some(mark) = self.mark_before(offset) else { return Ok((0, 0)) };
        let (mut messages, mut value_bytes, mut at) = (mark.messages, mark.value_bytes, mark.position);
        let end = self.marks.iter().find(|m| m.position > at).map_or(self.written, |m| m.position);
        let mut buffer = vec![0; usize::try_from(end - at).unwrap_or(0)];
        self.file.file.read_exact_at(&mut buffer, at)?;
        let mut rest = buffer.as_slice();
        while at < end && rest.len() >= frame::LENGTH_BYTES {
            let whole = frame::LENGTH_BYTES + frame::length(rest);
            if frame::offset(rest) >= offset {
                break;
            }
            messages += 1;
            value_bytes += frame::value_bytes(rest);
            at += whole as u64;
            rest = rest.get(whole..).unwrap_or_default();
        }
        Ok((messages, value_bytes))
    }
}
