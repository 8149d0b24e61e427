//! The publisher's thread: feeds the producer from the lanes in turns, moves the cursors, heals what failed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fail::fail_point;
use rdkafka::config::ClientConfig;

use super::client::{ClientLog, ProblemSlot, lock};
use super::lane::{Fed, LaneFeed};
use super::producer::{self, Producer, Reports};
use super::topics::{self, TopicAnswer};
use super::{LaneStatus, PublishError, PublisherStatus, Shared, Wanted, findings, pins, wanted};
use crate::config;
use crate::log::Logs;

/// How often a lane's cursor is persisted while it moves; each time costs an fsync.
const ADVANCE_EVERY: Duration = Duration::from_millis(500);
/// Reports that are waited for at once: a queue that was full has room for a turn then, and nobody is woken for each message.
const SETTLED_AT_ONCE: u64 = 256;
/// How long they are waited for.
const SETTLED_WAIT: Duration = Duration::from_millis(10);
/// How often the status is refreshed.
const STATUS_EVERY: Duration = Duration::from_millis(100);
/// Waits between attempts at what failed: doubled each time, up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// Doubling waits.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
    until: Option<Instant>,
}

impl Backoff {
    pub(super) fn failed(&mut self) {
        let wait = RETRY_FIRST.saturating_mul(1 << self.tries.min(10)).min(RETRY_LONGEST);
        self.tries += 1;
        self.until = Some(Instant::now() + wait);
    }

    pub(super) fn worked(&mut self) {
        *self = Backoff::default();
    }

    pub(super) fn due(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() >= until)
    }
}

/// What is known of one topic.
#[derive(Default)]
struct Topic {
    /// The partition count that decides where lanes go; set once, for good.
    pinned: Option<u32>,
    /// The brokers said that the pinned partitions exist.
    confirmed: bool,
    /// What was said of its settings: each once.
    said: Vec<String>,
    backoff: Backoff,
    problem: ProblemSlot,
}

pub(super) struct Run {
    kafka: config::Kafka,
    wanted: Wanted,
    producer_bytes: u64,
    client_config: ClientConfig,
    log_dir: PathBuf,
    logs: Logs,
    shared: Arc<Shared>,
    client_log: Arc<ClientLog>,
    problem: Arc<ProblemSlot>,
    producer: Option<Producer>,
    reports: Arc<Reports>,
    rebuilds: u64,
    rebuild: Backoff,
    lanes: Vec<LaneFeed>,
    topics: BTreeMap<String, Topic>,
    turn: usize,
    log_generation: u64,
    settled: u64,
    advanced_at: Instant,
    status_at: Option<Instant>,
}

impl Run {
    pub(super) fn new(
        kafka: config::Kafka,
        producer_bytes: u64,
        log_dir: PathBuf,
        logs: Logs,
        shared: Arc<Shared>,
    ) -> Result<Run, PublishError> {
        let client_config = producer::config(&kafka, producer_bytes);
        let client_log = Arc::new(ClientLog::new("producer", &kafka));
        let problem = Arc::new(ProblemSlot::default());
        let reports = Reports::new(Arc::clone(&client_log), Arc::clone(&problem));
        let producer = Some(Producer::start(&client_config, Arc::clone(&reports))?);
        Ok(Run {
            wanted: wanted(&kafka),
            kafka,
            producer_bytes,
            client_config,
            log_dir,
            logs,
            shared,
            client_log,
            problem,
            producer,
            reports,
            rebuilds: 0,
            rebuild: Backoff::default(),
            lanes: Vec::new(),
            topics: BTreeMap::new(),
            turn: 0,
            log_generation: 0,
            settled: 0,
            advanced_at: Instant::now(),
            status_at: None,
        })
    }

    pub(super) fn run(mut self) {
        loop {
            self.adopt_lanes();
            self.heal();
            self.look_at_a_topic();
            let moved = self.feed();
            self.advance(ADVANCE_EVERY);
            self.show(STATUS_EVERY);
            let stop = *lock(&self.shared.stop);
            if stop.is_some_and(|deadline| Instant::now() >= deadline || self.everything_is_delivered()) {
                break;
            }
            if !moved {
                self.wait();
            }
        }
        self.advance(Duration::ZERO);
        self.producer = None;
        self.advance(Duration::ZERO);
        self.show(Duration::ZERO);
    }

