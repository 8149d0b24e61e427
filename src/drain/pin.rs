//! What is pinned in the store once for all writers: a table's schema, an origin's document. Created, never changed; who comes second reads.

use std::sync::Arc;

use bytes::Bytes;
use fail::fail_point;

use super::names::{self, OriginDoc};
use super::refusal::Refusal;
use super::store::{Content, Created, Kind, Store, StoreError};
use crate::table::Schema;

/// Schemas that are proposed in a row, each because somebody else was first.
const GROWTHS_MAX: u32 = 32;

/// Why something pinned could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read `{key}`: {why}")]
    Damaged { key: String, why: String },
    #[error("others pinned {GROWTHS_MAX} schemas of {table} while one was to be pinned")]
    Contended { table: String },
    #[error(transparent)]
    Refused(Box<Refusal>),
}

impl PinError {
    /// Whether asking again may help.
    pub fn kind(&self) -> Kind {
        match self {
            PinError::Store(error) => error.kind(),
            PinError::Contended { .. } => Kind::Retry,
            PinError::Damaged { .. } | PinError::Refused(_) => Kind::Stop,
        }
    }
}

/// The newest pinned schema of a table; `None` before its first file.
pub fn schema(store: &dyn Store, table: &str) -> Result<Option<Arc<Schema>>, PinError> {
    schema_after(store, table, 0)
}

/// The same, if it is newer than the version `known`.
pub fn schema_after(store: &dyn Store, table: &str, known: u32) -> Result<Option<Arc<Schema>>, PinError> {
    let listed = store.list(&names::schemas_prefix(table), None)?;
    let newest = listed.iter().filter_map(|object| names::parse_schema_key(&object.key)).max();
    newest.filter(|n| *n > known).map(|n| read_schema(store, table, n)).transpose()
}

fn read_schema(store: &dyn Store, table: &str, n: u32) -> Result<Arc<Schema>, PinError> {
    let key = names::schema_key(table, n);
    let damaged = |why: String| PinError::Damaged { key: key.clone(), why };
    let json = store.get(&key)?.ok_or_else(|| damaged("it was listed and is not there".to_owned()))?;
    let schema = Schema::from_json(&json).map_err(|error| damaged(error.to_string()))?;
    Ok(Arc::new(schema))
}

/// Makes `proposed` part of the table's schema and returns the schema to write with: `proposed` itself, or what others made of it meanwhile.
pub fn grow_schema(store: &dyn Store, table: &str, proposed: Schema) -> Result<Arc<Schema>, PinError> {
    let mut proposed = proposed;
    for _ in 0..GROWTHS_MAX {
        let key = names::schema_key(table, proposed.version());
        match store.create(&key, Content::Bytes(Bytes::from(proposed.to_json())))? {
            Created::New => {
                fail_point!("drain_after_schema");
                tracing::info!(table, schema = proposed.version(), "pinned schema {} of {table}", proposed.version());
                return Ok(Arc::new(proposed));
            }
            Created::Exists => {
                // The listing may be late: then what stands under the key is the newest one known.
                let theirs = match schema(store, table)?.filter(|newest| newest.version() >= proposed.version()) {
                    Some(newest) => newest,
                    None => read_schema(store, table, proposed.version())?,
                };
                if theirs.covers(&proposed) {
                    return Ok(theirs);
                }
                proposed = theirs.merge(&proposed);
            }
        }
    }
    Err(PinError::Contended { table: table.to_owned() })
}

/// The newest generation's document of an origin.
pub fn origin(store: &dyn Store, table: &str, origin: &str) -> Result<Option<OriginDoc>, PinError> {
    match newest_generation(store, table, origin)? {
        Some(generation) => origin_at(store, table, origin, generation).map(Some),
        None => Ok(None),
    }
}

