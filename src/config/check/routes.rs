//! Routes: which path goes to which model server, and what is kept of it.

use std::collections::BTreeMap;

use super::Rules;
use super::feedback;
use super::record::record;
use super::redact::{Redact, redact};
use super::sample::sample;
use crate::config::file::{self, File, HeaderChoice};
use crate::config::report::{self, ConfigError};
use crate::config::units::{Size, Span};
use crate::config::{Capture, Memory, Route, Timeouts, Upstream, VersionFrom};

const RETRY_MAX: u32 = 10;
const CONCURRENCY_MAX: usize = 100_000;
const ROWS_MAX: usize = 1_000_000;
/// The parser's stack allows more; Parquet and its readers do not profit from it.
const DEPTH_MAX: usize = 128;
const DECOMPRESSED_BYTES_MAX: u64 = 1 << 30;
const LABELS_MAX: usize = 32;
const LABEL_BYTES_MAX: usize = 1024;
/// Never recorded, whatever the file says: they are credentials.
const HEADERS_REFUSED: [&str; 5] = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];
const METHODS: [&str; 7] = ["POST", "PUT", "PATCH", "GET", "DELETE", "HEAD", "OPTIONS"];

pub(super) fn routes(at: &Rules<'_>, file: &File, memory: &Memory) -> Result<Vec<Route>, ConfigError> {
    let only = file.routes.0.len() == 1;
    let mut routes: Vec<Route> = Vec::new();
    for (name, written) in &file.routes.0 {
        let route = route(at, name, written, only, memory)?;
        if let Some(other) = routes.iter().find(|other| other.path == route.path) {
            let taken = &["routes", other.name.as_str(), "path"][..];
            let line =
                at.tree.entry(taken).or_else(|| at.tree.entry(&taken[..2])).map_or(0, |entry| entry.key_spot.line);
            let what = format!("the path `{}` is already used by the route `{}` (line {line})", route.path, other.name);
            return Err(at.wrong(
                &["routes", name, "path"],
                what,
                format!("give one of them another path, for example `/predict/{name}`"),
            ));
        }
        routes.push(route);
    }
    feedback::paths_differ(at, &routes)?;
    Ok(routes)
}

fn route(at: &Rules<'_>, name: &str, file: &file::Route, only: bool, memory: &Memory) -> Result<Route, ConfigError> {
    let key = |key| ["routes", name, key];
    at.name(&["routes", name], "the name of a route", name)?;
    let upstream = match &file.upstream {
        Some(url) => upstream(at, &key("upstream"), url)?,
        None => {
            let what = format!("the route `{name}` does not say where its requests go");
            return Err(at.wrong(&["routes", name], what, "add `upstream: http://127.0.0.1:8000`"));
        }
    };
    let path = match (&file.path, &upstream.path) {
        (Some(path), _) => own_path(at, &key("path"), path)?,
        (None, Some(path)) if only => own_path(at, &key("upstream"), path)?,
        (None, None) if only => "/".to_owned(),
        (None, _) => format!("/predict/{name}"),
    };
    if let Some(model) = &file.model {
        at.name(&key("model"), "the name of a model", model)?;
    }
    feedback::no_name_of_feedback(at, name, file.model.as_deref())?;
    let Redact { prediction: redact, truth } = redact(at, name, file)?;
    if file.retry.stale {
        let what = "`retry.stale: true` is not in this version";
        return Err(at.wrong(&["routes", name, "retry", "stale"], what, "write `stale: false`, or remove it"));
    }
    Ok(Route {
        name: name.to_owned(),
        path,
        upstream,
        model: file.model.clone(),
        version: file.version.as_deref().map(|version| self::version(at, &key("version"), version)).transpose()?,
        protocol: file.protocol,
        timeouts: timeouts(at, name, &file.timeouts)?,
        retry_connect: at.range(&["routes", name, "retry", "connect"], file.retry.connect, 0, RETRY_MAX)?,
        concurrency_max: at.range(&key("concurrency"), file.concurrency.0, 1, CONCURRENCY_MAX)?,
        labels: labels(at, name, &file.labels)?,
        capture: capture(at, name, &file.capture, memory)?,
        feedback: feedback::feedback(at, name, file.feedback.as_deref(), &redact, truth)?,
        record: record(at, name, file)?,
        redact,
    })
}

