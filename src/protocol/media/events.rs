//! Server-sent events -> a list of their payloads, each JSON where it is JSON.
//!
//! Specification: WHATWG HTML, section 9.2 ("Server-sent events"): lines end with LF, CR LF or CR; a line that begins with
//! a colon is a comment; `data` lines of one event are joined with LF; an empty line ends an event.

use std::borrow::Cow;

use super::{Body, End, Form};
use crate::protocol::value::Value;
use crate::protocol::{ParseStatus, Problem, json};

/// The key of an event's name, where it has one; its payload then stands under [`DATA`].
pub const EVENT: &str = "event";
pub const DATA: &str = "data";

/// What a line can begin with.
const FIELDS: [&str; 4] = ["data", "event", "id", "retry"];

/// Reads the events. The last one counts even without the empty line that should end it, unless the body was cut. A body in which
/// no line is one of an event stream's is a plain text: BentoML sends texts that it makes piece by piece under this type.
///
/// # Errors
/// `invalid` for damaged UTF-8, `limit` for too many values, `empty` if there is no event.
pub fn read(bytes: &[u8], depth_max: usize, end: End) -> Result<Body<'_>, Problem> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // The cut went through a character: it belongs to an event that is not whole anyway.
        Err(error) if end == End::Cut && error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(error) => {
            return Err(Problem::new(ParseStatus::Invalid, format!("not UTF-8 at byte {}", error.valid_up_to())));
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader =
        Reader { events: Vec::new(), open: Open::default(), depth_max, budget: json::VALUES_MAX, any: false };
    let mut rest = text;
    while !rest.is_empty() {
        let Some(at) = rest.find(['\n', '\r']) else {
            match end {
                End::Whole => reader.line(rest)?,
                End::Cut => reader.any |= FIELDS.iter().any(|field| field.starts_with(rest) || rest.starts_with(field)),
            }
            break;
        };
        let (line, after) = rest.split_at(at);
        reader.line(line)?;
        rest = after.strip_prefix("\r\n").unwrap_or(&after[1..]);
    }
    if end == End::Whole {
        reader.dispatch()?;
    }
    if reader.events.is_empty() {
        if !reader.any && !text.trim().is_empty() {
            return Ok(Body::text(text));
        }
        return Err(Problem::new(ParseStatus::Empty, "no event"));
    }
    Ok(Body::of(Form::Events, Value::List(reader.events)))
}

/// The payload of one item of the list that [`read`] makes.
pub fn payload<'v, 'a>(event: &'v Value<'a>) -> &'v Value<'a> {
    match event {
        Value::Object(fields) => match fields.as_slice() {
            [(name, Value::Text(_)), (data, payload)] if name == EVENT && data == DATA => payload,
            _ => event,
        },
        _ => event,
    }
}

#[derive(Default)]
struct Open<'a> {
    name: Option<&'a str>,
    data: Option<Cow<'a, str>>,
}

struct Reader<'a> {
    events: Vec<Value<'a>>,
    open: Open<'a>,
    depth_max: usize,
    budget: usize,
    /// Whether a line was one of an event stream's.
    any: bool,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) -> Result<(), Problem> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        self.any |= field.is_empty() || FIELDS.contains(&field);
        match field {
            "data" => match &mut self.open.data {
                None => self.open.data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push('\n');
                    data.push_str(value);
                }
            },
            "event" => self.open.name = (!value.is_empty() && value != "message").then_some(value),
            // A comment (its field is empty), `id`, `retry`, or nothing known.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self) -> Result<(), Problem> {
        let Open { name, data } = std::mem::take(&mut self.open);
        let Some(data) = data else { return Ok(()) };
        let payload = match data {
            Cow::Borrowed(text) => self.payload(text)?.unwrap_or(Value::Text(Cow::Borrowed(text))),
            Cow::Owned(text) => match self.payload(&text)? {
                Some(value) => value.into_owned(),
                None => Value::Text(Cow::Owned(text)),
            },
        };
        self.events.push(match name {
            Some(name) => Value::Object(vec![
                (Cow::Borrowed(EVENT), Value::Text(Cow::Borrowed(name))),
                (Cow::Borrowed(DATA), payload),
            ]),
            None => payload,
        });
        Ok(())
    }

    /// The JSON of a payload; `None` if it is none.
    fn payload<'t>(&mut self, text: &'t str) -> Result<Option<Value<'t>>, Problem> {
        match json::read_within(text.as_bytes(), self.depth_max, &mut self.budget) {
            Ok(document) => Ok(Some(document.value)),
            Err(problem) if problem.status == ParseStatus::Invalid => {
                self.budget = self.budget.checked_sub(1).ok_or_else(json::too_many)?;
                Ok(None)
            }
            Err(problem) => Err(problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str, end: End) -> Vec<Value<'_>> {
        match read(text.as_bytes(), 64, end).expect("valid").value {
            Value::List(events) => events,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_line_end_and_comments_and_joined_data() {
        for newline in ["\n", "\r\n", "\r"] {
            let text =
                [": hello", "data: {\"a\":1}", "", "id: 3", "data:x", "data: y", "", "data: [DONE]"].join(newline);
            let events = events(&text, End::Whole);
            assert_eq!(events.len(), 3, "{text:?}");
            assert_eq!(events[0].get(&["a"]), Some(&Value::Number("1")));
            assert_eq!(events[1], Value::Text("x\ny".into()));
            assert_eq!(events[2], Value::Text("[DONE]".into()));
        }
    }

    #[test]
    fn json_over_several_lines_is_one_value() {
        let events = events("data: {\"a\":\ndata: 1.5}\n\n", End::Whole);
        assert_eq!(events[0].get(&["a"]), Some(&Value::Double(1.5)));
    }

    #[test]
    fn names_stand_beside_payloads() {
        let events = events("event: done\ndata: 3\n\nevent: message\ndata: 4\n\n", End::Whole);
        assert_eq!(events[0].get(&["event"]), Some(&Value::Text("done".into())));
        assert_eq!(payload(&events[0]), &Value::Number("3"));
        assert_eq!(payload(&events[1]), &Value::Number("4"));
    }

    #[test]
    fn what_a_cut_went_through_is_left_out() {
        let text = "data: \"größe\"\n\ndata: \"grö";
        let bytes = text.as_bytes();
        let body = read(&bytes[..bytes.len() - 1], 64, End::Cut).expect("valid");
        assert!(matches!(body.value, Value::List(events) if events == [Value::Text("größe".into())]));
        assert_eq!(read(&bytes[..bytes.len() - 1], 64, End::Whole).expect_err("damaged").status, ParseStatus::Invalid);
    }

    #[test]
    fn what_has_no_line_of_a_stream_is_a_text() {
        for (body, end) in [("hello wörld", End::Whole), ("a\nb: c\n", End::Whole), ("hello", End::Cut)] {
            let read = super::read(body.as_bytes(), 8, end).expect("a text");
            assert_eq!((read.form, read.value.get(&["text"])), (Form::Text, Some(&Value::Text(body.into()))));
        }
        for nothing in ["", ": ping\n\n", "id: 1\n\n", "\n", "data", "dat"] {
            let read = super::read(nothing.as_bytes(), 8, End::Cut);
            assert_eq!(read.expect_err("no event").status, ParseStatus::Empty, "{nothing:?}");
        }
    }
}
