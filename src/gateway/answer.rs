//! The answers that weir makes itself: one table from what went wrong to status, code and sentence.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::json;

use super::exchange::Outcome;
use super::headers::{Refusal, WEIR_ERROR};
use crate::ledger::Reason;

/// What went wrong, as far as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    BadRequest(&'static str),
    NotForwarded(&'static str),
    NoRoute,
    /// The request has come from this gateway.
    Loop,
    BodyTooLarge {
        bytes_max: u64,
    },
    BodyTimeout,
    Overloaded,
    UpstreamConnect(String),
    UpstreamTimeout,
    /// What the model server did.
    UpstreamAborted(String),
    /// A path of feedback, and no POST.
    NoPost,
    BadFeedback(String),
    FeedbackTooLarge(String),
    /// Feedback that has no room in memory now.
    NoRoom,
    /// Feedback that is not in the log.
    NotKept(Reason),
}

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Failure::BadRequest(_) | Failure::BadFeedback(_) => StatusCode::BAD_REQUEST,
            Failure::NoPost => StatusCode::METHOD_NOT_ALLOWED,
            Failure::NotForwarded(_) => StatusCode::NOT_IMPLEMENTED,
            Failure::NoRoute => StatusCode::NOT_FOUND,
            Failure::Loop => StatusCode::LOOP_DETECTED,
            Failure::BodyTooLarge { .. } | Failure::FeedbackTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Failure::Overloaded | Failure::NoRoom | Failure::NotKept(_) => StatusCode::SERVICE_UNAVAILABLE,
            Failure::UpstreamConnect(_) | Failure::UpstreamAborted(_) => StatusCode::BAD_GATEWAY,
            Failure::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The word of `x-weir-error`.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Failure::BadRequest(_) => "bad_request",
            Failure::NotForwarded(_) => "not_forwarded",
            Failure::NoRoute => "no_route",
            Failure::Loop => "loop",
            Failure::BodyTooLarge { .. } | Failure::FeedbackTooLarge(_) => "body_too_large",
            Failure::BodyTimeout => "body_timeout",
            Failure::Overloaded | Failure::NoRoom => "overloaded",
            Failure::NoPost => "no_post",
            Failure::BadFeedback(_) => "bad_feedback",
            Failure::NotKept(reason) => reason.word(),
            Failure::UpstreamConnect(_) => "upstream_connect",
            Failure::UpstreamTimeout => "upstream_timeout",
            Failure::UpstreamAborted(_) => "upstream_aborted",
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Failure::BadRequest(why) | Failure::NotForwarded(why) => (*why).to_owned(),
            Failure::NoRoute => "no route serves this path".to_owned(),
            Failure::Loop => "the route's upstream leads back to this gateway; name the model server there".to_owned(),
            Failure::BodyTooLarge { bytes_max } => format!("the request body is longer than {bytes_max} bytes"),
            Failure::BodyTimeout => "the request body did not arrive in time".to_owned(),
            Failure::Overloaded => "too many requests are in flight on this route".to_owned(),
            Failure::UpstreamConnect(why) => format!("the model server cannot be reached: {why}"),
            Failure::UpstreamTimeout => "the model server did not answer in time".to_owned(),
            Failure::UpstreamAborted(why) => format!("the model server {why}"),
            Failure::NoPost => "this is a path of feedback; send it by POST, as JSON with `id` and `truth`".to_owned(),
            Failure::BadFeedback(why) | Failure::FeedbackTooLarge(why) => why.clone(),
            Failure::NoRoom => "there is no room for feedback in memory now; send it again in a moment".to_owned(),
            Failure::NotKept(reason) => {
                format!(
                    "the feedback could not be kept ({}): nothing of it is recorded; send it again later",
                    reason.word()
                )
            }
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Failure::UpstreamConnect(_) => Outcome::UpstreamConnect,
            Failure::UpstreamTimeout => Outcome::UpstreamTimeout,
            Failure::UpstreamAborted(_) => Outcome::UpstreamAborted,
            _ => Outcome::Refused,
        }
    }

    /// Whether the connection ends with the answer: what follows on it is not to be read as a request.
    fn closes(&self) -> bool {
        matches!(
            self,
            Failure::BadRequest(_)
                | Failure::NotForwarded(_)
                | Failure::BodyTooLarge { .. }
                | Failure::BodyTimeout
                | Failure::NoPost
                | Failure::FeedbackTooLarge(_)
        )
    }

    /// The answer. `id` is the call's id, or the request's where there is no call.
    pub(super) fn response(&self, id: &str) -> Response<Bytes> {
        let text = json!({ "error": { "code": self.code(), "message": self.message(), "id": id } }).to_string();
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(WEIR_ERROR, HeaderValue::from_static(self.code()));
        if matches!(self, Failure::Overloaded | Failure::NoRoom | Failure::NotKept(_)) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if matches!(self, Failure::NoPost) {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        if self.closes() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Ambiguous(why) => Failure::BadRequest(why),
            Refusal::NotForwarded(why) => Failure::NotForwarded(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_went_wrong_in_json_and_in_a_header() {
        let response = Failure::Overloaded.response("some-id");
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[WEIR_ERROR], "overloaded");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["error"]["code"], "overloaded");
        assert_eq!(body["error"]["id"], "some-id");
    }
}
