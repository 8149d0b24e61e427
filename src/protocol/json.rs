//! A tolerant reader of JSON. In: a body. Out: a [`Value`] and the names of keys that occur twice in one object.
//!
//! Accepts what Python's `json` writes: `NaN`, `Infinity`, `-Infinity`, integers of any length, a byte order mark.

use std::borrow::Cow;
use std::collections::HashSet;

use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};

use super::value::{Object, Value};
use super::{ParseStatus, Problem};

/// Values of one body: at 32 bytes each, what a parsed body takes at most, whatever its text was.
pub const VALUES_MAX: usize = 1 << 20;

/// Deepest nesting that is ever read, whatever the configuration says: the reader recurses on a thread's stack.
const DEPTH_CEILING: usize = 512;

/// Integers up to this length are numbers for every reader that has doubles; longer ones become text.
const DIGITS_MAX: usize = 308;

/// Objects up to this size are searched for duplicates pair by pair.
const PAIRWISE_KEYS_MAX: usize = 16;

/// Names of duplicate keys that are kept per body.
const DUPLICATES_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq)]
pub struct Document<'a> {
    pub value: Value<'a>,
    /// Each name once, in order of appearance.
    pub duplicate_keys: Vec<String>,
}

/// Reads the whole of `body` as one JSON value.
///
/// # Errors
/// `invalid` for damaged JSON or UTF-8, `limit` for nesting beyond `depth_max` or too many values; says where.
pub fn read(body: &[u8], depth_max: usize) -> Result<Document<'_>, Problem> {
    read_within(body, depth_max, &mut VALUES_MAX.clone())
}

/// As [`read`], for one of several pieces of a body: `values_left` is what all of them may hold, and is counted down.
///
/// # Errors
/// As [`read`].
pub fn read_within<'a>(body: &'a [u8], depth_max: usize, values_left: &mut usize) -> Result<Document<'a>, Problem> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Problem::new(ParseStatus::Invalid, format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        jiter: Jiter::new(bare.as_bytes()).with_allow_inf_nan(),
        text: bare,
        start: 0,
        depth_max: depth_max.min(DEPTH_CEILING),
        values_left: *values_left,
        duplicate_keys: Vec::new(),
    };
    let document = reader.document();
    *values_left = reader.values_left;
    match document {
        Ok(value) => Ok(Document { value, duplicate_keys: reader.duplicate_keys }),
        Err(stop) => Err(stop.problem(text.len() - bare.len() + reader.start)),
    }
}

/// What is said of a body that holds too many values.
pub fn too_many() -> Problem {
    Problem::new(ParseStatus::Limit, format!("more than {VALUES_MAX} values"))
}

/// A text that is a number by JSON's grammar, from its first to its last character.
pub fn number_token(text: &str) -> Option<Value<'_>> {
    (long_number(text) == Some(text.len())).then(|| number(text))
}

enum Stop {
    Damaged(JiterError),
    Depth { index: usize, depth_max: usize },
    Values { index: usize },
}

impl Stop {
    fn problem(self, skipped: usize) -> Problem {
        match self {
            Stop::Damaged(error) => Problem::new(
                ParseStatus::Invalid,
                format!("damaged JSON at byte {}: {}", error.index + skipped, error.error_type),
            ),
            Stop::Depth { index, depth_max } => Problem::new(
                ParseStatus::Limit,
                format!("JSON nested deeper than {depth_max} at byte {}", index + skipped),
            ),
            Stop::Values { index } => Problem::new(
                ParseStatus::Limit,
                format!("more than {VALUES_MAX} values of JSON at byte {}", index + skipped),
            ),
        }
    }
}

impl From<JiterError> for Stop {
    fn from(error: JiterError) -> Stop {
        Stop::Damaged(error)
    }
}

