//! Values that may not stand in the file: it holds a reference, `${env:NAME}` or `${file:PATH}`, which is resolved when the
//! file is loaded. What is printed, serialized or logged of them is the reference.

use std::fmt;
use std::io::ErrorKind;

use serde::{Serialize, Serializer};

use super::check::Rules;
use super::report::ConfigError;

/// A longer file holds no secret; it would only be read to be refused.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is known of a secret before it is resolved, and where it is looked up.
#[derive(Clone, Copy)]
pub(super) enum Lookup<'a> {
    /// Environment variables come from here, files from the disk; what is missing is an error.
    In(&'a dyn Fn(&str) -> Option<String>),
    /// Nothing is looked up: for commands that connect to nothing and may run where the secrets are not.
    Nowhere,
}

/// A secret: its value is only to be had by name, [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    reference: String,
    value: String,
}

impl Secret {
    /// The value itself, for the library that needs it. Empty if the file was only loaded to be looked at.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// What stands in the file.
    pub fn reference(&self) -> &str {
        &self.reference
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reference)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.reference)
    }
}

/// A value that may be written as it is or as a reference: a user name, a property of librdkafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    Plain(String),
    Secret(Secret),
}

impl Setting {
    /// The value itself.
    pub fn expose(&self) -> &str {
        match self {
            Setting::Plain(text) => text,
            Setting::Secret(secret) => secret.expose(),
        }
    }

    /// What stands in the file.
    pub fn written(&self) -> &str {
        match self {
            Setting::Plain(text) => text,
            Setting::Secret(secret) => secret.reference(),
        }
    }
}

impl From<String> for Setting {
    fn from(text: String) -> Setting {
        Setting::Plain(text)
    }
}

impl From<&str> for Setting {
    fn from(text: &str) -> Setting {
        Setting::Plain(text.to_owned())
    }
}

/// Where a secret is.
enum Reference<'a> {
    Env(&'a str),
    File(&'a str),
}

/// Whether a text is one whole reference, or begins like one.
pub(super) fn is_reference(text: &str) -> bool {
    parse(text).is_some()
}

fn parse(text: &str) -> Option<Reference<'_>> {
    let inside = text.strip_prefix("${")?.strip_suffix('}').filter(|inside| !inside.contains('}'))?;
    match inside.split_once(':')? {
        ("env", name) => Some(Reference::Env(name)),
        ("file", path) => Some(Reference::File(path)),
        _ => None,
    }
}

impl Rules<'_> {
    /// Resolves the reference that stands at `path`.
    pub(super) fn secret(&self, path: &[&str], text: &str) -> Result<Secret, ConfigError> {
        let key = path.join(".");
        let Some(reference) = parse(text) else {
            let what = format!("`{key}` is not a reference to a secret");
            return Err(self.wrong(path, what, "write `\"${env:NAME}\"` or `\"${file:PATH}\"`"));
        };
        let resolved = match (self.lookup, reference) {
            (Lookup::Nowhere, _) => Ok(String::new()),
            (Lookup::In(env), Reference::Env(name)) => from_env(name, env),
            (Lookup::In(_), Reference::File(file)) => {
                self.folder(path, file)?;
                from_file(file)
            }
        };
        match resolved {
            Ok(value) => Ok(Secret { reference: text.to_owned(), value }),
            Err((what, fix)) => Err(self.wrong(path, format!("{what}; `{key}` needs it"), fix)),
        }
    }

    /// A value that may be a reference.
    pub(super) fn setting(&self, path: &[&str], text: &str) -> Result<Setting, ConfigError> {
        if text.starts_with("${") { self.secret(path, text).map(Setting::Secret) } else { Ok(text.into()) }
    }
}

fn from_env(name: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, (String, String)> {
    let fix = format!("`export {name}=...` before weir starts, or write `\"${{file:PATH}}\"`");
    match env(name) {
        None => Err((format!("the environment variable {name} is not set"), fix)),
        Some(value) if value.is_empty() => Err((format!("the environment variable {name} is empty"), fix)),
        Some(value) => Ok(value),
    }
}

/// The content of a file without the line end that editors put behind it.
fn from_file(path: &str) -> Result<String, (String, String)> {
    let read = std::fs::metadata(path).and_then(|found| {
        if found.len() > FILE_BYTES_MAX { Err(ErrorKind::FileTooLarge.into()) } else { std::fs::read_to_string(path) }
    });
    let fix = "name the file that holds the secret and nothing else; a path is seen from the folder weir starts in";
    let (what, fix) = match read {
        Ok(text) => {
            let value = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
            if !value.is_empty() {
                return Ok(value.to_owned());
            }
            (format!("the file `{path}` is empty"), fix)
        }
        Err(error) => match error.kind() {
            ErrorKind::NotFound => (format!("there is no file `{path}`"), fix),
            ErrorKind::PermissionDenied => {
                (format!("the file `{path}` cannot be read"), "give weir's user the right to read it")
            }
            ErrorKind::InvalidData => (format!("the file `{path}` is not text"), fix),
            ErrorKind::FileTooLarge => (format!("the file `{path}` is larger than 1 MiB"), fix),
            _ => (format!("the file `{path}` cannot be read: {error}"), fix),
        },
    };
    Err((what, fix.to_owned()))
}
