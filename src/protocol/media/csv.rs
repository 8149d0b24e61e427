//! CSV -> a list of rows, each a list of cells: numbers where a cell is one, `null` where it is empty.
//!
//! Specification: RFC 4180; line ends may also be LF alone.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::protocol::value::Value;
use crate::protocol::{ParseStatus, Problem, json};

/// Reads a table. Rows may differ in length.
///
/// # Errors
/// `invalid` for damaged UTF-8 or a quote without its end, `limit` for too many cells.
pub fn read(bytes: &[u8]) -> Result<Value<'_>, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Problem::new(ParseStatus::Invalid, format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rows = Vec::new();
    let mut cells_left = json::VALUES_MAX;
    while !rest.is_empty() {
        let mut row = Vec::new();
        loop {
            cells_left = cells_left.checked_sub(1).ok_or_else(json::too_many)?;
            let (cell, end, after) = cell(rest, rows.len() + 1)?;
            row.push(cell);
            rest = after;
            if end == CellEnd::Row {
                break;
            }
        }
        // An empty line is no row.
        if !matches!(row.as_slice(), [Value::Null]) {
            rows.push(Value::List(row));
        }
    }
    if rows.is_empty() {
        return Err(Problem::new(ParseStatus::Empty, "no row"));
    }
    Ok(Value::List(rows))
}

#[derive(PartialEq, Eq)]
enum CellEnd {
    Cell,
    Row,
}

/// The first cell of the text, what ends it, and the text behind.
fn cell(text: &str, row: usize) -> Result<(Value<'_>, CellEnd, &str), Problem> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut from = 0;
        let (inner, rest) = loop {
            let Some(at) = quoted[from..].find('"').map(|at| from + at) else {
                return Err(Problem::new(ParseStatus::Invalid, format!("row {row}: a quote without its end")));
            };
            match quoted[at + 1..].starts_with('"') {
                true => from = at + 2,
                false => break (&quoted[..at], &quoted[at + 1..]),
            }
        };
        let inner = if inner.contains("\"\"") { Cow::Owned(inner.replace("\"\"", "\"")) } else { Cow::Borrowed(inner) };
        let (junk, end, rest) = end_of_cell(rest);
        if !junk.trim().is_empty() {
            return Err(Problem::new(ParseStatus::Invalid, format!("row {row}: text behind a quoted cell")));
        }
        return Ok((Value::Text(inner), end, rest));
    }
    let (cell, end, rest) = end_of_cell(text);
    Ok((bare(cell), end, rest))
}

fn end_of_cell(text: &str) -> (&str, CellEnd, &str) {
    match text.find([',', '\n', '\r']) {
        None => (text, CellEnd::Row, ""),
        Some(at) => {
            let (cell, rest) = text.split_at(at);
            match rest.strip_prefix(',') {
                Some(rest) => (cell, CellEnd::Cell, rest),
                None => (cell, CellEnd::Row, rest.strip_prefix("\r\n").unwrap_or(&rest[1..])),
            }
        }
    }
}

/// A cell without quotes. Its digits are kept; `007` is a text.
fn bare(cell: &str) -> Value<'_> {
    let trimmed = cell.trim();
    match trimmed {
        "" => Value::Null,
        "NaN" | "nan" => Value::Double(f64::NAN),
        _ => json::number_token(trimmed).unwrap_or(Value::Text(Cow::Borrowed(cell))),
    }
}

/// The names of the columns and the rows below, if the first row is a header: every cell a different text, and either a row
/// below it has a number, or the answer counts as many rows as stand below it.
pub fn header<'a>(rows: &[Value<'a>], answers: Option<usize>) -> Option<Vec<Cow<'a, str>>> {
    let (Value::List(first), below) = rows.split_first()? else { return None };
    let names: Vec<Cow<'a, str>> = first
        .iter()
        .map(|cell| match cell {
            Value::Text(name) if !name.trim().is_empty() => Some(name.clone()),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let different = names.iter().collect::<HashSet<_>>().len() == names.len();
    let numbers = below.iter().any(|row| {
        matches!(row, Value::List(cells) if cells.iter().any(|cell| matches!(cell, Value::Number(_) | Value::Double(_))))
    });
    (different && !below.is_empty() && (numbers || answers == Some(below.len()))).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Vec<Value<'_>>> {
        let Value::List(rows) = read(text.as_bytes()).expect("valid") else { panic!("a list") };
        rows.into_iter().map(|row| if let Value::List(cells) = row { cells } else { panic!("a row") }).collect()
    }

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.into())
    }

    #[test]
    fn cells_and_line_ends() {
        let expected = vec![
            vec![Value::Number("1.50"), text("a"), Value::Null],
            vec![Value::Number("-2"), text("b c"), text("007")],
        ];
        for newline in ["\n", "\r\n"] {
            for last in ["", newline] {
                assert_eq!(rows(&format!("1.50,a,{newline}-2,b c,007{last}")), expected);
            }
        }
    }

    #[test]
    fn quotes_hold_commas_quotes_and_lines() {
        assert_eq!(rows("\"a,\"\"b\"\"\n\",\"\",\"3\""), [[text("a,\"b\"\n"), text(""), text("3")]]);
        assert_eq!(read(b"\"open").expect_err("open").status, ParseStatus::Invalid);
        assert_eq!(read(b"\"a\"b,1").expect_err("junk").status, ParseStatus::Invalid);
    }

    #[test]
    fn a_header_is_told_from_data() {
        let header = |text: &str, answers| {
            let Value::List(rows) = read(text.as_bytes()).expect("valid") else { panic!("a list") };
            super::header(&rows, answers).map(|names| names.join("|"))
        };
        assert_eq!(header("a,b\n1,2\n", None).as_deref(), Some("a|b"));
        assert_eq!(header("5.1,3.5\n6.2,2.9\n", None), None);
        assert_eq!(header("a,b\nc,d\n", None), None);
        assert_eq!(header("a,b\nc,d\n", Some(1)).as_deref(), Some("a|b"));
        assert_eq!(header("a,b\nc,d\n", Some(2)), None);
        assert_eq!(header("a,a\n1,2\n", None), None);
        assert_eq!(header("a,b\n", Some(0)), None);
    }
}
