//! Opens what a dead process left: state is derived from the segments, of which only a lane's last is read.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use uuid::Uuid;

use super::common::Common;
use super::disk::Disk;
use super::format::{HEADER_BYTES, HeaderError, SegmentHeader};
use super::lane::{Lane, Segment, State, Topic};
use super::meta::{self, Heal, Meta};
use super::moving::Moving;
use super::segment::{SegmentFile, Step, Walk, parse_segment_name};
use super::{LogError, Options, ReaderKind};

/// Prefix of a topic's folder while it is made; no topic's name has it.
const MAKING: &str = "~new-";
/// File names end at 255 bytes; `MAKING` comes before.
const TOPIC_BYTES_MAX: usize = 240;

/// A topic's log, as it was found or made.
pub(super) struct Opened {
    pub topic: Arc<Topic>,
    pub lanes: Vec<OpenedLane>,
    /// Set where reader or root are to be others.
    pub moving: Option<Moving>,
}

pub(super) struct OpenedLane {
    pub lane: Lane,
    /// What the last entry was dated; the next is not dated before it.
    pub appended_at_ms: i64,
}

/// Whether a topic can be a folder's name; `record` has cleaned it already.
pub(super) fn topic_is_valid(topic: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=TOPIC_BYTES_MAX).contains(&topic.len()) && topic.bytes().all(allowed) && topic != "." && topic != ".."
}

/// Opens every log under `data_dir/log`, by name.
pub(super) fn open_all(common: &Arc<Common>, options: &Options) -> Result<Vec<Opened>, LogError> {
    let mut opened = Vec::new();
    for (name, folder) in topic_folders(&common.folder)? {
        if name.starts_with(MAKING) {
            fs::remove_dir_all(&folder).map_err(|source| LogError::io("remove the unfinished", &folder, source))?;
            continue;
        }
        if let Some(topic) = open_topic(common, options, name, folder)? {
            opened.push(topic);
        }
    }
    Ok(opened)
}

/// Names and paths of the folders in `data_dir/log`, sorted.
pub(super) fn topic_folders(folder: &Path) -> Result<Vec<(String, PathBuf)>, LogError> {
    let mut folders = Vec::new();
    for entry in list(folder)? {
        if entry.1.is_dir() {
            folders.push(entry);
        }
    }
    Ok(folders)
}

/// Makes the log of a topic that has none: aside, then renamed, so that it is never seen half made.
pub(super) fn make_topic(common: &Arc<Common>, options: &Options, name: &str) -> Result<Opened, LogError> {
    let aside = common.folder.join(format!("{MAKING}{name}"));
    let folder = common.folder.join(name);
    let meta =
        Meta { log: Uuid::new_v4(), lanes: options.lanes.max(1), reader: options.reader, root: options.root.clone() };
    let made = (0..meta.lanes).try_for_each(|lane| common.disk.make_folder(&aside.join(lane.to_string())));
    made.map_err(|source| LogError::io("create", &aside, source))?;
    meta.write(&common.disk, &aside)?;
    fs::rename(&aside, &folder)
        .and_then(|()| common.disk.sync_folder(&common.folder))
        .map_err(|source| LogError::io("create", &folder, source))?;
    open_with(common, name.to_owned(), folder, &meta)
}

