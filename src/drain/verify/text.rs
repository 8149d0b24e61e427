//! A [`Report`] for people.

use std::fmt::{self, Display};

use super::{Range, Report, TableReport};

/// Lines of one kind that are printed before the rest is only counted.
const LINES_MAX: usize = 20;

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tables.is_empty() {
            writeln!(f, "no tables")?;
        }
        for (name, table) in &self.tables {
            let verdict = if table.is_ok() { "ok" } else { "NOT OK" };
            writeln!(f, "{name}: {verdict}")?;
            table.fmt_body(f)?;
        }
        lines(f, "cannot be looked at", &self.problems)?;
        writeln!(f, "{}", if self.ok { "ok: every row is in exactly one file" } else { "NOT OK" })
    }
}

impl TableReport {
    fn fmt_body(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {} files, {} rows, {} of them quarantined", self.files, self.rows, self.quarantined)?;
        for (chain, partition) in &self.partitions {
            let (first, next, files, rows) = (partition.first, partition.next, partition.files, partition.rows);
            write!(f, "  {chain}  offsets {first}..{next}, {files} files, {rows} rows")?;
            match partition.resent {
                0 => writeln!(f)?,
                resent => writeln!(f, ", {resent} resends left out")?,
            }
        }
        for (source, found) in &self.sources {
            let (first, next, rows) = (found.first, found.next, found.rows);
            write!(f, "  source {source}  seqs {first}..{next}, {rows} rows")?;
            match found.missing {
                0 => writeln!(f)?,
                missing => writeln!(f, ", {missing} missing")?,
            }
        }
        lines(f, "gap: rows that no file holds", &self.gaps)?;
        lines(f, "overlap: rows that two files hold", &self.overlaps)?;
        if self.duplicates > 0 {
            writeln!(f, "  duplicates: {} rows are there twice", self.duplicates)?;
        }
        lines(f, "stray: a file of no chain", &self.strays)?;
        lines(f, "problem", &self.problems)?;
        lines(f, "note", &self.notes)
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} offsets {}..{}", self.partition, self.from, self.to)
    }
}

fn lines(f: &mut fmt::Formatter<'_>, title: &str, items: &[impl Display]) -> fmt::Result {
    for item in items.iter().take(LINES_MAX) {
        writeln!(f, "  {title}: {item}")?;
    }
    match items.len().saturating_sub(LINES_MAX) {
        0 => Ok(()),
        more => writeln!(f, "  {title}: {more} more"),
    }
}
