//! One walk over a message's JSON text, told to a [`Visitor`]: by the strict cursor, or for what it refuses by the tolerant driver.

use super::number::Number;
use super::{cursor, tolerant};

/// Is told what stands in a JSON text, in order. Survey and row builder are two of them; both drivers tell the same story.
pub(super) trait Visitor {
    /// The key that probably comes next, as JSON text with its quotes; empty for no guess.
    fn expected_key(&self) -> &[u8];
    /// The expected key came.
    fn take_expected(&mut self);
    /// A key came that was not the expected one.
    fn key(&mut self, key: &str);
    fn null(&mut self);
    fn boolean(&mut self, value: bool);
    fn number(&mut self, number: Number<'_>);
    fn string(&mut self, value: &str);
    fn begin_object(&mut self);
    fn end_object(&mut self);
    fn begin_array(&mut self);
    fn end_array(&mut self);
    /// Forget the text so far: it is told again from its start.
    fn restart(&mut self);
    /// A string is told with U+FFFD where the text has half a surrogate pair.
    fn altered(&mut self);
}

/// Why a text is no JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Broken(pub String);

/// Tells `text` to `visitor`. After an error the visitor has heard an unknown part of it.
pub(super) fn walk<V: Visitor>(text: &str, visitor: &mut V, scratch: &mut String) -> Result<(), Broken> {
    match cursor::walk(text, visitor, scratch) {
        Ok(()) => Ok(()),
        Err(cursor::Refused) => {
            visitor.restart();
            tolerant::walk(text, visitor)
        }
    }
}
