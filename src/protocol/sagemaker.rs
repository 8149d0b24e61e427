//! SageMaker's `/invocations`: CSV, JSON Lines, or any JSON, each side in its own form.
//!
//! Documentation: Amazon SageMaker AI, "Common data formats for inference" and "Build your own container for
//! multi-model endpoints". A CSV has no header there; MLflow's has one:
//! [`csv::header`](super::media::csv::header) tells them apart.

use std::borrow::Cow;

use super::media::Form;
use super::{Matter, Reading, generic};

pub const NAME: &str = "sagemaker";

/// The path (of a container that holds many models, with the model's name), or a form of the request that only SageMaker's and MLflow's servers read.
pub fn matches(matter: &Matter<'_>) -> bool {
    matter.path.trim_end_matches('/').ends_with("/invocations")
        || model_path(matter.path).is_some()
        || matches!(matter.request.form, Form::Csv | Form::Lines)
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let model = model_path(matter.path).map(Cow::Borrowed);
    let reading = generic::read(matter);
    Reading { protocol: NAME, model: model.or(reading.model), ..reading }
}

/// The model of `/models/{model}/invoke`.
fn model_path(path: &str) -> Option<&str> {
    let model = path.strip_suffix("/invoke")?.strip_prefix("/models/")?;
    (!model.is_empty() && !model.contains('/')).then_some(model)
}
