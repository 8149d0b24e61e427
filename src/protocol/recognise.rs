//! Which protocol a call speaks: one table, first hit wins; a route may pin one.

use super::{Matter, Reading, generic, raw, v1};
use crate::config::ProtocolChoice;

/// One protocol.
pub struct Form {
    /// The word in `protocol:` of a route and in the record.
    pub name: &'static str,
    /// What pins it.
    pub pin: ProtocolChoice,
    /// Path, then headers, then the shape of the value.
    pub matches: fn(&Matter<'_>) -> bool,
    pub read: for<'a> fn(Matter<'a>) -> Reading<'a>,
}

/// Every protocol, the most particular first.
pub const FORMS: [Form; 3] = [
    Form { name: v1::NAME, pin: ProtocolChoice::V1, matches: v1::matches, read: v1::read },
    Form { name: generic::NAME, pin: ProtocolChoice::Json, matches: generic::matches, read: generic::read },
    Form { name: raw::NAME, pin: ProtocolChoice::Raw, matches: raw::matches, read: raw::read },
];

/// The protocol of a call.
pub fn recognise(choice: ProtocolChoice, matter: &Matter<'_>) -> &'static Form {
    FORMS
        .iter()
        .find(|form| match choice {
            ProtocolChoice::Auto => (form.matches)(matter),
            pinned => form.pin == pinned,
        })
        .expect("raw matches everything and every choice has a line")
}

/// Recognises and reads a call.
pub fn read<'a>(choice: ProtocolChoice, matter: Matter<'a>) -> Reading<'a> {
    (recognise(choice, &matter).read)(matter)
}
