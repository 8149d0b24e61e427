//! What the store answered: a chain opened, a schema, a file created or found there.

use std::time::{Duration, Instant};

use fail::fail_point;

use super::super::chain::{Answer, Chain, Found, LastHere, Outcome, Pinned, Step};
use super::super::footer::Footer;
use super::super::jobs::{Done, Opened};
use super::super::names::ChainId;
use super::super::partition::Partition;
use super::super::status::LastFile;
use super::super::store::Kind;
use super::Runner;
use crate::source::{PartitionId, SourceError};
use crate::telemetry::Commit;

impl Runner {
    pub(super) fn take_answers(&mut self) {
        for (id, number, done) in self.jobs.take() {
            // An answer to an earlier assignment is void: the chain was looked up again since.
            let Some(mut partition) = self.partitions.remove(&id) else { continue };
            if partition.number == number {
                partition.answered_after = partition.asked_at.take().map_or(Duration::ZERO, |at| at.elapsed());
                self.answered(&id, &mut partition, done);
            }
            self.partitions.insert(id, partition);
        }
    }

    fn answered(&mut self, id: &PartitionId, partition: &mut Partition, done: Done) {
        match done {
            Done::NoOrigin => {
                partition.new_origin = true;
                partition.retry_at = self.all_known_at();
            }
            Done::Opened(opened) => self.opened(id, partition, *opened),
            Done::Schema { table, newest, grown } => {
                self.writer.learn(table, newest);
                if let Some((resume, _)) = &mut partition.writing {
                    resume.grown += u32::from(grown);
                    resume.fresh = true;
                }
            }
            Done::Created => self.settle(id, partition, Answer::New),
            Done::Exists(footer) => {
                let key = footer.key();
                match self.found(id, key, *footer) {
                    Ok(found) => self.settle(id, partition, Answer::Exists(Box::new(found))),
                    Err(error) => self.failed(id, partition, Kind::Retry, crate::telemetry::with_causes(&error)),
                }
            }
            Done::Superseded(newer) => {
                tracing::warn!("{id:?}: generation {newer} was made, going on there");
                // Looked up anew, with the new document.
                partition.chain = None;
                partition.sending = None;
            }
            Done::Refused(refusal) => self.failed(id, partition, Kind::Stop, refusal.to_string()),
            Done::FileLost(why) => {
                partition.sending = None;
                if let Some(chain) = partition.chain.as_mut().filter(|chain| matches!(chain.step(), Step::Create(_))) {
                    chain.file_lost();
                }
                self.failed(id, partition, Kind::Retry, why);
            }
            Done::Failed { kind, why } => {
                if partition.chain.as_ref().is_some_and(|chain| matches!(chain.step(), Step::Create(_))) {
                    self.settle(id, partition, Answer::Undecided);
                }
                self.failed(id, partition, kind, why);
            }
        }
    }

    fn found(&mut self, id: &PartitionId, key: String, footer: Footer) -> Result<Found, SourceError> {
        let last_here = LastHere::from(&self.source.record_before(id, footer.next)?);
        Ok(Found { key, footer, last_here })
    }

