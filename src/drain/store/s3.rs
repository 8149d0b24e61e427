//! S3 as a store: `PutObject` with `If-None-Match: *`, ranged reads, paged lists. One request per create: what an answer
//! means, and when to ask again, is the drain's to decide, so the SDK's own retries are off.

mod answer;

use std::fs::File;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::Bytes;
use tokio::runtime::Handle;

use super::folder::{io_error, map};
use super::{Content, Created, Kind, Listed, Store, StoreError};
use crate::config;
use answer::Failure;

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// To open a connection.
    connect: Duration,
    /// To the first byte of an answer, and for a whole small one.
    read: Duration,
    /// For one transfer, however large.
    transfer_max: Duration,
}

/// A transfer ends below the 15 minutes for which a signature is good, so that no write lands later than anybody expects.
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

/// Objects below a prefix of one bucket. Credentials come from AWS's default chain and are renewed by it.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    runtime: Handle,
    bucket: String,
    /// Empty, or ending in a slash.
    prefix: String,
    /// Whether the store is AWS's own, and so understands every checksum.
    is_aws: bool,
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
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(limits.connect)
            .read_timeout(limits.read)
            .operation_timeout(limits.transfer_max)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(region) = &s3.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &s3.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(credentials) = credentials {
            loader = loader.credentials_provider(credentials);
        }
        let shared = runtime.block_on(loader.load());
        let is_aws = shared.endpoint_url().is_none();
        let mut builder = aws_sdk_s3::config::Builder::from(&shared).force_path_style(s3.path_style);
        if !is_aws {
            // Other stores refuse checksums that they do not know, each in its own way.
            builder = builder
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        }
        if shared.region().is_none() {
            if is_aws {
                return Err(StoreError::Refused {
                    action: "open",
                    object: format!("s3://{}", s3.bucket),
                    why: "no region is set".to_owned(),
                    fix: "set `store.region`, or the environment variable AWS_REGION".to_owned(),
                });
            }
            builder = builder.region(Region::new("us-east-1"));
        }
        Ok(S3Store {
            client: Client::from_conf(builder.build()),
            runtime: runtime.clone(),
            bucket: s3.bucket.clone(),
            prefix: if s3.prefix.is_empty() { String::new() } else { format!("{}/", s3.prefix.trim_matches('/')) },
            is_aws,
            limits,
        })
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
                Err(_) => Err(Failure::no_answer(format!("no answer within {} s", limit.as_secs()))),
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
                Err(failure) if failure.kind() == Kind::Retry => std::thread::sleep(backoff),
                result => return result.map_err(|failure| failure.into_error(action, self.object(key))),
            }
            backoff *= 4;
        }
        self.wait(limit, call()).map_err(|failure| failure.into_error(action, self.object(key)))
    }

    async fn put(&self, key: &str, body: Bytes, limit: Duration) -> Result<Created, Failure> {
        // The SDK counts an upload into the wait for an answer's first byte.
        let timeouts = TimeoutConfig::builder().read_timeout(limit).operation_timeout(limit).build();
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.full_key(key))
            .if_none_match("*")
            .content_type(content_type(key))
            .set_checksum_algorithm(self.is_aws.then_some(ChecksumAlgorithm::Crc32))
            .body(ByteStream::from(body))
            .customize()
            .config_override(aws_sdk_s3::Config::builder().timeout_config(timeouts));
        match put.send().await.map_err(Failure::of) {
            Ok(_) => Ok(Created::New),
            Err(failure) if failure.status() == Some(412) => Ok(Created::Exists),
            // A race on AWS, the loser's answer elsewhere: the object itself knows.
            Err(failure) if failure.status() == Some(409) => match self.exists(key).await {
                Ok(true) => Ok(Created::Exists),
                _ => Err(failure),
            },
            Err(failure) => Err(failure),
        }
    }

    async fn exists(&self, key: &str) -> Result<bool, Failure> {
        let head = self.client.head_object().bucket(&self.bucket).key(self.full_key(key));
        match head.send().await.map_err(Failure::of) {
            Ok(_) => Ok(true),
            Err(failure) if failure.status() == Some(404) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The object, or its last `tail` bytes, with its whole size.
    async fn fetch(&self, key: &str, tail: Option<u64>) -> Result<Option<(Bytes, u64)>, Failure> {
        let range = tail.map(|bytes| format!("bytes=-{}", bytes.max(1)));
        let get = self.client.get_object().bucket(&self.bucket).key(self.full_key(key)).set_range(range);
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
        }
        Ok(Some((bytes, size)))
    }

    /// One page below `prefix`: keys, folders, and where the next page starts.
    async fn page(&self, prefix: &str, from: &Begin<'_>, delimiter: Option<&str>) -> Result<Page, Failure> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.full_key(prefix));
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
        let more = answer.is_truncated().unwrap_or(false);
        Ok(Page {
            listed: listed.collect(),
            folders: folders.collect(),
            next: answer.next_continuation_token().filter(|_| more).map(str::to_owned),
        })
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
        let limit = self.limits.transfer(body.len() as u64);
        self.wait(limit, self.put(key, body, limit)).map_err(|failure| failure.into_error("create", self.object(key)))
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let got = self.read("read", key, self.limits.transfer_max, || self.fetch(key, None))?;
        Ok(got.map(|(bytes, _)| bytes))
    }

    fn tail(&self, key: &str, bytes: u64) -> Result<Option<(Bytes, u64)>, StoreError> {
        self.read("read", key, self.limits.transfer(bytes), || self.fetch(key, Some(bytes)))
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

    fn address(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.prefix).trim_end_matches('/').to_owned()
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

fn content_type(key: &str) -> &'static str {
    match key.rsplit_once('.') {
        Some((_, "parquet")) => "application/vnd.apache.parquet",
        Some((_, "json")) => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
