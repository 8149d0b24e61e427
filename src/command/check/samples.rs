//! `record.samples` of each route: a request and its answer per file, and what they would become.

use serde_json::Value;

use super::{Line, bad, good};
use crate::admin::status::counted;
use crate::command::map::{Mapped, sample};
use crate::config::Config;

/// A line per sample.
pub(super) fn lines(config: &Config) -> Vec<Line> {
    let mut lines = Vec::new();
    for route in &config.routes {
        for file in &route.record.samples {
            let name = format!("{}  {}", route.name, file.display());
            lines.push(match sample(config, route, file) {
                Ok(mapped) => line(&name, mapped),
                Err(why) => bad("sample", format!("{name} {why}"), "correct the file, or its name in `record.samples`"),
            });
        }
    }
    lines
}

fn line(name: &str, mapped: Mapped) -> Line {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let status = word(&mapped.parse_status);
    if status != "ok" {
        let why = mapped.parse_error.as_ref().map(word).unwrap_or_default();
        let fix = "`weir map FILE` shows more; `protocol` and `record` of the route say how its bodies are read";
        return Line { mapped: Some(mapped), ..bad("sample", format!("{name}  {status}: {why}"), fix) };
    }
    if let Some(misfit) = mapped.layout() {
        let text = format!("{name}  {misfit}");
        return Line { mapped: Some(mapped), ..bad("sample", text, "correct `record` of the route") };
    }
    let columns: Vec<String> = mapped.columns().into_iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    let rows = counted(mapped.row_count.as_u64().unwrap_or_default(), "row");
    let mut text = format!("{name}  {}, {rows}: {}", word(&mapped.protocol), columns.join(", "));
    if !mapped.redacted.is_empty() {
        text.push_str(&format!("\n   redacted  {}", mapped.redacted.join(", ")));
    }
    Line { mapped: Some(mapped), ..good("sample", text) }
}
