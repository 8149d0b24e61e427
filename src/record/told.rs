//! Names that model servers told of themselves, and which of them are still to be asked. A recorder looks here and goes on: it
//! never waits for an answer. Whoever asks the servers reads the [`Question`]s and brings the [`Answer`]s.
//!
//! Pure but for its lock: the time is that of the calls.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc;

use crate::config::{Route, Side};

/// Questions that wait to be asked.
const WAITING_MAX: usize = 64;
/// Paths of one route that are asked about: a client that makes up paths must not make weir ask without end.
const PATHS_MAX: usize = 64;
/// A server that could not be asked is asked again after this, then after twice as long, up to the last.
const PAUSE_US: i64 = 60 * 1_000_000;
const PAUSE_MAX_US: i64 = 60 * PAUSE_US;

/// The names of the values of a row, in their order; empty where the server says none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
}

impl Learned {
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.outputs.is_empty()
    }

    pub fn side(&self, side: Side) -> &[String] {
        match side {
            Side::Inputs => &self.inputs,
            Side::Outputs => &self.outputs,
        }
    }
}

/// What a server is asked for: the names of a row of the predictions on this path.
#[derive(Debug, Clone)]
pub struct Question {
    pub route: Arc<Route>,
    /// As clients send it.
    pub path: String,
    asked_at_us: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Names(Learned),
    /// It was asked, and says none.
    Nothing,
    /// It could not be asked.
    Failed,
}

struct Entry {
    names: Option<Arc<Learned>>,
    /// When it may be asked again if there is a reason; `None` while a question is on its way.
    again_at_us: Option<i64>,
    /// An answer came, so only names that do not fit are a reason to ask again.
    is_settled: bool,
    pause_us: i64,
}

/// All that was told, by route and path.
pub struct Told {
    routes: RwLock<HashMap<String, HashMap<String, Entry>>>,
    questions: mpsc::Sender<Question>,
}

/// Nothing is told yet; the questions come out of the receiver.
pub fn told() -> (Arc<Told>, mpsc::Receiver<Question>) {
    let (questions, receiver) = mpsc::channel(WAITING_MAX);
    (Arc::new(Told { routes: RwLock::default(), questions }), receiver)
}

