//! Which of a lane's rows stand on its topic: known before anything is sent.
//!
//! What was sent and not acknowledged may have arrived. For a while that harms nothing: the broker knows its producer's last batches and drops them when
//! they come again, and the drain knows rows by `source` and `seq`. But the broker forgets a producer (`producer.id.expiration.ms`, a day) and the drain
//! forgets a source (`drain.resend_window`, seven days). In between the topic holds a message twice and the table a row once, as promised (at least
//! once into Kafka). Beyond the drain's window the row would be stored twice. So whoever may have rows on the topic that were sent longer ago than half of
//! it looks first: a process that starts, a lane whose message was refused all the time, and one whose producer has had no answer for that long
//! (`is_forgotten`: [`run`](super::run) ends that producer, which would send again by itself as soon as the brokers are back).
//!
//! A process that was stopped (SIGSTOP) for longer than that is no exception, though its producer may have its turn before this thread: what the producer
//! was to send again is by then older than it sends anything ([`gives_up_after`](super::gives_up_after)), and an answer that was on its way before the stop
//! says nothing of what was sent behind it ([`Trail::note`]).
//!
//! What stays: a machine that slept for longer than the whole window, whose clock of intervals stood still meanwhile, and whose producer reaches its
//! brokers again within the few milliseconds until this thread looks at the time of day.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::client::{ProblemSlot, lock};
use super::mark::{self, Mark, Trail};
use super::read_back::{self, Already, ReadBack};
use super::window::Window;
use crate::config;
use crate::log::Lane;

/// What one lane knows.
pub(super) struct Known {
    lane: Lane,
    problem: Arc<ProblemSlot>,
    /// What is on disk of the last acknowledgement; `None` until it was read.
    trail: Option<Trail>,
    /// A look that is under way.
    look: Option<Box<ReadBack>>,
    /// Rows that a look found on the topic: they are not sent again.
    already: Already,
}

impl Known {
    pub(super) fn new(lane: Lane, problem: Arc<ProblemSlot>) -> Known {
        Known { lane, problem, trail: None, look: None, already: Already::default() }
    }

    /// Whether the rows `seq..next` of this epoch were found on the topic.
    pub(super) fn holds(&self, epoch: u32, seq: u64, next: u64) -> bool {
        self.already.holds(epoch, seq, next)
    }

    /// Whether what is under way was sent so long ago that nobody knows it any more.
    pub(super) fn is_forgotten(&self, window: Duration) -> bool {
        self.trail.as_ref().is_some_and(|trail| trail.is_forgotten(now_ms(), window))
    }

    /// To be asked before anything is sent. `false`: not yet known, a look is under way.
    ///
    /// # Errors
    /// Why it cannot be known, for people; to be asked again after a while.
    pub(super) fn before_sending(
        &mut self,
        partition: u32,
        window: &Mutex<Window>,
        kafka: &config::Kafka,
    ) -> Result<bool, String> {
        let (span, now_ms) = (kafka.resend_window, now_ms());
        let (cursor, sent_until, under_way) = {
            let window = lock(window);
            (window.cursor(), window.sent_until(), window.unsettled() > 0)
        };
        if self.trail.is_none() {
            let mark =
                Mark::load(self.lane.folder()).map_err(|error| format!("failed to read {}: {error}", self.path()))?;
            self.trail = Some(Trail::new(mark));
        }
        let trail = self.trail.get_or_insert_default();
        // With something under way it is too late: see `is_forgotten`.
        let due = self.look.is_none() && !under_way && cursor < sent_until && trail.is_forgotten(now_ms, span);
        if let Some(mark) = trail.written().filter(|_| due) {
            let wanted = read_back::Wanted { log: self.lane.log(), lane: self.lane.lane(), cursor };
            let from = mark.offset_for(cursor);
            let reading = ReadBack::start(kafka, self.lane.topic(), partition, from, wanted)
                .map_err(|why| self.cannot_look(partition, &why))?;
            self.say_that_it_looks(&reading, partition);
            self.look = Some(Box::new(reading));
        }
        if let Some(reading) = &mut self.look {
            match reading.step() {
                Ok(None) => return Ok(false),
                Ok(Some(already)) => self.found(already, partition, now_ms),
                Err(why) => {
                    self.look = None;
                    return Err(self.cannot_look(partition, &why));
                }
            }
        }
        let nothing_sent = !under_way && cursor >= sent_until;
        let clean = nothing_sent && self.lane.persisted_cursor() >= cursor;
        let trail = self.trail.get_or_insert_default();
        if nothing_sent {
            trail.knows(now_ms);
        }
        match trail.before_sending(cursor, clean, now_ms, span) {
            Some(mark) => self.keep(mark).map(|()| true),
            None => Ok(true),
        }
    }

    /// Takes note of how far Kafka has acknowledged: the cursor and the offset behind which no row from there on can stand.
    pub(super) fn acknowledged(&mut self, mark: Option<(u64, u64)>, window: Duration) {
        let persisted = self.lane.persisted_cursor();
        if let (Some((seq, offset)), Some(trail)) = (mark, &mut self.trail)
            && let Some(mark) = trail.note(Mark { seq, offset, at_ms: now_ms() }, persisted, window)
        {
            // One is on disk already: without it nothing would have been sent.
            let (Ok(()) | Err(_)) = self.keep(mark);
        }
    }

    fn found(&mut self, already: Already, partition: u32, now_ms: i64) {
        tracing::info!(
            topic = self.lane.topic(),
            lane = self.lane.lane(),
            rows = already.count(),
            "looked at partition {partition}: {} of the lane's rows are on it already and are not sent again",
            already.count()
        );
        self.already = already;
        self.look = None;
        self.trail.get_or_insert_default().knows(now_ms);
        self.problem.clear();
    }

    /// Writes a mark. Where that fails an older one stays, which is as true. Without any the rows have to wait: a process that finds none
    /// takes it that nothing was ever sent.
    fn keep(&mut self, mark: Mark) -> Result<(), String> {
        let Err(error) = mark.save(self.lane.folder()) else {
            self.trail.get_or_insert_default().wrote(mark);
            return Ok(());
        };
        if self.trail.as_ref().is_some_and(|trail| trail.written().is_some()) {
            tracing::debug!(path = self.path(), %error, "failed to keep what was acknowledged last");
            return Ok(());
        }
        Err(format!(
            "failed to write {}: {error}; a lane says there what it sends before it sends for the first time, so its rows wait in the log. Check that \
             the folder is writable, and that the disk has space",
            self.path()
        ))
    }

    /// Where the lane's mark is.
    fn path(&self) -> String {
        self.lane.folder().join(mark::FILE).display().to_string()
    }

    fn say_that_it_looks(&self, reading: &ReadBack, partition: u32) {
        let (from, end) = reading.range();
        let (topic, lane) = (self.lane.topic(), self.lane.lane());
        let what = format!(
            "lane {lane} of `{topic}` was not acknowledged for long: looking at offsets {from} to {end} of partition {partition} for rows that \
             were sent before"
        );
        tracing::info!(topic, lane, "{what}");
        if reading.gone {
            tracing::warn!(
                topic,
                lane,
                "the topic has deleted messages that lane {lane} sent since its last acknowledgement (retention.ms): a row that was among them is \
                 sent again and stored twice"
            );
        }
        self.problem.set(what);
    }

    fn cannot_look(&self, partition: u32, why: &str) -> String {
        format!(
            "failed to look at partition {partition} of `{}` for rows that were sent before: {why}; this needs the right to read the topic. To go on \
             without it, and have them stored twice, stop weir and remove {}",
            self.lane.topic(),
            self.path()
        )
    }
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
