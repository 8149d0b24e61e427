//! S3 as a store: create-only writes by [`create`] or, for large objects, [`parts`]; ranged reads, paged lists. What an
//! answer means, and when to ask again, is the drain's to decide, so the SDK's own retries are off.

mod answer;
mod client;
mod create;
mod parts;

use std::fs::File;
use std::future::Future;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Credentials;
use bytes::Bytes;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::folder::{io_error, map};
use super::{Content, Created, Kind, Listed, SELF_TEST, Store, StoreError};
use crate::config;
use answer::Failure;
use client::Clients;
use create::Checksums;

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// To open a connection.
    connect: Duration,
    /// To the first byte of an answer, and for a whole small one.
    read: Duration,
    /// For one object's upload, however large and in however many parts.
    transfer_max: Duration,
}

/// A transfer ends below the 15 minutes for which a signature is good, so that no write lands later than anybody expects
/// (a new generation waits that long after a chain's last file).
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(30),
    transfer_max: Duration::from_secs(14 * 60),
};
/// The slowest link that is still waited for: what a transfer may take beyond [`Limits::read`].
const BYTES_PER_SECOND_MIN: u64 = 1024 * 1024;
/// Attempts of a read, which is safe to repeat, and the wait before the second; each next one is four times as long.
const READ_ATTEMPTS: u32 = 3;
const READ_BACKOFF: Duration = Duration::from_millis(100);

/// Objects below a prefix of one bucket. Credentials come from AWS's default chain.
#[derive(Debug, Clone)]
pub struct S3Store {
    clients: Arc<Clients>,
    runtime: Handle,
    bucket: String,
    /// Empty, or ending in a slash.
    prefix: String,
    sse_kms: Option<String>,
    /// Larger objects are sent in parts; none is, if this is all that a `PutObject` takes.
    multipart_bytes: u64,
    checksums: Arc<Checksums>,
    limits: Limits,
}

impl S3Store {
    /// Makes the client; the first request that is sent is the caller's. From plain threads only.
    pub fn open(s3: &config::S3, runtime: &Handle) -> Result<S3Store, StoreError> {
        S3Store::build(s3, runtime, None, LIMITS)
    }

    /// The same with a fixed key in place of the default chain.
    pub fn open_with_key(s3: &config::S3, runtime: &Handle, key: &str, secret: &str) -> Result<S3Store, StoreError> {
        let key = Credentials::new(key, secret, None, None, "weir");
        S3Store::build(s3, runtime, Some(key), LIMITS)
    }

    fn build(
        s3: &config::S3,
        runtime: &Handle,
        credentials: Option<Credentials>,
        limits: Limits,
    ) -> Result<S3Store, StoreError> {
        Ok(S3Store {
            clients: Arc::new(runtime.block_on(Clients::open(s3, credentials, limits))?),
            runtime: runtime.clone(),
            bucket: s3.bucket.clone(),
            prefix: if s3.prefix.is_empty() { String::new() } else { format!("{}/", s3.prefix.trim_matches('/')) },
            sse_kms: s3.sse_kms.clone(),
            multipart_bytes: s3.multipart_bytes,
            checksums: Arc::default(),
            limits,
        })
    }

    fn client(&self) -> Client {
        self.clients.current()
    }

    /// What the caller is told of a failure; credentials that were refused are read again for the next call.
    fn failed(&self, action: &'static str, key: &str, failure: Failure) -> StoreError {
        if failure.is_of_credentials() {
            self.runtime.block_on(self.clients.renew());
        }
        failure.at(self.clients.endpoint()).into_error(action, self.object(key))
    }

