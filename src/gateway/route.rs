//! Which route takes a request, where its path leads upstream, and whether it predicts.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

use super::StartError;
use super::admit::Gate;
use super::budget::Budget;
use super::exchange::Offer;
use crate::config::{CaptureMode, Route};
use crate::telemetry::RouteMeters;

/// A route with everything that a request on it needs, made once at start.
pub(super) struct RouteState {
    /// The place of its connections in each worker's pool.
    pub(super) index: usize,
    pub(super) config: Arc<Route>,
    pub(super) meters: RouteMeters,
    pub(super) gate: Gate,
    pub(super) offer: Arc<dyn Offer>,
    pub(super) budget: Budget,
    pub(super) captures: bool,
    pub(super) authority: Arc<str>,
    pub(super) host: HeaderValue,
    methods: Vec<Method>,
}

impl RouteState {
    pub(super) fn new(
        index: usize,
        config: Arc<Route>,
        meters: RouteMeters,
        offer: Arc<dyn Offer>,
        budget: Budget,
    ) -> Result<RouteState, StartError> {
        let bad = || StartError::Route { route: config.name.clone(), authority: config.upstream.authority.clone() };
        let host = HeaderValue::from_str(&config.upstream.authority).map_err(|_| bad())?;
        let methods = config.capture.methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok());
        Ok(RouteState {
            index,
            meters,
            gate: Gate::new(config.concurrency_max),
            offer,
            budget,
            captures: config.capture.mode == CaptureMode::BestEffort,
            authority: Arc::from(config.upstream.authority.as_str()),
            host,
            methods: methods.collect(),
            config,
        })
    }

    /// Whether a request is a call: it asks for a prediction, so it will be a record.
    pub(super) fn predicts(&self, method: &Method, path: &str) -> bool {
        let rest = rest(&self.config.path, path).unwrap_or(path);
        self.methods.contains(method) && !is_aside(rest) && (rest.len() == path.len() || !is_protocol_aside(path))
    }

    /// Path and query as sent upstream.
    pub(super) fn upstream_path(&self, asked: &PathAndQuery) -> Option<PathAndQuery> {
        if self.config.upstream.path.is_none() {
            return Some(asked.clone());
        }
        let path = forwarded_path(&self.config, asked.path());
        let whole = match asked.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        PathAndQuery::try_from(whole).ok()
    }
}

/// A path on a route as the model server gets it.
pub fn forwarded_path(route: &Route, path: &str) -> String {
    match &route.upstream.path {
        Some(base) => replaced(&route.path, base, path),
        None => path.to_owned(),
    }
}

/// The routes of one gateway, the longest path first.
pub(super) struct Table {
    routes: Vec<Arc<RouteState>>,
    takes_feedback: bool,
}

impl Table {
    pub(super) fn new(mut routes: Vec<Arc<RouteState>>) -> Table {
        routes.sort_by_key(|route| std::cmp::Reverse(route.config.path.trim_end_matches('/').len()));
        let takes_feedback = routes.iter().any(|route| route.config.feedback.is_some());
        Table { routes, takes_feedback }
    }

    /// The route whose feedback is taken at this path: the one that names it, or one that names any and has it below its own
    /// as Seldon's clients know it.
    pub(super) fn feedback(&self, path: &str) -> Option<&Arc<RouteState>> {
        if !self.takes_feedback {
            return None;
        }
        let path = path.trim_end_matches('/');
        let names = |route: &&Arc<RouteState>| route.config.feedback.as_ref().is_some_and(|named| named.path == path);
        let seldon = || self.find(path).filter(|route| route.config.feedback.is_some() && is_seldon_feedback(path));
        self.routes.iter().find(names).or_else(seldon)
    }

    /// The route with the longest path that is a prefix of whole segments.
    pub(super) fn find(&self, path: &str) -> Option<&Arc<RouteState>> {
        self.routes.iter().find(|route| rest(&route.config.path, path).is_some())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.routes.iter().map(|route| route.gate.in_flight()).sum()
    }
}

