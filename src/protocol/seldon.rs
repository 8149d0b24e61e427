//! Seldon Core v1: `{"meta": {..}, "data": {"names": [..], "ndarray": [..]}}` and its like, both ways.
//!
//! Documentation: SeldonIO/seldon-core, "Seldon Core v1: external prediction API".

use std::borrow::Cow;

use super::generic::{self, Halves};
use super::names::Names;
use super::split::{Batch, Half, Items};
use super::value::{Object, Value};
use super::{ClientId, Matter, ParseStatus, Problem, Reading, table, tensor};

pub const NAME: &str = "seldon";

/// Keys of a body that hold one value instead of `data`.
const SINGLE: [&str; 4] = ["strData", "binData", "jsonData", "customData"];

/// The path, or the request's `data` in Seldon's form.
pub fn matches(matter: &Matter<'_>) -> bool {
    let path = matter.path.trim_end_matches('/');
    path.ends_with("/api/v0.1/predictions")
        || path.ends_with("/api/v1.0/predictions")
        || matter.request.value.as_ref().is_ok_and(|body| {
            body.get(&["data", "ndarray"]).is_some_and(Value::is_list)
                || body.get(&["data", "tensor", "shape"]).is_some()
        })
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let puid = |value: &Value<'a>| value.get(&["meta", "puid"]).and_then(Value::as_word);
    let asked = matter.request.value.as_ref().ok();
    let told = matter.response.value.as_ref().ok();
    // Where the client gives none, the server makes one, and that is what feedback names.
    let given = asked.and_then(puid).or_else(|| told.and_then(puid));
    let client_id = given.map(|id| ClientId { keys: &["meta", "puid"], id }).or_else(|| generic::client_id(&matter));
    let version = told.and_then(version);
    let mut metadata: Vec<(String, String)> = Vec::new();
    for body in [asked, told].into_iter().flatten() {
        if let Some(Value::Object(tags)) = body.get(&["meta", "tags"]) {
            // Those of the answer are set later and win.
            let words = tags.iter().filter_map(|(name, value)| Some((name.clone().into_owned(), value.as_word()?)));
            metadata.extend(words.map(|(name, word)| (name, word.into_owned())));
        }
    }
    let (request, first) = matter.request.open();
    let (response, second) = if matter.answered { matter.response.open() } else { (None, None) };
    let (input, third) = half(request, Names::Inputs);
    let (output, fourth) = half(response, Names::Outputs);
    let problems = [first.or(third), second.or(fourth)];
    let mut reading = Halves { input, output, problems }.reading(NAME, &matter.limits);
    reading.client_id = client_id;
    reading.version = version;
    reading.metadata = metadata;
    reading
}

/// The tag of the image that answered, out of `meta.requestPath`, if there was one.
fn version<'a>(answer: &Value<'a>) -> Option<Cow<'a, str>> {
    let Some(Value::Object(path)) = answer.get(&["meta", "requestPath"]) else { return None };
    let [(_, image)] = path.as_slice() else { return None };
    let image = image.as_word()?;
    let (_, tag) = image.rsplit_once(':')?;
    (!tag.is_empty() && !tag.contains('/')).then(|| Cow::Owned(tag.to_owned()))
}

/// The rows of a feedback's `truth`, under the names that outputs have.
///
/// # Errors
/// `data` that is no ndarray and no tensor, or a tensor that does not fill its shape.
pub fn truths(message: Value<'_>) -> Result<Vec<Value<'_>>, Problem> {
    let names = Names::Outputs;
    let (half, problem) = half(Some(message), names);
    match (half, problem) {
        (_, Some(problem)) => Err(problem),
        (Half::Many(Batch { items: Items::Rows(rows), .. }), None) => {
            Ok(rows.into_iter().map(|row| Value::Object(names.fields(row))).collect())
        }
        (Half::One(fields), None) if !fields.is_empty() => Ok(vec![Value::Object(fields)]),
        _ => Ok(Vec::new()),
    }
}

fn half(value: Option<Value<'_>>, names: Names) -> (Half<'_>, Option<Problem>) {
    let Some(value) = value else { return (Half::Absent, None) };
    let Value::Object(mut fields) = value else { return (Half::One(names.fields(value)), None) };
    let at = |fields: &Object<'_>, key: &str| fields.iter().position(|(name, _)| name == key);
    if let Some(at) = at(&fields, "meta") {
        fields.remove(at);
    }
    if let Some(at) = at(&fields, "data").filter(|at| fields[*at].1.is_object()) {
        let (key, data) = fields.remove(at);
        return match rows(data) {
            Ok(Some((rows, columns))) => {
                let rows = match columns {
                    Some(columns) => table::named(rows, &columns),
                    None => rows,
                };
                (Half::Many(Batch { key: Some(key), items: Items::Rows(rows), beside: fields }), None)
            }
            Ok(None) => {
                let problem = Problem::new(ParseStatus::Unsupported, "data is no ndarray and no tensor");
                (Half::Absent, Some(problem))
            }
            Err(problem) => (Half::Absent, Some(problem)),
        };
    }
    if let Some(at) = SINGLE.iter().find_map(|key| at(&fields, key)) {
        // What is JSON brings its own names; a text or base64 stands under Seldon's.
        if let (key, Value::Object(inner)) = &mut fields[at]
            && key == "jsonData"
        {
            let inner = std::mem::take(inner);
            fields.remove(at);
            fields.splice(at..at, inner);
        }
    }
    (Half::One(fields), None)
}

/// Rows of `data`, and the names of their columns; `None` for a form that is neither.
#[allow(clippy::type_complexity)]
fn rows(data: Value<'_>) -> Result<Option<(Vec<Value<'_>>, Option<Vec<Cow<'_, str>>>)>, Problem> {
    let names = data.get(&["names"]).and_then(table::names);
    let shape = data.get(&["tensor", "shape"]).and_then(Value::as_list).map(|sizes| {
        sizes.iter().map(|size| size.as_word().and_then(|size| size.parse().ok())).collect::<Option<Vec<usize>>>()
    });
    let Value::Object(fields) = data else { return Ok(None) };
    for (key, value) in fields {
        match (key.as_ref(), value) {
            ("ndarray", Value::List(rows)) => return Ok(Some((rows, names))),
            ("tensor", Value::Object(tensor)) => {
                let shape =
                    shape.flatten().ok_or_else(|| Problem::new(ParseStatus::Invalid, "a tensor without a shape"))?;
                let values = tensor.into_iter().find_map(|(key, value)| match value {
                    Value::List(values) if key == "values" => Some(values),
                    _ => None,
                });
                let values = values.ok_or_else(|| Problem::new(ParseStatus::Invalid, "a tensor without values"))?;
                return Ok(match tensor::nested(values, &shape)? {
                    Value::List(rows) => Some((rows, names)),
                    scalar => Some((vec![scalar], names)),
                });
            }
            _ => {}
        }
    }
    Ok(None)
}
