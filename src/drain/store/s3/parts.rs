//! One large object as a multipart upload. It exists from its `CompleteMultipartUpload` on, which is as create-only as a
//! `PutObject`; before that it is parts that nobody can see. What a dead process leaves of them is for the bucket's
//! lifecycle rule (`deploy/s3-lifecycle.json`): another drain's upload looks the same, and must not be aborted.
//!
//! Parts are slices of the mapped file: those on their way take room in the page cache, not on the heap.

use std::time::Duration;

use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use fail::fail_point;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::S3Store;
use super::answer::Failure;
use super::create::{content_type, crc32};
use crate::drain::store::{Created, Kind};

/// Bytes of a part, more where the object would have more than [`PARTS_MAX`].
const PART_BYTES: usize = 16 << 20;
/// S3 knows no more.
const PARTS_MAX: usize = 10_000;
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 4;
/// Attempts of a part, which is safe to repeat, and the wait before the second; each next one is four times as long.
const PART_ATTEMPTS: u32 = 4;
const PART_BACKOFF: Duration = Duration::from_millis(100);

impl S3Store {
    /// The whole upload within `limit`. If an answer was lost, the next call finds the object and sends nothing.
    pub(super) async fn put_in_parts(&self, key: &str, body: &Bytes, limit: Duration) -> Result<Created, Failure> {
        if self.exists(key).await? {
            return Ok(Created::Exists);
        }
        self.upload_in_parts(key, body, limit).await
    }

    /// The same without looking first.
    pub(super) async fn upload_in_parts(&self, key: &str, body: &Bytes, limit: Duration) -> Result<Created, Failure> {
        let crc = self.checksums.are_sent();
        let begin = self
            .client()
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(self.full_key(key))
            .content_type(content_type(key))
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.sse_kms.clone())
            .set_checksum_algorithm(crc.then_some(ChecksumAlgorithm::Crc32));
        let begun = begin.send().await.map_err(Failure::of)?;
        let Some(upload) = begun.upload_id() else {
            return Err(Failure::no_answer("S3 answered 200 and named no upload".to_owned()));
        };
        fail_point!("s3_upload_begun");
        let done = match tokio::time::timeout(limit, self.send_parts(key, body, upload, crc)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::late(limit)),
        };
        if done != Ok(Created::New) {
            self.abort(key, upload).await;
        }
        done
    }

    async fn send_parts(&self, key: &str, body: &Bytes, upload: &str, crc: bool) -> Result<Created, Failure> {
        let size = PART_BYTES.max(body.len().div_ceil(PARTS_MAX));
        let parts = (0..body.len().div_ceil(size).max(1)).map(|part| {
            let content = body.slice(part * size..body.len().min((part + 1) * size));
            // At most `PARTS_MAX`.
            self.part(key, upload, part as i32 + 1, content, crc)
        });
        let parts: Vec<CompletedPart> = stream::iter(parts).buffered(PARTS_AT_ONCE).try_collect().await?;
        fail_point!("s3_parts_sent");
        let completed = self.complete(key, body, upload, parts).await;
        fail_point!("s3_completed");
        completed
    }

    async fn part(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        content: Bytes,
        crc: bool,
    ) -> Result<CompletedPart, Failure> {
        let crc = crc.then(|| crc32(&content));
        let mut backoff = PART_BACKOFF;
        for _ in 1..PART_ATTEMPTS {
            match self.part_once(key, upload, number, &content, crc.as_deref()).await {
                Err(failure) if failure.kind() == Kind::Retry && !failure.is_lost_upload() => {
                    tokio::time::sleep(backoff).await;
                }
                result => return result,
            }
            backoff *= 4;
        }
        self.part_once(key, upload, number, &content, crc.as_deref()).await
    }

    async fn part_once(
        &self,
        key: &str,
        upload: &str,
        number: i32,
        content: &Bytes,
        crc: Option<&str>,
    ) -> Result<CompletedPart, Failure> {
        let limit = self.limits.transfer(content.len() as u64);
        let timeouts = TimeoutConfig::builder().read_timeout(limit).operation_timeout(limit).build();
        let part = self
            .client()
            .upload_part()
            .bucket(&self.bucket)
            .key(self.full_key(key))
            .upload_id(upload)
            .part_number(number)
            .set_checksum_crc32(crc.map(str::to_owned))
            .body(ByteStream::from(content.clone()))
            .customize()
            .config_override(aws_sdk_s3::Config::builder().timeout_config(timeouts));
        let answer = part.send().await.map_err(Failure::of)?;
        fail_point!("s3_part_sent");
        // Without it nothing can be completed, and no S3 leaves it out.
        let Some(tag) = answer.e_tag() else {
            return Err(Failure::no_answer(format!("S3 answered 200 to part {number} without its ETag")));
        };
        Ok(CompletedPart::builder()
            .part_number(number)
            .e_tag(tag)
            .set_checksum_crc32(answer.checksum_crc32().and(crc).map(str::to_owned))
            .build())
    }

    /// What makes the object. S3 may answer 200 and put the error into the body, or take longer than anybody waits: then,
    /// too, the object itself is asked.
    async fn complete(
        &self,
        key: &str,
        body: &Bytes,
        upload: &str,
        parts: Vec<CompletedPart>,
    ) -> Result<Created, Failure> {
        let limit = self.limits.transfer(body.len() as u64);
        let timeouts = TimeoutConfig::builder().read_timeout(limit).operation_timeout(limit).build();
        let complete = self
            .client()
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(self.full_key(key))
            .upload_id(upload)
            .if_none_match("*")
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .customize()
            .config_override(aws_sdk_s3::Config::builder().timeout_config(timeouts));
        let failure = match complete.send().await.map_err(Failure::of) {
            Ok(_) => Failure::no_answer("S3 answered 200 and has no such object".to_owned()),
            Err(failure) if failure.status() == Some(412) => return Ok(Created::Exists),
            Err(failure) if failure.status() == Some(409) => return self.after_conflict(key, failure).await,
            Err(failure) if failure.kind() == Kind::Retry => failure,
            Err(failure) => return Err(failure),
        };
        match self.look(key, body).await {
            Ok(Some(created)) => Ok(created),
            Ok(None) | Err(_) => Err(failure),
        }
    }

    /// Gives the parts back. Nothing depends on it: they cost money until the lifecycle rule finds them.
    async fn abort(&self, key: &str, upload: &str) {
        let abort =
            self.client().abort_multipart_upload().bucket(&self.bucket).key(self.full_key(key)).upload_id(upload);
        match abort.send().await.map_err(Failure::of) {
            Ok(_) => {}
            Err(failure) if failure.is_lost_upload() => {}
            Err(failure) => {
                let error = failure.into_error("abort the upload of", self.object(key));
                tracing::debug!(%error, "parts of an upload are left to the bucket's lifecycle rule");
            }
        }
    }
}
