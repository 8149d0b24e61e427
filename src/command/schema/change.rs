//! `weir schema --pin` and `--promote`: columns are added to the pinned schema, as a drain adds them: created, never overwritten. What a drain
//! writes next has them; it may run meanwhile.

use super::super::{Failure, chain};
use crate::config::{ColumnPath, FixedType, meeting};
use crate::drain::leftover::{Leftover, leftover};
use crate::drain::pin;
use crate::drain::store::Store;
use crate::table::{Conflict, Schema, Wanted, wanted};

/// Columns that are asked for on the command line.
pub(super) struct Asked {
    pin: Vec<FixedType>,
    promote: Vec<ColumnPath>,
}

impl Asked {
    /// Reads the arguments.
    pub fn read(pin: &[String], promote: &[String]) -> Result<Asked, Failure> {
        let usage = |option: &str, error: &dyn std::fmt::Display| Failure::Usage(format!("--{option}: {error}"));
        let pin: Vec<FixedType> =
            pin.iter().map(|text| text.parse().map_err(|error| usage("pin", &error))).collect::<Result<_, _>>()?;
        let promote: Vec<ColumnPath> = promote
            .iter()
            .map(|text| text.parse().map_err(|error| usage("promote", &error)))
            .collect::<Result<_, _>>()?;
        let all: Vec<&ColumnPath> = pin.iter().map(|fixed| &fixed.path).chain(&promote).collect();
        if let Some((one, other)) = meeting(&all) {
            return Err(Failure::Usage(format!("`{one}` and `{other}` cannot both be columns; name one of them")));
        }
        Ok(Asked { pin, promote })
    }

    pub fn is_empty(&self) -> bool {
        self.pin.is_empty() && self.promote.is_empty()
    }
}

/// Adds the columns that are not there yet. The schema then, and what was added.
pub(super) fn change(store: &dyn Store, table: &str, asked: &Asked) -> Result<(Schema, Vec<String>), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::Failed(chain(error));
    let before = pin::schema(store, table).map_err(|error| failed(&error))?;
    let before = before.map_or_else(|| Schema::unborn_with(&[]), |schema| Schema::clone(&schema));
    let mut columns = wanted(&asked.pin);
    refuse(&before, table, &columns)?;
    let new: Vec<&ColumnPath> = asked.promote.iter().filter(|path| before.column(path).is_none()).collect();
    if !new.is_empty() {
        let found = leftover(store, table).map_err(|error| failed(&error))?;
        for path in new {
            columns.push(promoted(&found, table, path)?);
        }
        refuse(&before, table, &columns)?;
    }
    let Some(wider) = before.with(&columns) else { return Ok((before, Vec::new())) };
    // As the drain does before it creates anything.
    store.self_test().map_err(|error| failed(&error))?;
    let after = pin::grow_schema(store, table, wider).map_err(|error| failed(&error))?;
    // Somebody else may have been first, with other types.
    refuse(&after, table, &columns)?;
    let added = columns.iter().filter(|(path, _)| before.column(path) != after.column(path));
    let added = added.filter_map(|(path, _)| after.column(path).map(|(name, _)| name)).collect();
    Ok((Schema::clone(&after), added))
}

/// The column that a field of `_raw` becomes.
fn promoted(found: &Leftover, table: &str, path: &ColumnPath) -> Result<Wanted, Failure> {
    let Leftover { survey, files } = found;
    match survey.at(path) {
        None => Err(Failure::Failed(format!(
            "no good row among those with a `_raw` in the newest {files} files of {table} has `{path}`; check its name, or say its type: \
             weir schema {table} --pin '{path}=double'"
        ))),
        Some((rows, None)) => Err(Failure::Failed(format!(
            "`{path}` has values of no type that a column can have, in {rows} rows of the newest {files} files of {table}; they stay in \
             `_raw`, or say a type for those that have it: weir schema {table} --pin '{path}=double'"
        ))),
        Some((_, Some(data_type))) => Ok((path.clone(), data_type)),
    }
}

/// A column keeps its type: what is asked for otherwise is refused.
fn refuse(schema: &Schema, table: &str, columns: &[Wanted]) -> Result<(), Failure> {
    let Some(Conflict { wanted, wanted_type, column, column_type }) = schema.conflicts(columns).into_iter().next()
    else {
        return Ok(());
    };
    Err(Failure::Failed(format!(
        "{column} of {table} is {column_type} and stays so: files have it; values that do not fit it are in `_raw`. `{wanted}` can be \
         {wanted_type} only in a table that begins anew, under another model name or in another folder, with `store.tables.{table}.types` in the \
         configuration before its first record"
    )))
}
