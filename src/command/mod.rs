//! One file per command. Stdout is data, stderr is notices; exit 0 ok, 1 failed, 2 usage, 78 configuration.

mod ask;
mod check;
mod config;
mod demo;
mod drain;
mod init;
mod log;
mod map;
mod run;
mod schema;
mod status;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{Config, ConfigError};
use crate::telemetry::with_causes as chain;

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "weir.yaml";

/// Put it in front of your model server; get every prediction as a row in Parquet.
#[derive(Parser)]
#[command(name = "weir", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    /// Configuration file [default: ./weir.yaml]
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print JSON on stdout
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Start here:
  weir demo                                       a model, traffic and Parquet, nothing else needed
  weir run --upstream http://127.0.0.1:8000       in front of your own model server
  weir init                                       write a commented weir.yaml

Exit codes: 0 ok, 1 failed, 2 usage, 78 configuration.";

#[derive(Subcommand)]
enum Command {
    /// Serve: forward predictions, record each one, write Parquet
    Run(run::Args),
    /// Show the whole path with a toy model and traffic of its own
    Demo(demo::Args),
    /// Write a commented weir.yaml
    Init(init::Args),
    /// Check the configuration, the model servers, Kafka, the store and the log
    Check(check::Args),
    /// Show the configuration in effect, or its JSON Schema
    #[command(subcommand)]
    Config(config::What),
    /// Show the ledger and where each partition stands
    Status(status::Args),
    /// Store every row at hand as Parquet now
    Drain(drain::Args),
    /// Prove from the files that no row is missing or doubled
    Verify(verify::Args),
    /// Show what weir would make of one call: protocol, rows, names, types, what redaction leaves
    Map(map::Args),
    /// Show a table's columns and how to read it with each engine
    Schema(schema::Args),
    /// List or check the local log
    Log(log::Args),
    /// Print a completion script for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

/// How a command ended when it did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit 1; the message goes to stderr.
    Failed(String),
    /// Exit 1; everything has been said.
    Said,
    /// Exit 2: the command line does not make sense.
    Usage(String),
    /// Exit 78: the rendered configuration error.
    Config(String),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::Config(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

/// What every command may need from the command line.
pub(crate) struct Context {
    pub file: Option<PathBuf>,
    pub json: bool,
}

impl Context {
    /// The configuration of `-c`, else of `./weir.yaml`.
    fn config(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.file()?)?)
    }

    /// The same for commands that connect to no broker: the secrets in it need not be at hand.
    fn config_without_secrets(&self) -> Result<Config, Failure> {
        Ok(Config::load_without_secrets(&self.file()?)?)
    }

    fn file(&self) -> Result<PathBuf, Failure> {
        match &self.file {
            Some(file) => Ok(file.clone()),
            None if Path::new(DEFAULT_FILE).exists() => Ok(PathBuf::from(DEFAULT_FILE)),
            None => Err(Failure::Config(format!(
                "error: there is no ./{DEFAULT_FILE}\n  = name a file with -c FILE, write one with `weir init`, or start \
                 without one: weir run --upstream http://127.0.0.1:8000"
            ))),
        }
    }

    fn has_file(&self) -> bool {
        self.file.is_some() || Path::new(DEFAULT_FILE).exists()
    }

    /// The configuration of the file if there is one, else the defaults.
    fn config_or_defaults(&self) -> Result<Config, Failure> {
        if self.has_file() { self.config() } else { defaults() }
    }

    /// The same without secrets, for commands that only need the data folder or the store.
    fn config_to_look_at(&self) -> Result<Config, Failure> {
        if self.has_file() { self.config_without_secrets() } else { defaults() }
    }
}

fn defaults() -> Result<Config, Failure> {
    Ok(Config::for_upstream("http://127.0.0.1:8000", None)?)
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // One TLS provider in the process; a second install is harmless.
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let context = Context { file: cli.config, json: cli.json };
    let done = match cli.command {
        Command::Run(args) => run::run(&context, args),
        Command::Demo(args) => demo::run(&context, args),
        Command::Init(args) => init::run(&context, args),
        Command::Check(args) => check::run(&context, args),
        Command::Config(what) => config::run(&context, what),
        Command::Status(args) => status::run(&context, args),
        Command::Drain(args) => drain::run(&context, args),
        Command::Verify(args) => verify::run(&context, args),
        Command::Map(args) => map::run(&context, args),
        Command::Schema(args) => schema::run(&context, args),
        Command::Log(args) => log::run(&context, args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "weir", &mut std::io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Said) => ExitCode::FAILURE,
        Err(Failure::Failed(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
        Err(Failure::Config(message)) => {
            eprintln!("{}", message.trim_end());
            ExitCode::from(78)
        }
    }
}

/// Prints a value as JSON on stdout.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Failed(error.to_string()))?;
    say(&text)
}

/// Prints text on stdout; a closed pipe is no error.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    match writeln!(std::io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
