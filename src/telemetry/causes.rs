//! An error and its causes on one line, as log lines, status and the command line say it.

/// `failed to read x: permission denied`: the error and what it came from, outermost first. `Display` of weir's errors never
/// repeats the source, so nothing is said twice.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