    fn root(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix).trim_end_matches('/').to_owned()
    }

    fn uses_parts(&self) -> bool {
        self.multipart_bytes < config::PUT_BYTES_MAX
    }

    /// The second half of the self-test, of an object that exists: completing an upload must leave it alone as well.
    fn self_test_parts(&self) -> Result<(), StoreError> {
        let refused = |why: String| {
            let fix = "or set `store.multipart_threshold: 5GiB`, with which no object is sent in parts";
            StoreError::Overwrites { store: self.root(), why: format!("{why} ({fix})") }
        };
        let before = self.get(SELF_TEST)?;
        let other = Bytes::from(format!("{}\n", Uuid::new_v4()));
        match self.runtime.block_on(self.upload_in_parts(SELF_TEST, &other, self.limits.read)) {
            Ok(Created::New) => Err(refused("completing an upload in parts overwrote an object".to_owned())),
            Ok(Created::Exists) if self.get(SELF_TEST)? == before => Ok(()),
            Ok(Created::Exists) => Err(refused("it said that an object exists, and overwrote it in parts".to_owned())),
            Err(failure) if failure.is_unknown_request() => {
                Err(refused(self.failed("create in parts", SELF_TEST, failure).to_string()))
            }
            Err(failure) => Err(self.failed("create in parts", SELF_TEST, failure)),
        }
    }

    fn object(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.bucket, self.prefix)
    }

    fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Waits for one call; no answer within `limit` is a failure too.
    fn wait<T>(&self, limit: Duration, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        self.runtime.block_on(async {
            match tokio::time::timeout(limit, call).await {
                Ok(result) => result,
                Err(_) => Err(Failure::late(limit)),
            }
        })
    }

    /// A read, asked again where that may help.
    fn read<T, C>(
        &self,
        action: &'static str,
        key: &str,
        limit: Duration,
        call: impl Fn() -> C,
    ) -> Result<T, StoreError>
    where
        C: Future<Output = Result<T, Failure>>,
    {
        let mut backoff = READ_BACKOFF;
        for _ in 1..READ_ATTEMPTS {
            match self.wait(limit, call()) {
                Err(failure) if failure.kind() == Kind::Retry => {
                    let error = self.failed(action, key, failure);
                    tracing::debug!(%error, "asking again");
                    std::thread::sleep(backoff);
                }
                result => return result.map_err(|failure| self.failed(action, key, failure)),
            }
            backoff *= 4;
        }
        self.wait(limit, call()).map_err(|failure| self.failed(action, key, failure))
    }

    /// Not by `HeadObject`, whose errors have no code: a missing object would look like a missing bucket.
    async fn exists(&self, key: &str) -> Result<bool, Failure> {
        Ok(self.fetch(key, Some(1)).await?.is_some())
    }

    /// The object, or its last `tail` bytes, with its whole size.
    async fn fetch(&self, key: &str, tail: Option<u64>) -> Result<Option<(Bytes, u64)>, Failure> {
        let range = tail.map(|bytes| format!("bytes=-{}", bytes.max(1)));
        let get = self.client().get_object().bucket(&self.bucket).key(self.full_key(key)).set_range(range);
        let answer = match get.send().await.map_err(Failure::of) {
            Ok(answer) => answer,
            Err(failure) if failure.is_no_such_key() => return Ok(None),
            // Nothing can be ranged in an empty object.
            Err(failure) if failure.status() == Some(416) => return Ok(Some((Bytes::new(), 0))),
            Err(failure) => return Err(failure),
        };
        let ranged_size = answer.content_range().and_then(|range| range.rsplit_once('/')?.1.parse().ok());
        let body = answer.body.collect().await;
        let mut bytes =
            body.map_err(|error| Failure::no_answer(format!("the answer broke off: {error}")))?.into_bytes();
        let size = ranged_size.unwrap_or(bytes.len() as u64);
        if let Some(tail) = tail {
            // A store that does not know ranges sends everything.
            let surplus = (bytes.len() as u64).saturating_sub(tail);
            bytes = bytes.slice(surplus as usize..);
            if bytes.len() as u64 != tail.max(1).min(size) {
                let got = bytes.len();
                return Err(Failure::no_answer(format!("S3 sent {got} of the last {tail} bytes of {size}")));
            }
        }
        Ok(Some((bytes, size)))
    }

    /// A part of the object that is not empty.
    async fn fetch_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, Failure> {
        let Range { start, end } = range;
        let wanted = format!("bytes={start}-{}", end.saturating_sub(1));
        let get = self.client().get_object().bucket(&self.bucket).key(self.full_key(key)).range(wanted);
        let answer = match get.send().await.map_err(Failure::of) {
            Ok(answer) => answer,
            Err(failure) if failure.is_no_such_key() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let is_part = answer.content_range().is_some();
        let body = answer.body.collect().await;
        let bytes = body.map_err(|error| Failure::no_answer(format!("the answer broke off: {error}")))?.into_bytes();
        // A store that does not know ranges sends everything.
        let before = if is_part { 0 } else { start.min(bytes.len() as u64) };
        let bytes = bytes.slice(before as usize..);
        let length = end.saturating_sub(start);
        if (bytes.len() as u64) < length || (is_part && bytes.len() as u64 > length) {
            return Err(Failure::no_answer(format!("S3 sent {} of {length} bytes from {start} on", bytes.len())));
        }
        Ok(Some(bytes.slice(..length as usize)))
    }

    /// One page below `prefix`: keys, folders, and where the next page starts.
    async fn page(&self, prefix: &str, from: &Begin<'_>, delimiter: Option<&str>) -> Result<Page, Failure> {
        let list = self.client().list_objects_v2().bucket(&self.bucket).prefix(self.full_key(prefix));
        let list = match from {
            Begin::Start => list,
            Begin::After(key) => list.start_after(self.full_key(key)),
            Begin::Token(token) => list.continuation_token(token),
        };
        let answer = list.set_delimiter(delimiter.map(str::to_owned)).send().await.map_err(Failure::of)?;
        let relative = |key: &str| key.strip_prefix(&self.prefix).map(str::to_owned);
        let listed = answer.contents().iter().filter_map(|object| {
            Some(Listed { key: relative(object.key()?)?, bytes: object.size().unwrap_or(0).max(0) as u64 })
        });
        let folders = answer.common_prefixes().iter().filter_map(|common| relative(common.prefix()?));
        // Half a list must not pass for a whole one: it could hide the newest file.
        let next = answer.next_continuation_token().map(str::to_owned);
        let next = match (answer.is_truncated(), next) {
            (Some(true), Some(token)) => Some(token),
            (Some(false), _) => None,
            (more, _) => {
                let what = if more.is_some() { "where its list goes on" } else { "whether its list is whole" };
                return Err(Failure::no_answer(format!("S3 answered 200 without saying {what}")));
            }
        };
        Ok(Page { listed: listed.collect(), folders: folders.collect(), next })
    }

    fn pages(
        &self,
        prefix: &str,
        from: Begin<'_>,
        delimiter: Option<&str>,
        mut each: impl FnMut(Page),
    ) -> Result<(), StoreError> {
        let mut from = from;
        loop {
            let mut page = self.read("list", prefix, self.limits.read, || self.page(prefix, &from, delimiter))?;
            let next = page.next.take();
            each(page);
            match next {
                Some(token) => from = Begin::Token(token),
                None => return Ok(()),
            }
        }
    }
}