struct Reader<'a> {
    /// Reads `text` from `start` on.
    jiter: Jiter<'a>,
    text: &'a str,
    start: usize,
    depth_max: usize,
    values_left: usize,
    duplicate_keys: Vec<String>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Value<'a>, Stop> {
        let peek = self.jiter.peek()?;
        let value = self.value(peek, 0)?;
        self.jiter.finish()?;
        Ok(value)
    }

    fn value(&mut self, peek: Peek, depth: usize) -> Result<Value<'a>, Stop> {
        if self.values_left == 0 {
            return Err(Stop::Values { index: self.jiter.current_index() });
        }
        self.values_left -= 1;
        match peek {
            Peek::String => {
                let text = self.text;
                Ok(Value::Text(keep(text, self.jiter.known_str()?)))
            }
            Peek::Object => self.object(depth + 1),
            Peek::Array => self.list(depth + 1),
            Peek::True | Peek::False => Ok(Value::Bool(self.jiter.known_bool(peek)?)),
            Peek::Null => {
                self.jiter.known_null()?;
                Ok(Value::Null)
            }
            _ => self.number(peek),
        }
    }

    fn number(&mut self, peek: Peek) -> Result<Value<'a>, Stop> {
        let start = self.start + self.jiter.current_index();
        let end = match self.jiter.known_number_bytes(peek) {
            Ok(_) => self.start + self.jiter.current_index(),
            Err(error) => match long_number(&self.text[start..]) {
                Some(length) if is_too_long(&error) => self.go_on_at(start + length),
                _ => return Err(error.into()),
            },
        };
        Ok(number(self.text.get(start..end).expect("a number is ASCII")))
    }

    /// Continues at a place of the text. The parser holds nothing of what is open: that is this reader's own stack.
    fn go_on_at(&mut self, start: usize) -> usize {
        self.jiter = Jiter::new(&self.text.as_bytes()[start..]).with_allow_inf_nan();
        self.start = start;
        start
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, Stop> {
        self.check(depth)?;
        let mut items = Vec::new();
        let mut next = self.jiter.known_array()?;
        while let Some(peek) = next {
            items.push(self.value(peek, depth)?);
            next = self.jiter.array_step()?;
        }
        Ok(Value::List(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, Stop> {
        self.check(depth)?;
        let text = self.text;
        let mut fields = Object::new();
        let mut next = self.jiter.known_object()?.map(|key| keep(text, key));
        while let Some(key) = next {
            let peek = self.jiter.peek()?;
            fields.push((key, self.value(peek, depth)?));
            next = self.jiter.next_key()?.map(|key| keep(text, key));
        }
        self.note_duplicates(&fields);
        Ok(Value::Object(fields))
    }

    fn check(&self, depth: usize) -> Result<(), Stop> {
        if depth > self.depth_max {
            return Err(Stop::Depth { index: self.jiter.current_index(), depth_max: self.depth_max });
        }
        Ok(())
    }

    fn note_duplicates(&mut self, fields: &Object<'a>) {
        if fields.len() <= PAIRWISE_KEYS_MAX {
            for (index, (key, _)) in fields.iter().enumerate() {
                if fields[..index].iter().any(|(earlier, _)| earlier == key) {
                    self.note_duplicate(key);
                }
            }
        } else {
            let mut seen = HashSet::with_capacity(fields.len());
            for (key, _) in fields {
                if !seen.insert(key.as_ref()) {
                    self.note_duplicate(key);
                }
            }
        }
    }

    fn note_duplicate(&mut self, key: &str) {
        if self.duplicate_keys.len() < DUPLICATES_MAX && !self.duplicate_keys.iter().any(|known| known == key) {
            self.duplicate_keys.push(key.to_owned());
        }
    }
}

/// `got` as a part of `text` if it lies there; if it was unescaped elsewhere, a copy.
fn keep<'a>(text: &'a str, got: &str) -> Cow<'a, str> {
    let start = (got.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    match start.checked_add(got.len()).and_then(|end| text.get(start..end)) {
        Some(part) => Cow::Borrowed(part),
        None => Cow::Owned(got.to_owned()),
    }
}

/// Whether the parser only stopped because of a number's length (4,300 digits, as in Python).
fn is_too_long(error: &JiterError) -> bool {
    matches!(error.error_type, JiterErrorType::JsonError(JsonErrorType::NumberOutOfRange))
}

/// Bytes of the number that the text begins with, by JSON's grammar; `None` if it is none.
fn long_number(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = usize::from(bytes.first() == Some(&b'-'));
    let mut end = whole + digits(whole);
    if end == whole || (bytes[whole] == b'0' && end > whole + 1) {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        end += 1 + (fraction > 0).then_some(fraction)?;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        end += 1 + sign + (exponent > 0).then_some(exponent)?;
    }
    Some(end)
}

/// A number's token as a value that every strict reader can take.
fn number(token: &str) -> Value<'_> {
    match token {
        "NaN" => return Value::Double(f64::NAN),
        "Infinity" => return Value::Double(f64::INFINITY),
        "-Infinity" => return Value::Double(f64::NEG_INFINITY),
        _ => {}
    }
    // A plain decimal of ordinary length is finite; only these can overflow a double.
    let float = token.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
    if !float {
        return if token.len() <= DIGITS_MAX { Value::Number(token) } else { Value::Text(Cow::Borrowed(token)) };
    }
    if token.len() > DIGITS_MAX || token.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
        match token.parse::<f64>() {
            Ok(double) if double.is_finite() => {}
            Ok(double) => return Value::Double(double),
            Err(_) => return Value::Text(Cow::Borrowed(token)),
        }
    }
    Value::Number(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value<'_> {
        read(text.as_bytes(), 64).expect("valid").value
    }

    #[test]
    fn python_numbers_are_kept_as_written() {
        let big = "123456789012345678901234567890";
        assert_eq!(value(big), Value::Number(big));
        assert_eq!(value("1.10"), Value::Number("1.10"));
        assert_eq!(value("-0"), Value::Number("-0"));
        assert_eq!(value("-Infinity"), Value::Double(f64::NEG_INFINITY));
        assert_eq!(value("1e400"), Value::Double(f64::INFINITY));
        assert_eq!(value("1e-400"), Value::Number("1e-400"));
        assert!(matches!(value("[NaN]"), Value::List(items) if matches!(items[0], Value::Double(nan) if nan.is_nan())));
        let huge = "9".repeat(400);
        assert_eq!(value(&huge), Value::Text(Cow::Borrowed(&huge)));
    }

    #[test]
    fn a_number_of_any_length_keeps_its_digits() {
        for length in [4_299, 4_300, 4_301, 4_302, 9_999, 100_000] {
            for sign in ["", "-"] {
                let huge = format!("{sign}{}", "7".repeat(length));
                let body = format!(r#"{{"a":[1,{huge} ,{huge}],"b":{{"c":{huge},"d":1}},"e":"x","e":2}}"#);
                let document = read(body.as_bytes(), 64).expect("valid");
                let text = Value::Text(Cow::Borrowed(huge.as_str()));
                let list = Value::List(vec![Value::Number("1"), text.clone(), text.clone()]);
                assert_eq!(document.value.get(&["a"]), Some(&list), "{length}");
                assert_eq!(document.value.get(&["b", "c"]), Some(&text));
                assert_eq!(
                    (document.value.get(&["b", "d"]), document.duplicate_keys.len()),
                    (Some(&Value::Number("1")), 1)
                );
                assert_eq!(value(&huge), text);
                let float = format!("{sign}0.{}", "7".repeat(length));
                assert_eq!(value(&float), Value::Number(&float));
                let float = format!("{huge}.5e-{length}");
                assert_eq!(value(&float), Value::Number(&float));
            }
            // Damage behind it is found, where it is.
            for damaged in ["x", ".", "e", " 1", "]"] {
                let body = format!("[{}{damaged}", "7".repeat(length));
                let error = read(body.as_bytes(), 64);
                assert_eq!(error.is_ok(), damaged == "]", "{length} {damaged}");
            }
            let error = read(format!("[{}, x]", "7".repeat(length)).as_bytes(), 64).expect_err("x");
            assert!(error.what.contains(&format!("at byte {}", length + 3)), "{}", error.what);
            assert!(read(format!("0{}", "7".repeat(length)).as_bytes(), 64).is_err());
        }
    }

    #[test]
    fn text_is_borrowed_unless_it_is_escaped() {
        let Value::List(items) = value(r#"["plain","größer","a\u0062\n","","\u0065"]"#) else { panic!("a list") };
        let kinds: Vec<bool> = items.iter().map(|item| matches!(item, Value::Text(Cow::Borrowed(_)))).collect();
        assert_eq!(kinds, [true, true, false, true, false]);
        assert_eq!(items[2], Value::Text("ab\n".into()));
    }

    #[test]
    fn duplicate_keys_are_kept_and_named() {
        let document = read(br#"{"a":1,"b":{"c":1,"\u0063":2},"a":3}"#, 64).expect("valid");
        assert_eq!(document.duplicate_keys, ["c", "a"]);
        assert!(matches!(&document.value, Value::Object(fields) if fields.len() == 3));
        assert_eq!(document.value.get(&["a"]), Some(&Value::Number("3")));
        let many: String = (0..100).map(|i| format!("\"k{}\":{i},", i % 99)).collect();
        assert_eq!(read(format!("{{{many}\"z\":0}}").as_bytes(), 64).expect("valid").duplicate_keys, ["k0"]);
    }

    #[test]
    fn damage_says_where() {
        let damaged = read(br#"{"a":1"#, 64).expect_err("cut");
        assert_eq!(damaged.status, ParseStatus::Invalid);
        assert!(damaged.what.contains("at byte 6"), "{}", damaged.what);
        assert_eq!(read(b"\"\xff\"", 64).expect_err("bytes").what, "not UTF-8 at byte 1");
        assert_eq!(read(b"[[[]]]", 2).expect_err("deep").status, ParseStatus::Limit);
        assert!(read(b"[[[]]]", 3).is_ok());
        for damaged in ["", "nul", "{]", "[1,]", "{\"a\":1,}", "1 2", "\"a", "\"\\ud800\"", "+1", "01", "--1", "\u{1}"]
        {
            assert_eq!(read(damaged.as_bytes(), 64).expect_err(damaged).status, ParseStatus::Invalid, "{damaged}");
        }
    }

    #[test]
    fn deep_nesting_never_reaches_the_stack_end() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(read(deep.as_bytes(), usize::MAX).expect_err("deep").status, ParseStatus::Limit);
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(read(b"\xef\xbb\xbf{}", 64).expect("valid").value, Value::Object(vec![]));
    }
}
