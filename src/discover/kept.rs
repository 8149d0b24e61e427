//! What model servers told, kept over a restart in `data_dir/names.json`, so that the first calls of a new process have their names, too.
//!
//! A help, not a record: a file that is missing or cannot be used costs only that the servers are asked first. What is taken from it
//! is asked again in the background on the first call that needs it. Names are taken only where the same question would be asked of the
//! same server as then.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{sources, usable};
use crate::config::{Route, Side};
use crate::gateway;
use crate::record::{Answer, Learned, Question, Told};

const NAME: &str = "names.json";
/// A file of another version is not read.
const VERSION: u32 = 1;

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    version: u32,
    names: Vec<Entry>,
}

/// The names that were told for the predictions on one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    route: String,
    /// As clients send it.
    path: String,
    /// Where such a request went.
    upstream: String,
    /// The document that told them.
    from: String,
    #[serde(default)]
    inputs: Vec<String>,
    #[serde(default)]
    outputs: Vec<String>,
}

impl Entry {
    /// Whether this route would ask the same of the same server.
    fn is_of(&self, route: &Route) -> bool {
        self.route == route.name
            && route.record.discover
            && self.upstream == upstream(route, &self.path)
            && sources::of(route, &self.path).iter().any(|source| source.path == self.from)
    }

    fn learned(&self) -> Learned {
        Learned {
            inputs: usable(Side::Inputs, self.inputs.clone()),
            outputs: usable(Side::Outputs, self.outputs.clone()),
        }
    }
}

fn upstream(route: &Route, path: &str) -> String {
    format!("http://{}{}", route.upstream.authority, gateway::forwarded_path(route, path))
}

/// The file, as it is to be.
pub struct Kept {
    file: PathBuf,
    entries: Vec<Entry>,
}

impl Kept {
    /// Reads what an earlier process kept, and tells it where it still holds.
    pub fn open(data_dir: &Path, routes: &[Route], told: &Told) -> Kept {
        let file = data_dir.join(NAME);
        let read = read(&file).unwrap_or_else(|why| {
            tracing::warn!(file = %file.display(), why, "cannot use the names that model servers told before; they are asked again");
            Vec::new()
        });
        let mut entries: Vec<Entry> = Vec::new();
        for entry in read {
            let Some(route) = routes.iter().find(|route| entry.is_of(route)) else { continue };
            let names = entry.learned();
            if !names.is_empty() && told.recall(&route.name, &entry.path, names) {
                entries.push(entry);
            }
        }
        Kept { file, entries }
    }

    /// Takes what a server said now; `true` if that changes the file. `from`: the document with the names.
    pub fn note(&mut self, question: &Question, answer: &Answer, from: &str) -> bool {
        let route = &question.route;
        let place = self.entries.iter().position(|entry| entry.route == route.name && entry.path == question.path);
        match (answer, place) {
            (Answer::Failed, _) | (Answer::Nothing, None) => false,
            (Answer::Nothing, Some(place)) => {
                self.entries.remove(place);
                true
            }
            (Answer::Names(names), place) => {
                let entry = Entry {
                    route: route.name.clone(),
                    path: question.path.clone(),
                    upstream: upstream(route, &question.path),
                    from: from.to_owned(),
                    inputs: names.inputs.clone(),
                    outputs: names.outputs.clone(),
                };
                match place {
                    Some(place) if self.entries[place] == entry => return false,
                    Some(place) => self.entries[place] = entry,
                    None => self.entries.push(entry),
                }
                true
            }
        }
    }

    /// Writes the file on a thread that may wait for a disk.
    pub async fn save(&self) {
        let content = Content { version: VERSION, names: self.entries.clone() };
        let file = self.file.clone();
        let saved = tokio::task::spawn_blocking(move || write(&file, &content)).await;
        let why = match saved {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(file = %self.file.display(), why, "cannot keep the names that model servers told; after a restart they are asked first");
    }
}

fn read(file: &Path) -> Result<Vec<Entry>, String> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    // The version first: another one may have other fields.
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if value["version"] != VERSION {
        return Err(format!("it is of version {}, this weir knows {VERSION}", value["version"]));
    }
    serde_json::from_value(value).map(|content: Content| content.names).map_err(|error| error.to_string())
}

