//! Raw messages between Kafka and the drain: one spool per partition, in chunk files that are cut at the seal and used again.
//!
//! In: messages in offset order. Out: the same, from any offset on, any number of times. A spool is disposable: never synced, removed at start; Kafka
//! has the messages. All spools of one [`SpoolPool`] share one budget; it is the owner who stops reading when [`SpoolPool::is_full`].
//!
//! A frame: length (u32, of what follows), offset (u64), timestamp (i64), flags (u8), then what the flags name: key (u32 length, bytes), source (u16
//! length, bytes), seq (u64), first seq after damaged rows (u64); the value is the rest. Little-endian.

mod chunk;
mod frame;
mod sweep;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BytesMut};

use super::{Message, Messages, SourceError};
use chunk::{Chunk, ChunkFile};
pub(super) use frame::{Stored, owned};

/// Bytes gathered before a write, over all spools and for one.
const BUFFERS_BYTES: usize = 16 << 20;
const BUFFER_BYTES_MAX: usize = 256 << 10;
const BUFFER_BYTES_MIN: usize = 16 << 10;
/// Bytes asked for in one read: they stay in the processor's cache until they are used, and the allocator gives the same memory again.
const READ_BYTES: usize = 256 << 10;
/// Bytes of one chunk file.
const CHUNK_BYTES_MAX: u64 = 32 << 20;
const CHUNK_BYTES_MIN: u64 = 1 << 20;
/// Chunk files kept for use again; more are removed.
const SPARE_FILES: usize = 2;

/// The folder and the budget that all spools of one source share.
#[derive(Debug)]
pub struct SpoolPool {
    folder: PathBuf,
    bytes_max: u64,
    chunk_bytes: u64,
    /// Bytes of all chunks in use.
    used: AtomicU64,
    spools: AtomicUsize,
    spare: Mutex<Vec<Arc<ChunkFile>>>,
    made: AtomicU64,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl SpoolPool {
    /// Makes `folder` and removes what earlier processes left in it, and the folders beside it of those that were to drain once.
    pub fn open(folder: &Path, bytes_max: u64) -> io::Result<Arc<SpoolPool>> {
        fs::create_dir_all(folder)?;
        let lock = sweep::hold(folder)?;
        sweep::remove_dead(folder);
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "spool") {
                fs::remove_file(path)?;
            }
        }
        Ok(Arc::new(SpoolPool {
            folder: folder.to_owned(),
            bytes_max,
            chunk_bytes: (bytes_max / 16).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX),
            used: AtomicU64::new(0),
            spools: AtomicUsize::new(0),
            spare: Mutex::default(),
            made: AtomicU64::new(0),
            _lock: lock,
        }))
    }

    /// Bytes of messages at hand, over all spools.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Whether reading should pause. What is still under way may go over it by a fetch.
    pub fn is_full(&self) -> bool {
        self.used() >= self.high()
    }

    /// Whether reading may go on after a pause.
    pub fn has_room(&self) -> bool {
        self.used() < self.high() / 4 * 3
    }

    /// Spare files take space too.
    fn high(&self) -> u64 {
        self.bytes_max.saturating_sub(SPARE_FILES as u64 * self.chunk_bytes).max(self.bytes_max / 2)
    }

    fn buffer_bytes(&self) -> usize {
        (BUFFERS_BYTES / self.spools.load(Ordering::Relaxed).max(1)).clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX)
    }

    fn take_file(&self) -> io::Result<Arc<ChunkFile>> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match spare {
            Some(file) => Ok(file),
            None => {
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                ChunkFile::create(self.folder.join(format!("{number:08}.spool"))).map(Arc::new)
            }
        }
    }

    /// Keeps a file for use again, unless a reader still has it open.
    fn give_back(&self, mut file: Arc<ChunkFile>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_FILES && Arc::get_mut(&mut file).is_some() {
            spare.push(file);
        }
    }
}

/// The messages at hand of one partition.
#[derive(Debug)]
pub struct Spool {
    pool: Arc<SpoolPool>,
    chunks: VecDeque<Chunk>,
    /// The end of the last chunk that is not written yet.
    buffer: Vec<u8>,
    /// What lies below it in the first chunk was cut.
    start: u64,
    messages: u64,
    value_bytes: u64,
}

impl Spool {
    pub fn new(pool: &Arc<SpoolPool>) -> Spool {
        pool.spools.fetch_add(1, Ordering::Relaxed);
        Spool {
            pool: Arc::clone(pool),
            chunks: VecDeque::new(),
            buffer: Vec::new(),
            start: 0,
            messages: 0,
            value_bytes: 0,
        }
    }

    /// Messages at hand.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Bytes of their values.
    pub fn value_bytes(&self) -> u64 {
        self.value_bytes
    }

