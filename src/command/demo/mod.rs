//! `weir demo`: a toy model, traffic, the whole path, and the proof at the end.

mod model;
mod traffic;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::run::{banner, failure, start_logging, status_line, stop};
use super::{Context, Failure, ask, chain, print_json, say};
use crate::admin::Status;
use crate::admin::status::count;
use crate::app::{App, Signals};
use crate::config::{Config, Span};
use crate::drain::store;
use crate::drain::verify::{Report, verify};
use crate::telemetry::console::Console;

/// The file that marks a folder as the demo's own, so that it may be emptied.
const MARK: &str = ".weir-demo";
/// How long the last rows may take to be stored at the end.
const DRAIN_WAIT: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct Args {
    /// Stop after this long, e.g. 30s [default: run until Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    for_: Option<Duration>,
    /// Requests a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rate: u32,
    /// Folder of the demo's files
    #[arg(long, default_value = "./weir-demo", value_name = "DIR")]
    dir: PathBuf,
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<Span>().map(|span| span.0)
}

/// What the demo says at the end.
#[derive(serde::Serialize)]
struct Outcome {
    ok: bool,
    /// Requests a second that were sent, and asked for.
    rate: f64,
    rate_asked: u32,
    traffic: traffic::Counts,
    status: Status,
    verify: Report,
    complaints: Vec<String>,
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let console = Console::stderr();
    start_logging(&console, "warn,librdkafka=error")?;
    let signals = Signals::listen()?;
    prepare(&args.dir)?;
    let model = model::Model::start()?;
    let config = demo_config(&args.dir, model.address())?;
    let app = App::start(config.clone()).map_err(failure)?;
    let address = app.address().ok_or_else(|| Failure::Failed("the demo has no gateway".to_string()))?;
    let parquet = args.dir.join("parquet");
    let glob = parquet.join("churn").join("**").join("*.parquet").display().to_string();
    eprintln!("{}", banner(&config));
    eprintln!(
        "  traffic  {}/s  ->  http://{address}/predict  ->  toy model http://{}/predict",
        args.rate,
        model.address()
    );
    eprintln!("  status   http://{}/api/v1/status", app.admin_address());
    eprintln!("  files    {}   (the first after about 5 s)", parquet.display());
    eprintln!(
        "  query    duckdb -c \"select inputs.plan, avg(outputs.confidence) from read_parquet('{glob}', union_by_name=true) group by 1\""
    );

    let mut traffic = traffic::Traffic::start(address, args.rate)?;
    let begun = Instant::now();
    while args.for_.is_none_or(|limit| begun.elapsed() < limit) {
        let left = args.for_.map_or(Duration::from_secs(1), |limit| limit.saturating_sub(begun.elapsed()));
        if let Some(name) = signals.wait(left.min(Duration::from_secs(1))) {
            eprintln!("{name}: stopping; a second signal skips a phase");
            break;
        }
        let rate = traffic.counts().sent as f64 / begun.elapsed().as_secs_f64();
        eprintln!("{:>5.1}s  {rate:.0} req/s  {}", begun.elapsed().as_secs_f64(), status_line(&app.status()));
    }
    let took = begun.elapsed();
    traffic.stop();
    let counts = traffic.counts();
    drop(traffic);
    if let Err(message) = app.drain_now(DRAIN_WAIT) {
        eprintln!("!! {message}");
    }
    let status = stop(&console, app, &signals);
    let report = prove(&config)?;
    let complaints = complaints(&counts, &status, &report);
    let outcome = Outcome {
        ok: complaints.is_empty(),
        rate: counts.sent as f64 / took.as_secs_f64(),
        rate_asked: args.rate,
        traffic: counts,
        status,
        verify: report,
        complaints,
    };
    tell(context, &outcome, &glob)
}

