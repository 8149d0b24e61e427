//! `weir schema [TABLE]`: a table's columns, and the exact line that reads it with each engine, grown columns included.

use std::collections::BTreeMap;

use arrow_schema::{DataType, Field};
use serde::Serialize;

use super::{Context, Failure, chain, print_json, say};
use crate::config::{Config, StoreTo};
use crate::drain::names::{parse_schema_key, schemas_prefix};
use crate::drain::store::{self, Store};
use crate::drain::verify::tables;
use crate::table::Schema;

#[derive(clap::Args)]
pub struct Args {
    /// The table [default: every table's name, or the only table]
    table: Option<String>,
}

#[derive(Serialize)]
struct Screen {
    table: String,
    version: u32,
    columns: Vec<Column>,
    /// One ready line per engine.
    read: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let config = context.config_or_defaults()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let failed = |error: store::StoreError| Failure::Failed(chain(&error));
    let store = store::open(&config.store, runtime.handle()).map_err(failed)?;
    let tables = tables(store.as_ref()).map_err(failed)?;
    let table = match (args.table, tables.as_slice()) {
        (Some(table), _) => table,
        (None, [only]) => only.clone(),
        (None, []) => return Err(Failure::Failed(format!("no table yet in {}", store.address()))),
        (None, many) => {
            if context.json {
                return print_json(&many);
            }
            return say(&many.join("\n"));
        }
    };
    let schema = pinned(store.as_ref(), &table)?;
    let screen =
        Screen { version: schema.version(), columns: columns(&schema), read: reading_lines(&config, &table), table };
    if context.json {
        return print_json(&screen);
    }
    say(&format!("table {}  schema {}", screen.table, screen.version))?;
    let width = screen.columns.iter().map(|column| column.name.len()).max().unwrap_or(0);
    for column in &screen.columns {
        say(&format!("  {:width$}  {}", column.name, column.kind))?;
    }
    say("\nread it with")?;
    for (engine, line) in &screen.read {
        say(&format!("  {engine:8} {line}"))?;
    }
    Ok(())
}

/// Every column with the names that a query uses: `inputs.age`.
fn columns(schema: &Schema) -> Vec<Column> {
    let mut columns = Vec::new();
    for field in schema.arrow().fields() {
        flatten("", field, &mut columns);
    }
    columns
}

fn flatten(prefix: &str, field: &Field, columns: &mut Vec<Column>) {
    let name = format!("{prefix}{}", field.name());
    match field.data_type() {
        DataType::Struct(children) => {
            for child in children {
                flatten(&format!("{name}."), child, columns);
            }
        }
        kind => columns.push(Column { name, kind: word(kind) }),
    }
}

/// The type in SQL's words.
fn word(kind: &DataType) -> String {
    match kind {
        DataType::Boolean => "BOOLEAN".to_string(),
        DataType::Float32 => "FLOAT".to_string(),
        DataType::Float64 => "DOUBLE".to_string(),
        DataType::Utf8 => "STRING".to_string(),
        DataType::Binary => "BINARY".to_string(),
        DataType::Timestamp(..) => "TIMESTAMP (us, UTC)".to_string(),
        DataType::List(item) => format!("LIST<{}>", word(item.data_type())),
        DataType::Map(..) => "MAP<STRING, STRING>".to_string(),
        other => other.to_string().to_uppercase(),
    }
}

/// The highest schema that is pinned for a table.
fn pinned(store: &dyn Store, table: &str) -> Result<Schema, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::Failed(chain(error));
    let prefix = schemas_prefix(table);
    let mut highest: Option<(u32, String)> = None;
    for listed in store.list(&prefix, None).map_err(|e| failed(&e))? {
        if let Some(n) = parse_schema_key(&listed.key)
            && highest.as_ref().is_none_or(|(highest, _)| n > *highest)
        {
            highest = Some((n, listed.key));
        }
    }
    let Some((_, key)) = highest else {
        return Err(Failure::Failed(format!("{} has no table {table} with a file yet", store.address())));
    };
    let bytes = store.get(&key).map_err(|e| failed(&e))?;
    let bytes = bytes.ok_or_else(|| Failure::Failed(format!("{key} was listed but is gone")))?;
    Schema::from_json(&bytes).map_err(|e| failed(&e))
}

/// Readers differ when a column has been added: each line names how that engine unites the files.
fn reading_lines(config: &Config, table: &str) -> BTreeMap<&'static str, String> {
    let root = match &config.store.to {
        StoreTo::Folder(path) => {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            format!("{}/{table}", absolute.display())
        }
        StoreTo::S3(s3) if s3.prefix.is_empty() => format!("s3://{}/{table}", s3.bucket),
        StoreTo::S3(s3) => format!("s3://{}/{}/{table}", s3.bucket, s3.prefix),
    };
    BTreeMap::from([
        (
            "duckdb",
            format!(
                "select * from read_parquet('{root}/**/*.parquet', union_by_name = true, hive_partitioning = true)"
            ),
        ),
        (
            "polars",
            format!(
                "pl.scan_parquet('{root}/**/*.parquet', hive_partitioning=True, missing_columns='insert', \
                 extra_columns='ignore', cast_options=pl.ScanCastOptions(missing_struct_fields='insert', \
                 extra_struct_fields='ignore'))"
            ),
        ),
        (
            "pyarrow",
            format!(
                "ds = pyarrow.dataset.dataset([f for f in fs.glob('{root}/**/*.parquet')], \
                 schema=pyarrow.parquet.read_schema(NEWEST_FILE))"
            ),
        ),
        ("spark", format!("spark.read.option('mergeSchema', 'true').option('basePath', '{root}').parquet('{root}')")),
    ])
}