/// What follows `prefix` in `path`: empty or starting with `/`; `None` if `prefix` does not match whole segments.
fn rest<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// `path` with `base` in place of `prefix`, joined by one slash.
fn replaced(prefix: &str, base: &str, path: &str) -> String {
    match rest(prefix, path).unwrap_or(path) {
        "" | "/" if base.ends_with('/') => base.to_owned(),
        "" if base.is_empty() => "/".to_owned(),
        rest => format!("{}{rest}", base.trim_end_matches('/')),
    }
}

/// Whether a path could lead out of the prefix that the route names, by a reading that is the server's behind to choose:
/// a `.` or `..` segment, plain or encoded, before parameters (`;`) too, between slashes of any kind; or an encoded zero,
/// at which a path may end.
pub(super) fn can_escape(path: &str) -> bool {
    let path = path.as_bytes();
    if !path.iter().any(|byte| matches!(byte, b'.' | b'%')) {
        return false;
    }
    // The dots of the segment so far, while it has nothing else.
    let mut dots = Some(0);
    let mut parameters = false;
    let mut left = path;
    while let [first, rest @ ..] = left {
        let (byte, rest) = match left {
            [b'%', high, low, rest @ ..] => match (high, low) {
                (b'0', b'0') => return true,
                (b'2', b'e' | b'E') => (b'.', rest),
                (b'2', b'f' | b'F') => (b'/', rest),
                (b'5', b'c' | b'C') => (b'\\', rest),
                _ => (b'%', rest),
            },
            _ => (*first, rest),
        };
        match byte {
            b'/' | b'\\' => {
                if matches!(dots, Some(1 | 2)) {
                    return true;
                }
                (dots, parameters) = (Some(0), false);
            }
            b';' => parameters = true,
            _ if parameters => {}
            b'.' => dots = dots.map(|count: u32| count + 1),
            _ => dots = None,
        }
        left = rest;
    }
    matches!(dots, Some(1 | 2))
}

fn is_seldon_feedback(path: &str) -> bool {
    path.ends_with("/api/v1.0/feedback") || path.ends_with("/api/v0.1/feedback")
}

/// Whether a path below a route's prefix is for something else than predictions: health, metadata, metrics, pages.
fn is_aside(rest: &str) -> bool {
    matches!(
        rest.trim_end_matches('/'),
        "/ping"
            | "/metrics"
            | "/health"
            | "/healthz"
            | "/livez"
            | "/readyz"
            | "/ready"
            | "/live"
            | "/health/live"
            | "/health/ready"
            | "/health/ping"
            | "/health/status"
            | "/api/v1.0/health"
            | "/docs"
            | "/redoc"
            | "/openapi.json"
            | "/schema"
            | "/version"
            | "/models"
            | "/favicon.ico"
    ) || is_protocol_aside(rest)
}

