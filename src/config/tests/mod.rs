mod messages;
mod meaning;
mod reference;
mod rules;
mod secrets;

use super::*;

/// What the smallest useful file begins with; four lines.
const SMALLEST: &str = "version: 1\nroutes:\n  churn:\n    upstream: http://127.0.0.1:8000\n";

/// The value behind `${env:WEIR_KAFKA_PASSWORD}`.
const SECRET: &str = "correct horse battery staple";

fn config(text: &str) -> Result<Config, ConfigError> {
    config_of("weir.yaml", text)
}

fn config_of(name: &str, text: &str) -> Result<Config, ConfigError> {
    // The secrets that are there: one.
    let env = |variable: &str| (variable == "WEIR_KAFKA_PASSWORD").then(|| SECRET.to_owned());
    Config::from_yaml(name, text, &env)
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