/// Splits a URL by hand: a URL library gives `http://host` the path `/`, and here the two differ.
fn upstream(at: &Rules<'_>, key: &[&str], url: &str) -> Result<Upstream, ConfigError> {
    let wrong = |what: String, fix: String| Err(at.wrong(key, what, fix));
    if report::mask_userinfo(url) != url {
        let what = "the upstream has a user name or password in it (not shown)".to_owned();
        return wrong(what, "remove everything up to the `@`, but for the scheme".to_owned());
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return wrong(format!("`{url}` has no scheme"), format!("write `http://{url}`"));
    };
    match scheme {
        "http" => {}
        "https" => {
            let fix = format!("write `http://{rest}`, or put a proxy that speaks TLS between");
            return wrong("an upstream with `https` is not in this version".to_owned(), fix);
        }
        _ => return wrong(format!("`{scheme}` is not a scheme of a model server"), format!("write `http://{rest}`")),
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if let Some(extra) = path.find(['?', '#']) {
        let what = "an upstream cannot have a query or a fragment; the request's own query is passed on".to_owned();
        return wrong(what, format!("write `http://{host}{}`", &path[..extra]));
    }
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return wrong(
            format!("`{host}` is not a host and port"),
            "write for example `http://127.0.0.1:8000`".to_owned(),
        );
    };
    let port_written = host.rsplit_once(':').is_some_and(|(before, port)| !before.is_empty() && !port.contains(']'));
    let port = match (authority.port_u16(), port_written) {
        (Some(port), _) if port > 0 => port,
        (None, false) => 80,
        _ => {
            let what = format!("`{host}` has no valid port");
            return wrong(
                what,
                format!("write a port from 1 to 65535, for example `http://{}:8000`", authority.host()),
            );
        }
    };
    if authority.host().is_empty() {
        return wrong("the upstream has no host".to_owned(), format!("write `http://127.0.0.1:{port}{path}`"));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = "the upstream's path has a space or a letter that must be percent-encoded".to_owned();
        return wrong(what, "write a space as `%20`".to_owned());
    }
    let path = (!path.is_empty()).then(|| path.to_owned());
    Ok(Upstream { authority: format!("{}:{port}", authority.host()), path })
}

