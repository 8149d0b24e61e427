//! JSON Lines and NDJSON: a JSON value per line -> a list.

use super::{Body, End, Form};
use crate::protocol::value::Value;
use crate::protocol::{ParseStatus, Problem, json};

/// Reads every line that is not blank.
///
/// # Errors
/// As [`json::read`], with the line's number. Of a cut body the line that the cut went through is left out.
pub fn read(bytes: &[u8], depth_max: usize, end: End) -> Result<Body<'_>, Problem> {
    let bytes = match end {
        End::Whole => bytes,
        End::Cut => &bytes[..bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)],
    };
    let mut values = Vec::new();
    let mut duplicate_keys = Vec::new();
    let mut budget = json::VALUES_MAX;
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let document = json::read_within(line, depth_max, &mut budget)
            .map_err(|problem| Problem { what: format!("line {}: {}", index + 1, problem.what), ..problem })?;
        values.push(document.value);
        for key in document.duplicate_keys {
            if !duplicate_keys.contains(&key) {
                duplicate_keys.push(key);
            }
        }
    }
    if values.is_empty() {
        return Err(Problem::new(ParseStatus::Empty, "no line"));
    }
    Ok(Body { duplicate_keys, ..Body::of(Form::Lines, Value::List(values)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_per_line() {
        let body = read(b"{\"a\":1}\r\n\n [2] \n3", 64, End::Whole).expect("valid");
        let Value::List(values) = body.value else { panic!("a list") };
        assert_eq!(values.len(), 3);
        assert_eq!(values[2], Value::Number("3"));
    }

    #[test]
    fn a_cut_line_is_left_out_and_a_damaged_one_named() {
        let body = read(b"{\"a\":1}\n{\"a\":", 64, End::Cut).expect("valid");
        assert!(matches!(body.value, Value::List(values) if values.len() == 1));
        let problem = read(b"{\"a\":1}\n{\"a\":", 64, End::Whole).expect_err("damaged");
        assert_eq!(problem.status, ParseStatus::Invalid);
        assert!(problem.what.starts_with("line 2: "), "{}", problem.what);
        assert_eq!(read(b"{\"a\":", 64, End::Cut).expect_err("nothing").status, ParseStatus::Empty);
    }
}
