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
    if let Some(rows) = lists(rest)? {
        return Ok(Value::List(rows));
    }
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

/// Rows that are lists of numbers, one behind the other: how SageMaker's XGBoost answers under `text/csv` where a row has
/// several scores. `None` for anything else.
fn lists(text: &str) -> Result<Option<Vec<Value<'_>>>, Problem> {
    let mut rest = text.trim_start();
    if !rest.starts_with('[') || rest.contains(['"', '{']) {
        return Ok(None);
    }
    let mut rows = Vec::new();
    let mut values_left = json::VALUES_MAX;
    while let Some(end) = rest.find(']').filter(|_| rest.starts_with('[')) {
        let (list, behind) = rest.split_at(end + 1);
        match json::read_within(list.as_bytes(), 1, &mut values_left) {
            Ok(document) => rows.push(document.value),
            Err(problem) if values_left == 0 => return Err(problem),
            Err(_) => return Ok(None),
        }
        let behind = behind.trim_start();
        rest = behind.strip_prefix(',').unwrap_or(behind).trim_start();
    }
    Ok(rest.is_empty().then_some(rows))
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
    match memchr::memchr3(b',', b'\n', b'\r', text.as_bytes()) {
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
        "inf" | "-inf" => Value::Double(if trimmed == "inf" { f64::INFINITY } else { f64::NEG_INFINITY }),
        _ => json::number_token(trimmed)
            .or_else(|| bare_point(trimmed).map(Value::Double))
            .unwrap_or(Value::Text(Cow::Borrowed(cell))),
    }
}

/// `.5`, `-.5` and `5.`, which are numbers to whoever reads CSV.
fn bare_point(cell: &str) -> Option<f64> {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let (whole, fraction) = digits.split_once('.')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_one = match (whole, fraction) {
        ("", fraction) => !fraction.is_empty() && is_number(fraction),
        (whole, "") => is_number(whole) && (whole == "0" || !whole.starts_with('0')),
        _ => false,
    };
    if is_one { cell.parse().ok() } else { None }
}

/// A name without the blanks around it, as after the comma in `a, b`.
fn trimmed<'a>(name: &Cow<'a, str>) -> Cow<'a, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.trim()),
        Cow::Owned(name) => Cow::Owned(name.trim().to_owned()),
    }
}

/// What pandas calls a first column without a name.
const INDEX: &str = "Unnamed: 0";

/// The names of the columns and the rows below, if the first row is a header: every cell a different text, and either a row
/// below it has a number, or the answer counts as many rows as stand below it.
pub fn header<'a>(rows: &[Value<'a>], answers: Option<usize>) -> Option<Vec<Cow<'a, str>>> {
    let (Value::List(first), below) = rows.split_first()? else { return None };
    let names: Vec<Cow<'a, str>> = first
        .iter()
        .enumerate()
        .map(|(place, cell)| match cell {
            Value::Text(name) if !name.trim().is_empty() => Some(trimmed(name)),
            // The index of a frame, written without a name; read back, pandas calls it so.
            Value::Null if place == 0 && first.len() > 1 => Some(Cow::Borrowed(INDEX)),
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
    fn numbers_as_csv_writes_them() {
        let doubles = |values: &[f64]| values.iter().map(|value| Value::Double(*value)).collect::<Vec<_>>();
        assert_eq!(
            rows(".5,-.25,5.,-0.,inf,-inf\n"),
            [doubles(&[0.5, -0.25, 5.0, -0.0, f64::INFINITY, f64::NEG_INFINITY])]
        );
        for other in [".", "-", "-.", "05.", "1.2.3", ".5.", "+5", "1,5.x"] {
            assert!(rows(other)[0].iter().any(|cell| matches!(cell, Value::Text(_))), "{other}");
        }
    }

    #[test]
    fn lists_of_numbers_are_rows() {
        let row = |a, b| vec![Value::Number(a), Value::Number(b)];
        for text in ["[0.1, 0.9],[0.2, 0.8]", "[0.1, 0.9]\n[0.2, 0.8]\n", " [0.1,0.9]\r\n[0.2,0.8]"] {
            assert_eq!(rows(text), [row("0.1", "0.9"), row("0.2", "0.8")], "{text}");
        }
        for cells in ["[a],1", "[1],2", "[1,2", "[[1],[2]]", "[\"a\"],1"] {
            assert!(rows(cells)[0].iter().any(|cell| matches!(cell, Value::Text(_))), "{cells}");
        }
        let many = "[1],".repeat(json::VALUES_MAX);
        assert_eq!(read(many.as_bytes()).expect_err("many").status, ParseStatus::Limit);
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
        assert_eq!(header("a, b c \n1,2\n", None).as_deref(), Some("a|b c"));
        assert_eq!(header("5.1,3.5\n6.2,2.9\n", None), None);
        assert_eq!(header("a,b\nc,d\n", None), None);
        assert_eq!(header("a,b\nc,d\n", Some(1)).as_deref(), Some("a|b"));
        assert_eq!(header("a,b\nc,d\n", Some(2)), None);
        assert_eq!(header("a,a\n1,2\n", None), None);
        assert_eq!(header("a,b\n", Some(0)), None);
        assert_eq!(header(",a\n0,1\n", None).as_deref(), Some("Unnamed: 0|a"));
        assert_eq!(header("a,\n0,1\n", None), None);
    }
}
