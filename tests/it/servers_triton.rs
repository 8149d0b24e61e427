//! Triton itself, asked by its own client directly and through weir: the answers are the same, and every call is the rows that were sent
//! (`python/triton_client.py`, `python/rows.py`); binary tensors in both forms of the head, JSON, compressed, every datatype, batches.

use crate::support::fetch::free_port;
use crate::support::python::{Server, environment, python_of, run, run_of};
use crate::support::weir::Weir;

const REQUIREMENTS: &str = include_str!("python/requirements-triton.txt");

#[test]
fn what_tritons_own_client_sends_to_triton_becomes_typed_rows() {
    let bin = environment("requirements-triton.txt", REQUIREMENTS);
    let sagemaker = free_port().to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let models = folder.path().display().to_string();
    let server =
        Server::start("/v2/health/ready", |port| python_of(&bin, &["triton_server.py", port, &sagemaker, &models]));
    let direct = format!("http://{}", server.address);
    let invocations = format!("http://127.0.0.1:{sagemaker}");
    let weir = Weir::new(&format!(
        "routes:\n  triton: {{ path: /, upstream: \"{direct}\" }}\n  sagemaker: {{ path: /invocations, upstream: \"{invocations}/invocations\" }}\n"
    ))
    .start();
    let expected = weir.dir.join("expected.jsonl").display().to_string();
    let through = format!("http://{}", weir.address());
    run_of(&bin, &["triton_client.py", &direct, &through, &invocations, &expected]);
    weir.settle();
    run(&["rows.py", &weir.parquet().display().to_string(), &expected]);
}
