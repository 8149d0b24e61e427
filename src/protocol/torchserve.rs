//! TorchServe's `/predictions/{model}[/{version}]`: a body of any form, often an image or a multipart upload.
//!
//! Specification: pytorch/serve, `docs/inference_api.md`. A file becomes its type, size and hash under `data`.

use std::borrow::Cow;

use super::generic::{self, Halves};
use super::media::{Form, MediaType, multipart};
use super::split::Half;
use super::value::Value;
use super::{Matter, ParseStatus, Reading};

pub const NAME: &str = "torchserve";

/// What a body that is no JSON is called; the field that the documentation's uploads use.
const DATA: &str = "data";

/// The path.
pub fn matches(matter: &Matter<'_>) -> bool {
    model_path(matter.path).is_some()
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let path = model_path(matter.path);
    // An image, or whatever else: what it is, is said; what it holds, is the model's.
    let upload = match (&matter.request.value, matter.request.bytes.clone()) {
        (Err(problem), Ok(bytes))
            if problem.status == ParseStatus::Unsupported && matter.request.form == Form::Unread =>
        {
            let kind = MediaType::of(matter.request.head).essence;
            let kind = (!kind.is_empty()).then_some(kind);
            Some(multipart::file(kind.as_deref(), None, bytes).into_owned())
        }
        _ => None,
    };
    let mut reading = match upload {
        Some(upload) => {
            let (response, problem) = if matter.answered { matter.response.open() } else { (None, None) };
            let input = Half::One(vec![(Cow::Borrowed(DATA), upload)]);
            let output = response.map_or(Half::Absent, generic::single_answer);
            Halves { input, output, problems: [None, problem] }.reading(NAME, &matter.limits)
        }
        None => Reading { protocol: NAME, ..generic::read(uploads(matter)) },
    };
    if let Some((model, version)) = path {
        reading.model = Some(Cow::Borrowed(model));
        reading.version = version.map(Cow::Borrowed);
    }
    reading
}

/// Several files under one field are a batch of `data`, not of the parts of a file.
fn uploads(mut matter: Matter<'_>) -> Matter<'_> {
    if matter.request.form == Form::Multipart
        && let Ok(Value::Object(fields)) = &mut matter.request.value
    {
        for (name, value) in fields {
            if let Value::List(files) = value {
                for file in files {
                    *file = Value::Object(vec![(name.clone(), std::mem::replace(file, Value::Null))]);
                }
            }
        }
    }
    matter
}

/// Model and version of `/predictions/{model}[/{version}]`.
fn model_path(path: &str) -> Option<(&str, Option<&str>)> {
    let (before, rest) = path.rsplit_once("/predictions/")?;
    // Seldon's and others' paths end in `predictions` and name no model behind it.
    let (model, version) = match rest.trim_end_matches('/').split_once('/') {
        Some((model, version)) => (model, Some(version)),
        None => (rest.trim_end_matches('/'), None),
    };
    let valid =
        !before.ends_with("/api/v1.0") && !model.is_empty() && version.is_none_or(|version| !version.contains('/'));
    valid.then_some((model, version))
}

#[cfg(test)]
mod tests {
    use super::model_path;

    #[test]
    fn the_path_names_model_and_version() {
        assert_eq!(model_path("/predictions/resnet-18"), Some(("resnet-18", None)));
        assert_eq!(model_path("/serve/predictions/resnet-18/2.0"), Some(("resnet-18", Some("2.0"))));
        for other in ["/predictions/", "/predictions", "/predictions/a/b/c", "/predict"] {
            assert_eq!(model_path(other), None, "{other}");
        }
    }
}
