//! `mlflow models serve` with a model of named columns: every form of `/invocations`, answers equal to direct calls, rows equal to what
//! was sent (`python/mlflow_client.py`, `python/rows.py`).

use std::path::Path;
use std::process::Command;

use crate::support::fetch::must_run;
use crate::support::python::{Server, environment, python_of, run, run_of};
use crate::support::weir::Weir;

const REQUIREMENTS: &str = include_str!("python/requirements-mlflow.txt");

/// It reports to its makers otherwise.
const QUIET: (&str, &str) = ("MLFLOW_DISABLE_TELEMETRY", "true");

fn serve(bin: &Path, model: &Path) -> Server {
    must_run(
        python_of(bin, &["mlflow_model.py"]).arg(model).env(QUIET.0, QUIET.1),
        "see tests/it/python/mlflow_model.py",
    );
    Server::start("/ping", |port| {
        let mut command = Command::new(bin.join("mlflow"));
        command.args([
            "models",
            "serve",
            "--env-manager",
            "local",
            "--host",
            "127.0.0.1",
            "--port",
            port,
            "--model-uri",
        ]);
        // It starts uvicorn of its environment by name.
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        command.arg(model).env("PATH", path).env(QUIET.0, QUIET.1);
        command
    })
}

#[test]
fn mlflow_models_serve_becomes_rows_with_the_models_own_columns() {
    let bin = environment("requirements-mlflow.txt", REQUIREMENTS);
    let weir = Weir::new("");
    let server = serve(&bin, &weir.dir.join("model"));
    let upstream = format!("http://{}", server.address);
    weir.more(&format!("routes: {{ churn: {{ upstream: \"{upstream}\" }} }}\n"));
    let weir = weir.start();
    let expected = weir.dir.join("expected.jsonl").display().to_string();
    run_of(&bin, &["mlflow_client.py", &upstream, &format!("http://{}", weir.address()), &expected]);
    weir.settle();
    run(&["rows.py", &weir.parquet().display().to_string(), &expected]);
}
