//! Reads one segment file: heads and bodies at offsets, and the next entry after damage.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;
use uuid::Uuid;

use super::format::{self, ENTRY_BYTES, ENTRY_MARK, EntryHead, HEADER_BYTES, HeaderError, SegmentHeader};

/// Bytes read at once.
const WINDOW_BYTES: usize = 256 << 10;
const BLOCK_BYTES: usize = 4096;

pub(super) const SEGMENT_SUFFIX: &str = "seg";

pub(super) fn segment_name(first_seq: u64) -> String {
    format!("{first_seq:020}.{SEGMENT_SUFFIX}")
}

/// The first seq that a file's name says, if it is a segment's.
pub(super) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// An open segment of one lane, with a window of its bytes.
pub(super) struct SegmentFile {
    file: File,
    log: Uuid,
    lane: u32,
    window: Vec<u8>,
    window_at: u64,
}

/// What stands where a body should.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Whole,
    /// The file ends within it.
    Short,
    /// Its checksum differs.
    Damaged,
}

impl SegmentFile {
    pub(super) fn open(path: &Path, log: Uuid, lane: u32) -> io::Result<SegmentFile> {
        Ok(SegmentFile { file: File::open(path)?, log, lane, window: Vec::new(), window_at: 0 })
    }

    pub(super) fn file_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Milliseconds since the epoch, 0 if unknown.
    pub(super) fn modified_ms(&self) -> i64 {
        let modified = self.file.metadata().and_then(|metadata| metadata.modified()).ok();
        let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(0)
    }

    /// Forgets what was read ahead. Bytes that were not synced may have been cut and written anew since.
    pub(super) fn forget(&mut self) {
        self.window.clear();
    }

    pub(super) fn header(&mut self) -> io::Result<Result<SegmentHeader, HeaderError>> {
        let header = SegmentHeader::decode(self.bytes(0, HEADER_BYTES)?);
        // One that was copied here from another lane says nothing about this one.
        let (log, lane) = (self.log, self.lane);
        Ok(header.and_then(|header| {
            if (header.source.log, header.source.lane) == (log, lane) { Ok(header) } else { Err(HeaderError::Damaged) }
        }))
    }

    /// The entry's head at `at`, if one stands there.
    pub(super) fn head(&mut self, at: u64) -> io::Result<Option<EntryHead>> {
        let (log, lane) = (self.log, self.lane);
        Ok(EntryHead::decode(log, lane, self.bytes(at, ENTRY_BYTES)?))
    }

    /// Checks the body of the entry at `at`.
    pub(super) fn check(&mut self, at: u64, head: &EntryHead) -> io::Result<Body> {
        let wanted = head.body_bytes as usize;
        if self.ends_before(at + head.entry_bytes())? {
            return Ok(Body::Short);
        }
        let body = self.bytes(at + ENTRY_BYTES as u64, wanted)?;
        Ok(match body.len() {
            len if len < wanted => Body::Short,
            _ if format::crc32c(body) != head.body_crc => Body::Damaged,
            _ => Body::Whole,
        })
    }

    /// The body that [`Self::check`] found whole.
    pub(super) fn body(&mut self, at: u64, head: &EntryHead) -> io::Result<Bytes> {
        let body = self.bytes(at + ENTRY_BYTES as u64, head.body_bytes as usize)?;
        Ok(Bytes::copy_from_slice(body))
    }

    /// The first place from `from` on where a head stands that `accept` takes.
    pub(super) fn resync(
        &mut self,
        from: u64,
        accept: impl Fn(&EntryHead) -> bool,
    ) -> io::Result<Option<(u64, EntryHead)>> {
        let marks = memchr::memmem::Finder::new(&ENTRY_MARK);
        let mut at = from;
        loop {
            let window = self.bytes(at, WINDOW_BYTES / 2)?;
            if window.len() < ENTRY_BYTES {
                return Ok(None);
            }
            let Some(found) = marks.find(window) else {
                // A mark may begin in the last three bytes.
                at += (window.len() - ENTRY_MARK.len() + 1) as u64;
                continue;
            };
            at += found as u64;
            match self.head(at)? {
                Some(head) if accept(&head) => return Ok(Some((at, head))),
                _ => at += 1,
            }
        }
    }

