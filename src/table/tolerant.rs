//! The driver for what the cursor refuses: NaN tokens, deep nesting, half surrogate pairs. Over `jiter`; says why a text is no JSON.

use std::borrow::Cow;

use jiter::{Jiter, JiterError, Peek};

use super::number::{self, Number};
use super::walk::{Broken, Visitor};

/// Tells `text` to `visitor`, or says what is wrong with it and where.
pub(super) fn walk<V: Visitor>(text: &str, visitor: &mut V) -> Result<(), Broken> {
    let mut jiter = Jiter::new(text.as_bytes()).with_allow_inf_nan();
    let Err(why) = tell(&mut jiter, visitor) else { return Ok(()) };
    let Cow::Owned(mended) = mend_surrogates(text) else { return Err(broken(&jiter, why)) };
    visitor.restart();
    visitor.altered();
    let mut jiter = Jiter::new(mended.as_bytes()).with_allow_inf_nan();
    tell(&mut jiter, visitor).map_err(|why| broken(&jiter, why))
}

enum Why {
    Jiter(JiterError),
    Number,
}

impl From<JiterError> for Why {
    fn from(error: JiterError) -> Why {
        Why::Jiter(error)
    }
}

fn broken(jiter: &Jiter<'_>, why: Why) -> Broken {
    Broken(match why {
        Why::Jiter(error) => error.description(jiter),
        Why::Number => format!("invalid number at byte {}", jiter.current_index()),
    })
}

/// What stands open.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    Object,
    Array,
}

fn tell<V: Visitor>(jiter: &mut Jiter<'_>, visitor: &mut V) -> Result<(), Why> {
    // Grows with the text's own depth, not on the thread's stack.
    let mut open: Vec<Open> = Vec::new();
    let mut peek = jiter.peek()?;
    loop {
        let mut ended = true;
        match peek {
            Peek::Null => {
                jiter.known_null()?;
                visitor.null();
            }
            Peek::True | Peek::False => visitor.boolean(jiter.known_bool(peek)?),
            Peek::String => visitor.string(jiter.known_str()?),
            Peek::Array => {
                let first = jiter.known_array()?;
                visitor.begin_array();
                match first {
                    Some(first) => {
                        open.push(Open::Array);
                        peek = first;
                        ended = false;
                    }
                    None => visitor.end_array(),
                }
            }
            Peek::Object => {
                let more = key(jiter.known_object()?, visitor, true);
                if more {
                    open.push(Open::Object);
                    peek = jiter.peek()?;
                    ended = false;
                }
            }
            _ => visitor.number(number(jiter.known_number_bytes(peek)?)?),
        }
        while ended {
            match open.last() {
                None => return Ok(jiter.finish()?),
                Some(Open::Array) => match jiter.array_step()? {
                    Some(next) => {
                        peek = next;
                        ended = false;
                    }
                    None => {
                        visitor.end_array();
                        open.pop();
                    }
                },
                Some(Open::Object) => {
                    if key(jiter.next_key()?, visitor, false) {
                        peek = jiter.peek()?;
                        ended = false;
                    } else {
                        open.pop();
                    }
                }
            }
        }
    }
}

/// Tells a key, or that the object ends; true if a value follows.
fn key<V: Visitor>(key: Option<&str>, visitor: &mut V, first: bool) -> bool {
    if first {
        visitor.begin_object();
    }
    match key {
        Some(key) => visitor.key(key),
        None => visitor.end_object(),
    }
    key.is_some()
}

fn number(bytes: &[u8]) -> Result<Number<'_>, Why> {
    let text = std::str::from_utf8(bytes).map_err(|_| Why::Number)?;
    if let Some(number) = Number::not_finite(text) {
        return Ok(number);
    }
    match number::scan(text, 0) {
        Some((number, end)) if end == text.len() => Ok(number),
        _ => Err(Why::Number),
    }
}

/// The text with `\ufffd` for each half of a surrogate pair that stands alone; same length.
fn mend_surrogates(text: &str) -> Cow<'_, str> {
    let mut mended = Cow::Borrowed(text);
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        match escape(bytes, at) {
            None => at += 2,
            Some(0xd800..0xdc00) if matches!(escape(bytes, at + 6), Some(0xdc00..0xe000)) => at += 12,
            Some(0xd800..0xe000) => {
                mended.to_mut().replace_range(at..at + 6, "\\ufffd");
                at += 6;
            }
            Some(_) => at += 6,
        }
        if at >= bytes.len() {
            break;
        }
    }
    mended
}

/// The code of a `\uXXXX` at `at`.
fn escape(bytes: &[u8], at: usize) -> Option<u32> {
    let escape = bytes.get(at..at + 6)?;
    let hex = escape.strip_prefix(b"\\u")?;
    u32::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}
