//! One side of a call: its head, its plain bytes, and the value they were read as. Made once, before any protocol looks.

use std::borrow::Cow;

use http::HeaderMap;

use super::Problem;
use super::media::{self, Body, Form, MediaType};
use super::value::Value;

/// One side of a call, with what could be made of its body.
#[derive(Debug, Clone)]
pub struct Side<'a> {
    pub head: &'a HeaderMap,
    /// The plain bytes (content encodings undone), or why there are none.
    pub bytes: Result<&'a [u8], Problem>,
    pub form: Form,
    /// The body as a value, or why there is none.
    pub value: Result<Value<'a>, Problem>,
    /// Of a stream that was read up to a cut: why its end is not here.
    pub cut: Option<Problem>,
    /// Raw tensors behind the JSON.
    pub tail: &'a [u8],
    /// Keys that occur twice in one object.
    pub duplicate_keys: Vec<String>,
    /// The id of the CloudEvent that the value was the data of.
    pub event_id: Option<Cow<'a, str>>,
}

impl<'a> Side<'a> {
    /// A side whose copy is whole: read by its media type, or by its first byte.
    pub fn read(head: &'a HeaderMap, bytes: &'a [u8], depth_max: usize) -> Side<'a> {
        match media::read(head, bytes, depth_max) {
            Ok(body) => Side::with(head, bytes, body, None),
            Err(problem) => Side::unread(head, Ok(bytes), problem),
        }
    }

    /// A side whose copy ends early: of a stream, what came is read.
    pub fn part(head: &'a HeaderMap, bytes: &'a [u8], problem: Problem, depth_max: usize) -> Side<'a> {
        match media::read_part(head, bytes, depth_max) {
            Some(body) => Side::with(head, bytes, body, Some(problem)),
            None => Side::unread(head, Err(problem.clone()), problem),
        }
    }

    /// A side whose bytes are read by no one, with the reason.
    pub fn unread(head: &'a HeaderMap, bytes: Result<&'a [u8], Problem>, problem: Problem) -> Side<'a> {
        Side {
            head,
            bytes,
            form: Form::Unread,
            value: Err(problem),
            cut: None,
            tail: &[],
            duplicate_keys: Vec::new(),
            event_id: None,
        }
    }

    fn with(head: &'a HeaderMap, bytes: &'a [u8], body: Body<'a>, cut: Option<Problem>) -> Side<'a> {
        let Body { form, value, tail, duplicate_keys, event_id } = body;
        Side { head, bytes: Ok(bytes), form, value: Ok(value), cut, tail, duplicate_keys, event_id }
    }

    /// The value, and what hindered reading all of it: of a cut stream both.
    pub fn open(self) -> (Option<Value<'a>>, Option<Problem>) {
        match self.value {
            Ok(value) => (Some(value), self.cut),
            Err(problem) => (None, Some(problem)),
        }
    }

    /// The fields of the body, if it is an object.
    pub fn fields(&self) -> Option<&super::Object<'a>> {
        match &self.value {
            Ok(Value::Object(fields)) => Some(fields),
            _ => None,
        }
    }

    /// The first line of a header, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.get(name).map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
    }
}

/// The media type of a head in lower case, without parameters; `None` if there is none.
pub fn media_type(head: &HeaderMap) -> Option<String> {
    let essence = MediaType::of(head).essence;
    (!essence.is_empty()).then_some(essence)
}
