//! Reads one lane forward: rows that are whole, and ranges of those that are not.

use bytes::Bytes;

use super::format::{self, EntryHead};
use super::lane::Found;
use super::segment::{Body, SegmentFile};
use super::{Item, Lane, LogError, LogRow, Source};

/// Reads one lane forward.
///
/// # Memory
/// One window of the file (256 KiB), and one entry.
pub struct Reader {
    lane: Lane,
    /// The next row to yield.
    next_seq: u64,
    segment: Option<Segment>,
    entry: Option<Entry>,
    /// What the last row was dated: a damaged range after it is dated so too.
    appended_at_ms: i64,
    /// How far the lane was synced when the segment's window was read.
    synced: u64,
}

struct Segment {
    file: SegmentFile,
    first_seq: u64,
    /// First seq after it: from there on the next segment counts, whatever stands here.
    limit: u64,
    at: u64,
    /// Of the header, or of the last entry read.
    source: Source,
    /// Whether `source` has an epoch that something said.
    source_known: bool,
}

struct Entry {
    head: EntryHead,
    body: Bytes,
    at: usize,
    seq: u64,
}

impl Reader {
    pub(super) fn new(lane: Lane, from: u64) -> Result<Reader, LogError> {
        let reader = Reader { lane, next_seq: from, segment: None, entry: None, appended_at_ms: 0, synced: 0 };
        if let Found::Before(first) = reader.lane.inner.find(from) {
            reader.refuse_delivered(first)?;
        }
        Ok(reader)
    }

    /// The seq that the next item begins with.
    pub fn position(&self) -> u64 {
        self.next_seq
    }

