//! `weir log repair`: keeps what is damaged aside, byte for byte, and leaves a log that is whole around it.
//!
//! Damage does not stop a log: its rows are delivered as one quarantined row that names them. But the damaged bytes go with their segment when it
//! is delivered, a torn end is cut at the next start, and a log without a readable `meta.json` cannot be opened. Repair copies each damaged
//! file aside before it writes it anew: the header from the entries, without the bytes that are no whole entry, `meta.json` from the headers.
//! Seqs and calls stay as they are: what is lost is still counted and named, by what comes behind it. Behind a damaged entry with which a lane ends comes
//! nothing, so an empty segment is made there, whose header says what the entry's head said.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::disk::Disk;
use super::format::{EntryHead, HEADER_BYTES, HeaderError, SegmentHeader};
use super::lock::Lock;
use super::meta::{Heal, Meta};
use super::recover::{list, topic_folders, topic_is_valid};
use super::segment::{SegmentFile, Step, Walk, parse_segment_name, segment_name};
use super::{LogError, Options, Source};

/// One file that is damaged, and what is done about it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fix {
    pub topic: String,
    pub path: PathBuf,
    /// What is wrong with it.
    pub damage: Vec<String>,
    /// What stands in it afterwards.
    pub becomes: String,
    /// Where it is kept as it is; `None`: it is missing.
    pub kept: Option<PathBuf>,
}

/// Whether to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only say what would be done.
    Plan,
    Write,
}

/// Looks at every file of every log under `data_dir`, whose lock it takes. Damaged files are kept in `aside`, which does not exist yet.
/// `options` say who reads a log and where its rows go, should its `meta.json` be lost.
///
/// # Errors
/// A process holds the lock, the disk fails, or nothing is left that says which log it is.
pub fn repair(data_dir: &Path, options: &Options, aside: &Path, mode: Mode) -> Result<Vec<Fix>, LogError> {
    let folder = data_dir.join("log");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let _lock = Lock::take(data_dir)?;
    let mut repair = Repair { disk: Disk::default(), folder: &folder, aside, mode, fixes: Vec::new() };
    for (topic, folder) in topic_folders(&folder)? {
        if topic_is_valid(&topic) && !list(&folder)?.is_empty() {
            repair.topic(&topic, &folder, options)?;
        }
    }
    Ok(repair.fixes)
}

struct Repair<'a> {
    disk: Disk,
    /// `data_dir/log`
    folder: &'a Path,
    aside: &'a Path,
    mode: Mode,
    fixes: Vec<Fix>,
}

/// What of a segment is to stay, as ranges of its bytes.
#[derive(Default)]
struct Segment {
    name: String,
    damage: Vec<String>,
    header: Option<[u8; HEADER_BYTES]>,
    keep: Vec<std::ops::Range<u64>>,
    cut: bool,
    /// Its header or an entry of it says which calls came before.
    knows_calls: bool,
    /// The damaged entry with which it ends, the last of `keep`.
    bad_end: Option<EntryHead>,
    /// An empty segment that is made behind it: its name and its header.
    successor: Option<(String, [u8; HEADER_BYTES])>,
}

impl Segment {
    /// Nothing behind it needs the damaged entry with which it ends.
    fn cut_bad_end(&mut self) {
        if self.bad_end.take().is_some() {
            self.keep.pop();
            self.cut = true;
        }
    }
}

