//! Membership in the consumer group: it says which partitions are this drain's.
//!
//! A client of its own that fetches nothing: it is never given a position, the other client is moved by hand. So a rebalance disturbs no partition
//! that stays, whatever the protocol, and what librdkafka does to its own assignment meanwhile does not matter. The consume thread polls it, so that a
//! drain whose reading hangs loses its membership after `max.poll.interval.ms`, and the others take over. Being wrong for a while is safe: the
//! object is the commit.
//!
//! A member is static by default (`group.instance.id` from a file in the data folder): a process that is started again, also after a kill, gets
//! its partitions back at once, instead of after the session's timeout.
//!
//! The coordinator says "fenced" of a name that somebody else has: a data folder was copied, and the older of two drains goes on under no name. It
//! says the same to a drain that joined again after its session had ended (it was paused, or cut off) of whatever it sent as the member that it was
//! before. So nothing is committed between two sessions, and what is fenced then all the same keeps its name for one more try.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::consume::Context;
use crate::config::Kafka;
use crate::publish::{ProblemSlot, lock};
use crate::source::PartitionId;

const INSTANCE_ID: &str = "group.instance.id";
/// Events served in one turn.
const TURN_MAX: usize = 16;

/// What the coordinator said, in the order in which it did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// `whole`: nothing else is this member's.
    Given { whole: bool, partitions: BTreeSet<PartitionId> },
    /// `lost`: others may have them already.
    Taken { whole: bool, lost: bool, partitions: BTreeSet<PartitionId> },
}

/// Filled by the callback, taken by the thread that polls.
#[derive(Default)]
pub(super) struct Changes(Mutex<Vec<Change>>);

impl Changes {
    /// The callback. It confirms at once, with an assignment of nothing: which partitions are fetched is not this client's matter.
    pub(super) fn rebalance(&self, consumer: &BaseConsumer<Context>, err: RDKafkaRespErr, list: &TopicPartitionList) {
        let whole = !matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let (partitions, nothing) = (ids(list), TopicPartitionList::new());
        let (change, confirmed) = if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let confirmed = if whole { consumer.assign(&nothing) } else { consumer.incremental_assign(&nothing) };
            (Change::Given { whole, partitions }, confirmed)
        } else {
            // Confirming clears it.
            let lost = consumer.assignment_lost();
            let confirmed = if whole { consumer.unassign() } else { consumer.incremental_unassign(&nothing) };
            (Change::Taken { whole, lost, partitions }, confirmed)
        };
        if let Err(error) = confirmed {
            tracing::warn!(%error, "failed to answer the consumer group");
        }
        lock(&self.0).push(change);
    }

    fn take(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.0))
    }
}

fn ids(list: &TopicPartitionList) -> BTreeSet<PartitionId> {
    let id = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        let topic: Arc<str> = Arc::from(element.topic());
        Some(PartitionId { origin: Arc::clone(&topic), topic, partition: u32::try_from(element.partition()).ok()? })
    };
    list.elements().iter().filter_map(id).collect()
}

/// What is this drain's, as far as the group has said.
#[derive(Default)]
struct Owned {
    partitions: BTreeSet<PartitionId>,
    /// All of it was taken, and who has it is to come. Until then it is read on: an eager protocol takes everything before it gives most of it back,
    /// and after an outage of the brokers all members are given anew what they had. What is at hand need not be read a second time.
    open: bool,
    /// The session ended, and nothing was given since.
    lost: bool,
    /// It was fenced since, and keeps its name.
    tried_again: bool,
}

/// Whose a name is of which the coordinator says that it is not this member's.
#[derive(Debug, PartialEq, Eq)]
enum Fenced {
    /// Another drain's.
    ByAnother,
    /// Its own, of a session that had ended.
    BetweenSessions,
}

impl Owned {
    /// Called before what the coordinator said meanwhile is applied: a loss that the fencing itself causes is none.
    fn fenced(&mut self) -> Fenced {
        let own = self.lost && !self.tried_again;
        self.tried_again |= own;
        if own { Fenced::BetweenSessions } else { Fenced::ByAnother }
    }

    /// Whether what is owned is settled for now.
    fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Given { whole, partitions } => {
                if whole || self.open {
                    self.partitions.clear();
                    self.open = false;
                }
                (self.lost, self.tried_again) = (false, false);
                self.partitions.extend(partitions);
                return true;
            }
            Change::Taken { whole, lost, .. } if whole || lost => {
                self.open = true;
                self.lost |= lost;
            }
            Change::Taken { partitions, .. } => self.partitions.retain(|id| !partitions.contains(id)),
        }
        false
    }
}

pub(super) struct Member {
    kafka: Kafka,
    problem: Arc<ProblemSlot>,
    config: ClientConfig,
    consumer: BaseConsumer<Context>,
    topics: BTreeSet<String>,
    owned: Owned,
}

