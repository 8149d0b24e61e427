//! Stopping follows the path of a record: stop accepting and let requests finish, empty the handoff, publish, store.
//!
//! Each phase has its own deadline and says what it waited for; a further signal skips to the next phase.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::answers::Stages;
use super::recorders::Recorders;
use crate::admin::{Answers as _, Status};
use crate::config::Config;

/// How often a waiting phase looks for a further signal.
const LOOK: Duration = Duration::from_millis(20);
/// What a phase may take beyond the deadline that it was given before it is left behind.
const GRACE: Duration = Duration::from_secs(2);
/// Signals kept while nobody looks.
const SIGNALS_MAX: usize = 16;

/// SIGTERM and SIGINT of this process, one token each.
pub struct Signals {
    tokens: Receiver<&'static str>,
}

impl Signals {
    /// Listens for SIGTERM and SIGINT on a thread of its own.
    ///
    /// # Errors
    /// The signal handler could not be set.
    pub fn listen() -> std::io::Result<Signals> {
        let (send, tokens) = sync_channel(SIGNALS_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("weir-signals".into()).spawn(move || runtime.block_on(forward(send)))?;
        Ok(Signals { tokens })
    }

    /// No signals: for a process that stops by itself.
    pub fn none() -> Signals {
        let (_, tokens) = sync_channel(1);
        Signals { tokens }
    }

    /// Waits for a signal, at most `wait`; its name.
    pub fn wait(&self, wait: Duration) -> Option<&'static str> {
        match self.tokens.recv_timeout(wait) {
            Ok(name) => Some(name),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(wait);
                None
            }
        }
    }

    fn came(&self) -> bool {
        self.tokens.try_recv().is_ok()
    }
}

async fn forward(send: SyncSender<&'static str>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::error!("signals cannot be handled");
        return;
    };
    loop {
        let name = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
        };
        if send.try_send(name).is_err() {
            return;
        }
    }
}

/// One phase, as it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    pub name: &'static str,
    pub took: Duration,
    /// What was not finished when the phase ended; empty if all was.
    pub left: String,
}

/// How the stop went.
#[derive(Debug, Clone, PartialEq)]
pub struct Stopped {
    pub phases: Vec<Phase>,
    /// As it stood when the last phase ended.
    pub status: Status,
}

impl Stopped {
    /// Whether every phase finished what it had.
    pub fn clean(&self) -> bool {
        self.phases.iter().all(|phase| phase.left.is_empty())
    }
}

pub(super) fn walk(stages: &Arc<Stages>, recorders: Option<Recorders>, config: &Config, signals: &Signals) -> Stopped {
    let mut phases = Vec::new();
    let mut run = |name, deadline: Duration, work: Box<dyn FnOnce() -> String + Send>| {
        phases.push(phase(name, deadline, work, signals));
    };
    stages.stopping();
    let s = stages.clone();
    let deadline = config.listen.drain_timeout;
    run("gateway", deadline, Box::new(move || s.stop_gateway(deadline)));
    let s = stages.clone();
    run(
        "recorders",
        config.stop.recorders,
        Box::new(move || {
            s.close_handoff();
            if let Some(recorders) = recorders {
                recorders.join();
            }
            s.stop_feedback();
            s.flush_logs();
            String::new()
        }),
    );
    let s = stages.clone();
    let deadline = config.stop.publish;
    run("publish", deadline, Box::new(move || s.stop_publisher(deadline)));
    let s = stages.clone();
    let deadline = config.stop.store;
    run("store", deadline, Box::new(move || s.stop_drain(deadline)));
    let s = stages.clone();
    run(
        "log",
        GRACE,
        Box::new(move || {
            s.close_logs();
            String::new()
        }),
    );
    Stopped { phases, status: stages.status() }
}

/// Runs `work` on a thread of its own and waits for it, for the deadline, or for a signal.
fn phase(name: &'static str, deadline: Duration, work: Box<dyn FnOnce() -> String + Send>, signals: &Signals) -> Phase {
    let begun = Instant::now();
    let (done, wait) = sync_channel(1);
    let thread = std::thread::Builder::new().name(format!("weir-stop-{name}")).spawn(move || {
        let left = work();
        if done.send(left).is_err() {
            tracing::debug!("a stop phase ended after it was left behind");
        }
    });
    let left = match thread {
        Err(error) => format!("no thread: {error}"),
        Ok(_) => loop {
            match wait.recv_timeout(LOOK) {
                Ok(left) => break left,
                Err(RecvTimeoutError::Disconnected) => break "the phase panicked".to_string(),
                Err(RecvTimeoutError::Timeout) if signals.came() => break "skipped by a signal".to_string(),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() > deadline + GRACE => {
                    break format!("not done within {deadline:?}");
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        },
    };
    let took = begun.elapsed();
    if left.is_empty() {
        tracing::info!(phase = name, took_ms = took.as_millis() as u64, "stopped {name}");
    } else {
        tracing::warn!(phase = name, took_ms = took.as_millis() as u64, left, "stopped {name} with work left");
    }
    Phase { name, took, left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_says_what_it_left() {
        let signals = Signals::none();
        let done = phase("a", Duration::from_secs(5), Box::new(String::new), &signals);
        assert_eq!(done.left, "");
        let left = phase("b", Duration::from_secs(5), Box::new(|| "3 rows".to_string()), &signals);
        assert_eq!(left.left, "3 rows");
    }

    #[test]
    fn a_signal_skips_a_phase() {
        let (send, tokens) = sync_channel(1);
        let signals = Signals { tokens };
        send.send("SIGTERM").unwrap();
        let (hold, held) = sync_channel::<()>(1);
        let skipped = phase(
            "c",
            Duration::from_secs(60),
            Box::new(move || {
                let _ended = held.recv();
                String::new()
            }),
            &signals,
        );
        assert_eq!(skipped.left, "skipped by a signal");
        drop(hold);
    }
}
