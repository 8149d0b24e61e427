//! A message's JSON text: a JSON message's own, or the JSON form of a protobuf one. Both formats give the same rows because
//! there is one text to walk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::record::wire::decode::{self, JsonText};
use crate::source::{ContentType, Message};

/// The key under which `_raw` keeps fields of a protobuf message that this version does not know: their bytes, as base64.
const UNKNOWN_FIELDS: &str = "unknown_fields";

/// The JSON forms of protobuf messages, one at a time.
#[derive(Default)]
pub(super) struct Texts {
    json: Vec<u8>,
}

/// What a message says.
pub(super) struct Text<'t> {
    pub json: &'t str,
    /// Fields of a newer version: the row does not hold them.
    unknown: Vec<u8>,
}

impl Texts {
    /// # Errors
    /// Why the message has no JSON text; `base64: ` begins what is said of bytes that are no text.
    pub fn of<'t>(&'t mut self, message: &'t Message) -> Result<Text<'t>, String> {
        let Some(value) = &message.value else { return Err("tombstone: the message has no value".to_owned()) };
        match message.content_type {
            ContentType::Json => match std::str::from_utf8(value) {
                Ok(json) => Ok(Text { json, unknown: Vec::new() }),
                Err(error) => Err(format!("base64: not UTF-8 at byte {}; _raw holds the bytes", error.valid_up_to())),
            },
            ContentType::Protobuf => {
                self.json.clear();
                let broken = |why: String| format!("base64: not a protobuf record: {why}; _raw holds the bytes");
                let told = decode::tell(value, &mut JsonText(&mut self.json)).map_err(|why| broken(why.to_string()))?;
                let json = std::str::from_utf8(&self.json).map_err(|why| broken(why.to_string()))?;
                Ok(Text { json, unknown: told.bytes() })
            }
        }
    }
}

impl Text<'_> {
    /// Whether the JSON text holds less than the message.
    pub fn is_less(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// The text for `_raw`: all that the message says.
    pub fn whole(&self) -> std::borrow::Cow<'_, str> {
        match self.json.strip_suffix('}') {
            Some(open) if self.is_less() => {
                format!(r#"{open},"{UNKNOWN_FIELDS}":"{}"}}"#, BASE64.encode(&self.unknown)).into()
            }
            _ => self.json.into(),
        }
    }
}
