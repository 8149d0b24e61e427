//! `weir verify`: the proof, from the files alone.

use super::{Context, Failure, chain, print_json, say};
use crate::config::{Config, S3, StoreTo};
use crate::drain::store;
use crate::drain::verify::verify;

#[derive(clap::Args)]
pub struct Args {
    /// Folder or s3://bucket/prefix [default: store.to of the configuration]
    root: Option<String>,
    /// Also open every file: count its rows, check offsets and ids
    #[arg(long)]
    deep: bool,
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let config = match &args.root {
        Some(root) if !root.starts_with("s3://") && !std::path::Path::new(root).is_dir() => {
            return Err(Failure::Usage(format!("{root} is no folder; name a folder or s3://bucket/prefix")));
        }
        // An endpoint or region of the configuration applies to an address on the command line too.
        _ => context.config_to_look_at()?,
    };
    let store = open(&config, args.root.as_deref(), runtime.handle())?;
    let report = verify(store.as_ref(), args.deep);
    if context.json {
        print_json(&report)?;
    } else {
        say(&report.to_string())?;
    }
    // Nothing to verify is no proof of anything.
    if report.ok && !report.is_empty() { Ok(()) } else { Err(Failure::Said) }
}

/// The configured S3, if there is one.
fn s3_of(config: &Config) -> Option<&S3> {
    match &config.store.to {
        StoreTo::S3(s3) => Some(s3),
        StoreTo::Folder(_) => None,
    }
}

fn open(
    config: &Config,
    root: Option<&str>,
    runtime: &tokio::runtime::Handle,
) -> Result<std::sync::Arc<dyn store::Store>, Failure> {
    let opened = match root {
        Some(root) => store::open_address(root, s3_of(config), runtime),
        None => store::open_to_read(&config.store, runtime),
    };
    opened.map_err(|error| Failure::Failed(chain(&error)))
}
