//! Metadata of the Open Inference Protocol -> the names of a row's values: those of tensors that each hold one value per row.
//!
//! Specification: kserve/open-inference-protocol, `specification/protocol/inference_rest.md`, "Model Metadata". MLServer makes it
//! of an MLflow model's signature.

use serde_json::Value;

use crate::record::Learned;

pub fn names(document: &Value) -> Learned {
    Learned { inputs: side(&document["inputs"]), outputs: side(&document["outputs"]) }
}

fn side(tensors: &Value) -> Vec<String> {
    let name =
        |tensor: &Value| one_per_row(&tensor["shape"]).then(|| tensor["name"].as_str().map(str::to_owned)).flatten();
    tensors.as_array().and_then(|tensors| tensors.iter().map(name).collect()).unwrap_or_default()
}

/// `[-1]`, `[-1, 1]`; what a tensor of several columns calls each is not said.
fn one_per_row(shape: &Value) -> bool {
    shape.as_array().is_some_and(|sizes| sizes.iter().skip(1).all(|size| size.as_i64() == Some(1)))
}
