//! Posted feedback -> its records. In: a [`Posted`], unread. Out: the messages of one log entry, or why there are none, in words
//! for whoever posted it.
//!
//! `{"id", "truth", "reward", "metadata"}`, or a list of such, all of which are kept or none; or Seldon's form (`seldon.rs`).
//! `id` is a row's, or a call's `x-weir-id`; `client_request_id` may stand in its place. What is not of this form is refused,
//! not kept as it is: here, other than with a prediction, there is somebody who can put it right.
//!
//! The record: `id, model_name, occurred_at, request_id, client_request_id, row_index, route, metadata, schema_version, truth,
//! reward`, in the form that predictions have. Truth passes the rules of redaction before anything else sees it.

mod plain;
mod said;
mod seldon;
mod truth;
mod write;

use bytes::Bytes;
use http::StatusCode;

use super::{ContentType, Encoded, wire};
use crate::config::{Format, KeyField, feedback_topic};
use crate::gateway::feedback::{Posted, Told};
use crate::protocol::{Value, encoding, json};
use said::{Place, Said};

/// Makes records of feedback.
pub struct FeedbackRecorder {
    topic_template: String,
    record_bytes_max: Option<usize>,
    key: Option<KeyField>,
    format: Format,
}

/// One entry for the log, and what its client is told once it is there.
#[derive(Debug)]
pub struct Feedback {
    pub topic: String,
    pub content_type: ContentType,
    /// Never empty.
    pub rows: Vec<Encoded>,
    pub told: Told,
}

impl FeedbackRecorder {
    /// `topic_template` is that of predictions. A record beyond `record_bytes_max` is refused; `key` is the messages' key.
    pub fn new(topic_template: String, record_bytes_max: Option<usize>, key: Option<KeyField>) -> FeedbackRecorder {
        FeedbackRecorder { topic_template, record_bytes_max, key, format: Format::Json }
    }

    /// The form of the messages; JSON unless set.
    pub fn format(mut self, format: Format) -> FeedbackRecorder {
        self.format = format;
        self
    }

    /// Reads what was posted.
    ///
    /// # Errors
    /// What the client is told instead.
    pub fn record(&self, posted: &Posted) -> Result<Feedback, Told> {
        let capture = &posted.route.capture;
        let decoded = encoding::decode(&posted.headers, &posted.body, capture.decompressed_bytes_max);
        let body = decoded.map_err(|problem| Told::Bad(format!("the body cannot be read: {}", problem.what)))?;
        if body.trim_ascii().is_empty() {
            return Err(Told::Bad(format!("the body is empty; {EXAMPLE}")));
        }
        let document = json::read(&body, capture.depth_max).map_err(|problem| {
            Told::Bad(format!("the body is not JSON that can be read: {}; {EXAMPLE}", problem.what))
        })?;
        if let Some(key) = document.duplicate_keys.iter().find(|key| said::KEYS.contains(&key.as_str())) {
            return Err(Told::Bad(format!("`{key}` stands twice in one object; write it once")));
        }
        let (said, told) = read(document.value, posted)?;
        let rows = said.into_iter().enumerate().map(|(at, said)| self.encode(said, at, posted));
        let topic = feedback_topic(&self.topic_template.replace("{model}", posted.route.own_model()));
        let content_type = ContentType::from(self.format);
        Ok(Feedback { topic, content_type, rows: rows.collect::<Result<_, _>>()?, told })
    }

    fn encode(&self, said: Said<'_>, at: usize, posted: &Posted) -> Result<Encoded, Told> {
        let said = truth::redact(said, &posted.route).map_err(|why| Told::Bad(Place::number(at).says(why)))?;
        let (metadata, value) = write::record(wire::form(self.format), &said, posted);
        if let Some(most) = self.record_bytes_max.filter(|most| value.len() > *most) {
            let what = format!("its record would have {} bytes, more than {most} (`kafka.max_record`)", value.len());
            return Err(Told::TooLarge(Place::number(at).says(format!("{what}; send less"))));
        }
        let key = self.key.as_ref().and_then(|field| write::key(field, &said, posted, &metadata));
        Ok(Encoded { key, value: Bytes::from(value) })
    }
}

const EXAMPLE: &str = r#"send for example {"id": "<the answer's x-weir-id>", "truth": true}"#;

/// What was said, and the answer to it.
fn read<'a>(value: Value<'a>, posted: &Posted) -> Result<(Vec<Said<'a>>, Told), Told> {
    let kept = |status, body: serde_json::Value| Told::Kept { status, body: body.to_string() };
    match value {
        Value::List(items) => {
            let rows_max = posted.route.capture.rows_max;
            if items.is_empty() {
                return Err(Told::Bad(format!("the list is empty; {EXAMPLE}")));
            }
            if items.len() > rows_max {
                let what = format!("the list has {} feedbacks, more than {rows_max} (`capture.rows_max`)", items.len());
                return Err(Told::TooLarge(format!("{what}; send it in several requests")));
            }
            let read = |(at, item)| plain::read(item, Place::number(at)).map_err(Told::Bad);
            let said = items.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
            let ids: Vec<&str> = said.iter().map(Said::word).collect();
            let told = kept(StatusCode::ACCEPTED, serde_json::json!({"accepted": ids.len(), "ids": ids}));
            Ok((said, told))
        }
        Value::Object(fields) if seldon::is(&fields) => {
            let said = seldon::read(fields, posted).map_err(Told::Bad)?;
            // Its clients take nothing but 200 for success, and a message of theirs for its text.
            let told = kept(StatusCode::OK, serde_json::json!({"meta": {"puid": said[0].word()}}));
            Ok((said, told))
        }
        value => {
            let said = plain::read(value, Place::Whole).map_err(Told::Bad)?;
            let told = kept(StatusCode::ACCEPTED, serde_json::json!({"accepted": 1, "id": said.word()}));
            Ok((vec![said], told))
        }
    }
}
