//! Seal, then write (design D5): a closed range is read and becomes one finished Parquet file in a temporary folder. No writer stays open.
//!
//! One pass with the pinned schema; again only when what did not fit makes a new column. The first file of a table is surveyed first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fail::fail_point;
use uuid::Uuid;

use super::chain::Chain;
use super::seal::{Admit, Facts, Seal, Sealed};
use super::store::Kind;
use super::temp::{TempFile, TempFolder};
use super::triggers::Cause;
use crate::config;
use crate::source::{PartitionId, Source, SourceError};
use crate::table::{self, Conflict, FileWriter, Schema, Survey, Wanted};

/// Messages between two looks at whether the drain was told to end, and at the file's size.
const CHECK_EVERY: u64 = 1_024;

/// Passes over one range: new columns found in the second are left to the next file.
const PASSES_MAX: u32 = 3;

/// A file, ready to be created in the store.
#[derive(Debug)]
pub struct Written {
    pub sealed: Sealed,
    pub file: TempFile,
    pub file_bytes: u64,
    /// Why it ends before the end that was asked for.
    pub cut: Option<Cause>,
}

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("failed to write `{path}`")]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to write a file of table {table}: {why}")]
    Table { table: String, why: String },
    /// Nobody knows whether it would not do so again: it waits for somebody.
    #[error(
        "writing the messages {from}..{to} panicked: {why}. Nothing of them was stored, the other partitions go on; please report it with the \
         message that is to blame"
    )]
    Panicked { from: u64, to: u64, why: String },
    #[error("the drain was told to end")]
    Abandoned,
}

impl WriteError {
    /// Whether trying again may help without anybody's doing.
    pub fn kind(&self) -> Kind {
        match self {
            WriteError::Panicked { .. } => Kind::Stop,
            _ => Kind::Retry,
        }
    }
}

/// What the writing of every file needs.
pub struct Writer {
    config: config::Store,
    folder: TempFolder,
    /// The newest schema seen, by table; `None`: the store had none.
    schemas: BTreeMap<String, Option<Arc<Schema>>>,
    /// `store.tables`.
    wanted: BTreeMap<String, Vec<Wanted>>,
}

/// One range of one partition.
pub struct Range<'a> {
    pub chain: &'a Chain,
    pub partition: &'a PartitionId,
    pub resume: Resume,
    /// Why it closes, unless it is cut before its end.
    pub cause: Cause,
    pub now_ms: i64,
    /// Asked now and then; true ends the writing.
    pub abandoned: &'a dyn Fn() -> bool,
}

/// Where the writing of a range stands while the store is asked for a schema.
#[derive(Debug, Clone, Copy)]
pub struct Resume {
    /// The end of the range.
    pub to: u64,
    /// Why it ends before the end that was asked for.
    pub cut: Option<Cause>,
    /// How often a schema was grown for it.
    pub grown: u32,
    /// Whether the store was asked: somebody may have added a column since the file before.
    pub fresh: bool,
}

/// What came of writing a range.
#[derive(Debug)]
pub enum Outcome {
    Written(Box<Written>),
    /// No record is in it, there is nothing to store.
    Nothing,
    /// The table's schema is needed, with this in it; then the range is written again.
    Ask {
        proposed: Option<Schema>,
        resume: Resume,
    },
}

/// One pass that was written.
struct Pass {
    seal: Seal,
    /// Where the range ends.
    to: u64,
    cut: Option<Cause>,
    writer: FileWriter<BufWriter<File>>,
    file: TempFile,
}

impl Writer {
    /// With a temporary folder of its own in `<data_dir>/tmp`.
    pub fn open(config: config::Store, data_dir: &Path) -> std::io::Result<Writer> {
        let folder = TempFolder::make(&data_dir.join("tmp"))?;
        let wanted = config.tables.iter().map(|(table, fixed)| (table.clone(), table::wanted(fixed))).collect();
        Ok(Writer { config, folder, schemas: BTreeMap::new(), wanted })
    }

    /// Writes the file of a range, or says what has to be known first: the store is asked on threads of its own.
    pub fn write(&mut self, source: &mut dyn Source, range: &Range<'_>) -> Result<Outcome, WriteError> {
        let ask = |proposed, resume| Ok(Outcome::Ask { proposed, resume });
        let table = &range.chain.id().table;
        let wanted = self.wanted.get(table).map_or(&[][..], Vec::as_slice);
        let schema = match self.schemas.get(table) {
            None => return ask(None, range.resume),
            Some(_) if !range.resume.fresh => return ask(None, range.resume),
            Some(None) => return ask(Some(self.survey(source, range, wanted)?), range.resume),
            Some(Some(schema)) => match schema.with(wanted) {
                Some(wider) => return ask(Some(wider), range.resume),
                None => schema.clone(),
            },
        };
        let Some(pass) = self.pass(source, range, range.resume.to, &schema)? else { return Ok(Outcome::Nothing) };
        let cut = range.resume.cut.or(pass.cut);
        if range.resume.grown + 1 < PASSES_MAX
            && let Some(proposed) = pass.writer.misfits().propose(Some(&schema))
        {
            // The next pass ends where this one did, so that it does not meet messages that this one did not see.
            return ask(Some(proposed), Resume { to: pass.to, cut, ..range.resume });
        }
        self.finish(range, pass, cut, &schema).map(|written| Outcome::Written(Box::new(written)))
    }

