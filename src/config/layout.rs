//! What can be the names of columns.

use super::{KEY_BYTES_MAX, LIST_COLUMNS_MAX, Side};

/// Why these cannot be the names of the values of a row, and the fix; `None` if they can.
pub fn columns_fault(side: Side, columns: &[String]) -> Option<(String, &'static str)> {
    let letter = match side {
        Side::Inputs => 'x',
        Side::Outputs => 'y',
    };
    if columns.len() > LIST_COLUMNS_MAX {
        let what = format!("{} columns are named, the limit is {LIST_COLUMNS_MAX}", columns.len());
        return Some((what, "remove them: a longer row is one list in one column"));
    }
    for (place, name) in columns.iter().enumerate() {
        if name.trim().is_empty() || name.len() > KEY_BYTES_MAX || name.chars().any(char::is_control) {
            let what = format!(
                "column {place} has no name that can be shown: it is empty, too long, or has control characters"
            );
            return Some((what, "write for example `[age, plan]`"));
        }
        if columns[..place].contains(name) {
            return Some((format!("`{name}` names two columns"), "give each a name of its own"));
        }
        let is_position = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if name.strip_prefix(letter).is_some_and(is_position) {
            let what = format!("`{name}` is what a value without a name is called");
            return Some((what, "write another name, or remove the list if the columns have none"));
        }
    }
    None
}
