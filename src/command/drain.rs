//! `weir drain --once`: everything at hand becomes Parquet, then the command ends.

use std::path::PathBuf;
use std::time::Duration;

use super::run::start_logging;
use super::{Context, Failure, ask, chain, print_json, say};
use crate::admin::{DRAIN_WAIT, Status};
use crate::app::once::{self, Once};
use crate::config::Config;
use crate::telemetry::console::Console;

#[derive(clap::Args)]
pub struct Args {
    /// Drain what is at hand now and end (without it: use `weir run` with `roles: [drain]`)
    #[arg(long)]
    once: bool,
    /// First begin a new generation of every chain: the way on after weir refused to go on (the message says when)
    #[arg(long, requires = "once")]
    new_generation: bool,
    /// Data folder [default: data_dir of the configuration]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if !args.once {
        return Err(Failure::Usage(
            "say `weir drain --once`; a drain that goes on is `weir run` with `roles: [drain]`".to_string(),
        ));
    }
    let mut config = context.config_or_defaults()?;
    config.overrides(None, args.dir);
    if config.kafka.is_none() && !config.data_dir.is_dir() {
        return Err(Failure::Failed(format!(
            "there is no {}; name the folder with --dir, or a configuration with -c",
            config.data_dir.display()
        )));
    }
    let running = if config.kafka.is_none() { ask::running(&config.data_dir) } else { None };
    let status = match running {
        Some(running) if args.new_generation => {
            return Err(Failure::Failed(format!(
                "process {} uses {}; stop it before a new generation is begun",
                running.pid,
                config.data_dir.display()
            )));
        }
        // The log has one owner: the running process drains for us.
        Some(running) => {
            ask::json(running.admin, http::Method::POST, "/api/v1/drain", DRAIN_WAIT + Duration::from_secs(5))?
        }
        None => alone(&config, args.new_generation)?,
    };
    if context.json { print_json(&status) } else { say(&status.text()) }
}

fn alone(config: &Config, new_generation: bool) -> Result<Status, Failure> {
    let console = Console::stderr();
    start_logging(&console, "warn,librdkafka=off,rdkafka=off")?;
    let mut progress = |words: &str| {
        if console.is_terminal() {
            console.live(words);
        } else {
            console.line(words);
        }
    };
    let done = once::drain(Once { config, new_generation, progress: &mut progress });
    console.live("");
    done.map_err(|error| Failure::Failed(chain(&error)))
}
