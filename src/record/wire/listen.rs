//! Who is told what stands in a message, in the order of the JSON form; and one who writes it down.

use super::json;

/// Is told what stands in a message, as if it were JSON.
pub trait Listener {
    fn key(&mut self, key: &str);
    fn null(&mut self);
    fn boolean(&mut self, value: bool);
    fn integer(&mut self, value: i64);
    fn unsigned(&mut self, value: u64);
    fn double(&mut self, value: f64);
    /// A double that is told as an integer if it has no fraction.
    fn milliseconds(&mut self, value: f64) {
        // Far below this every double is a whole number.
        if value.fract() == 0.0 && (0.0..1e15).contains(&value) {
            self.unsigned(value as u64)
        } else {
            self.double(value)
        }
    }
    /// A number of JSON's grammar, digit by digit.
    fn number(&mut self, digits: &str);
    fn string(&mut self, value: &str);
    fn begin_object(&mut self);
    fn end_object(&mut self);
    fn begin_list(&mut self);
    fn end_list(&mut self);
}

/// Writes what it hears as JSON text.
pub struct JsonText<'o>(pub &'o mut Vec<u8>);

impl JsonText<'_> {
    /// The comma before a value or key, where one is due.
    fn part(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[' | b':')) {
            self.0.push(b',');
        }
    }
}

impl Listener for JsonText<'_> {
    fn key(&mut self, key: &str) {
        self.part();
        json::text(self.0, key);
        self.0.push(b':');
    }

    fn null(&mut self) {
        self.part();
        self.0.extend_from_slice(b"null");
    }

    fn boolean(&mut self, value: bool) {
        self.part();
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn integer(&mut self, value: i64) {
        self.part();
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn unsigned(&mut self, value: u64) {
        self.part();
        json::integer(self.0, value);
    }

    fn double(&mut self, value: f64) {
        self.part();
        json::double(self.0, value);
    }

    fn number(&mut self, digits: &str) {
        self.part();
        self.0.extend_from_slice(digits.as_bytes());
    }

    fn string(&mut self, value: &str) {
        self.part();
        json::text(self.0, value);
    }

    fn begin_object(&mut self) {
        self.part();
        self.0.push(b'{');
    }

    fn end_object(&mut self) {
        self.0.push(b'}');
    }

    fn begin_list(&mut self) {
        self.part();
        self.0.push(b'[');
    }

    fn end_list(&mut self) {
        self.0.push(b']');
    }
}
