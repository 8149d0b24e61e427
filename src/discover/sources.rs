//! Where a server may say what the values of a row are called: by the path of the prediction, the most likely place first.

use crate::config::Route;
use crate::gateway;

/// A document of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As it is asked for upstream.
    pub path: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Metadata of the Open Inference Protocol.
    V2,
    OpenApi {
        /// The prediction's own, as the server knows it.
        path: String,
    },
}

/// The documents that may tell the names for predictions on `path`, as clients send it.
pub fn of(route: &Route, path: &str) -> Vec<Source> {
    let path = gateway::forwarded_path(route, path);
    let openapi = Source { path: "/openapi.json".to_owned(), kind: Kind::OpenApi { path: path.clone() } };
    let v2 = |path: String| Source { path, kind: Kind::V2 };
    match model_in(&path) {
        Some(metadata) => vec![v2(metadata), openapi],
        None => {
            let model = route.model.as_ref().unwrap_or(&route.name);
            let metadata = v2(format!("/v2/models/{model}"));
            // MLServer takes what MLflow's clients send.
            if path.trim_end_matches('/').ends_with("/invocations") {
                vec![metadata, openapi]
            } else {
                vec![openapi, metadata]
            }
        }
    }
}

/// Where the metadata of the model is that a path of V1 or V2 names.
fn model_in(path: &str) -> Option<String> {
    if let Some((before, rest)) = path.rsplit_once("/v2/models/") {
        let (model, _verb) = rest.rsplit_once('/')?;
        return (!model.is_empty()).then(|| format!("{before}/v2/models/{model}"));
    }
    let (before, rest) = path.rsplit_once("/v1/models/")?;
    let (model, _verb) = rest.rsplit_once(':')?;
    // V2 has no labels.
    let model = model.split_once("/labels/").map_or(model, |(model, _)| model);
    (!model.is_empty()).then(|| format!("{before}/v2/models/{model}"))
}

#[cfg(test)]
mod tests {
    use super::model_in;

    #[test]
    fn the_path_leads_to_the_metadata_of_its_model() {
        for (path, metadata) in [
            ("/v2/models/iris/infer", Some("/v2/models/iris")),
            ("/x/v2/models/iris/versions/3/infer", Some("/x/v2/models/iris/versions/3")),
            ("/v1/models/iris:predict", Some("/v2/models/iris")),
            ("/v1/models/iris/versions/3:predict", Some("/v2/models/iris/versions/3")),
            ("/v1/models/iris/labels/canary:predict", Some("/v2/models/iris")),
            ("/v1/models/:predict", None),
            ("/v2/models/iris", None),
            ("/predict", None),
        ] {
            assert_eq!(model_in(path).as_deref(), metadata, "{path}");
        }
    }
}
