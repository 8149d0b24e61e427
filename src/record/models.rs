//! Which model a call counts to: names that clients choose are cleaned, capped, and new only after a success.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use http::StatusCode;

use crate::config::{FEEDBACK_SUFFIX, Route};

/// Characters of a model name at most.
const NAME_MAX: usize = 64;

/// The model names that clients have brought in.
#[derive(Debug)]
pub struct Models {
    models_max: usize,
    known: RwLock<HashSet<String>>,
}

/// A call's model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    /// The name is one that a client brought in, not the route's.
    pub from_client: bool,
    /// What was asked for, where it was not taken.
    pub asked: Option<String>,
}

impl Models {
    /// At most `models_max` names are taken from clients.
    pub fn new(models_max: usize) -> Models {
        Models { models_max, known: RwLock::new(HashSet::new()) }
    }

    /// The model of a call: what the route fixes, else what the protocol names, else the route's name.
    pub fn name(&self, route: &Route, asked: Option<&str>, status: Option<StatusCode>) -> Named {
        if let Some(fixed) = &route.model {
            return Named { name: fixed.clone(), from_client: false, asked: None };
        }
        let own = || Named { name: route.name.clone(), from_client: false, asked: None };
        let Some(asked) = asked else { return own() };
        let Some(name) = clean(asked) else { return own() };
        if name == route.name {
            return own();
        }
        if self.take(&name, status.is_some_and(|status| status.is_success())) {
            return Named { name, from_client: true, asked: None };
        }
        Named { asked: Some(name), ..own() }
    }

    fn take(&self, name: &str, success: bool) -> bool {
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains(name) {
            return true;
        }
        if !success {
            return false;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.contains(name) {
            return true;
        }
        if known.len() >= self.models_max {
            return false;
        }
        known.insert(name.to_owned())
    }
}

/// `[A-Za-z0-9._-]{1,64}`, safe as a topic, as a folder that readers do not hide (no leading `.` or `_`), and not the
/// name of another model's feedback.
fn clean(asked: &str) -> Option<String> {
    let mut name: String = asked
        .chars()
        .take(NAME_MAX)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .collect();
    if name.starts_with(['.', '_']) {
        name.replace_range(..1, "-");
    }
    if let Some(model) = name.strip_suffix(FEEDBACK_SUFFIX) {
        name = format!("{model}-feedback");
    }
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::route;

    #[test]
    fn names_are_cleaned() {
        for (asked, name) in [
            ("iris", "iris"),
            ("..", "-."),
            ("_weir", "-weir"),
            ("a/b c%20d", "a-b-c-20d"),
            ("größe", "gr--e"),
            ("churn.feedback", "churn-feedback"),
        ] {
            assert_eq!(clean(asked).as_deref(), Some(name), "{asked}");
        }
        assert_eq!(clean(""), None);
        assert_eq!(clean(&"x".repeat(200)).map(|name| name.len()), Some(64));
    }

    #[test]
    fn a_new_name_needs_a_success_and_room() {
        let models = Models::new(1);
        let route = route();
        let name = |asked, status: u16| models.name(&route, asked, StatusCode::from_u16(status).ok());
        assert_eq!(name(Some("a"), 404).name, "churn");
        assert_eq!(name(Some("a"), 404).asked.as_deref(), Some("a"));
        assert_eq!(name(Some("a"), 200), Named { name: "a".into(), from_client: true, asked: None });
        assert_eq!(name(Some("a"), 500).name, "a");
        assert_eq!(name(Some("b"), 200).name, "churn");
        assert_eq!(name(None, 200), Named { name: "churn".into(), from_client: false, asked: None });
        let mut fixed = route.clone();
        fixed.model = Some("fixed".into());
        assert_eq!(models.name(&fixed, Some("a"), Some(StatusCode::OK)).name, "fixed");
    }
}
