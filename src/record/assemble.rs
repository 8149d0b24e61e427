//! A call and what its protocol read -> [`Predictions`]. In: [`Call`], [`Reading`]. Out: plain data, not yet redacted.

use std::borrow::Cow;

use http::HeaderMap;

use super::body::{self, Copies};
use super::call::Call;
use super::models::Named;
use super::prediction::{Envelope, Prediction, Predictions};
use super::redact::{self, Sight};
use super::told::Learned;
use crate::config::{Bodies, ProtocolChoice, RedactRule, Side, VersionFrom};
use crate::gateway::exchange::{Keep, Kept, Origin, Outcome};
use crate::protocol::media;
use crate::protocol::side::media_type;
use crate::protocol::{self, ClientId, Columns, Limits, Matter, NamesIn, Places, Reading, Value};

/// Bytes of a client's id that are kept.
const CLIENT_ID_BYTES_MAX: usize = 1024;

/// Headers in which a client's own id may stand: those before the body's, and the one after.
const ID_HEADERS: [&str; 3] = ["x-request-id", "x-amzn-sagemaker-inference-id", "seldon-puid"];
const ID_HEADER_LAST: &str = "ce-id";

/// What a call's bodies say, and what else redaction must know of them.
pub struct Parsed<'a> {
    pub reading: Reading<'a>,
    pub version: Option<Cow<'a, str>>,
    pub duplicate_keys: Vec<String>,
    /// The route's rules, and what they mean by that.
    pub rules: Cow<'a, [RedactRule]>,
    /// What did not fit of the route's names and places, for people.
    pub layout: Option<String>,
    /// Which names the model server could tell.
    pub want: Option<Want>,
}

/// Names that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Values have none.
    Some,
    /// Those that were told do not fit.
    Others,
}

/// Reads both bodies by the route's protocol. `told`: what the model server says that values without names are called.
pub fn parse<'a>(call: &'a Call, copies: &'a Copies, told: Option<&'a Learned>) -> Parsed<'a> {
    let route = &call.route;
    let limits = Limits::from(&route.capture);
    let read = route.protocol != ProtocolChoice::Raw;
    let answered = call.answered();
    let request = copies.request.side(&call.request_headers, read, limits.depth_max);
    let response = copies.response.side(&call.response_headers, read && answered, limits.depth_max);
    let version = match &route.version {
        Some(VersionFrom::Response(keys)) => {
            response.value.as_ref().ok().and_then(|value| value.get(keys)).and_then(Value::as_word)
        }
        Some(VersionFrom::Fixed(version)) => Some(Cow::Borrowed(version.as_str())),
        Some(VersionFrom::Header(name)) => {
            header(&call.response_headers, name).or_else(|| header(&call.request_headers, name)).map(Cow::Owned)
        }
        None => None,
    };
    let record = &route.record;
    let places = Places {
        request: record.inputs.rows.as_deref(),
        response: record.outputs.rows.as_deref(),
        columns: [record.inputs.columns.len(), record.outputs.columns.len()],
    };
    let mut matter = Matter { path: &call.path, request, response, answered, places, made: &copies.names, limits };
    let form = protocol::recognise(route.protocol, &matter);
    let mut layout = if read { matter.unplaced() } else { None };
    let names = if matter.is_placed() { NamesIn::Rows } else { form.names };
    let mut sights = [Sight::default(), Sight::default()];
    if form.names == NamesIn::Body {
        sights[0].at_positions = redact::withhold(&mut matter.request, &route.redact, Side::Inputs);
        sights[1].at_positions = redact::withhold(&mut matter.response, &route.redact, Side::Outputs);
    }
    // Where values stand at positions, a key may be one.
    let repeated = |side: &protocol::Side<'_>, sight: &Sight<'_>| match sight.at_positions {
        Some(_) => Vec::new(),
        None => side.duplicate_keys.clone(),
    };
    let duplicate_keys =
        duplicate_keys([repeated(&matter.request, &sights[0]), repeated(&matter.response, &sights[1])]);
    let named = redact::Named::of(&matter, &route.redact);
    let sides = [&matter.request, &matter.response];
    let is_table = sides.map(|side| side.form == media::Form::Csv);
    // Nobody reads what is no answer.
    let unread = [matter.request.value.is_err(), matter.answered && matter.response.value.is_err()];
    let event_id = matter.request.event_id.take();
    let mut reading = (form.read)(matter);
    if !route.redact.is_empty() {
        reading.spell_out();
    }
    if reading.client_id.is_none() {
        reading.client_id = event_id.map(|id| ClientId { keys: &["id"], id });
    }
    redact::withhold_unread(&mut reading, &route.redact, unread);
    redact::withhold_headed(&mut reading, &route.redact, is_table);
    redact::withhold_taken(&mut reading, &named);
    redact::forget_model(&mut reading, &route.redact);
    let mut want = None;
    for side in [Side::Inputs, Side::Outputs] {
        let list = record.side(side).rows.as_ref().and_then(|keys| keys.last()).map(String::as_str);
        let sight = &mut sights[side as usize];
        sight.list = list;
        let names = &record.side(side).columns;
        if !names.is_empty() {
            let columns = Columns { names, giver: "the route names", list, tensors: true };
            let applied = protocol::columns::apply(&mut reading, side, columns);
            layout = layout.or_else(|| applied.misfit.clone());
            sight.given = Some((columns, applied));
        } else if route.redact.iter().all(|rule| rule.side != side) && protocol::columns::is_unnamed(&reading, side) {
            // What a server says of itself decides nothing about what is kept: where there are rules, positions stay.
            want = want.or(Some(Want::Some));
            let names = told.map(|told| told.side(side)).unwrap_or_default();
            if !names.is_empty() {
                let columns = Columns { names, giver: "the model server names", list, tensors: false };
                let applied = protocol::columns::apply(&mut reading, side, columns);
                if applied.misfit.is_some() {
                    want = Some(Want::Others);
                }
                layout = layout.or(applied.misfit);
            }
        }
    }
    let rules = redact::settle(&mut reading, &route.redact, names, &sights);
    let version = version.or_else(|| reading.version.take());
    Parsed { reading, version, duplicate_keys, rules, layout, want }
}

