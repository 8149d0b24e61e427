//! `record:` of a route: where rows are, what their columns are called, and samples.

use std::path::PathBuf;

use super::Rules;
use crate::config::file;
use crate::config::report::ConfigError;
use crate::config::{Layout, ProtocolChoice, Record, Side, columns_fault};

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
        discover: file.record.discover,
        samples: file.record.samples.iter().map(PathBuf::from).collect(),
        inputs: layout(at, route, file.protocol, Side::Inputs, &file.record.inputs)?,
        outputs: layout(at, route, file.protocol, Side::Outputs, &file.record.outputs)?,
    })
}

fn layout(
    at: &Rules<'_>,
    route: &str,
    protocol: ProtocolChoice,
    side: Side,
    file: &file::Layout,
) -> Result<Layout, ConfigError> {
    let word = match side {
        Side::Inputs => "inputs",
        Side::Outputs => "outputs",
    };
    let key = |key| ["routes", route, "record", word, key];
    let rows = match &file.rows {
        Some(path) => Some(rows(at, &key("rows"), protocol, path)?),
        None => None,
    };
    if let Some((what, fix)) = columns_fault(side, &file.columns) {
        return Err(at.wrong(&key("columns"), what, fix));
    }
    Ok(Layout { rows, columns: file.columns.clone() })
}

/// The keys that lead to the rows.
fn rows(at: &Rules<'_>, key: &[&str], protocol: ProtocolChoice, path: &str) -> Result<Vec<String>, ConfigError> {
    if !matches!(protocol.reader(), ProtocolChoice::Auto | ProtocolChoice::Json) {
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
