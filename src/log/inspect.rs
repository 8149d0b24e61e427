//! Looks at the logs of a `data_dir` without taking its lock: for `weir log ls` and `weir log verify`.
//!
//! A process may be writing meanwhile: what has no end yet at the end of a lane's last segment is no damage.

use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::meta::{self, Heal, Meta};
use super::recover::{list, topic_folders, topic_is_valid};
use super::segment::{SegmentFile, Step, Walk, parse_segment_name};
use super::{LogError, ReaderKind, Root};

/// One topic's log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TopicReport {
    pub topic: String,
    /// The log's UUID.
    pub log: String,
    pub reader: ReaderKind,
    pub root: Root,
    pub lanes: Vec<LaneReport>,
}

/// One lane, as its files say.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LaneReport {
    pub lane: u32,
    pub segments: Vec<SegmentReport>,
    /// Of all segments.
    pub bytes: u64,
    /// First seq still on disk.
    pub first_seq: u64,
    /// First seq that does not exist yet: the rows that the lane ever had.
    pub next_seq: u64,
    /// First seq not yet delivered, as persisted.
    pub cursor: u64,
    /// Calls that the lane ever had.
    pub calls: u64,
    /// Of the last entry, or of the last segment.
    pub epoch: Option<u32>,
}

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SegmentReport {
    pub path: PathBuf,
    pub first_seq: u64,
    pub bytes: u64,
}

/// What [`verify`] read.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    pub topics: usize,
    pub segments: u64,
    /// Whole entries.
    pub entries: u64,
    /// Their rows.
    pub rows: u64,
    pub bytes: u64,
    /// Bytes at the ends of last segments that are no whole entry: torn, or being written right now. The next start cuts them.
    pub unfinished_bytes: u64,
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    pub fn ok(&self) -> bool {
        self.damage.is_empty()
    }
}

/// A range of rows, or a file, that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    pub topic: String,
    pub lane: u32,
    pub path: PathBuf,
    /// Rows `seq..next`; none if equal.
    pub seq: u64,
    pub next: u64,
    pub why: String,
}

/// Every log under `data_dir`, by topic. Reads each lane's last segment.
///
/// # Errors
/// A folder or file that cannot be read; a log whose `meta.json` and its copy are both damaged.
pub fn inspect(data_dir: &Path) -> Result<Vec<TopicReport>, LogError> {
    let mut reports = Vec::new();
    each_topic(data_dir, |topic, folder, meta| {
        let mut lanes = Vec::new();
        for lane in 0..meta.lanes {
            lanes.push(inspect_lane(meta, lane, &folder.join(lane.to_string()))?);
        }
        let root = meta.root.clone();
        reports.push(TopicReport { topic, log: meta.log.to_string(), reader: meta.reader, root, lanes });
        Ok(())
    })?;
    Ok(reports)
}

/// Reads every entry of every log under `data_dir`: checksums, and that the seqs have no gap.
///
/// # Errors
/// As [`inspect`]; damage is in the report.
pub fn verify(data_dir: &Path) -> Result<VerifyReport, LogError> {
    let mut report = VerifyReport::default();
    each_topic(data_dir, |topic, folder, meta| {
        report.topics += 1;
        for lane in 0..meta.lanes {
            LaneCheck { report: &mut report, topic: &topic, meta, lane }.run(&folder.join(lane.to_string()))?;
        }
        Ok(())
    })?;
    Ok(report)
}

fn each_topic(
    data_dir: &Path,
    mut visit: impl FnMut(String, &Path, &Meta) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let folder = data_dir.join("log");
    if !folder.exists() {
        return Ok(());
    }
    for (topic, folder) in topic_folders(&folder)? {
        if topic_is_valid(&topic) && !list(&folder)?.is_empty() {
            let meta = Meta::read(&Disk::default(), &folder, Heal::No)?;
            visit(topic, &folder, &meta)?;
        }
    }
    Ok(())
}

fn segments(folder: &Path) -> Result<Vec<SegmentReport>, LogError> {
    let mut segments = Vec::new();
    if folder.exists() {
        for (name, path) in list(folder)? {
            if let Some(first_seq) = parse_segment_name(&name) {
                match std::fs::metadata(&path) {
                    Ok(metadata) => segments.push(SegmentReport { first_seq, bytes: metadata.len(), path }),
                    // Unlinked meanwhile.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(source) => return Err(LogError::io("stat", &path, source)),
                }
            }
        }
    }
    segments.sort_by_key(|segment| segment.first_seq);
    Ok(segments)
}