impl Told {
    /// What is known of a path now.
    pub fn names(&self, route: &str, path: &str) -> Option<Arc<Learned>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.get(route)?.get(path)?.names.clone()
    }

    /// Names that an earlier process was told; they are asked again on the first call that needs them. `false`: there is no room.
    pub fn recall(&self, route: &str, path: &str, names: Learned) -> bool {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let paths = routes.entry(route.to_owned()).or_default();
        if !paths.contains_key(path) && paths.len() >= PATHS_MAX {
            return false;
        }
        let names = Some(Arc::new(names));
        paths.insert(
            path.to_owned(),
            Entry { names, again_at_us: Some(i64::MIN), is_settled: false, pause_us: PAUSE_US },
        );
        true
    }

    /// Asks about a path on which values have no names (or, if `misfit`, others than were told), unless it was asked, and unless the
    /// last try is too young.
    pub fn want(&self, route: &Arc<Route>, path: &str, misfit: bool, now_us: i64) {
        if !self.is_due(&route.name, path, misfit, now_us) {
            return;
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let paths = routes.entry(route.name.clone()).or_default();
        if !paths.contains_key(path) && paths.len() >= PATHS_MAX {
            return;
        }
        let fresh = || Entry { names: None, again_at_us: Some(now_us), is_settled: false, pause_us: PAUSE_US };
        let entry = paths.entry(path.to_owned()).or_insert_with(fresh);
        // Another recorder may have been faster.
        if entry.again_at_us.is_none_or(|again_at_us| again_at_us > now_us) {
            return;
        }
        let question = Question { route: route.clone(), path: path.to_owned(), asked_at_us: now_us };
        // If too many wait, a later call asks.
        entry.again_at_us = self.questions.try_send(question).is_err().then_some(now_us + PAUSE_US);
    }

    fn is_due(&self, route: &str, path: &str, misfit: bool, now_us: i64) -> bool {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let Some(paths) = routes.get(route) else { return true };
        match paths.get(path) {
            Some(entry) => {
                entry.again_at_us.is_some_and(|again_at_us| again_at_us <= now_us) && (misfit || !entry.is_settled)
            }
            None => paths.len() < PATHS_MAX,
        }
    }

    /// Takes an answer. Until another comes, names that were told before stay.
    pub fn answer(&self, question: &Question, answer: Answer) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let entry = routes.get_mut(&question.route.name).and_then(|paths| paths.get_mut(&question.path));
        let Some(entry) = entry else { return };
        match answer {
            Answer::Failed => {
                entry.again_at_us = Some(question.asked_at_us + entry.pause_us);
                entry.pause_us = (entry.pause_us * 2).min(PAUSE_MAX_US);
                return;
            }
            Answer::Names(names) => entry.names = Some(Arc::new(names)),
            Answer::Nothing => entry.names = None,
        }
        entry.is_settled = true;
        entry.pause_us = PAUSE_US;
        entry.again_at_us = Some(question.asked_at_us + PAUSE_MAX_US);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::route;

    const MINUTE: i64 = 60_000_000;

    fn next(questions: &mut mpsc::Receiver<Question>) -> Option<String> {
        questions.try_recv().ok().map(|question| question.path)
    }

    #[test]
    fn a_path_is_asked_about_once() {
        let (told, mut questions) = told();
        let route = Arc::new(route());
        for now in 0..3 {
            told.want(&route, "/a", false, now);
        }
        let question = questions.try_recv().expect("a question");
        assert_eq!((question.path.as_str(), next(&mut questions)), ("/a", None));
        assert_eq!(told.names("churn", "/a"), None);
        let names = Learned { inputs: vec!["age".to_owned()], outputs: Vec::new() };
        told.answer(&question, Answer::Names(names.clone()));
        assert_eq!(told.names("churn", "/a").as_deref(), Some(&names));
        told.want(&route, "/a", false, 1000 * MINUTE);
        assert_eq!(next(&mut questions), None);
        // Names that do not fit any more: the model may be another one by now.
        told.want(&route, "/a", true, 59 * MINUTE);
        assert_eq!(next(&mut questions), None);
        told.want(&route, "/a", true, 61 * MINUTE);
        assert_eq!(next(&mut questions).as_deref(), Some("/a"));
        assert_eq!(told.names("churn", "/a").as_deref(), Some(&names));
    }

    #[test]
    fn what_failed_is_asked_again_at_most_rarely() {
        let (told, mut questions) = told();
        let route = Arc::new(route());
        let mut asked = Vec::new();
        for minute in 0..200 {
            told.want(&route, "/a", false, minute * MINUTE);
            if let Ok(question) = questions.try_recv() {
                asked.push(minute);
                told.answer(&question, Answer::Failed);
            }
        }
        assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
        let (told, mut questions) = super::told();
        told.want(&route, "/a", false, 0);
        told.answer(&questions.try_recv().expect("a question"), Answer::Nothing);
        told.want(&route, "/a", false, 1000 * MINUTE);
        assert_eq!(next(&mut questions), None);
    }

    #[test]
    fn what_an_earlier_process_was_told_holds_until_the_server_says_otherwise() {
        let (told, mut questions) = told();
        let route = Arc::new(route());
        let names = Learned { inputs: vec!["age".to_owned()], outputs: Vec::new() };
        assert!(told.recall("churn", "/a", names.clone()));
        assert_eq!(told.names("churn", "/a").as_deref(), Some(&names));
        told.want(&route, "/a", false, 0);
        let question = questions.try_recv().expect("it is asked again");
        told.answer(&question, Answer::Failed);
        assert_eq!(told.names("churn", "/a").as_deref(), Some(&names));
        told.want(&route, "/a", false, MINUTE);
        told.answer(&questions.try_recv().expect("it is asked again"), Answer::Nothing);
        assert_eq!(told.names("churn", "/a"), None);
        for n in 1..PATHS_MAX {
            assert!(told.recall("churn", &format!("/{n}"), names.clone()));
        }
        assert!(!told.recall("churn", "/more", names.clone()));
        assert!(told.recall("fraud", "/more", names));
    }

    #[test]
    fn paths_that_a_client_makes_up_are_bounded() {
        let (told, mut questions) = told();
        let route = Arc::new(route());
        let mut asked = 0;
        for n in 0..1000 {
            told.want(&route, &format!("/{n}"), false, 0);
            while next(&mut questions).is_some() {
                asked += 1;
            }
        }
        assert_eq!(asked, PATHS_MAX);
        // Nobody reads the questions: a call goes on.
        let (told, _questions) = super::told();
        for n in 0..1000 {
            told.want(&Arc::new(Route { name: n.to_string(), ..(*route).clone() }), "/", false, 0);
        }
    }
}
