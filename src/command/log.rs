//! `weir log ls | verify`: the local log, read without its lock.

use super::{Context, Failure, chain, print_json, say};
use crate::admin::status::{bytes, count, counted};
use crate::log;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    /// Data folder [default: data_dir of the configuration]
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<std::path::PathBuf>,
}

#[derive(clap::Subcommand)]
enum What {
    /// Lanes and segments of each topic's log
    Ls,
    /// Read every entry: checksums, lengths, sequence
    Verify,
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let data_dir = match args.dir {
        Some(dir) => dir,
        None => context.config_or_defaults()?.data_dir,
    };
    match args.what {
        What::Ls => {
            let topics = log::inspect(&data_dir).map_err(|error| Failure::Failed(chain(&error)))?;
            if context.json {
                return print_json(&topics);
            }
            if topics.is_empty() {
                eprintln!("no log under {}", data_dir.display());
            }
            for topic in &topics {
                say(&format!("{}  log {}  read by {}", topic.topic, topic.log, topic.reader))?;
                for lane in &topic.lanes {
                    say(&format!(
                        "  lane {}  {}  {}  rows {}..{}  cursor {}  backlog {}",
                        lane.lane,
                        counted(lane.segments.len() as u64, "segment"),
                        bytes(lane.bytes),
                        lane.first_seq,
                        lane.next_seq,
                        lane.cursor,
                        count(lane.next_seq.saturating_sub(lane.cursor)),
                    ))?;
                }
            }
            Ok(())
        }
        What::Verify => {
            let report = log::verify(&data_dir).map_err(|error| Failure::Failed(chain(&error)))?;
            if context.json {
                print_json(&report)?;
            } else {
                say(&words(&report))?;
            }
            if report.ok() { Ok(()) } else { Err(Failure::Said) }
        }
    }
}

/// What `weir log verify` and `weir check` say of a log.
pub(super) fn words(report: &log::VerifyReport) -> String {
    let mut words = format!(
        "{}, {}, {}: {}, {}",
        counted(report.topics as u64, "topic"),
        counted(report.segments, "segment"),
        bytes(report.bytes),
        counted(report.entries, "call"),
        counted(report.rows, "row")
    );
    if report.unfinished_bytes > 0 {
        words.push_str(&format!("; {} at the end are not finished yet", bytes(report.unfinished_bytes)));
    }
    for damage in &report.damage {
        words.push_str(&format!(
            "\n  {}/{} rows {}..{} cannot be read: {} ({})",
            damage.topic,
            damage.lane,
            damage.seq,
            damage.next,
            damage.why,
            damage.path.display()
        ));
    }
    words
}
