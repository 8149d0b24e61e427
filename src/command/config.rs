//! `weir config show | schema`.

use super::{Context, Failure, say};
use crate::config;

#[derive(clap::Subcommand)]
pub enum What {
    /// The configuration in effect: every value, secrets as `<set>`
    Show,
    /// The JSON Schema of weir.yaml, for editors
    Schema,
}

pub fn run(context: &Context, what: What) -> Result<(), Failure> {
    match what {
        What::Show => {
            let yaml = context.config_without_secrets()?.to_yaml_effective();
            if !context.json {
                return say(&yaml);
            }
            let value: serde_json::Value = serde_saphyr::from_str(&yaml)
                .map_err(|error| Failure::Failed(format!("cannot turn the configuration into JSON: {error}")))?;
            super::print_json(&value)
        }
        What::Schema => super::print_json(&config::json_schema()),
    }
}