    /// New topics bring new lanes.
    fn adopt_lanes(&mut self) {
        let lanes = self.logs.lanes();
        if lanes.len() == self.lanes.len() {
            return;
        }
        for lane in lanes {
            let known = self.lanes.iter().any(|l| l.is(&lane));
            if !known {
                self.topics.entry(lane.topic().to_owned()).or_default();
                let feed = LaneFeed::new(lane, self.lanes.len());
                self.reports.add(feed.window());
                self.lanes.push(feed);
            }
        }
    }

    /// Why the producer is of no more use: a fatal error, or it has had no answer for so long that it must not send by itself what was under way.
    fn producer_is_done(&self) -> Option<String> {
        if let Some(why) = self.producer.as_ref()?.fatal_error() {
            return Some(format!("the kafka producer failed for good: {why}"));
        }
        self.lanes.iter().find_map(|lane| lane.waits_too_long(self.kafka.resend_window))
    }

    /// A new producer, and every lane again from its cursor.
    fn heal(&mut self) {
        if let Some(why) = self.producer_is_done() {
            tracing::warn!("{why}; a new producer sends again from the cursors");
            self.problem.set(why);
            self.producer = None;
            self.reports = Reports::new(Arc::clone(&self.client_log), Arc::clone(&self.problem));
            for lane in &mut self.lanes {
                self.reports.add(lane.restart());
            }
            self.settled = 0;
            self.rebuilds += 1;
            self.rebuild.failed();
        }
        if self.producer.is_none() && self.rebuild.due() {
            match Producer::start(&self.client_config, Arc::clone(&self.reports)) {
                Ok(producer) => self.producer = Some(producer),
                Err(error) => {
                    tracing::warn!(%error, "failed to make a new kafka producer");
                    self.rebuild.failed();
                }
            }
        }
    }

    /// Settles one topic whose partitions are not confirmed: one a turn, since an answer may take a second.
    fn look_at_a_topic(&mut self) {
        let Some(producer) = &self.producer else { return };
        let Some((name, topic)) = self.topics.iter_mut().find(|(_, t)| !t.confirmed && t.backoff.due()) else { return };
        let folder = self.log_dir.join(name);
        if topic.pinned.is_none() {
            match pins::load(&folder) {
                Ok(pinned) => topic.pinned = pinned,
                Err(error) => return topic.wait_for(&error.to_string()),
            }
        }
        match topics::ask(producer.client(), name) {
            TopicAnswer::Partitions { count, replicas } => {
                let pinned = topic.pinned.unwrap_or(count);
                if count < pinned {
                    return topic.wait_for(&format!(
                        "topic `{name}` has {count} partitions and had {pinned} when its lanes were pinned; add partitions, or stop weir and \
                         remove {}/partitions.json if the topic was made anew",
                        folder.display()
                    ));
                }
                // Lanes that are pinned stay where they are, whatever partitions there are.
                let places = if topic.pinned.is_some() { u32::MAX } else { count };
                match topics::describe(&self.kafka, name) {
                    Ok(settings) => {
                        let found = findings(name, places, replicas, &settings, &self.wanted);
                        if let Some(reason) = found.iter().find(|found| found.refuse) {
                            return topic.wait_for(&reason.to_string());
                        }
                        found.iter().for_each(|found| topic.say(&found.to_string()));
                    }
                    Err(why) => topic.say(&format!("the settings of topic `{name}` could not be checked: {why}")),
                }
                if topic.pinned.is_none()
                    && let Err(error) = pins::save(&folder, pinned)
                {
                    return topic.wait_for(&error.to_string());
                }
                topic.pinned = Some(pinned);
                topic.confirmed = true;
                topic.backoff.worked();
                topic.problem.clear();
                for lane in self.lanes.iter_mut().filter(|l| l.topic() == name) {
                    lane.place(pinned);
                }
                tracing::info!(topic = %name, partitions = count, pinned, "publishing to topic `{name}`");
            }
            TopicAnswer::Missing => match self.kafka.create_topics {
                Some(how) => match topics::create(&self.kafka, name, how, &self.wanted) {
                    Ok(()) => {
                        tracing::info!(topic = %name, partitions = how.partitions, "created topic `{name}`");
                        topic.backoff.failed(); // its partitions take a moment to have leaders
                    }
                    Err(why) => topic.wait_for(&format!("failed to create topic `{name}`: {why}")),
                },
                None => topic.wait_for(&format!(
                    "topic `{name}` does not exist; set `kafka.create_topics`, or create it: {}",
                    topics::create_command(name, &self.wanted)
                )),
            },
            TopicAnswer::Unknown(why) => topic.wait_for(&why),
            // The client knows more exactly why nobody answers.
            TopicAnswer::None(why) => topic.wait_for(&self.problem.get().map_or(why, |problem| problem.message)),
        }
    }