impl Member {
    /// `config` is the other client's.
    pub(super) fn new(kafka: &Kafka, problem: Arc<ProblemSlot>, config: ClientConfig) -> KafkaResult<Member> {
        let consumer = BaseConsumer::from_config_and_context(&config, Context::new(kafka, Arc::clone(&problem)))?;
        Ok(Member { kafka: kafka.clone(), problem, config, consumer, topics: BTreeSet::new(), owned: Owned::default() })
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<Context> {
        &self.consumer
    }

    /// Whether the coordinator knows it as a member whose commits count: not while it is between two sessions.
    pub(super) fn may_commit(&self) -> bool {
        !self.owned.open
    }

    pub(super) fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    /// Asks for a share of these topics.
    pub(super) fn subscribe(&mut self, topics: BTreeSet<String>) -> KafkaResult<()> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&names)?;
        self.topics = topics;
        Ok(())
    }

    /// Serves the group; the partitions that are this drain's and whether the group has settled, if anything was said of it.
    pub(super) fn turn(&mut self) -> Option<(&BTreeSet<PartitionId>, bool)> {
        for _ in 0..TURN_MAX {
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(error)) => tracing::debug!(%error, "consumer group"),
                // It has no positions, so there is no message.
                Some(Ok(_)) => {}
                None => break,
            }
        }
        let failed = self.consumer.client().fatal_error();
        if let Some((code, why)) = &failed {
            self.start_anew(*code, why);
            self.owned.open = true;
        }
        let changes = self.consumer.context().changes.take();
        if changes.is_empty() && failed.is_none() {
            return None;
        }
        let mut settled = false;
        for change in changes {
            match &change {
                Change::Given { partitions, .. } if partitions.is_empty() => {}
                Change::Given { partitions, .. } => tracing::info!(
                    topics = tell(partitions),
                    "the consumer group gives {} partitions to this drain",
                    partitions.len()
                ),
                Change::Taken { lost, partitions, .. } => tracing::info!(
                    topics = tell(partitions),
                    lost,
                    "the consumer group takes {} partitions from this drain",
                    partitions.len()
                ),
            }
            settled = self.owned.apply(change);
        }
        Some((&self.owned.partitions, settled))
    }

    /// A client with a fatal error is of no more use. If another drain has the instance id, it goes on with it, and this one joins without.
    /// If it cannot subscribe, it has no topics, and who asks for some ([`Shared::wished`](super::shared::Shared::wished)) does so again.
    fn start_anew(&mut self, code: RDKafkaErrorCode, why: &str) {
        let name = self.config.get(INSTANCE_ID).unwrap_or_default();
        match (code == RDKafkaErrorCode::FencedInstanceId).then(|| self.owned.fenced()) {
            Some(Fenced::BetweenSessions) => tracing::info!(
                "this drain's session in the consumer group had ended (it was paused, or cut off from the brokers), and what it still said as \
                 `{name}` came too late: it joins anew under the same name"
            ),
            Some(Fenced::ByAnother) => {
                tracing::warn!(
                    "another drain joined the consumer group as `{name}`: is the data folder a copy, or `kafka.consumer: {INSTANCE_ID}` the \
                     same for both? This one goes on under no name, and others wait for it longer after a restart"
                );
                self.config.remove(INSTANCE_ID);
            }
            None => tracing::warn!(%code, "the consumer group's client failed, making a new one: {why}"),
        }
        let context = Context::new(&self.kafka, Arc::clone(&self.problem));
        let made = BaseConsumer::from_config_and_context(&self.config, context);
        let joined = made.and_then(|consumer| {
            self.consumer = consumer;
            let topics = std::mem::take(&mut self.topics);
            self.subscribe(topics)
        });
        if let Err(error) = joined {
            self.problem.set(format!("failed to join the consumer group again: {error}"));
        }
    }
}

/// Partitions by topic, for a log line.
fn tell(partitions: &BTreeSet<PartitionId>) -> String {
    let mut topics: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for id in partitions {
        topics.entry(&id.topic).or_default().push(id.partition.to_string());
    }
    topics.iter().map(|(topic, numbers)| format!("{topic}/{}", numbers.join(","))).collect::<Vec<_>>().join(" ")
}

