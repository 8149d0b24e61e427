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
use super::pin::{self, PinError};
use super::seal::{Admit, Facts, Seal, Sealed};
use super::store::{Kind, Store};
use super::temp::{TempFile, TempFolder};
use super::triggers::Cause;
use crate::config;
use crate::source::{PartitionId, Source, SourceError};
use crate::table::{FileWriter, Schema, Survey};

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
    #[error(transparent)]
    Pin(#[from] PinError),
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
            WriteError::Pin(error) => error.kind(),
            WriteError::Panicked { .. } => Kind::Stop,
            _ => Kind::Retry,
        }
    }
}

/// What the writing of every file needs.
pub struct Writer {
    pub store: Arc<dyn Store>,
    pub config: config::Store,
    folder: TempFolder,
    /// The newest schema seen, by table.
    schemas: BTreeMap<String, Arc<Schema>>,
}

/// One range of one partition.
pub struct Range<'a> {
    pub chain: &'a Chain,
    pub partition: &'a PartitionId,
    pub to: u64,
    pub now_ms: i64,
    /// Asked now and then; true ends the writing.
    pub abandoned: &'a dyn Fn() -> bool,
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
    pub fn open(store: Arc<dyn Store>, config: config::Store, data_dir: &Path) -> std::io::Result<Writer> {
        let folder = TempFolder::make(&data_dir.join("tmp"))?;
        Ok(Writer { store, config, folder, schemas: BTreeMap::new() })
    }

    /// Writes the file of a range. `None`: no record is in it, there is nothing to store.
    pub fn write(&mut self, source: &mut dyn Source, range: &Range<'_>) -> Result<Option<Written>, WriteError> {
        let mut schema = match self.pinned(range)? {
            Some(schema) => schema,
            None => self.survey(source, range)?,
        };
        let mut to = range.to;
        let mut cut = None;
        for pass_number in 1.. {
            let Some(pass) = self.pass(source, range, to, &schema)? else { return Ok(None) };
            // A second pass ends where the first one did, so that it does not meet messages that the first did not see.
            to = pass.to;
            cut = cut.or(pass.cut);
            let grown = match pass_number < PASSES_MAX {
                true => pass.writer.misfits().propose(Some(&schema)),
                false => None,
            };
            let Some(proposed) = grown else { return self.finish(range, pass, cut, &schema).map(Some) };
            schema = pin::grow_schema(&*self.store, &range.chain.id().table, proposed)?;
            self.schemas.insert(range.chain.id().table.clone(), schema.clone());
        }
        unreachable!("the last pass returns")
    }

    /// The table's schema as far as this process knows; read again when a file was written with a newer one.
    fn pinned(&mut self, range: &Range<'_>) -> Result<Option<Arc<Schema>>, WriteError> {
        let table = &range.chain.id().table;
        let known = self.schemas.get(table);
        if let Some(schema) = known {
            return Ok(Some(schema.clone()));
        }
        let newest = pin::schema(&*self.store, table)?;
        if let Some(schema) = &newest {
            self.schemas.insert(table.clone(), schema.clone());
        }
        Ok(newest)
    }

    /// Forgets what is known of a table's schema: another writer is ahead.
    pub fn schema_changed(&mut self, table: &str, version: u32) {
        if self.schemas.get(table).is_some_and(|schema| schema.version() < version) {
            self.schemas.remove(table);
        }
    }

    /// Reads the first range of a table to settle its columns.
    fn survey(&mut self, source: &mut dyn Source, range: &Range<'_>) -> Result<Arc<Schema>, WriteError> {
        let mut survey = Survey::new(self.config.columns_max);
        let mut seal = range.chain.seal(range.now_ms);
        let mut messages = source.read(range.partition, range.chain.head().next, range.to)?;
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
        let table = &range.chain.id().table;
        let proposed = survey.propose(None).unwrap_or_default();
        let schema = pin::grow_schema(&*self.store, table, proposed)?;
        self.schemas.insert(table.clone(), schema.clone());
        Ok(schema)
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
        };
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
        WriteError::Table { table: range.chain.id().table.clone(), why: super::jobs::chained(error) }
    }
}