/// The document of one generation, which is listed.
pub fn origin_at(store: &dyn Store, table: &str, origin: &str, generation: u32) -> Result<OriginDoc, PinError> {
    let key = names::origin_key(table, origin, generation);
    let damaged = |why: String| PinError::Damaged { key: key.clone(), why };
    let json = store.get(&key)?.ok_or_else(|| damaged("it was listed and is not there".to_owned()))?;
    let doc: OriginDoc = serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
    if doc.version != names::ORIGIN_VERSION {
        return Err(damaged(format!("its version is {}, this weir reads {}", doc.version, names::ORIGIN_VERSION)));
    }
    if doc.key() != key {
        return Err(damaged(format!("it says that it is `{}`", doc.key())));
    }
    Ok(doc)
}

/// The highest generation of an origin; re-read before each create.
pub fn newest_generation(store: &dyn Store, table: &str, origin: &str) -> Result<Option<u32>, StoreError> {
    let prefix = format!("{}{origin}.g", names::origins_prefix(table));
    let listed = store.list(&prefix, None)?;
    let generations = listed.iter().filter_map(|object| names::parse_origin_key(&object.key));
    Ok(generations.filter(|(_, named, _)| named == origin).map(|(_, _, generation)| generation).max())
}

/// Creates a generation's document, or returns the one that somebody else created first.
pub fn create_origin(store: &dyn Store, doc: OriginDoc) -> Result<OriginDoc, PinError> {
    let key = doc.key();
    let json = serde_json::to_vec_pretty(&doc)
        .map_err(|error| PinError::Damaged { key: key.clone(), why: error.to_string() })?;
    fail_point!("drain_before_origin");
    let created = store.create(&key, Content::Bytes(Bytes::from(json)))?;
    fail_point!("drain_after_origin");
    match created {
        Created::New => {
            tracing::info!(table = doc.table, origin = doc.origin, generation = doc.generation, "created `{key}`");
            Ok(doc)
        }
        Created::Exists => origin(store, &doc.table, &doc.origin)?
            .ok_or_else(|| PinError::Damaged { key, why: "it exists and is not listed".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::{Folder, Listed};
    use super::*;
    use crate::source::{ContentType, Message};
    use crate::table::Survey;

    /// A folder whose listing does not show the second schema yet.
    struct Late(Folder);

    impl Store for Late {
        fn create(&self, key: &str, content: Content<'_>) -> Result<Created, StoreError> {
            self.0.create(key, content)
        }

        fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
            self.0.get(key)
        }

        fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
            self.0.tail(key, bytes)
        }

        fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
            let mut listed = self.0.list(prefix, after)?;
            listed.retain(|object| !object.key.ends_with("/2.json"));
            Ok(listed)
        }

        fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
            self.0.folders(prefix)
        }

        fn address(&self) -> String {
            self.0.address()
        }
    }

    /// A schema with one more column than `before`.
    fn with(column: &str, before: Option<&Schema>) -> Schema {
        let value = format!(
            r#"{{"id":"1","model_name":"m","model_version":null,"inputs":{{"{column}":1.5}},"outputs":{{}},"parse_status":"ok","status_code":200}}"#
        );
        let mut survey = Survey::new(10);
        survey.add(&Message {
            offset: 0,
            timestamp_ms: 0,
            create_time: false,
            key: None,
            value: Some(value.into()),
            content_type: ContentType::Json,
            source: None,
            seq: None,
            damaged: None,
        });
        survey.propose(before).expect("a column that is new")
    }

    #[test]
    fn a_schema_that_exists_and_is_not_listed_is_read_by_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let store = Late(Folder::open(dir.path()).unwrap());
        let first = grow_schema(&store, "t", with("a", None)).unwrap();
        let second = grow_schema(&store, "t", with("b", Some(&first))).unwrap();
        assert_eq!((first.version(), second.version()), (1, 2));
        let third = grow_schema(&store, "t", with("c", Some(&first))).unwrap();
        assert_eq!(third.version(), 3);
        assert!(third.covers(&second));
    }
}
