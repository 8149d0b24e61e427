//! The search: bytes in whatever form they could survive, in files, messages and what Parquet files hold.

use std::path::Path;

use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::{kafka, until};

/// A text, and the forms in which it could stand somewhere.
pub struct Sought(Vec<Vec<u8>>);

impl Sought {
    pub fn of(text: &str) -> Sought {
        let mut forms = vec![text.as_bytes().to_vec()];
        // In base64 a text has three forms, each without the characters that its neighbours have a part in.
        for before in 0..3 {
            let coded = STANDARD_NO_PAD.encode([&b"\0\0"[..before], text.as_bytes()].concat());
            forms.push(coded.as_bytes()[before.div_ceil(3) * 4..coded.len() - 4].to_vec());
        }
        forms.push(text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes());
        forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        Sought(forms)
    }

    pub fn is_in(&self, bytes: &[u8]) -> bool {
        self.found(bytes).is_some()
    }

    /// Where it stands, in its surroundings.
    pub fn found(&self, bytes: &[u8]) -> Option<String> {
        const SHOWN: usize = 600;
        let at = self.0.iter().find_map(|form| memchr::memmem::find(bytes, form))?;
        let around = &bytes[at.saturating_sub(SHOWN)..bytes.len().min(at + SHOWN)];
        Some(String::from_utf8_lossy(around).into_owned())
    }

    /// Every file below a folder that holds it.
    pub fn files(&self, folder: &Path) -> Vec<String> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                files.extend(self.files(&path));
            } else if let Some(found) = self.found(&std::fs::read(&path).unwrap_or_default()) {
                files.push(format!("{}: {found}", path.display()));
            }
        }
        files
    }
}

/// What a Parquet file holds, by where it stands: the file as it is (its footer, statistics and page indexes are in clear), each page without
/// its compression, and each row as text.
pub fn parquet(bytes: Vec<u8>) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = Bytes::from(bytes);
    let reader = SerializedFileReader::new(bytes.clone()).expect("a Parquet file");
    let mut parts = vec![("file", bytes.to_vec())];
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).expect("a row group");
        for column in 0..group.num_columns() {
            let mut pages = group.get_column_page_reader(column).expect("pages");
            while let Some(page) = pages.get_next_page().expect("a page") {
                parts.push(("page", page.buffer().to_vec()));
            }
        }
    }
    let rows = reader.get_row_iter(None).expect("rows");
    parts.extend(rows.map(|row| ("row", row.expect("a row").to_string().into_bytes())));
    parts
}

/// What a topic holds, as a plain consumer gets it: keys, headers, values.
pub fn topic(name: &str) -> Vec<(&'static str, Vec<u8>)> {
    let brokers = kafka::brokers();
    let consumer: BaseConsumer =
        kafka::client(&brokers).set("group.id", kafka::name("search")).create().expect("a consumer");
    let patience = std::time::Duration::from_secs(60);
    let (low, high) = consumer.fetch_watermarks(name, 0, patience).expect("its bounds");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(name, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&list).expect("the partition");
    let (mut parts, mut left) = (Vec::new(), high - low);
    until("the whole topic is read", || {
        let Some(message) = consumer.poll(std::time::Duration::from_millis(100)) else { return left == 0 };
        let message = message.expect("a message");
        parts.push(("key", message.key().unwrap_or_default().to_vec()));
        parts.push(("value", message.payload().unwrap_or_default().to_vec()));
        for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
            parts.push(("header", [header.key.as_bytes(), b": ", header.value.unwrap_or_default()].concat()));
        }
        left -= 1;
        left == 0
    });
    parts
}
