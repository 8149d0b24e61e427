//! Open Inference Protocol V2: KServe, Triton, MLServer. Named tensors in, named tensors out, as JSON or packed behind it.
//!
//! Specification: kserve/open-inference-protocol, `specification/protocol/inference_rest.md`; the packed form:
//! triton-inference-server/server, `docs/protocol/extension_binary_data.md`. Data may be flat or nested: they are always
//! built from the shape.
//!
//! The first dimension counts the rows where all tensors of a side have the same. A tensor of rank 1, or `[n, 1]`, is a
//! column of its name; a lone `[n, k]` is `k` columns `name_0 ..`; any other a column of lists.

use std::borrow::Cow;

use super::generic::{self, Halves};
use super::media::Form;
use super::names::LIST_COLUMNS_MAX;
use super::packed::{Kind, Order};
use super::split::{Batch, Half, Items};
use super::tensor::{self, Elements};
use super::value::{Object, Value};
use super::{ClientId, MadeNames, Matter, ParseStatus, Problem, Reading, Side, json};
use crate::config;

pub const NAME: &str = "v2";

/// Parameters of a call that say how tensors travel, nothing of the prediction.
const TRANSPORT_PARAMETERS: [&str; 4] = ["binary_data_output", "binary_data_size", "content_type", "headers"];

/// The path names a model of this protocol, a side is packed, or the request is a list of tensors.
pub fn matches(matter: &Matter<'_>) -> bool {
    model_path(matter.path).is_some()
        || matter.request.form == Form::JsonAndTensors
        || matter.response.form == Form::JsonAndTensors
        || matter.request.fields().is_some_and(|fields| field(fields, "inputs").is_some_and(is_tensors))
}

fn is_tensors(value: &Value<'_>) -> bool {
    let has = |tensor: &Value<'_>, key| tensor.get(&[key]).is_some();
    let is_tensor = |tensor: &Value<'_>| has(tensor, "name") && has(tensor, "shape") && has(tensor, "datatype");
    value.as_list().is_some_and(|tensors| !tensors.is_empty() && tensors.iter().all(is_tensor))
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let path = model_path(matter.path);
    let word =
        |side: &Side<'a>, key: &str| side.fields().and_then(|fields| field(fields, key)).and_then(Value::as_word);
    let client_id = word(&matter.request, "id").map(|id| ClientId { keys: &["id"], id });
    let model = word(&matter.response, "model_name").or(path.map(|(model, _)| Cow::Borrowed(model)));
    let version = word(&matter.response, "model_version").or(path.and_then(|(_, version)| version.map(Cow::Borrowed)));

    let mut types = Vec::new();
    let mut tensors = [Vec::new(), Vec::new()];
    let [lone_in, lone_out] = &mut tensors;
    let made = matter.made;
    let columns = Columns { side: config::Side::Inputs, types: &mut types, lone: lone_in, made };
    let (input, first) = half(matter.request, columns);
    let (output, second) = match matter.response {
        _ if !matter.answered => (Half::Absent, None),
        response if response.fields().is_some_and(|fields| field(fields, "outputs").is_some()) => {
            half(response, Columns { side: config::Side::Outputs, types: &mut types, lone: lone_out, made })
        }
        // Not this protocol's answer: an application that only takes its requests.
        response => {
            let (value, problem) = response.open();
            let count = input.count().unwrap_or(1);
            (value.map_or(Half::Absent, |value| generic::answer(value, count)), problem)
        }
    };
    // Of a request whose tensors do not count the same there are no rows, so its answer is one too.
    let output = if matches!(input, Half::One(_)) && output.count() != Some(1) { one(output) } else { output };
    let mut reading = Halves { input, output, problems: [first, second] }.reading(NAME, &matter.limits);
    reading.model = model;
    reading.version = version;
    reading.client_id = client_id;
    reading.types = types;
    reading.tensors = tensors;
    reading
}

