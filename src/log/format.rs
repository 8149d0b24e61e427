//! The bytes of a segment: its header and its entries. Pure. Numbers are little-endian.
//!
//! A segment is one header and then entries, back to back. Header, [`HEADER_BYTES`] long:
//!
//! ```text
//!  0  magic          8   "weirseg\n"
//!  8  version        u32 1
//! 12  lane           u32
//! 16  log            16  the log's UUID
//! 32  epoch          u32 of the start that made the segment
//! 36  zero           u32
//! 40  first seq      u64 = rows that the lane had before; the file's name says it too
//! 48  calls before   u64 calls that the lane had before
//! 56  made at        i64 milliseconds since the epoch; no later entry is dated before it
//! 64  zero           12
//! 76  crc            u32 CRC32C of the bytes before
//! ```
//!
//! Entry, one call: a head of [`ENTRY_BYTES`] and a body:
//!
//! ```text
//!  0  mark           4   fe 00 'w' e1; no JSON text contains it
//!  4  body length    u32
//!  8  head's crc     u32 CRC32C of the log's UUID, the lane and the head without this field
//! 12  body's crc     u32 CRC32C
//! 16  call           u64 the call's number, its value of `seen`
//! 24  calls before   u64 calls that the lane had before
//! 32  first seq      u64 of its first row
//! 40  appended at    i64 milliseconds since the epoch; never goes back within a lane
//! 48  rows           u32
//! 52  epoch          u32 of the start that appended it
//! 56  content type   u8  1 JSON, 2 Protobuf
//! 57  zero           7
//! body, per row:  key length u32 (ffffffff: no key), value length u32, key, value
//! ```
//!
//! Every entry says all of itself, so a damaged header, or a damaged neighbour, costs it nothing.

use bytes::Bytes;
use uuid::Uuid;

use crate::record::{ContentType, Encoded};

use super::Source;

pub(super) const HEADER_BYTES: usize = 80;
pub(super) const ENTRY_BYTES: usize = 64;
pub(super) const VERSION: u32 = 1;
/// What the body of one entry may hold: a call is held in memory whole, long before this.
pub(super) const BODY_BYTES_MAX: u64 = 1 << 30;

const SEGMENT_MAGIC: &[u8; 8] = b"weirseg\n";
pub(super) const ENTRY_MARK: [u8; 4] = [0xfe, 0x00, b'w', 0xe1];
const NO_KEY: u32 = u32::MAX;

pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    // The algorithm's result has 32 bits.
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub source: Source,
    pub first_seq: u64,
    pub calls_before: u64,
    pub made_at_ms: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderError {
    Damaged,
    /// Whole, but of this later version.
    Newer(u32),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.source.lane.to_le_bytes());
        bytes[16..32].copy_from_slice(self.source.log.as_bytes());
        bytes[32..36].copy_from_slice(&self.source.epoch.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.calls_before.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.made_at_ms.to_le_bytes());
        let crc = crc32c(&bytes[..76]);
        bytes[76..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderError> {
        if bytes.len() < HEADER_BYTES || &bytes[..8] != SEGMENT_MAGIC || u32_at(bytes, 76) != crc32c(&bytes[..76]) {
            return Err(HeaderError::Damaged);
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(HeaderError::Newer(version));
        }
        let log = Uuid::from_slice(&bytes[16..32]).expect("sixteen bytes");
        Ok(SegmentHeader {
            source: Source { log, lane: u32_at(bytes, 12), epoch: u32_at(bytes, 32) },
            first_seq: u64_at(bytes, 40),
            calls_before: u64_at(bytes, 48),
            made_at_ms: i64_at(bytes, 56),
        })
    }
}

/// An entry's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryHead {
    pub body_bytes: u32,
    pub body_crc: u32,
    pub call: u64,
    pub calls_before: u64,
    pub first_seq: u64,
    pub appended_at_ms: i64,
    pub rows: u32,
    pub epoch: u32,
    pub content_type: ContentType,
}

