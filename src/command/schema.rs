//! `weir schema [TABLE]`: a table's columns, and the exact line that reads it with each engine, grown columns included.

use std::collections::BTreeMap;

use arrow_schema::{DataType, Field};
use serde::Serialize;

use super::{Context, Failure, chain, print_json, say};
use crate::config::{Config, StoreTo};
use crate::drain::names::{parse_key, parse_schema_key, schemas_prefix};
use crate::drain::store::{self, Store};
use crate::drain::verify::tables;
use crate::table::Schema;

#[derive(clap::Args)]
pub struct Args {
    /// The table [default: every table's name, or the only table]
    table: Option<String>,
    /// Data folder [default: data_dir of the configuration]
    #[arg(long, value_name = "DIR")]
    dir: Option<std::path::PathBuf>,
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
    let mut config = context.config_to_look_at()?;
    config.overrides(None, args.dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let failed = |error: store::StoreError| Failure::Failed(chain(&error));
    let store = store::open_to_read(&config.store, runtime.handle()).map_err(failed)?;
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
    let screen = Screen {
        version: schema.version(),
        columns: columns(&schema),
        read: reading_lines(&config, &table, newest_file(store.as_ref(), &table).map_err(failed)?.as_deref()),
        table,
    };
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

/// Readers differ when a column has been added: each line names how that engine unites the files. `newest`: a file with
/// the newest schema, relative to the root.
fn reading_lines(config: &Config, table: &str, newest: Option<&str>) -> BTreeMap<&'static str, String> {
    let root = match &config.store.to {
        StoreTo::Folder(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string(),
        StoreTo::S3(s3) if s3.prefix.is_empty() => format!("s3://{}", s3.bucket),
        StoreTo::S3(s3) => format!("s3://{}/{}", s3.bucket, s3.prefix),
    };
    let newest = format!("{root}/{}", newest.unwrap_or("NEWEST_FILE"));
    let (folder, glob) = (format!("{root}/{table}"), format!("{root}/{table}/**/*.parquet"));
    BTreeMap::from([
        ("duckdb", format!("from read_parquet('{glob}', union_by_name = true, hive_partitioning = true)")),
        (
            "polars",
            format!(
                "import polars as pl; table = pl.scan_parquet('{glob}', schema=pl.read_parquet_schema('{newest}'), \
                 hive_partitioning=False, missing_columns='insert', extra_columns='ignore', \
                 cast_options=pl.ScanCastOptions(missing_struct_fields='insert', extra_struct_fields='ignore')).collect()"
            ),
        ),
        (
            "pyarrow",
            format!(
                "import pyarrow.dataset, pyarrow.parquet; table = pyarrow.dataset.dataset('{folder}', format='parquet', \
                 schema=pyarrow.parquet.read_schema('{newest}')).to_table()"
            ),
        ),
        ("spark", format!("spark.read.option('mergeSchema', 'true').parquet('{folder}')")),
    ])
}

/// The file whose footer names the highest schema: of each chain the newest.
fn newest_file(store: &dyn Store, table: &str) -> Result<Option<String>, store::StoreError> {
    let mut chains: BTreeMap<String, String> = BTreeMap::new();
    for listed in store.list(&format!("{table}/"), None)? {
        if let Some(name) = parse_key(&listed.key) {
            chains.insert(name.chain.to_string(), listed.key);
        }
    }
    let mut newest: Option<(u32, String)> = None;
    for key in chains.into_values() {
        let Some(footer) = store::read_footer(store, &key)? else { continue };
        if newest.as_ref().is_none_or(|(schema, _)| footer.schema > *schema) {
            newest = Some((footer.schema, key));
        }
    }
    Ok(newest.map(|(_, key)| key))
}
