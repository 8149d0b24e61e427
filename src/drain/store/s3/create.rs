//! One small object by one `PutObject`, and what its answer proves. "200" alone proves nothing: a proxy may say it, with
//! or without a page of its own, for what never reached a disk. Believed is an answer that repeats the checksum of what
//! was sent; after any other the object itself is read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

use super::S3Store;
use super::answer::Failure;
use crate::drain::store::Created;

/// Bytes compared when an object is read back. They hold a data file's metadata, and so the checksum of its data.
const LOOK_BYTES: u64 = 64 * 1024;

/// Whether checksums are sent: until a store refuses a request that has one, and takes the same without.
#[derive(Debug, Default)]
pub(super) struct Checksums {
    refused: AtomicBool,
}

impl Checksums {
    pub(super) fn are_sent(&self) -> bool {
        !self.refused.load(Ordering::Relaxed)
    }

    fn refuse(&self, store: &str) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            tracing::info!(store, "the store does not take checksums (x-amz-checksum-crc32); objects are sent without");
        }
    }
}

impl S3Store {
    /// Sends it once; a second time only to learn whether a refusal was meant for the checksum.
    pub(super) async fn put(&self, key: &str, body: &Bytes, limit: Duration) -> Result<Created, Failure> {
        let with = self.checksums.are_sent();
        let first = self.put_once(key, body, with.then(|| crc32(body)), limit).await;
        match first {
            Err(failure) if with && failure.is_unknown_request() => {
                let second = self.put_once(key, body, None, limit).await;
                if second.is_ok() {
                    self.checksums.refuse(&self.root());
                }
                second
            }
            first => first,
        }
    }

    async fn put_once(
        &self,
        key: &str,
        body: &Bytes,
        crc32: Option<String>,
        limit: Duration,
    ) -> Result<Created, Failure> {
        // The SDK counts an upload into the wait for an answer's first byte.
        let timeouts = TimeoutConfig::builder().read_timeout(limit).operation_timeout(limit).build();
        let put = self
            .client()
            .put_object()
            .bucket(&self.bucket)
            .key(self.full_key(key))
            .if_none_match("*")
            .content_type(content_type(key))
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.sse_kms.clone())
            .set_checksum_crc32(crc32.clone())
            .body(ByteStream::from(body.clone()))
            .customize()
            .config_override(aws_sdk_s3::Config::builder().timeout_config(timeouts));
        match put.send().await.map_err(Failure::of) {
            Ok(answer) if crc32.is_some() && answer.checksum_crc32() == crc32.as_deref() => Ok(Created::New),
            Ok(_) => match self.look(key, body).await? {
                Some(created) => Ok(created),
                None => Err(Failure::no_answer("S3 answered 200 and has no such object".to_owned())),
            },
            Err(failure) if failure.status() == Some(412) => Ok(Created::Exists),
            Err(failure) if failure.status() == Some(409) => self.after_conflict(key, failure).await,
            Err(failure) => Err(failure),
        }
    }

    /// A race on AWS, the loser's answer elsewhere: the object itself knows.
    pub(super) async fn after_conflict(&self, key: &str, failure: Failure) -> Result<Created, Failure> {
        match self.exists(key).await {
            Ok(true) => Ok(Created::Exists),
            _ => Err(failure),
        }
    }

    /// Whose object stands at `key`: the one that was sent, some other (`Exists`: read it), or none.
    pub(super) async fn look(&self, key: &str, sent: &Bytes) -> Result<Option<Created>, Failure> {
        let whole = sent.len() as u64;
        let from = whole.saturating_sub(LOOK_BYTES) as usize;
        Ok(self
            .fetch(key, Some(LOOK_BYTES))
            .await?
            .map(|(end, size)| if size == whole && end == sent[from..] { Created::New } else { Created::Exists }))
    }

    pub(super) fn encryption(&self) -> Option<ServerSideEncryption> {
        self.sse_kms.as_ref().map(|_| ServerSideEncryption::AwsKms)
    }
}

/// The checksum as S3 writes it.
pub(super) fn crc32(bytes: &[u8]) -> String {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes) as u32;
    BASE64.encode(crc.to_be_bytes())
}

pub(super) fn content_type(key: &str) -> &'static str {
    match key.rsplit_once('.') {
        Some((_, "parquet")) => "application/vnd.apache.parquet",
        Some((_, "json")) => "application/json",
        _ => "application/octet-stream",
    }
}
