//! From the copies of both bodies to final messages: records and MB a second of one core, by protocol, on bodies of 1 KiB and 64 KiB.
//!
//! Beside it, in the same turn, what anybody would do by hand at least: serde_json reads both bodies and writes them again, and what is no JSON is copied; of
//! tensors in binary each number is written in digits, by the fastest writer there is (zmij), and nothing else is done.

use std::hint::black_box;
use std::time::{Duration, Instant};

use weir::config::Format;
use weir::record::Recorder;

use crate::call::{Side, call};
use crate::process::{cpu, median};

const TURNS: usize = 3;

struct Case {
    protocol: &'static str,
    path: &'static str,
    request: Side,
    answer: Side,
    /// The numbers of a packed tensor.
    floats: Option<Vec<u8>>,
}

/// Each protocol, with a request of about `size` bytes.
fn cases(size: usize) -> Vec<Case> {
    // A row of a table in text: about 70 bytes.
    let number = |n: usize, i: usize| format!("{}.{:04}", (n * 37 + i) % 101, (n * 7_919 + i * 13) % 10_000);
    let row = |n: usize| (0..8).map(|i| number(n, i)).collect::<Vec<_>>().join(",");
    let rows = (size / 64).max(1);
    let lines = |each: &dyn Fn(usize) -> String, between: &str| (0..rows).map(each).collect::<Vec<_>>().join(between);
    let scores = lines(&|n| format!("0.{:06}", n * 104_729 % 1_000_000), ",");
    let fields =
        |count: usize| (0..count).map(|i| format!("\"feature_{i}\":{}", number(i, i))).collect::<Vec<_>>().join(",");
    let words = "the quick brown fox jumps over the lazy dog ".repeat(size / 44 + 1);
    let words = &words[..size - size / 8];
    let header = (0..8).map(|i| format!("feature_{i}")).collect::<Vec<_>>().join(",");
    let columns = (0..8).map(|i| format!("\"feature_{i}\"")).collect::<Vec<_>>().join(",");
    let floats: Vec<u8> = (0..size / 4).flat_map(|n| (n as f32 * 0.37).sin().to_le_bytes()).collect();
    let tensor = floats.len() / 4;
    let head = format!(
        r#"{{"inputs":[{{"name":"x","shape":[1,{tensor}],"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}]}}"#,
        floats.len()
    );
    let mut binary = Side::of("application/octet-stream", [head.as_bytes(), &floats].concat());
    binary.headers.push(("inference-header-content-length", head.len().to_string()));
    let event = |n: usize| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"g\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word{n} \"}},\"finish_reason\":null}}]}}\n\n"
        )
    };
    let events = (0..(size / 130).max(4)).map(event).collect::<String>() + "data: [DONE]\n\n";
    let v2 = |name: &str, data: &str| {
        format!(r#"[{{"name":"{name}","shape":[{rows},1],"datatype":"FP64","data":[{data}]}}]"#)
    };
    let case = |protocol, path, request, answer| Case { protocol, path, request, answer, floats: None };
    vec![
        case(
            "json, one object",
            "/predict",
            Side::json(format!("{{{},\"plan\":\"pro\"}}", fields(size / 22))),
            Side::json(r#"{"score":0.8734512,"label":true}"#),
        ),
        case(
            "json, a batch of objects",
            "/predict",
            Side::json(format!(
                "[{}]",
                lines(&|n| format!("{{\"a\":{},\"b\":{},\"plan\":\"pro\"}}", number(n, 0), number(n, 1)), ",")
            )),
            Side::json(format!("[{scores}]")),
        ),
        case(
            "v1, instances",
            "/v1/models/m:predict",
            Side::json(format!("{{\"instances\":[{}]}}", lines(&|n| format!("[{}]", row(n)), ","))),
            Side::json(format!("{{\"predictions\":[{scores}]}}")),
        ),
        case(
            "v2, JSON",
            "/v2/models/m/infer",
            Side::json(format!("{{\"inputs\":{}}}", v2("x", &scores))),
            Side::json(format!("{{\"model_name\":\"m\",\"outputs\":{}}}", v2("y", &scores))),
        ),
        Case {
            floats: Some(floats),
            ..case(
                "v2, binary",
                "/v2/models/m/infer",
                binary,
                Side::json(
                    r#"{"model_name":"m","outputs":[{"name":"y","shape":[1,1],"datatype":"FP64","data":[0.5]}]}"#,
                ),
            )
        },
        case(
            "mlflow, dataframe_split",
            "/invocations",
            Side::json(format!(
                "{{\"dataframe_split\":{{\"columns\":[{columns}],\"data\":[{}]}}}}",
                lines(&|n| format!("[{}]", row(n)), ",")
            )),
            Side::json(format!("{{\"predictions\":[{scores}]}}")),
        ),
        case(
            "csv with header",
            "/invocations",
            Side::of("text/csv", format!("{header}\n{}\n", lines(&row, "\n"))),
            Side::json(format!("{{\"predictions\":[{scores}]}}")),
        ),
        case(
            "openai, chat",
            "/v1/chat/completions",
            Side::json(format!("{{\"model\":\"g\",\"messages\":[{{\"role\":\"user\",\"content\":\"{words}\"}}]}}")),
            Side::json(
                r#"{"id":"c","object":"chat.completion","model":"g","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}"#,
            ),
        ),
        case(
            "openai, chat, streamed",
            "/v1/chat/completions",
            Side::json(r#"{"model":"g","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#),
            Side::of("text/event-stream", events),
        ),
        case("plain text", "/predict", Side::of("text/plain", words), Side::of("text/plain", "positive")),
    ]
}

/// Seconds of this process's CPU for one turn of `work`.
fn seconds_each(mut work: impl FnMut()) -> f64 {
    let (mut count, begun, before) = (0_u32, Instant::now(), cpu(std::process::id()));
    while begun.elapsed() < Duration::from_secs(1) {
        for _ in 0..20 {
            work();
        }
        count += 20;
    }
    (cpu(std::process::id()) - before).as_secs_f64() / f64::from(count)
}

/// What is at least done by hand with both bodies.
fn by_hand(case: &Case) {
    if let Some(floats) = &case.floats {
        let mut digits = Vec::with_capacity(floats.len() * 4);
        for float in floats.as_chunks().0 {
            digits.extend_from_slice(zmij::Buffer::new().format_finite(f32::from_le_bytes(*float)).as_bytes());
            digits.push(b',');
        }
        drop(black_box(digits));
        return;
    }
    for side in [&case.request, &case.answer] {
        match serde_json::from_slice::<serde_json::Value>(&side.body) {
            Ok(value) => drop(black_box(serde_json::to_vec(&value))),
            Err(_) => drop(black_box(black_box(&side.body).clone())),
        }
    }
}

/// All protocols whose names hold `which`, both sizes.
pub fn recorders(which: &str) {
    println!(
        "{:26} {:>8} {:>6} {:>12} {:>9} {:>9} {:>8}",
        "protocol", "bytes", "rows", "calls/s", "rows/s", "MB/s", "by hand"
    );
    for size in [1_024, 65_536] {
        for case in cases(size).into_iter().filter(|case| case.protocol.contains(which)) {
            let recorder = Recorder::new(64, "{model}".to_owned(), Some(900_000), Vec::new()).format(Format::Json);
            let call = call(case.path, &case.request, &case.answer);
            let rows = recorder.messages(&call).1;
            let first = String::from_utf8_lossy(&rows[0]);
            assert!(first.contains(r#""parse_status":"ok""#), "{} is not read: {first}", case.protocol);
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                ours.push(seconds_each(|| drop(black_box(recorder.messages(&call)))));
                theirs.push(seconds_each(|| by_hand(&case)));
            }
            let (ours, theirs) = (median(ours), median(theirs));
            let bytes = case.request.body.len() + case.answer.body.len();
            println!(
                "{:26} {bytes:8} {:6} {:12.0} {:9.0} {:9.1} {:7.2}x",
                case.protocol,
                rows.len(),
                1.0 / ours,
                rows.len() as f64 / ours,
                bytes as f64 / 1e6 / ours,
                ours / theirs
            );
        }
    }
}
