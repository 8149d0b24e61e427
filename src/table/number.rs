//! JSON numbers, digit by digit: the double that std would parse, bit for bit, and whether it says all that the text says.

/// A number as the text has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number<'t> {
    pub text: &'t str,
    /// The nearest double.
    pub value: f64,
    /// False for an integer that no double equals, and for what over- or underflows.
    pub exact: bool,
    /// The value, if it is written as an integer and fits.
    pub int: Option<i64>,
}

impl<'t> Number<'t> {
    /// NaN and the infinities, as Python writes them.
    pub fn not_finite(text: &'t str) -> Option<Number<'t>> {
        Some(Number { text, value: not_finite(text)?, exact: true, int: None })
    }
}

/// The double that a text for NaN or an infinity stands for.
pub(super) fn not_finite(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Up to here every integer is a double.
const EXACT_MAX: u64 = 1 << 53;

/// The number that starts at `start`, and where it ends; `None` if the grammar refuses it.
#[inline]
pub(super) fn scan(text: &str, start: usize) -> Option<(Number<'_>, usize)> {
    let bytes = text.as_bytes();
    let mut at = start;
    let negative = bytes.get(at) == Some(&b'-');
    at += usize::from(negative);
    let digits_start = at;
    let mut mantissa = 0u64;
    while let Some(digit) = digit(bytes, at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    let mut digits = at - digits_start;
    if digits == 0 || (digits > 1 && bytes[digits_start] == b'0') {
        return None;
    }
    let mut integer = true;
    let mut exponent = 0i64;
    if bytes.get(at) == Some(&b'.') {
        integer = false;
        at += 1;
        let fraction_start = at;
        while let Some(digit) = digit(bytes, at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        let fraction = at - fraction_start;
        if fraction == 0 {
            return None;
        }
        digits += fraction;
        exponent = -(fraction as i64);
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        integer = false;
        at += 1;
        let minus = match bytes.get(at) {
            Some(b'-') => true,
            Some(b'+') => false,
            _ => {
                at -= 1;
                false
            }
        };
        at += 1;
        let exponent_start = at;
        let mut written = 0i64;
        while let Some(digit) = digit(bytes, at) {
            written = (written * 10 + digit as i64).min(1_000_000);
            at += 1;
        }
        if at == exponent_start {
            return None;
        }
        exponent += if minus { -written } else { written };
    }
    let text = &text[start..at];
    // 19 digits always fit a u64.
    let known = digits <= 19;
    let value = if known && mantissa <= EXACT_MAX && (-22..=22).contains(&exponent) {
        let whole = mantissa as f64;
        let size = if exponent < 0 { whole / POWERS[-exponent as usize] } else { whole * POWERS[exponent as usize] };
        if negative { -size } else { size }
    } else {
        text.parse().ok()?
    };
    let exact = match integer {
        true => (known && mantissa <= EXACT_MAX) || integer_is(value, text),
        false => value.is_finite() && (value != 0.0 || is_zero(text)),
    };
    let int = match integer && known {
        true if negative => 0i64.checked_sub_unsigned(mantissa),
        true => i64::try_from(mantissa).ok(),
        false => None,
    };
    Some((Number { text, value, exact, int }, at))
}

#[inline]
fn digit(bytes: &[u8], at: usize) -> Option<u64> {
    let digit = bytes.get(at)?.wrapping_sub(b'0');
    (digit < 10).then_some(u64::from(digit))
}

/// Whether a double is the integer that is written.
#[cold]
fn integer_is(value: f64, text: &str) -> bool {
    value.is_finite() && format!("{value:.0}") == text
}

/// Whether the digits before an exponent are all zero.
fn is_zero(text: &str) -> bool {
    text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).all(|byte| !(b'1'..=b'9').contains(&byte))
}
