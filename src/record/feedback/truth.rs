//! Redaction of feedback: the rules of the outputs and of `truth` on what was said, before anything is written.
//!
//! Fails closed, and says so: a truth in which a rule could miss its field is refused, for its sender can send it otherwise.

use super::said::Said;
use crate::config::Route;
use crate::record::redact;

/// The keys that the ids stand under.
const ID_KEYS: [&[&str]; 2] = [&["client_request_id"], &["meta", "puid"]];

pub fn redact<'a>(mut said: Said<'a>, route: &Route) -> Result<Said<'a>, String> {
    let rules = route.feedback.as_ref().map_or(&[][..], |feedback| &feedback.redact);
    if let Some(truth) = &mut said.truth {
        let columns = !route.record.outputs.columns.is_empty();
        redact::truth(truth, rules, columns).map_err(|why| {
            format!(
                "a rule of redaction could miss a field of `truth` ({why}); send it as an object of fields and values"
            )
        })?;
    }
    let all = || route.redact.iter().chain(rules);
    // Beside what was said there is no more than names and words.
    said.metadata.retain(|(name, _)| !all().any(|rule| rule.keys.iter().any(|key| key == name)));
    let is_id = |rule: &crate::config::RedactRule| ID_KEYS.iter().any(|keys| rule.keys == *keys);
    if all().any(is_id) {
        said.client_request_id = None;
    }
    if said.id.is_none() && said.client_request_id.is_none() {
        return Err(
            "a rule of redaction leaves no `client_request_id`; send the answer's `x-weir-id` as `id`".to_owned()
        );
    }
    Ok(said)
}
