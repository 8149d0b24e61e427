//! From a file, a text or a URL to a [`Config`].

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::file::{File, Route};
use super::report::{ConfigError, Place};
use super::secret::Lookup;
use super::tree::Tree;
use super::{Config, StoreTo, check, later, read};

/// The model's name when `--upstream` is all that is said.
const MODEL_DEFAULT: &str = "model";
/// A longer file is no configuration; it would only be read to be refused.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Config {
    /// Reads and checks a file, and resolves the secrets that it refers to.
    ///
    /// # Errors
    /// If the file cannot be read, or with the first thing that is wrong in it.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::read_file(path, Lookup::In(&|variable| std::env::var(variable).ok()))
    }

    /// The same for commands that connect to no broker: they may run where its secrets are not to be had, so none is looked up.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_without_secrets(path: &Path) -> Result<Config, ConfigError> {
        Config::read_file(path, Lookup::Nowhere)
    }

    fn read_file(path: &Path, lookup: Lookup<'_>) -> Result<Config, ConfigError> {
        let name = path.display().to_string();
        let unreadable = |what: String, fix: &str| ConfigError {
            what,
            fix: fix.to_owned(),
            place: Some(Box::new(Place { file: name.clone(), line: 0, column: 0, width: 0, snippet: None })),
            notes: Vec::new(),
        };
        let bytes = std::fs::metadata(path)
            .and_then(|found| {
                if found.len() > FILE_BYTES_MAX { Err(ErrorKind::FileTooLarge.into()) } else { std::fs::read(path) }
            })
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => unreadable(
                    "there is no such file".to_owned(),
                    "let `weir init` write one, or run without: `weir run --upstream http://127.0.0.1:8000`",
                ),
                ErrorKind::FileTooLarge => {
                    unreadable("the file is larger than 1 MiB".to_owned(), "name the configuration with `-c FILE`")
                }
                _ => unreadable(format!("the file cannot be read: {error}"), "name another file with `-c FILE`"),
            })?;
        let text =
            String::from_utf8(bytes).map_err(|_| unreadable("the file is not UTF-8".to_owned(), "save it as UTF-8"))?;
        Config::read_text(&name, &text, lookup)
    }

    /// Checks a text; `name` stands for the file in messages, `env` looks up `${env:NAME}`.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn from_yaml(name: &str, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        Config::read_text(name, text, Lookup::In(env))
    }

    fn read_text(name: &str, text: &str, lookup: Lookup<'_>) -> Result<Config, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let tree = Tree::parse(name, text)?;
        later::refuse(&tree)?;
        let file: File = read::read(&tree)?;
        check::check(&file, &tree, lookup)
    }

    /// What `weir run --upstream URL [--model NAME]` means: one route, everything else by default.
    ///
    /// # Errors
    /// If the URL or the name cannot be used; the error has no place.
    pub fn for_upstream(url: &str, model: Option<&str>) -> Result<Config, ConfigError> {
        let mut file = File { version: Some(1), ..File::default() };
        let route = Route { upstream: Some(url.to_owned()), ..Route::default() };
        file.routes.0.push((model.unwrap_or(MODEL_DEFAULT).to_owned(), route));
        let tree = Tree::parse("", "version: 1").expect("one line of YAML parses");
        check::check(&file, &tree, Lookup::Nowhere).map_err(|error| ConfigError { place: None, ..error })
    }

    /// Applies what the command line says over the file. The Parquet folder moves with `data_dir` unless it was named.
    pub fn overrides(&mut self, listen: Option<SocketAddr>, data_dir: Option<PathBuf>) {
        if let Some(address) = listen {
            self.listen.address = address;
        }
        if let Some(dir) = data_dir {
            if self.store.to == StoreTo::Folder(self.data_dir.join("parquet")) {
                self.store.to = StoreTo::Folder(dir.join("parquet"));
            }
            self.data_dir = dir;
        }
    }
}