    /// One turn over all lanes; returns whether anything was sent.
    fn feed(&mut self) -> bool {
        let Some(producer) = &self.producer else { return false };
        // A topic that does not take its messages may hold its share of the queue, not all of it.
        let share = (self.producer_bytes / 2 / self.lanes.len().max(1) as u64).max(1 << 20);
        let mut moved = false;
        // Each turn begins with another lane, so that a full queue does not always stop at the same one.
        let count = self.lanes.len();
        self.turn = self.turn.wrapping_add(1);
        for step in 0..count {
            let lane = &mut self.lanes[(self.turn % count + step) % count];
            let Some(topic) = self.topics.get_mut(lane.topic()) else { continue };
            if !topic.confirmed {
                continue;
            }
            if let Some(pinned) = topic.pinned.filter(|_| lane.partition().is_none()) {
                lane.place(pinned);
            }
            match lane.feed(producer, share, &self.kafka) {
                Fed::Sent => {
                    fail_point!("publish_sent");
                    moved = true;
                }
                Fed::Nothing => {}
                Fed::QueueFull => break,
                Fed::Refused => topic.confirmed = false,
            }
        }
        moved
    }

    fn advance(&mut self, every: Duration) {
        if self.advanced_at.elapsed() >= every {
            self.advanced_at = Instant::now();
            for lane in &mut self.lanes {
                if lane.advance(self.kafka.resend_window) {
                    self.rebuild.worked();
                    self.problem.clear();
                }
            }
        }
    }

    fn everything_is_delivered(&self) -> bool {
        self.lanes.iter().all(LaneFeed::is_done)
    }

    fn show(&mut self, every: Duration) {
        if self.status_at.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        self.status_at = Some(Instant::now());
        let lanes: Vec<LaneStatus> = self
            .lanes
            .iter()
            .map(|lane| {
                let topic_problem = self.topics.get(lane.topic()).and_then(|t| t.problem.get());
                lane.status(topic_problem)
            })
            .collect();
        *lock(&self.shared.status) = PublisherStatus { problem: self.problem.get(), rebuilds: self.rebuilds, lanes };
    }

    /// Waits for reports while something is in flight, else for the log.
    fn wait(&mut self) {
        if self.lanes.iter().any(LaneFeed::has_something_to_settle) {
            self.settled = self.reports.wait(self.settled, SETTLED_AT_ONCE, SETTLED_WAIT);
        } else {
            self.log_generation = self.logs.wait(self.log_generation, Duration::from_millis(100));
        }
    }
}

impl Topic {
    /// Says something that holds nothing up.
    fn say(&mut self, what: &str) {
        if !self.said.iter().any(|said| said == what) {
            tracing::warn!("{what}");
            self.said.push(what.to_owned());
        }
    }

    fn wait_for(&mut self, why: &str) {
        if self.problem.get().is_none_or(|p| p.message != why) {
            tracing::warn!("{why}");
        }
        self.problem.set(why);
        self.backoff.failed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        assert!(backoff.due());
        for _ in 0..40 {
            backoff.failed();
            assert!(!backoff.due());
        }
        let left = backoff.until.unwrap().duration_since(Instant::now());
        assert!(left <= RETRY_LONGEST);
        backoff.worked();
        assert!(backoff.due());
    }
}