/// The instance id of this data folder's drain, made at the first call.
fn instance_id(file: &Path) -> io::Result<String> {
    let known = match fs::read_to_string(file) {
        Ok(text) => uuid::Uuid::parse_str(text.trim()).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let id = match known {
        Some(id) => id,
        None => {
            let id = uuid::Uuid::new_v4();
            let aside = file.with_extension("new");
            fs::write(&aside, format!("{id}\n"))?;
            fs::rename(&aside, file)?;
            id
        }
    };
    Ok(format!("weir-{id}"))
}

/// The properties of a member: static, unless the configuration names the instance itself.
pub(super) fn member_config(mut config: ClientConfig, file: &Path) -> io::Result<ClientConfig> {
    if config.get(INSTANCE_ID).is_none() {
        config.set(INSTANCE_ID, instance_id(file)?);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[u32]) -> BTreeSet<PartitionId> {
        numbers.iter().map(|n| PartitionId { topic: "t".into(), origin: "t".into(), partition: *n }).collect()
    }

    fn given(whole: bool, numbers: &[u32]) -> Change {
        Change::Given { whole, partitions: set(numbers) }
    }

    fn taken(whole: bool, lost: bool, numbers: &[u32]) -> Change {
        Change::Taken { whole, lost, partitions: set(numbers) }
    }

    #[test]
    fn a_cooperative_group_moves_only_what_moves() {
        let mut owned = Owned::default();
        assert!(owned.apply(given(false, &[0, 1, 2])));
        assert!(!owned.apply(taken(false, false, &[1])));
        assert_eq!(owned.partitions, set(&[0, 2]));
        assert!(owned.apply(given(false, &[])));
        assert_eq!(owned.partitions, set(&[0, 2]));
    }

    #[test]
    fn an_eager_group_keeps_what_it_gives_back() {
        let mut owned = Owned { partitions: set(&[0, 1]), ..Owned::default() };
        assert!(!owned.apply(taken(true, false, &[0, 1])));
        assert_eq!(owned.partitions, set(&[0, 1]), "read on until it is known who has it");
        assert!(owned.apply(given(true, &[1, 2])));
        assert_eq!(owned.partitions, set(&[1, 2]));
    }

    #[test]
    fn what_was_lost_is_dropped_when_it_is_known_to_be_another_drains() {
        let mut owned = Owned { partitions: set(&[0, 1, 2]), ..Owned::default() };
        assert!(!owned.apply(taken(false, true, &[0, 1, 2])));
        assert_eq!(owned.partitions, set(&[0, 1, 2]));
        assert!(owned.apply(given(false, &[2, 3])));
        assert_eq!(owned.partitions, set(&[2, 3]));
        assert!(owned.apply(given(false, &[4])));
        assert_eq!(owned.partitions, set(&[2, 3, 4]), "only the first one after a loss is everything");
    }

    #[test]
    fn a_name_is_anothers_unless_the_session_had_ended_before() {
        let mut owned = Owned::default();
        owned.apply(given(false, &[0]));
        assert_eq!(owned.fenced(), Fenced::ByAnother);
        // A rebalance of an eager protocol ends no session.
        owned.apply(taken(true, false, &[0]));
        assert_eq!(owned.fenced(), Fenced::ByAnother);
        owned.apply(taken(false, true, &[0]));
        assert_eq!(owned.fenced(), Fenced::BetweenSessions);
        assert_eq!(owned.fenced(), Fenced::ByAnother, "it joined anew, and somebody has the name all the same");
        owned.apply(given(false, &[0]));
        assert_eq!(owned.fenced(), Fenced::ByAnother);
        owned.apply(taken(false, true, &[0]));
        assert_eq!(owned.fenced(), Fenced::BetweenSessions, "another session");
    }

    #[test]
    fn who_could_not_subscribe_anew_has_no_topics_and_is_asked_again() {
        let text =
            "version: 1\nroutes: { m: { upstream: 'http://127.0.0.1:1' } }\nkafka: { brokers: ['127.0.0.1:1'] }\n";
        let kafka = crate::config::Config::from_yaml("weir.yaml", text, &|_| None).unwrap().kafka.unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1").set("group.id", "g").set(INSTANCE_ID, "i");
        let mut member = Member::new(&kafka, Arc::default(), config).unwrap();
        let topics = BTreeSet::from(["t".to_owned()]);
        member.subscribe(topics.clone()).unwrap();
        member.owned.lost = true;
        member.start_anew(RDKafkaErrorCode::FencedInstanceId, "fenced");
        assert_eq!((member.topics(), member.config.get(INSTANCE_ID)), (&topics, Some("i")), "the name is its own");
        member.start_anew(RDKafkaErrorCode::FencedInstanceId, "fenced");
        assert_eq!(member.topics(), &topics);
        assert_eq!(member.config.get(INSTANCE_ID), None, "the name is another's");
        member.topics = BTreeSet::from([String::new()]); // no subscription that librdkafka takes
        member.start_anew(RDKafkaErrorCode::Fatal, "again");
        assert_eq!(member.topics(), &BTreeSet::new());
    }

    #[test]
    fn a_data_folder_keeps_its_instance_id() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("drain.id");
        let first = instance_id(&file).unwrap();
        assert_eq!(instance_id(&file).unwrap(), first);
        fs::write(&file, "not a uuid").unwrap();
        let second = instance_id(&file).unwrap();
        assert_ne!(second, first);
        assert_eq!(instance_id(&file).unwrap(), second);
    }
}
