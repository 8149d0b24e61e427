//! `weir run`: serve until SIGTERM or Ctrl-C.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Context, Failure, chain, check};
use crate::admin::Status;
use crate::admin::status::count;
use crate::app::{App, AppError, Signals};
use crate::config::{Config, StoreTo};
use crate::telemetry;

#[derive(clap::Args)]
pub struct Args {
    /// The model server; no file needed: http://127.0.0.1:8000
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The model's name (with --upstream) [default: model]
    #[arg(long, value_name = "NAME", requires = "upstream")]
    model: Option<String>,
    /// Address of the data port [default: 127.0.0.1:7600]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Folder of the log and the local Parquet [default: ./weir-data]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Check the configuration and its surroundings, then end
    #[arg(long)]
    check_and_exit: bool,
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let mut config = match &args.upstream {
        Some(_) if context.file.is_some() => {
            return Err(Failure::Usage("--upstream and -c exclude each other: the file names the upstreams".into()));
        }
        Some(url) => Config::for_upstream(url, args.model.as_deref())?,
        None => context.config()?,
    };
    config.overrides(args.listen, args.dir);
    if args.check_and_exit {
        return check::report(context, &config);
    }
    start_logging("")?;
    let signals = Signals::listen()?;
    let lines = banner(&config);
    let app = App::start(config.clone()).map_err(failure)?;
    eprintln!("{lines}");
    for (route, target) in config.routes.iter().map(|r| (r, &r.upstream)) {
        if let Some(address) = app.address() {
            let path = target.path.as_deref().unwrap_or("");
            eprintln!("  http://{address}{}  ->  http://{}{path}   {}", route.path, target.authority, route.name);
        }
    }
    eprintln!("  status http://{}/api/v1/status   metrics http://{}/metrics", app.admin_address(), app.admin_address());
    wait(&app, &signals);
    let status = stop(app, &signals);
    eprintln!("{}", status_line(&status));
    Ok(())
}

/// `WEIR_LOG`, else `default`, else what `telemetry` takes for its default.
pub(super) fn start_logging(default: &str) -> Result<(), Failure> {
    let filter = std::env::var("WEIR_LOG").unwrap_or_else(|_| default.to_string());
    telemetry::logs::init(telemetry::logs::Format::for_stderr(), Some(&filter))
        .map_err(|error| Failure::Usage(chain(&error)))
}

pub(super) fn failure(error: AppError) -> Failure {
    Failure::Failed(chain(&error))
}

/// The first lines of `weir run` and `weir demo`.
pub(super) fn banner(config: &Config) -> String {
    let mode = match (&config.kafka, &config.store.to) {
        (None, StoreTo::Folder(_)) => "log -> folder",
        (None, StoreTo::S3(_)) => "log -> S3",
        (Some(_), StoreTo::Folder(_)) => "log -> Kafka -> folder",
        (Some(_), StoreTo::S3(_)) => "log -> Kafka -> S3",
    };
    format!(
        "weir {}  {mode}  data {}\n  memory {}\n  stops within {}s",
        env!("CARGO_PKG_VERSION"),
        config.data_dir.display(),
        config.memory_line(),
        (config.listen.drain_timeout + config.stop.recorders + config.stop.publish + config.stop.store).as_secs(),
    )
}

fn wait(app: &App, signals: &Signals) {
    use std::io::{IsTerminal as _, Write as _};
    let live = std::io::stderr().is_terminal();
    loop {
        if let Some(name) = signals.wait(Duration::from_secs(1)) {
            eprintln!("{}{name}: stopping; a second signal skips a phase", if live { "\n" } else { "" });
            return;
        }
        if live {
            eprint!("\r\x1b[2K{}", status_line(&app.status()));
            let _flushed = std::io::stderr().flush();
        }
    }
}

/// Stops the app, saying how each phase went; the last status before the log was closed.
pub(super) fn stop(app: App, signals: &Signals) -> Status {
    let stopped = app.stop(signals);
    for phase in &stopped.phases {
        let left = if phase.left.is_empty() { "done" } else { &phase.left };
        eprintln!("  {:<10} {:>6.2}s  {left}", phase.name, phase.took.as_secs_f64());
    }
    stopped.status
}

/// The one line that is rewritten each second.
pub(super) fn status_line(status: &Status) -> String {
    let (calls, rows) = (&status.calls, &status.rows);
    let mut line = format!(
        "calls {} = {} logged + {} pending + {} dropped + {} unsampled   rows {} appended, {} backlog, {} stored",
        count(calls.seen),
        count(calls.logged),
        count(calls.pending),
        count(calls.dropped_sum()),
        count(calls.unsampled),
        count(rows.appended),
        count(rows.backlog),
        count(rows.stored),
    );
    if let Some(trouble) = status.trouble.first() {
        line.push_str("   !! ");
        line.push_str(trouble);
    }
    line
}
