//! A redacted value is in no file, log line or metric: a search for canaries, byte by byte.

use std::path::Path;

use crate::support::http::Client;
use crate::support::kafka;
use crate::support::python::{self, Server};
use crate::support::weir::{Weir, number};

const CANARY: &str = "canary-7f3d9c-kept-nowhere";

/// Every file below a folder whose bytes (or decompressed column values) hold the canary.
fn holding(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            holding(&path, found);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        if bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn a_422_that_echoes_a_redacted_value_leaks_it_nowhere() {
    search("churn", "");
}

#[test]
fn neither_does_it_leak_into_a_topic() {
    let topic = kafka::topic(&kafka::brokers(), "secrets", 1);
    search(&topic, &format!("kafka: {{ brokers: [{}] }}\n", kafka::brokers()));
    let seen = python::run(&["topic.py", &kafka::brokers(), &topic, "3"]);
    assert!(seen.contains("monthly_charge"), "the good row is there: {seen}");
    assert!(!seen.contains(CANARY), "{seen}");
}

/// Sends canaries through a weir in front of FastAPI and searches everything that it leaves behind.
fn search(model: &str, kafka: &str) {
    let server = Server::fastapi();
    let weir = Weir::new(&format!(
        "routes: {{ churn: {{ upstream: http://{}, model: {model}, capture: {{ bodies: always }}, redact: {{ inputs.note: drop }} }} }}\n{kafka}",
        server.address
    ))
    .start();
    let mut client = weir.client();
    let good = format!(
        r#"{{"age":40,"monthly_charge":20.5,"tenure_months":3,"plan":"pro","has_partner":true,"note":"{CANARY}"}}"#
    );
    // FastAPI's 422 echoes the input that it refuses.
    let refused = format!(r#"{{"age":40,"note":{{"deep":"{CANARY}"}}}}"#);
    let damaged = format!(r#"{{"age":40,"note":"{CANARY}"#);
    assert_eq!(client.post("/predict", good.as_bytes()).expect("an answer").status, 200);
    let echo = client.post("/predict", refused.as_bytes()).expect("an answer");
    assert_eq!(echo.status, 422);
    assert!(String::from_utf8_lossy(&echo.body).contains(CANARY), "the server echoes no more: the test tests nothing");
    assert_eq!(client.post("/predict", damaged.as_bytes()).expect("an answer").status, 422);

    let (status, _) = weir.settle();
    assert_eq!(number(&status, "/rows/stored"), 3);
    let mut found = Vec::new();
    holding(&weir.dir, &mut found);
    assert!(found.is_empty(), "the canary is in {found:?}");
    for row in crate::support::parquet::rows(&weir.parquet()) {
        assert!(!row.to_string().contains(CANARY), "{row}");
    }
    for page in ["/metrics", "/api/v1/status"] {
        let answer = Client::new(weir.admin()).get(page).expect("a page");
        assert!(!String::from_utf8_lossy(&answer.body).contains(CANARY), "{page}");
    }
    // The rest of the good row is there, and the refused bodies are known by their length and HMAC.
    let text: Vec<String> = crate::support::parquet::rows(&weir.parquet()).iter().map(ToString::to_string).collect();
    assert!(text.iter().any(|row| row.contains("monthly_charge: 20.5")), "{text:?}");
    assert!(text.iter().any(|row| row.contains("response_hmac")), "{text:?}");
}
