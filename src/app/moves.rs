//! A log that gets another reader or another root (design L6): Kafka is added or taken away, a folder becomes S3, a prefix another one.
//!
//! What the log holds goes where it would have gone: the drain stores it in the old root first. So the last file there ends where the log ends,
//! and a create of a process that died, which may still be on its way, meets it under its own key. Then new chains begin at the cursors in the new
//! root, and `meta.json` is written last. A process that dies at any of these steps is followed by one that takes them again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fail::fail_point;

use super::{drain_config, once};
use crate::config::{Config, MULTIPART_BYTES, S3, StoreTo};
use crate::drain::generation::{self, GenerationError};
use crate::drain::store::Store;
use crate::drain::{self, Drain, pin, store};
use crate::log::{LogError, Logs, Moving, ReaderKind, Root, S3Access};
use crate::source::lane::Lanes;
use crate::telemetry::{Meters, with_causes};

/// How long the drain of the old root may take to end once everything is stored.
const END: Duration = Duration::from_secs(20);

/// Why a log could not be moved. Nothing is lost, and the next start tries again.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error(
        "the rows of {topics} went to `{root}` until now, and what is left of them has to be stored there first: {why}. See to that and start \
         again, or take the change of the configuration back"
    )]
    Old { topics: String, root: String, why: String },
    #[error(
        "the rows of `{topic}` went to `{root}` until now, and there is no such folder. Put it back; or, if all of its files were moved, name their \
         new place as `store.to`"
    )]
    Gone { topic: String, root: String },
    #[error(
        "{rows} rows of `{topic}` wait for Kafka, which may have some of them already: start weir with `kafka:` until `weir status` shows no backlog, \
         stop it, then take `kafka:` away; or name a new `data_dir`, and they stay in this one"
    )]
    Backlog { topic: String, rows: u64 },
    #[error("cannot begin to store the rows of `{topic}` in `{root}`")]
    New {
        topic: String,
        root: String,
        #[source]
        source: Box<GenerationError>,
    },
    #[error(transparent)]
    Log(LogError),
}

impl MoveError {
    /// Whether only another configuration, or a start with the old one, is the way on.
    pub fn is_configuration(&self) -> bool {
        matches!(self, MoveError::Gone { .. } | MoveError::Backlog { .. })
    }
}

/// Moves every log whose reader or root has changed. Nothing else reads or writes the logs meanwhile. `new`: the root of a drain of the log.
pub fn settle(
    config: &Config,
    logs: &Logs,
    new: Option<&Arc<dyn Store>>,
    control: &tokio::runtime::Handle,
) -> Result<(), MoveError> {
    let new = if config.kafka.is_none() { new } else { None };
    let mut leaving: BTreeMap<String, Vec<Moving>> = BTreeMap::new();
    for moving in logs.moving() {
        leaving.entry(moving.root.to_string()).or_default().push(moving);
    }
    for (root, all) in leaving {
        let mut to_drain = Vec::new();
        for moving in all {
            match moving.reader {
                ReaderKind::Publisher => published(logs, &moving)?,
                ReaderKind::Drain if is_gone(&moving.root) => {
                    if follows(logs, new, &moving)? {
                        tracing::info!(topic = moving.topic, from = root, "the files have moved: their chains go on");
                        logs.moved(&moving).map_err(MoveError::Log)?;
                        continue;
                    }
                }
                ReaderKind::Drain => {}
            }
            to_drain.push(moving);
        }
        let drained: Vec<_> = to_drain.iter().filter(|moving| moving.reader == ReaderKind::Drain).cloned().collect();
        if !drained.is_empty() {
            leave(config, logs, &drained, control)?;
        }
        fail_point!("move_after_drain");
        for moving in &to_drain {
            if let Some(new) = new {
                begin(config, logs, new, moving)?;
            }
            logs.moved(moving).map_err(MoveError::Log)?;
            tracing::info!(
                topic = moving.topic,
                from = root,
                "the log has moved: what was in it is stored there, new rows go on from here"
            );
        }
    }
    Ok(())
}

/// Whether the old root is a folder that is not there: it would be made anew, and look empty.
fn is_gone(root: &Root) -> bool {
    root.s3.is_none() && !root.address.starts_with("s3://") && !Path::new(&root.address).is_dir()
}

/// Whether a log may go on although its old root is gone: it never had a row, or the chains that it had there stand in the new root.
fn follows(logs: &Logs, new: Option<&Arc<dyn Store>>, moving: &Moving) -> Result<bool, MoveError> {
    let lanes = moving.lanes(logs);
    if lanes.iter().all(|lane| lane.appended() == 0) {
        return Ok(true);
    }
    let gone = || MoveError::Gone { topic: moving.topic.clone(), root: moving.root.to_string() };
    let (Some(new), Some(lane)) = (new, lanes.first()) else { return Err(gone()) };
    let origin = pin::origin(new.as_ref(), &moving.topic, &lane.log().simple().to_string());
    match origin.map_err(|source| new_error(new, moving, source.into()))? {
        Some(_) => Ok(true),
        None => Err(gone()),
    }
}

