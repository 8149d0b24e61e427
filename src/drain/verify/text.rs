//! A [`Report`] for people.

use std::fmt::{self, Display};

use super::{Range, Report, TableReport};

/// Lines of one kind that are printed before the rest is only counted.
const LINES_MAX: usize = 20;

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, table) in &self.tables {
            let verdict = if table.is_ok() { "ok" } else { "NOT OK" };
            writeln!(f, "{name}: {verdict}")?;
            table.fmt_body(f)?;
        }
        lines(f, "cannot be looked at", &self.problems)?;
        if !self.ok {
            return writeln!(f, "NOT OK");
        }
        if !self.is_empty() {
            return writeln!(f, "ok: every row is in exactly one file");
        }
        writeln!(f, "no table in {}", self.root)?;
        match &self.hint {
            Some(hint) => writeln!(f, "  {hint}"),
            None => Ok(()),
        }
    }
}

impl TableReport {
    fn fmt_body(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (files, rows) = (Count(self.files, "file"), Count(self.rows, "row"));
        writeln!(f, "  {files}, {rows}, {} of them quarantined", grouped(self.quarantined))?;
        for (chain, partition) in &self.partitions {
            let (files, rows) = (Count(partition.files, "file"), Count(partition.rows, "row"));
            write!(f, "  {chain}  offsets {}..{}, {files}, {rows}", partition.first, partition.next)?;
            match partition.resent {
                0 => writeln!(f)?,
                resent => writeln!(f, ", {} left out", Count(resent, "resend"))?,
            }
        }
        for (source, found) in &self.sources {
            write!(f, "  source {source}  seqs {}..{}, {}", found.first, found.next, Count(found.rows, "row"))?;
            match found.missing {
                0 => writeln!(f)?,
                missing => writeln!(f, ", {} missing", grouped(missing))?,
            }
        }
        let of_sources = self.sources.values().map(|source| source.rows).fold(0, u64::saturating_add);
        if !self.sources.is_empty() && of_sources != self.rows {
            let (expected, found) = (Count(of_sources, "row"), grouped(self.rows));
            writeln!(f, "  expected {expected} by the seqs of all sources, found {found} in the files")?;
        }
        lines(f, "gap: rows that no file holds", &self.gaps)?;
        lines(f, "overlap: rows that two files hold", &self.overlaps)?;
        match self.duplicates {
            0 => {}
            1 => writeln!(f, "  duplicates: 1 row is there twice")?,
            many => writeln!(f, "  duplicates: {} rows are there twice", grouped(many))?,
        }
        lines(f, "stray: a file of no chain", &self.strays)?;
        lines(f, "problem", &self.problems)?;
        lines(f, "note", &self.notes)
    }
}

/// `1 file`, `1,234 files`.
pub(super) struct Count(pub u64, pub &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", grouped(self.0), self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// `1234567` -> `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
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
        more => writeln!(f, "  {title}: {} more", grouped(more as u64)),
    }
}