    /// A table's schema as the store told it.
    pub fn learn(&mut self, table: String, newest: Option<Arc<Schema>>) {
        let wanted = self.wanted.get(&table).map_or(&[][..], Vec::as_slice);
        let known = self.schemas.entry(table.clone()).or_insert(None);
        let version = |schema: &Option<Arc<Schema>>| schema.as_ref().map(|schema| schema.version());
        // Answers may overtake each other.
        if version(&newest) <= version(known) {
            return;
        }
        for Conflict { wanted, wanted_type, column, column_type } in
            newest.iter().flat_map(|schema| schema.conflicts(wanted))
        {
            tracing::warn!(
                "`store.tables.{table}.types` says {wanted_type} for `{wanted}`, but {column} is {column_type} in the table's files and stays \
                 so; values that do not fit are kept in `_raw`"
            );
        }
        *known = newest;
    }

    /// The version of a table's schema that is known; 0: none.
    pub fn known_schema(&self, table: &str) -> u32 {
        self.schemas.get(table).and_then(Option::as_ref).map_or(0, |schema| schema.version())
    }

    /// Forgets what is known of a table's schema: another writer is ahead.
    pub fn schema_changed(&mut self, table: &str, version: u32) {
        let behind = |known: &Option<Arc<Schema>>| known.as_ref().is_none_or(|schema| schema.version() < version);
        if self.schemas.get(table).is_some_and(behind) {
            self.schemas.remove(table);
        }
    }

    /// Reads the first range of a table to settle its columns.
    fn survey(&self, source: &mut dyn Source, range: &Range<'_>, wanted: &[Wanted]) -> Result<Schema, WriteError> {
        let mut survey = Survey::new(self.config.columns_max);
        let mut seal = range.chain.seal(range.now_ms);
        let mut messages = source.read(range.partition, range.chain.head().next, range.resume.to)?;
        let (mut count, mut bytes) = (0u64, 0u64);
        while let Some(message) = messages.next()? {
            match seal.admit(&message) {
                Admit::Row => survey.add(&message),
                Admit::Resent | Admit::Behind => {}
                Admit::Cut => break,
            }
            count += 1;
            bytes += message.value.as_ref().map_or(0, |value| value.len() as u64);
            // More than a file's worth tells nothing new: the file will be cut by then.
            if count.is_multiple_of(CHECK_EVERY) && bytes > self.config.roll_bytes.saturating_mul(4) {
                break;
            }
            self.check(range, count)?;
        }
        let base = Schema::unborn_with(wanted);
        Ok(survey.propose(Some(&base)).unwrap_or_else(|| base.next()))
    }

    /// Writes the range once. `None`: no record is in it.
    fn pass(
        &self,
        source: &mut dyn Source,
        range: &Range<'_>,
        to: u64,
        schema: &Arc<Schema>,
    ) -> Result<Option<Pass>, WriteError> {
        fail_point!("drain_before_write");
        let path = self.folder.file(&format!("{}.parquet.part", Uuid::new_v4().simple()));
        let file = TempFile::new(path.clone());
        let out = File::create_new(&path).map_err(|source| WriteError::Io { path, source })?;
        let PartitionId { topic, partition, .. } = range.partition;
        let out = BufWriter::with_capacity(256 * 1024, out);
        let mut writer = FileWriter::new(schema.clone(), topic, *partition, out, self.config.parquet)
            .map_err(|error| self.table_error(range, &error))?
            .columns_max(self.config.columns_max);
        let mut seal = range.chain.seal(range.now_ms);
        let mut messages = source.read(range.partition, range.chain.head().next, to)?;
        let (mut count, mut end, mut cut, mut full) = (0u64, to, None, false);
        while let Some(message) = messages.next()? {
            if full {
                (end, cut) = (message.offset, Some(Cause::Size));
                break;
            }
            match seal.admit(&message) {
                Admit::Row => {
                    writer.push(&message).map_err(|error| self.table_error(range, &error))?;
                }
                Admit::Resent | Admit::Behind => {}
                Admit::Cut => {
                    (end, cut) = (message.offset, Some(Cause::Date));
                    break;
                }
            }
            count += 1;
            self.check(range, count)?;
            full = count.is_multiple_of(CHECK_EVERY) && writer.bytes() >= self.config.roll_bytes;
        }
        if seal.is_empty() {
            return Ok(None);
        }
        Ok(Some(Pass { seal, to: end, cut, writer, file }))
    }

    fn finish(
        &self,
        range: &Range<'_>,
        pass: Pass,
        cut: Option<Cause>,
        schema: &Schema,
    ) -> Result<Written, WriteError> {
        let Pass { seal, to, writer, file, .. } = pass;
        if writer.rows() != seal.rows() {
            let why = format!("{} messages became {} rows", seal.rows(), writer.rows());
            return Err(WriteError::Table { table: range.chain.id().table.clone(), why });
        }
        let facts = Facts {
            quarantined: writer.quarantined(),
            schema: schema.version(),
            writer: Uuid::new_v4().simple().to_string(),
            cause: Some(cut.unwrap_or(range.cause)),
        };
        fail_point!("drain_rows_written");
        let sealed = seal.finish(to, facts).expect("a pass with messages has a first one");
        let written = writer.finish(sealed.footer.to_key_values()).map_err(|error| self.table_error(range, &error))?;
        let out = written
            .out
            .into_inner()
            .map_err(|error| WriteError::Io { path: file.path().to_owned(), source: error.into_error() })?;
        drop(out);
        fail_point!("drain_footer_closed");
        Ok(Written { sealed, file, file_bytes: written.bytes, cut })
    }

    fn check(&self, range: &Range<'_>, count: u64) -> Result<(), WriteError> {
        match count.is_multiple_of(CHECK_EVERY) && (range.abandoned)() {
            true => Err(WriteError::Abandoned),
            false => Ok(()),
        }
    }

    fn table_error(&self, range: &Range<'_>, error: &dyn std::error::Error) -> WriteError {
        WriteError::Table { table: range.chain.id().table.clone(), why: crate::telemetry::with_causes(error) }
    }
}