fn open_topic(
    common: &Arc<Common>,
    options: &Options,
    name: String,
    folder: PathBuf,
) -> Result<Option<Opened>, LogError> {
    if list(&folder)?.is_empty() {
        // Not ours, or somebody emptied it: nothing is lost by ignoring it until the topic is made.
        return Ok(None);
    }
    let mut meta = Meta::read(&common.disk, &folder, Heal::Yes)?;
    let lanes = match options.reader {
        // Without Kafka there is no key for it: a log keeps what it has.
        ReaderKind::Drain => options.lanes.max(meta.lanes),
        ReaderKind::Publisher if options.lanes < meta.lanes => {
            return Err(LogError::Lanes { topic: name, stands: meta.lanes, asked: options.lanes });
        }
        ReaderKind::Publisher => options.lanes,
    };
    for lane in 0..lanes {
        let folder = folder.join(lane.to_string());
        common.disk.make_folder(&folder).map_err(|source| LogError::io("create", &folder, source))?;
    }
    let (reader, root) = (options.reader, &options.root);
    let stays = meta.reader == reader && meta.root.is(root);
    if lanes > meta.lanes || (stays && meta.root != *root) {
        meta.lanes = lanes;
        if stays {
            meta.root = root.clone();
        }
        common.disk.sync_folder(&folder).map_err(|source| LogError::io("sync", &folder, source))?;
        meta.write(&common.disk, &folder)?;
    }
    let moving = (!stays).then(|| Moving {
        topic: name.clone(),
        reader: meta.reader,
        root: meta.root.clone(),
        folder: folder.clone(),
        becomes: Meta { reader, root: root.clone(), ..meta.clone() },
    });
    let opened = open_with(common, name, folder, &meta)?;
    Ok(Some(Opened { moving, ..opened }))
}

fn open_with(common: &Arc<Common>, name: String, folder: PathBuf, meta: &Meta) -> Result<Opened, LogError> {
    let topic = Arc::new(Topic { name, log: meta.log, folder, bytes: AtomicU64::new(0) });
    let mut lanes = Vec::new();
    for lane in 0..meta.lanes {
        let folder = topic.folder.join(lane.to_string());
        let (state, appended_at_ms) = recover_lane(&common.disk, &topic, lane, &folder)?;
        let lane = Lane::new(common, &topic, lane, state);
        // What was below the cursor when the process died is still there.
        lane.inner.persist_cursor(super::lane::Persist::Now);
        lanes.push(OpenedLane { lane, appended_at_ms });
    }
    Ok(Opened { topic, lanes, moving: None })
}

fn recover_lane(disk: &Disk, topic: &Topic, lane: u32, folder: &Path) -> Result<(State, i64), LogError> {
    let mut segments = Vec::new();
    for (name, path) in list(folder)? {
        if name.ends_with(".tmp") {
            fs::remove_file(&path).map_err(|source| LogError::io("remove the unfinished", &path, source))?;
        } else if let Some(first_seq) = parse_segment_name(&name) {
            let bytes = fs::metadata(&path).map_err(|source| LogError::io("stat", &path, source))?.len();
            segments.push(Segment { first_seq, path, bytes, marks: Vec::new() });
        }
    }
    segments.sort_by_key(|segment| segment.first_seq);

    let end = find_end(topic, lane, &mut segments)?;
    if let Some(last) = segments.last_mut() {
        settle_last(disk, topic, lane, last, &end)?;
    }
    let persisted = meta::read_cursor(folder)?;
    let first = segments.first().map_or(0, |segment| segment.first_seq);
    let cursor = persisted.unwrap_or(first);
    let next_seq = end.next_seq.max(cursor);
    if next_seq > end.next_seq {
        tracing::error!(
            topic = topic.name,
            lane,
            from = end.next_seq,
            to = next_seq,
            "rows that were already delivered are no longer in the log; the lane goes on after them"
        );
    }
    let state = State { next_seq, calls: end.calls, cursor, persisted: persisted.unwrap_or(0), segments };
    Ok((state, end.appended_at_ms))
}

/// Where a lane's last segment ends.
#[derive(Default)]
struct End {
    next_seq: u64,
    calls: u64,
    appended_at_ms: i64,
    /// Bytes of the last segment that are entries, or damage between entries.
    bytes: u64,
    torn_bytes: u64,
}

