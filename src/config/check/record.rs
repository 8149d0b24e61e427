//! `record:` of a route: where rows are, what their columns are called, and samples.

use std::path::PathBuf;

use super::Rules;
use crate::config::file;
use crate::config::report::ConfigError;
use crate::config::{LIST_COLUMNS_MAX, Layout, ProtocolChoice, Record};

/// Longer than any name that somebody gave a feature.
const COLUMN_BYTES_MAX: usize = 256;

pub(super) fn record(at: &Rules<'_>, route: &str, file: &file::Route) -> Result<Record, ConfigError> {
    for sample in &file.record.samples {
        let key = ["routes", route, "record", "samples"];
        at.folder(&key, sample)?;
        if sample.is_empty() || sample.contains(['*', '?']) {
            let what = format!("`{sample}` does not name one file");
            return Err(at.wrong(&key, what, "write the path of each file"));
        }
    }
    Ok(Record {
        samples: file.record.samples.iter().map(PathBuf::from).collect(),
        inputs: layout(at, route, file.protocol, "inputs", 'x', &file.record.inputs)?,
        outputs: layout(at, route, file.protocol, "outputs", 'y', &file.record.outputs)?,
    })
}

fn layout(
    at: &Rules<'_>,
    route: &str,
    protocol: ProtocolChoice,
    side: &str,
    letter: char,
    file: &file::Layout,
) -> Result<Layout, ConfigError> {
    let key = |key| ["routes", route, "record", side, key];
    let rows = match &file.rows {
        Some(path) => Some(rows(at, &key("rows"), protocol, path)?),
        None => None,
    };
    columns(at, &key("columns"), letter, &file.columns)?;
    Ok(Layout { rows, columns: file.columns.clone() })
}

/// The keys that lead to the rows.
fn rows(at: &Rules<'_>, key: &[&str], protocol: ProtocolChoice, path: &str) -> Result<Vec<String>, ConfigError> {
    if !matches!(protocol, ProtocolChoice::Auto | ProtocolChoice::Json) {
        let what = "only `protocol: json` takes rows from a place that the route names; others have a place for them";
        return Err(at.wrong(key, what, "remove it, or write `protocol: json`"));
    }
    if path == "$" {
        return Ok(Vec::new());
    }
    let Some(keys) = path.strip_prefix("$.") else {
        let fix = format!("write `$.{}`", path.trim_start_matches(['$', '.', '/']).replace('/', "."));
        return Err(at.wrong(key, format!("`{path}` is not a path into a body: it must begin with `$.`"), fix));
    };
    let keys: Vec<String> = keys.split('.').map(str::to_owned).collect();
    if keys.iter().any(|key| key.is_empty() || key.contains(['[', ']', '*'])) {
        let what = format!("`{path}` is not a path of keys");
        return Err(at.wrong(key, what, "write keys and dots only, for example `$.payload.items`"));
    }
    Ok(keys)
}

fn columns(at: &Rules<'_>, key: &[&str], letter: char, columns: &[String]) -> Result<(), ConfigError> {
    let wrong = |what: String, fix: &str| Err(at.wrong(key, what, fix));
    if columns.len() > LIST_COLUMNS_MAX {
        let what = format!("{} columns are named, the limit is {LIST_COLUMNS_MAX}", columns.len());
        return wrong(what, "remove them: a longer row is one list in one column");
    }
    for (place, name) in columns.iter().enumerate() {
        if name.trim().is_empty() || name.len() > COLUMN_BYTES_MAX || name.chars().any(char::is_control) {
            let what = format!(
                "column {place} has no name that can be shown: it is empty, too long, or has control characters"
            );
            return wrong(what, "write for example `[age, plan]`");
        }
        if columns[..place].contains(name) {
            return wrong(format!("`{name}` names two columns"), "give each a name of its own");
        }
        if name
            .strip_prefix(letter)
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        {
            let what = format!("`{name}` is what a value without a name is called");
            return wrong(what, "write another name, or remove the list if the columns have none");
        }
    }
    Ok(())
}