    /// Adds a message; its offset is above all others. After an error the spool is to be cleared.
    pub(super) fn append(&mut self, message: &Stored<'_>) -> io::Result<()> {
        if self.chunks.back().is_none_or(|c| c.bytes >= self.pool.chunk_bytes) {
            self.flush()?;
            let file = self.pool.take_file()?;
            self.chunks.push_back(Chunk::new(file));
        }
        let chunk = self.chunks.back_mut().expect("pushed above if there was none");
        let start = self.buffer.len();
        message.encode(&mut self.buffer);
        let frame_bytes = (self.buffer.len() - start) as u64;
        chunk.add(message.offset, frame_bytes, message.value_bytes(), start == 0);
        self.pool.used.fetch_add(frame_bytes, Ordering::Relaxed);
        self.messages += 1;
        self.value_bytes += message.value_bytes();
        if self.buffer.len() >= self.pool.buffer_bytes() {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.write(&self.buffer)?;
        }
        self.buffer.clear();
        Ok(())
    }

    /// Opens the messages of `from..to`. The reader stays valid when the spool is cut or cleared meanwhile.
    pub fn read(&mut self, from: u64, to: u64) -> io::Result<SpoolReader> {
        self.flush()?;
        let from = from.max(self.start);
        let parts = self
            .chunks
            .iter()
            .filter(|c| c.next > from && c.first() < to)
            .map(|c| Part { file: Arc::clone(&c.file), at: c.position_before(from), end: c.bytes })
            .collect();
        Ok(SpoolReader { parts, buffer: BytesMut::new(), from, to, source: None })
    }

    /// Drops the messages below `next`. Chunks wholly below it are freed.
    pub fn cut(&mut self, next: u64) -> io::Result<()> {
        let next = next.max(self.start);
        if self.chunks.back().is_some_and(|c| c.next <= next) {
            self.clear();
            return Ok(());
        }
        while self.chunks.front().is_some_and(|c| c.next <= next) {
            if let Some(chunk) = self.chunks.pop_front() {
                self.pool.used.fetch_sub(chunk.bytes, Ordering::Relaxed);
                self.pool.give_back(chunk.file);
            }
        }
        // The count is exact, so the part of the first chunk that is cut is counted by reading it: at most the messages between two marks.
        if self.chunks.front().is_some_and(|c| c.first() < next) {
            self.flush()?;
        }
        let (mut messages, mut value_bytes) = (0, 0);
        for (index, chunk) in self.chunks.iter().enumerate() {
            let below = if index == 0 { chunk.count_below(next)? } else { (0, 0) };
            messages += chunk.messages - below.0;
            value_bytes += chunk.value_bytes - below.1;
        }
        (self.start, self.messages, self.value_bytes) = (next, messages, value_bytes);
        Ok(())
    }

    /// Drops all messages.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_MIN);
        for chunk in self.chunks.drain(..) {
            self.pool.used.fetch_sub(chunk.bytes, Ordering::Relaxed);
            self.pool.give_back(chunk.file);
        }
        (self.start, self.messages, self.value_bytes) = (0, 0, 0);
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.clear();
        self.pool.spools.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Part {
    file: Arc<ChunkFile>,
    at: u64,
    end: u64,
}

/// Reads a spool's messages in order.
#[derive(Debug)]
pub struct SpoolReader {
    parts: VecDeque<Part>,
    /// Read and not yet given out.
    buffer: BytesMut,
    from: u64,
    to: u64,
    /// The last source seen: nearly all messages of a partition share it.
    source: Option<Arc<str>>,
}

impl SpoolReader {
    /// Reads until `bytes` are at hand; `false` if the part ends before.
    fn fill(&mut self, bytes: usize) -> io::Result<bool> {
        while self.buffer.len() < bytes {
            let Some(part) = self.parts.front_mut() else { return Ok(false) };
            let left = part.end - part.at;
            if left == 0 {
                return Ok(false);
            }
            let want = (bytes - self.buffer.len()).max(READ_BYTES).min(usize::try_from(left).unwrap_or(usize::MAX));
            let start = self.buffer.len();
            self.buffer.resize(start + want, 0);
            let read = part.file.read_at(&mut self.buffer[start..], part.at)?;
            self.buffer.truncate(start + read);
            part.at += read as u64;
            if read == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "a spool file is shorter than what was written to it",
                ));
            }
        }
        Ok(true)
    }

    fn next_message(&mut self) -> io::Result<Option<Message>> {
        loop {
            if !self.fill(frame::LENGTH_BYTES)? {
                if self.parts.pop_front().is_none() {
                    return Ok(None);
                }
                continue;
            }
            let length = frame::length(&self.buffer);
            if !self.fill(frame::LENGTH_BYTES + length)? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a spool file ends inside a message"));
            }
            let offset = frame::offset(&self.buffer);
            if offset >= self.to {
                self.parts.clear();
                self.buffer.clear();
                return Ok(None);
            }
            self.buffer.advance(frame::LENGTH_BYTES);
            let body = self.buffer.split_to(length).freeze();
            if offset >= self.from {
                return frame::decode(body, &mut self.source).map(Some);
            }
        }
    }
}

impl Messages for SpoolReader {
    fn next(&mut self) -> Result<Option<Message>, SourceError> {
        self.next_message().map_err(|source| SourceError::Read { what: "the spool".into(), source })
    }
}

#[cfg(test)]
mod tests;
