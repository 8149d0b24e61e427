//! Generic JSON: what Flask, FastAPI, BentoML and Ray Serve applications speak.
//!
//! A batch is a bare list of objects or lists, or the one such list in an object. It is split when the answer counts the
//! same. A list under a key that nobody uses for batches may just be a feature (`history`, `messages`): if the answer does
//! not count the same, it stays one, and that is no mismatch.

mod answer;

use std::borrow::Cow;

pub use answer::{answer, single_answer};

use super::media::Form;
use super::names::{Names, ROWS};
use super::split::{self, Batch, Half, Items};
use super::stream;
use super::table;
use super::value::{Object, Value};
use super::{ClientId, Matter, Problem, Reading, place};

pub const NAME: &str = "json";

/// Keys under which applications put a batch.
const BATCH_KEYS: [&str; 9] =
    ["data", "rows", "records", "features", "inputs", "instances", "samples", "batch", AZURE[0]];

/// Keys of Azure ML's endpoints, of requests and answers: the rows stand one object deeper, under a key of each endpoint's.
const AZURE: [&str; 2] = ["Inputs", "Results"];

/// What the payloads of an event stream are called that no protocol assembles.
pub const EVENTS: &str = "events";

/// Keys of an answer that say no more than "here they are": their scalars are called `prediction`.
const ANSWER_KEYS: [&str; 11] = [
    "predictions",
    "prediction",
    "outputs",
    "output",
    "results",
    "result",
    "data",
    "rows",
    "records",
    "values",
    AZURE[1],
];

/// Whether a key is one that batches stand under, of requests or of answers.
pub fn holds_batches(key: &str) -> bool {
    BATCH_KEYS.contains(&key) || ANSWER_KEYS.contains(&key)
}

/// Whether either side is JSON.
pub fn matches(matter: &Matter<'_>) -> bool {
    matter.request.value.is_ok() || (matter.answered && matter.response.value.is_ok())
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let client_id = client_id(&matter);
    // Ray Serve's model multiplexing names the model in a header.
    let model = matter.request.header("serve_multiplexed_model_id");
    let (asked, answered) = (matter.request.form, matter.response.form);
    let places = matter.places;
    let (request, first) = matter.request.open();
    let (response, second) = if matter.answered { matter.response.open() } else { (None, None) };
    let (told, response) = placed(response, places.response, Names::Outputs, places.columns[1]);
    let (said, request) = placed(request, places.request, Names::Inputs, places.columns[0]);
    let question = said.map(Question::Placed).or_else(|| {
        request.map(|value| match asked {
            Form::Csv => Question::table(value, table::answers(response.as_ref())),
            _ => self::question(value),
        })
    });
    let (input, output) = match (question, response) {
        (question, _) if told.is_some() => {
            let output = told.unwrap_or(Half::Absent);
            (question.map_or(Half::Absent, |question| question.counted(output.count())), output)
        }
        (question, Some(events)) if answered == Form::Events => {
            let output = Half::One(vec![(Cow::Borrowed(EVENTS), events)]);
            (question.map_or(Half::Absent, Question::alone), output)
        }
        (question, Some(rows)) if answered == Form::Csv => {
            let input = question.map_or(Half::Absent, Question::alone);
            let output = table::output(rows, input.count().unwrap_or(1));
            (input, output)
        }
        (Some(question), Some(value)) => question.with(value),
        (Some(question), None) => (question.alone(), Half::Absent),
        // Nothing to count against: a list under a key may be a list of one, or of one row's scores.
        (None, Some(Value::Object(fields))) => (Half::Absent, Half::One(fields)),
        (None, Some(value)) => (Half::Absent, answer(value, 1)),
        (None, None) => (Half::Absent, Half::Absent),
    };
    let halves = Halves { input, output, problems: [first, second] };
    let mut reading = halves.reading(word(asked), &matter.limits);
    reading.client_id = client_id;
    reading.model = model.map(Cow::Owned);
    reading
}

/// A side whose rows are where the route says, or its value.
fn placed<'a>(
    value: Option<Value<'a>>,
    keys: Option<&[String]>,
    names: Names,
    columns: usize,
) -> (Option<Half<'a>>, Option<Value<'a>>) {
    match (value, keys) {
        (Some(value), Some(keys)) => match place::half(value, keys, names, columns) {
            Ok(half) => (Some(half), None),
            Err(value) => (None, Some(value)),
        },
        (value, _) => (None, value),
    }
}

