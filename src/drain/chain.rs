//! The chain of one partition: the object is the commit. Pure: no clock, no I/O; time and answers are arguments.
//!
//! ```text
//!             head_found            sought                 created
//!   Finding ─────────────► Seeking ────────► Collecting ────────────► Creating ──┐ Undecided: the same file again
//!      │  ▲ looked too early  ▲                  ▲                      │  ▲      │
//!      │  └──┘                │                  └──────── New ─────────┤  └──────┘
//!      ▼                      └───────── Exists, another's ─────────────┘
//!   Refused
//! ```
//!
//! # Why nothing is lost or doubled
//! A file `[a, n)` is created only by one who read a committed file that ends at `a` (or the origin document that starts there), under a key made of `a`
//! and of the date of the first record from `a` on. The store creates a key once. So for each `a` there is at most one file, and the files form one
//! path: adjacent, disjoint, gapless. At most one create is in flight per chain; its answer is New, or Exists with a footer to go on from. What
//! a process holds is never part of the truth, so it may die anywhere. `model` plays this against the worst schedules it can draw.

use super::footer::{Footer, Sources};
use super::names::ChainId;
use super::refusal::Refusal;
use super::seal::{Head, Seal, Sealed, record_hash};
use crate::config::Partitioning;
use crate::source::{Before, Bounds};

/// How often a head that should reach further is looked for again before the chain is refused: a listing may be late.
const LOOKUPS_MAX: u32 = 3;

/// What is pinned for a chain.
#[derive(Debug, Clone)]
pub struct Pinned {
    pub id: ChainId,
    /// As in the origin document.
    pub partitioning: Partitioning,
    /// As in the origin document; empty: not known.
    pub topic_id: String,
    /// The chain's first offset.
    pub start: u64,
    /// Where the generation before it ended, 0 if it had no file: what was remembered up to there may be of that one, when the source has lost records
    /// and the chain began anew below its old end.
    pub older_end: u64,
    /// When the origin document was made.
    pub created_ms: i64,
    /// How long a source that was not seen is remembered.
    pub resend_window_ms: i64,
    /// What the generations before it hold, for a chain without a file: rows that come again are not stored again.
    pub inherited: Sources,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Step<'a> {
    /// Look for the newest file, then [`Chain::head_found`].
    FindHead,
    /// Seek the source there, then [`Chain::sought`].
    Seek(u64),
    /// Wait for messages; when a trigger closes the range, [`Chain::seal`] it and hand the file to [`Chain::created`].
    Collect,
    /// Send this file, and again until its answer is known, then [`Chain::answered`].
    Create(&'a Sealed),
    /// Nothing, until somebody has fixed it.
    Refused(&'a Refusal),
}

/// A file of the chain, as the store holds it.
#[derive(Debug, Clone)]
pub struct Found {
    pub key: String,
    pub footer: Footer,
    /// The source's own last record below `footer.next`.
    pub last_here: LastHere,
}

/// What the source holds where a file ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastHere {
    /// The hash of its record; empty where that is damaged.
    Hash(String),
    /// It cannot tell.
    Unknown,
    /// It ends before.
    NotThere,
}

impl From<&Before> for LastHere {
    fn from(before: &Before) -> LastHere {
        match before {
            Before::Known(message) => LastHere::Hash(record_hash(message)),
            Before::Unknown => LastHere::Unknown,
            Before::NotThere => LastHere::NotThere,
        }
    }
}

impl LastHere {
    /// Whether nothing speaks against the file's last record being this one.
    pub fn may_be(&self, last_hash: &str) -> bool {
        match self {
            // Damage is in no hash, but it is in the copy of a log too: both have it, or they are not one.
            LastHere::Hash(here) => here == last_hash,
            LastHere::Unknown => true,
            LastHere::NotThere => false,
        }
    }
}

/// What became of a create.
#[derive(Debug)]
pub enum Answer {
    New,
    /// The key was taken; the file that stands there.
    Exists(Box<Found>),
    /// Lost, refused or failed: whether it was created is not known.
    Undecided,
}

/// What an answer meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Our file is the head.
    Stored,
    /// Another's file is the head; what was collected is void.
    Adopted,
    /// Send it again.
    Again,
    Refused,
}

