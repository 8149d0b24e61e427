//! Elements of tensors: bytes -> values, and values -> nested lists by a shape.
//!
//! Numbers stay [`Packed`]; `BYTES` is a length as u32 before each element (Triton,
//! `docs/protocol/extension_binary_data.md`).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::packed::{Kind, Order, Packed};
use super::value::{self, Value};
use super::{ParseStatus, Problem, json};

/// The key that holds binary content as base64, as TensorFlow Serving writes it.
pub const BASE64: &str = "b64";

/// The elements of a packed tensor.
///
/// # Errors
/// `shape_mismatch` if the bytes are no whole number of elements, `limit` for too many.
pub fn elements(kind: Kind, order: Order, bytes: &[u8]) -> Result<Elements<'_>, Problem> {
    let Some(size) = kind.element_bytes() else { return texts(bytes).map(Elements::Values) };
    let packed = Packed::of(kind, order, bytes).ok_or_else(|| {
        let what = format!("{} bytes are no whole number of elements of {size}", bytes.len());
        Problem::new(ParseStatus::ShapeMismatch, what)
    })?;
    if packed.len() > json::VALUES_MAX {
        return Err(json::too_many());
    }
    Ok(Elements::Packed(packed))
}

/// Packed single floats; `None` if the bytes are no whole number of them, or too many.
pub fn floats(bytes: &[u8]) -> Option<Vec<Value<'static>>> {
    let packed = Packed::of(Kind::Fp32, Order::Little, bytes)?;
    (packed.len() <= json::VALUES_MAX).then(|| value::spelled(packed))
}

/// What a tensor holds, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Elements<'a> {
    Values(Vec<Value<'a>>),
    Packed(Packed<'a>),
}

impl<'a> Elements<'a> {
    pub fn len(&self) -> usize {
        match self {
            Elements::Values(values) => values.len(),
            Elements::Packed(packed) => packed.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each as a value of its own.
    pub fn values(self) -> Vec<Value<'a>> {
        match self {
            Elements::Values(values) => values,
            Elements::Packed(packed) => value::spelled(packed),
        }
    }

    /// As nested lists of a shape, the innermost still packed where they are numbers; a shape without dimensions is a scalar.
    ///
    /// # Errors
    /// `shape_mismatch` where the elements do not fill the shape.
    pub fn nested(self, shape: &[usize]) -> Result<Value<'a>, Problem> {
        match (self, shape) {
            (Elements::Packed(packed), shape @ [_, ..]) => {
                check(packed.len(), shape)?;
                Ok(nest_packed(packed, shape))
            }
            (elements, shape) => nested(elements.values(), shape),
        }
    }
}

/// Texts with their lengths before them.
fn texts(mut bytes: &[u8]) -> Result<Vec<Value<'_>>, Problem> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        let cut = || Problem::new(ParseStatus::ShapeMismatch, "a BYTES element is longer than its tensor");
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
        let (element, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        if values.len() == json::VALUES_MAX {
            return Err(json::too_many());
        }
        values.push(binary(element));
        bytes = rest;
    }
    Ok(values)
}

/// Text if it is UTF-8, else base64 under [`BASE64`].
pub fn binary(bytes: &[u8]) -> Value<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(Cow::Borrowed(text)),
        Err(_) => Value::Object(vec![(Cow::Borrowed(BASE64), Value::Text(Cow::Owned(STANDARD.encode(bytes))))]),
    }
}

/// Elements as nested lists; a shape without dimensions is a scalar.
///
/// # Errors
/// `shape_mismatch` where the elements do not fill the shape.
pub fn nested<'a>(values: Vec<Value<'a>>, shape: &[usize]) -> Result<Value<'a>, Problem> {
    check(values.len(), shape)?;
    let mut values = values.into_iter();
    match shape {
        [] => Ok(values.next().unwrap_or(Value::Null)),
        shape => Ok(nest(&mut values, shape)),
    }
}

/// # Errors
/// `shape_mismatch` where so many elements do not fill the shape.
pub fn check(elements: usize, shape: &[usize]) -> Result<(), Problem> {
    let wanted = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    if wanted == Some(elements) {
        return Ok(());
    }
    let what = format!("{elements} elements do not fill the shape {shape:?}");
    Err(Problem::new(ParseStatus::ShapeMismatch, what))
}

/// One nested list of a shape that is not empty and that the elements fill.
fn nest<'a>(values: &mut impl Iterator<Item = Value<'a>>, shape: &[usize]) -> Value<'a> {
    match shape {
        [] => values.next().unwrap_or(Value::Null),
        // `[3, 0]` would make lists without end out of nothing: an empty tensor is an empty list.
        _ if shape.contains(&0) => Value::List(Vec::new()),
        [size] => Value::List(values.take(*size).collect()),
        [size, inner @ ..] => Value::List((0..*size).map(|_| nest(values, inner)).collect()),
    }
}

/// As [`nest`], of a shape that has a dimension.
fn nest_packed<'a>(packed: Packed<'a>, shape: &[usize]) -> Value<'a> {
    match shape {
        _ if shape.contains(&0) => Value::List(Vec::new()),
        [size, inner @ ..] if !inner.is_empty() => {
            Value::List(packed.chunks(packed.len() / size).map(|chunk| nest_packed(chunk, inner)).collect())
        }
        _ => Value::Packed(packed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_what_is_no_utf8() {
        let bytes =
            [&3_u32.to_le_bytes()[..], b"abc", &2_u32.to_le_bytes(), b"\xff\xfe", &0_u32.to_le_bytes()].concat();
        let values = elements(Kind::Bytes, Order::Little, &bytes).expect("valid").values();
        assert_eq!(values[0], Value::Text("abc".into()));
        assert_eq!(values[1].get(&["b64"]), Some(&Value::Text("//4=".into())));
        assert_eq!(values[2], Value::Text("".into()));
        assert!(elements(Kind::Bytes, Order::Little, &bytes[..bytes.len() - 1]).is_err());
        assert!(elements(Kind::Bytes, Order::Little, &[255; 8]).is_err());
    }

    #[test]
    fn packed_lists_nest_as_values_do() {
        let bytes: Vec<u8> = (0..24_u8).collect();
        for shape in [&[24][..], &[2, 12], &[2, 3, 4], &[24, 1], &[1, 24], &[0, 24], &[3], &[]] {
            let packed = || elements(Kind::Uint8, Order::Little, &bytes).expect("valid");
            let spelled_out = packed().nested(shape).map(|mut value| {
                value.spell_out();
                value
            });
            assert_eq!(spelled_out, nested(packed().values(), shape), "{shape:?}");
        }
        let rows = elements(Kind::Fp32, Order::Little, &bytes).expect("valid").nested(&[2, 3]).expect("fits");
        assert!(matches!(&rows, Value::List(rows) if rows.iter().all(|row| matches!(row, Value::Packed(_)))));
    }

    #[test]
    fn elements_must_fill_the_shape() {
        let values = || (0..6).map(Value::Int).collect::<Vec<_>>();
        let nested_value = nested(values(), &[2, 3]).expect("fits");
        assert!(matches!(&nested_value, Value::List(rows) if rows.len() == 2));
        for shape in [&[5][..], &[2, 2], &[usize::MAX, 2], &[]] {
            assert_eq!(nested(values(), shape).expect_err("does not fit").status, ParseStatus::ShapeMismatch);
        }
        assert_eq!(nested(Vec::new(), &[usize::MAX, 0]).expect("empty"), Value::List(Vec::new()));
    }
}