/// Keys that occur twice on either side, each once.
fn duplicate_keys([request, response]: [Vec<String>; 2]) -> Vec<String> {
    let mut names = request;
    for key in response {
        if !names.contains(&key) {
            names.push(key);
        }
    }
    names
}

/// The record of a call, all fields but those that redaction sets.
pub fn assemble<'a>(call: &'a Call, copies: &'a Copies, parsed: Parsed<'a>, model: Named) -> Predictions<'a> {
    let Parsed { reading, version, duplicate_keys, layout, .. } = parsed;
    let (parse_status, parse_error) = match reading.problem {
        Some(problem) => (problem.status, Some(problem.what)),
        None => (protocol::ParseStatus::Ok, None),
    };
    let streamed = media_type(&call.response_headers).is_some_and(|name| media::is_stream(&name));
    let ended = reading.ended.filter(|_| streamed);
    // Whoever leaves after the end mark has the whole answer: so do clients that close the connection when they have read it.
    let outcome = match call.outcome {
        Outcome::ClientAborted if ended == Some(true) => Outcome::Complete,
        outcome => outcome,
    };
    let partial = match ended {
        Some(true) => false,
        Some(false) if call.response.kept == Kept::Whole => true,
        // No end mark to look for, or it may stand in what was not kept.
        _ => streamed && (call.outcome != Outcome::Complete || !call.response.ended),
    };
    let request_id = call.id.hyphenated().to_string();
    let envelope = Envelope {
        metadata: metadata(call, reading.metadata, &duplicate_keys, model.asked, layout),
        model_name: model.name,
        model_version: version,
        occurred_at_us: call.arrived_at_us,
        client_request_id: client_request_id(&call.request_headers, reading.client_id),
        trace_id: trace_id(&call.request_headers),
        row_count: reading.row_count,
        status_code: call.status.map(|status| status.as_u16()),
        outcome: outcome.word(),
        origin: match call.origin {
            Origin::Model => "model",
            Origin::Gateway => "gateway",
        },
        attempts: call.attempts,
        upstream: call.upstream.as_deref(),
        latency_us: call.timings.latency_us,
        upstream_us: call.timings.upstream_us,
        ttfb_us: call.timings.ttfb_us,
        route: &call.route.name,
        protocol: reading.protocol,
        method: call.method.as_str(),
        path: Cow::Borrowed(&call.path),
        request_bytes: call.request.seen_bytes,
        response_bytes: call.response.seen_bytes,
        streamed,
        partial,
        parse_status,
        parse_error,
        error: error(call, copies).or(reading.error),
        sampling_rate: None,
        types: reading.types,
        request_id,
    };
    let truncated = call.request.kept == Kept::Cut || call.response.kept == Kept::Cut;
    let single = reading.rows.len() == 1;
    let mut rows: Vec<Prediction<'a>> = reading
        .rows
        .into_iter()
        .enumerate()
        .map(|(row_index, row)| Prediction {
            id: if single { envelope.request_id.clone() } else { format!("{}_{row_index}", envelope.request_id) },
            row_index,
            inputs: row.inputs,
            outputs: row.outputs,
            truncated,
            bodies: None,
        })
        .collect();
    if keeps_bodies(call, reading.whole) {
        rows[0].bodies = body::bodies(&copies.request, &copies.response);
    }
    Predictions { envelope, rows }
}

fn keeps_bodies(call: &Call, [request_whole, response_whole]: [bool; 2]) -> bool {
    match call.route.capture.bodies {
        _ if call.keep == Keep::Metadata => false,
        Bodies::Always => true,
        Bodies::Never => false,
        Bodies::OnError => !call.answered() || !request_whole || !response_whole,
    }
}