#[derive(Debug, Clone)]
enum State {
    Finding { lookups: u32 },
    Seeking,
    Collecting,
    Creating(Box<Sealed>),
    Refused(Box<Refusal>),
}

/// The chain of one partition, from this process's point of view.
#[derive(Debug, Clone)]
pub struct Chain {
    pinned: Pinned,
    bounds: Bounds,
    head: Head,
    state: State,
}

impl Chain {
    /// A chain of which nothing is known yet but where it starts and what the source holds.
    pub fn new(pinned: Pinned, bounds: Bounds) -> Chain {
        let head = Head::at_start(pinned.start, pinned.created_ms, pinned.inherited.clone());
        Chain { pinned, bounds, head, state: State::Finding { lookups: 0 } }
    }

    /// The source's first offset that does not exist yet, as of after the newest file was read: a file that is newer than the bounds may end
    /// beyond them. `None`: it cannot be told, and is not judged.
    pub fn ends(&mut self, end: Option<u64>) {
        self.bounds.end = end.unwrap_or(u64::MAX);
    }

    pub fn id(&self) -> &ChainId {
        &self.pinned.id
    }

    /// The head as last known; before it was found, the chain's start.
    pub fn head(&self) -> &Head {
        &self.head
    }

    pub fn step(&self) -> Step<'_> {
        match &self.state {
            State::Finding { .. } => Step::FindHead,
            State::Seeking => Step::Seek(self.head.next),
            State::Collecting => Step::Collect,
            State::Creating(sealed) => Step::Create(sealed),
            State::Refused(refusal) => Step::Refused(refusal),
        }
    }

    /// The newest file is this one; `None`: the chain has no file.
    ///
    /// # Panics
    /// Unless the step is [`Step::FindHead`].
    pub fn head_found(&mut self, found: Option<Found>) {
        let State::Finding { lookups } = self.state else {
            unreachable!("{:?}: a head was not looked for", self.state)
        };
        let head = match &found {
            None => {
                let Pinned { start, created_ms, inherited, .. } = &self.pinned;
                Head::at_start(*start, *created_ms, inherited.clone())
            }
            Some(found) => Head::of_file(found.key.clone(), &found.footer),
        };
        let behind_hint = self.bounds.hint.filter(|hint| *hint > head.next.max(self.pinned.older_end));
        if behind_hint.is_some() && lookups + 1 < LOOKUPS_MAX {
            self.state = State::Finding { lookups: lookups + 1 };
            return;
        }
        let refusal = match (&found, behind_hint) {
            (_, Some(hint)) => Some(Refusal::HeadMissing { chain: self.id().into(), head: head.next, hint }),
            (Some(found), None) => self.doubt(found).or_else(|| self.doubt_bounds(head.next)),
            (None, None) => self.doubt_topic(&self.pinned.topic_id).or_else(|| self.doubt_bounds(head.next)),
        };
        self.head = head;
        self.state = refusal.map_or(State::Seeking, |refusal| State::Refused(Box::new(refusal)));
    }

    /// The source stands at the head.
    ///
    /// # Panics
    /// Unless the step is [`Step::Seek`].
    pub fn sought(&mut self) {
        match self.state {
            State::Seeking => self.state = State::Collecting,
            ref state => unreachable!("{state:?}: nothing was sought"),
        }
    }

    /// Begins a pass over the messages from the head on.
    pub fn seal(&self, now_ms: i64) -> Seal {
        let Pinned { id, partitioning, topic_id, resend_window_ms, .. } = &self.pinned;
        Seal::new(id, topic_id, *partitioning, *resend_window_ms, &self.head, now_ms)
    }

    /// The file is written: it may be sent. There is no second one before its answer.
    ///
    /// # Panics
    /// Unless the step is [`Step::Collect`] and the file begins at the head.
    pub fn created(&mut self, sealed: Sealed) {
        match self.state {
            State::Collecting if sealed.footer.first == self.head.next => {
                self.state = State::Creating(Box::new(sealed))
            }
            ref state => unreachable!("{state:?}: `{}` does not follow the head {}", sealed.key, self.head.next),
        }
    }

    /// The store's answer to the create in flight.
    ///
    /// # Panics
    /// Unless the step is [`Step::Create`].
    pub fn answered(&mut self, answer: Answer) -> Outcome {
        let sealed = match std::mem::replace(&mut self.state, State::Collecting) {
            State::Creating(sealed) => sealed,
            state => unreachable!("{state:?}: nothing was being created"),
        };
        match answer {
            Answer::Undecided => {
                self.state = State::Creating(sealed);
                Outcome::Again
            }
            Answer::New => self.stored(*sealed),
            // Our own create, whose answer was lost.
            Answer::Exists(found) if found.footer.writer == sealed.footer.writer => self.stored(*sealed),
            Answer::Exists(found) => self.adopt(*found),
        }
    }

    /// The file of the create in flight is lost: it is made anew. Should it have been created before, the new one meets it under the same key.
    ///
    /// # Panics
    /// Unless the step is [`Step::Create`].
    pub fn file_lost(&mut self) {
        match self.state {
            State::Creating(_) => self.state = State::Collecting,
            ref state => unreachable!("{state:?}: nothing was being created"),
        }
    }

    fn stored(&mut self, sealed: Sealed) -> Outcome {
        self.head = Head::of_file(sealed.key, &sealed.footer);
        Outcome::Stored
    }

    fn adopt(&mut self, found: Found) -> Outcome {
        let first = self.head.next;
        let strange = (found.footer.first != first).then(|| Refusal::Strange {
            key: found.key.clone(),
            why: format!("it begins at {}, not at {first}", found.footer.first),
        });
        if let Some(refusal) = strange.or_else(|| self.doubt(&found)) {
            self.state = State::Refused(Box::new(refusal));
            return Outcome::Refused;
        }
        self.head = Head::of_file(found.key, &found.footer);
        self.state = State::Seeking;
        Outcome::Adopted
    }

    /// Whether a file is of this chain and of this source.
    fn doubt(&self, found: &Found) -> Option<Refusal> {
        let Found { key, footer, last_here } = found;
        let strange = |why: String| Some(Refusal::Strange { key: key.clone(), why });
        if footer.chain != self.pinned.id {
            return strange(format!("its footer names chain {:?}", footer.chain));
        }
        if footer.next <= footer.first {
            return strange(format!("its footer says it holds offsets {}..{}", footer.first, footer.next));
        }
        if let Some(refusal) = self.doubt_topic(&footer.topic_id) {
            return Some(refusal);
        }
        if last_here.may_be(&footer.last_hash) {
            return None;
        }
        let chain = self.id().into();
        Some(match last_here {
            LastHere::NotThere => Refusal::Longer { chain, key: key.clone(), head: footer.next },
            _ => Refusal::OtherRecord { chain, key: key.clone(), head: footer.next },
        })
    }

    fn doubt_topic(&self, stored: &str) -> Option<Refusal> {
        let here = &self.bounds.topic_id;
        let differs = !here.is_empty() && !stored.is_empty() && here != stored;
        differs.then(|| Refusal::OtherTopic { chain: self.id().into(), stored: stored.to_owned(), here: here.clone() })
    }

    fn doubt_bounds(&self, head: u64) -> Option<Refusal> {
        let chain = self.id().into();
        let Bounds { start, end, .. } = self.bounds;
        if start > head {
            return Some(Refusal::Lost { chain, head, start });
        }
        (head > end).then_some(Refusal::Beyond { chain, head, end })
    }
}

#[cfg(test)]
mod tests;
