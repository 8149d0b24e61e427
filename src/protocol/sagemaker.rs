//! SageMaker's `/invocations`: CSV, JSON Lines, or any JSON, each side in its own form.
//!
//! Documentation: Amazon SageMaker AI, "Common data formats for inference". A CSV has no header there; MLflow's has one:
//! [`csv::header`](super::media::csv::header) tells them apart.

use super::media::Form;
use super::{Matter, Reading, generic};

pub const NAME: &str = "sagemaker";

/// The path, or a form of the request that only SageMaker's and MLflow's servers read.
pub fn matches(matter: &Matter<'_>) -> bool {
    matter.path.trim_end_matches('/').ends_with("/invocations")
        || matches!(matter.request.form, Form::Csv | Form::Lines)
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    Reading { protocol: NAME, ..generic::read(matter) }
}
