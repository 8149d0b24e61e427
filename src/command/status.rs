//! `weir status`: the ledger of the running process.

use std::time::Duration;

use super::{Context, Failure, ask, print_json, say};
use crate::admin::Status;

const WAIT: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub struct Args {
    /// Data folder of the process [default: data_dir of the configuration]
    #[arg(long, value_name = "DIR")]
    dir: Option<std::path::PathBuf>,
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let data_dir = match args.dir {
        Some(dir) => dir,
        None => context.config_to_look_at()?.data_dir,
    };
    let Some(running) = ask::running(&data_dir) else {
        return Err(Failure::Failed(format!(
            "no weir runs on {}; start one with `weir run`, or name its folder with --dir",
            data_dir.display()
        )));
    };
    let status: Status = ask::json(running.admin, http::Method::GET, "/api/v1/status", WAIT)?;
    if context.json { print_json(&status) } else { say(&status.text()) }
}
