//! A message as bytes in the spool.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::source::{ContentType, Damaged, Message};

pub(super) const LENGTH_BYTES: usize = 4;
/// Offset, timestamp, flags.
const FIXED_BYTES: usize = 17;

const CREATE_TIME: u8 = 1;
const KEY: u8 = 1 << 1;
const VALUE: u8 = 1 << 2;
const SOURCE: u8 = 1 << 3;
const SEQ: u8 = 1 << 4;
const DAMAGED: u8 = 1 << 5;
const PROTOBUF: u8 = 1 << 6;

/// A message on its way into the spool.
#[derive(Debug, Clone, Copy)]
pub(in crate::source) struct Stored<'a> {
    pub offset: u64,
    pub timestamp_ms: i64,
    pub create_time: bool,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub content_type: ContentType,
    pub source: Option<&'a str>,
    pub seq: Option<u64>,
    /// The first seq after the damaged rows that the message stands for.
    pub damaged_next: Option<u64>,
}

impl Stored<'_> {
    pub(super) fn value_bytes(&self) -> u64 {
        self.value.map_or(0, <[u8]>::len) as u64
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        // Kafka's headers are not bounded by weir: a source that is longer than its length field is not one.
        let source = self.source.and_then(|s| u16::try_from(s.len()).ok().map(|length| (length, s)));
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.create_time, CREATE_TIME)
            | flag(self.key.is_some(), KEY)
            | flag(self.value.is_some(), VALUE)
            | flag(source.is_some(), SOURCE)
            | flag(self.seq.is_some(), SEQ)
            | flag(self.damaged_next.is_some(), DAMAGED)
            | flag(self.content_type == ContentType::Protobuf, PROTOBUF);
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.timestamp_ms.to_le_bytes());
        out.push(flags);
        if let Some(key) = self.key {
            let length = u32::try_from(key.len()).expect("a kafka key is shorter than 2 GiB");
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(key);
        }
        if let Some((length, source)) = source {
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(source.as_bytes());
        }
        for number in [self.seq, self.damaged_next].into_iter().flatten() {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(self.value.unwrap_or_default());
        let length = u32::try_from(out.len() - start - LENGTH_BYTES).expect("a kafka message is shorter than 2 GiB");
        out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    }
}

/// Bytes of the frame after its length field. `frame` holds at least that field.
pub(super) fn length(frame: &[u8]) -> usize {
    (&frame[..LENGTH_BYTES]).get_u32_le() as usize
}

/// The offset of a whole frame, its length field included.
pub(super) fn offset(frame: &[u8]) -> u64 {
    (&frame[LENGTH_BYTES..]).get_u64_le()
}

/// Bytes of the value of a whole frame, its length field included.
pub(super) fn value_bytes(frame: &[u8]) -> u64 {
    let length = length(frame);
    let flags = frame[LENGTH_BYTES + FIXED_BYTES - 1];
    let mut rest = &frame[LENGTH_BYTES + FIXED_BYTES..LENGTH_BYTES + length];
    if flags & KEY != 0 {
        let key = rest.get_u32_le() as usize;
        rest.advance(key);
    }
    if flags & SOURCE != 0 {
        let source = usize::from(rest.get_u16_le());
        rest.advance(source);
    }
    for bit in [SEQ, DAMAGED] {
        if flags & bit != 0 {
            rest.advance(8);
        }
    }
    rest.len() as u64
}

/// What stands for rows that could not be read.
fn damaged(seq: Option<u64>, next: u64) -> Damaged {
    let first = seq.map_or_else(|| "?".to_owned(), |s| s.to_string());
    Damaged {
        next,
        is_position: false,
        why: format!("rows {first}..{next} could not be read from the log of their gateway"),
    }
}

/// A message that goes past the spool.
pub(in crate::source) fn owned(stored: &Stored<'_>) -> Message {
    Message {
        offset: stored.offset,
        timestamp_ms: stored.timestamp_ms,
        create_time: stored.create_time,
        key: stored.key.map(Bytes::copy_from_slice),
        value: stored.value.map(Bytes::copy_from_slice),
        content_type: stored.content_type,
        source: stored.source.map(Arc::from),
        seq: stored.seq,
        damaged: stored.damaged_next.map(|next| damaged(stored.seq, next)),
    }
}

/// A frame without its length field as a message. `source` is the last one seen.
pub(super) fn decode(mut frame: Bytes, source: &mut Option<Arc<str>>) -> io::Result<Message> {
    let short = || io::Error::new(io::ErrorKind::InvalidData, "a message in the spool is damaged");
    let offset = frame.try_get_u64_le().map_err(|_| short())?;
    let timestamp_ms = frame.try_get_i64_le().map_err(|_| short())?;
    let flags = frame.try_get_u8().map_err(|_| short())?;
    let has = |bit: u8| flags & bit != 0;
    let take = |frame: &mut Bytes, length: usize| {
        if length <= frame.len() { Ok(frame.split_to(length)) } else { Err(short()) }
    };
    let mut key = None;
    if has(KEY) {
        let length = frame.try_get_u32_le().map_err(|_| short())? as usize;
        key = Some(take(&mut frame, length)?);
    }
    let mut of = None;
    if has(SOURCE) {
        let length = usize::from(frame.try_get_u16_le().map_err(|_| short())?);
        let text = take(&mut frame, length)?;
        if source.as_deref().is_none_or(|s| s.as_bytes() != text) {
            *source = Some(Arc::from(std::str::from_utf8(&text).map_err(|_| short())?));
        }
        of.clone_from(source);
    }
    let seq = if has(SEQ) { Some(frame.try_get_u64_le().map_err(|_| short())?) } else { None };
    let damaged = if has(DAMAGED) { Some(damaged(seq, frame.try_get_u64_le().map_err(|_| short())?)) } else { None };
    Ok(Message {
        offset,
        timestamp_ms,
        create_time: has(CREATE_TIME),
        key,
        value: has(VALUE).then_some(frame),
        content_type: if has(PROTOBUF) { ContentType::Protobuf } else { ContentType::Json },
        source: of,
        seq,
        damaged,
    })
}
