//! `weir map FILE [RESPONSE]`: what weir would make of one call: protocol, rows, names, types, and what redaction leaves. Nothing
//! is sent, nothing is stored.

mod curl;
mod mapping;
mod transcript;

use std::path::{Path, PathBuf};

use http::StatusCode;
use serde_json::Value;

use self::mapping::{kind, map};
use self::transcript::{Message, Pair};
use super::{Context, Failure, print_json, say};
use crate::config::{Config, Route};

pub(super) use self::mapping::Mapped;

#[derive(clap::Args)]
pub struct Args {
    /// The request: a body, an HTTP message with its head (its answer may follow, `HTTP/1.1 200 OK`), or what `curl -v` printed;
    /// `-` for stdin
    file: PathBuf,
    /// The answer: a body, or an HTTP message with its head
    response: Option<PathBuf>,
    /// The request's body, which `curl -v` does not print
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Path of the request, where the file does not say [default: the route's, or /predict]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Status of the answer, where the file does not say
    #[arg(long, value_name = "CODE", default_value_t = 200)]
    status: u16,
    /// Route whose settings hold [default: the one that the path leads to]
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
}

/// Rows that the screen shows; `--json` has all.
const ROWS_SHOWN: usize = 3;

/// Characters of a value that the screen shows.
const VALUE_SHOWN: usize = 60;

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let config = context.config_or_defaults()?;
    let mut pair = Pair::read(&bytes(&args.file)?).map_err(|what| unreadable(&args.file, &what))?;
    if let Some(file) = &args.data {
        pair.request.body = bytes(file)?;
    }
    if let Some(file) = &args.response {
        pair.response = Some(Message::read(&bytes(file)?).map_err(|what| unreadable(file, &what))?);
    }
    if args.data.is_none() && pair.request.path.is_some() && pair.request.body.is_empty() && pair.response.is_some() {
        eprintln!("the request has no body: `curl -v` does not print it; give it with --data FILE");
    }
    let path = args.path.clone().or(pair.request.path.clone());
    let route = route(&config, args.route.as_deref(), path.as_deref())?;
    let path = path.unwrap_or_else(|| if route.path == "/" { "/predict".to_owned() } else { route.path.clone() });
    let status = pair.response.as_ref().and_then(|answer| answer.status).unwrap_or(args.status);
    let status = StatusCode::from_u16(status).map_err(|_| Failure::Usage(format!("{status} is no status of HTTP")))?;
    let mapped = map(&config, route, &path, &pair, status).map_err(Failure::Failed)?;
    if context.json {
        return print_json(&mapped);
    }
    show(&mapped)
}

/// What a route makes of a file that holds a request and its answer.
///
/// # Errors
/// Why the file is no such sample.
pub(super) fn sample(config: &Config, route: &Route, file: &Path) -> Result<Mapped, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let pair = Pair::read(&bytes).map_err(|what| format!("is no request with its answer: {what}"))?;
    let answer =
        pair.response.as_ref().ok_or("has no answer; it follows the request, beginning with `HTTP/1.1 200 OK`")?;
    let status =
        answer.status.and_then(|status| StatusCode::from_u16(status).ok()).ok_or("has an answer without a status")?;
    let path = pair.request.path.as_deref().ok_or("has no head; begin it with `POST /predict HTTP/1.1`")?;
    let found =
        self::route(config, None, Some(path)).map_err(|_| format!("asks for `{path}`, which no route takes"))?;
    if found.name != route.name {
        return Err(format!("asks for `{path}`, which the route `{}` takes", found.name));
    }
    map(config, route, path, &pair, status)
}

fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let read = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", file.display())))
}

fn unreadable(file: &Path, what: &str) -> Failure {
    Failure::Failed(format!(
        "{} is neither a body nor an HTTP message nor what `curl -v` prints: {what}",
        file.display()
    ))
}

/// The route by its name, else by the path, as a request would find it.
fn route<'c>(config: &'c Config, name: Option<&str>, path: Option<&str>) -> Result<&'c Route, Failure> {
    let names = || config.routes.iter().map(|route| route.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = match (name, path) {
        (Some(name), _) => config.routes.iter().find(|route| route.name == name),
        (None, Some(path)) => config
            .routes
            .iter()
            .filter(|route| {
                let prefix = route.path.trim_end_matches('/');
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .max_by_key(|route| route.path.len()),
        (None, None) => match config.routes.as_slice() {
            [only] => Some(only),
            _ => None,
        },
    };
    found.ok_or_else(|| match (name, path) {
        (Some(name), _) => Failure::Usage(format!("no route is called `{name}`; there are: {}", names())),
        (None, Some(path)) => Failure::Failed(format!("no route takes `{path}`; name one with --route: {}", names())),
        (None, None) => Failure::Usage(format!("say which route, with --route or --path: {}", names())),
    })
}

fn show(mapped: &Mapped) -> Result<(), Failure> {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    say(&format!("route     {}", mapped.route))?;
    say(&format!("protocol  {}", word(&mapped.protocol)))?;
    say(&format!("model     {}  version {}", word(&mapped.model_name), word(&mapped.model_version)))?;
    let problem = mapped.parse_error.as_ref().map(|error| format!(": {}", word(error))).unwrap_or_default();
    say(&format!("parsed    {}{problem}", word(&mapped.parse_status)))?;
    match mapped.sampling_rate {
        rate if rate >= 1.0 => {}
        0.0 => say("recorded  none of such calls, by this route's `capture`")?,
        rate => say(&format!("recorded  {rate} of such calls, by this route's `capture.sample`"))?,
    }
    if !mapped.redacted.is_empty() {
        say(&format!("redacted  {}", mapped.redacted.join(", ")))?;
    }
    say(&format!("rows      {}", word(&mapped.row_count)))?;
    for (index, record) in mapped.records.iter().take(ROWS_SHOWN).enumerate() {
        say(&format!("\nrow {index}"))?;
        let mut lines = Vec::new();
        for side in ["inputs", "outputs"] {
            if let Value::Object(fields) = &record[side] {
                for (key, value) in fields {
                    let name = format!("{side}.{key}");
                    let declared = record["types"].get(&name).and_then(Value::as_str);
                    lines.push((name, declared.unwrap_or_else(|| kind(value)).to_owned(), shortened(value)));
                }
            }
        }
        for side in ["request_body", "response_body"] {
            if let Some(Value::String(body)) = record.get(side) {
                lines.push((side.to_owned(), "kept".to_owned(), format!("{} characters", body.chars().count())));
            }
        }
        let wide = |width: fn(&(String, String, String)) -> usize| lines.iter().map(width).max().unwrap_or(0);
        let (names, kinds) = (wide(|line| line.0.chars().count()), wide(|line| line.1.len()));
        for (name, kind, value) in &lines {
            say(&format!("  {name:names$}  {kind:kinds$}  {value}"))?;
        }
    }
    if mapped.records.len() > ROWS_SHOWN {
        say(&format!("\nand {} rows more; --json shows all", mapped.records.len() - ROWS_SHOWN))?;
    }
    Ok(())
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