fn inspect_lane(meta: &Meta, lane: u32, folder: &Path) -> Result<LaneReport, LogError> {
    let segments = segments(folder)?;
    let first_seq = segments.first().map_or(0, |segment| segment.first_seq);
    let cursor = meta::read_cursor(folder)?.unwrap_or(first_seq);
    let bytes = segments.iter().map(|segment| segment.bytes).sum();
    let mut report = LaneReport { lane, bytes, first_seq, next_seq: cursor, cursor, ..LaneReport::default() };
    if let Some(last) = segments.last() {
        let fail = |source| LogError::io("read", &last.path, source);
        let mut file = SegmentFile::open(&last.path, meta.log, lane).map_err(fail)?;
        let mut next_seq = last.first_seq;
        if let Ok(header) = file.header().map_err(fail)? {
            (report.calls, report.epoch) = (header.calls_before, Some(header.source.epoch));
        }
        let mut walk = Walk::new(file, last.first_seq);
        while let Some(step) = walk.step().map_err(fail)? {
            if let Step::Entry { head, .. } | Step::BadBody { head, .. } = step {
                next_seq = head.next_seq();
                (report.calls, report.epoch) = (head.calls_before + 1, Some(head.epoch));
            }
        }
        report.next_seq = next_seq.max(cursor);
    }
    report.segments = segments;
    Ok(report)
}

struct LaneCheck<'a> {
    report: &'a mut VerifyReport,
    topic: &'a str,
    meta: &'a Meta,
    lane: u32,
}

impl LaneCheck<'_> {
    fn run(&mut self, folder: &Path) -> Result<(), LogError> {
        let segments = segments(folder)?;
        let mut expected = segments.first().map_or(0, |segment| segment.first_seq);
        for (index, segment) in segments.iter().enumerate() {
            let limit = segments.get(index + 1).map(|next| next.first_seq);
            if segment.first_seq > expected {
                self.damaged(segment, expected, segment.first_seq, "rows before it are missing");
            }
            expected = self.segment(segment, limit)?;
        }
        Ok(())
    }

    /// Returns the first seq that it does not have.
    fn segment(&mut self, segment: &SegmentReport, limit: Option<u64>) -> Result<u64, LogError> {
        let fail = |source| LogError::io("read", &segment.path, source);
        let mut expected = segment.first_seq;
        let mut file = match SegmentFile::open(&segment.path, self.meta.log, self.lane) {
            Ok(file) => file,
            // Delivered and unlinked meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(limit.unwrap_or(expected)),
            Err(source) => return Err(fail(source)),
        };
        self.report.segments += 1;
        self.report.bytes += segment.bytes;
        if file.header().map_err(fail)?.is_err() {
            self.damaged(segment, expected, expected, "the header is damaged");
        }
        let mut walk = Walk::new(file, segment.first_seq);
        while let Some(step) = walk.step().map_err(fail)? {
            let (head, whole, at) = match step {
                Step::Entry { at, head } => (head, true, at),
                Step::BadBody { at, head } => (head, false, at),
                Step::Garbage { at, bytes } => {
                    self.damaged(segment, expected, expected, &format!("{bytes} bytes at {at} are no entry"));
                    continue;
                }
                Step::Tail { at, bytes } => {
                    if limit.is_none() {
                        self.report.unfinished_bytes += bytes;
                    } else if limit.is_some_and(|limit| expected < limit) {
                        self.damaged(segment, expected, expected, &format!("{bytes} bytes at {at} are no entry"));
                    }
                    continue;
                }
            };
            if limit.is_some_and(|limit| head.first_seq >= limit) {
                // What could not be synced was written again to the next segment.
                break;
            }
            if head.first_seq > expected {
                self.damaged(segment, expected, head.first_seq, &format!("rows before byte {at} are missing"));
            }
            if whole {
                self.report.entries += 1;
                self.report.rows += u64::from(head.rows);
            } else {
                let why = format!("the body of the entry at byte {at} does not match its checksum");
                self.damaged(segment, head.first_seq, head.next_seq(), &why);
            }
            expected = head.next_seq();
        }
        if let Some(limit) = limit
            && expected < limit
        {
            self.damaged(segment, expected, limit, "rows at its end are missing");
            expected = limit;
        }
        Ok(expected)
    }

    fn damaged(&mut self, segment: &SegmentReport, seq: u64, next: u64, why: &str) {
        let (topic, path) = (self.topic.to_owned(), segment.path.clone());
        self.report.damage.push(Damage { topic, lane: self.lane, path, seq, next, why: why.to_owned() });
    }
}
