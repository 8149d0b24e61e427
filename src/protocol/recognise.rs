//! Which protocol a call speaks: one table, first hit wins; a route may pin one.

use super::{
    Matter, Reading, anthropic, generic, huggingface, mlflow, ollama, openai, raw, sagemaker, seldon, torchserve,
    triton, v1, v2,
};
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
    /// Where redaction's rules find names.
    pub names: NamesIn,
}

/// Where the names of a protocol's fields stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesIn {
    /// They are the keys of the body's JSON.
    Body,
    /// They are values in the body, and keys only in the rows that are read from it.
    Rows,
}

macro_rules! form {
    ($module:ident, $pin:ident, $names:ident) => {
        Form {
            name: $module::NAME,
            pin: ProtocolChoice::$pin,
            matches: $module::matches,
            read: $module::read,
            names: NamesIn::$names,
        }
    };
}

/// Every protocol, the most particular first.
pub const FORMS: [Form; 13] = [
    form!(triton, TritonGenerate, Rows),
    form!(v2, V2, Rows),
    form!(ollama, Ollama, Rows),
    form!(openai, Openai, Rows),
    form!(anthropic, Anthropic, Rows),
    form!(seldon, Seldon, Rows),
    form!(torchserve, Torchserve, Rows),
    form!(huggingface, Huggingface, Rows),
    form!(mlflow, Mlflow, Rows),
    form!(v1, V1, Body),
    form!(sagemaker, Sagemaker, Rows),
    form!(generic, Json, Body),
    form!(raw, Raw, Body),
];

/// The protocol of a call.
pub fn recognise(choice: ProtocolChoice, matter: &Matter<'_>) -> &'static Form {
    FORMS
        .iter()
        .find(|form| match choice {
            // Who says where the rows are knows better than the look of the body.
            ProtocolChoice::Auto if matter.is_placed() => form.pin == ProtocolChoice::Json,
            ProtocolChoice::Auto => (form.matches)(matter),
            pinned => form.pin == pinned.reader(),
        })
        .expect("raw matches everything and every choice has a line")
}

/// Recognises and reads a call.
pub fn read<'a>(choice: ProtocolChoice, matter: Matter<'a>) -> Reading<'a> {
    (recognise(choice, &matter).read)(matter)
}
