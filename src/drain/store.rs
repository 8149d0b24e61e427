//! Where files go: a folder or S3, behind one narrow trait whose heart is [`Store::create`]: at most once per key, ever.
//! The object is the commit; nothing is overwritten, nothing is deleted.
//!
//! Every call waits; call from plain threads, never from an async task. Keys are `/`-separated, without a slash at
//! either end, relative to the store's root.

mod folder;
mod s3;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::file::metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader};
use uuid::Uuid;

use crate::config;
use crate::drain::footer::{Footer, FooterError};

pub use folder::Folder;
pub use s3::S3Store;

/// Objects that are created once and then only read.
pub trait Store: Send + Sync {
    /// Creates `key` unless it exists; the object is whole and durable when this returns, or it is not there at all.
    /// After an error of [`Kind::Retry`] it may or may not exist: ask again with the same call.
    fn create(&self, key: &str, content: Content<'_>) -> Result<Created, StoreError>;

    /// The whole object; `None`: no such key.
    fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// The last `bytes` of the object (all of it if it is shorter) and its whole size; `None`: no such key.
    fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError>;

    /// These bytes of the object, which has them; `None`: no such key.
    fn range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        let Some(whole) = self.get(key)? else { return Ok(None) };
        let end = usize::try_from(range.end).ok().filter(|end| *end <= whole.len() && range.start <= range.end);
        match end {
            Some(end) => Ok(Some(whole.slice(range.start as usize..end))),
            None => Err(shorter(self, key, &range)),
        }
    }

    /// Every key that starts with `prefix` (any text, not only a folder) and is greater than `after`, in byte order of the keys.
    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError>;

    /// Names of the folders directly below `prefix`, which is empty (the root) or ends with a slash; without slashes,
    /// in byte order: `folders("churn/")` may be `["_weir", "dt=2026-11-25"]`.
    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Whether an object may still be created after the process that asked for it has died: a request may be on its way for as long as the network
    /// carries it.
    fn creates_late(&self) -> bool {
        true
    }

    /// Proves that [`Store::create`] keeps what exists, by creating one small object ([`SELF_TEST`]) twice. Refuses with the fix otherwise.
    fn self_test(&self) -> Result<(), StoreError> {
        self_test(self)
    }

    /// For messages, `meta.json` and `status`: the folder's path, or `s3://bucket/prefix`.
    fn address(&self) -> String;
}

/// What an object is made from.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    Bytes(Bytes),
    /// A finished file of the caller's, which stays the caller's and must not change during the call.
    File(&'a Path),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    New,
    /// Somebody was first, perhaps an earlier call of one's own whose answer was lost: read it.
    Exists,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    /// Size of the object.
    pub bytes: u64,
}

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The same call may work later.
    Retry,
    /// It will not work until somebody changes something; the message says what.
    Stop,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation of the folder store, or of the caller's own file.
    #[error("failed to {action} `{path}`")]
    Io {
        action: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// S3 gave no answer, or one that a later call may not give.
    #[error("failed to {action} `{object}`: {why}")]
    Unanswered { action: &'static str, object: String, why: String },
    /// The store, as it is, will not do it.
    #[error("cannot {action} `{object}`: {why}; {fix}")]
    Refused { action: &'static str, object: String, why: String, fix: String },
    /// The self-test found that a second create does not leave the first one's object alone.
    #[error(
        "cannot use `{store}`: {why}; weir needs a store that honours create-only writes (If-None-Match: * on S3, link on \
         a file system)"
    )]
    Overwrites { store: String, why: String },
    /// What stands there is not what weir writes.
    #[error("cannot read `{object}`: {why}")]
    Damaged { object: String, why: String },
    #[error("cannot read the footer of `{object}`")]
    Footer {
        object: String,
        #[source]
        source: FooterError,
    },
}

impl StoreError {
    pub fn kind(&self) -> Kind {
        use std::io::ErrorKind as Io;
        match self {
            StoreError::Io { source, .. } => match source.kind() {
                Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::Unsupported => Kind::Stop,
                Io::NotFound | Io::AlreadyExists | Io::NotADirectory | Io::IsADirectory => Kind::Stop,
                Io::InvalidFilename | Io::InvalidInput => Kind::Stop,
                _ => Kind::Retry,
            },
            StoreError::Unanswered { .. } => Kind::Retry,
            StoreError::Overwrites { .. }
            | StoreError::Refused { .. }
            | StoreError::Damaged { .. }
            | StoreError::Footer { .. } => Kind::Stop,
        }
    }
}

/// Opens the store that the configuration names. `handle`: the runtime that S3's requests run on.
pub fn open(store: &config::Store, handle: &tokio::runtime::Handle) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match &store.to {
        config::StoreTo::Folder(path) => Arc::new(Folder::open(path)?),
        config::StoreTo::S3(s3) => Arc::new(S3Store::open(s3, handle)?),
    })
}

/// The same, to read only: a folder is neither made nor tidied.
pub fn open_to_read(store: &config::Store, handle: &tokio::runtime::Handle) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match &store.to {
        config::StoreTo::Folder(path) => Arc::new(Folder::open_to_read(path)?),
        config::StoreTo::S3(s3) => Arc::new(S3Store::open(s3, handle)?),
    })
}

