//! A NumPy array file (`.npy`) -> nested lists.
//!
//! Specification: numpy/numpy, `numpy/lib/_format_impl.py` (NEP 1): magic, version, a header that is a Python dictionary
//! with `descr`, `fortran_order` and `shape`, then the elements.

use crate::protocol::packed::{Kind, Order};
use crate::protocol::tensor;
use crate::protocol::value::Value;
use crate::protocol::{ParseStatus, Problem};

pub const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads an array of numbers or booleans.
///
/// # Errors
/// `invalid` for a damaged file, `unsupported` for objects, texts, structures and Fortran order of several dimensions,
/// `shape_mismatch` where the data do not fill the shape, `limit` for too many elements.
pub fn read(bytes: &[u8]) -> Result<Value<'_>, Problem> {
    let damaged = |what: &str| Problem::new(ParseStatus::Invalid, format!("npy: {what}"));
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("no such file"))?;
    let (length, rest) = match rest {
        [1, _, low, high, rest @ ..] => (usize::from(u16::from_le_bytes([*low, *high])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, *d]);
            (usize::try_from(length).map_err(|_| damaged("its header is too long"))?, rest)
        }
        _ => return Err(damaged("a version that is not known")),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(|| damaged("its header is cut"))?;
    let header = std::str::from_utf8(header).map_err(|_| damaged("its header is no text"))?;
    let descr = entry(header, "descr")
        .and_then(quoted)
        .ok_or_else(|| Problem::new(ParseStatus::Unsupported, "npy: an array of structures"))?;
    let (kind, order) =
        element(descr).ok_or_else(|| Problem::new(ParseStatus::Unsupported, "npy: elements that are no numbers"))?;
    let shape = entry(header, "shape").and_then(tuple).ok_or_else(|| damaged("no shape"))?;
    let fortran = entry(header, "fortran_order").is_some_and(|value| value.starts_with("True"));
    if fortran && shape.len() > 1 {
        return Err(Problem::new(ParseStatus::Unsupported, "npy: Fortran order"));
    }
    // What reads it next looks into its lists.
    tensor::nested(tensor::elements(kind, order, data)?.values(), &shape)
}

/// What stands behind a key of the header.
fn entry<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let at = ["'", "\""].iter().find_map(|quote| {
        let quoted = format!("{quote}{key}{quote}");
        header.find(&quoted).map(|at| at + quoted.len())
    })?;
    header[at..].trim_start().strip_prefix(':').map(str::trim_start)
}

fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split(quote).next()
}

fn tuple(text: &str) -> Option<Vec<usize>> {
    let inner = text.strip_prefix('(')?.split(')').next()?;
    inner.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
}

/// `<f8` and its like.
fn element(descr: &str) -> Option<(Kind, Order)> {
    let order = match descr.as_bytes().first()? {
        b'<' | b'|' => Order::Little,
        b'>' => Order::Big,
        b'=' => Order::Little,
        _ => return None,
    };
    let kind = match &descr[1..] {
        "b1" => Kind::Bool,
        "i1" => Kind::Int8,
        "i2" => Kind::Int16,
        "i4" => Kind::Int32,
        "i8" => Kind::Int64,
        "u1" => Kind::Uint8,
        "u2" => Kind::Uint16,
        "u4" => Kind::Uint32,
        "u8" => Kind::Uint64,
        "f2" => Kind::Fp16,
        "f4" => Kind::Fp32,
        "f8" => Kind::Fp64,
        _ => return None,
    };
    Some((kind, order))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[1, 0]);
        bytes.extend_from_slice(&u16::try_from(header.len()).expect("short").to_le_bytes());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn arrays_become_lists() {
        let data: Vec<u8> = [1.5_f64, -2.0, 0.1, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let bytes = file("'<f8'", "(2, 2)", &data);
        let value = read(&bytes).expect("valid");
        let row = |a, b| Value::List(vec![Value::Double(a), Value::Double(b)]);
        assert_eq!(value, Value::List(vec![row(1.5, -2.0), row(0.1, 4.0)]));
        let bytes = file("'>i2'", "(1,)", &[1, 0]);
        let value = read(&bytes).expect("valid");
        assert_eq!(value, Value::List(vec![Value::Int(256)]));
        assert_eq!(read(&file("'|b1'", "()", &[1])).expect("valid"), Value::Bool(true));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let status = |bytes: &[u8]| read(bytes).expect_err("wrong").status;
        assert_eq!(status(&file("'|O'", "(1,)", b"")), ParseStatus::Unsupported);
        assert_eq!(status(&file("[('a', '<f8')]", "(1,)", b"")), ParseStatus::Unsupported);
        assert_eq!(status(&file("'<f8'", "(2,)", &[0; 8])), ParseStatus::ShapeMismatch);
        assert_eq!(status(&file("'<f8'", "(99999999999, 99999999999)", &[0; 8])), ParseStatus::ShapeMismatch);
        assert_eq!(status(b"\x93NUMPY\x01\x00\xff\xff"), ParseStatus::Invalid);
        assert_eq!(status(b"\x93NUMPY\x09"), ParseStatus::Invalid);
    }
}