/// A route's own path, without a slash at its end: prefixes match whole segments.
pub(super) fn own_path(at: &Rules<'_>, key: &[&str], path: &str) -> Result<String, ConfigError> {
    let wrong = |what: String, fix: String| Err(at.wrong(key, what, fix));
    if !path.starts_with('/') {
        return wrong(format!("the path `{path}` does not begin with `/`"), format!("write `/{path}`"));
    }
    if let Some(end) = path.find(['?', '#', '*', '{']) {
        let what = format!("the path `{path}` is a prefix; it cannot have a query, a fragment or a pattern");
        let prefix = path[..end].trim_end_matches('/');
        return wrong(what, format!("write `{}`", if prefix.is_empty() { "/" } else { prefix }));
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = format!("the path `{path}` has a space or a letter that must be percent-encoded");
        return wrong(what, "write a space as `%20`".to_owned());
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.split('/').skip(1).any(|segment| segment.is_empty() || segment == "." || segment == "..") {
        let what = format!("the path `{path}` has an empty segment, `.` or `..`, which no request matches");
        return wrong(what, "write the path as clients send it".to_owned());
    }
    Ok(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
}

fn version(at: &Rules<'_>, key: &[&str], text: &str) -> Result<VersionFrom, ConfigError> {
    if let Some(name) = text.strip_prefix("header:") {
        return Ok(VersionFrom::Header(header_name(at, key, name, "header:")?));
    }
    if let Some(path) = text.strip_prefix("response:") {
        let Some(keys) = path.strip_prefix("$.") else {
            let fix = format!("write `response:$.{}`", path.trim_start_matches(['$', '.', '/']));
            return Err(at.wrong(key, format!("`{path}` is not a path into the answer: it must begin with `$.`"), fix));
        };
        let keys: Vec<String> = keys.split('.').map(str::to_owned).collect();
        if keys.iter().any(|key| key.is_empty() || key.contains(['[', ']', '*'])) {
            let what = format!("`{path}` is not a path of keys");
            return Err(at.wrong(key, what, "write keys and dots only, for example `response:$.meta.version`"));
        }
        return Ok(VersionFrom::Response(keys));
    }
    if text.is_empty() || text.len() > LABEL_BYTES_MAX {
        return Err(at.wrong(
            key,
            "`version` is empty or too long",
            "write for example `v7` or `header:x-model-version`",
        ));
    }
    Ok(VersionFrom::Fixed(text.to_owned()))
}

/// `before`: what stands before the name in the file.
fn header_name(at: &Rules<'_>, key: &[&str], name: &str, before: &str) -> Result<String, ConfigError> {
    let name = name.trim().to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        let what = format!("`{name}` is not the name of a header");
        return Err(at.wrong(key, what, format!("write for example `{before}x-model-version`")));
    }
    if HEADERS_REFUSED.contains(&name.as_str()) {
        let what = format!("the header `{name}` carries credentials, which are never recorded");
        let fix = match before {
            "" => "remove it from the list".to_owned(),
            _ => format!("name another one, for example `{before}x-model-version`"),
        };
        return Err(at.wrong(key, what, fix));
    }
    Ok(name)
}

fn timeouts(at: &Rules<'_>, name: &str, file: &file::Timeouts) -> Result<Timeouts, ConfigError> {
    let span = |key, value| at.span(&["routes", name, "timeouts", key], value, Span::millis(1), Span::secs(86_400));
    Ok(Timeouts {
        connect: span("connect", file.connect)?,
        first_byte: span("first_byte", file.first_byte)?,
        idle: span("idle", file.idle)?,
        pool_idle: span("pool_idle", file.pool_idle)?,
    })
}

fn labels(
    at: &Rules<'_>,
    name: &str,
    file: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    if file.len() > LABELS_MAX {
        let what = format!("the route `{name}` has {} labels, the limit is {LABELS_MAX}", file.len());
        return Err(at.wrong(&["routes", name, "labels"], what, "remove some"));
    }
    for (label, value) in file {
        let key = ["routes", name, "labels", label];
        at.name(&key, "the name of a label", label)?;
        if value.len() > LABEL_BYTES_MAX {
            let what = format!("the label `{label}` is longer than {LABEL_BYTES_MAX} bytes");
            return Err(at.wrong(&key, what, "write a shorter one"));
        }
    }
    Ok(file.clone())
}

fn capture(at: &Rules<'_>, name: &str, file: &file::Capture, memory: &Memory) -> Result<Capture, ConfigError> {
    let key = |key| ["routes", name, "capture", key];
    let body_bytes_max = at.size(&key("body"), file.body, 1, memory.capture_bytes)?;
    // A call holds a permit for both sides at once; one that can never be had would lose every body.
    if body_bytes_max * 2 > memory.capture_bytes {
        let what = format!("`capture.body` ({}) twice, for both sides, is more than `memory.capture` holds", file.body);
        let fix = format!("write at most `{}`, or raise `memory.capture`", Size(memory.capture_bytes / 2));
        return Err(at.wrong(&key("body"), what, fix));
    }
    let headers =
        file.headers.iter().map(|header| header_name(at, &key("headers"), header, "")).collect::<Result<_, _>>()?;
    let mut methods = Vec::new();
    for method in &file.methods {
        let upper = method.to_ascii_uppercase();
        if !METHODS.contains(&upper.as_str()) {
            let what = format!("`{method}` is not a method that a prediction can have");
            return Err(at.wrong(&key("methods"), what, format!("write some of {}", METHODS.join(", "))));
        }
        methods.push(upper);
    }
    if methods.is_empty() {
        let what = "`capture.methods` is empty, so nothing would be recorded";
        return Err(at.wrong(&key("methods"), what, "write `[POST]`, or `mode: off` if that is meant"));
    }
    Ok(Capture {
        mode: file.mode,
        body_bytes_max,
        sample: sample(at, name, &file.sample)?,
        headers,
        rows: file.rows,
        bodies: file.bodies,
        header_allowed: file.header == HeaderChoice::Allow,
        methods,
        rows_max: at.range(&key("rows_max"), file.rows_max, 1, ROWS_MAX)?,
        decompressed_bytes_max: at.size(&key("decompressed"), file.decompressed, 1024, DECOMPRESSED_BYTES_MAX)?,
        depth_max: at.range(&key("depth"), file.depth, 1, DEPTH_MAX)?,
    })
}
