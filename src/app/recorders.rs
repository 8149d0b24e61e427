//! The recorder threads: exchanges out of the handoff, records into the log.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::handoff::{Received, Receiver};
use crate::log::Logs;
use crate::record::Recorder;

/// How long a recorder sleeps on an empty handoff before it looks again.
const IDLE: Duration = Duration::from_millis(500);

pub struct Recorders {
    threads: Vec<JoinHandle<()>>,
}

impl Recorders {
    /// Starts `count` threads; they end when the handoff is closed and empty.
    pub fn start(count: usize, receiver: Receiver, recorder: Arc<Recorder>, logs: Logs) -> std::io::Result<Recorders> {
        let mut threads = Vec::with_capacity(count);
        for n in 0..count {
            let (receiver, recorder, logs) = (receiver.clone(), recorder.clone(), logs.clone());
            let thread = std::thread::Builder::new()
                .name(format!("weir-record-{n}"))
                .spawn(move || run(&receiver, &recorder, &logs))?;
            threads.push(thread);
        }
        Ok(Recorders { threads })
    }

    /// Waits for every thread; the handoff must be closed.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a recorder thread panicked");
            }
        }
    }
}

fn run(receiver: &Receiver, recorder: &Recorder, logs: &Logs) {
    loop {
        match receiver.recv(IDLE) {
            Received::Item(exchange) => {
                if let Some(recorded) = recorder.record(exchange) {
                    logs.append(recorded);
                }
            }
            Received::Empty => {}
            Received::Closed => return,
        }
    }
}
