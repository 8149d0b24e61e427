//! What a recorder thread calls: an exchange in, its messages out.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use tracing::error;

use super::assemble::{self, Parsed, Want};
use super::body::Copies;
use super::call::Call;
use super::models::Models;
use super::prediction::Predictions;
use super::redact::{self, Facts};
use super::sample::{self, Draw};
use super::told::Told;
use super::{Encoded, Recorded, cut, key, wire};
use crate::config::{Format, KeyField};
use crate::gateway::exchange::Exchange;
use crate::protocol::generic::merge;
use crate::protocol::{ParseStatus, Problem, Reading, raw};

/// Makes records. Shared by all recorder threads.
pub struct Recorder {
    models: Models,
    topic_template: String,
    topics_from_clients: bool,
    record_bytes_max: Option<usize>,
    redact_key: Vec<u8>,
    key: Option<KeyField>,
    format: Format,
    told: Option<Arc<Told>>,
}

impl Recorder {
    /// `topic_template` may hold `{model}`. Rows are cut to `record_bytes_max`. `redact_key` keys the HMACs that stand
    /// for what must not be kept.
    pub fn new(
        models_max: usize,
        topic_template: String,
        record_bytes_max: Option<usize>,
        redact_key: Vec<u8>,
    ) -> Recorder {
        Recorder {
            models: Models::new(models_max),
            topic_template,
            topics_from_clients: true,
            record_bytes_max,
            redact_key,
            key: None,
            format: Format::Json,
            told: None,
        }
    }

    /// Whether a model name that a client brought in may start a topic; if not, its records go to the route's topic.
    pub fn topics_from_clients(mut self, allowed: bool) -> Recorder {
        self.topics_from_clients = allowed;
        self
    }

    /// The field whose value is the key of a row's message; none unless set.
    pub fn key(mut self, key: Option<KeyField>) -> Recorder {
        self.key = key;
        self
    }

    /// The form of the messages; JSON unless set.
    pub fn format(mut self, format: Format) -> Recorder {
        self.format = format;
        self
    }

    /// Where names are that model servers told, and who wants to know more; nobody is asked unless set.
    pub fn told(mut self, told: Arc<Told>) -> Recorder {
        self.told = Some(told);
        self
    }

    /// Makes the records of a call and releases its capture permit; `None`: it is not in the sample, and is settled so,
    /// unread. Never fails: what cannot be read is said in the record.
    pub fn record(&self, exchange: Exchange) -> Option<Recorded> {
        let (call, ticket, permit) = Call::part(exchange);
        let Draw::Kept(sampling_rate) = sample::draw(&call) else {
            ticket.unsampled();
            return None;
        };
        let (topic, rows) = self.drawn(&call, sampling_rate);
        drop(call);
        drop(permit);
        Some(Recorded { ticket, topic, content_type: self.format.into(), rows })
    }

    /// The topic of a call and its messages without their keys.
    pub fn messages(&self, call: &Call) -> (String, Vec<Vec<u8>>) {
        let (topic, rows) = self.rows(call);
        (topic, rows.into_iter().map(|row| row.value.into()).collect())
    }

    /// The topic and the rows of a call, in the sample or not.
    pub fn rows(&self, call: &Call) -> (String, Vec<Encoded>) {
        self.drawn(call, None)
    }

    /// The topic and the rows of a call that was kept with this probability.
    fn drawn(&self, call: &Call, sampling_rate: Option<f64>) -> (String, Vec<Encoded>) {
        let encode = |(topic, mut predictions): (String, Predictions<'_>)| {
            predictions.envelope.sampling_rate = sampling_rate;
            (topic, self.encode(predictions))
        };
        let parsed = catch_unwind(AssertUnwindSafe(|| {
            let copies = Copies::of(call);
            let told = self.told.as_ref().filter(|_| call.route.record.discover);
            let names = told.and_then(|told| told.names(&call.route.name, &call.path));
            let parsed = assemble::parse(call, &copies, names.as_deref());
            if let Some(told) = told
                && let Some(want) = parsed.want
                && call.succeeded()
            {
                told.want(&call.route, &call.path, want == Want::Others, call.arrived_at_us);
            }
            encode(self.predictions(call, &copies, parsed))
        }));
        parsed.unwrap_or_else(|_| {
            error!(route = call.route.name, id = %call.id, "panicked while recording a call, kept it unparsed");
            let copies = Copies::sealed(call);
            encode(self.predictions(call, &copies, unparsed(call)))
        })
    }

    /// The keys are taken first: cutting may drop the fields they come from.
    fn encode(&self, predictions: Predictions<'_>) -> Vec<Encoded> {
        let mut keys = self.key.as_ref().map(|field| key::keys(&predictions, field)).unwrap_or_default().into_iter();
        let values = cut::encode(predictions, wire::form(self.format), self.record_bytes_max);
        values.into_iter().map(|value| Encoded { key: keys.next().flatten(), value: Bytes::from(value) }).collect()
    }

    /// Assembles, names and redacts.
    fn predictions<'a>(&self, call: &'a Call, copies: &'a Copies, mut parsed: Parsed<'a>) -> (String, Predictions<'a>) {
        let facts = Facts {
            rules: std::mem::take(&mut parsed.rules),
            whole: parsed.reading.whole,
            client_id_keys: parsed.reading.client_id.as_ref().map(|found| found.keys),
        };
        let model = self.models.name(&call.route, parsed.reading.model.as_deref(), call.status);
        let topic = if model.from_client && !self.topics_from_clients {
            self.topic_template.replace("{model}", &call.route.name)
        } else {
            self.topic_template.replace("{model}", &model.name)
        };
        let mut predictions = assemble::assemble(call, copies, parsed, model);
        redact::redact(&mut predictions, call, copies, &facts, &self.redact_key);
        (topic, predictions)
    }
}

/// What stands for a call on which a parser panicked.
fn unparsed(call: &Call) -> Parsed<'_> {
    let problem = || Some(Problem::new(ParseStatus::Invalid, "internal error"));
    Parsed {
        reading: Reading::blank(raw::NAME, merge([problem(), problem()])),
        version: None,
        duplicate_keys: Vec::new(),
        rules: Cow::Borrowed(&call.route.redact),
        layout: None,
        want: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{call, recorder, strict, with_route};

    #[test]
    fn a_panic_while_parsing_costs_columns_only() {
        let call = call(r#"{"a":1}"#, r#"{"p":1}"#);
        let copies = Copies::sealed(&call);
        let (topic, predictions) = recorder().predictions(&call, &copies, unparsed(&call));
        let row = strict(cut::encode(predictions, wire::form(Format::Json), None)).remove(0);
        assert_eq!((topic.as_str(), &row["parse_status"]), ("churn", &"invalid".into()));
        assert_eq!(row["parse_error"], "request: internal error; response: internal error");
        assert_eq!(row["request_body"], r#"{"a":1}"#);

        let call = with_route(call, |route| {
            route.redact = vec![crate::config::RedactRule {
                side: crate::config::Side::Inputs,
                keys: vec!["a".to_owned()],
                action: crate::config::RedactAction::Drop,
            }];
        });
        let copies = Copies::sealed(&call);
        let (_, predictions) = recorder().predictions(&call, &copies, unparsed(&call));
        let row = strict(cut::encode(predictions, wire::form(Format::Json), None)).remove(0);
        assert_eq!(row.get("request_body"), None);
        assert!(row["metadata"].get("request_hmac").is_some());
    }
}
