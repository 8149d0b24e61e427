mod messages;
mod meaning;
mod reference;
mod rules;

use super::*;

/// What the smallest useful file begins with; four lines.
const SMALLEST: &str = "version: 1\nroutes:\n  churn:\n    upstream: http://127.0.0.1:8000\n";

fn config(text: &str) -> Result<Config, ConfigError> {
    Config::from_yaml("weir.yaml", text, &|_| None)
}

#[track_caller]
fn good(text: &str) -> Config {
    config(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The smallest file and further lines.
#[track_caller]
fn with(more: &str) -> Config {
    good(&format!("{SMALLEST}{more}"))
}
