//! A Kafka message as what the spool keeps. Foreign producers send no headers, or others: nothing here can fail.

use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Headers, Message as _};

use crate::log;
use crate::publish::message::{CONTENT_TYPE, SEQ, SEQ_NEXT, SOURCE, number};
use crate::source::ContentType;
use crate::source::spool::Stored;

/// Borrows everything from the message.
pub(super) fn stored<'a>(message: &'a BorrowedMessage<'_>, offset: u64) -> Stored<'a> {
    let (timestamp_ms, create_time) = match message.timestamp() {
        Timestamp::CreateTime(ms) => (ms, true),
        Timestamp::LogAppendTime(ms) => (ms, false),
        Timestamp::NotAvailable => (-1, true),
    };
    let mut stored = Stored {
        offset,
        timestamp_ms,
        create_time,
        key: message.key(),
        value: message.payload(),
        content_type: ContentType::Json,
        source: None,
        seq: None,
        damaged_next: None,
    };
    let Some(headers) = message.headers() else { return stored };
    for header in headers.iter() {
        let Some(value) = header.value else { continue };
        match header.key {
            CONTENT_TYPE => stored.content_type = content_type(value),
            SOURCE => stored.source = std::str::from_utf8(value).ok().filter(|s| !s.is_empty()),
            SEQ => stored.seq = number(value),
            SEQ_NEXT => stored.damaged_next = number(value),
            _ => {}
        }
    }
    // A range needs its beginning, cannot be empty, and only weir's own logs have any: the header means something else to other producers.
    let is_ours = |stored: &Stored<'_>| stored.source.is_some_and(|source| source.parse::<log::Source>().is_ok());
    if stored.damaged_next.is_some() && !is_ours(&stored)
        || stored.seq.is_none()
        || stored.damaged_next.is_some_and(|next| stored.seq.is_some_and(|seq| next <= seq))
    {
        stored.damaged_next = None;
    }
    stored
}

fn content_type(value: &[u8]) -> ContentType {
    let mime = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let protobuf = ["application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf"];
    if protobuf.iter().any(|p| mime.eq_ignore_ascii_case(p.as_bytes())) {
        ContentType::Protobuf
    } else {
        ContentType::Json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_protobuf_is_read_as_json() {
        assert_eq!(content_type(b"application/x-protobuf"), ContentType::Protobuf);
        assert_eq!(content_type(b"Application/Protobuf; messageType=x"), ContentType::Protobuf);
        for other in [&b"application/json"[..], b"", b"text/plain", b"\xff"] {
            assert_eq!(content_type(other), ContentType::Json);
        }
    }
}
