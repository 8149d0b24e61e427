//! Durations and sizes as people write them: a whole number and a unit, `200ms`, `64MiB`. A bare number is an error,
//! for nobody remembers whether it meant seconds or milliseconds.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A duration in the file: `200ms`, `30s`, `5m`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes in the file: `64KiB`, `2GiB`, `900KB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Unit and its microseconds, smallest first.
const SPAN_UNITS: [(&str, u64); 6] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

/// Unit and its bytes. Shown in the largest that divides, the binary ones first.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl Span {
    pub const fn millis(count: u64) -> Span {
        Span(Duration::from_millis(count))
    }
    pub const fn secs(count: u64) -> Span {
        Span(Duration::from_secs(count))
    }
}

impl Size {
    pub const fn kib(count: u64) -> Size {
        Size(count << 10)
    }
    pub const fn mib(count: u64) -> Size {
        Size(count << 20)
    }
    pub const fn gib(count: u64) -> Size {
        Size(count << 30)
    }
}

/// Splits `30s` into `30` and `s`. The message of an error is `what; fix`.
fn number_and_unit(text: &str) -> Result<(u64, &str), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("`{text}` does not start with a number"));
    }
    let number = number.parse().map_err(|_| format!("`{number}` is too large"))?;
    Ok((number, unit.trim_start()))
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let (number, unit) = number_and_unit(text)
            .map_err(|what| format!("{what}; write a whole number and a unit, for example `30s`"))?;
        if unit.is_empty() {
            return Err(format!(
                "a duration needs a unit: `{number}` could be seconds or milliseconds; write `{number}s` or `{number}ms`"
            ));
        }
        let Some((_, micros)) = SPAN_UNITS.iter().find(|(name, _)| *name == unit) else {
            let fix = match unit.to_ascii_lowercase().as_str() {
                "sec" | "secs" | "second" | "seconds" => format!("write `{number}s`"),
                "min" | "mins" | "minute" | "minutes" => format!("write `{number}m`"),
                "hour" | "hours" | "hr" => format!("write `{number}h`"),
                "day" | "days" => format!("write `{number}d`"),
                "msec" | "millis" | "milliseconds" => format!("write `{number}ms`"),
                _ => "write a whole number with us, ms, s, m, h or d, for example `1500ms`".to_owned(),
            };
            return Err(format!("`{unit}` is not a unit of time; {fix}"));
        };
        let micros =
            number.checked_mul(*micros).ok_or_else(|| format!("`{text}` is too long; write at most `365d`"))?;
        Ok(Span(Duration::from_micros(micros)))
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let (number, unit) = number_and_unit(text)
            .map_err(|what| format!("{what}; write a whole number and a unit, for example `64MiB`"))?;
        if unit.is_empty() {
            return Err(format!(
                "a size needs a unit: `{number}` could be bytes or mebibytes; write `{number}B` or `{number}MiB`"
            ));
        }
        let Some((_, bytes)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
            let fix = match unit.to_ascii_lowercase().as_str() {
                "k" | "kb" | "kib" => format!("write `{number}KiB` (1024) or `{number}KB` (1000)"),
                "m" | "mb" | "mib" => format!("write `{number}MiB` (1024 * 1024) or `{number}MB` (1000 * 1000)"),
                "g" | "gb" | "gib" => format!("write `{number}GiB` or `{number}GB`"),
                _ => "write a whole number with B, KiB, MiB, GiB, KB, MB or GB, for example `64MiB`".to_owned(),
            };
            return Err(format!("`{unit}` is not a unit of size; {fix}"));
        };
        let bytes = number.checked_mul(*bytes).ok_or_else(|| format!("`{text}` is too large; write at most `1TiB`"))?;
        Ok(Size(bytes))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        let (name, unit) = match micros {
            0 => ("s", 1),
            _ => SPAN_UNITS.iter().rev().copied().find(|(_, unit)| micros.is_multiple_of(*unit)).unwrap_or(("us", 1)),
        };
        write!(f, "{}{name}", micros / unit)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = match self.0 {
            0 => ("B", 1),
            bytes => SIZE_UNITS.iter().rev().copied().find(|(_, unit)| bytes.is_multiple_of(*unit)).unwrap_or(("B", 1)),
        };
        write!(f, "{}{name}", self.0 / unit)
    }
}

struct Text<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! as_text {
    ($type:ident, $expected:literal, $pattern:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                from.deserialize_str(Text(std::marker::PhantomData, $expected))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

as_text!(Span, "a duration, for example `30s`", "^[0-9]+ ?(us|ms|s|m|h|d)$");
as_text!(Size, "a size, for example `64MiB`", "^[0-9]+ ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_shown() {
        for text in ["200ms", "30s", "5m", "7d", "36h", "90s", "1500us", "0s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["64KiB", "2GiB", "900KB", "1B", "0B", "1500KB", "1TiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!("60s".parse::<Span>().unwrap().to_string(), "1m");
        assert_eq!("1024KiB".parse::<Size>().unwrap().to_string(), "1MiB");
    }

    #[test]
    fn every_error_names_a_fix() {
        for text in ["30", "", "s", "-1s", "1.5s", "5 sec", "3parsecs", "99999999999999999999s", "9999999999999999d"] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.contains("; write "), "{text}: {error}");
        }
        for text in ["30", "", "KiB", "1.5GiB", "64K", "64mb", "3pages", "99999999999999999999B", "99999999999TiB"] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains("; write "), "{text}: {error}");
        }
    }
}
