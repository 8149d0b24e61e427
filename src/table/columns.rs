//! Columns of one batch as plain vectors that can be cut: what a broken record wrote is taken back, open LISTs and MAPs included.
//!
//! A column may lag behind the row: it is filled up with nulls when it is written next, or at the batch's end.

use std::sync::Arc;

use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, FieldRef};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::number::{self, Number};
use super::time;
use super::validity::Validity;

/// Whether a value fits its column exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Exact,
    /// Nothing was written; the row needs its `_raw`.
    Misfit,
}

/// A scalar of the JSON text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'t> {
    Bool(bool),
    Number(Number<'t>),
    Text(&'t str),
}

/// Values of one flat column.
#[derive(Debug)]
pub(super) struct Leaf {
    valid: Validity,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Bool(BooleanBufferBuilder),
    Double(Vec<f64>),
    Float(Vec<f32>),
    /// Any integer type but UInt64, range-checked, narrowed when the batch ends.
    Int {
        range: (i64, i64),
        values: Vec<i64>,
    },
    Uint64(Vec<u64>),
    Time(Vec<i64>),
    Text {
        ends: Vec<i32>,
        bytes: Vec<u8>,
    },
    Binary {
        ends: Vec<i32>,
        bytes: Vec<u8>,
    },
}

impl Leaf {
    pub fn new(data_type: &DataType) -> Leaf {
        let int = |min: i64, max: i64| Values::Int { range: (min, max), values: Vec::new() };
        let values = match data_type {
            DataType::Boolean => Values::Bool(BooleanBufferBuilder::new(0)),
            DataType::Float64 => Values::Double(Vec::new()),
            DataType::Float32 => Values::Float(Vec::new()),
            DataType::Int8 => int(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => int(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => int(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => int(i64::MIN, i64::MAX),
            DataType::UInt8 => int(0, u8::MAX.into()),
            DataType::UInt16 => int(0, u16::MAX.into()),
            DataType::UInt32 => int(0, u32::MAX.into()),
            DataType::UInt64 => Values::Uint64(Vec::new()),
            DataType::Timestamp(..) => Values::Time(Vec::new()),
            DataType::Utf8 => Values::Text { ends: vec![0], bytes: Vec::new() },
            DataType::Binary => Values::Binary { ends: vec![0], bytes: Vec::new() },
            other => unreachable!("no flat column of type {other}"),
        };
        Leaf { valid: Validity::new(), values }
    }

    pub fn len(&self) -> usize {
        self.valid.len()
    }

    #[inline]
    pub fn fill_to(&mut self, row: usize) {
        if self.valid.len() < row {
            self.push_nulls(row - self.valid.len());
        }
    }

    fn push_nulls(&mut self, count: usize) {
        self.valid.append_n_nulls(count);
        match &mut self.values {
            Values::Bool(values) => values.append_n(count, false),
            Values::Double(values) => values.resize(values.len() + count, 0.0),
            Values::Float(values) => values.resize(values.len() + count, 0.0),
            Values::Int { values, .. } | Values::Time(values) => values.resize(values.len() + count, 0),
            Values::Uint64(values) => values.resize(values.len() + count, 0),
            Values::Text { ends, bytes } | Values::Binary { ends, bytes } => {
                ends.resize(ends.len() + count, end_of(bytes));
            }
        }
    }

    /// Writes one value, or nothing.
    #[inline]
    pub fn push(&mut self, scalar: Scalar<'_>) -> Fit {
        match (&mut self.values, scalar) {
            (Values::Double(values), Scalar::Number(number)) if number.exact => values.push(number.value),
            (Values::Double(values), Scalar::Text(text)) => match number::not_finite(text) {
                Some(value) => values.push(value),
                None => return Fit::Misfit,
            },
            (Values::Text { ends, bytes }, Scalar::Text(text)) => {
                bytes.extend_from_slice(text.as_bytes());
                ends.push(end_of(bytes));
            }
            (Values::Bool(values), Scalar::Bool(value)) => values.append(value),
            (Values::Int { range, values }, Scalar::Number(Number { int: Some(value), .. }))
                if (range.0..=range.1).contains(&value) =>
            {
                values.push(value);
            }
            (Values::Uint64(values), Scalar::Number(number)) => match number.text.parse() {
                Ok(value) => values.push(value),
                Err(_) => return Fit::Misfit,
            },
            (Values::Float(values), Scalar::Number(number)) => match to_float(number) {
                Some(value) => values.push(value),
                None => return Fit::Misfit,
            },
            (Values::Float(values), Scalar::Text(text)) => match number::not_finite(text) {
                Some(value) => values.push(value as f32),
                None => return Fit::Misfit,
            },
            // Base64 in its one form, so that the bytes say what the text said.
            (Values::Binary { ends, bytes }, Scalar::Text(text)) => match BASE64.decode(text) {
                Ok(value) => {
                    bytes.extend_from_slice(&value);
                    ends.push(end_of(bytes));
                }
                Err(_) => return Fit::Misfit,
            },
            (Values::Time(values), Scalar::Text(text)) => match time::parse_micros(text) {
                Some(value) => values.push(value),
                None => return Fit::Misfit,
            },
            _ => return Fit::Misfit,
        }
        self.valid.append_non_null();
        Fit::Exact
    }

    pub fn push_null(&mut self) {
        self.push_nulls(1);
    }

    pub fn push_bytes(&mut self, value: &[u8]) {
        let Values::Binary { ends, bytes } = &mut self.values else { unreachable!("not a BINARY column") };
        bytes.extend_from_slice(value);
        ends.push(end_of(bytes));
        self.valid.append_non_null();
    }

    /// An integer or a time in microseconds, known to be in range.
    pub fn push_int(&mut self, value: i64) {
        let (Values::Int { values, .. } | Values::Time(values)) = &mut self.values else {
            unreachable!("not an integer column")
        };
        values.push(value);
        self.valid.append_non_null();
    }

    /// The text of a row that was written.
    pub fn text_at(&self, row: usize) -> Option<&[u8]> {
        match &self.values {
            Values::Text { ends, bytes } if row < self.len() && self.valid.is_valid(row) => {
                Some(&bytes[ends[row] as usize..ends[row + 1] as usize])
            }
            _ => None,
        }
    }

    pub fn int_at(&self, row: usize) -> Option<i64> {
        match &self.values {
            Values::Int { values, .. } if row < self.len() && self.valid.is_valid(row) => Some(values[row]),
            _ => None,
        }
    }

    pub fn truncate(&mut self, len: usize) {
        if self.valid.len() <= len {
            return;
        }
        self.valid.truncate(len);
        match &mut self.values {
            Values::Bool(values) => values.truncate(len),
            Values::Double(values) => values.truncate(len),
            Values::Float(values) => values.truncate(len),
            Values::Int { values, .. } | Values::Time(values) => values.truncate(len),
            Values::Uint64(values) => values.truncate(len),
            Values::Text { ends, bytes } | Values::Binary { ends, bytes } => {
                ends.truncate(len + 1);
                bytes.truncate(ends[len] as usize);
            }
        }
    }

    /// The column's values; the vectors go to Arrow as they are, and new ones begin.
    pub fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let nulls = self.valid.finish();
        Ok(match &mut self.values {
            Values::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Double(values) => Arc::new(Float64Array::new(std::mem::take(values).into(), nulls)),
            Values::Float(values) => Arc::new(Float32Array::new(std::mem::take(values).into(), nulls)),
            Values::Uint64(values) => Arc::new(PrimitiveArray::<UInt64Type>::new(std::mem::take(values).into(), nulls)),
            Values::Time(values) => Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::new(std::mem::take(values).into(), nulls)
                    .with_timezone("UTC"),
            ),
            Values::Int { values, .. } => narrow(std::mem::take(values), nulls, data_type),
            Values::Text { ends, bytes } => {
                let (offsets, bytes) = take_bytes(ends, bytes);
                Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
            }
            Values::Binary { ends, bytes } => {
                let (offsets, bytes) = take_bytes(ends, bytes);
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
        })
    }
}

fn end_of(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).expect("a batch is closed long before a column has 2 GiB")
}

fn take_bytes(ends: &mut Vec<i32>, bytes: &mut Vec<u8>) -> (OffsetBuffer<i32>, Buffer) {
    let ends = std::mem::replace(ends, vec![0]);
    (OffsetBuffer::new(ScalarBuffer::from(ends)), Buffer::from_vec(std::mem::take(bytes)))
}

/// A single-precision value that reads back as what is written: in its own few digits (`0.1`), or in the many of the double that equals
/// it (`0.10000000149011612`, as numpy's lists have it).
fn to_float(number: Number<'_>) -> Option<f32> {
    if !number.value.is_finite() {
        return number.exact.then_some(number.value as f32);
    }
    let value: f32 = number.text.parse().ok()?;
    let again: f64 = value.to_string().parse().ok()?;
    (number.exact && (again == number.value || f64::from(value) == number.value)).then_some(value)
}

fn narrow(values: Vec<i64>, nulls: Option<NullBuffer>, data_type: &DataType) -> ArrayRef {
    macro_rules! narrowed {
        ($arrow:ty) => {
            // Range-checked when pushed.
            Arc::new(PrimitiveArray::<$arrow>::new(values.into_iter().map(|value| value as _).collect(), nulls))
        };
    }
    match data_type {
        DataType::Int8 => narrowed!(Int8Type),
        DataType::Int16 => narrowed!(Int16Type),
        DataType::Int32 => narrowed!(Int32Type),
        DataType::UInt8 => narrowed!(UInt8Type),
        DataType::UInt16 => narrowed!(UInt16Type),
        DataType::UInt32 => narrowed!(UInt32Type),
        DataType::Int64 => Arc::new(PrimitiveArray::<Int64Type>::new(values.into(), nulls)),
        other => unreachable!("no integer column of type {other}"),
    }
}

/// A column of a row: flat, or with elements of its own.
#[derive(Debug)]
pub(super) enum Column {
    Leaf(Leaf),
    List {
        valid: Validity,
        ends: Vec<i32>,
        element: Box<Column>,
    },
    Map {
        valid: Validity,
        ends: Vec<i32>,
        keys: Box<Leaf>,
        values: Box<Leaf>,
    },
    /// Its fields are columns of the same rows; they stand elsewhere.
    Struct {
        valid: Validity,
    },
}

impl Column {
    pub fn new(data_type: &DataType) -> Column {
        let valid = Validity::new();
        match data_type {
            DataType::Struct(_) => Column::Struct { valid },
            DataType::List(element) => {
                Column::List { valid, ends: vec![0], element: Box::new(Column::new(element.data_type())) }
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else { unreachable!("a map has entries") };
                let of = |field: &FieldRef| Box::new(Leaf::new(field.data_type()));
                Column::Map { valid, ends: vec![0], keys: of(&fields[0]), values: of(&fields[1]) }
            }
            flat => Column::Leaf(Leaf::new(flat)),
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Column::Leaf(leaf) => leaf.len(),
            Column::List { valid, .. } | Column::Map { valid, .. } | Column::Struct { valid } => valid.len(),
        }
    }

    /// Levels of LIST.
    pub fn list_levels(&self) -> usize {
        match self {
            Column::List { element, .. } => 1 + element.list_levels(),
            _ => 0,
        }
    }

    /// Nulls up to `row`.
    #[inline]
    pub fn fill_to(&mut self, row: usize) {
        match self {
            Column::Leaf(leaf) => leaf.fill_to(row),
            Column::List { valid, ends, .. } | Column::Map { valid, ends, .. } => {
                if valid.len() < row {
                    let count = row - valid.len();
                    valid.append_n_nulls(count);
                    let end = *ends.last().expect("offsets begin with 0");
                    ends.resize(ends.len() + count, end);
                }
            }
            Column::Struct { valid } => {
                if valid.len() < row {
                    valid.append_n_nulls(row - valid.len());
                }
            }
        }
    }

    pub fn push_null(&mut self) {
        self.fill_to(self.len() + 1);
    }

    /// Ends the LIST, MAP or STRUCT whose elements were written.
    pub fn close(&mut self) {
        match self {
            Column::Leaf(_) => unreachable!("a flat column has nothing open"),
            Column::List { valid, ends, element } => {
                valid.append_non_null();
                ends.push(i32::try_from(element.len()).expect("a batch has fewer elements than bytes"));
            }
            Column::Map { valid, ends, keys, .. } => {
                valid.append_non_null();
                ends.push(i32::try_from(keys.len()).expect("a batch has fewer entries than bytes"));
            }
            Column::Struct { valid } => valid.append_non_null(),
        }
    }

    /// The column that `levels` of LIST stand around.
    pub fn element_mut(&mut self, levels: usize) -> &mut Column {
        if levels == 0 || !matches!(self, Column::List { .. }) {
            return self;
        }
        match self {
            Column::List { element, .. } => element.element_mut(levels - 1),
            _ => unreachable!("only a LIST gets here"),
        }
    }

    /// Takes back elements that belong to no row, then rows from `len` on.
    pub fn truncate(&mut self, len: usize) {
        match self {
            Column::Leaf(leaf) => leaf.truncate(len),
            Column::Struct { valid } => {
                if valid.len() > len {
                    valid.truncate(len);
                }
            }
            Column::List { valid, ends, element } => {
                if valid.len() > len {
                    valid.truncate(len);
                    ends.truncate(len + 1);
                }
                element.truncate(*ends.last().expect("offsets begin with 0") as usize);
            }
            Column::Map { valid, ends, keys, values } => {
                if valid.len() > len {
                    valid.truncate(len);
                    ends.truncate(len + 1);
                }
                let entries = *ends.last().expect("offsets begin with 0") as usize;
                keys.truncate(entries);
                values.truncate(entries);
            }
        }
    }

    /// The column's array; a STRUCT's children are given.
    pub fn finish(&mut self, data_type: &DataType, children: Vec<ArrayRef>) -> Result<ArrayRef, ArrowError> {
        let take = |ends: &mut Vec<i32>| OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(ends, vec![0])));
        Ok(match (self, data_type) {
            (Column::Leaf(leaf), _) => leaf.finish(data_type)?,
            (Column::List { valid, ends, element }, DataType::List(field)) => {
                let element = element.finish(field.data_type(), Vec::new())?;
                Arc::new(ListArray::try_new(field.clone(), take(ends), element, valid.finish())?)
            }
            (Column::Map { valid, ends, keys, values }, DataType::Map(entries, sorted)) => {
                let DataType::Struct(fields) = entries.data_type() else { unreachable!("a map has entries") };
                let arrays = vec![keys.finish(fields[0].data_type())?, values.finish(fields[1].data_type())?];
                let structs = StructArray::try_new(fields.clone(), arrays, None)?;
                Arc::new(MapArray::try_new(entries.clone(), take(ends), structs, valid.finish(), *sorted)?)
            }
            (Column::Struct { valid }, DataType::Struct(fields)) => {
                Arc::new(StructArray::try_new(fields.clone(), children, valid.finish())?)
            }
            (column, other) => unreachable!("{column:?} is no column of type {other}"),
        })
    }
}
