//! Asks model servers what the values of a row are called, where bodies do not say it. In: the [`Question`]s of the recorders. Out:
//! their [`Answer`]s, in [`Told`].
//!
//! In the background, one question at a time, by GET requests to the route's own upstream with its timeouts: the metadata of the Open
//! Inference Protocol (`/v2/models/{model}`) and `/openapi.json`. (MLflow's own server tells nothing of a model's signature; under MLServer
//! it is in that metadata.) Only paths are asked about on which values without names were seen. No request of a client and no record
//! waits for it, and a server that does not answer costs nothing but names. What was told is kept over a restart.

mod fetch;
mod kept;
mod openapi;
mod sources;
mod v2;

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::config::{Side, columns_fault};
use crate::record::{Answer, Learned, Question, Told};
use fetch::Fetched;
pub use kept::Kept;
use sources::Kind;

/// The running task. Dropped, it is ended.
pub struct Discovery {
    task: JoinHandle<()>,
}

impl Discovery {
    /// Starts to answer questions on `runtime`, and to keep the answers.
    pub fn start(
        runtime: &Handle,
        told: Arc<Told>,
        mut questions: mpsc::Receiver<Question>,
        mut kept: Kept,
    ) -> Discovery {
        let task = runtime.spawn(async move {
            while let Some(question) = questions.recv().await {
                let (answer, from) = ask(&question).await;
                let is_new = kept.note(&question, &answer, &from);
                told.answer(&question, answer);
                if is_new {
                    kept.save().await;
                }
            }
        });
        Discovery { task }
    }

    /// Ends it, in the middle of a question too.
    pub fn stop(self, runtime: &Handle) {
        self.task.abort();
        let mut this = self;
        // It was cancelled, or had panicked: either way it is gone.
        drop(runtime.block_on(&mut this.task));
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks one source after the other, until one tells names; with them comes the document they stand in.
async fn ask(question: &Question) -> (Answer, String) {
    let route = &question.route;
    let mut failed = false;
    for source in sources::of(route, &question.path) {
        let document = match fetch::get(route, &source.path).await {
            Fetched::Json(document) => document,
            Fetched::Nothing => continue,
            Fetched::Failed(why) => {
                tracing::debug!(route = route.name, path = source.path, why, "cannot ask the model server for names");
                failed = true;
                continue;
            }
        };
        let found = match source.kind {
            Kind::V2 => v2::names(&document),
            Kind::OpenApi { path } => openapi::names(&document, &path),
        };
        let names =
            Learned { inputs: usable(Side::Inputs, found.inputs), outputs: usable(Side::Outputs, found.outputs) };
        if !names.is_empty() {
            let (inputs, outputs) = (names.inputs.join(", "), names.outputs.join(", "));
            tracing::info!(
                route = route.name,
                from = source.path,
                inputs,
                outputs,
                "the model server names the columns"
            );
            return (Answer::Names(names), source.path);
        }
    }
    (if failed { Answer::Failed } else { Answer::Nothing }, String::new())
}

/// The names, if they say more than positions do.
fn usable(side: Side, names: Vec<String>) -> Vec<String> {
    if columns_fault(side, &names).is_some() || only_count(&names) { Vec::new() } else { names }
}

/// `input-0`, `input-1`: whoever made them had no names either.
fn only_count(names: &[String]) -> bool {
    let Some(prefix) = names.first().and_then(|name| name.strip_suffix('0')) else { return false };
    names.iter().enumerate().all(|(at, name)| name.strip_prefix(prefix) == Some(at.to_string().as_str()))
}

#[cfg(test)]
mod tests;
