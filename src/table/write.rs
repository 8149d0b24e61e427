//! The rows of one file: batches from the builder go to one Parquet writer, whose settings the first rows decide.

use std::io::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;

use super::build::{Builder, RowKind};
use super::checksum::Running;
use super::properties::{self, SAMPLE_ROWS};
use super::schema::Schema;
use super::survey::Survey;
use crate::config;
use crate::source::Message;

/// Message bytes that wait for the sample to be full.
const SAMPLE_BYTES: usize = 16 << 20;

/// Why a file cannot be written. A message is never the reason.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("failed to write Parquet for table {topic}")]
    Parquet {
        topic: String,
        #[source]
        source: ParquetError,
    },
    #[error("failed to build rows for table {topic}")]
    Arrow {
        topic: String,
        #[source]
        source: ArrowError,
    },
}

/// What a finished file holds.
#[derive(Debug)]
pub struct Written<W> {
    pub rows: u64,
    /// Of the rows.
    pub quarantined: u64,
    /// Size of the file.
    pub bytes: u64,
    pub out: W,
}

/// One file being written. Memory: one row group (at most 64 MiB encoded), the sample, one batch.
pub struct FileWriter<W: Write + Send> {
    topic: String,
    settings: config::Parquet,
    builder: Builder,
    output: Output<W>,
    misfits: Survey,
    rows: u64,
    quarantined: u64,
}

enum Output<W: Write + Send> {
    /// The first batches decide the settings.
    Sampling {
        out: W,
        batches: Vec<RecordBatch>,
        rows: usize,
        bytes: usize,
    },
    Writing(Box<ArrowWriter<Counted<W>>>),
    /// An error took it.
    Gone,
}

/// The finished file's size is known to nobody else: the Parquet writer is gone when its footer is written.
struct Counted<W> {
    out: W,
    written: Running,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written.add(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write + Send> FileWriter<W> {
    /// A file of `topic`'s partition with the columns of `schema`.
    ///
    /// # Errors
    /// Settings that Parquet does not know, such as a zstd level of 23.
    pub fn new(
        schema: Arc<Schema>,
        topic: &str,
        partition: u32,
        out: W,
        settings: config::Parquet,
    ) -> Result<FileWriter<W>, TableError> {
        properties::for_sample(&[], false, &settings)
            .map_err(|source| TableError::Parquet { topic: topic.to_owned(), source })?;
        Ok(FileWriter {
            topic: topic.to_owned(),
            settings,
            builder: Builder::new(&schema, topic, partition),
            output: Output::Sampling { out, batches: Vec::new(), rows: 0, bytes: 0 },
            misfits: Survey::default(),
            rows: 0,
            quarantined: 0,
        })
    }

    /// `store.columns_max`, for what [`FileWriter::misfits`] proposes; 1,000 unless set.
    #[must_use]
    pub fn columns_max(mut self, columns_max: usize) -> FileWriter<W> {
        self.misfits.set_columns_max(columns_max);
        self
    }

    /// Adds the message as one row.
    pub fn push(&mut self, message: &Message) -> Result<RowKind, TableError> {
        let pushed = self.builder.push(message);
        match pushed.eligible {
            true if pushed.misfit => self.misfits.add(message),
            true => self.misfits.add_known(),
            false => {}
        }
        self.rows += 1;
        self.quarantined += u64::from(pushed.kind == RowKind::Quarantined);
        if self.builder.is_full() {
            self.write_batch()?;
        }
        Ok(pushed.kind)
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows that are no records.
    pub fn quarantined(&self) -> u64 {
        self.quarantined
    }

    /// The file's size so far, estimated: what is written, and the encoded part of the open row group.
    pub fn bytes(&self) -> u64 {
        match &self.output {
            Output::Writing(writer) => (writer.bytes_written() + writer.in_progress_size()) as u64,
            _ => 0,
        }
    }

    /// What the rows have that the schema has not; all rows are counted, the keys of those that fit are not.
    pub fn misfits(&self) -> &Survey {
        &self.misfits
    }

    /// Writes what is open and the footer with these keys and values.
    pub fn finish(mut self, footer: Vec<(String, String)>) -> Result<Written<W>, TableError> {
        if self.builder.rows() > 0 {
            self.write_batch()?;
        }
        self.open_writer(true)?;
        let Output::Writing(mut writer) = self.output else { unreachable!("the writer is open") };
        for (key, value) in footer {
            writer.append_key_value_metadata(KeyValue::new(key, value));
        }
        let topic = self.topic;
        let parquet = |source| TableError::Parquet { topic: topic.clone(), source };
        let io = |error| parquet(ParquetError::External(Box::new(error)));
        // The last row group, and through the writer's buffer: then the checksum has seen all data.
        writer.flush().map_err(parquet)?;
        writer.sync().map_err(io)?;
        let checksum = writer.inner().written.entry();
        writer.append_key_value_metadata(checksum);
        let Counted { mut out, written } = writer.into_inner().map_err(parquet)?;
        out.flush().map_err(io)?;
        Ok(Written { rows: self.rows, quarantined: self.quarantined, bytes: written.bytes(), out })
    }

    fn write_batch(&mut self) -> Result<(), TableError> {
        let batch_bytes = self.builder.bytes();
        let batch = self.builder.finish().map_err(|source| TableError::Arrow { topic: self.topic.clone(), source })?;
        match &mut self.output {
            Output::Sampling { batches, rows, bytes, .. } => {
                *rows += batch.num_rows();
                *bytes += batch_bytes;
                batches.push(batch);
                if *rows >= SAMPLE_ROWS || *bytes >= SAMPLE_BYTES {
                    self.open_writer(false)?;
                }
                Ok(())
            }
            Output::Writing(writer) => writer.write(&batch).map_err(|source| self.parquet(source)),
            Output::Gone => Err(self.parquet(ParquetError::General("the file failed before".to_owned()))),
        }
    }

    /// Ends the sampling: settings, writer, and what has waited; `whole`: nothing comes after it.
    fn open_writer(&mut self, whole: bool) -> Result<(), TableError> {
        let (out, batches) = match std::mem::replace(&mut self.output, Output::Gone) {
            Output::Sampling { out, batches, .. } => (out, batches),
            open @ Output::Writing(_) => {
                self.output = open;
                return Ok(());
            }
            Output::Gone => return Err(self.parquet(ParquetError::General("the file failed before".to_owned()))),
        };
        let properties =
            properties::for_sample(&batches, whole, &self.settings).map_err(|source| self.parquet(source))?;
        let mut writer = ArrowWriter::try_new(
            Counted { out, written: Running::default() },
            self.builder.arrow().clone(),
            Some(properties),
        )
        .map_err(|source| self.parquet(source))?;
        for batch in batches {
            writer.write(&batch).map_err(|source| self.parquet(source))?;
        }
        self.output = Output::Writing(Box::new(writer));
        Ok(())
    }

    fn parquet(&self, source: ParquetError) -> TableError {
        TableError::Parquet { topic: self.topic.clone(), source }
    }
}