/// The word for what a request was sent as.
fn word(form: Form) -> &'static str {
    match form {
        Form::UrlEncoded => "form",
        Form::Multipart => "multipart",
        Form::Npy => "npy",
        Form::Text => "text",
        _ => NAME,
    }
}

/// Both halves and what hindered them; shared by the protocols that speak JSON.
pub struct Halves<'a> {
    pub input: Half<'a>,
    pub output: Half<'a>,
    /// Of the request, of the response.
    pub problems: [Option<Problem>; 2],
}

impl<'a> Halves<'a> {
    pub fn reading(self, protocol: &'static str, limits: &super::Limits) -> Reading<'a> {
        let whole = self.problems.each_ref().map(Option::is_none);
        let hindered = merge(self.problems);
        let split = split::pair(self.input, self.output, limits);
        // What could not be read could not be counted either.
        let problem = hindered.or(split.problem);
        Reading { rows: split.rows, row_count: split.row_count, whole, ..Reading::blank(protocol, problem) }
    }
}

/// The problem of a call out of those of its sides: the first in order of precedence, both named.
pub fn merge([request, response]: [Option<Problem>; 2]) -> Option<Problem> {
    let request = request.map(|problem| Problem { what: format!("request: {}", problem.what), ..problem });
    let response = response.map(|problem| Problem { what: format!("response: {}", problem.what), ..problem });
    match (request, response) {
        (Some(request), Some(response)) => Some(Problem {
            status: request.status.min(response.status),
            what: format!("{}; {}", request.what, response.what),
        }),
        (request, response) => request.or(response),
    }
}

/// The id that a client put into its request's JSON.
pub fn client_id<'a>(matter: &Matter<'a>) -> Option<ClientId<'a>> {
    let id = matter.request.value.as_ref().ok()?.get(&["client_request_id"])?.as_word()?;
    Some(ClientId { keys: &["client_request_id"], id })
}

