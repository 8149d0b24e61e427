//! What S3's answers mean: ask again, or stop and say what to change. Messages name the object and the fix, never a secret.

use std::error::Error;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::drain::store::{Kind, StoreError};

/// A request that did not end in success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// S3 said no.
    Answer { status: u16, code: String, message: String },
    /// Nothing came, or nothing that can be read.
    NoAnswer(String),
    /// It could not even be sent.
    Unsendable(String),
}

impl Failure {
    pub(super) fn of<E>(error: SdkError<E, HttpResponse>) -> Failure
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        if let SdkError::ServiceError(answer) = &error {
            return Failure::Answer {
                status: answer.raw().status().as_u16(),
                code: answer.err().code().unwrap_or_default().to_owned(),
                message: answer.err().message().unwrap_or_default().to_owned(),
            };
        }
        match &error {
            // An error's status decides even where its body is not S3's XML (a proxy's page).
            SdkError::ResponseError(answer) if !answer.raw().status().is_success() => Failure::Answer {
                status: answer.raw().status().as_u16(),
                code: String::new(),
                message: "an answer that is not S3's".to_owned(),
            },
            SdkError::ConstructionFailure(_) => Failure::Unsendable(chain(&error)),
            _ => Failure::NoAnswer(chain(&error)),
        }
    }

    pub(super) fn no_answer(why: String) -> Failure {
        Failure::NoAnswer(why)
    }

    /// Names the server, if it has an address of its own.
    pub(super) fn at(self, endpoint: Option<&str>) -> Failure {
        match (self, endpoint) {
            (Failure::NoAnswer(why), Some(endpoint)) => Failure::NoAnswer(format!("{endpoint}: {why}")),
            (failure, _) => failure,
        }
    }

    pub(super) fn late(limit: Duration) -> Failure {
        Failure::NoAnswer(format!("no answer within {} s", limit.as_secs()))
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Failure::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// S3 itself says that the object is not there; a 404 of its bucket, its key or some other server says nothing of it.
    pub(super) fn is_no_such_key(&self) -> bool {
        matches!(self, Failure::Answer { status: 404, code, .. } if code == "NoSuchKey")
    }

    /// Other credentials might have been let through.
    pub(super) fn is_of_credentials(&self) -> bool {
        matches!(self, Failure::Answer { status, code, .. } if matches!(status, 401 | 403) || is_expired(code))
    }

    /// The store knows the request or one of its headers not, or not in this form.
    pub(super) fn is_unknown_request(&self) -> bool {
        const CODES: [&str; 5] = ["", "InvalidArgument", "InvalidRequest", "NotImplemented", "MethodNotAllowed"];
        matches!(self, Failure::Answer { status: 400 | 405 | 501, code, .. } if CODES.contains(&code.as_str()))
    }

    /// The upload in parts is gone, or one of its parts is: it begins anew.
    pub(super) fn is_lost_upload(&self) -> bool {
        matches!(self, Failure::Answer { code, .. } if matches!(code.as_str(), "NoSuchUpload" | "InvalidPart" | "InvalidPartOrder"))
    }

    pub(super) fn kind(&self) -> Kind {
        if self.fix().is_some() { Kind::Stop } else { Kind::Retry }
    }

    pub(super) fn into_error(self, action: &'static str, object: String) -> StoreError {
        let why = match &self {
            Failure::Answer { status, code, message } => {
                [format!("S3 answered {status}"), code.clone(), message.clone()].join(" ").trim_end().to_owned()
            }
            Failure::NoAnswer(why) | Failure::Unsendable(why) => why.clone(),
        };
        match self.fix() {
            Some(fix) => StoreError::Refused { action, object, why, fix: fix.to_owned() },
            None => StoreError::Unanswered { action, object, why },
        }
    }

    /// What has to change before the same request can succeed; `None` if nothing has to.
    fn fix(&self) -> Option<&'static str> {
        let (status, code, message) = match self {
            Failure::Answer { status, code, message } => (*status, code.as_str(), message.as_str()),
            Failure::NoAnswer(why) if why.contains("no credentials found in chain") => {
                return Some(NO_CREDENTIALS);
            }
            Failure::NoAnswer(why) if why.contains("peer certificate") => return Some(CERTIFICATE),
            Failure::NoAnswer(_) => return None,
            Failure::Unsendable(why) if why.contains("credentials") => return Some(NO_CREDENTIALS),
            Failure::Unsendable(_) => return Some("correct `store.to`, `store.endpoint` and `store.region`"),
        };
        match (status, code) {
            (_, "NoSuchBucket") => Some("create the bucket, or correct `store.to`"),
            (_, "InvalidBucketName") => Some("correct the bucket's name in `store.to`"),
            (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "XAdminUserNotFound") => {
                Some("correct the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile in use)")
            }
            (_, "RequestTimeTooSkewed") => Some("set this machine's clock"),
            (_, "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
            | (300..=399, _) => Some("set `store.region` to the bucket's region"),
            (_, "RequestTimeout" | "RequestTimeoutException") => None,
            (_, code) if is_expired(code) => None,
            // What came over was not what was sent.
            (_, "BadDigest" | "InvalidDigest" | "IncompleteBody" | "XAmzContentSHA256Mismatch") => None,
            (_, "NoSuchUpload" | "InvalidPart" | "InvalidPartOrder") => None,
            (_, code) if code.starts_with("KMS.") => Some(KMS),
            (401 | 403, _) if message.contains("kms:") => Some(KMS),
            (401 | 403, _) => Some(
                "allow these credentials s3:PutObject, s3:GetObject and s3:AbortMultipartUpload on the prefix and \
                 s3:ListBucket on the bucket (`deploy/s3-policy.json`)",
            ),
            (404, _) => Some("correct `store.to` and `store.endpoint`"),
            (501, _) => Some("use a store that honours create-only writes (If-None-Match: *)"),
            (408 | 409 | 429 | 500.., _) => None,
            (..300, _) => None,
            _ => Some("check `store.to`, `store.endpoint`, `store.region` and `store.path_style`"),
        }
    }
}

