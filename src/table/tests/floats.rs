//! Numbers arrive bit for bit, or their text is kept.

use arrow_array::types::Float32Type;

use super::*;
use crate::table::number;

/// Good enough to reach every exponent.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[test]
fn a_hundred_thousand_doubles_are_those_of_std() {
    let mut random = Random(1);
    let mut checked = 0;
    while checked < 100_000 {
        let value = f64::from_bits(random.next());
        let text = match random.next() % 6 {
            _ if !value.is_finite() => continue,
            0 => format!("{value:e}"),
            1 => format!("{value}"),
            2 => format!("{}.{}", random.next() % 1_000, random.next() % 1_000_000_000),
            3 => format!("-{}.{}{}", random.next(), random.next(), random.next()),
            4 => format!("{}E{}", random.next() % 1_000_000, random.next() as i64 % 40),
            _ => format!("0.{:03}e-{}", random.next() % 1_000, 300 + random.next() % 20),
        };
        let (number, end) = number::scan(&text, 0).unwrap_or_else(|| panic!("{text} refused"));
        assert_eq!(end, text.len());
        assert_eq!(number.value.to_bits(), text.parse::<f64>().expect("std reads it").to_bits(), "{text}");
        checked += 1;
    }
}

#[test]
fn doubles_survive_the_file_bit_for_bit() {
    let mut random = Random(2);
    let expected: Vec<f64> = std::iter::repeat_with(|| f64::from_bits(random.next()))
        .filter(|value| value.is_finite())
        .take(20_000)
        .collect();
    let values: Vec<String> = expected.iter().map(|value| format!(r#"{{"outputs":{{"y":{value:e}}}}}"#)).collect();
    let (_, file) = table(&values);
    assert_eq!(file.raw_rows(), Vec::<usize>::new());
    for (read, expected) in file.doubles("outputs.y").into_iter().zip(expected) {
        assert_eq!(read.map(f64::to_bits), Some(expected.to_bits()));
    }
}

#[test]
fn integers_beyond_what_a_double_holds_keep_their_text() {
    let fits = [
        "0",
        "-1",
        "9007199254740991",
        "9007199254740992",
        "-9007199254740992",
        "9007199254740994",
        "18446744073709551616",
        "1e22",
        "1e300",
        "0.1",
        "-0",
        "0e999",
        "1.5e-310",
    ];
    let lost = [
        "9007199254740993",
        "-9007199254740993",
        "18446744073709551615",
        "123456789012345678901234567890",
        "1e400",
        "-1e999",
        "1e-400",
    ];
    let values: Vec<String> = fits.iter().chain(&lost).map(|x| format!(r#"{{"inputs":{{"x":{x}}}}}"#)).collect();
    let (_, file) = table(&values);
    assert_eq!(file.raw_rows(), (fits.len()..values.len()).collect::<Vec<_>>());
    for (row, x) in file.doubles("inputs.x").into_iter().enumerate() {
        assert_eq!(x.is_some(), row < fits.len(), "{}", values[row]);
    }
    assert_eq!(file.text("_raw", fits.len()).as_deref(), Some(values[fits.len()].as_str()));
}

#[test]
fn single_floats_are_read_in_few_digits_and_in_those_of_the_double_that_equals_them() {
    let values: Vec<String> = ["0.1", "0.10000000149011612", "16777217", "0.1000000015", "\"NaN\""]
        .iter()
        .map(|x| format!(r#"{{"inputs":{{"x":{x}}},"types":{{"inputs.x":"FP32"}}}}"#))
        .collect();
    let (schema, file) = table(&values);
    assert_eq!(input_type(&schema, "x"), Some(&Type::Float));
    assert_eq!(file.raw_rows(), [2, 3], "a value that no single float has");
    let column = file.column("inputs.x");
    let read: Vec<_> = column.as_primitive::<Float32Type>().iter().map(|x| x.map(f32::to_bits)).collect();
    let tenth = Some(0.1_f32.to_bits());
    assert_eq!(read, [tenth, tenth, None, None, Some(f32::NAN.to_bits())]);
}

#[test]
fn what_is_no_number_is_refused() {
    for text in ["", "-", "01", "-01", "1.", ".5", "1e", "1e+", "+1", "- 1", "1.e5"] {
        let whole = number::scan(text, 0).is_some_and(|(_, end)| end == text.len());
        assert!(!whole, "{text}");
    }
}
