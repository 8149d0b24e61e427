//! The whole drain on a source in memory and a folder: rows in = rows out, however often it dies.

mod faults;
mod files;
mod generations;
mod lanes;
mod refusals;
mod stops;
mod stores;
mod topic;
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use self::stores::{Hooked, Moody};
use self::topic::{MemorySource, Topic, row};
use self::world::{PATIENCE, World, until};
use super::store::Folder;
use super::triggers::Cause;
use super::*;
use crate::record::ContentType;
use crate::source::{Bounds, Event, Message, PartitionId};
