//! Numbers as a tensor carries them: datatypes, and a list of elements that is read only where it is written.
//!
//! Elements are packed, row-major, without padding. Datatypes by the Open Inference Protocol ("Tensor Data Types").

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

/// Every datatype, its word, and the bytes of an element; `None`: each says its own length.
const KINDS: [(Kind, &str, Option<usize>); 14] = [
    (Kind::Bool, "BOOL", Some(1)),
    (Kind::Uint8, "UINT8", Some(1)),
    (Kind::Uint16, "UINT16", Some(2)),
    (Kind::Uint32, "UINT32", Some(4)),
    (Kind::Uint64, "UINT64", Some(8)),
    (Kind::Int8, "INT8", Some(1)),
    (Kind::Int16, "INT16", Some(2)),
    (Kind::Int32, "INT32", Some(4)),
    (Kind::Int64, "INT64", Some(8)),
    (Kind::Fp16, "FP16", Some(2)),
    (Kind::Bf16, "BF16", Some(2)),
    (Kind::Fp32, "FP32", Some(4)),
    (Kind::Fp64, "FP64", Some(8)),
    (Kind::Bytes, "BYTES", None),
];

impl Kind {
    /// The datatype of a word.
    pub fn named(word: &str) -> Option<Kind> {
        KINDS.iter().find(|(_, name, _)| *name == word).map(|(kind, ..)| *kind)
    }

    /// The word of a datatype.
    pub fn word(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("BYTES", |(_, word, _)| word)
    }

    /// The bytes of an element, if all have the same.
    pub fn element_bytes(self) -> Option<usize> {
        KINDS.iter().find(|(kind, ..)| *kind == self).and_then(|(.., bytes)| *bytes)
    }
}

/// One number of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Element {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f32),
    Double(f64),
}

/// A list of numbers that still are as the tensor has them. A thousand of them as values would be written to memory, and read
/// again, only to be written in digits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Packed<'a> {
    kind: Kind,
    order: Order,
    /// A whole number of elements.
    bytes: &'a [u8],
}

impl<'a> Packed<'a> {
    /// `None`: elements of this kind have no common length, or the bytes are no whole number of them.
    pub fn of(kind: Kind, order: Order, bytes: &'a [u8]) -> Option<Packed<'a>> {
        bytes.len().is_multiple_of(kind.element_bytes()?).then_some(Packed { kind, order, bytes })
    }

    pub fn len(self) -> usize {
        self.bytes.len() / self.kind.element_bytes().unwrap_or(1)
    }

    pub fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Lists of `size` elements each, one after the other.
    pub fn chunks(self, size: usize) -> impl Iterator<Item = Packed<'a>> {
        let bytes = size.max(1) * self.kind.element_bytes().unwrap_or(1);
        self.bytes.chunks(bytes).map(move |bytes| Packed { bytes, ..self })
    }

    /// Tells every element to `hear`.
    pub fn each(self, mut hear: impl FnMut(Element)) {
        let hear = &mut hear;
        match self.kind {
            Kind::Bool => self.read(hear, |[byte]: [u8; 1]| Element::Bool(byte != 0)),
            Kind::Uint8 => self.read(hear, |raw| Element::UInt(u8::from_le_bytes(raw).into())),
            Kind::Uint16 => self.read(hear, |raw| Element::UInt(u16::from_le_bytes(raw).into())),
            Kind::Uint32 => self.read(hear, |raw| Element::UInt(u32::from_le_bytes(raw).into())),
            Kind::Uint64 => self.read(hear, |raw| Element::UInt(u64::from_le_bytes(raw))),
            Kind::Int8 => self.read(hear, |raw| Element::Int(i8::from_le_bytes(raw).into())),
            Kind::Int16 => self.read(hear, |raw| Element::Int(i16::from_le_bytes(raw).into())),
            Kind::Int32 => self.read(hear, |raw| Element::Int(i32::from_le_bytes(raw).into())),
            Kind::Int64 => self.read(hear, |raw| Element::Int(i64::from_le_bytes(raw))),
            // As doubles: the few digits that tell one single float from the next are not yet its value where a double is read.
            Kind::Fp16 => self.read(hear, |raw| Element::Double(half(u16::from_le_bytes(raw)).into())),
            Kind::Bf16 => {
                self.read(hear, |raw| Element::Double(f32::from_bits(u32::from(u16::from_le_bytes(raw)) << 16).into()))
            }
            Kind::Fp32 => self.read(hear, |raw| Element::Float(f32::from_le_bytes(raw))),
            Kind::Fp64 => self.read(hear, |raw| Element::Double(f64::from_le_bytes(raw))),
            Kind::Bytes => {}
        }
    }

    fn read<const SIZE: usize>(self, hear: &mut impl FnMut(Element), element: impl Fn([u8; SIZE]) -> Element) {
        for raw in self.bytes.as_chunks::<SIZE>().0 {
            let mut raw = *raw;
            if self.order == Order::Big {
                raw.reverse();
            }
            hear(element(raw));
        }
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
    fn elements_are_whole_and_in_order() {
        let bytes = [1_u8, 0, 2, 0, 3, 1];
        let numbers = |order, size| {
            let list = Packed::of(Kind::Uint16, order, &bytes).expect("three of two bytes");
            let mut found = Vec::new();
            list.chunks(size).for_each(|chunk| {
                found.push(Vec::new());
                chunk.each(|element| found.last_mut().expect("one for each chunk").push(element));
            });
            found
        };
        let uint = |numbers: &[u64]| numbers.iter().map(|number| Element::UInt(*number)).collect::<Vec<_>>();
        assert_eq!(numbers(Order::Little, 2), [uint(&[1, 2]), uint(&[259])]);
        assert_eq!(numbers(Order::Big, 3), [uint(&[256, 512, 769])]);
        assert_eq!(Packed::of(Kind::Uint32, Order::Little, &bytes), None);
        assert_eq!(Packed::of(Kind::Bytes, Order::Little, &bytes), None);
    }
}