/// Whether Kafka has acknowledged everything. What is not may be in Kafka all the same, and only a publisher can find that out.
fn published(logs: &Logs, moving: &Moving) -> Result<(), MoveError> {
    let backlog = |lane: &crate::log::Lane| lane.appended().saturating_sub(lane.cursor());
    match moving.lanes(logs).iter().map(backlog).sum() {
        0 => Ok(()),
        rows => Err(MoveError::Backlog { topic: moving.topic.clone(), rows }),
    }
}

/// Stores what the logs hold in the root where they went until now.
fn leave(config: &Config, logs: &Logs, all: &[Moving], control: &tokio::runtime::Handle) -> Result<(), MoveError> {
    let Some(Moving { root, .. }) = all.first() else { return Ok(()) };
    let names: Vec<_> = all.iter().map(|moving| moving.topic.clone()).collect();
    let failed = |why: String| MoveError::Old { topics: quoted(&names), root: root.to_string(), why };
    let mut config = config.clone();
    config.store.to = store_at(root, &config.store.to);
    let store = store::open(&config.store, control).map_err(|error| failed(with_causes(&error)))?;
    // A drain would ask again and again.
    store.self_test().map_err(|error| failed(with_causes(&error)))?;
    tracing::info!(topics = quoted(&names), "storing what the log holds in `{root}`, where it went until now");
    let waiting_bytes_max = config.log.bytes_max / 2;
    let drain = drain::DrainConfig { waiting_bytes_max, ..drain_config(&config, &Meters::new(), true) };
    let lanes = Lanes::of_topics(logs.clone(), names.clone());
    let drain = Drain::start(drain, store, Box::new(lanes)).map_err(|error| failed(with_causes(&error)))?;
    let mut progress = |words: &str| tracing::info!("{words}");
    let done = once::drain_now(&drain.watch(), &mut progress);
    drain.stop(END);
    done.map_err(|error| failed(error.to_string()))
}

/// New chains at the cursors.
fn begin(config: &Config, logs: &Logs, new: &Arc<dyn Store>, moving: &Moving) -> Result<(), MoveError> {
    let lanes = moving.lanes(logs);
    let Some(log) = lanes.first().map(|lane| lane.log().simple().to_string()) else { return Ok(()) };
    let starts = lanes.iter().map(|lane| (lane.lane(), lane.cursor())).collect();
    let now_ms = jiff::Timestamp::now().as_millisecond();
    generation::begin_at(new.as_ref(), &moving.topic, &log, starts, config.store.partition, now_ms)
        .map_err(|source| new_error(new, moving, source))?;
    fail_point!("move_after_begin");
    Ok(())
}

fn new_error(new: &Arc<dyn Store>, moving: &Moving, source: GenerationError) -> MoveError {
    MoveError::New { topic: moving.topic.clone(), root: new.address(), source: Box::new(source) }
}

/// The store that a log went to. `configured` lends what an older `meta.json` does not say.
fn store_at(root: &Root, configured: &StoreTo) -> StoreTo {
    let Some(rest) = root.address.strip_prefix("s3://") else { return StoreTo::Folder(PathBuf::from(&root.address)) };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let (lent, multipart_bytes) = match configured {
        StoreTo::S3(s3) => (access(s3), s3.multipart_bytes),
        StoreTo::Folder(_) => (S3Access::default(), MULTIPART_BYTES),
    };
    let S3Access { endpoint, region, path_style, sse_kms } = root.s3.clone().unwrap_or(lent);
    let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
    StoreTo::S3(S3 { bucket, prefix, endpoint, region, path_style, sse_kms, multipart_bytes })
}

/// The store of the configuration as it is pinned in `meta.json`. A folder is absolute, so that another working folder changes nothing.
pub fn root_of(to: &StoreTo) -> Root {
    match to {
        StoreTo::Folder(path) => {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            Root::folder(absolute.display().to_string())
        }
        StoreTo::S3(s3) => Root { address: format!("s3://{}/{}", s3.bucket, s3.prefix), s3: Some(access(s3)) },
    }
}

fn access(s3: &S3) -> S3Access {
    S3Access {
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        path_style: s3.path_style,
        sse_kms: s3.sse_kms.clone(),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_root_is_opened_as_it_was_configured() {
        let old = StoreTo::S3(S3 {
            bucket: "b".into(),
            prefix: "a/b".into(),
            endpoint: Some("http://one:9000".into()),
            region: Some("r".into()),
            path_style: true,
            sse_kms: Some("key".into()),
            multipart_bytes: MULTIPART_BYTES,
        });
        let new = StoreTo::Folder(PathBuf::from("/rows"));
        assert_eq!(store_at(&root_of(&old), &new), old);
        assert_eq!(store_at(&root_of(&new), &old), new);
        let older = Root { s3: None, ..root_of(&old) };
        assert_eq!(store_at(&older, &old), old, "what is not known is as it is now");
        assert!(!is_gone(&older) && is_gone(&root_of(&StoreTo::Folder(PathBuf::from("/no/such/folder")))));
    }
}