impl EntryHead {
    /// First seq after it.
    pub(super) fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.rows))
    }

    /// Head and body.
    pub(super) fn entry_bytes(&self) -> u64 {
        ENTRY_BYTES as u64 + u64::from(self.body_bytes)
    }

    fn encode(&self, log: Uuid, lane: u32) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&ENTRY_MARK);
        bytes[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.call.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.calls_before.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.appended_at_ms.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.rows.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[56] = self.content_type as u8;
        let crc = head_crc(log, lane, &bytes);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if `bytes` does not begin with a whole head of this lane.
    pub(super) fn decode(log: Uuid, lane: u32, bytes: &[u8]) -> Option<EntryHead> {
        let bytes: &[u8; ENTRY_BYTES] = bytes.first_chunk()?;
        if bytes[..4] != ENTRY_MARK || u32_at(bytes, 8) != head_crc(log, lane, bytes) {
            return None;
        }
        let content_type = match bytes[56] {
            1 => ContentType::Json,
            2 => ContentType::Protobuf,
            _ => return None,
        };
        Some(EntryHead {
            body_bytes: u32_at(bytes, 4),
            body_crc: u32_at(bytes, 12),
            call: u64_at(bytes, 16),
            calls_before: u64_at(bytes, 24),
            first_seq: u64_at(bytes, 32),
            appended_at_ms: i64_at(bytes, 40),
            rows: u32_at(bytes, 48),
            epoch: u32_at(bytes, 52),
            content_type,
        })
    }
}

/// Salted with the log and the lane: no entry of another lane, nor bytes that a client makes up, can pass for one.
fn head_crc(log: Uuid, lane: u32, head: &[u8; ENTRY_BYTES]) -> u32 {
    let mut salted = [0; 20 + ENTRY_BYTES - 4];
    salted[..16].copy_from_slice(log.as_bytes());
    salted[16..20].copy_from_slice(&lane.to_le_bytes());
    salted[20..28].copy_from_slice(&head[..8]);
    salted[28..].copy_from_slice(&head[12..]);
    crc32c(&salted)
}

/// What an entry of these rows takes on disk.
pub(super) fn entry_bytes(rows: &[Encoded]) -> u64 {
    let row_bytes = |row: &Encoded| 8 + (row.key.as_ref().map_or(0, Bytes::len) + row.value.len()) as u64;
    ENTRY_BYTES as u64 + rows.iter().map(row_bytes).sum::<u64>()
}

/// What an entry is appended with, beside its rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub source: Source,
    pub call: u64,
    pub calls_before: u64,
    pub first_seq: u64,
    pub appended_at_ms: i64,
}

/// Appends an entry to `buffer`. Its [`entry_bytes`] were checked against [`BODY_BYTES_MAX`].
pub(super) fn encode_entry(buffer: &mut Vec<u8>, place: &Place, content_type: ContentType, rows: &[Encoded]) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; ENTRY_BYTES]);
    let length = |bytes: &Bytes| u32::try_from(bytes.len()).expect("the body's length was checked");
    for row in rows {
        buffer.extend_from_slice(&row.key.as_ref().map_or(NO_KEY, length).to_le_bytes());
        buffer.extend_from_slice(&length(&row.value).to_le_bytes());
        buffer.extend_from_slice(row.key.as_deref().unwrap_or_default());
        buffer.extend_from_slice(&row.value);
    }
    let (head, body) = buffer[start..].split_at_mut(ENTRY_BYTES);
    let encoded = EntryHead {
        body_bytes: u32::try_from(body.len()).expect("the body's length was checked"),
        body_crc: crc32c(body),
        call: place.call,
        calls_before: place.calls_before,
        first_seq: place.first_seq,
        appended_at_ms: place.appended_at_ms,
        rows: u32::try_from(rows.len()).expect("the body's length was checked, and a row takes eight bytes"),
        epoch: place.source.epoch,
        content_type,
    }
    .encode(place.source.log, place.source.lane);
    head.copy_from_slice(&encoded);
}

/// Takes the row at `*at` out of a body. `None`: the body is not what its head said.
pub(super) fn decode_row(body: &Bytes, at: &mut usize) -> Option<Encoded> {
    let lengths = body.get(*at..at.checked_add(8)?)?;
    let (key_bytes, value_bytes) = (u32_at(lengths, 0), u32_at(lengths, 4) as usize);
    let key_start = *at + 8;
    let value_start = if key_bytes == NO_KEY { key_start } else { key_start.checked_add(key_bytes as usize)? };
    let end = value_start.checked_add(value_bytes)?;
    if end > body.len() {
        return None;
    }
    *at = end;
    let key = (key_bytes != NO_KEY).then(|| body.slice(key_start..value_start));
    Some(Encoded { key, value: body.slice(value_start..end) })
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