/// What weir says about a call that went wrong, else what the model said.
fn error(call: &Call, copies: &Copies) -> Option<String> {
    call.error.clone().or_else(|| {
        call.status.is_some_and(|status| status.as_u16() >= 400).then(|| copies.response.error_text()).flatten()
    })
}

fn client_request_id(head: &HeaderMap, in_body: Option<ClientId<'_>>) -> Option<String> {
    let id = ID_HEADERS
        .iter()
        .find_map(|name| header(head, name))
        .or_else(|| in_body.map(|found| found.id.into_owned()))
        .or_else(|| header(head, ID_HEADER_LAST))?;
    (!id.is_empty()).then(|| shorten(id, CLIENT_ID_BYTES_MAX))
}

/// Shortens a text to at most `bytes_max` bytes, between characters.
pub fn shorten(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// The first line of a header, as text.
fn header(head: &HeaderMap, name: &str) -> Option<String> {
    head.get(name).map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
}

/// The trace of a W3C `traceparent`.
fn trace_id(head: &HeaderMap) -> Option<String> {
    let line = head.get("traceparent")?.to_str().ok()?.trim();
    let mut parts = line.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let hex = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let valid = version.len() == 2
        && hex(version)
        && trace.len() == 32
        && hex(trace)
        && trace.bytes().any(|byte| byte != b'0')
        && parts.next().is_some_and(|span| span.len() == 16 && hex(span));
    valid.then(|| trace.to_ascii_lowercase())
}

/// Keys that occur twice in one object, in `metadata`.
pub const DUPLICATE_KEYS: &str = "duplicate_keys";

/// Names in `metadata` that are weir's own. Of these, of kept headers' names, and of what begins like an answer's header, a
/// client's tag is left out even where weir has nothing to say: nobody could tell it from weir's.
const OWN_WORDS: [&str; 5] = [DUPLICATE_KEYS, "layout", "model_asked", "request_hmac", "response_hmac"];
/// Begins the names of an answer's headers.
const ANSWER_HEADER: &str = "response.";

/// What the protocol has beside the rows, then tags, then labels, then kept headers, then weir's own words; the later wins. So what a client says can hide nothing that
/// the operator or weir says.
fn metadata(
    call: &Call,
    from_body: Vec<(String, String)>,
    duplicate_keys: &[String],
    model_asked: Option<String>,
    layout: Option<String>,
) -> Vec<(String, String)> {
    let mut metadata: Vec<(String, String)> = Vec::new();
    let mut set = |name: String, value: String| match metadata.iter_mut().find(|(known, _)| *known == name) {
        Some(entry) => entry.1 = value,
        None => metadata.push((name, value)),
    };
    // What stands in a body is under no rule by its name here.
    if call.route.redact.is_empty() {
        for (name, value) in from_body {
            if !is_taken(&name, &call.route.capture.headers) {
                set(name, value);
            }
        }
    }
    let is_redacted =
        |name: &str| call.route.redact.iter().any(|rule| rule.keys.iter().any(|key| key.eq_ignore_ascii_case(name)));
    for (name, value) in &call.tags {
        if !is_taken(name, &call.route.capture.headers) && !is_redacted(name) {
            set(name.clone(), value.clone());
        }
    }
    for (name, value) in &call.route.labels {
        set(name.clone(), value.clone());
    }
    for name in &call.route.capture.headers {
        if let Some(line) = header(&call.request_headers, name) {
            set(name.clone(), line);
        }
        if let Some(line) = header(&call.response_headers, name) {
            set(format!("{ANSWER_HEADER}{name}"), line);
        }
    }
    if !duplicate_keys.is_empty() {
        set(DUPLICATE_KEYS.to_owned(), shorten(duplicate_keys.join(","), CLIENT_ID_BYTES_MAX));
    }
    if let Some(asked) = model_asked {
        set("model_asked".to_owned(), asked);
    }
    if let Some(layout) = layout {
        set("layout".to_owned(), shorten(layout, CLIENT_ID_BYTES_MAX));
    }
    metadata
}

/// Whether a name in `metadata` is no client's to give.
fn is_taken(name: &str, headers: &[String]) -> bool {
    let name = name.to_ascii_lowercase();
    OWN_WORDS.contains(&name.as_str()) || headers.contains(&name) || name.starts_with(ANSWER_HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_only_from_a_valid_traceparent() {
        let head = |line: &str| {
            let mut head = HeaderMap::new();
            head.insert("traceparent", line.parse().expect("a header value"));
            head
        };
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            trace_id(&head(&format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()))).as_deref(),
            Some(trace)
        );
        for wrong in ["", "00", "00-xyz-00f067aa0ba902b7-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"]
        {
            assert_eq!(trace_id(&head(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn texts_are_shortened_between_characters() {
        assert_eq!(shorten("größe".into(), 4), "grö");
        assert_eq!(shorten("größe".into(), 3), "gr");
        assert_eq!(shorten("größe".into(), 99), "größe");
    }
}
