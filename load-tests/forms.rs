//! JSON against protobuf: bytes of a record, CPU of making it, CPU of draining it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use weir::config::Format;
use weir::record::{Call, ContentType, Recorder};

use crate::call::{Side, call};

const ROWS: u64 = 200_000;
const TURNS: usize = 3;

/// Both forms of three records, in turns.
pub fn forms() {
    let numbers = |count: u32| -> String {
        let number = |i: u32| format!("\"feature_{i}\":{}", f64::from(i * 7919 % 10_007) / f64::from(i % 97 + 1));
        (0..count).map(number).collect::<Vec<_>>().join(",")
    };
    let embedding: Vec<String> = (0..256).map(|i| format!("{}", (f64::from(i) * 0.37).sin())).collect();
    let bodies = [
        ("10 numbers, 2 texts", format!("{{{},\"plan\":\"pro\",\"region\":\"north-west\"}}", numbers(10))),
        ("100 numbers", format!("{{{}}}", numbers(100))),
        ("a list of 256 numbers", format!("{{\"embedding\":[{}]}}", embedding.join(","))),
    ];
    for (name, request) in bodies {
        let mut rows = [Format::Json, Format::Protobuf].map(|format| (format, Vec::new(), Vec::new(), 0));
        for _ in 0..TURNS {
            for (format, encode, drain, bytes) in &mut rows {
                let message = message(*format, &request);
                *bytes = message.len();
                encode.push(encode_us(*format, &request));
                drain.push(drain_us(*format, &Bytes::from(message)));
            }
        }
        for (format, encode, drain, bytes) in rows {
            println!(
                "{name:22} {:9} {bytes:5} B  parse and encode {:5.2} us  log -> Parquet {:5.2} us",
                format!("{format:?}"),
                super::median(encode),
                super::median(drain)
            );
        }
    }
}

fn recorder(format: Format) -> Recorder {
    Recorder::new(64, "{model}".to_owned(), Some(900_000), Vec::new()).format(format)
}

fn call_with(request: &str) -> Call {
    call("/predict", &Side::json(request), &Side::json(r#"{"score":0.8734512,"label":true}"#))
}

fn message(format: Format, request: &str) -> Vec<u8> {
    recorder(format).messages(&call_with(request)).1.remove(0)
}

/// From the copies of both bodies to the message, in microseconds of this process.
fn encode_us(format: Format, request: &str) -> f64 {
    let (recorder, call) = (recorder(format), call_with(request));
    let (mut count, begun, before) = (0_u32, Instant::now(), super::cpu(std::process::id()));
    while begun.elapsed() < Duration::from_secs(1) {
        for _ in 0..1_000 {
            std::hint::black_box(recorder.messages(&call));
        }
        count += 1_000;
    }
    (super::cpu(std::process::id()) - before).as_secs_f64() * 1e6 / f64::from(count)
}

fn drain_us(format: Format, message: &Bytes) -> f64 {
    let dir = tempfile::tempdir().expect("a folder");
    super::lay_down(dir.path(), ROWS, ContentType::from(format), message);
    super::drain_of(dir.path()).0.as_secs_f64() * 1e6 / ROWS as f64
}