/// Opens the store that an address names, to read it: `s3://bucket/prefix` or a folder, which is neither made nor
/// tidied. `configured` lends its endpoint, region and addressing style to an S3 address.
pub fn open_address(
    address: &str,
    configured: Option<&config::S3>,
    handle: &tokio::runtime::Handle,
) -> Result<Arc<dyn Store>, StoreError> {
    let Some(rest) = address.strip_prefix("s3://") else {
        return Ok(Arc::new(Folder::open_to_read(Path::new(address))?));
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(StoreError::Refused {
            action: "open",
            object: address.to_owned(),
            why: "it names no bucket".to_owned(),
            fix: "write `s3://bucket/prefix`".to_owned(),
        });
    }
    let s3 = config::S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        endpoint: configured.and_then(|s3| s3.endpoint.clone()),
        region: configured.and_then(|s3| s3.region.clone()),
        path_style: configured.is_some_and(|s3| s3.path_style),
        // It is opened to be read.
        sse_kms: None,
        multipart_bytes: config::MULTIPART_BYTES,
    };
    Ok(Arc::new(S3Store::open(&s3, handle)?))
}

/// Bytes read from a file's end at first: holds the metadata of a table of some hundred columns.
const FOOTER_GUESS_BYTES: u64 = 64 * 1024;
/// Bytes of metadata beyond which a file is called damaged rather than read.
const FOOTER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The length and the magic number that end a Parquet file.
const PARQUET_END_BYTES: usize = 8;

/// Reads the footer of a data file by one or two small reads; `None`: no such key.
pub fn read_footer(store: &dyn Store, key: &str) -> Result<Option<Footer>, StoreError> {
    let Some((metadata, _)) = read_metadata(store, key)? else { return Ok(None) };
    let pairs = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    let pairs = pairs.filter_map(|pair| Some((pair.key.clone(), pair.value.clone()?)));
    let footer =
        Footer::from_key_values(pairs).map_err(|source| StoreError::Footer { object: at(store, key), source })?;
    Ok(Some(footer))
}

/// Reads Parquet's metadata of a file likewise, and the file's size.
pub fn read_metadata(store: &dyn Store, key: &str) -> Result<Option<(ParquetMetaData, u64)>, StoreError> {
    let damaged = |why: String| StoreError::Damaged { object: at(store, key), why };
    let Some((mut tail, size)) = store.tail(key, FOOTER_GUESS_BYTES)? else { return Ok(None) };
    let Some(&end) = tail.last_chunk::<PARQUET_END_BYTES>() else {
        return Err(damaged(format!("{size} bytes are no Parquet file")));
    };
    let end = FooterTail::try_new(&end).map_err(|_| damaged("it does not end as a Parquet file does".to_owned()))?;
    let wanted = end.metadata_length() as u64 + PARQUET_END_BYTES as u64;
    if wanted > size || wanted > FOOTER_BYTES_MAX {
        return Err(damaged(format!("it names {wanted} bytes of metadata in a file of {size}")));
    }
    if wanted > tail.len() as u64 {
        match store.tail(key, wanted)? {
            Some((longer, _)) if longer.len() as u64 >= wanted => tail = longer,
            _ => return Err(damaged("it changed while it was read".to_owned())),
        }
    }
    let metadata = tail.slice(tail.len() - wanted as usize..tail.len() - PARQUET_END_BYTES);
    let metadata = ParquetMetaDataReader::decode_metadata(&metadata).map_err(|error| damaged(error.to_string()))?;
    Ok(Some((metadata, size)))
}

/// The one object of [`Store::self_test`]; the only thing under the root that is in no table.
pub const SELF_TEST: &str = "_weir/self-test";

fn self_test<S: Store + ?Sized>(store: &S) -> Result<(), StoreError> {
    let refused = |why: &str| StoreError::Overwrites { store: store.address(), why: why.to_owned() };
    let read = || store.get(SELF_TEST)?.ok_or_else(|| refused("an object that was created cannot be read"));
    // The first process ever makes it; all others, and everybody's second call, must be told that it exists. The bodies
    // differ, so that an overwrite shows even where the answer hides it.
    let (mine, other) = (Bytes::from(format!("{}\n", Uuid::new_v4())), Bytes::from(format!("{}\n", Uuid::new_v4())));
    let created = store.create(SELF_TEST, Content::Bytes(mine.clone()))?;
    let stands = read()?;
    match created {
        Created::New if stands != mine => return Err(refused("an object that was created reads as another")),
        Created::Exists if stands == mine => return Err(refused("it said that an object exists, and overwrote it")),
        _ => {}
    }
    match store.create(SELF_TEST, Content::Bytes(other))? {
        Created::New => return Err(refused("it created one object twice")),
        Created::Exists if read()? != stands => return Err(refused("it said that an object exists, and overwrote it")),
        Created::Exists => {}
    }
    Ok(())
}

fn shorter<S: Store + ?Sized>(store: &S, key: &str, range: &Range<u64>) -> StoreError {
    StoreError::Damaged { object: at(store, key), why: format!("it has no bytes {} to {}", range.start, range.end) }
}

fn at<S: Store + ?Sized>(store: &S, key: &str) -> String {
    format!("{}/{key}", store.address())
}

impl fmt::Debug for dyn Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.address())
    }
}

#[cfg(test)]
mod tests;