/// Model and version of `/v2/models/{model}[/versions/{version}]/infer`.
fn model_path(path: &str) -> Option<(&str, Option<&str>)> {
    let (_, rest) = path.strip_suffix("/infer")?.rsplit_once("/v2/models/")?;
    match rest.split_once("/versions/") {
        Some((model, version)) if is_segment(model) && is_segment(version) => Some((model, Some(version))),
        None if is_segment(rest) => Some((rest, None)),
        _ => None,
    }
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

fn field<'v, 'a>(fields: &'v Object<'a>, key: &str) -> Option<&'v Value<'a>> {
    fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// A tensor with its elements.
struct Tensor<'a> {
    name: Cow<'a, str>,
    /// `None`: the elements are in shared memory, there is only a name.
    content: Option<(Vec<usize>, Elements<'a>)>,
    /// The type to declare for its columns.
    kind: Option<Kind>,
}

/// What is said of a side's columns, beside their values.
struct Columns<'t, 'a> {
    side: config::Side,
    types: &'t mut Vec<(Cow<'a, str>, &'static str)>,
    /// Those of its only tensor.
    lone: &'t mut Vec<Cow<'a, str>>,
    made: &'a MadeNames,
}

impl Columns<'_, '_> {
    fn declare(&mut self, column: &str, kind: Option<Kind>) {
        self.types.extend(kind.map(|kind| (Cow::Owned(format!("{}.{column}", self.side.word())), kind.word())));
    }
}

/// One side's tensors.
fn half<'a>(side: Side<'a>, columns: Columns<'_, 'a>) -> (Half<'a>, Option<Problem>) {
    let key = columns.side.word();
    let tail = side.tail;
    let (value, problem) = side.open();
    let Some(value) = value else { return (Half::Absent, problem) };
    let mut fields = match value {
        Value::Object(fields) => fields,
        _ => return (Half::Absent, Some(Problem::new(ParseStatus::Invalid, "not an object"))),
    };
    let Some(at) = fields.iter().position(|(name, value)| name == key && value.is_list()) else {
        return (Half::Absent, Some(Problem::new(ParseStatus::Invalid, format!("no list of `{key}`"))));
    };
    let (_, Value::List(items)) = fields.swap_remove(at) else { unreachable!("checked to be a list") };
    let mut tail = tail;
    let mut tensors = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match self::tensor(item, &mut tail) {
            Ok(tensor) => tensors.push(tensor),
            Err(problem) => {
                let what = format!("{key}[{index}]: {}", problem.what);
                return (Half::Absent, Some(Problem { what, ..problem }));
            }
        }
    }
    (arranged(tensors, beside(fields), columns), problem)
}

fn tensor<'a>(value: Value<'a>, tail: &mut &'a [u8]) -> Result<Tensor<'a>, Problem> {
    let invalid = |what: &str| Problem::new(ParseStatus::Invalid, what);
    let Value::Object(mut fields) = value else { return Err(invalid("not a tensor")) };
    let name = match field(&fields, "name") {
        Some(Value::Text(name)) => name.clone(),
        _ => return Err(invalid("a tensor without a name")),
    };
    let kind = field(&fields, "datatype").and_then(Value::as_text).and_then(Kind::named);
    let parameter = |key: &str| field(&fields, "parameters").and_then(|parameters| parameters.get(&[key]));
    if parameter("shared_memory_region").is_some() {
        return Ok(Tensor { name, content: None, kind });
    }
    let shape = field(&fields, "shape").and_then(shape).ok_or_else(|| invalid("a tensor without a shape"))?;
    let packed = parameter("binary_data_size").and_then(Value::as_word).map(|size| size.parse::<usize>());
    let (elements, kind) = match packed {
        Some(size) => {
            let size = size.map_err(|_| invalid("binary_data_size is no number"))?;
            let kind = kind.ok_or_else(|| Problem::new(ParseStatus::Unsupported, "a datatype that is not known"))?;
            let cut = || {
                Problem::new(ParseStatus::ShapeMismatch, format!("{size} bytes of tensor, but not so many are left"))
            };
            let (bytes, rest) = tail.split_at_checked(size).ok_or_else(cut)?;
            *tail = rest;
            (tensor::elements(kind, Order::Little, bytes)?, Some(kind))
        }
        None => {
            let at =
                fields.iter().position(|(key, _)| key == "data").ok_or_else(|| invalid("a tensor without data"))?;
            let mut elements = Vec::new();
            flatten(fields.swap_remove(at).1, &mut elements);
            // What is written in digits is a double, whatever the model rounds it to: a column of single floats would not hold it.
            let kind =
                kind.map(|kind| if matches!(kind, Kind::Fp16 | Kind::Bf16 | Kind::Fp32) { Kind::Fp64 } else { kind });
            (Elements::Values(elements), kind)
        }
    };
    tensor::check(elements.len(), &shape)?;
    Ok(Tensor { name, content: Some((shape, elements)), kind })
}

fn shape(value: &Value<'_>) -> Option<Vec<usize>> {
    value.as_list()?.iter().map(|size| size.as_word()?.parse().ok()).collect()
}