fn tell(context: &Context, outcome: &Outcome, glob: &str) -> Result<(), Failure> {
    if context.json {
        print_json(outcome)?;
    } else {
        say(&format!(
            "sent    {} requests ({:.0}/s of {}/s asked), {} answered: {} with an error (one row each), the others for {} customers",
            count(outcome.traffic.sent),
            outcome.rate,
            outcome.rate_asked,
            count(outcome.traffic.answered),
            count(outcome.traffic.model_errors),
            count(outcome.traffic.rows),
        ))?;
        say(&outcome.status.text())?;
        say(&outcome.verify.to_string())?;
        for complaint in &outcome.complaints {
            say(&format!("!! {complaint}"))?;
        }
        say(&format!("read it: duckdb -c \"from read_parquet('{glob}', union_by_name=true) limit 5\""))?;
    }
    if outcome.ok { Ok(()) } else { Err(Failure::Said) }
}

/// What does not add up; empty if the ledger balances and the files prove it.
fn complaints(counts: &traffic::Counts, status: &Status, report: &Report) -> Vec<String> {
    let mut complaints = Vec::new();
    let (calls, rows) = (&status.calls, &status.rows);
    if !status.settled() {
        complaints.push("the ledger does not balance, or something is still pending".to_string());
    }
    if calls.seen != counts.sent {
        complaints.push(format!("the client sent {} requests, the gateway saw {}", counts.sent, calls.seen));
    }
    if calls.dropped_sum() > 0 {
        complaints.push(format!("{} calls were dropped", calls.dropped_sum()));
    }
    if counts.failed > 0 {
        complaints.push(format!("{} requests failed between the client and the gateway", counts.failed));
    }
    if !report.ok {
        complaints.push("weir verify found a gap, an overlap or a duplicate".to_string());
    }
    let in_files: u64 = report.tables.values().map(|table| table.rows).sum();
    if in_files != rows.appended {
        complaints.push(format!("{} rows were logged, the files hold {in_files}", rows.appended));
    }
    complaints
}

fn prove(config: &Config) -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let store = store::open(&config.store, runtime.handle()).map_err(|e| Failure::Failed(chain(&e)))?;
    Ok(verify(store.as_ref(), true))
}

/// Makes the folder, or empties it if it carries the mark.
fn prepare(dir: &Path) -> Result<(), Failure> {
    if dir.exists() && !dir.is_dir() {
        return Err(Failure::Failed(format!("{} is no folder; name another with --dir", dir.display())));
    }
    if let Some(running) = ask::running(dir) {
        return Err(Failure::Failed(format!(
            "a demo runs in {} already (process {}); stop it, or name another folder with --dir",
            dir.display(),
            running.pid
        )));
    }
    let mark = dir.join(MARK);
    let occupied = dir.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !mark.exists() {
        return Err(Failure::Failed(format!(
            "{} is not empty and not the demo's own; name another folder with --dir",
            dir.display()
        )));
    }
    if occupied {
        for entry in dir.read_dir()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else if entry.file_name() != MARK {
                std::fs::remove_file(entry.path())?;
            }
        }
    }
    std::fs::create_dir_all(dir)?;
    std::fs::write(mark, "made by `weir demo`, which empties this folder when it starts\n")?;
    Ok(())
}

fn demo_config(dir: &Path, model: SocketAddr) -> Result<Config, Failure> {
    let mut config = Config::for_upstream(&format!("http://{model}/predict"), Some("churn"))?;
    config.overrides(Some(free(7600)), Some(dir.to_path_buf()));
    config.admin.address = free(7601);
    Ok(config)
}

/// The usual port if it is free, else any.
fn free(port: u16) -> SocketAddr {
    let usual = SocketAddr::from(([127, 0, 0, 1], port));
    match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        assert!(prepare(dir.path()).is_err());
        assert!(dir.path().join("thesis.txt").exists());
    }

    #[test]
    fn the_demos_own_folder_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        std::fs::create_dir(dir.path().join("parquet")).unwrap();
        prepare(dir.path()).unwrap();
        assert!(!dir.path().join("parquet").exists());
        assert!(dir.path().join(MARK).exists());
    }
}