/// Reads the last segment; earlier ones only if it can say nothing about the calls before it.
fn find_end(topic: &Topic, lane: u32, segments: &mut [Segment]) -> Result<End, LogError> {
    let mut end: Option<End> = None;
    for segment in segments.iter_mut().rev() {
        let read = read_to_end(topic, lane, segment)?;
        match &mut end {
            // The seqs are the last segment's, which its name says; only the calls come from an earlier one.
            Some(end) => (end.calls, end.appended_at_ms) = (read.0.calls, read.0.appended_at_ms),
            None => end = Some(read.0),
        }
        if read.1 == Knows::Calls {
            break;
        }
    }
    Ok(end.unwrap_or_default())
}

#[derive(PartialEq, Eq)]
enum Knows {
    Calls,
    /// Its header is damaged and it has no entry.
    Nothing,
}

fn read_to_end(topic: &Topic, lane: u32, segment: &mut Segment) -> Result<(End, Knows), LogError> {
    let fail = |what, source| LogError::io(what, &segment.path, source);
    let mut file = SegmentFile::open(&segment.path, topic.log, lane).map_err(|source| fail("open", source))?;
    let mut end = End { next_seq: segment.first_seq, bytes: HEADER_BYTES as u64, ..End::default() };
    let mut knows = Knows::Nothing;
    match file.header().map_err(|source| fail("read", source))? {
        Ok(SegmentHeader { calls_before, made_at_ms, .. }) => {
            (end.calls, end.appended_at_ms, knows) = (calls_before, made_at_ms, Knows::Calls);
        }
        Err(HeaderError::Newer(version)) => return Err(LogError::Newer { path: segment.path.clone(), version }),
        Err(HeaderError::Damaged) => {
            tracing::warn!(path = %segment.path.display(), "a segment's header is damaged; its entries say all that is needed");
        }
    }
    let mut walk = Walk::new(file, segment.first_seq);
    while let Some(step) = walk.step().map_err(|source| LogError::io("read", &segment.path, source))? {
        match step {
            Step::Entry { at, head } | Step::BadBody { at, head } => {
                // Of a damaged one only the body is: it was logged, and its rows are delivered as damaged.
                end.next_seq = head.next_seq();
                end.calls = head.calls_before + 1;
                end.appended_at_ms = end.appended_at_ms.max(head.appended_at_ms);
                end.bytes = at + head.entry_bytes();
                knows = Knows::Calls;
                segment.mark(end.next_seq, end.bytes);
                if matches!(step, Step::BadBody { .. }) {
                    damage(segment, at, head.entry_bytes());
                }
            }
            Step::Garbage { at, bytes } => damage(segment, at, bytes),
            Step::Tail { bytes, .. } => end.torn_bytes = bytes,
        }
    }
    Ok((end, knows))
}

fn damage(segment: &Segment, at: u64, bytes: u64) {
    tracing::error!(path = %segment.path.display(), at, bytes, "a segment is damaged; its rows are delivered as quarantined");
}

/// Cuts the torn tail of a lane's last segment, and syncs the rest: what is read from now on was synced.
fn settle_last(disk: &Disk, topic: &Topic, lane: u32, last: &mut Segment, end: &End) -> Result<(), LogError> {
    let fail = |what, source| LogError::io(what, &last.path, source);
    let file = OpenOptions::new().write(true).open(&last.path).map_err(|source| fail("open", source))?;
    if end.torn_bytes > 0 {
        tracing::warn!(
            topic = topic.name,
            lane,
            path = %last.path.display(),
            bytes = end.torn_bytes,
            "cut the torn end of the log, which the last process had not finished"
        );
        disk.cut(&file, end.bytes).map_err(|source| fail("cut the torn end of", source))?;
        last.bytes = end.bytes;
    }
    file.sync_all().map_err(|source| fail("sync", source))
}

/// Names and paths in a folder, sorted. Names that are not UTF-8 are nobody's here.
pub(super) fn list(folder: &Path) -> Result<Vec<(String, PathBuf)>, LogError> {
    let fail = |source| LogError::io("list", folder, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push((name, entry.path()));
        }
    }
    names.sort();
    Ok(names)
}
