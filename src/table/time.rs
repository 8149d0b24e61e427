//! RFC 3339 -> microseconds, only where nothing is rounded.

/// Microseconds since the epoch; `None` for anything that is not an RFC 3339 time of whole microseconds.
pub(super) fn parse_micros(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| bytes[at] != byte) {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        bytes[from..to].iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, zone) = fraction(&bytes[19..])?;
    let seconds =
        days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_seconds(zone)?;
    Some(seconds * 1_000_000 + micros)
}

/// `.123456` to microseconds, and what stands after it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rounded) = rest[..digits].split_at(digits.min(6));
    if rounded.iter().any(|digit| *digit != b'0') {
        return None;
    }
    let read = whole.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let micros = (whole.len()..6).fold(read, |scaled, _| scaled * 10);
    (digits > 0).then_some((micros, &rest[digits..]))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let sign = match zone {
        b"Z" | b"z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let &[_, h1, h2, b':', m1, m2] = zone else { return None };
    if ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |high: u8, low: u8| i64::from(high - b'0') * 10 + i64::from(low - b'0');
    let (hours, minutes) = (two(h1, h2), two(m1, m2));
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; years begin in March, so that the leap day is the last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let in_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse_micros;

    #[test]
    fn times_agree_with_jiff() {
        let texts = [
            "1970-01-01T00:00:00Z",
            "2026-11-25T12:34:56.123456Z",
            "2024-02-29T23:59:59.9+02:00",
            "2000-02-29T00:00:00-11:30",
            "1900-03-01T00:00:00Z",
            "9999-12-30T22:00:00.000001Z",
            "0004-02-29T00:00:00Z",
            "2026-11-25T12:34:56.123456000Z",
        ];
        for text in texts {
            let expected = text.parse::<jiff::Timestamp>().expect("a time").as_microsecond();
            assert_eq!(parse_micros(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "2026-11-25",
            "2026-11-25T12:34:56",
            "2026-11-25T12:34:56.Z",
            "2026-11-25T12:34:56.1234567Z",
            "2026-02-29T00:00:00Z",
            "2026-11-25T24:00:00Z",
            "2026-11-25T12:34:60Z",
            "2026-11-25T12:34:56+0200",
            "x026-11-25T12:34:56Z",
        ] {
            assert_eq!(parse_micros(text), None, "{text}");
        }
    }
}
