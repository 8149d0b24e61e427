//! TF Serving and KServe V1: `{"instances": [..]}` -> `{"predictions": [..]}`, and the columnar
//! `{"inputs": {..}}` -> `{"outputs": ..}`.
//!
//! Specification: tensorflow/serving, `g3doc/api_rest.md`.

use std::borrow::Cow;

use super::generic::{self, Halves};
use super::names::Names;
use super::split::{Batch, Half};
use super::value::{Object, Value};
use super::{ClientId, Matter, Reading};

pub const NAME: &str = "v1";

/// The path names a model of this protocol, or the body has one list of `instances`, or columns in and `outputs` out.
pub fn matches(matter: &Matter<'_>) -> bool {
    if model_path(matter.path).is_some() {
        return true;
    }
    let Ok(Value::Object(fields)) = &matter.request.value else { return false };
    match (only(fields, "instances"), only(fields, "inputs")) {
        (Some(at), _) => fields[at].1.is_list(),
        (None, Some(at)) => {
            let columns = matches!(&fields[at].1, Value::Object(columns) if generic::column_length(columns).is_some());
            let outputs =
                matches!(&matter.response.value, Ok(Value::Object(fields)) if only(fields, "outputs").is_some());
            columns && outputs
        }
        (None, None) => false,
    }
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let path = model_path(matter.path);
    let client_id = match &matter.request.value {
        Ok(value) => value
            .get(&["client_request_id"])
            .and_then(Value::as_word)
            .map(|id| ClientId { keys: &["client_request_id"], id }),
        Err(_) => None,
    };
    let (request, first) = matter.request.open();
    let (response, second) = if matter.answered { matter.response.open() } else { (None, None) };
    let input = request.map_or(Half::Absent, input);
    let output = response.map_or(Half::Absent, |value| output(value, input.count().unwrap_or(1)));
    let mut reading = Halves { input, output, problems: [first, second] }.reading(NAME, &matter.limits);
    if let Some((model, version)) = path {
        reading.model = Some(Cow::Borrowed(model));
        reading.version = version.map(Cow::Borrowed);
    }
    reading.client_id = client_id;
    reading
}

/// Model and version of `/v1/models/{model}[/versions/{v}|/labels/{l}]:{verb}`.
fn model_path(path: &str) -> Option<(&str, Option<&str>)> {
    const VERBS: [&str; 4] = ["predict", "classify", "regress", "explain"];
    let (_, rest) = path.rsplit_once("/v1/models/")?;
    let (rest, verb) = rest.rsplit_once(':')?;
    if !VERBS.contains(&verb) || rest.is_empty() {
        return None;
    }
    match rest.split_once('/') {
        None => Some((rest, None)),
        Some((model, version)) => {
            let version = version.strip_prefix("versions/").or_else(|| version.strip_prefix("labels/"))?;
            (!model.is_empty() && !version.is_empty() && !version.contains('/')).then_some((model, Some(version)))
        }
    }
}

/// Where the key stands, if it stands there once.
fn only(fields: &Object<'_>, key: &str) -> Option<usize> {
    let mut places = fields.iter().enumerate().filter(|(_, (name, _))| name == key).map(|(at, _)| at);
    let first = places.next()?;
    places.next().is_none().then_some(first)
}

fn input(value: Value<'_>) -> Half<'_> {
    let mut fields = match value {
        Value::Object(fields) => fields,
        other => return generic::question(other).alone(),
    };
    if let Some(at) = only(&fields, "instances").filter(|at| fields[*at].1.is_list()) {
        return Half::Many(generic::take(fields, at));
    }
    if let Some(at) = only(&fields, "examples").filter(|at| fields[*at].1.is_list()) {
        let mut batch = generic::take(fields, at);
        // The context holds features that all examples share.
        if let Some(at) = only(&batch.beside, "context").filter(|at| batch.beside[*at].1.is_object()) {
            let (_, Value::Object(context)) = batch.beside.remove(at) else { unreachable!("the context is an object") };
            batch.beside.extend(context);
        }
        return Half::Many(batch);
    }
    match only(&fields, "inputs") {
        Some(at) => match &fields[at].1 {
            Value::List(_) => Half::Many(generic::take(fields, at)),
            Value::Object(columns) if generic::column_length(columns).is_some() => {
                let (key, value) = fields.remove(at);
                let Value::Object(columns) = value else { unreachable!("columns are an object") };
                Half::Many(Batch { key: Some(key), items: generic::columns_of(columns), beside: fields })
            }
            _ => Half::One(fields),
        },
        None => Half::One(fields),
    }
}

fn output(value: Value<'_>, count: usize) -> Half<'_> {
    let mut fields = match value {
        Value::Object(fields) => fields,
        Value::List(items) => return Half::Many(Batch::bare(items)),
        scalar => return Half::One(Names::Outputs.fields(scalar)),
    };
    let Some(at) = ["predictions", "outputs", "result", "results"].iter().find_map(|key| only(&fields, key)) else {
        return generic::answer(Value::Object(fields), count);
    };
    match &fields[at].1 {
        Value::List(_) => Half::Many(generic::take(fields, at)),
        Value::Object(columns) if generic::column_length(columns) == Some(count) => {
            let (key, value) = fields.remove(at);
            let Value::Object(columns) = value else { unreachable!("columns are an object") };
            Half::Many(Batch { key: Some(key), items: generic::columns_of(columns), beside: fields })
        }
        _ => Half::One(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::model_path;

    #[test]
    fn the_path_names_model_and_version() {
        assert_eq!(model_path("/v1/models/iris:predict"), Some(("iris", None)));
        assert_eq!(model_path("/tf/v1/models/iris/versions/3:predict"), Some(("iris", Some("3"))));
        assert_eq!(model_path("/v1/models/iris/labels/canary:regress"), Some(("iris", Some("canary"))));
        assert_eq!(model_path("/v1/models/a:b:predict"), Some(("a:b", None)));
        for other in [
            "/v1/models/iris",
            "/v1/models/:predict",
            "/v1/models/a/b/c:predict",
            "/v1/models/iris:load",
            "/v1/models//versions/:predict",
        ] {
            assert_eq!(model_path(other), None, "{other}");
        }
    }
}
