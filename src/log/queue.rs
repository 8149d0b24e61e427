//! Between recorders and the writer: bounded by count and by bytes; whoever hands over waits while it is full.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::record::Recorded;

use super::format;

const CALLS_MAX: usize = 1024;
/// Memory of calls handed over and not yet encoded; a longer call is let in when nothing else waits.
const BYTES_MAX: u64 = 8 << 20;
/// How long the first call of a group waits for company: a wake-up per group instead of per call.
const LINGER: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The writer waits here.
    filled: Condvar,
    /// Recorders wait here for room.
    emptied: Condvar,
    /// Those who flush wait here.
    flushed: Condvar,
}

#[derive(Default)]
struct State {
    calls: Vec<Recorded>,
    bytes: u64,
    /// Flushes asked for, and done.
    flush_asked: u64,
    flush_done: u64,
    ending: Option<Ending>,
    /// The writer is gone: nothing waits for it any more.
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Everything is written and synced first.
    Orderly,
    /// Nothing more is done, as if the process had been killed.
    #[cfg(test)]
    Killed,
}

/// What the writer has to do now.
pub(super) struct Work {
    pub calls: Vec<Recorded>,
    /// To be passed to [`Queue::flushed`], if it is more than before.
    pub flush: u64,
    pub ending: Option<Ending>,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room. A call that comes after the end is dropped, which counts it as lost.
    pub(super) fn push(&self, recorded: Recorded) {
        let bytes = format::entry_bytes(&recorded.rows);
        let mut state = self.state();
        while state.ending.is_none()
            && !state.ended
            && (state.calls.len() >= CALLS_MAX || (state.bytes > 0 && state.bytes.saturating_add(bytes) > BYTES_MAX))
        {
            state = self.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ending.is_some() || state.ended {
            return;
        }
        state.calls.push(recorded);
        state.bytes = state.bytes.saturating_add(bytes);
        // The first call wakes the writer, a group that is worth writing ends its linger.
        if state.calls.len() == 1 || state.calls.len() == CALLS_MAX / 2 || state.bytes > BYTES_MAX / 2 {
            self.filled.notify_one();
        }
    }

    /// Waits at most `wait` for something to do. `calls` is an emptied list to fill.
    pub(super) fn take(&self, wait: Duration, flushed: u64, mut calls: Vec<Recorded>) -> Work {
        let deadline = Instant::now() + wait;
        let idle = |state: &State| state.calls.is_empty() && state.flush_asked <= flushed && state.ending.is_none();
        let mut state = self.state();
        while idle(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let lingers = |state: &State| {
            !state.calls.is_empty()
                && state.calls.len() < CALLS_MAX / 2
                && state.bytes <= BYTES_MAX / 2
                && state.flush_asked <= flushed
                && state.ending.is_none()
        };
        if lingers(&state) {
            let deadline = Instant::now() + LINGER;
            while lingers(&state) {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                state = self.filled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        std::mem::swap(&mut state.calls, &mut calls);
        state.bytes = 0;
        self.emptied.notify_all();
        Work { calls, flush: state.flush_asked, ending: state.ending }
    }

    /// Asks for a flush and waits until it was done.
    pub(super) fn flush(&self) {
        let mut state = self.state();
        state.flush_asked += 1;
        let asked = state.flush_asked;
        self.filled.notify_one();
        while state.flush_done < asked && !state.ended {
            state = self.flushed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn flushed(&self, flush: u64) {
        self.state().flush_done = flush;
        self.flushed.notify_all();
    }

    pub(super) fn end(&self, ending: Ending) {
        let mut state = self.state();
        state.ending.get_or_insert(ending);
        self.filled.notify_one();
        self.emptied.notify_all();
    }

    /// Called by the writer when it ends, however it ends.
    pub(super) fn ended(&self) {
        let left = {
            let mut state = self.state();
            state.ended = true;
            std::mem::take(&mut state.calls)
        };
        drop(left);
        self.emptied.notify_all();
        self.flushed.notify_all();
    }
}
