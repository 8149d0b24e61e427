//! MLServer with its runtime of scikit-learn and two of the tests' own: the Open Inference Protocol in JSON, every datatype, content types, batches and
//! refusals; answers equal to direct calls, rows equal to what was sent (`python/mlserver_client.py`, `python/rows.py`).

use std::process::Command;

use crate::support::fetch::must_run;
use crate::support::python::{Server, environment, python_of, run, run_of, scripts};
use crate::support::weir::Weir;

const REQUIREMENTS: &str = include_str!("python/requirements-mlserver.txt");

#[test]
fn mlserver_becomes_rows_of_tensors_with_their_datatypes() {
    let bin = environment("requirements-mlserver.txt", REQUIREMENTS);
    let weir = Weir::new("");
    let server = Server::start("/v2/health/ready", |port| {
        let models = weir.dir.join(format!("models-{port}"));
        must_run(
            python_of(&bin, &["mlserver_models.py"]).arg(&models).arg(port),
            "see tests/it/python/mlserver_models.py",
        );
        let mut command = Command::new(bin.join("mlserver"));
        command.arg("start").arg(models).env("PYTHONPATH", scripts()).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    });
    let upstream = format!("http://{}", server.address);
    weir.more(&format!("routes: {{ churn: {{ upstream: \"{upstream}\" }} }}\n"));
    let weir = weir.start();
    let expected = weir.dir.join("expected.jsonl").display().to_string();
    run_of(&bin, &["mlserver_client.py", &upstream, &format!("http://{}", weir.address()), &expected]);
    weir.settle();
    run(&["rows.py", &weir.parquet().display().to_string(), &expected]);
}