impl Repair<'_> {
    fn topic(&mut self, topic: &str, folder: &Path, options: &Options) -> Result<(), LogError> {
        let meta = match Meta::read(&self.disk, folder, Heal::No) {
            Ok(meta) => meta,
            Err(LogError::Meta { why, .. }) => self.meta(topic, folder, options, why)?,
            Err(error) => return Err(error),
        };
        for lane in 0..meta.lanes {
            let folder = folder.join(lane.to_string());
            if !folder.exists() {
                continue;
            }
            let mut segments = Vec::new();
            for (name, path) in list(&folder)? {
                if let Some(first_seq) = parse_segment_name(&name) {
                    segments.push(Segment { name, ..look(&path, meta.log, lane, first_seq)? });
                }
            }
            let mut next: Option<&Segment> = None;
            for segment in segments.iter_mut().rev() {
                match (next, segment.bad_end) {
                    (None, Some(head)) => {
                        segment.successor = Some(after(&head, meta.log, lane));
                        segment.cut_bad_end();
                    }
                    (Some(next), Some(_)) if next.knows_calls => segment.cut_bad_end(),
                    _ => {}
                }
                next = Some(segment);
            }
            segments.iter().try_for_each(|segment| self.segment(topic, &folder, segment))?;
        }
        Ok(())
    }

    fn meta(&mut self, topic: &str, folder: &Path, options: &Options, why: String) -> Result<Meta, LogError> {
        let Some(log) = identity(folder)? else {
            return Err(LogError::Meta {
                folder: folder.to_owned(),
                why: format!("{why}, and no segment says which log it is"),
            });
        };
        let lanes =
            list(folder)?.iter().filter_map(|(name, _)| name.parse::<u32>().ok()).max().map_or(1, |last| last + 1);
        let meta = Meta { log, lanes, reader: options.reader, root: options.root.clone() };
        let becomes = format!(
            "written anew from the segments and the configuration: log {log}, lanes {lanes}, read by {}, rows go to `{}`",
            meta.reader, meta.root
        );
        for name in ["meta.json", "meta.bak"] {
            let path = folder.join(name);
            let kept = self.keep(&path)?;
            self.fixes.push(Fix {
                topic: topic.to_owned(),
                path,
                damage: vec![why.clone()],
                becomes: becomes.clone(),
                kept,
            });
        }
        if self.mode == Mode::Write {
            meta.write(&self.disk, folder)?;
        }
        Ok(meta)
    }

    fn segment(&mut self, topic: &str, folder: &Path, segment: &Segment) -> Result<(), LogError> {
        if segment.damage.is_empty() {
            return Ok(());
        }
        let name = &segment.name;
        let path = folder.join(name);
        let kept = self.keep(&path)?;
        let anew = segment.cut || segment.header.is_some();
        let becomes = match anew {
            true => "its whole entries, under their seqs".to_owned(),
            false => "as it is: its damaged rows are delivered as quarantined".to_owned(),
        };
        if anew && self.mode == Mode::Write {
            let fail = |source| LogError::io("read", &path, source);
            let bytes = std::fs::read(&path).map_err(fail)?;
            let header = segment.header.as_ref().map_or(&bytes[..HEADER_BYTES.min(bytes.len())], |header| header);
            let part = |range: &std::ops::Range<u64>| bytes.get(range.start as usize..range.end as usize);
            let parts: Option<Vec<&[u8]>> =
                std::iter::once(Some(header)).chain(segment.keep.iter().map(part)).collect();
            let parts = parts.ok_or_else(|| fail(std::io::ErrorKind::UnexpectedEof.into()))?;
            let write = |name: &str, parts: &[&[u8]]| {
                let written = self.disk.put(folder, name, parts);
                written.map(drop).map_err(|source| LogError::io("write", &folder.join(name), source))
            };
            // Before what says the same is gone.
            if let Some((name, header)) = &segment.successor {
                write(name, &[header])?;
            }
            write(name, &parts)?;
        }
        self.fixes.push(Fix { topic: topic.to_owned(), path, damage: segment.damage.clone(), becomes, kept });
        Ok(())
    }

    /// Copies a file aside, synced. Nothing is written over before that.
    fn keep(&self, path: &Path) -> Result<Option<PathBuf>, LogError> {
        if !path.exists() {
            return Ok(None);
        }
        let kept = self.aside.join(path.strip_prefix(self.folder).expect("a file of the log"));
        if self.mode == Mode::Write {
            let folder = kept.parent().expect("a file has a folder");
            let copied = DirBuilder::new().recursive(true).mode(0o700).create(folder).and_then(|()| {
                let mut copy = File::create_new(&kept)?;
                std::io::copy(&mut File::open(path)?, &mut copy)?;
                copy.sync_all()?;
                self.disk.sync_folder(folder)
            });
            copied.map_err(|source| LogError::io("keep a copy in", &kept, source))?;
        }
        Ok(Some(kept))
    }
}

/// The log that the segments in a topic's folder say they are of.
fn identity(folder: &Path) -> Result<Option<Uuid>, LogError> {
    for (name, lane) in list(folder)? {
        if name.parse::<u32>().is_err() || !lane.is_dir() {
            continue;
        }
        for (name, path) in list(&lane)? {
            if parse_segment_name(&name).is_some() {
                let bytes = std::fs::read(&path).map_err(|source| LogError::io("read", &path, source))?;
                if let Ok(header) = SegmentHeader::decode(&bytes) {
                    return Ok(Some(header.source.log));
                }
            }
        }
    }
    Ok(None)
}

/// The empty segment behind an entry with which a lane ends.
fn after(head: &EntryHead, log: Uuid, lane: u32) -> (String, [u8; HEADER_BYTES]) {
    let (first_seq, calls_before, made_at_ms) = (head.next_seq(), head.calls_before + 1, head.appended_at_ms);
    let source = Source { log, lane, epoch: head.epoch };
    (segment_name(first_seq), SegmentHeader { source, first_seq, calls_before, made_at_ms }.encode())
}

fn look(path: &Path, log: Uuid, lane: u32, first_seq: u64) -> Result<Segment, LogError> {
    let fail = |source| LogError::io("read", path, source);
    let mut file = SegmentFile::open(path, log, lane).map_err(fail)?;
    let mut segment = Segment::default();
    let lost_header = match file.header().map_err(fail)? {
        Ok(_) => false,
        Err(HeaderError::Newer(version)) => return Err(LogError::Newer { path: path.to_owned(), version }),
        Err(HeaderError::Damaged) => true,
    };
    let mut walk = Walk::new(file, first_seq);
    while let Some(step) = walk.step().map_err(fail)? {
        match step {
            Step::Entry { at, head } | Step::BadBody { at, head } => {
                if lost_header && segment.header.is_none() {
                    let source = Source { log, lane, epoch: head.epoch };
                    let (calls_before, made_at_ms) = (head.calls_before, head.appended_at_ms);
                    // Rows before the first entry that is whole were in calls that nobody can count any more.
                    segment.header = Some(SegmentHeader { source, first_seq, calls_before, made_at_ms }.encode());
                }
                if matches!(step, Step::BadBody { .. }) {
                    let (from, to) = (head.first_seq, head.next_seq());
                    segment.damage.push(format!("rows {from}..{to} do not match their checksum"));
                }
                segment.cut_bad_end();
                segment.bad_end = matches!(step, Step::BadBody { .. }).then_some(head);
                segment.keep.push(at..at + head.entry_bytes());
            }
            Step::Garbage { at, bytes } | Step::Tail { at, bytes } => {
                segment.cut = true;
                segment.damage.push(format!("{bytes} bytes at {at} are no entry"));
            }
        }
    }
    segment.knows_calls = !lost_header || segment.header.is_some();
    if lost_header {
        segment.damage.insert(0, "its header is damaged".to_owned());
        // Without an entry nothing says what it held: the next start reads the one before it.
        segment.cut &= segment.header.is_some();
    }
    Ok(segment)
}
