//! `weir drain --once`: everything at hand becomes Parquet, then the command ends.

use super::{Context, Failure, ask, chain, print_json, say};
use crate::admin::{DRAIN_WAIT, Status};
use crate::app::once;

#[derive(clap::Args)]
pub struct Args {
    /// Drain what is at hand now and end (without it: use `weir run` with `roles: [drain]`)
    #[arg(long)]
    once: bool,
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if !args.once {
        return Err(Failure::Usage(
            "say `weir drain --once`; a drain that goes on is `weir run` with `roles: [drain]`".to_string(),
        ));
    }
    let config = context.config_or_defaults()?;
    let running = if config.kafka.is_none() { ask::running(&config.data_dir) } else { None };
    let status: Status = match running {
        // The log has one owner: the running process drains for us.
        Some(running) => ask::json(
            running.admin,
            http::Method::POST,
            "/api/v1/drain",
            DRAIN_WAIT + std::time::Duration::from_secs(5),
        )?,
        None => once::drain(&config).map_err(|error| Failure::Failed(chain(&error)))?,
    };
    if context.json { print_json(&status) } else { say(&status.text()) }
}
