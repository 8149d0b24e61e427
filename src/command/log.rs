//! `weir log ls | verify`: the local log, read without its lock. `weir log repair`: damage is kept aside, the log is made whole around it.

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
    /// Keep what is damaged aside and make the log whole around it; says what it would do, and does it with --yes
    Repair {
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let data_dir = match args.dir {
        Some(dir) => dir,
        None => context.config_to_look_at()?.data_dir,
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
        What::Repair { yes } => repair(context, &data_dir, yes),
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

#[derive(serde::Serialize)]
struct Repaired {
    written: bool,
    fixes: Vec<log::Fix>,
    /// What stays lost: it is delivered as one quarantined row per range, which names its rows.
    lost: Vec<log::Damage>,
}

fn repair(context: &Context, data_dir: &std::path::Path, yes: bool) -> Result<(), Failure> {
    let failed = |error: log::LogError| Failure::Failed(chain(&error));
    let options = crate::app::log_options(&context.config_or_defaults()?);
    let name = jiff::Timestamp::now().strftime("log-damaged/%Y%m%dT%H%M%SZ").to_string();
    let mut aside = data_dir.join(&name);
    let mut others = 1;
    while aside.exists() {
        others += 1;
        aside = data_dir.join(format!("{name}-{others}"));
    }
    let mode = if yes { log::Mode::Write } else { log::Mode::Plan };
    let fixes = log::repair(data_dir, &options, &aside, mode).map_err(failed)?;
    let lost = if yes { log::verify(data_dir).map_err(failed)?.damage } else { Vec::new() };
    let left = !yes && !fixes.is_empty();
    if context.json {
        print_json(&Repaired { written: yes, fixes, lost })?;
    } else {
        say(&repair_words(&fixes, &lost, yes))?;
    }
    if left { Err(Failure::Said) } else { Ok(()) }
}

fn repair_words(fixes: &[log::Fix], lost: &[log::Damage], yes: bool) -> String {
    if fixes.is_empty() {
        return "nothing to repair".to_owned();
    }
    let mut words = String::new();
    for fix in fixes {
        let kept = fix.kept.as_ref().map_or("it is missing".to_owned(), |kept| format!("kept as {}", kept.display()));
        words.push_str(&format!(
            "{}: {}\n  {kept}\n  becomes {}\n",
            fix.path.display(),
            fix.damage.join("; "),
            fix.becomes
        ));
    }
    for damage in lost.iter().filter(|damage| damage.next > damage.seq) {
        words.push_str(&format!(
            "{}/{} rows {}..{} stay lost: they are delivered as one quarantined row that names them\n",
            damage.topic, damage.lane, damage.seq, damage.next
        ));
    }
    words.push_str(if yes { "done" } else { "nothing was written: `weir log repair --yes` does it" });
    words
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