/// What a request could be, before its answer is known.
pub enum Question<'a> {
    One(Object<'a>),
    /// A batch by its form.
    Sure(Batch<'a>),
    /// One list of objects or lists among other things, at this place of the fields.
    Perhaps {
        fields: Object<'a>,
        at: usize,
    },
    /// A frame's columns by the labels of its rows.
    Labelled(Object<'a>),
    /// Where the route says.
    Placed(Half<'a>),
}

impl<'a> Question<'a> {
    /// A request of CSV.
    fn table(rows: Value<'a>, answers: Option<usize>) -> Question<'a> {
        match table::input(rows, answers) {
            Half::Many(batch) => Question::Sure(batch),
            Half::One(fields) => Question::One(fields),
            Half::Absent => Question::One(Object::new()),
        }
    }

    /// The input when there is no answer to count.
    pub fn alone(self) -> Half<'a> {
        match self {
            Question::One(fields) | Question::Perhaps { fields, .. } | Question::Labelled(fields) => Half::One(fields),
            Question::Sure(batch) => Half::Many(batch),
            Question::Placed(half) => half,
        }
    }

    /// The input to an answer of so many rows.
    fn counted(self, count: Option<usize>) -> Half<'a> {
        match self {
            Question::Perhaps { fields, at } if fields[at].1.as_list().map(<[_]>::len) == count => {
                Half::Many(take(fields, at))
            }
            Question::Labelled(fields) if table::labelled_count(&fields) == count => {
                Half::Many(table::labelled(fields))
            }
            question => question.alone(),
        }
    }

    /// Input and output, where the answer says whether a list is a batch.
    pub fn with(self, response: Value<'a>) -> (Half<'a>, Half<'a>) {
        match self {
            Question::One(fields) | Question::Placed(Half::One(fields)) => (Half::One(fields), single_answer(response)),
            Question::Placed(half) => {
                let output = answer(response, half.count().unwrap_or(1));
                (half, output)
            }
            Question::Sure(batch) => {
                let output = answer(response, batch.count());
                (Half::Many(batch), output)
            }
            Question::Labelled(fields) => match table::labelled_count(&fields) {
                Some(count) if answer::answers(&response, count) => {
                    (Half::Many(table::labelled(fields)), answer(response, count))
                }
                _ => (Half::One(fields), single_answer(response)),
            },
            Question::Perhaps { fields, at } => {
                let count = match &fields[at].1 {
                    Value::List(items) => items.len(),
                    _ => unreachable!("a batch that may be is a list"),
                };
                if answer::counts(&response, count) {
                    (Half::Many(take(fields, at)), answer(response, count))
                } else {
                    (Half::One(fields), single_answer(response))
                }
            }
        }
    }
}

/// Reads a request.
pub fn question(value: Value<'_>) -> Question<'_> {
    match value {
        Value::List(items) if is_batch(&items) || items.is_empty() => Question::Sure(Batch::bare(items)),
        Value::Object(fields) => in_object(fields),
        Value::List(items) if items.iter().any(Value::is_container) => {
            Question::One(vec![(Cow::Borrowed(ROWS), Value::List(items))])
        }
        other => Question::One(Names::Inputs.fields(other)),
    }
}

fn in_object(mut fields: Object<'_>) -> Question<'_> {
    lift(&mut fields, AZURE[0]);
    let mut candidates = fields.iter().enumerate().filter(|(_, (_, value))| match value {
        Value::List(items) => is_batch(items) && !stream::is_dialogue(value),
        _ => false,
    });
    let candidate = match (candidates.next(), candidates.next()) {
        (Some((at, _)), None) => Some(at),
        (Some(_), Some(_)) => return Question::One(fields),
        (None, _) => None,
    };
    match candidate {
        Some(at) if BATCH_KEYS.contains(&fields[at].0.as_ref()) => Question::Sure(take(fields, at)),
        Some(at) => Question::Perhaps { fields, at },
        None => {
            let at = fields.iter().position(|(key, value)| {
                BATCH_KEYS.contains(&key.as_ref())
                    && match value {
                        Value::List(items) => items.is_empty(),
                        Value::Object(columns) => column_length(columns).is_some(),
                        _ => false,
                    }
            });
            match at {
                None if table::labelled_count(&fields).is_some() => Question::Labelled(fields),
                Some(at) if fields[at].1.is_list() => Question::Sure(take(fields, at)),
                Some(at) => {
                    let (key, value) = fields.remove(at);
                    let Value::Object(columns) = value else { unreachable!("columns are an object") };
                    Question::Sure(Batch { key: Some(key), items: columns_of(columns), beside: fields })
                }
                None => Question::One(fields),
            }
        }
    }
}

/// Puts the one list of the object at `key` in its place.
fn lift(fields: &mut Object<'_>, key: &str) {
    for (_, value) in fields.iter_mut().filter(|(name, _)| name == key) {
        if let Value::Object(inner) = value
            && let [(_, list @ Value::List(_))] = inner.as_mut_slice()
        {
            *value = std::mem::replace(list, Value::Null);
        }
    }
}

/// A list whose items are all objects or all lists.
pub fn is_batch(items: &[Value<'_>]) -> bool {
    match items.first() {
        Some(Value::Object(_)) => items.iter().all(Value::is_object),
        Some(Value::List(_)) => items.iter().all(Value::is_list),
        _ => false,
    }
}

/// The common length of a columnar object: lists of scalars, all of one length.
pub fn column_length(columns: &Object<'_>) -> Option<usize> {
    let mut lengths = columns.iter().map(|(_, value)| match value {
        Value::List(items) => Some(items.len()),
        _ => None,
    });
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

pub fn columns_of(columns: Object<'_>) -> Items<'_> {
    Items::Columns(
        columns
            .into_iter()
            .filter_map(|(key, value)| match value {
                Value::List(items) => Some((key, items)),
                _ => None,
            })
            .collect(),
    )
}

/// The list at `at` as a batch, the other fields beside it.
pub fn take(mut fields: Object<'_>, at: usize) -> Batch<'_> {
    let (key, value) = fields.remove(at);
    let Value::List(items) = value else { unreachable!("a batch is a list") };
    Batch { key: Some(key), items: Items::Rows(items), beside: fields }
}
