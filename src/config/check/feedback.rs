//! Where feedback is taken: a path of its own, and topics of its own.

use super::Rules;
use super::routes::own_path;
use crate::config::report::ConfigError;
use crate::config::{FEEDBACK_SUFFIX, Feedback, RedactRule, Route, Side};

/// `truth`: the rules of its own; the outputs' come before them.
pub(super) fn feedback(
    at: &Rules<'_>,
    name: &str,
    path: Option<&str>,
    redact: &[RedactRule],
    truth: Vec<RedactRule>,
) -> Result<Option<Feedback>, ConfigError> {
    let Some(path) = path else { return Ok(None) };
    let key = ["routes", name, "feedback"];
    let path = own_path(at, &key, path)?;
    if path == "/" {
        let what = "the path `/` is everything; feedback is taken at one path";
        return Err(at.wrong(&key, what, "write for example `/feedback`"));
    }
    let mut rules: Vec<RedactRule> = redact.iter().filter(|rule| rule.side == Side::Outputs).cloned().collect();
    rules.extend(truth);
    Ok(Some(Feedback { path, redact: rules }))
}

/// Refuses a path of feedback that is another's, or a route's own: predictions sent there would never reach the model.
pub(super) fn paths_differ(at: &Rules<'_>, routes: &[Route]) -> Result<(), ConfigError> {
    for (number, route) in routes.iter().enumerate() {
        let Some(feedback) = &route.feedback else { continue };
        let path = &feedback.path;
        let key = ["routes", route.name.as_str(), "feedback"];
        let fix = format!("give it another path, for example `{}/feedback`", route.path.trim_end_matches('/'));
        if let Some(other) = routes.iter().find(|other| other.path == *path) {
            let what = format!("the feedback path `{path}` is the path of the route `{}`", other.name);
            return Err(at.wrong(&key, what, fix));
        }
        let taken = |other: &&Route| other.feedback.as_ref().is_some_and(|other| other.path == *path);
        if let Some(other) = routes[..number].iter().find(taken) {
            let what = format!("the feedback path `{path}` is already used by the route `{}`", other.name);
            return Err(at.wrong(&key, what, fix));
        }
    }
    Ok(())
}

/// A topic of predictions that ends like one of feedback would be taken for one.
pub(super) fn no_name_of_feedback(at: &Rules<'_>, route: &str, model: Option<&str>) -> Result<(), ConfigError> {
    let (key, name) = match model {
        Some(model) => (&["routes", route, "model"][..], model),
        None => (&["routes", route][..], route),
    };
    match name.strip_suffix(FEEDBACK_SUFFIX) {
        None => Ok(()),
        Some(before) => {
            let what = format!("`{name}` is the name of the feedback of `{before}`, so it cannot be a model's");
            Err(at.wrong(key, what, format!("write for example `{before}-feedback`")))
        }
    }
}
