//! No form that weir reads, or a route that pins `raw`: one row, and the bodies speak for themselves.

use super::generic::merge;
use super::{Matter, ParseStatus, Problem, Reading};

pub const NAME: &str = "raw";

/// Everything: the last line of the table.
pub fn matches(_matter: &Matter<'_>) -> bool {
    true
}

pub fn read<'a>(matter: Matter<'a>) -> Reading<'a> {
    let unread = |side: super::Side<'a>| match side.value {
        Ok(_) => Problem::new(ParseStatus::Unsupported, "kept raw"),
        Err(problem) => problem,
    };
    let answered = matter.answered;
    let request = unread(matter.request);
    let response = answered.then(|| unread(matter.response));
    Reading::blank(NAME, merge([Some(request), response]))
}
