//! What keeps the log from taking calls now, or makes it slow: for the status, in words. Log lines say when it began; this says that it lasts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A write or a sync that takes longer is trouble: calls wait meanwhile, and are dropped when the queue is full.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// A topic that could not be made is tried again with its next call; without one nobody knows.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// One kind of trouble. In the order in which it is told: what the disk does comes before what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Of one lane of one topic.
    Write(String, u32),
    Sync(String, u32),
    /// A topic whose log cannot be made.
    Make(String),
    Slow,
    /// Less than `log.reserve_free` is left.
    DiskLow,
    /// `log.max_size` is reached.
    Full,
}

/// The present trouble of one log folder.
#[derive(Debug, Default)]
pub(super) struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    troubles: BTreeMap<Kind, Trouble>,
    /// Since when the disk is being asked.
    busy: Option<Instant>,
}

#[derive(Debug)]
struct Trouble {
    what: String,
    since: Instant,
    /// When it was said last.
    at: Instant,
}

/// The disk is at work; dropped when it has answered.
pub(super) struct Busy<'a>(&'a Health);

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        // Plain values, each whole at every moment a panic could leave it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It lasts from now on; while it does, only its words change.
    pub(super) fn set(&self, kind: Kind, what: String) {
        let mut state = self.state();
        let at = Instant::now();
        let since = state.troubles.get(&kind).map_or(at, |trouble| trouble.since);
        state.troubles.insert(kind, Trouble { what, since, at });
    }

    /// It is over.
    pub(super) fn clear(&self, kind: &Kind) {
        self.state().troubles.remove(kind);
    }

    pub(super) fn has(&self, kind: &Kind) -> bool {
        self.state().troubles.contains_key(kind)
    }

    /// The disk is asked from now on.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.state().busy = Some(Instant::now());
        Busy(self)
    }

    /// One line each.
    pub(super) fn words(&self, now: Instant) -> Vec<String> {
        let state = self.state();
        let lasting = |since: Instant| now.saturating_duration_since(since).as_secs();
        let said = |trouble: &Trouble| format!("{} (for {} s)", trouble.what, lasting(trouble.since));
        let lasts = |(kind, trouble): &(&Kind, &Trouble)| {
            !matches!(kind, Kind::Make(_)) || now.saturating_duration_since(trouble.at) < FORGOTTEN_AFTER
        };
        let mut words: Vec<String> = state.troubles.iter().filter(lasts).map(|(_, trouble)| said(trouble)).collect();
        if let Some(since) = state.busy.filter(|since| now.saturating_duration_since(*since) >= SLOW_AFTER) {
            let waits = format!("the disk has not answered for {} s: calls wait in memory", lasting(since));
            words.insert(0, waits);
        }
        words
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let Some(took) = state.busy.take().map(|since| since.elapsed()) else { return };
        if took < SLOW_AFTER {
            state.troubles.remove(&Kind::Slow);
            return;
        }
        drop(state);
        let what = format!(
            "the disk is slow: the last write or sync took {:.1} s, calls wait in memory meanwhile",
            took.as_secs_f64()
        );
        self.0.set(Kind::Slow, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn trouble_keeps_its_beginning_while_its_words_change_and_the_disk_comes_first() {
        let health = Health::default();
        health.set(Kind::Full, "full".into());
        health.set(Kind::Write("m".into(), 0), "cannot be written: a".into());
        health.set(Kind::Write("m".into(), 0), "cannot be written: b".into());
        assert_eq!(health.words(later(7)), ["cannot be written: b (for 7 s)", "full (for 7 s)"]);
        health.clear(&Kind::Write("m".into(), 0));
        assert!(health.has(&Kind::Full));
        health.clear(&Kind::Full);
        assert!(health.words(later(7)).is_empty());
        health.set(Kind::Make("m".into()), "cannot be made".into());
        assert_eq!((health.words(later(7)).len(), health.words(later(70)).len()), (1, 0), "no call came since");
    }

    #[test]
    fn a_disk_that_does_not_answer_is_told_while_it_does_not_and_not_after() {
        let health = Health::default();
        let busy = health.busy();
        assert!(health.words(Instant::now()).is_empty());
        assert!(health.words(later(30))[0].contains("has not answered for 30 s"), "{:?}", health.words(later(30)));
        drop(busy);
        assert!(health.words(later(30)).is_empty(), "it answered at once");
        let busy = health.busy();
        health.state().busy = Instant::now().checked_sub(Duration::from_secs(3));
        drop(busy);
        assert!(health.words(later(0))[0].starts_with("the disk is slow: the last write or sync took 3.0 s"));
        drop(health.busy());
        assert!(health.words(later(0)).is_empty(), "the next one was quick");
    }
}
