//! The lanes of the local logs as a source: no spool, no network, nothing to wait for. Offsets are the log's seqs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Before, Bounds, Damaged, Event, Message, Messages, PartitionId, Progress, Source, SourceError};
use crate::log::{Item, Lane, Logs, Reader};

/// Every lane of every log; new lanes are assigned as they appear.
pub struct Lanes {
    logs: Logs,
    /// Only those of these topics.
    only: Option<BTreeSet<String>>,
    /// The logs' generation that was looked at last.
    seen: u64,
    lanes: BTreeMap<PartitionId, State>,
}

struct State {
    lane: Lane,
    /// Everything below it is stored; `None` before the first seek: nobody collects yet.
    collected_from: Option<u64>,
    /// Rows below it were told of.
    told: u64,
}

impl Lanes {
    pub fn new(logs: Logs) -> Lanes {
        Lanes { logs, only: None, seen: 0, lanes: BTreeMap::new() }
    }

    /// Only the lanes of these topics.
    pub fn of_topics(logs: Logs, topics: impl IntoIterator<Item = String>) -> Lanes {
        Lanes { only: Some(topics.into_iter().collect()), ..Lanes::new(logs) }
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for lane in self.logs.lanes() {
            if self.only.as_ref().is_some_and(|only| !only.contains(lane.topic())) {
                continue;
            }
            let log = lane.log().simple().to_string();
            let partition =
                PartitionId { topic: lane.topic().into(), origin: log.as_str().into(), partition: lane.lane() };
            if self.lanes.contains_key(&partition) {
                continue;
            }
            let bounds = bounds_of(&lane);
            events.push(Event::Assigned { partition: partition.clone(), bounds });
            self.lanes.insert(partition, State { lane, collected_from: None, told: 0 });
        }
        for (partition, state) in &mut self.lanes {
            let Some(from) = state.collected_from else { continue };
            let synced = state.lane.synced();
            if synced > state.told && synced > from {
                state.told = synced;
                let progress = Progress {
                    partition: partition.clone(),
                    next: synced,
                    messages: synced - from,
                    bytes: state.lane.bytes_between(from, synced),
                };
                events.push(Event::Message(progress));
            }
        }
        events
    }

    fn state(&mut self, partition: &PartitionId) -> Result<&mut State, SourceError> {
        let unknown =
            || SourceError::Other(format!("no lane {} of log {} is assigned", partition.partition, partition.origin));
        self.lanes.get_mut(partition).ok_or_else(unknown)
    }
}

impl Source for Lanes {
    fn poll(&mut self, wait: Duration) -> Result<Vec<Event>, SourceError> {
        let events = self.events();
        if !events.is_empty() || wait.is_zero() {
            return Ok(events);
        }
        self.seen = self.logs.wait(self.seen, wait);
        Ok(self.events())
    }

    fn seek(&mut self, partition: &PartitionId, offset: u64) -> Result<(), SourceError> {
        let state = self.state(partition)?;
        state.collected_from = Some(offset);
        state.told = offset;
        Ok(())
    }

    fn read(&mut self, partition: &PartitionId, from: u64, to: u64) -> Result<Box<dyn Messages>, SourceError> {
        let state = self.state(partition)?;
        let reader = state.lane.reader(from).map_err(|error| unreadable(partition, from, &error))?;
        Ok(Box::new(Rows { partition: partition.clone(), reader, from, to, source: None }))
    }

    fn commit(&mut self, partition: &PartitionId, next: u64) -> Result<(), SourceError> {
        let state = self.state(partition)?;
        state.collected_from = Some(next);
        state.lane.advance(next);
        Ok(())
    }

    fn bounds(&mut self, partition: &PartitionId) -> Result<Option<Bounds>, SourceError> {
        Ok(Some(bounds_of(&self.state(partition)?.lane)))
    }

    fn end(&self, partition: &PartitionId) -> Option<u64> {
        self.lanes.get(partition).map(|state| state.lane.synced())
    }

    fn is_own_log(&self) -> bool {
        true
    }

    fn record_before(&mut self, partition: &PartitionId, next: u64) -> Result<Before, SourceError> {
        let Some(seq) = next.checked_sub(1) else { return Ok(Before::Unknown) };
        let lane = &self.state(partition)?.lane;
        if seq >= lane.synced() {
            return Ok(Before::NotThere);
        }
        // What lies below the cursor was stored by this log, and its segment may be gone. The rest is there, or there is something to see to.
        let delivered = seq < lane.cursor();
        let found = self.read(partition, seq, next).and_then(|mut rows| rows.next());
        match found {
            Ok(Some(message)) if message.offset == seq => Ok(Before::Known(message)),
            _ if delivered => Ok(Before::Unknown),
            Ok(_) => Err(SourceError::Other(format!(
                "row {seq} of log {} lane {} cannot be compared with the last one of a file in the store",
                partition.topic, partition.partition
            ))),
            Err(error) => Err(error),
        }
    }
}

fn bounds_of(lane: &Lane) -> Bounds {
    // The cursor first: it is never beyond what is synced.
    let cursor = lane.cursor();
    Bounds {
        start: cursor,
        end: lane.synced(),
        topic_id: lane.log().simple().to_string(),
        hint: (cursor > 0).then_some(cursor),
    }
}

/// The rows of one lane in `from..to`, as messages.
struct Rows {
    partition: PartitionId,
    reader: Reader,
    from: u64,
    to: u64,
    /// The last row's source and its text: it changes once per start of a process.
    source: Option<(crate::log::Source, Arc<str>)>,
}

impl Rows {
    fn source(&mut self, source: crate::log::Source) -> Arc<str> {
        match &self.source {
            Some((last, text)) if *last == source => text.clone(),
            _ => {
                let text: Arc<str> = source.to_string().into();
                self.source = Some((source, text.clone()));
                text
            }
        }
    }
}

impl Messages for Rows {
    fn next(&mut self) -> Result<Option<Message>, SourceError> {
        if self.from >= self.to {
            return Ok(None);
        }
        let item = self.reader.next().map_err(|error| unreadable(&self.partition, self.from, &error))?;
        let message = match item {
            None => return Ok(None),
            Some(Item::Row(row)) => Message {
                offset: row.seq,
                timestamp_ms: row.appended_at_ms,
                // The clock of the machine that wrote it.
                create_time: true,
                key: row.key,
                value: Some(row.value),
                content_type: row.content_type,
                source: Some(self.source(row.source)),
                seq: Some(row.seq),
                damaged: None,
            },
            Some(Item::Damaged { seq, next, appended_at_ms, source, why }) => Message {
                offset: seq,
                timestamp_ms: appended_at_ms,
                create_time: true,
                key: None,
                value: None,
                content_type: crate::record::ContentType::Json,
                source: Some(self.source(source)),
                seq: Some(seq),
                damaged: Some(Damaged { next, is_position: true, why }),
            },
        };
        self.from = message.damaged.as_ref().map_or(message.offset + 1, |damaged| damaged.next);
        Ok((message.offset < self.to).then_some(message))
    }
}

fn unreadable(partition: &PartitionId, seq: u64, error: &dyn std::error::Error) -> SourceError {
    let mut why = error.to_string();
    if let Some(cause) = error.source() {
        why = format!("{why}: {cause}");
    }
    SourceError::Other(format!(
        "failed to read log {} lane {} at row {seq}: {why}",
        partition.topic, partition.partition
    ))
}