    /// The next row below the synced end; `None` if there is none yet.
    ///
    /// # Errors
    /// The file cannot be read, or the row was delivered and deleted. What is damaged is no error but an [`Item`].
    #[expect(
        clippy::should_implement_trait,
        reason = "it can yield again after None, and can fail: not what an iterator does"
    )]
    pub fn next(&mut self) -> Result<Option<Item>, LogError> {
        loop {
            if let Some(item) = self.next_of_entry() {
                return Ok(Some(item));
            }
            let synced = self.lane.synced();
            if self.next_seq >= synced {
                return Ok(None);
            }
            if let Some(item) = self.open_segment(synced)? {
                return Ok(Some(item));
            }
            if let Some(item) = self.next_entry(synced)? {
                return Ok(Some(item));
            }
        }
    }

    fn next_of_entry(&mut self) -> Option<Item> {
        loop {
            let entry = self.entry.as_mut()?;
            if entry.seq >= entry.head.next_seq() {
                self.entry = None;
                return None;
            }
            let Some(row) = format::decode_row(&entry.body, &mut entry.at) else {
                // Only a faulty writer makes one: its checksum is good.
                let next = entry.head.next_seq();
                self.entry = None;
                return Some(self.damaged(next, "an entry's rows do not fill it as its head says".to_owned()));
            };
            let seq = entry.seq;
            entry.seq += 1;
            if seq < self.next_seq {
                continue;
            }
            self.next_seq = seq + 1;
            let head = &entry.head;
            self.appended_at_ms = head.appended_at_ms;
            return Some(Item::Row(LogRow {
                seq,
                appended_at_ms: head.appended_at_ms,
                source: Source { log: self.lane.log(), lane: self.lane.lane(), epoch: head.epoch },
                content_type: head.content_type,
                key: row.key,
                value: row.value,
            }));
        }
    }

    /// Makes `self.segment` the one that holds `self.next_seq`.
    fn open_segment(&mut self, synced: u64) -> Result<Option<Item>, LogError> {
        if let Some(segment) = &mut self.segment {
            if segment.limit == u64::MAX && segment.first_seq != self.lane.inner.last_first() {
                segment.limit = self.lane.inner.limit_of(segment.first_seq);
            }
            if self.next_seq < segment.limit {
                return Ok(None);
            }
            self.segment = None;
        }
        let mut missing = None;
        loop {
            let (path, first_seq, limit, offset) = match self.lane.inner.find(self.next_seq) {
                Found::Segment { path, first_seq, limit, offset } => (path, first_seq, limit, offset),
                Found::Before(first) => {
                    self.refuse_delivered(first)?;
                    let next = first.unwrap_or(synced).min(synced);
                    return Ok(Some(self.damaged(next, "a segment is missing".to_owned())));
                }
            };
            let mut file = match SegmentFile::open(&path, self.lane.log(), self.lane.lane()) {
                Ok(file) => file,
                // Unlinked since, or by somebody else.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    if missing.as_ref() != Some(&path) {
                        missing = Some(path);
                        continue;
                    }
                    self.refuse_delivered(Some(limit))?;
                    return Ok(Some(
                        self.damaged(limit.min(synced), format!("segment `{}` is missing", path.display())),
                    ));
                }
                Err(source) => return Err(LogError::io("open", &path, source)),
            };
            let header = file.header().map_err(|source| LogError::io("read", &path, source))?.ok();
            if self.appended_at_ms == 0 {
                self.appended_at_ms = header.map_or_else(|| file.modified_ms(), |header| header.made_at_ms);
            }
            let unknown = Source { log: self.lane.log(), lane: self.lane.lane(), epoch: 0 };
            let source = header.map_or(unknown, |header| header.source);
            let source_known = header.is_some();
            self.synced = synced;
            self.segment = Some(Segment { file, first_seq, limit, at: offset, source, source_known });
            return Ok(None);
        }
    }

    /// Finds the entry of `self.next_seq`, or what is damaged in its place.
    fn next_entry(&mut self, synced: u64) -> Result<Option<Item>, LogError> {
        let wanted = self.next_seq;
        let Some(segment) = &mut self.segment else { return Ok(None) };
        let fail = |source| LogError::io("read a segment in", &self.lane.inner.folder, source);
        if self.synced != synced {
            segment.file.forget();
            self.synced = synced;
        }
        let end = segment.limit.min(synced);
        let at = segment.at;
        match segment.file.head(at).map_err(fail)? {
            Some(head) if head.first_seq < end => {
                if head.next_seq() <= wanted {
                    segment.at = at + head.entry_bytes();
                    return Ok(None);
                }
                if head.first_seq > wanted {
                    return Ok(Some(self.damaged(head.first_seq, format!("the entry at byte {at} begins later"))));
                }
                segment.source.epoch = head.epoch;
                segment.source_known = true;
                match segment.file.check(at, &head).map_err(fail)? {
                    Body::Whole => {
                        let body = segment.file.body(at, &head).map_err(fail)?;
                        segment.at = at + head.entry_bytes();
                        self.entry = Some(Entry { head, body, at: 0, seq: head.first_seq });
                        Ok(None)
                    }
                    body => {
                        segment.at = at + head.entry_bytes();
                        self.appended_at_ms = head.appended_at_ms;
                        let why = if body == Body::Short { "is cut" } else { "does not match its checksum" };
                        let why = format!("the body of the entry at byte {at} {why}");
                        Ok(Some(self.damaged(head.next_seq().min(end), why)))
                    }
                }
            }
            Some(_) => Ok(Some(self.damaged(end, format!("rows are missing at byte {at}")))),
            None => {
                let accept = |head: &EntryHead| head.next_seq() > wanted && head.first_seq < end;
                match segment.file.resync(at + 1, accept).map_err(fail)? {
                    Some((found, head)) => {
                        segment.at = found;
                        if !segment.source_known {
                            segment.source.epoch = head.epoch;
                        }
                        if head.first_seq <= wanted {
                            return Ok(None);
                        }
                        self.appended_at_ms = self.appended_at_ms.min(head.appended_at_ms);
                        Ok(Some(self.damaged(head.first_seq, format!("bytes {at} to {found} are no entry"))))
                    }
                    None => Ok(Some(self.damaged(end, format!("nothing after byte {at} is an entry")))),
                }
            }
        }
    }

    /// The rows up to `next` cannot be read.
    fn damaged(&mut self, next: u64, why: String) -> Item {
        let seq = self.next_seq;
        self.next_seq = next;
        let (source, place) = match &self.segment {
            Some(segment) => (segment.source, format!("segment {:020}: ", segment.first_seq)),
            None => (Source { log: self.lane.log(), lane: self.lane.lane(), epoch: 0 }, String::new()),
        };
        Item::Damaged { seq, next, appended_at_ms: self.appended_at_ms, source, why: format!("{place}{why}") }
    }

    /// Rows below the cursor whose segments are gone are no damage: whoever asks for them is late.
    fn refuse_delivered(&self, first: Option<u64>) -> Result<(), LogError> {
        if self.next_seq >= self.lane.cursor() {
            return Ok(());
        }
        Err(LogError::Gone {
            topic: self.lane.topic().to_owned(),
            lane: self.lane.lane(),
            seq: self.next_seq,
            first: first.unwrap_or_else(|| self.lane.synced()),
        })
    }
}
