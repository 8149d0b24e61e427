//! `weir log ls | verify`: the local log, read without its lock.

use super::{Context, Failure, chain, print_json, say};
use crate::admin::status::{bytes, count};
use crate::log;

#[derive(clap::Subcommand)]
pub enum What {
    /// Lanes and segments of each topic's log
    Ls,
    /// Read every entry: checksums, lengths, sequence
    Verify,
}

pub fn run(context: &Context, what: What) -> Result<(), Failure> {
    let data_dir = context.config_or_defaults()?.data_dir;
    match what {
        What::Ls => {
            let lanes = log::inspect(&data_dir).map_err(|error| Failure::Failed(chain(&error)))?;
            if context.json {
                return print_json(&lanes);
            }
            if lanes.is_empty() {
                eprintln!("no log under {}", data_dir.display());
            }
            for lane in &lanes {
                say(&format!(
                    "{}/{}  segments {}  {}  rows {}..{}  cursor {}  backlog {}",
                    lane.topic,
                    lane.lane,
                    lane.segments.len(),
                    bytes(lane.bytes),
                    lane.first,
                    lane.next,
                    lane.cursor,
                    count(lane.next.saturating_sub(lane.cursor)),
                ))?;
            }
            Ok(())
        }
        What::Verify => {
            let report = log::verify(&data_dir).map_err(|error| Failure::Failed(chain(&error)))?;
            if context.json {
                print_json(&report)?;
            } else {
                say(&report.text())?;
            }
            if report.ok { Ok(()) } else { Err(Failure::Said) }
        }
    }
}