/// Nested lists as their elements, in order.
fn flatten<'a>(value: Value<'a>, elements: &mut Vec<Value<'a>>) {
    match value {
        Value::List(items) => {
            if elements.is_empty() && !items.iter().any(Value::is_list) {
                *elements = items;
            } else {
                items.into_iter().for_each(|item| flatten(item, elements));
            }
        }
        element => elements.push(element),
    }
}

/// What stands beside the tensors and belongs to the prediction: the call's own parameters.
fn beside(fields: Object<'_>) -> Object<'_> {
    fields
        .into_iter()
        .filter_map(|(key, value)| match value {
            Value::Object(mut parameters) if key == "parameters" => {
                parameters.retain(|(name, _)| !TRANSPORT_PARAMETERS.contains(&name.as_ref()));
                (!parameters.is_empty()).then_some((key, Value::Object(parameters)))
            }
            _ => None,
        })
        .collect()
}

/// Tensors as columns of rows, or, where they do not count the same, as one row of whole tensors.
fn arranged<'a>(tensors: Vec<Tensor<'a>>, mut beside: Object<'a>, mut columns: Columns<'_, 'a>) -> Half<'a> {
    let count = tensors.first().and_then(Tensor::rows);
    // Rows of nothing (`[n, 0]`) are not bounded by the body.
    let alike =
        count.is_some_and(|count| count <= json::VALUES_MAX) && tensors.iter().all(|tensor| tensor.rows() == count);
    let lone = tensors.len() == 1;
    let mut lists = Vec::with_capacity(tensors.len());
    for Tensor { name, content, kind } in tensors {
        let Some((shape, elements)) = content else {
            beside.push((name, Value::Null));
            continue;
        };
        if !alike {
            columns.declare(&name, kind);
            beside.push((name, filled(elements, &shape)));
            continue;
        }
        match shape.as_slice() {
            [_] | [_, 1] => {
                columns.declare(&name, kind);
                if lone {
                    columns.lone.push(name.clone());
                }
                lists.push((name, elements.values()));
            }
            [count, width] if lone && *count > 0 && (2..=LIST_COLUMNS_MAX).contains(width) => {
                let items = grid(&name, kind, *width, elements, columns);
                return Half::Many(Batch { key: None, items, beside });
            }
            shape => {
                columns.declare(&name, kind);
                match filled(elements, shape) {
                    Value::List(rows) if rows.len() == shape[0] => lists.push((name, rows)),
                    // `[3, 0]`: three rows of nothing.
                    _ => lists.push((name, vec![Value::List(Vec::new()); shape[0]])),
                }
            }
        }
    }
    if alike { Half::Many(Batch { key: None, items: Items::Columns(lists), beside }) } else { Half::One(beside) }
}

/// The lone tensor of a side as columns `name_0 ..`.
fn grid<'a>(
    name: &str,
    kind: Option<Kind>,
    width: usize,
    elements: Elements<'a>,
    columns: Columns<'_, 'a>,
) -> Items<'a> {
    let side = columns.side;
    let paths = columns.made.of_tensor(side, name, width);
    let names: Vec<Cow<'a, str>> = paths.iter().map(|path| Cow::Borrowed(&path[side.word().len() + 1..])).collect();
    if let Some(kind) = kind {
        let word = kind.word();
        columns.types.extend(paths.into_iter().map(|path| (Cow::Borrowed(path), word)));
    }
    columns.lone.clone_from(&names);
    Items::Grid { names, cells: elements.values() }
}

/// Elements that were checked to fill the shape.
fn filled<'a>(elements: Elements<'a>, shape: &[usize]) -> Value<'a> {
    elements.nested(shape).unwrap_or(Value::Null)
}

impl Tensor<'_> {
    /// The first dimension, if there is one.
    fn rows(&self) -> Option<usize> {
        self.content.as_ref().and_then(|(shape, _)| shape.first().copied())
    }
}

/// An answer as one row, tensors whole.
fn one(half: Half<'_>) -> Half<'_> {
    match half {
        Half::Many(batch) if !matches!(batch.items, Items::Rows(_)) => Half::One(batch.whole()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::model_path;

    #[test]
    fn the_path_names_model_and_version() {
        assert_eq!(model_path("/v2/models/iris/infer"), Some(("iris", None)));
        assert_eq!(model_path("/seldon/ns/v2/models/iris/versions/3/infer"), Some(("iris", Some("3"))));
        for other in
            ["/v2/models/infer", "/v2/models//infer", "/v2/models/a/b/infer", "/v2/models/iris/ready", "/infer"]
        {
            assert_eq!(model_path(other), None, "{other}");
        }
    }
}