/// Whole or not at all.
fn write(file: &Path, content: &Content) -> io::Result<()> {
    let aside = file.with_extension("json.new");
    let mut new = File::create(&aside)?;
    new.write_all(&serde_json::to_vec_pretty(content)?)?;
    new.sync_all()?;
    fs::rename(&aside, file)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::{self, tests::route};

    const PATH: &str = "/predict";

    fn question(route: &Route) -> Question {
        let (told, mut questions) = record::told();
        told.want(&Arc::new(route.clone()), PATH, false, 0);
        questions.try_recv().expect("a question")
    }

    fn names() -> Answer {
        Answer::Names(Learned { inputs: vec!["age".to_owned()], outputs: vec!["score".to_owned()] })
    }

    fn save(kept: &Kept) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(kept.save());
    }

    /// The inputs that a process with this route knows from its start.
    fn known(folder: &Path, route: &Route) -> Option<Vec<String>> {
        let (told, _questions) = record::told();
        Kept::open(folder, std::slice::from_ref(route), &told);
        told.names(&route.name, PATH).map(|names| names.inputs.clone())
    }

    /// A folder in which names of this route are kept.
    fn folder(route: &Route) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (told, _questions) = record::told();
        let mut kept = Kept::open(folder.path(), std::slice::from_ref(route), &told);
        assert!(kept.note(&question(route), &names(), "/openapi.json"));
        save(&kept);
        folder
    }

    #[test]
    fn what_was_told_is_there_for_the_same_question_to_the_same_server_only() {
        let kept = folder(&route());
        assert_eq!(known(kept.path(), &route()), Some(vec!["age".to_owned()]));
        let other = |change: fn(&mut Route)| {
            let mut route = route();
            change(&mut route);
            known(kept.path(), &route)
        };
        assert_eq!(other(|route| route.upstream.authority = "10.9.9.9:1".to_owned()), None);
        assert_eq!(other(|route| route.upstream.path = Some("/v3".to_owned())), None);
        assert_eq!(other(|route| route.name = "fraud".to_owned()), None);
        assert_eq!(other(|route| route.record.discover = false), None);
        // The metadata of a model are another document under another name.
        let mut renamed = route();
        let kept = folder(&renamed);
        let text = fs::read_to_string(kept.path().join(NAME)).unwrap();
        fs::write(kept.path().join(NAME), text.replace("/openapi.json", "/v2/models/churn")).unwrap();
        assert!(known(kept.path(), &renamed).is_some());
        renamed.model = Some("credit".to_owned());
        assert_eq!(known(kept.path(), &renamed), None);
    }

    #[test]
    fn a_file_is_written_when_something_new_was_said() {
        let route = route();
        let kept = folder(&route);
        let (told, _questions) = record::told();
        let mut again = Kept::open(kept.path(), std::slice::from_ref(&route), &told);
        let question = question(&route);
        assert!(!again.note(&question, &names(), "/openapi.json"), "nothing new");
        assert!(!again.note(&question, &Answer::Failed, ""));
        assert!(again.note(&question, &names(), "/v2/models/churn"));
        assert!(again.note(&question, &Answer::Nothing, ""), "it has none any more");
        assert!(!again.note(&question, &Answer::Nothing, ""));
        save(&again);
        assert_eq!(known(kept.path(), &route), None);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_no_file() {
        let kept = folder(&route());
        let file = kept.path().join(NAME);
        let good = fs::read_to_string(&file).unwrap();
        for text in [
            "",
            "{",
            "[]",
            r#"{"version":1}"#,
            &good[..good.len() / 2],
            &good.replace("\"version\": 1", "\"version\": 2"),
            // Names that no server would be believed.
            &good.replace("\"age\"", "\"x0\"").replace("\"score\"", "\"\""),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(known(kept.path(), &route()), None, "{text}");
        }
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(known(kept.path(), &route()), None);
    }
}