    fn ends_before(&self, end: u64) -> io::Result<bool> {
        if end <= self.window_at + self.window.len() as u64 {
            return Ok(false);
        }
        Ok(self.file_bytes()? < end)
    }

    /// The bytes from `at` on, `len` of them or as many as the file has.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let skip =
            at.checked_sub(self.window_at).map_or(usize::MAX, |skip| usize::try_from(skip).unwrap_or(usize::MAX));
        if skip.checked_add(len).is_none_or(|end| end > self.window.len()) {
            self.fill(at, len.max(WINDOW_BYTES))?;
            return Ok(&self.window[..len.min(self.window.len())]);
        }
        Ok(&self.window[skip..skip + len])
    }

    fn fill(&mut self, at: u64, len: usize) -> io::Result<()> {
        self.window.resize(len, 0);
        if len <= WINDOW_BYTES {
            self.window.shrink_to(2 * WINDOW_BYTES);
        }
        self.window_at = at;
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut self.window[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A block that the disk cannot read counts as zeros: its checksums fail, the rest is still delivered.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    let end = len.min(filled + BLOCK_BYTES);
                    match self.file.read_at(&mut self.window[filled..end], at + filled as u64) {
                        Ok(0) => break,
                        Ok(read) => filled += read,
                        Err(_) => {
                            let left = self.file_bytes()?.saturating_sub(at + filled as u64);
                            let end = end.min(filled + usize::try_from(left).unwrap_or(usize::MAX));
                            self.window[filled..end].fill(0);
                            if end == filled {
                                break;
                            }
                            filled = end;
                        }
                    }
                }
                Err(error) => {
                    self.window.clear();
                    return Err(error);
                }
            }
        }
        self.window.truncate(filled);
        Ok(())
    }
}

/// Goes through a segment from its start, entry by entry.
pub(super) struct Walk {
    pub file: SegmentFile,
    pub at: u64,
    /// No entry below this seq is one of the sequence.
    expected: u64,
}

/// One step of a [`Walk`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Entry {
        at: u64,
        head: EntryHead,
    },
    /// The head is whole, the body is not.
    BadBody {
        at: u64,
        head: EntryHead,
    },
    /// Bytes that are no entry; one follows.
    Garbage {
        at: u64,
        bytes: u64,
    },
    /// Nothing that is an entry stands from here to the end.
    Tail {
        at: u64,
        bytes: u64,
    },
}

impl Walk {
    pub(super) fn new(file: SegmentFile, first_seq: u64) -> Walk {
        Walk { file, at: HEADER_BYTES as u64, expected: first_seq }
    }

    pub(super) fn step(&mut self) -> io::Result<Option<Step>> {
        let (at, expected) = (self.at, self.expected);
        let end = self.file.file_bytes()?;
        if at >= end {
            return Ok(None);
        }
        match self.file.head(at)? {
            Some(head) if head.first_seq >= expected => match self.file.check(at, &head)? {
                Body::Short => {}
                body => {
                    self.at = at + head.entry_bytes();
                    self.expected = head.next_seq();
                    let step = if body == Body::Whole { Step::Entry { at, head } } else { Step::BadBody { at, head } };
                    return Ok(Some(step));
                }
            },
            _ => {
                if let Some((found, _)) = self.file.resync(at + 1, |head| head.first_seq >= expected)? {
                    self.at = found;
                    return Ok(Some(Step::Garbage { at, bytes: found - at }));
                }
            }
        }
        self.at = end;
        Ok(Some(Step::Tail { at, bytes: end - at }))
    }
}
