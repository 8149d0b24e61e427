//! `weir init`: a commented weir.yaml to start from, and the JSON Schema for the editor beside the data.

use std::path::PathBuf;

use super::{Context, DEFAULT_FILE, Failure};
use crate::config::{self, Config};

#[derive(clap::Args)]
pub struct Args {
    /// The model server, e.g. http://127.0.0.1:8000
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Overwrite a file that is already there
    #[arg(long)]
    force: bool,
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let file = context.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    if file.exists() && !args.force {
        return Err(Failure::Failed(format!("{} is already there; --force overwrites it", file.display())));
    }
    if let Some(url) = &args.upstream {
        Config::for_upstream(url, None)?;
    }
    let text = config::init_yaml(args.upstream.as_deref());
    let checked = Config::from_yaml(&file.display().to_string(), &text, &|_| None)?;
    std::fs::write(&file, &text)?;
    std::fs::create_dir_all(&checked.data_dir)?;
    let schema = checked.data_dir.join("schema.json");
    std::fs::write(&schema, format!("{:#}\n", config::json_schema()))?;
    eprintln!("wrote {} and {}", file.display(), schema.display());
    eprintln!("next: weir check, then weir run");
    Ok(())
}