/// The paths of the inference protocols (V1, V2) that do not predict.
fn is_protocol_aside(path: &str) -> bool {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    match (segments.next(), segments.next()) {
        (Some("v2"), None | Some("health" | "repository" | "systemsharedmemory" | "cudasharedmemory")) => true,
        (Some("v2"), Some("models")) => match segments.nth(1) {
            None | Some("ready" | "stats" | "config" | "trace") => true,
            Some("versions") => matches!(segments.nth(1), None | Some("ready" | "stats" | "config")),
            Some(_) => false,
        },
        (Some("v1"), Some("models")) => match segments.next_back() {
            None => true,
            Some(last) => !last.contains(':') && !matches!(last, "predict" | "infer" | "explain"),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes_match_whole_segments() {
        for (prefix, path, expected) in [
            ("/", "/", Some("/")),
            ("/", "/a/b", Some("/a/b")),
            ("/a", "/a", Some("")),
            ("/a", "/a/", Some("/")),
            ("/a", "/a/b", Some("/b")),
            ("/a/", "/a/b", Some("/b")),
            ("/a/", "/a", Some("")),
            ("/a", "/ab", None),
            ("/a", "/", None),
            ("/a/b", "/a", None),
            ("/", "*", None),
        ] {
            assert_eq!(rest(prefix, path), expected, "{prefix} {path}");
        }
    }

    #[test]
    fn an_upstream_path_takes_the_place_of_the_prefix() {
        for (prefix, base, path, expected) in [
            ("/predict/churn", "/predict", "/predict/churn", "/predict"),
            ("/predict/churn", "/predict", "/predict/churn/batch", "/predict/batch"),
            ("/predict/churn", "/predict/", "/predict/churn", "/predict/"),
            ("/predict/churn", "/predict/", "/predict/churn/batch", "/predict/batch"),
            ("/predict/churn", "/", "/predict/churn", "/"),
            ("/predict/churn", "/", "/predict/churn/x", "/x"),
            ("/", "/api", "/x", "/api/x"),
            ("/", "/api", "/", "/api/"),
            ("/predict", "/predict", "/predict", "/predict"),
        ] {
            assert_eq!(replaced(prefix, base, path), expected, "{prefix} -> {base}: {path}");
        }
    }

    #[test]
    fn dot_segments_are_seen_in_every_spelling() {
        for path in [
            "/a/../b",
            "/..",
            "/a/./b",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/%2e",
            "/a%2f..%2Fb",
            "/a%5c..%5Cb",
            "/a\\..\\b",
            "/a/..;x=1/b",
            "/a/%2e%2e;/b",
            "/a/..;",
            "/a%00",
            "/a%2f..",
        ] {
            assert!(can_escape(path), "{path}");
        }
        for path in [
            "/",
            "/a.b",
            "/...",
            "/a/..b",
            "/v1.0/x",
            "/a%2fb",
            "/.well-known/x",
            "/a%5cb",
            "/a;v=1.0/b",
            "/a;..",
            "/%20",
            "/a%",
            "/a%2",
            "/%2e%2e%2e",
        ] {
            assert!(!can_escape(path), "{path}");
        }
    }

    #[test]
    fn health_and_metadata_do_not_predict() {
        for path in [
            "/ping",
            "/metrics",
            "/health",
            "/healthz",
            "/v2",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/models/x",
            "/v2/models/x/ready",
            "/v2/models/x/versions/3",
            "/v2/models/x/versions/3/ready",
            "/v2/repository/index",
            "/v2/repository/models/x/load",
            "/v1/models",
            "/v1/models/x",
            "/v1/models/x/metadata",
            "/v1/models/x/versions/2",
            "/docs",
            "/openapi.json",
        ] {
            assert!(is_aside(path), "{path}");
        }
        for path in [
            "/",
            "",
            "/predict",
            "/v2/models/x/infer",
            "/v2/models/x/versions/3/infer",
            "/v2/models/x/generate",
            "/v1/models/x:predict",
            "/v1/models/x/versions/2:predict",
            "/v1/models/x/predict",
            "/v1/chat/completions",
            "/predict/health",
            "/v2/models/ready/infer",
            "/v1/completions",
            "/invocations",
        ] {
            assert!(!is_aside(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_match_is_a_prefix_of_segments(prefix in "(/[a-c]{1,2}){0,3}/?", path in "(/[a-c]{0,2}){1,4}") {
            let segments = |text: &str| -> Vec<String> {
                text.trim_end_matches('/').split('/').skip(1).map(str::to_owned).collect()
            };
            let wanted = segments(&prefix);
            let whole: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
            prop_assert_eq!(rest(&prefix, &path).is_some(), whole.starts_with(&wanted));
        }

        #[test]
        fn a_replaced_path_is_absolute_and_keeps_what_followed(
            prefix in "(/[a-c]{1,2}){0,2}", tail in "(/[a-z]{1,3}){0,3}", base in "(/[x-z]{1,2}){0,2}/?"
        ) {
            let path = format!("{prefix}{tail}");
            let new = replaced(&prefix, &base, &path);
            prop_assert!(new.starts_with('/'));
            prop_assert!(new.ends_with(&tail));
            prop_assert!(!new.contains("//"));
        }
    }
}