    fn opened(&mut self, id: &PartitionId, partition: &mut Partition, opened: Opened) {
        let Opened { doc, head, inherited } = opened;
        if doc.partitioning != self.config.store.partition {
            tracing::warn!(
                "`store.partition` is {:?}, table {} is pinned to {:?}: it stays so until a new generation",
                self.config.store.partition,
                doc.table,
                doc.partitioning
            );
        }
        let found = head.map(|(key, footer)| self.found(id, key, footer)).transpose();
        let known = found.and_then(|found| Ok((found, self.source.bounds(id)?)));
        let (found, bounds) = match known {
            Ok(known) => known,
            Err(error) => return self.failed(id, partition, Kind::Retry, crate::telemetry::with_causes(&error)),
        };
        // Only its end: start and hint are compared with the head as they were before it was looked for.
        let end = bounds.map(|bounds| bounds.end);
        partition.bounds.end = end.unwrap_or(0).max(partition.bounds.end);
        let pinned = Pinned {
            id: ChainId {
                table: doc.table.clone(),
                origin: doc.origin.clone(),
                generation: doc.generation,
                partition: id.partition,
            },
            partitioning: doc.partitioning,
            topic_id: doc.topic_id.clone(),
            start: doc.start(id.partition),
            older_end: doc.ended.get(&id.partition).copied().unwrap_or(0),
            created_ms: doc.created_ms,
            resend_window_ms: i64::try_from(self.config.drain.resend_window.as_millis()).unwrap_or(i64::MAX),
            inherited,
        };
        let schema = found.as_ref().map(|found| found.footer.schema);
        if let Some(found) =
            found.as_ref().filter(|found| partition.last_file.as_ref().is_none_or(|file| file.key != found.key))
        {
            partition.last_file = Some(LastFile::found(found.key.clone(), &found.footer));
        }
        let known =
            partition.chain.take().filter(|chain| *chain.id() == pinned.id && matches!(chain.step(), Step::FindHead));
        let mut chain = known.unwrap_or_else(|| Chain::new(pinned, partition.bounds.clone()));
        chain.ends(end);
        chain.head_found(found);
        match chain.step() {
            Step::Refused(refusal) => {
                let what = refusal.to_string();
                self.failed(id, partition, Kind::Stop, what);
            }
            Step::FindHead => {
                let random = self.random();
                partition.retry_at = Some(Instant::now() + partition.backoff.next(random));
            }
            _ => partition.worked(),
        }
        schema.inspect(|version| self.writer.schema_changed(&doc.table, *version));
        partition.chain = Some(chain);
    }

    /// The store's answer to the create in flight.
    fn settle(&mut self, id: &PartitionId, partition: &mut Partition, answer: Answer) {
        let Some(chain) = &mut partition.chain else { return };
        let Step::Create(sealed) = chain.step() else { return };
        let (messages, bytes, footer) = (sealed.messages, sealed.bytes, sealed.footer.clone());
        let adopted = match &answer {
            Answer::Exists(found) => Some(found.footer.clone()),
            Answer::New | Answer::Undecided => None,
        };
        let new = matches!(answer, Answer::New);
        let outcome = chain.answered(answer);
        let commit = match outcome {
            Outcome::Again => Commit::Error,
            Outcome::Stored if new => Commit::Created,
            Outcome::Stored => Commit::Ours,
            Outcome::Adopted => Commit::Adopted,
            Outcome::Refused => Commit::Conflict,
        };
        self.config.meters.commit(commit, partition.answered_after);
        let head = chain.head();
        let (next, key, table) = (head.next, head.key.clone().unwrap_or_default(), chain.id().table.clone());
        match outcome {
            Outcome::Again => {}
            Outcome::Stored => {
                let sending = partition.sending.take().expect("a create in flight has its file");
                partition.quarantined += footer.quarantined;
                self.config.meters.stored(sending.cause.word(), sending.file_bytes);
                tracing::info!(
                    rows = footer.rows,
                    bytes = sending.file_bytes,
                    cause = sending.cause.word(),
                    "stored `{key}`: offsets {}..{}",
                    footer.first,
                    footer.next
                );
                partition.last_file = Some(LastFile {
                    key,
                    rows: footer.rows,
                    bytes: Some(sending.file_bytes),
                    created_ms: footer.created_ms,
                    cause: Some(sending.cause),
                });
                partition.stored(messages, bytes, &sending);
                drop(sending);
                self.commit(id, next);
            }
            Outcome::Adopted => {
                tracing::info!("adopted `{key}`, which another drain stored: going on at {next}");
                partition.sending = None;
                let adopted = adopted.expect("what was adopted exists");
                partition.last_file = Some(LastFile::found(key, &adopted));
                self.writer.schema_changed(&table, adopted.schema);
                partition.worked();
            }
            Outcome::Refused => {
                partition.sending = None;
                if let Step::Refused(refusal) = chain.step() {
                    let what = refusal.to_string();
                    self.failed(id, partition, Kind::Stop, what);
                }
            }
        }
    }

    pub(super) fn commit(&mut self, id: &PartitionId, next: u64) {
        fail_point!("drain_before_commit");
        // A commit that is refused, say of an illegal generation.
        fail_point!("drain_commit_refused", |_| ());
        if let Err(error) = self.source.commit(id, next) {
            // A hint: the truth is the file.
            tracing::debug!("failed to commit {next} of {id:?}: {}", crate::telemetry::with_causes(&error));
        }
        fail_point!("drain_after_commit");
    }
}