enum Begin<'a> {
    Start,
    After(&'a str),
    Token(String),
}

struct Page {
    listed: Vec<Listed>,
    folders: Vec<String>,
    next: Option<String>,
}

impl Store for S3Store {
    fn create(&self, key: &str, content: Content<'_>) -> Result<Created, StoreError> {
        let body = match content {
            Content::Bytes(bytes) => bytes,
            Content::File(path) => mapped(path)?,
        };
        let size = body.len() as u64;
        let limit = self.limits.transfer(size);
        let created = if size <= self.multipart_bytes {
            self.wait(limit, self.put(key, &body, limit))
        } else if self.uses_parts() {
            self.runtime.block_on(self.put_in_parts(key, &body, limit))
        } else {
            return Err(StoreError::Refused {
                action: "create",
                object: self.object(key),
                why: format!("it has {size} bytes, and S3 takes {} at once", config::PUT_BYTES_MAX),
                fix: "lower `store.multipart_threshold`".to_owned(),
            });
        };
        created.map_err(|failure| self.failed("create", key, failure))
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let got = self.read("read", key, self.limits.transfer_max, || self.fetch(key, None))?;
        Ok(got.map(|(bytes, _)| bytes))
    }

    fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.read("read", key, self.limits.transfer(bytes), || self.fetch(key, Some(bytes)))
    }

    fn range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>, StoreError> {
        let length = range.end.saturating_sub(range.start);
        if length == 0 {
            return Ok(Some(Bytes::new()));
        }
        self.read("read", key, self.limits.transfer(length), || self.fetch_range(key, range.clone()))
    }

    fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>, StoreError> {
        let from = after.filter(|key| !key.is_empty()).map_or(Begin::Start, Begin::After);
        let mut out = Vec::new();
        self.pages(prefix, from, None, |page| out.extend(page.listed))?;
        Ok(out)
    }

    fn folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut out = Vec::new();
        self.pages(prefix, Begin::Start, Some("/"), |page| {
            out.extend(
                page.folders
                    .iter()
                    .filter_map(|folder| folder.strip_prefix(prefix)?.strip_suffix('/').map(str::to_owned)),
            );
        })?;
        // S3's order is that of `name/`, which is another where one name starts another.
        out.sort_unstable();
        Ok(out)
    }

    fn self_test(&self) -> Result<(), StoreError> {
        super::self_test(self)?;
        if self.uses_parts() { self.self_test_parts() } else { Ok(()) }
    }

    fn address(&self) -> String {
        self.root()
    }
}

impl Limits {
    /// For a transfer of so many bytes.
    fn transfer(&self, bytes: u64) -> Duration {
        (self.read + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN)).min(self.transfer_max)
    }
}

fn mapped(path: &Path) -> Result<Bytes, StoreError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    map(&file).map_err(io_error("read", path))
}

#[cfg(test)]
mod tests;