const NO_CREDENTIALS: &str =
    "give it credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the machine's or pod's role";

const CERTIFICATE: &str = "give the server a certificate that is good for its name and for now, and this process the authority that signed it \
     (a PEM file, in the environment variable SSL_CERT_FILE)";

const KMS: &str =
    "correct `store.sse_kms`, and allow these credentials kms:GenerateDataKey and kms:Decrypt on that key";

/// Credentials that were good; newer ones are read for the next request.
fn is_expired(code: &str) -> bool {
    matches!(code, "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" | "RequestExpired")
}

/// The SDK's words for "it did not get there", which say nothing to who reads them.
const WRAPPERS: [&str; 4] = ["dispatch failure", "io error", "other", "client error (Connect)"];

/// An error with its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    let last = texts.len() - 1;
    let mut told: Vec<&str> = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        if (n == last || !WRAPPERS.contains(&text.as_str())) && told.last().is_none_or(|before| !before.ends_with(text))
        {
            told.push(text);
        }
    }
    // The SDK lists on lines of their own what it tried.
    told.join(": ").lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Failure {
        Failure::Answer { status, code: code.to_owned(), message: "m".to_owned() }
    }

    #[test]
    fn what_may_pass_is_asked_again_and_what_may_not_names_its_fix() {
        for (status, code) in [
            (409, "ConditionalRequestConflict"),
            (409, "OperationAborted"),
            (503, "SlowDown"),
            (500, "InternalError"),
            (502, ""),
            (429, "TooManyRequests"),
            (400, "RequestTimeout"),
            (400, "ExpiredToken"),
        ] {
            assert_eq!(answer(status, code).kind(), Kind::Retry, "{status} {code}");
        }
        for (status, code, fix) in [
            (403, "AccessDenied", "s3:ListBucket"),
            (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            (403, "RequestTimeTooSkewed", "clock"),
            (404, "NoSuchBucket", "create the bucket"),
            (301, "PermanentRedirect", "store.region"),
            (400, "InvalidRequest", "store.endpoint"),
            (501, "NotImplemented", "create-only"),
        ] {
            let error = answer(status, code).into_error("create", "s3://b/k".to_owned());
            assert_eq!(error.kind(), Kind::Stop, "{status} {code}");
            let text = error.to_string();
            assert!(text.contains("s3://b/k") && text.contains(code) && text.contains(fix), "{text}");
        }
        assert_eq!(Failure::no_answer("connection refused".to_owned()).kind(), Kind::Retry);
        let unknown = Failure::no_answer("invalid peer certificate: UnknownIssuer".to_owned());
        let error = unknown.into_error("create", "s3://b/k".to_owned());
        assert!(error.kind() == Kind::Stop && error.to_string().contains("SSL_CERT_FILE"), "{error}");
    }

    #[test]
    fn causes_are_told_without_what_only_wraps_them() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Wrapped(&'static str, #[source] Option<Box<Wrapped>>);
        let chained = |texts: &[&'static str]| {
            let wrap = |inner: Option<Box<Wrapped>>, text: &&'static str| Some(Box::new(Wrapped(text, inner)));
            chain(&*texts.iter().rev().fold(None, wrap).unwrap())
        };
        let refused = "tcp connect error: Connection refused";
        let texts = ["dispatch failure", "io error", "client error (Connect)", refused, "Connection refused"];
        assert_eq!(chained(&texts), refused);
        assert_eq!(
            chained(&["dispatch failure", "other", "no credentials\n  tried this"]),
            "no credentials; tried this"
        );
        assert_eq!(chained(&["dispatch failure"]), "dispatch failure");
    }

    #[test]
    fn a_missing_object_is_not_a_missing_bucket() {
        assert!(answer(404, "NoSuchKey").is_no_such_key());
        for code in ["", "NoSuchBucket", "InvalidAccessKeyId"] {
            assert!(!answer(404, code).is_no_such_key(), "{code}");
        }
    }
}
