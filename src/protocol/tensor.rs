//! Elements of tensors: bytes -> values, and values -> nested lists by a shape.
//!
//! Elements are packed, row-major, without padding. Datatypes by the Open Inference Protocol ("Tensor Data Types"); `BYTES`
//! is a length as u32 before each element (Triton, `docs/protocol/extension_binary_data.md`).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::value::Value;
use super::{ParseStatus, Problem, json};

/// The key that holds binary content as base64, as TensorFlow Serving writes it.
pub const BASE64: &str = "b64";

/// A tensor's datatype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

/// Order of the bytes of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

/// Every datatype and its word.
const KINDS: [(Kind, &str); 14] = [
    (Kind::Bool, "BOOL"),
    (Kind::Uint8, "UINT8"),
    (Kind::Uint16, "UINT16"),
    (Kind::Uint32, "UINT32"),
    (Kind::Uint64, "UINT64"),
    (Kind::Int8, "INT8"),
    (Kind::Int16, "INT16"),
    (Kind::Int32, "INT32"),
    (Kind::Int64, "INT64"),
    (Kind::Fp16, "FP16"),
    (Kind::Bf16, "BF16"),
    (Kind::Fp32, "FP32"),
    (Kind::Fp64, "FP64"),
    (Kind::Bytes, "BYTES"),
];

impl Kind {
    /// The datatype of a word.
    pub fn named(word: &str) -> Option<Kind> {
        KINDS.iter().find(|(_, name)| *name == word).map(|(kind, _)| *kind)
    }

    /// The word of a datatype.
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("BYTES", |(_, word)| word)
    }
}

/// The elements of a packed tensor.
///
/// # Errors
/// `shape_mismatch` if the bytes are no whole number of elements, `limit` for too many.
pub fn elements(kind: Kind, order: Order, bytes: &[u8]) -> Result<Vec<Value<'_>>, Problem> {
    match kind {
        Kind::Bool => packed(bytes, order, |[byte]: [u8; 1]| Value::Bool(byte != 0)),
        Kind::Uint8 => packed(bytes, order, |raw| Value::UInt(u8::from_le_bytes(raw).into())),
        Kind::Uint16 => packed(bytes, order, |raw| Value::UInt(u16::from_le_bytes(raw).into())),
        Kind::Uint32 => packed(bytes, order, |raw| Value::UInt(u32::from_le_bytes(raw).into())),
        Kind::Uint64 => packed(bytes, order, |raw| Value::UInt(u64::from_le_bytes(raw))),
        Kind::Int8 => packed(bytes, order, |raw| Value::Int(i8::from_le_bytes(raw).into())),
        Kind::Int16 => packed(bytes, order, |raw| Value::Int(i16::from_le_bytes(raw).into())),
        Kind::Int32 => packed(bytes, order, |raw| Value::Int(i32::from_le_bytes(raw).into())),
        Kind::Int64 => packed(bytes, order, |raw| Value::Int(i64::from_le_bytes(raw))),
        // As doubles: the few digits that tell one single float from the next are not yet its value where a double is read.
        Kind::Fp16 => packed(bytes, order, |raw| Value::Double(half(u16::from_le_bytes(raw)).into())),
        Kind::Bf16 => {
            packed(bytes, order, |raw| Value::Double(f32::from_bits(u32::from(u16::from_le_bytes(raw)) << 16).into()))
        }
        Kind::Fp32 => packed(bytes, order, |raw| Value::Float(f32::from_le_bytes(raw))),
        Kind::Fp64 => packed(bytes, order, |raw| Value::Double(f64::from_le_bytes(raw))),
        Kind::Bytes => texts(bytes),
    }
}

/// Packed single floats.
///
/// # Errors
/// As [`elements`].
pub fn floats(bytes: &[u8]) -> Result<Vec<Value<'static>>, Problem> {
    packed(bytes, Order::Little, |raw| Value::Float(f32::from_le_bytes(raw)))
}

fn packed<'a, const SIZE: usize>(
    bytes: &[u8],
    order: Order,
    value: impl Fn([u8; SIZE]) -> Value<'a>,
) -> Result<Vec<Value<'a>>, Problem> {
    let (elements, rest) = bytes.as_chunks::<SIZE>();
    if !rest.is_empty() {
        let what = format!("{} bytes are no whole number of elements of {SIZE}", bytes.len());
        return Err(Problem::new(ParseStatus::ShapeMismatch, what));
    }
    if elements.len() > json::VALUES_MAX {
        return Err(json::too_many());
    }
    let in_order = |mut element: [u8; SIZE]| {
        if order == Order::Big {
            element.reverse();
        }
        element
    };
    Ok(elements.iter().map(|element| value(in_order(*element))).collect())
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

/// IEEE 754 binary16 -> binary32, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    match exponent {
        0 => sign * fraction * 2_f32.powi(-24),
        0x1f if fraction == 0.0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2_f32.powi(exponent - 25),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_are_exact() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 2_f32.powi(-24)),
            (0x0400, 2_f32.powi(-14)),
            (0x2e66, 0.099_975_586),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert!(half(0x7e00).is_nan());
        assert!(half(0x8000).is_sign_negative());
    }

    #[test]
    fn texts_keep_what_is_no_utf8() {
        let bytes =
            [&3_u32.to_le_bytes()[..], b"abc", &2_u32.to_le_bytes(), b"\xff\xfe", &0_u32.to_le_bytes()].concat();
        let values = elements(Kind::Bytes, Order::Little, &bytes).expect("valid");
        assert_eq!(values[0], Value::Text("abc".into()));
        assert_eq!(values[1].get(&["b64"]), Some(&Value::Text("//4=".into())));
        assert_eq!(values[2], Value::Text("".into()));
        assert!(elements(Kind::Bytes, Order::Little, &bytes[..bytes.len() - 1]).is_err());
        assert!(elements(Kind::Bytes, Order::Little, &[255; 8]).is_err());
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
