//! The feedback thread: what is posted at feedback paths, into the log. One is enough: it only ever waits for the log, as do
//! those whose answers it owes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::config::Config;
use crate::gateway::feedback::{Posted, TakeFeedback, Told};
use crate::ledger::{Ledger, Reason};
use crate::log::Logs;
use crate::record::Recorded;
use crate::record::feedback::{Feedback, FeedbackRecorder};

/// Requests that wait for the thread. Their bodies are within `memory.capture`.
const WAITING_MAX: usize = 1024;

/// Takes feedback until it is stopped.
pub struct FeedbackDesk {
    /// `None` once it takes no more.
    sender: Mutex<Option<SyncSender<Posted>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl FeedbackDesk {
    /// What the configuration asks for; `None`: no route of this process takes feedback.
    pub fn of(config: &Config, ledger: &Ledger, logs: &Logs) -> std::io::Result<Option<Arc<FeedbackDesk>>> {
        if !config.roles.gateway || config.routes.iter().all(|route| route.feedback.is_none()) {
            return Ok(None);
        }
        let template = config.topic_template().to_owned();
        let recorder = FeedbackRecorder::new(template, super::record_bytes_max(config), super::message_key(config));
        FeedbackDesk::start(recorder.format(super::format(config)), ledger.clone(), logs.clone()).map(Some)
    }

    /// As the gateway knows it.
    pub fn taker(desk: &Arc<FeedbackDesk>) -> Arc<dyn TakeFeedback> {
        desk.clone()
    }

    fn start(recorder: FeedbackRecorder, ledger: Ledger, logs: Logs) -> std::io::Result<Arc<FeedbackDesk>> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let thread = std::thread::Builder::new()
            .name("weir-feedback".into())
            .spawn(move || run(&receiver, &recorder, &ledger, &logs))?;
        Ok(Arc::new(FeedbackDesk { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) }))
    }

    /// Takes nothing more, and waits until what was taken has been handed to the log.
    pub fn stop(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the feedback thread panicked");
        }
    }
}

impl TakeFeedback for FeedbackDesk {
    fn take(&self, posted: Posted) -> Result<(), Posted> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        match sender.as_ref() {
            Some(sender) => sender.try_send(posted).map_err(|refused| match refused {
                TrySendError::Full(posted) | TrySendError::Disconnected(posted) => posted,
            }),
            None => Err(posted),
        }
    }
}

fn run(receiver: &Receiver<Posted>, recorder: &FeedbackRecorder, ledger: &Ledger, logs: &Logs) {
    while let Ok(posted) = receiver.recv() {
        let recorded = catch_unwind(AssertUnwindSafe(|| recorder.record(&posted))).unwrap_or_else(|_| {
            tracing::error!(route = posted.route.name, "panicked while reading a feedback, refused it");
            Err(Told::Bad("internal error while it was read".to_owned()))
        });
        let Posted { reply, permit, .. } = posted;
        match recorded {
            Ok(feedback) => {
                let told = feedback.told;
                // Before anything can fail. From here on it is logged, or counted as dropped with a reason.
                let ticket = ledger.see_feedback(feedback.rows.len() as u64, move |outcome: Result<(), Reason>| {
                    reply.send(match outcome {
                        Ok(()) => told,
                        Err(reason) => Told::NotKept(reason),
                    });
                });
                let Feedback { topic, content_type, rows, .. } = feedback;
                logs.append(Recorded { ticket, topic, content_type, rows });
            }
            Err(refused) => reply.send(refused),
        }
        drop(permit);
    }
}
