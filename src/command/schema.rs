//! `weir schema [TABLE]`: a table's columns, and the exact line that reads it with each engine, grown columns included. `--pin` and `--promote`
//! add columns; `--raw` shows the fields that have none.

mod change;

use std::collections::BTreeMap;

use arrow_schema::{DataType, Field};
use serde::Serialize;

use self::change::Asked;
use super::{Context, Failure, chain, print_json, say};
use crate::config::{ColumnPath, Config, StoreTo};
use crate::drain::leftover::{Leftover, leftover};
use crate::drain::names::parse_key;
use crate::drain::pin;
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
    /// Fix the type of a column that is not there yet, for example inputs.customer_id=int64 (again for more)
    #[arg(long, value_name = "COLUMN=TYPE")]
    pin: Vec<String>,
    /// Make a column of a field that lives in `_raw` so far, for example inputs.coupon (again for more)
    #[arg(long, value_name = "COLUMN")]
    promote: Vec<String>,
    /// Show the fields that live in `_raw`: those without a column in the rows of the newest files that did not fit
    #[arg(long)]
    raw: bool,
}

#[derive(Serialize)]
struct Screen {
    table: String,
    version: u32,
    columns: Vec<Column>,
    /// Columns that `--pin` and `--promote` added.
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<Vec<String>>,
    /// Fields without a column, in the rows of the newest files that have a `_raw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<Vec<Rare>>,
    /// STRUCTs that look like maps of names to numbers, with the command that makes a MAP of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    maps: Vec<LooksLikeMap>,
    /// One ready line per engine.
    read: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// Where the values stand in a record, if the column has another name: names that differ only in case get a suffix.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// A field that lives in `_raw`.
#[derive(Serialize)]
struct Rare {
    name: String,
    rows: u64,
    /// What its column would be; absent: its values have no type of a column, or several.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

#[derive(Serialize)]
struct LooksLikeMap {
    name: String,
    fix: String,
}

/// Fields of `_raw` that are shown.
const RARE_MAX: usize = 100;

pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let asked = Asked::read(&args.pin, &args.promote)?;
    let mut config = context.config_to_look_at()?;
    config.overrides(None, args.dir);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let failed = |error: store::StoreError| Failure::Failed(chain(&error));
    let mut store = store::open_to_read(&config.store, runtime.handle()).map_err(failed)?;
    let tables = tables(store.as_ref()).map_err(failed)?;
    let table = match (args.table, tables.as_slice()) {
        (Some(table), tables) if !asked.is_empty() && !tables.contains(&table) => {
            return Err(Failure::Failed(format!(
                "{} has no table {table}; to fix types before its first record, write `store.tables.{table}.types` in the configuration",
                store.address()
            )));
        }
        (Some(table), _) => table,
        (None, [only]) => only.clone(),
        (None, []) => return Err(Failure::Failed(format!("no table yet in {}", store.address()))),
        (None, many) if !asked.is_empty() || args.raw => {
            let fix = format!("name the table, one of {}", many.join(", "));
            return Err(Failure::Usage(format!("--pin, --promote and --raw are for one table; {fix}")));
        }
        (None, many) => {
            if context.json {
                return print_json(&many);
            }
            return say(&many.join("\n"));
        }
    };
    let (schema, added) = if asked.is_empty() {
        (pinned(store.as_ref(), &table)?, None)
    } else {
        store = store::open(&config.store, runtime.handle()).map_err(failed)?;
        let (schema, added) = change::change(store.as_ref(), &table, &asked)?;
        (schema, Some(added))
    };
    let structs = schema.structs_of_numbers();
    let found = (args.raw || !structs.is_empty())
        .then(|| leftover(store.as_ref(), &table).map_err(|error| Failure::Failed(chain(&error))))
        .transpose()?;
    let raw = args.raw.then(|| found.as_ref().map(|found| rare(found, &schema)).unwrap_or_default());
    let maps = structs.into_iter().filter(|path| found.as_ref().is_some_and(|found| found.survey.is_map(path)));
    let screen = Screen {
        version: schema.version(),
        added,
        raw,
        maps: maps.map(|path| looks_like_map(&path, &table)).collect(),
        columns: columns(&schema),
        read: reading_lines(&config, &table, newest_file(store.as_ref(), &table).map_err(failed)?.as_deref()),
        table,
    };
    if let Some(added) = &screen.added {
        match added.as_slice() {
            [] => eprintln!("nothing to add: schema {} of {} has it so", screen.version, screen.table),
            names => eprintln!(
                "schema {} of {} has {}; what is stored from now on fills it, rows of older files keep such values in _raw",
                screen.version,
                screen.table,
                names.join(", ")
            ),
        }
    }
    if context.json {
        return print_json(&screen);
    }
    say(&format!("table {}  schema {}", screen.table, screen.version))?;
    let width = screen.columns.iter().map(|column| column.name.len()).max().unwrap_or(0);
    for column in &screen.columns {
        say(&format!("  {:width$}  {}", column.name, column.kind))?;
    }
    if let Some(raw) = &screen.raw {
        say("\nin _raw, without a column (weir schema --promote makes one)")?;
        for Rare { name, rows, kind } in raw {
            say(&format!("  {name}  {rows} rows  {}", kind.as_deref().unwrap_or("of no type that a column has")))?;
        }
    }
    for LooksLikeMap { name, fix } in &screen.maps {
        say(&format!(
            "\n{name} looks like a map: its keys vary from row to row, and those without a column are in _raw. One MAP column beside it\n\
             takes all of them from the next file on:\n  {fix}"
        ))?;
    }
    say("\nread it with")?;
    for (engine, line) in &screen.read {
        say(&format!("  {engine:8} {line}"))?;
    }
    Ok(())
}

/// What lives in `_raw`.
fn rare(found: &Leftover, schema: &Schema) -> Vec<Rare> {
    let fields = found.survey.beyond(schema).into_iter().take(RARE_MAX);
    fields
        .map(|(path, rows, data_type)| Rare {
            name: path.to_string(),
            rows,
            kind: data_type.map(|data_type| data_type.to_string()),
        })
        .collect()
}

fn looks_like_map(path: &ColumnPath, table: &str) -> LooksLikeMap {
    let fix = format!("weir schema {table} --pin '{path}=map<string, double>'");
    LooksLikeMap { name: path.to_string(), fix }
}

/// Every column with the names that a query uses: `inputs.age`.
fn columns(schema: &Schema) -> Vec<Column> {
    let mut columns = Vec::new();
    for field in schema.arrow().fields() {
        flatten("", field, &mut columns);
    }
    let keys = schema.keys();
    for column in &mut columns {
        column.key = keys.get(&column.name).map(ToString::to_string);
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
        kind => columns.push(Column { name, kind: word(kind), key: None }),
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
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                format!("MAP<STRING, {}>", fields.last().map_or_else(String::new, |value| word(value.data_type())))
            }
            other => word(other),
        },
        other => other.to_string().to_uppercase(),
    }
}

/// The highest schema that is pinned for a table.
fn pinned(store: &dyn Store, table: &str) -> Result<Schema, Failure> {
    match pin::schema(store, table).map_err(|error| Failure::Failed(chain(&error)))? {
        Some(schema) => Ok(Schema::clone(&schema)),
        None => Err(Failure::Failed(format!("{} has no table {table} with a file yet", store.address()))),
    }
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
        // Its own types have no place for what is missing, and would make floats of such integers.
        (
            "pandas",
            format!(
                "import pandas, pyarrow.parquet; table = pandas.read_parquet('{folder}', partitioning=None, dtype_backend='pyarrow', \
                 schema=pyarrow.parquet.read_schema('{newest}'))"
            ),
        ),
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
