//! The `openai`, `anthropic` and `ollama` clients through weir, in front of a scripted server: the answers are those of direct calls, streams stay
//! streams, and every call is the row that the client's own words make (`python/chat_client.py`, `python/rows.py`).

use crate::support::python::{Server, environment, python, run, run_of};
use crate::support::weir::Weir;

const REQUIREMENTS: &str = include_str!("python/requirements-chat.txt");

#[test]
fn openai_anthropic_and_ollama_clients_become_rows_plain_and_streaming() {
    let clients = environment("requirements-chat.txt", REQUIREMENTS);
    let server = Server::start("/healthz", |port| python(&["chat_server.py", port]));
    let upstream = format!("http://{}", server.address);
    let weir = Weir::new(&format!("routes: {{ llm: {{ upstream: \"{upstream}\" }} }}\n")).start();
    let expected = weir.dir.join("expected.jsonl").display().to_string();
    run_of(&clients, &["chat_client.py", &upstream, &format!("http://{}", weir.address()), &expected]);
    weir.settle();
    run(&["rows.py", &weir.parquet().display().to_string(), &expected]);
}
