//! A row of the log as a Kafka message: value and key as they stand in the log, four headers beside them.
//!
//! | header | value |
//! |---|---|
//! | `content-type` | `application/json` or `application/x-protobuf` |
//! | `schema-version` | of the record form, `1` |
//! | `source` | `<log uuid>-<lane>-<epoch>` |
//! | `seq` | the row's number in its lane, decimal |
//! | `seq-next` | only on the message that stands for damaged rows: the first seq after them |
//!
//! The message's timestamp is left to librdkafka (the time of sending) and to the broker (LogAppendTime): `dt` is the ingest date, and what was
//! appended during an outage is ingested after it.

use rdkafka::message::{Header, OwnedHeaders};

use crate::log::Source;
use crate::record::ContentType;

pub const CONTENT_TYPE: &str = "content-type";
pub const SCHEMA_VERSION: &str = "schema-version";
pub const SOURCE: &str = "source";
pub const SEQ: &str = "seq";
pub const SEQ_NEXT: &str = "seq-next";

/// The version of the record form.
const RECORD_FORM: &str = "1";

/// `source` as text, written once per epoch.
#[derive(Debug, Default)]
pub(crate) struct SourceText {
    of: Option<Source>,
    text: String,
}

impl SourceText {
    fn of(&mut self, source: Source) -> &str {
        if self.of != Some(source) {
            self.of = Some(source);
            self.text = source.to_string();
        }
        &self.text
    }
}

/// The headers of one message; `damaged_next` is set on the message that stands for damaged rows.
pub(crate) fn headers(
    content_type: ContentType,
    source: Source,
    source_text: &mut SourceText,
    seq: u64,
    damaged_next: Option<u64>,
) -> OwnedHeaders {
    let mut digits = itoa::Buffer::new();
    let headers = OwnedHeaders::new_with_capacity(5)
        .insert(Header { key: CONTENT_TYPE, value: Some(content_type.mime()) })
        .insert(Header { key: SCHEMA_VERSION, value: Some(RECORD_FORM) })
        .insert(Header { key: SOURCE, value: Some(source_text.of(source)) })
        .insert(Header { key: SEQ, value: Some(digits.format(seq)) });
    match damaged_next {
        Some(next) => headers.insert(Header { key: SEQ_NEXT, value: Some(digits.format(next)) }),
        None => headers,
    }
}

/// The value that stands for rows `seq..next`, which the log could not read: a record of the plain form, so that any consumer can read it.
/// weir's own drain knows it by the header `seq-next` and stores it as one quarantine row.
pub(crate) fn damaged_value(seq: u64, next: u64, source: Source, why: &str) -> Vec<u8> {
    let error = format!("rows {seq}..{next} of {source} could not be read from the log: {why}");
    let record = serde_json::json!({
        "id": null, "model_name": null, "model_version": null, "inputs": {}, "outputs": {},
        "parse_status": "invalid", "error": error,
    });
    record.to_string().into_bytes()
}

/// The number of a header: decimal digits and nothing else.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 20 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers;
    use uuid::Uuid;

    use super::*;

    fn source(epoch: u32) -> Source {
        Source { log: Uuid::from_u128(7), lane: 3, epoch }
    }

    fn texts(headers: &OwnedHeaders) -> Vec<(String, String)> {
        headers.iter().map(|h| (h.key.to_owned(), String::from_utf8(h.value.unwrap().to_vec()).unwrap())).collect()
    }

    #[test]
    fn the_headers_name_source_and_seq() {
        let mut text = SourceText::default();
        let made = texts(&headers(ContentType::Json, source(1), &mut text, 42, None));
        let expected = [
            ("content-type", "application/json"),
            ("schema-version", "1"),
            ("source", "00000000000000000000000000000007-3-00000001"),
            ("seq", "42"),
        ];
        assert_eq!(made, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        let later = texts(&headers(ContentType::Json, source(2), &mut text, 43, Some(50)));
        assert_eq!(later[2].1, "00000000000000000000000000000007-3-00000002", "a new epoch is written anew");
        assert_eq!(later[4], ("seq-next".to_owned(), "50".to_owned()));
    }

    #[test]
    fn damaged_rows_are_a_record_of_the_plain_form() {
        let value: serde_json::Value = serde_json::from_slice(&damaged_value(5, 9, source(1), "checksum")).unwrap();
        for key in ["id", "model_name", "model_version", "inputs", "outputs"] {
            assert!(value.get(key).is_some(), "{key} is always present");
        }
        assert!(value["error"].as_str().unwrap().contains("rows 5..9"));
    }

    #[test]
    fn numbers_are_decimal_text_and_nothing_else() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"+1", b"-1", b" 1", b"1e3", b"18446744073709551616", b"\x00\x00\x00\x01", b"\xff"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
