//! A protobuf message as its fields, one after the other: numbers and undecoded values. Every length is checked against what is left.

use std::borrow::Cow;

use super::protobuf::WireType;

/// Why the bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damaged(pub(super) Cow<'static, str>);

pub(super) fn damaged<T>(what: impl Into<Cow<'static, str>>) -> Result<T, Damaged> {
    Err(Damaged(what.into()))
}

/// A field's value, undecoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Raw<'m> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'m [u8]),
    Fixed32,
}

/// What is left of a message.
pub(super) struct Reader<'m>(pub &'m [u8]);

impl<'m> Reader<'m> {
    /// The next field and its number; `None` at the end.
    pub fn field(&mut self) -> Result<Option<(u32, Raw<'m>)>, Damaged> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = match u32::try_from(tag >> 3) {
            Ok(number @ 1..0x2000_0000) => number,
            _ => return damaged("a field has an impossible number"),
        };
        const VARINT: u64 = WireType::Varint as u64;
        const FIXED64: u64 = WireType::Fixed64 as u64;
        const BYTES: u64 = WireType::Bytes as u64;
        const FIXED32: u64 = WireType::Fixed32 as u64;
        let raw = match tag & 7 {
            VARINT => Raw::Varint(self.varint()?),
            FIXED64 => match self.take(8)?.try_into() {
                Ok(bytes) => Raw::Fixed64(u64::from_le_bytes(bytes)),
                Err(_) => return damaged("the message is cut"),
            },
            BYTES => {
                let length = self.varint()?;
                Raw::Bytes(self.take(length)?)
            }
            FIXED32 => {
                self.take(4)?;
                Raw::Fixed32
            }
            other => return damaged(format!("field {number} has wire type {other}")),
        };
        Ok(Some((number, raw)))
    }

    fn take(&mut self, length: u64) -> Result<&'m [u8], Damaged> {
        let split = usize::try_from(length).ok().and_then(|length| self.0.split_at_checked(length));
        let Some((taken, rest)) = split else { return damaged("the message is cut") };
        self.0 = rest;
        Ok(taken)
    }

    pub fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0_u64;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            if at == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        damaged(if self.0.len() < 10 { "the message is cut" } else { "a varint is too long" })
    }
}
