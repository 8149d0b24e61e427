//! More real servers, started only if they are asked for with `WEIR_TEST_SERVERS=all` (their packages take 2 GB): KServe's SDK, BentoML, LitServe, Ray
//! Serve, and LiteLLM's proxy with answers that it makes up. Each is asked directly and through weir by the client it has; the answers are
//! the same, and every call is the rows that were sent (`python/kserve_client.py`, `python/others_client.py`, `python/rows.py`).
//! What they said in a run is kept as fixtures in `tests/data`, named after them, which every run reads.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::python::{Gentle, Server, environment, python_of, run, run_of};
use crate::support::weir::Weir;

/// Whether these servers are wanted; says so if not.
fn asked(name: &str) -> bool {
    let asked = std::env::var_os("WEIR_TEST_SERVERS").is_some_and(|which| which == "all");
    if !asked {
        eprintln!("{name} was not asked for: set WEIR_TEST_SERVERS=all");
    }
    asked
}

/// Starts the server, asks it both ways with `client`, and compares the rows.
fn becomes_rows(bin: &Path, name: &str, ready: &str, server: impl Fn(&str) -> Command, client: &[&str]) {
    let grouped = |port: &str| {
        let mut command = server(port);
        command.process_group(0);
        command
    };
    let server = Gentle(Server::start(ready, grouped));
    let direct = format!("http://{}", server.0.address);
    let weir = Weir::new(&format!("routes: {{ {name}: {{ upstream: \"{direct}\" }} }}\n")).start();
    let through = format!("http://{}", weir.address());
    let expected = weir.dir.join("expected.jsonl").display().to_string();
    run_of(bin, &[client, &[&direct, &through, &expected]].concat());
    weir.settle();
    run(&["rows.py", &weir.parquet().display().to_string(), &expected]);
}

#[test]
fn kserve_becomes_rows_by_its_own_client_in_v1_and_v2() {
    if !asked("KServe") {
        return;
    }
    let bin = environment("requirements-kserve.txt", include_str!("python/requirements-kserve.txt"));
    let server = |port: &str| python_of(&bin, &["kserve_server.py", port]);
    becomes_rows(&bin, "kserve", "/v2/health/ready", server, &["kserve_client.py"]);
}

#[test]
fn bentoml_becomes_rows_by_its_own_client() {
    if !asked("BentoML") {
        return;
    }
    let bin = environment("requirements-bentoml.txt", include_str!("python/requirements-bentoml.txt"));
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = |port: &str| {
        let mut command =
            python_of(&bin, &["-m", "bentoml", "serve", "bentoml_server:Churn", "--host", "127.0.0.1", "--port", port]);
        command.env("BENTOML_HOME", home.path()).env("BENTOML_DO_NOT_TRACK", "true");
        command
    };
    becomes_rows(&bin, "bentoml", "/readyz", server, &["others_client.py", "bentoml"]);
}

#[test]
fn litserve_becomes_rows_plain_and_as_a_chat() {
    if !asked("LitServe") {
        return;
    }
    let bin = environment("requirements-litserve.txt", include_str!("python/requirements-litserve.txt"));
    let server = |port: &str| python_of(&bin, &["litserve_server.py", port]);
    becomes_rows(&bin, "litserve", "/health", server, &["others_client.py", "litserve"]);
}

#[test]
fn ray_serve_becomes_rows_and_its_multiplexed_models_tables() {
    if !asked("Ray Serve") {
        return;
    }
    let bin = environment("requirements-ray.txt", include_str!("python/requirements-ray.txt"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().display().to_string();
    let server = |port: &str| {
        let mut command = python_of(&bin, &["ray_server.py", port, &folder]);
        command.env("RAY_USAGE_STATS_ENABLED", "0");
        command
    };
    becomes_rows(&bin, "ray", "/ready", server, &["others_client.py", "ray"]);
}

#[test]
fn litellms_proxy_becomes_rows_by_the_clients_of_openai_and_anthropic() {
    if !asked("LiteLLM") {
        return;
    }
    let bin = environment("requirements-litellm.txt", include_str!("python/requirements-litellm.txt"));
    let server = |port: &str| {
        let program = bin.join("litellm").display().to_string();
        let mut command =
            python_of(&bin, &[&program, "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", port]);
        // It would fetch a list of prices.
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        command
    };
    becomes_rows(&bin, "litellm", "/health/readiness", server, &["others_client.py", "litellm"]);
}
