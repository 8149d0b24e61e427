//! `weir run`: serve until SIGTERM or Ctrl-C.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Context, Failure, chain, check};
use crate::admin::Status;
use crate::admin::status::{count, seconds};
use crate::app::{App, AppError, Signals};
use crate::config::{Config, StoreTo};
use crate::drain::store::StoreError;
use crate::log::LogError;
use crate::telemetry::console::Console;
use crate::telemetry::logs;

#[derive(clap::Args)]
pub struct Args {
    /// The model server; no file needed: http://127.0.0.1:8000
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// The model's name (with --upstream) [default: model]
    #[arg(long, value_name = "NAME", requires = "upstream")]
    model: Option<String>,
    /// Address of the data port [default: 127.0.0.1:7600]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Address of the admin port [default: 127.0.0.1:7601]
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    admin: Option<SocketAddr>,
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
    if let Some(admin) = args.admin {
        config.admin.address = admin;
    }
    refuse_loop(&config)?;
    if args.check_and_exit {
        return check::report(context, &config);
    }
    let console = Console::stderr();
    start_logging(&console, "")?;
    let signals = Signals::listen()?;
    let app = App::start(config.clone()).map_err(failure)?;
    say_hello(&console, &config, &app);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    wait(&console, &app, &signals);
    let status = stop(&console, app, &signals);
    if console.is_terminal() {
        console.line(&status_line(&status));
    } else {
        tracing::info!(status = %status_line(&status), "weir has stopped");
    }
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("write an address and a port, for example 127.0.0.1:{}", text.trim_start_matches(':')))
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    match address(text)? {
        address if address.ip().is_loopback() => Ok(address),
        _ => Err("the admin port has no token yet: only loopback addresses, for example 127.0.0.1:7601".to_string()),
    }
}

/// A weir in front of itself would forward each request for ever.
fn refuse_loop(config: &Config) -> Result<(), Failure> {
    let own = config.listen.address;
    match config.routes.iter().find(|route| route.upstream.authority.parse() == Ok(own)) {
        Some(route) => Err(Failure::Config(format!(
            "error: the upstream of route `{}` is weir's own address {own}\n  = name the model server's address, or another `listen.address`",
            route.name
        ))),
        None => Ok(()),
    }
}

/// What runs, and where: for people on a terminal, as one log line otherwise.
fn say_hello(console: &Console, config: &Config, app: &App) {
    let admin = app.admin_address();
    if !console.is_terminal() {
        let listen = app.address().map(|address| address.to_string()).unwrap_or_default();
        let data = config.data_dir.display();
        let memory = config.memory_line();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), listen, %admin, %data, memory, "weir serves");
        return;
    }
    console.line(&banner(config));
    if let Some(address) = app.address() {
        for route in &config.routes {
            let (target, path) = (&route.upstream.authority, route.upstream.path.as_deref().unwrap_or(""));
            console.line(&format!("  http://{address}{}  ->  http://{target}{path}   {}", route.path, route.name));
        }
    }
    console.line(&format!("  status http://{admin}/api/v1/status   metrics http://{admin}/metrics"));
}

/// `WEIR_LOG`, else `default`, else what `telemetry` takes for its default.
pub(super) fn start_logging(console: &Console, default: &str) -> Result<(), Failure> {
    let filter = std::env::var("WEIR_LOG").unwrap_or_else(|_| default.to_string());
    logs::init(console, logs::Format::on(console), Some(&filter)).map_err(|error| Failure::Usage(chain(&error)))
}

/// What a refused start means: a configuration that the data folder does not go with, or a failure. A data folder in use is a failure: the
/// configuration may be right, and the same start succeeds once the other process has ended.
pub(super) fn failure(error: AppError) -> Failure {
    match &error {
        AppError::Log(LogError::Lanes { .. }) | AppError::Store(StoreError::Overwrites { .. }) => {
            Failure::Config(format!("error: {}", chain(&error)))
        }
        AppError::Move(moving) if moving.is_configuration() => Failure::Config(format!("error: {}", chain(&error))),
        _ => Failure::Failed(chain(&error)),
    }
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

fn wait(console: &Console, app: &App, signals: &Signals) {
    loop {
        if let Some(name) = signals.wait(Duration::from_secs(1)) {
            say_stopping(console, name);
            return;
        }
        if console.is_terminal() {
            console.live(&status_line(&app.status()));
        }
    }
}

pub(super) fn say_stopping(console: &Console, signal: &str) {
    if console.is_terminal() {
        console.line(&format!("{signal}: stopping; a second signal skips a phase"));
    } else {
        tracing::info!(signal, "stopping; a second signal skips a phase");
    }
}

/// Stops the app; on a terminal it says how each phase went (the log says it otherwise). The last status.
pub(super) fn stop(console: &Console, app: App, signals: &Signals) -> Status {
    let stopped = app.stop(signals);
    if console.is_terminal() {
        for phase in &stopped.phases {
            let left = if phase.left.is_empty() { "done" } else { &phase.left };
            console.line(&format!("  {:<10} {:>6.2}s  {left}", phase.name, phase.took.as_secs_f64()));
        }
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
    if status.oldest_unstored_seconds > 0.0 {
        line.push_str(&format!(", oldest unstored {}", seconds(status.oldest_unstored_seconds)));
    }
    if let Some(trouble) = status.trouble.first() {
        line.push_str("   !! ");
        line.push_str(trouble);
        if status.trouble.len() > 1 {
            line.push_str(&format!(" (and {} more)", status.trouble.len() - 1));
        }
    }
    line
}
