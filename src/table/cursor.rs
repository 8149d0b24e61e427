//! The strict JSON cursor: straight over the message's bytes, expecting the key that followed last time.
//!
//! It accepts RFC 8259 and nothing else, to [`DEPTH_MAX`] levels; everything odd is refused and left to the tolerant driver.

use super::number;
use super::walk::Visitor;
use crate::record::wire::json::find_special;

/// Levels of nesting; one bit each.
pub(super) const DEPTH_MAX: u32 = 64;

/// Not for this cursor: broken, or of a kind that the tolerant driver knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// Tells `text` to `visitor`; `scratch` is reused for strings with escapes.
pub(super) fn walk<V: Visitor>(text: &str, visitor: &mut V, scratch: &mut String) -> Result<(), Refused> {
    let mut cursor = Cursor { text, bytes: text.as_bytes(), at: 0, objects: 0, depth: 0 };
    cursor.skip_space();
    let mut opened = cursor.value(visitor, scratch)?;
    loop {
        if !opened {
            // A value has ended: close what ends with it.
            loop {
                if cursor.depth == 0 {
                    cursor.skip_space();
                    return if cursor.at == cursor.bytes.len() { Ok(()) } else { Err(Refused) };
                }
                cursor.skip_space();
                match (cursor.next()?, cursor.in_object()) {
                    (b',', _) => break,
                    (b'}', true) => visitor.end_object(),
                    (b']', false) => visitor.end_array(),
                    _ => return Err(Refused),
                }
                cursor.depth -= 1;
            }
            cursor.skip_space();
        }
        if cursor.in_object() {
            cursor.key(visitor, scratch)?;
        }
        opened = cursor.value(visitor, scratch)?;
    }
}

struct Cursor<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    /// Bit `depth - 1`: whether that level is an object.
    objects: u64,
    depth: u32,
}

impl<'t> Cursor<'t> {
    #[inline]
    fn peek(&self) -> Result<u8, Refused> {
        self.bytes.get(self.at).copied().ok_or(Refused)
    }

    #[inline]
    fn next(&mut self) -> Result<u8, Refused> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    #[inline]
    fn in_object(&self) -> bool {
        self.objects >> (self.depth - 1) & 1 == 1
    }

    fn open(&mut self, object: bool) -> Result<(), Refused> {
        if self.depth == DEPTH_MAX {
            return Err(Refused);
        }
        let bit = 1u64 << self.depth;
        self.objects = if object { self.objects | bit } else { self.objects & !bit };
        self.depth += 1;
        Ok(())
    }

    /// Tells one value; true if it is an object or array whose first key or element comes next.
    #[inline]
    fn value<V: Visitor>(&mut self, visitor: &mut V, scratch: &mut String) -> Result<bool, Refused> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                visitor.string(self.string(scratch)?);
            }
            b'-' | b'0'..=b'9' => {
                let (number, end) = number::scan(self.text, self.at).ok_or(Refused)?;
                self.at = end;
                visitor.number(number);
            }
            b'{' => {
                self.at += 1;
                self.open(true)?;
                visitor.begin_object();
                self.skip_space();
                if self.peek()? != b'}' {
                    return Ok(true);
                }
                self.at += 1;
                self.depth -= 1;
                visitor.end_object();
            }
            b'[' => {
                self.at += 1;
                self.open(false)?;
                visitor.begin_array();
                self.skip_space();
                if self.peek()? != b']' {
                    return Ok(true);
                }
                self.at += 1;
                self.depth -= 1;
                visitor.end_array();
            }
            b't' => {
                self.word(b"true")?;
                visitor.boolean(true);
            }
            b'f' => {
                self.word(b"false")?;
                visitor.boolean(false);
            }
            b'n' => {
                self.word(b"null")?;
                visitor.null();
            }
            _ => return Err(Refused),
        }
        Ok(false)
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Refused> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Refused);
        }
        self.at += word.len();
        Ok(())
    }

    /// Tells one key and stops at the start of its value.
    #[inline]
    fn key<V: Visitor>(&mut self, visitor: &mut V, scratch: &mut String) -> Result<(), Refused> {
        let expected = visitor.expected_key();
        if !expected.is_empty() && begins_with(&self.bytes[self.at..], expected) {
            self.at += expected.len();
            visitor.take_expected();
        } else {
            if self.next()? != b'"' {
                return Err(Refused);
            }
            visitor.key(self.string(scratch)?);
        }
        self.skip_space();
        if self.next()? != b':' {
            return Err(Refused);
        }
        self.skip_space();
        Ok(())
    }

    /// The string whose opening quote was read.
    #[inline]
    fn string<'s>(&mut self, scratch: &'s mut String) -> Result<&'s str, Refused>
    where
        't: 's,
    {
        let start = self.at;
        let end = find_special(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(&self.text[start..end]);
        }
        self.escaped(start, end, scratch)?;
        Ok(scratch)
    }

    #[cold]
    fn escaped(&mut self, start: usize, first: usize, scratch: &mut String) -> Result<(), Refused> {
        scratch.clear();
        let (mut plain, mut special) = (start, first);
        loop {
            scratch.push_str(&self.text[plain..special]);
            self.at = special;
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => {}
                _ => return Err(Refused),
            }
            let char = match self.next()? {
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode()?,
                _ => return Err(Refused),
            };
            scratch.push(char);
            plain = self.at;
            special = find_special(self.bytes, plain);
        }
    }

    fn unicode(&mut self) -> Result<char, Refused> {
        let first = self.hex4()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or(Refused);
        }
        if first >= 0xdc00 || self.next()? != b'\\' || self.next()? != b'u' {
            return Err(Refused);
        }
        let second = self.hex4()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(Refused);
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(Refused)
    }

    fn hex4(&mut self) -> Result<u32, Refused> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or(Refused)?;
            code = code << 4 | digit;
        }
        Ok(code)
    }
}

/// `starts_with` without a call: keys are short, and libc's compare was a tenth of the walk.
#[inline]
fn begins_with(bytes: &[u8], expected: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..expected.len()) else { return false };
    let (eights, rest) = bytes.as_chunks::<8>();
    let (expected_eights, expected_rest) = expected.as_chunks::<8>();
    let word = |eight: &[u8; 8]| u64::from_le_bytes(*eight);
    eights.iter().zip(expected_eights).all(|(a, b)| word(a) == word(b))
        && rest.iter().zip(expected_rest).all(|(a, b)| a == b)
}
